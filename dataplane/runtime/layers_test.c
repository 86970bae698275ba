/* Layers: which wins, what files give, what the admin page sets and takes away. */

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataplane/event/loop.h"
#include "dataplane/event/testing.h"
#include "dataplane/runtime/layers.h"
#include "dataplane/stats/stats.h"

struct fixture {
    struct loop loop;
    struct stat_store *stats;
    struct runtime *current;
    size_t published;
    char root[64];
    struct runtime_layers *layers;
};

static void on_publish(void *ctx, struct runtime *take)
{
    struct fixture *f = ctx;

    runtime_free(f->current);
    f->current = take;
    f->published++;
}

static void write_file(const struct fixture *f, const char *name, const char *text)
{
    char path[256];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/%s", f->root, name);
    file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static void make_dir(const struct fixture *f, const char *name)
{
    char path[256];

    (void)snprintf(path, sizeof(path), "%s/%s", f->root, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void remove_tree(const char *root)
{
    char command[128];

    (void)snprintf(command, sizeof(command), "rm -r %s", root);
    assert_int_equal(system(command), 0); // NOLINT(cert-env33-c)
}

static void start(struct fixture *f, const struct runtime_config *c)
{
    f->stats = stat_store_new(0);
    assert_int_equal(loop_init(&f->loop, LOOP_MAIN_INDEX), 0);
    f->layers = runtime_layers_new(&(struct runtime_layers_params){
        .loop = &f->loop,
        .stats = f->stats,
        .config = c,
        .service_cluster = STR("cl"),
        .publish = on_publish,
        .ctx = f,
    });
}

static void stop(struct fixture *f)
{
    runtime_layers_free(f->layers);
    runtime_free(f->current);
    loop_done(&f->loop);
    stat_store_free(f->stats);
}

static struct str text_of(const struct fixture *f, const char *key)
{
    struct thread_context t = {.runtime = f->current};
    const struct runtime_value *v = runtime_get(&t, str_c(key));

    return v != NULL ? v->text : STR("(none)");
}

#define ASSERT_TEXT(f, key, wanted) assert_true(str_eq(text_of(f, key), STR(wanted)))

static struct runtime_entry entry(const char *key, const char *text)
{
    struct runtime_entry e = {.key = str_c(key)};

    runtime_value_read(str_c(text), &e.value);
    return e;
}

static void test_a_value_is_read_in_every_way_it_can_be(void **state)
{
    static const struct {
        const char *text;
        bool is_bool, boolean, is_number, is_uint, is_fraction;
        double number;
        uint32_t numerator, denominator;
    } rows[] = {
        {"true", true, true, false, false, false, 0, 0, 0},
        {" FALSE\n", true, false, false, false, false, 0, 0, 0},
        {"0", true, false, true, true, false, 0, 0, 0},
        {" 8 ", true, true, true, true, false, 8, 0, 0},
        {"-3", false, false, true, false, false, -3, 0, 0},
        {"1.5", false, false, true, false, false, 1.5, 0, 0},
        {"1e3", true, true, true, true, false, 1000, 0, 0},
        {"text", false, false, false, false, false, 0, 0, 0},
        {"", false, false, false, false, false, 0, 0, 0},
        {"numerator: 5\ndenominator: MILLION", false, false, false, false, true, 0, 5, 1000000},
        {"{\"numerator\":7}", false, false, false, false, true, 0, 7, 100},
        {"{denominator: TEN_THOUSAND, numerator: 1}", false, false, false, false, true, 0, 1,
         10000},
        {"numerator: -1", false, false, false, false, false, 0, 0, 0},
        {"numerator: 1\nother: 2", false, false, false, false, false, 0, 0, 0},
        {"numerator: 99999999999", false, false, false, false, false, 0, 0, 0},
        {"denominator: TRILLION", false, false, false, false, false, 0, 0, 0},
        {"{", false, false, false, false, false, 0, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct runtime_value v;

        runtime_value_read(str_c(rows[i].text), &v);
        assert_int_equal(v.is_bool, rows[i].is_bool);
        assert_int_equal(v.boolean, rows[i].boolean);
        assert_int_equal(v.is_number, rows[i].is_number);
        assert_int_equal(v.is_uint, rows[i].is_uint);
        assert_int_equal(v.is_fraction, rows[i].is_fraction);
        if (v.is_number) {
            assert_true(v.number == rows[i].number);
        }
        if (v.is_fraction) {
            assert_int_equal(v.numerator, rows[i].numerator);
            assert_int_equal(v.denominator, rows[i].denominator);
        }
    }
}

static void test_questions_have_defaults(void **state)
{
    const struct runtime_entry entries[] = {entry("n", "30"), entry("b", "false"),
                                            entry("f", "numerator: 1\ndenominator: MILLION"),
                                            entry("d", "0.5"), entry("t", "text")};
    const struct runtime_layer layer = {STR("one"), entries, ARRAY_LEN(entries)};
    struct runtime *r = runtime_new(&layer, 1);
    struct thread_context none = {.runtime = NULL};
    struct thread_context t = {.runtime = r};

    (void)state;
    assert_int_equal(runtime_get_u64(&none, STR("n"), 7), 7);
    assert_int_equal(runtime_get_u64(&t, STR("n"), 7), 30);
    assert_int_equal(runtime_get_u64(&t, STR("t"), 7), 7);
    assert_int_equal(runtime_get_u64(&t, STR("d"), 7), 7);
    assert_true(runtime_get_double(&t, STR("d"), 7) == 0.5);
    assert_false(runtime_get_bool(&t, STR("b"), true));
    assert_true(runtime_get_bool(&t, STR("t"), true));
    assert_true(runtime_get_bool(&t, STR(""), true));
    /* A whole number is a percentage, whatever the default's denominator. */
    assert_true(runtime_feature_enabled(&t, STR("n"), 0, 1000000, 29));
    assert_false(runtime_feature_enabled(&t, STR("n"), 1000000, 1000000, 30));
    assert_true(runtime_feature_enabled(&t, STR("f"), 0, 100, 5000000));
    assert_false(runtime_feature_enabled(&t, STR("f"), 100, 100, 1));
    assert_true(runtime_feature_enabled(&t, STR("none"), 1, 100, 100));
    runtime_free(r);
}

static void test_the_last_layer_wins(void **state)
{
    const struct runtime_entry one[] = {entry("a", "1"), entry("b", "1")};
    const struct runtime_entry two[] = {entry("b", "2")};
    const struct runtime_layer_config layers[] = {
        {.name = STR("one"), .entries = one, .entry_count = 2},
        {.name = STR("two"), .entries = two, .entry_count = 1},
    };
    struct fixture f = {.published = 0};

    (void)state;
    start(&f, &(struct runtime_config){layers, 2});
    ASSERT_TEXT(&f, "a", "1");
    ASSERT_TEXT(&f, "b", "2");
    assert_int_equal(f.published, 1);
    assert_int_equal(f.current->layer_count, 2);
    assert_true(str_eq(runtime_layer_text(&f.current->layers[0], STR("b")), STR("1")));
    stop(&f);
}

static void render(const struct admin_endpoint *e, struct fixture *f, struct admin_param *params,
                   size_t n, int wanted_status, const char *wanted_body)
{
    struct admin_request rq = {.params = params, .param_count = n, .is_post = true};
    struct admin_response rs = {.status = 200};

    strbuf_init(&rs.body);
    e->render(f->layers, &rq, &rs);
    assert_int_equal(rs.status, wanted_status);
    if (wanted_body != NULL) {
        assert_string_equal(rs.body.ptr, wanted_body);
    }
    strbuf_done(&rs.body);
}

static void test_overrides_come_and_go(void **state)
{
    const struct runtime_entry one[] = {entry("a", "1")};
    const struct runtime_layer_config layers[] = {
        {.name = STR("one"), .entries = one, .entry_count = 1},
        {.name = STR("admin"), .kind = RUNTIME_LAYER_ADMIN},
    };
    struct admin_param set[] = {{STR("a"), STR("2")}, {STR("<b>"), STR("\"")}};
    struct admin_param drop[] = {{STR("a"), STR("")}, {STR("c"), STR("")}};
    struct fixture f = {.published = 0};

    (void)state;
    start(&f, &(struct runtime_config){layers, 2});
    render(&admin_runtime_modify_endpoint, &f, set, 2, 200, "OK\n");
    ASSERT_TEXT(&f, "a", "2");
    assert_int_equal(f.published, 2);
    render(&admin_runtime_endpoint, &f, NULL, 0, 200,
           "{\n \"layers\": [\n  \"one\",\n  \"admin\"\n ],\n \"entries\": {\n"
           "  \"<b>\": {\n   \"layer_values\": [\n    \"\",\n    \"\\\"\"\n   ],\n"
           "   \"final_value\": \"\\\"\"\n  },\n"
           "  \"a\": {\n   \"layer_values\": [\n    \"1\",\n    \"2\"\n   ],\n"
           "   \"final_value\": \"2\"\n  }\n }\n}\n");
    render(&admin_runtime_modify_endpoint, &f, drop, 2, 200, "OK\n");
    ASSERT_TEXT(&f, "a", "1");
    ASSERT_TEXT(&f, "<b>", "\"");
    render(&admin_runtime_modify_endpoint, &f, NULL, 0, 400, NULL);
    stop(&f);
}

static void test_without_an_admin_layer_nothing_can_be_set(void **state)
{
    struct admin_param set[] = {{STR("a"), STR("2")}};
    struct fixture f = {.published = 0};

    (void)state;
    start(&f, &(struct runtime_config){NULL, 0});
    render(&admin_runtime_modify_endpoint, &f, set, 1, 503, "No admin layer specified");
    ASSERT_TEXT(&f, "a", "(none)");
    stop(&f);
}

static void disk_start(struct fixture *f, struct runtime_layer_config *layer,
                       struct runtime_config *c)
{
    static char link[80];

    (void)snprintf(f->root, sizeof(f->root), "/tmp/runtime_layers_XXXXXX");
    assert_non_null(mkdtemp(f->root));
    make_dir(f, "v1");
    make_dir(f, "v1/sub");
    write_file(f, "v1/plain", "5\n");
    write_file(f, "v1/sub/text", "# comment\none\n\ntwo \n# end\n");
    write_file(f, "v1/empty", "");
    (void)snprintf(link, sizeof(link), "%s/current", f->root);
    assert_int_equal(symlink("v1", link), 0);
    *layer = (struct runtime_layer_config){
        .name = STR("disk"), .kind = RUNTIME_LAYER_DISK, .symlink_root = str_c(link)};
    *c = (struct runtime_config){layer, 1};
    start(f, c);
}

static void test_files_are_values_and_a_swapped_link_is_seen(void **state)
{
    struct runtime_layer_config layer;
    struct runtime_config c;
    struct fixture f = {.published = 0};
    char old[96];
    char new[96];

    (void)state;
    disk_start(&f, &layer, &c);
    ASSERT_TEXT(&f, "plain", "5");
    ASSERT_TEXT(&f, "sub.text", "one\ntwo");
    ASSERT_TEXT(&f, "empty", "");
    make_dir(&f, "v2");
    write_file(&f, "v2/plain", "6");
    (void)snprintf(old, sizeof(old), "%s/next", f.root);
    (void)snprintf(new, sizeof(new), "%s/current", f.root);
    assert_int_equal(symlink("v2", old), 0);
    assert_int_equal(rename(old, new), 0);
    LOOP_WAIT(&f.loop, str_eq(text_of(&f, "plain"), STR("6")));
    ASSERT_TEXT(&f, "sub.text", "(none)");
    stop(&f);
    remove_tree(f.root);
}

static void test_a_directory_that_is_not_there_is_no_layer(void **state)
{
    const struct runtime_layer_config layer = {.name = STR("disk"),
                                               .kind = RUNTIME_LAYER_DISK,
                                               .symlink_root = STR("/nonexistent/x"),
                                               .append_service_cluster = true};
    struct fixture f = {.published = 0};

    (void)state;
    start(&f, &(struct runtime_config){&layer, 1});
    assert_int_equal(f.current->layer_count, 0);
    stop(&f);
}

static void test_a_tree_that_is_too_deep_is_left_out(void **state)
{
    struct runtime_layer_config layer;
    struct runtime_config c;
    struct fixture f = {.published = 0};
    char path[128] = "v1";

    (void)state;
    disk_start(&f, &layer, &c);
    stop(&f);
    for (int i = 0; i < 17; i++) {
        size_t len = strlen(path);

        (void)snprintf(path + len, sizeof(path) - len, "/d");
        make_dir(&f, path);
    }
    f.current = NULL;
    start(&f, &c);
    assert_int_equal(f.current->layer_count, 0);
    stop(&f);
    remove_tree(f.root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_value_is_read_in_every_way_it_can_be),
        cmocka_unit_test(test_questions_have_defaults),
        cmocka_unit_test(test_the_last_layer_wins),
        cmocka_unit_test(test_overrides_come_and_go),
        cmocka_unit_test(test_without_an_admin_layer_nothing_can_be_set),
        cmocka_unit_test(test_files_are_values_and_a_swapped_link_is_seen),
        cmocka_unit_test(test_a_directory_that_is_not_there_is_no_layer),
        cmocka_unit_test(test_a_tree_that_is_too_deep_is_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
