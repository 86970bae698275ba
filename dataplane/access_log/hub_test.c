/* Access log files: when lines reach the disk, rotation, lost sinks, several threads. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/access_log/file_writer.h"
#include "dataplane/access_log/hub.h"
#include "dataplane/access_log/line_logger.h"
#include "dataplane/event/loop.h"
#include "dataplane/runtime/thread_context.h"

struct fixture {
    struct loop loop;
    struct thread_context thread;
    char dir[64];
    char path[96];
};

static struct fixture f;

static int setup(void **state)
{
    memset(&f, 0, sizeof(f));
    snprintf(f.dir, sizeof(f.dir), "/tmp/nuncio-hub-XXXXXX");
    assert_non_null(mkdtemp(f.dir));
    snprintf(f.path, sizeof(f.path), "%s/log", f.dir);
    assert_int_equal(loop_init(&f.loop, 0), 0);
    f.thread.loop = &f.loop;
    return 0;
}

static int teardown(void **state)
{
    loop_done(&f.loop);
    unlink(f.path);
    rmdir(f.dir);
    return 0;
}

/* What is written by now; `hub` NULL: it is gone, and has written everything. */
static const char *file_text(struct access_log_hub *hub, const char *path)
{
    static char text[1024 * 1024];
    FILE *in;
    size_t n = 0;

    if (hub != NULL) {
        access_log_hub_drain(hub);
    }
    in = fopen(path, "r");
    if (in != NULL) {
        n = fread(text, 1, sizeof(text) - 1, in);
        fclose(in);
    }
    text[n] = '\0';
    return text;
}

static void write_line(struct access_log_file *file, struct thread_context *t, const char *line)
{
    strbuf_add_c(access_log_file_begin(file, t), line);
    access_log_file_end(file, t);
}

static void pass_ms(uint64_t ms)
{
    f.loop.uv.time += ms;
    timer_wheel_advance(&f.loop.timers, loop_now_ms(&f.loop));
}

static struct access_log_file *open_log(struct access_log_hub *hub, const char *path)
{
    struct access_log_file *file;
    struct error why;

    error_init(&why);
    assert_int_equal(access_log_hub_open(hub, str_c(path), &file, &why), 0);
    error_done(&why);
    return file;
}

static void test_flushed_by_age(void **state)
{
    struct access_log_hub *hub = access_log_hub_new(1000, 65536);
    struct access_log_file *file = open_log(hub, f.path);

    write_line(file, &f.thread, "one\n");
    assert_string_equal(file_text(hub, f.path), "");
    pass_ms(900);
    assert_string_equal(file_text(hub, f.path), "");
    write_line(file, &f.thread, "two\n");
    pass_ms(200);
    assert_string_equal(file_text(hub, f.path), "one\ntwo\n");
    access_log_file_unref(file);
    access_log_hub_free(hub);
}

static void test_flushed_by_size(void **state)
{
    struct access_log_hub *hub = access_log_hub_new(1000, 8);
    struct access_log_file *file = open_log(hub, f.path);

    write_line(file, &f.thread, "1234\n");
    assert_string_equal(file_text(hub, f.path), "");
    write_line(file, &f.thread, "567\n");
    assert_string_equal(file_text(hub, f.path), "1234\n567\n");
    access_log_file_unref(file);
    access_log_hub_free(hub);
}

static void test_flushed_at_the_end(void **state)
{
    struct access_log_hub *hub = access_log_hub_new(1000, 65536);
    struct access_log_file *file = open_log(hub, f.path);

    write_line(file, &f.thread, "last words\n");
    access_log_file_unref(file);
    access_log_hub_free(hub);
    assert_string_equal(file_text(NULL, f.path), "last words\n");
}

/* The configuration goes while lines wait: they are still written, then the file is closed. */
static void test_configuration_goes_first(void **state)
{
    struct access_log_hub *hub = access_log_hub_new(1000, 65536);
    struct access_log_file *file = open_log(hub, f.path);

    write_line(file, &f.thread, "one\n");
    access_log_file_unref(file);
    pass_ms(1010);
    assert_string_equal(file_text(hub, f.path), "one\n");
    pass_ms(1010); /* an interval without a line: the buffer lets go */
    access_log_hub_free(hub);
}

static void test_one_file_per_path(void **state)
{
    struct access_log_hub *hub = access_log_hub_new(1000, 1);
    struct access_log_file *a = open_log(hub, f.path);
    struct access_log_file *b = open_log(hub, f.path);

    assert_ptr_equal(a, b);
    access_log_file_unref(a);
    write_line(b, &f.thread, "still open\n");
    assert_string_equal(file_text(hub, f.path), "still open\n");
    access_log_file_unref(b);
    access_log_hub_free(hub);
}

static void test_cannot_open(void **state)
{
    struct access_log_hub *hub = access_log_hub_new(1000, 1);
    struct access_log_file *file = NULL;
    struct error why;

    error_init(&why);
    assert_int_equal(access_log_hub_open(hub, STR("/no/such/dir/log"), &file, &why), E_SYS);
    assert_string_equal(error_message(&why),
                        "unable to open file '/no/such/dir/log': No such file or directory");
    assert_null(file);
    error_done(&why);
    access_log_hub_free(hub);
}

static void test_rotation(void **state)
{
    struct access_log_hub *hub = access_log_hub_new(1000, 1);
    struct access_log_file *file = open_log(hub, f.path);
    char old[128];

    snprintf(old, sizeof(old), "%s.old", f.path);
    write_line(file, &f.thread, "before\n");
    assert_int_equal(rename(f.path, old), 0);
    write_line(file, &f.thread, "between\n");
    access_log_hub_reopen(hub);
    write_line(file, &f.thread, "after\n");
    assert_string_equal(file_text(hub, f.path), "after\n");
    assert_string_equal(file_text(hub, old), "before\nbetween\n");
    unlink(old);
    access_log_file_unref(file);
    access_log_hub_free(hub);
}

struct wanted_stat {
    struct str name;
    uint64_t value;
};

static void stat_take(void *user, const struct stat_sample *s)
{
    struct wanted_stat *w = user;

    if (str_eq(s->name, w->name)) {
        w->value = s->value;
    }
}

static uint64_t stat_of(struct stat_store *stats, const char *name)
{
    struct wanted_stat w = {.name = str_c(name)};

    stat_store_visit(stats, stat_take, &w);
    return w.value;
}

/* A sink that takes nothing loses lines, never memory; each is counted. */
static void test_full_disk(void **state)
{
    struct stat_store *stats = stat_store_new(1);
    struct access_log_hub *hub = access_log_hub_new(1000, 4);
    struct access_log_file *file;

    access_log_hub_count(hub, stats);
    file = open_log(hub, "/dev/full");
    for (int i = 0; i < 100; i++) {
        write_line(file, &f.thread, "lost\n");
        assert_int_equal(access_log_file_begin(file, &f.thread)->len, 0);
    }
    access_log_hub_drain(hub);
    assert_int_equal(stat_of(stats, "filesystem.write_buffered"), 100);
    assert_int_equal(stat_of(stats, "filesystem.write_failed"), 100);
    assert_int_equal(stat_of(stats, "filesystem.write_dropped"), 100);
    assert_int_equal(stat_of(stats, "filesystem.write_completed"), 0);
    assert_int_equal(stat_of(stats, "filesystem.write_total_buffered"), 0);
    access_log_file_unref(file);
    access_log_hub_free(hub);
    stat_store_free(stats);
}

/* Nobody reads: nobody waits. What finds no room is counted, and the end of the process too. */
static void test_pipe_that_nobody_reads(void **state)
{
    struct stat_store *stats = stat_store_new(1);
    struct access_log_hub *hub = access_log_hub_new(1000, 64 * 1024);
    struct access_log_file *file;
    char line[1000];

    access_log_hub_count(hub, stats);
    assert_int_equal(mkfifo(f.path, 0600), 0);
    file = open_log(hub, f.path);
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 2] = '\n';
    line[sizeof(line) - 1] = '\0';
    for (int i = 0; i < 10000; i++) { /* 10 MB, of which the pipe takes 64 KiB */
        write_line(file, &f.thread, line);
    }
    assert_true(stat_of(stats, "filesystem.write_dropped") > 5000);
    assert_true(stat_of(stats, "filesystem.write_total_buffered") <= FILE_WRITER_BYTES_MAX);
    assert_int_equal(stat_of(stats, "filesystem.write_failed"), 0);
    access_log_file_unref(file);
    access_log_hub_free(hub);
    stat_store_free(stats);
}

static void test_line_logger(void **state)
{
    struct access_log_hub *hub = access_log_hub_new(1000, 1);
    const struct format_item items[] = {{.op = FORMAT_RESPONSE_CODE},
                                        {.op = FORMAT_LITERAL, .arg1 = STR("\n")}};
    const struct format_json member = {
        .kind = FORMAT_JSON_LEAF, .key = STR("c"), .leaf = {.items = items, .count = 1}};
    struct line_logger text = {.format = {.text = {.items = items, .count = 2}}};
    struct line_logger json = {
        .format = {.is_json = true,
                   .json = {.kind = FORMAT_JSON_OBJECT, .children = &member, .count = 1}}};
    const struct line_logger nobody = {.format = {.text = {.items = items, .count = 2}}};
    const struct stream_info info = {.response_code = 204};
    const struct access_log_entry entry = {.info = &info};

    text.file = open_log(hub, f.path);
    json.file = open_log(hub, f.path);
    line_logger_log(&f.thread, &text, &entry);
    line_logger_log(&f.thread, &json, &entry);
    line_logger_log(&f.thread, &nobody, &entry);
    assert_string_equal(file_text(hub, f.path), "204\n{\"c\":204}\n");
    access_log_file_unref(text.file);
    access_log_file_unref(json.file);
    access_log_hub_free(hub);
}

/* --- threads -------------------------------------------------------------------------------- */

#define WRITERS 4
#define LINES 2000

struct writer {
    uv_thread_t thread;
    struct loop loop;
    struct thread_context context;
    struct access_log_file *file;
};

static void writer_run(void *arg)
{
    struct writer *w = arg;
    char line[64];

    for (int i = 0; i < LINES; i++) {
        snprintf(line, sizeof(line), "%d-%d-%d\n", w->loop.index, i, w->loop.index);
        write_line(w->file, &w->context, line);
    }
}

static void test_threads(void **state)
{
    static struct writer writers[WRITERS];
    struct access_log_hub *hub = access_log_hub_new(1000, 512);
    struct access_log_file *file = open_log(hub, f.path);
    int next[WRITERS] = {0};
    int lines = 0;
    const char *text;

    for (int i = 0; i < WRITERS; i++) {
        assert_int_equal(loop_init(&writers[i].loop, i), 0);
        writers[i].context.loop = &writers[i].loop;
        writers[i].file = file;
        assert_int_equal(uv_thread_create(&writers[i].thread, writer_run, &writers[i]), 0);
    }
    access_log_hub_reopen(hub); /* while they write */
    for (int i = 0; i < WRITERS; i++) {
        uv_thread_join(&writers[i].thread);
        loop_done(&writers[i].loop);
    }
    access_log_file_unref(file);
    access_log_hub_free(hub);
    /* Every line whole, each thread's in order. */
    text = file_text(NULL, f.path);
    while (*text != '\0') {
        int who;
        int n;
        int again;
        int used = 0;

        assert_int_equal(sscanf(text, "%d-%d-%d\n%n", &who, &n, &again, &used), 3);
        assert_int_equal(who, again);
        assert_int_equal(n, next[who]++);
        text += used;
        lines++;
    }
    assert_int_equal(lines, WRITERS * LINES);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_flushed_by_age),
        TEST(test_flushed_by_size),
        TEST(test_flushed_at_the_end),
        TEST(test_configuration_goes_first),
        TEST(test_one_file_per_path),
        TEST(test_cannot_open),
        TEST(test_rotation),
        TEST(test_full_disk),
        TEST(test_pipe_that_nobody_reads),
        TEST(test_line_logger),
        TEST(test_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
