/* Watched files: renames, symlink swaps, bad contents, names that a file lacks. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/base/xalloc.h"
#include "dataplane/event/testing.h"
#include "xds/response.h"
#include "xds/subscription_file.h"
#include "xds/wire.h"

#define TYPE STR("type.googleapis.com/envoy.config.cluster.v3.Cluster")
#define PATIENCE_MS 30000 /* never waited for by a test that passes */

/*
 * A file of these tests is a line of names: "1 a b" is version 1 with two resources; "garbage" is
 * not readable; "refuse ..." is refused by the subscriber.
 */
struct fixture {
    struct loop loop;
    char dir[64];
    struct xds_file *file;
    struct strbuf line; /* what was told */
    unsigned told;
    bool closes; /* in the next callback */
    bool is_late;
    struct timer patience;
};

static struct fixture fx;

static const char *path_of(const char *name)
{
    static char path[128];

    (void)snprintf(path, sizeof(path), "%s/%s", fx.dir, name);
    return path;
}

static void write_file(const char *name, const char *content)
{
    FILE *f = fopen(path_of(name), "w");

    assert_non_null(f);
    assert_true(fputs(content, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void move(const char *from, const char *to)
{
    char *source = xstrdup(path_of(from));

    assert_int_equal(rename(source, path_of(to)), 0);
    free(source);
}

/* As config/ will do from YAML. */
static int read_lines(struct str path, uint8_t **ret_bytes, size_t *ret_len, struct error *reterr)
{
    char *c_path = xstrndup(path.ptr, path.len);
    FILE *f = fopen(c_path, "r");
    char line[256];
    struct strbuf out;
    struct str rest;
    struct str word;

    free(c_path);
    if (f == NULL) {
        return error_set(reterr, E_SYS, "no such file");
    }
    if (fgets(line, sizeof(line), f) == NULL) {
        line[0] = '\0'; /* an empty file */
    }
    (void)fclose(f);
    if (strncmp(line, "garbage", 7) == 0) {
        return error_set(reterr, E_INVALID, "garbage");
    }
    strbuf_init(&out);
    rest = str_c(line);
    if (rest.len > 0 && str_split(&rest, ' ', &word)) {
        wire_put_bytes(&out, 1, word);
    }
    while (rest.ptr != NULL && str_split(&rest, ' ', &word)) {
        size_t any = wire_begin(&out);
        size_t value;

        wire_put_bytes(&out, 1, TYPE);
        value = wire_begin(&out);
        wire_put_bytes(&out, 1, word);
        wire_end(&out, value, 2);
        wire_end(&out, any, 2);
    }
    *ret_len = out.len;
    *ret_bytes = (uint8_t *)strbuf_take(&out);
    return 0;
}

static void told(void)
{
    fx.told++;
    if (fx.closes) {
        fx.closes = false;
        xds_file_close(fx.file);
        fx.file = NULL;
    }
}

static void on_update(void *user, const struct xds_update *u, struct xds_verdict *v)
{
    assert_true(str_eq(u->type_url, TYPE));
    strbuf_addf(&fx.line, "update(%.*s", STR_ARG(u->version_info));
    for (size_t i = 0; i < u->resource_count; i++) {
        strbuf_addf(&fx.line, " %.*s", STR_ARG(xds_resource_name(&u->resources[i])));
    }
    strbuf_add_c(&fx.line, ") ");
    v->accepted = !str_eq(u->version_info, STR("refuse"));
    told();
}

static void on_error(void *user, struct str reason)
{
    strbuf_addf(&fx.line, "error(%.*s) ", STR_ARG(reason));
    told();
}

static void on_fetch_timeout(void *user, const struct str *names, size_t n)
{
    strbuf_add_c(&fx.line, "missing(");
    for (size_t i = 0; i < n; i++) {
        strbuf_addf(&fx.line, "%s%.*s", i > 0 ? " " : "", STR_ARG(names[i]));
    }
    strbuf_add_c(&fx.line, ") ");
    told();
}

static const struct xds_subscriber subscriber = {
    .on_update = on_update,
    .on_error = on_error,
    .on_fetch_timeout = on_fetch_timeout,
};

static void on_patience(struct timer *t)
{
    container_of(t, struct fixture, patience)->is_late = true;
}

/* Runs the loop until `n` more callbacks came; they must make `text`. */
static void expect(unsigned n, const char *text)
{
    fx.is_late = false;
    timer_arm(&fx.loop, &fx.patience, PATIENCE_MS);
    LOOP_WAIT(&fx.loop, fx.told >= n || fx.is_late);
    timer_cancel(&fx.loop, &fx.patience);
    assert_string_equal(fx.line.len > 0 ? fx.line.ptr : "", text);
    strbuf_reset(&fx.line);
    fx.told = 0;
}

/* Longer than a file's events are gathered. */
static void let_settle(void)
{
    fx.is_late = false;
    timer_arm(&fx.loop, &fx.patience, 30);
    LOOP_WAIT(&fx.loop, fx.is_late);
}

static int setup(void **state)
{
    fx = (struct fixture){.dir = "/tmp/nuncio-file-test-XXXXXX"};
    assert_int_equal(loop_init(&fx.loop, LOOP_MAIN_INDEX), 0);
    assert_non_null(mkdtemp(fx.dir));
    strbuf_init(&fx.line);
    timer_init(&fx.patience, on_patience);
    return 0;
}

static int teardown(void **state)
{
    static const char *const NAMES[] = {"cds", "new", "other", "..data", "v1/cds", "v2/cds"};

    if (fx.file != NULL) {
        xds_file_close(fx.file);
    }
    for (size_t i = 0; i < ARRAY_LEN(NAMES); i++) {
        (void)unlink(path_of(NAMES[i]));
    }
    (void)rmdir(path_of("v1"));
    (void)rmdir(path_of("v2"));
    assert_int_equal(rmdir(fx.dir), 0);
    strbuf_done(&fx.line);
    loop_done(&fx.loop);
    return 0;
}

static void open_file(const char *name, bool is_wildcard, const char *watched)
{
    struct xds_source source = {
        .kind = XDS_SOURCE_PATH,
        .path = str_c(path_of(name)),
        .watched_directory = str_c(watched),
    };

    fx.file = xds_file_new(&fx.loop, &source, TYPE, is_wildcard, read_lines, &subscriber, NULL);
}

static void test_a_file_is_read_at_start_and_when_it_is_replaced(void **state)
{
    write_file("cds", "1 a b");
    open_file("cds", true, NULL);
    assert_int_equal(fx.told, 0); /* nothing from inside */
    expect(1, "update(1 a b) ");
    write_file("new", "2 c");
    move("new", "cds");
    expect(1, "update(2 c) ");
}

static void test_a_bad_file_is_told_and_the_next_one_read(void **state)
{
    write_file("cds", "1 a");
    open_file("cds", true, NULL);
    expect(1, "update(1 a) ");
    write_file("new", "garbage");
    move("new", "cds");
    expect(1, "error(garbage) ");
    write_file("new", "3 a");
    move("new", "cds");
    expect(1, "update(3 a) ");
}

/* As Envoy: a file that is being written is not read; but one that could not be used is. */
static void test_writing_in_place_counts_only_after_a_bad_file(void **state)
{
    write_file("cds", "garbage");
    open_file("cds", true, NULL);
    expect(2, "error(garbage) missing() ");
    write_file("cds", "1 a");
    expect(1, "update(1 a) ");
    write_file("cds", "2 a");
    write_file("new", "3 a");
    move("new", "cds"); /* whatever came of the write would have been told first */
    expect(1, "update(3 a) ");
    write_file("new", "refuse a");
    move("new", "cds");
    expect(1, "update(refuse a) ");
    write_file("cds", "4 a");
    expect(1, "update(4 a) ");
}

static void test_what_else_moves_in_the_directory_is_not_told(void **state)
{
    write_file("cds", "1 a");
    open_file("cds", true, NULL);
    expect(1, "update(1 a) ");
    write_file("new", "whatever");
    move("new", "other");
    let_settle();
    expect(0, "");
    write_file("new", "2 b");
    move("new", "cds");
    expect(1, "update(2 b) ");
}

/* A mounted ConfigMap: `cds` is a link through `..data`, which is replaced. */
static void test_a_symlink_swap_is_seen(void **state)
{
    char *data;

    assert_int_equal(mkdir(path_of("v1"), 0700), 0);
    assert_int_equal(mkdir(path_of("v2"), 0700), 0);
    write_file("v1/cds", "1 a");
    write_file("v2/cds", "2 b");
    assert_int_equal(symlink("v1", path_of("..data")), 0);
    assert_int_equal(symlink("..data/cds", path_of("cds")), 0);
    open_file("cds", true, fx.dir);
    expect(1, "update(1 a) ");
    assert_int_equal(symlink("v2", path_of("new")), 0);
    data = xstrdup(path_of("..data"));
    assert_int_equal(rename(path_of("new"), data), 0);
    free(data);
    expect(1, "update(2 b) ");
}

static void test_a_file_that_is_not_there_is_read_when_it_appears(void **state)
{
    open_file("cds", true, NULL);
    expect(2, "error(no such file) missing() ");
    write_file("new", "1 a");
    move("new", "cds");
    expect(1, "update(1 a) ");
}

/* Nobody else will bring them: start-up must not wait. */
static void test_names_that_the_file_lacks_are_missing(void **state)
{
    write_file("cds", "1 a");
    open_file("cds", false, NULL);
    xds_file_add(fx.file, STR("a"));
    xds_file_add(fx.file, STR("b"));
    expect(2, "update(1 a) missing(b) ");
    write_file("new", "2 a b");
    move("new", "cds");
    expect(1, "update(2 a b) ");
}

/* What it held was ignored when nobody wanted it. */
static void test_a_new_name_is_looked_for_in_the_same_file(void **state)
{
    write_file("cds", "1 a b");
    open_file("cds", false, NULL);
    xds_file_add(fx.file, STR("a"));
    expect(1, "update(1 a b) ");
    xds_file_add(fx.file, STR("b"));
    expect(1, "update(1 a b) ");
    xds_file_add(fx.file, STR("b"));
    xds_file_remove(fx.file, STR("b"));
    xds_file_remove(fx.file, STR("b"));
    xds_file_remove(fx.file, STR("b"));
    xds_file_add(fx.file, STR("b"));
    expect(1, "update(1 a b) ");
}

static void test_names_of_an_unreadable_file_are_missing(void **state)
{
    write_file("cds", "garbage");
    open_file("cds", false, NULL);
    xds_file_add(fx.file, STR("a"));
    expect(2, "error(garbage) missing(a) ");
}

static void test_closed_in_its_callback(void **state)
{
    write_file("cds", "1 a");
    open_file("cds", false, NULL);
    xds_file_add(fx.file, STR("missing"));
    fx.closes = true;
    expect(1, "update(1 a) ");
    assert_null(fx.file);

    open_file("cds", false, NULL);
    xds_file_add(fx.file, STR("a"));
    fx.closes = true;
    write_file("cds", "garbage");
    expect(1, "error(garbage) ");
    assert_null(fx.file);
}

static void test_closed_before_it_was_read(void **state)
{
    write_file("cds", "1 a");
    open_file("cds", true, NULL);
    xds_file_close(fx.file);
    fx.file = NULL;
    (void)uv_run(&fx.loop.uv, UV_RUN_NOWAIT);
    expect(0, "");
}

static void test_a_directory_that_cannot_be_watched(void **state)
{
    write_file("cds", "1 a");
    open_file("cds", true, "/nonexistent/nuncio");
    expect(1, "update(1 a) ");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_file_is_read_at_start_and_when_it_is_replaced),
        TEST(test_a_bad_file_is_told_and_the_next_one_read),
        TEST(test_writing_in_place_counts_only_after_a_bad_file),
        TEST(test_what_else_moves_in_the_directory_is_not_told),
        TEST(test_a_symlink_swap_is_seen),
        TEST(test_a_file_that_is_not_there_is_read_when_it_appears),
        TEST(test_names_that_the_file_lacks_are_missing),
        TEST(test_a_new_name_is_looked_for_in_the_same_file),
        TEST(test_names_of_an_unreadable_file_are_missing),
        TEST(test_closed_in_its_callback),
        TEST(test_closed_before_it_was_read),
        TEST(test_a_directory_that_cannot_be_watched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
