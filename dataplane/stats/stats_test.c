/* Scopes, cells of several threads, the ordered visit, tags, and resets. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>

#include "dataplane/stats/stats.h"

#define MAIN (-1)

enum { RQ_TOTAL, RQ_ACTIVE, RQ_TIME, RQ_CODE, RQ_2XX, VERSION, RQ_SIZE, FIELDS };

static const struct stat_def defs[] = {
    [RQ_TOTAL] = {"upstream_rq_total", STAT_COUNTER},
    [RQ_ACTIVE] = {"upstream_rq_active", STAT_GAUGE},
    [RQ_TIME] = {"upstream_rq_time", STAT_HISTOGRAM},
    [RQ_CODE] = {"upstream_rq_", STAT_CODE_RANGE},
    [RQ_2XX] = {"upstream_rq_2xx", STAT_COUNTER},
    [VERSION] = {"version", STAT_TEXT},
    [RQ_SIZE] = {"upstream_rq_size", STAT_COUNTER},
};

static const struct stat_schema cluster_schema = {.defs = defs, .count = FIELDS};
static const struct stat_schema shown_schema = {
    .defs = defs, .count = FIELDS, .shown_untouched = true};

static struct stat_scope *cluster_ref(struct stat_store *s, const char *prefix, const char *name)
{
    return stat_scope_ref(s, &(struct stat_scope_spec){
                                 .prefix = str_c(prefix),
                                 .tagged_prefix = STR("cluster."),
                                 .tags = {{STR("envoy.cluster_name"), str_c(name)}},
                                 .tag_count = 1,
                                 .schema = &cluster_schema,
                             });
}

static struct stat_scope *plain_ref(struct stat_store *s, const char *prefix,
                                    const struct stat_schema *schema)
{
    return stat_scope_ref(s, &(struct stat_scope_spec){.prefix = str_c(prefix),
                                                       .tagged_prefix = str_c(prefix),
                                                       .schema = schema});
}

/* Writes "name=value" lines; how every test looks at the store. */
static void dump_one(void *user, const struct stat_sample *s)
{
    struct strbuf *out = user;

    strbuf_add_str(out, s->name);
    if (s->kind == STAT_TEXT) {
        strbuf_addf(out, "=\"%.*s\"", STR_ARG(s->text));
    } else if (s->kind == STAT_HISTOGRAM) {
        strbuf_addf(out, "=h%d", (int)histogram_count(s->histogram));
    } else {
        strbuf_addf(out, "=%lld", (long long)s->value);
    }
    strbuf_add_c(out, s->is_used ? "\n" : " unused\n");
}

static void dump_tags_one(void *user, const struct stat_sample *s)
{
    struct strbuf *out = user;

    strbuf_addf(out, "%.*s", STR_ARG(s->tagged_name));
    for (size_t i = 0; i < s->tag_count; i++) {
        strbuf_addf(out, " %.*s=%.*s", STR_ARG(s->tags[i].name), STR_ARG(s->tags[i].value));
    }
    strbuf_add_char(out, '\n');
}

static void assert_visit(struct stat_store *s, stat_visit_fn *visit, const char *want)
{
    struct strbuf out;

    strbuf_init(&out);
    strbuf_add_c(&out, "");
    stat_store_visit(s, visit, &out);
    assert_string_equal(out.ptr, want);
    strbuf_done(&out);
}

static void test_untouched_shows_nothing_unless_the_schema_says_so(void **state)
{
    struct stat_store *s = stat_store_new(2);

    assert_visit(s, dump_one, "");
    (void)cluster_ref(s, "cluster.a.", "a");
    assert_visit(s, dump_one, "");
    (void)plain_ref(s, "server.", &shown_schema);
    assert_visit(s, dump_one,
                 "server.upstream_rq_2xx=0 unused\nserver.upstream_rq_active=0 unused\n"
                 "server.upstream_rq_size=0 unused\nserver.upstream_rq_time=h0 unused\n"
                 "server.upstream_rq_total=0 unused\nserver.version=\"\" unused\n");
    stat_store_free(s);
    stat_store_free(NULL);
}

static void test_sums_over_threads(void **state)
{
    struct stat_store *s = stat_store_new(2);
    struct stat_scope *scope = cluster_ref(s, "cluster.a.", "a");
    struct stat_block *w0 = stat_scope_block(scope, 0);
    struct stat_block *w1 = stat_scope_block(scope, 1);
    uint64_t value;

    assert_ptr_equal(stat_scope_block(scope, 0), w0);
    assert_ptr_not_equal(w0, w1);
    stat_inc(w0, RQ_TOTAL);
    stat_add(w1, RQ_TOTAL, 5);
    stat_inc(w0, RQ_ACTIVE);
    stat_dec(w1, RQ_ACTIVE); /* begun there, ended here: the sum counts */
    stat_dec(w1, RQ_ACTIVE);
    stat_record(w0, RQ_TIME, 3);
    stat_record(w1, RQ_TIME, 4);
    stat_inc_code(w0, RQ_CODE, 200);
    stat_inc_code(w1, RQ_CODE, 200);
    stat_inc_code(w1, RQ_CODE, 503);
    stat_inc_code(w1, RQ_CODE, 99);
    stat_inc_code(w1, RQ_CODE, 600);
    stat_inc(w0, RQ_2XX);
    stat_set(stat_scope_block(scope, MAIN), RQ_SIZE, 0); /* touched, though zero */
    stat_set_text(scope, VERSION, STR("v1"));
    stat_set_text(scope, VERSION, STR("v2"));
    assert_int_equal(stat_scope_value(scope, RQ_TOTAL), 6);
    assert_true((int64_t)stat_scope_value(scope, RQ_ACTIVE) == -1);
    assert_true(stat_scope_code(scope, RQ_CODE, 200, &value) && value == 2);
    assert_false(stat_scope_code(scope, RQ_CODE, 201, &value));
    assert_false(stat_scope_code(scope, RQ_CODE, 0, &value));
    assert_visit(s, dump_one,
                 "cluster.a.upstream_rq_200=2\ncluster.a.upstream_rq_2xx=1\n"
                 "cluster.a.upstream_rq_503=1\ncluster.a.upstream_rq_active=0\n"
                 "cluster.a.upstream_rq_size=0\ncluster.a.upstream_rq_time=h2\n"
                 "cluster.a.upstream_rq_total=6\ncluster.a.version=\"v2\"\n");
    stat_store_free(s);
}

static void test_tags_are_taken_out_of_names(void **state)
{
    struct stat_store *s = stat_store_new(0);
    struct stat_block *b = stat_scope_block(cluster_ref(s, "cluster.a_b.", "a:b"), MAIN);

    stat_inc_code(b, RQ_CODE, 404);
    stat_inc(b, RQ_2XX);
    stat_inc(b, RQ_SIZE);
    stat_inc(stat_scope_block(plain_ref(s, "listener_manager.", &cluster_schema), MAIN), RQ_TOTAL);
    assert_visit(s, dump_tags_one,
                 "cluster.upstream_rq_xx envoy.response_code_class=2 envoy.cluster_name=a:b\n"
                 "cluster.upstream_rq envoy.response_code=404 envoy.cluster_name=a:b\n"
                 "cluster.upstream_rq_size envoy.cluster_name=a:b\n"
                 "listener_manager.upstream_rq_total\n");
    stat_store_free(s);
}

static void test_families_are_tags(void **state)
{
    static const struct stat_def family_defs[] = {{"versions.TLSv1.2", STAT_COUNTER},
                                                  {"versions", STAT_COUNTER}};
    static const struct stat_family families[] = {{"versions.", "envoy.ssl_version"}, {NULL, NULL}};
    static const struct stat_schema schema = {
        .defs = family_defs, .count = 2, .shown_untouched = true, .families = families};
    struct stat_store *s = stat_store_new(0);

    (void)plain_ref(s, "ssl.", &schema);
    assert_visit(s, dump_tags_one, "ssl.versions\nssl.versions envoy.ssl_version=TLSv1.2\n");
    stat_store_free(s);
}

static void test_large_gauges_are_not_below_zero(void **state)
{
    struct stat_store *s = stat_store_new(0);
    struct stat_block *b = stat_scope_block(plain_ref(s, "a.", &cluster_schema), MAIN);

    stat_set(b, RQ_ACTIVE, 13237225503670494420u);
    assert_visit(s, dump_one, "a.upstream_rq_active=-5209518570039057196\n"); /* all 64 bits */
    stat_set(b, RQ_ACTIVE, (uint64_t)-3);
    assert_visit(s, dump_one, "a.upstream_rq_active=0\n");
    stat_store_free(s);
}

static void test_one_thread_alone_and_what_follows_it(void **state)
{
    struct stat_store *s = stat_store_new(2);
    struct stat_scope *scope = plain_ref(s, "a.", &cluster_schema);
    struct stat_block *b = stat_scope_block(plain_ref(s, "b.", &cluster_schema), MAIN);

    stat_add(stat_scope_block(scope, 1), RQ_TOTAL, 4);
    stat_inc(stat_scope_block(scope, MAIN), RQ_TOTAL);
    assert_int_equal(stat_scope_thread_value(scope, MAIN, RQ_TOTAL), 1);
    assert_int_equal(stat_scope_thread_value(scope, 0, RQ_TOTAL), 0);
    assert_int_equal(stat_scope_thread_value(scope, 1, RQ_TOTAL), 4);
    stat_follow(b, RQ_2XX, 0); /* as it was: stays unused */
    stat_follow(b, RQ_TOTAL, 4);
    stat_scope_unref(scope);
    assert_visit(s, dump_one, "b.upstream_rq_total=4\n");
    stat_store_free(s);
}

/* Prefixes that contain each other interleave. */
static void test_visit_is_sorted_by_full_name(void **state)
{
    static const char *const prefixes[] = {"",
                                           "upstream_rq_t",
                                           "upstream_rq_total.",
                                           "cluster.b.",
                                           "cluster.",
                                           "a.",
                                           "cluster.b.upstream_rq_u.",
                                           "zz"};
    struct stat_store *s = stat_store_new(1);
    struct strbuf out;
    struct str rest;
    struct str line;
    struct str last = STR("");
    size_t lines = 0;

    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
        struct stat_block *b = stat_scope_block(plain_ref(s, prefixes[i], &cluster_schema), 0);

        stat_inc(b, RQ_TOTAL);
        stat_inc_code(b, RQ_CODE, 301);
        stat_inc(b, RQ_2XX);
        (void)plain_ref(s, prefixes[i], &shown_schema); /* same prefix, other schema */
    }
    strbuf_init(&out);
    stat_store_visit(s, dump_one, &out);
    rest = strbuf_str(&out);
    while (str_split(&rest, '\n', &line) && line.len > 0) {
        struct str name = str_sub(line, 0, str_find_char(line, '='));

        assert_true(str_cmp(last, name) <= 0);
        last = name;
        lines++;
    }
    /* A worker counts in each: zeros are shown too (6 members and one code); so are those of the
     * schema that always shows them. */
    assert_int_equal(lines, ARRAY_LEN(prefixes) * (7 + 6));
    strbuf_done(&out);
    stat_store_free(s);
}

static void test_scopes_are_counted_and_go_with_the_last_one(void **state)
{
    struct stat_store *s = stat_store_new(1);
    struct stat_scope *a = cluster_ref(s, "cluster.a.", "a");
    struct stat_block *b;

    assert_ptr_equal(cluster_ref(s, "cluster.a.", "a"), a);
    assert_ptr_not_equal(plain_ref(s, "cluster.a.", &shown_schema), a);
    b = stat_scope_block(a, 0);
    stat_inc(b, RQ_TOTAL);
    stat_record(b, RQ_TIME, 1);
    stat_inc_code(b, RQ_CODE, 500);
    stat_set_text(a, VERSION, STR("x"));
    stat_scope_unref(a);
    assert_int_equal(stat_scope_value(a, RQ_TOTAL), 1);
    stat_scope_unref(a);
    stat_scope_unref(plain_ref(s, "cluster.a.", &shown_schema));
    stat_scope_unref(NULL);
    assert_int_equal(stat_scope_value(cluster_ref(s, "cluster.a.", "a"), RQ_TOTAL), 0);
    for (int i = 0; i < 1000; i++) { /* the table grows under them */
        char prefix[32];

        (void)snprintf(prefix, sizeof(prefix), "cluster.%d.", i);
        stat_inc(stat_scope_block(cluster_ref(s, prefix, "x"), MAIN), RQ_TOTAL);
    }
    for (int i = 0; i < 1000; i++) {
        char prefix[32];
        struct stat_scope *scope;

        (void)snprintf(prefix, sizeof(prefix), "cluster.%d.", i);
        scope = cluster_ref(s, prefix, "x");
        assert_int_equal(stat_scope_value(scope, RQ_TOTAL), 1);
        stat_scope_unref(scope);
        stat_scope_unref(scope);
    }
    stat_store_free(s);
}

static void test_cells_made_before_their_scope_are_adopted(void **state)
{
    static const struct stat_schema singly = {.defs = defs, .count = FIELDS, .shown_singly = true};
    struct stat_store *s = stat_store_new(1);
    struct stat_block *early = stat_block_new(&singly);
    struct stat_block *other = stat_block_new(&singly);
    struct stat_scope *scope;

    stat_inc(early, RQ_TOTAL);
    stat_record(early, RQ_TIME, 5);
    scope = plain_ref(s, "named.", &singly);
    assert_visit(s, dump_one, "");
    stat_scope_adopt(scope, early);
    stat_scope_adopt(scope, other);
    stat_inc(stat_scope_block(scope, 0), RQ_TOTAL);
    stat_add(other, RQ_TOTAL, 3);
    stat_record(other, RQ_TIME, 6);
    stat_inc_code(other, RQ_CODE, 200);
    /* Untouched members are not shown. */
    assert_visit(s, dump_one,
                 "named.upstream_rq_200=1\nnamed.upstream_rq_time=h2\nnamed.upstream_rq_total=5\n");
    stat_store_reset_counters(s);
    assert_int_equal(stat_scope_value(scope, RQ_TOTAL), 0);
    stat_inc(early, RQ_TOTAL);
    assert_int_equal(stat_scope_value(scope, RQ_TOTAL), 1);
    stat_scope_unref(scope);
    assert_visit(s, dump_one, "");
    stat_block_free(stat_block_new(&singly), &singly);
    stat_store_free(s);
}

static void test_reset_brings_counters_to_zero_and_keeps_the_rest(void **state)
{
    struct stat_store *s = stat_store_new(1);
    struct stat_scope *scope = cluster_ref(s, "cluster.a.", "a");
    struct stat_block *b = stat_scope_block(scope, 0);

    (void)cluster_ref(s, "cluster.untouched.", "untouched");
    stat_add(b, RQ_TOTAL, 7);
    stat_set(b, RQ_ACTIVE, 3);
    stat_inc_code(b, RQ_CODE, 200);
    stat_record(b, RQ_TIME, 1);
    stat_store_reset_counters(s);
    assert_visit(s, dump_one,
                 "cluster.a.upstream_rq_200=0\ncluster.a.upstream_rq_2xx=0 unused\n"
                 "cluster.a.upstream_rq_active=3\ncluster.a.upstream_rq_size=0 unused\n"
                 "cluster.a.upstream_rq_time=h1\ncluster.a.upstream_rq_total=0\n"
                 "cluster.a.version=\"\" unused\n");
    stat_inc(b, RQ_TOTAL);
    stat_inc_code(b, RQ_CODE, 200);
    assert_int_equal(stat_scope_value(scope, RQ_TOTAL), 1);
    stat_store_reset_counters(s);
    assert_int_equal(stat_scope_value(scope, RQ_TOTAL), 0);
    stat_store_free(s);
}

/* --- Threads
 * -------------------------------------------------------------------------------------- */

#define WORKERS 3
#define ROUNDS 3000

/* "total/interval" of each histogram. */
static void dump_intervals_one(void *user, const struct stat_sample *s)
{
    if (s->kind == STAT_HISTOGRAM) {
        strbuf_addf(user, "%.*s=%d/%d\n", STR_ARG(s->name), (int)histogram_count(s->histogram),
                    s->interval != NULL ? (int)histogram_count(s->interval) : 0);
    }
}

static void test_intervals_of_histograms(void **state)
{
    struct stat_store *s = stat_store_new(2);
    struct stat_scope *scope = cluster_ref(s, "cluster.a.", "a");
    struct stat_scope *other = cluster_ref(s, "cluster.b.", "b");
    struct stat_block *adopted = stat_block_new(&cluster_schema);

    (void)state;
    stat_store_end_interval(s); /* nothing is touched: nothing is kept */
    stat_record(stat_scope_block(scope, 0), RQ_TIME, 5);
    stat_record(stat_scope_block(scope, 1), RQ_TIME, 7);
    assert_visit(s, dump_intervals_one, "cluster.a.upstream_rq_time=2/0\n");
    stat_store_end_interval(s);
    assert_visit(s, dump_intervals_one, "cluster.a.upstream_rq_time=2/2\n");
    /* The interval that is going on is not shown, what came in it is in the total. */
    stat_record(stat_scope_block(scope, 1), RQ_TIME, 7);
    stat_record(adopted, RQ_TIME, 70);
    stat_scope_adopt(scope, adopted);
    stat_record(stat_scope_block(other, 1), RQ_TIME, 1);
    assert_visit(s, dump_intervals_one,
                 "cluster.a.upstream_rq_time=4/2\ncluster.b.upstream_rq_time=1/0\n");
    stat_store_end_interval(s);
    assert_visit(s, dump_intervals_one,
                 "cluster.a.upstream_rq_time=4/2\ncluster.b.upstream_rq_time=1/1\n");
    stat_scope_unref(scope);
    stat_store_end_interval(s);
    assert_visit(s, dump_intervals_one, "cluster.b.upstream_rq_time=1/0\n");
    stat_scope_unref(other);
    stat_store_free(s);
}

struct worker {
    pthread_t thread;
    struct stat_scope **scopes;
    int index;
};

#define SHARED_SCOPES 8

static void *worker_main(void *arg)
{
    struct worker *w = arg;

    for (int i = 0; i < ROUNDS; i++) {
        struct stat_block *b = stat_scope_block(w->scopes[i % SHARED_SCOPES], w->index);

        stat_inc(b, RQ_TOTAL);
        stat_inc_code(b, RQ_CODE, (unsigned)(100 + i % 500));
        stat_record(b, RQ_TIME, (uint64_t)i * (uint64_t)i);
    }
    return NULL;
}

static void test_workers_write_while_main_reads_and_resets(void **state)
{
    struct stat_store *s = stat_store_new(WORKERS);
    struct stat_scope *scopes[SHARED_SCOPES];
    struct worker workers[WORKERS];
    uint64_t total = 0;
    struct strbuf out;

    for (int i = 0; i < SHARED_SCOPES; i++) {
        char prefix[32];

        (void)snprintf(prefix, sizeof(prefix), "cluster.%d.", i);
        scopes[i] = cluster_ref(s, prefix, "x");
    }
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.scopes = scopes, .index = i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]), 0);
    }
    strbuf_init(&out);
    for (int i = 0; i < 10; i++) {
        strbuf_reset(&out);
        stat_store_visit(s, dump_one, &out);
        stat_store_end_interval(s);
        for (int k = 0; k < SHARED_SCOPES; k++) {
            total += stat_scope_value(scopes[k], RQ_TOTAL);
        }
    }
    for (int i = 0; i < WORKERS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
    }
    total = 0;
    for (int k = 0; k < SHARED_SCOPES; k++) {
        total += stat_scope_value(scopes[k], RQ_TOTAL);
    }
    assert_int_equal(total, WORKERS * ROUNDS);
    stat_store_reset_counters(s);
    for (int k = 0; k < SHARED_SCOPES; k++) {
        assert_int_equal(stat_scope_value(scopes[k], RQ_TOTAL), 0);
    }
    strbuf_done(&out);
    stat_store_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_untouched_shows_nothing_unless_the_schema_says_so),
        cmocka_unit_test(test_sums_over_threads),
        cmocka_unit_test(test_tags_are_taken_out_of_names),
        cmocka_unit_test(test_families_are_tags),
        cmocka_unit_test(test_large_gauges_are_not_below_zero),
        cmocka_unit_test(test_one_thread_alone_and_what_follows_it),
        cmocka_unit_test(test_visit_is_sorted_by_full_name),
        cmocka_unit_test(test_scopes_are_counted_and_go_with_the_last_one),
        cmocka_unit_test(test_cells_made_before_their_scope_are_adopted),
        cmocka_unit_test(test_intervals_of_histograms),
        cmocka_unit_test(test_reset_brings_counters_to_zero_and_keeps_the_rest),
        cmocka_unit_test(test_workers_write_while_main_reads_and_resets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
