/* Series that gRPC traffic names: what they are called, their bounds, and threads that name them
 * while main looks. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "dataplane/upstream/cluster_registry.h"
#include "dataplane/upstream/grpc_series.h"
#include "dataplane/upstream/testing.h"

static struct stat_block *series(struct upstream_testing *u, enum grpc_family family,
                                 const char *service, const char *method)
{
    return cluster_grpc_series(cluster_manager_get(u->thread.clusters, 0), family,
                               &(struct grpc_method){str_c(service), str_c(method)}, false);
}

static void set_up(struct upstream_testing *u)
{
    upstream_testing_init(u);
    upstream_testing_put_cluster(u, 0, testing_cluster("c", 0));
}

static void assert_path(const char *path, const char *service, const char *method)
{
    struct grpc_method m;

    if (service == NULL) {
        assert_false(grpc_method_of_path(str_c(path), &m));
        return;
    }
    assert_true(grpc_method_of_path(str_c(path), &m));
    assert_true(str_eq(m.service, str_c(service)));
    assert_true(str_eq(m.method, str_c(method)));
}

static void paths_of_two_segments_are_methods(void **state)
{
    (void)state;
    assert_path("/pkg.Svc/Meth", "pkg.Svc", "Meth");
    assert_path("//a//b/", "a", "b");
    assert_path("/a/b?c/d", "a", "b");
    assert_path("a/b", "a", "b");
    assert_path("/a", NULL, NULL);
    assert_path("/a?/b", NULL, NULL);
    assert_path("/a/b/c", NULL, NULL);
    assert_path("/", NULL, NULL);
    assert_path("", NULL, NULL);
}

static void counts_are_not_lost_before_main_looks(void **state)
{
    struct upstream_testing u;
    struct stat_block *b;

    (void)state;
    set_up(&u);
    b = series(&u, GRPC_FAMILY_GRPC, "pkg.Svc", "Meth");
    grpc_series_count_status(b, STR("0"));
    grpc_series_count_status(b, STR("7"));
    grpc_series_count_status(b, STR("42")); /* gRPC does not know it */
    grpc_series_count_status(b, STR("00"));
    assert_ptr_equal(series(&u, GRPC_FAMILY_GRPC, "pkg.Svc", "Meth"), b);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.grpc.pkg.Svc.Meth.total"), 4);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.grpc.pkg.Svc.Meth.success"), 1);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.grpc.pkg.Svc.Meth.failure"), 3);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.grpc.pkg.Svc.Meth.7"), 1);
    stat_inc(b, GRPC_REQUEST_MESSAGE_COUNT); /* and goes on counting in the same cells */
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.grpc.pkg.Svc.Meth.request_message_count"),
                     1);
    upstream_testing_done(&u);
}

static void series_go_on_in_the_next_version(void **state)
{
    struct upstream_testing u;
    struct stat_block *b;

    (void)state;
    set_up(&u);
    b = series(&u, GRPC_FAMILY_GRPC, "s", "m");
    stat_inc(b, GRPC_TOTAL);
    upstream_testing_put_cluster(&u, 0, testing_cluster("c", 0));
    assert_ptr_equal(series(&u, GRPC_FAMILY_GRPC, "s", "m"), b);
    stat_inc(b, GRPC_TOTAL);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.grpc.s.m.total"), 2);
    upstream_testing_put_cluster(&u, 0, NULL);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.grpc.s.m.total"), 0);
    upstream_testing_done(&u);
}

static void families_and_nameless_series_are_apart(void **state)
{
    struct upstream_testing u;

    (void)state;
    set_up(&u);
    stat_inc(series(&u, GRPC_FAMILY_GRPC, "s", "m"), GRPC_TOTAL);
    stat_add(series(&u, GRPC_FAMILY_GRPC_WEB, "s", "m"), GRPC_TOTAL, 2);
    stat_add(series(&u, GRPC_FAMILY_GRPC, "", ""), GRPC_TOTAL, 3);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.grpc.s.m.total"), 1);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.grpc-web.s.m.total"), 2);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.grpc.total"), 3);
    upstream_testing_done(&u);
}

static void dots_are_replaced_in_the_service_alone(void **state)
{
    struct upstream_testing u;

    (void)state;
    set_up(&u);
    stat_inc(cluster_grpc_series(cluster_manager_get(u.thread.clusters, 0), GRPC_FAMILY_GRPC,
                                 &(struct grpc_method){STR("p.q.S"), STR("M.x")}, true),
             GRPC_TOTAL);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.grpc.p_q_S.M.x.total"), 1);
    upstream_testing_done(&u);
}

/* Tags of a sample, as "tagged name|method|service|cluster". */
struct tag_search {
    const char *name;
    struct strbuf found;
};

static void tag_search_visit(void *user, const struct stat_sample *s)
{
    struct tag_search *search = user;

    if (str_eq(s->name, str_c(search->name))) {
        strbuf_add_str(&search->found, s->tagged_name);
        for (size_t i = 0; i < s->tag_count; i++) {
            strbuf_addf(&search->found, "|%.*s", STR_ARG(s->tags[i].value));
        }
    }
}

static void assert_tags(struct upstream_testing *u, const char *name, const char *want)
{
    struct tag_search search = {.name = name};

    strbuf_init(&search.found);
    cluster_registry_refresh_stats(u->registry);
    stat_store_visit(u->stats, tag_search_visit, &search);
    strbuf_add_char(&search.found, '\0');
    assert_string_equal(search.found.ptr, want);
    strbuf_done(&search.found);
}

/* Each expectation seen in Envoy's /stats/prometheus. */
static void tags_are_the_first_two_segments(void **state)
{
    struct upstream_testing u;

    (void)state;
    set_up(&u);
    stat_inc(series(&u, GRPC_FAMILY_GRPC, "S", "M"), GRPC_TOTAL);
    stat_inc(series(&u, GRPC_FAMILY_GRPC, "pkg.Svc", "Meth"), GRPC_TOTAL);
    stat_inc(series(&u, GRPC_FAMILY_GRPC, "", ""), GRPC_TOTAL);
    stat_inc(series(&u, GRPC_FAMILY_GRPC_WEB, "p.S", "M"), GRPC_TOTAL);
    assert_tags(&u, "cluster.c.grpc.S.M.total", "cluster.grpc.total|M|S|c");
    assert_tags(&u, "cluster.c.grpc.pkg.Svc.Meth.total", "cluster.grpc.Meth.total|Svc|pkg|c");
    assert_tags(&u, "cluster.c.grpc.total", "cluster.grpc.total|c");
    assert_tags(&u, "cluster.c.grpc-web.p.S.M.total", "cluster.grpc-web.p.S.M.total|c");
    upstream_testing_done(&u);
}

static void count_series(void *user, const struct stat_sample *s)
{
    *(size_t *)user += str_starts(s->name, STR("cluster.c.grpc."));
}

/* A client that invents names makes no more than a thousand. */
static void names_are_bounded(void **state)
{
    struct upstream_testing u;
    struct strbuf long_name;
    size_t count = 0;
    char name[16];

    (void)state;
    set_up(&u);
    for (int i = 0; i < GRPC_SERIES_MAX + 500; i++) {
        (void)snprintf(name, sizeof(name), "m%d", i);
        stat_inc(series(&u, GRPC_FAMILY_GRPC, "s", name), GRPC_TOTAL);
    }
    cluster_registry_refresh_stats(u.registry);
    stat_store_visit(u.stats, count_series, &count);
    assert_int_equal(count, GRPC_SERIES_MAX + 1);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.grpc.total"), 500);
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.grpc.s.m999.total"), 1);
    upstream_testing_done(&u);

    set_up(&u);
    strbuf_init(&long_name);
    for (int i = 0; i < GRPC_NAMES_MAX; i++) {
        strbuf_add_char(&long_name, 'x');
    }
    strbuf_add_char(&long_name, '\0');
    stat_inc(series(&u, GRPC_FAMILY_GRPC, long_name.ptr, "m"), GRPC_TOTAL);
    stat_inc(series(&u, GRPC_FAMILY_GRPC, "m", long_name.ptr), GRPC_TOTAL);
    stat_inc(series(&u, GRPC_FAMILY_GRPC, "s", "\xc3\xa4"), GRPC_TOTAL);
    stat_inc(series(&u, GRPC_FAMILY_GRPC, "s", "a b"), GRPC_TOTAL);
    stat_inc(series(&u, GRPC_FAMILY_GRPC, "s", long_name.ptr + 2), GRPC_TOTAL); /* just fits */
    assert_int_equal(upstream_testing_stat(&u, "cluster.c.grpc.total"), 4);
    strbuf_done(&long_name);
    upstream_testing_done(&u);
}

/* --- threads ---------------------------------------------------------------------------------- */

enum { THREADS = 2, METHODS = 200, ROUNDS = 50 };

struct counter_thread {
    pthread_t thread;
    struct cluster_shared *shared;
    size_t index;
    _Atomic(int) *running;
};

static void *counter_run(void *arg)
{
    struct counter_thread *t = arg;

    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < METHODS; i++) {
            char name[16];
            int n = snprintf(name, sizeof(name), "m%d", i);
            struct grpc_method m = {STR("s"), str_n(name, (size_t)n)};
            struct stat_block *b = grpc_series_set_get(cluster_shared_grpc(t->shared), t->index,
                                                       GRPC_FAMILY_GRPC, &m, false);

            stat_inc(b, GRPC_TOTAL);
            stat_record(b, GRPC_UPSTREAM_RQ_TIME, 1);
        }
    }
    atomic_fetch_sub(t->running, 1);
    return NULL;
}

static void threads_name_series_while_main_looks(void **state)
{
    struct stat_store *stats = stat_store_new(THREADS);
    const struct thread_context main = {0};
    struct cluster_registry *registry = cluster_registry_new(stats, &main);
    struct cluster_config *c = testing_cluster("c", 0);
    struct snapshot_change change = {.kind = PART_CLUSTER, .after = &c->part};
    struct counter_thread threads[THREADS];
    _Atomic(int) running = THREADS;
    size_t count = 0;

    (void)state;
    cluster_registry_apply(registry, &change);
    for (size_t i = 0; i < THREADS; i++) {
        threads[i] =
            (struct counter_thread){.shared = c->shared, .index = i + 1, .running = &running};
        assert_int_equal(pthread_create(&threads[i].thread, NULL, counter_run, &threads[i]), 0);
    }
    while (atomic_load(&running) > 0) {
        cluster_registry_refresh_stats(registry);
        stat_store_visit(stats, count_series, &count);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i].thread, NULL), 0);
    }
    cluster_registry_refresh_stats(registry);
    {
        struct upstream_testing u = {.registry = registry, .stats = stats};

        assert_int_equal(upstream_testing_stat(&u, "cluster.c.grpc.s.m0.total"), THREADS * ROUNDS);
        assert_int_equal(upstream_testing_stat(&u, "cluster.c.grpc.s.m199.total"),
                         THREADS * ROUNDS);
    }
    cluster_registry_clear(registry);
    part_unref(&c->part);
    cluster_registry_free(registry);
    stat_store_free(stats);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_of_two_segments_are_methods),
        cmocka_unit_test(counts_are_not_lost_before_main_looks),
        cmocka_unit_test(series_go_on_in_the_next_version),
        cmocka_unit_test(families_and_nameless_series_are_apart),
        cmocka_unit_test(dots_are_replaced_in_the_service_alone),
        cmocka_unit_test(tags_are_the_first_two_segments),
        cmocka_unit_test(names_are_bounded),
        cmocka_unit_test(threads_name_series_while_main_looks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
