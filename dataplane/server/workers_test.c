/*
 * Publication and reclamation across threads: main takes random updates from fake_ads, three
 * workers apply every version, and on each a reader walks what is published as streams do, and
 * keeps some of it pinned across versions. In the end every worker has what main has, and nothing
 * is left over. Under TSan and under ASan.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "config/store_world.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/extensions/registry.h"
#include "dataplane/server/listener_manager.h"
#include "dataplane/server/publish.h"
#include "dataplane/server/worker.h"
#include "dataplane/stats/stats.h"
#include "dataplane/upstream/cluster_registry.h"
#include "dataplane/upstream/upstream.h"
#include "xds/client.h"

#define N_WORKERS 3
#define N_UPDATES 600
#define N_CLUSTERS 6
#define N_TABLES 4
#define N_LISTENERS 3
#define N_PINS 16

/* One worker's share of the traffic. Its fields are that thread's while it runs. */
struct reader {
    struct post start;
    struct post stop;
    struct timer timer;
    struct worker *worker;
    struct rng rng;
    struct part_handle *pins[N_PINS];
    uint64_t read; /* so that nothing is optimised away */
    uintptr_t view;
};

struct process {
    struct loop loop;
    struct stat_store *stats;
    struct thread_context context;
    size_t listener_versions;
    size_t sockets_closed;
    int stops_done;
    struct part_table parts;
    struct part_releaser releaser;
    struct cluster_registry *registry;
    struct listener_manager *listeners;
    struct fake_ads *ads;
    struct xds_client *xds;
    struct config_store *store;
    struct worker *workers;
    struct reader readers[N_WORKERS];
    struct rng rng;
    struct timer timer;
    unsigned updates;
    unsigned difference;
};

static struct process pr;

/* --- main, as server.c wires it -------------------------------------------------------------- */

static void release_part(struct part_releaser *r, const struct part *p)
{
    (void)r;
    part_unref(p);
}

static void publish(void *ctx, struct snapshot *take)
{
    struct listener_version **listeners =
        xcalloc(take->change_count, sizeof(struct listener_version *));

    (void)ctx;
    for (size_t i = 0; i < take->change_count; i++) {
        const struct snapshot_change *c = &take->changes[i];

        cluster_registry_apply(pr.registry, c);
        if (c->kind == PART_LISTENER) {
            if (c->after != NULL) {
                listeners[i] = listener_manager_publish(pr.listeners,
                                                        (const struct listener_config *)c->after);
            }
            continue;
        }
        part_ref(c->after);
        part_table_apply(&pr.parts, pr.context.clusters, c);
    }
    publication_send(take, listeners, pr.workers, N_WORKERS, &pr.loop);
}

static int prepare_listener(void *ctx, const struct listener_config *l,
                            const struct listener_config *before, struct error *reterr)
{
    (void)ctx;
    return listener_manager_prepare(pr.listeners, l, before, reterr);
}

static void discard_listener(void *ctx, const struct listener_config *l)
{
    (void)ctx;
    listener_manager_discard(pr.listeners, l);
}

static void process_init(void)
{
    struct xds_source ads = {.kind = XDS_SOURCE_GRPC};

    assert_int_equal(loop_init(&pr.loop, LOOP_MAIN_INDEX), 0);
    rng_seed_with(&pr.rng, 1);
    pr.stats = stat_store_new(N_WORKERS);
    pr.releaser.release = release_part;
    part_table_init(&pr.parts, &pr.releaser);
    pr.context = (struct thread_context){
        .loop = &pr.loop,
        .stats = pr.stats,
        .parts = &pr.parts,
        .node_id = "node",
        .node_cluster = "",
        .node_zone = "",
        .hostname = "host",
        .drain = {.policy = {.time_ms = 10}},
    };
    pr.context.clusters = cluster_manager_new(&pr.context);
    pr.registry = cluster_registry_new(pr.stats, &pr.context);
    pr.listeners = listener_manager_new(pr.stats, N_WORKERS, &pr.listener_versions);
    pr.ads = fake_ads_new(&pr.loop);
    pr.xds = xds_client_new(&(struct xds_client_params){
        .loop = &pr.loop,
        .dialer = fake_ads_dialer(pr.ads),
        .transports = fake_ads_transports(pr.ads),
    });
    xds_client_set_ads(pr.xds, &ads);
    pr.store = config_store_new(&(struct config_store_params){
        .loop = &pr.loop,
        .registry = &extension_registry,
        .xds = pr.xds,
        .stats = pr.stats,
        .missing_cluster_hold_ms = 20,
        .removed_cluster_hold_ms = 50,
        .ops =
            {
                .publish = publish,
                .listener_prepare = prepare_listener,
                .listener_discard = discard_listener,
            },
    });
    listener_manager_set_store(pr.listeners, pr.store);
    pr.workers = xcalloc_aligned(_Alignof(struct worker), N_WORKERS * sizeof(struct worker));
    for (int i = 0; i < N_WORKERS; i++) {
        struct worker_params p = {.index = i,
                                  .main_loop = &pr.loop,
                                  .context = &pr.context,
                                  .worker_count = N_WORKERS,
                                  .peers = pr.workers};

        assert_int_equal(worker_start(&pr.workers[i], &p), 0);
    }
}

static void stop_loop(void *user)
{
    (void)user;
    loop_stop(&pr.loop);
}

static void process_done(void)
{
    for (int i = 0; i < N_WORKERS; i++) {
        worker_stop(&pr.workers[i], 0, true);
    }
    for (int i = 0; i < N_WORKERS; i++) {
        worker_join(&pr.workers[i]);
    }
    config_store_stop(pr.store);
    xds_client_close(pr.xds, stop_loop, NULL);
    loop_run(&pr.loop);
    cluster_manager_free(pr.context.clusters);
    part_table_done(&pr.parts);
    listener_manager_free(pr.listeners);
    cluster_registry_clear(pr.registry);
    config_store_free(pr.store);
    cluster_registry_free(pr.registry);
    fake_ads_free(pr.ads);
    loop_done(&pr.loop);
    stat_store_free(pr.stats);
    free(pr.workers);
}

/* --- readers: on the workers ----------------------------------------------------------------- */

static void reader_walk(struct reader *r, const struct part *p)
{
    struct part_table *t = &r->worker->parts;

    r->read += p->name.len + p->hash;
    for (size_t i = 0; i < p->dep_count; i++) {
        const struct part_handle *h = part_table_get(t, p->deps[i].kind, p->deps[i].slot);

        r->read += h != NULL ? h->part->name.len : 1;
        if (h != NULL && h->part->kind == PART_CLUSTER) {
            const struct cluster_config *c = (const struct cluster_config *)h->part;
            const struct part_handle *e = part_table_get(t, PART_ENDPOINTS, c->endpoints_slot);

            r->read += c->connect_timeout_ms;
            r->read +=
                e != NULL ? ((const struct endpoint_set *)e->part)->overprovisioning_factor : 1;
        }
    }
}

/* As a stream: pins what it has chosen, and lets go some versions later. */
static void reader_on_timer(struct timer *timer)
{
    struct reader *r = container_of(timer, struct reader, timer);
    struct part_table *t = &r->worker->parts;
    enum part_kind kind = rng_below(&r->rng, 2) == 0 ? PART_ROUTE_TABLE : PART_CLUSTER;

    for (uint32_t i = 0; i < t->count[PART_ROUTE_TABLE]; i++) {
        if (t->slots[PART_ROUTE_TABLE][i] != NULL) {
            reader_walk(r, t->slots[PART_ROUTE_TABLE][i]->part);
        }
    }
    if (t->count[kind] > 0) {
        struct part_handle *h =
            part_table_get(t, kind, (uint32_t)rng_below(&r->rng, t->count[kind]));
        struct part_handle **pin = &r->pins[rng_below(&r->rng, N_PINS)];

        if (h != NULL) {
            part_handle_ref(h);
        }
        part_handle_unref(*pin);
        *pin = h;
    }
    for (size_t i = 0; i < N_PINS; i++) {
        r->read += r->pins[i] != NULL ? r->pins[i]->part->name.len : 0;
    }
    timer_arm(&r->worker->loop, &r->timer, 1);
}

static void reader_on_start(struct loop *l, struct post *p)
{
    struct reader *r = container_of(p, struct reader, start);

    timer_init(&r->timer, reader_on_timer);
    timer_arm(l, &r->timer, 1);
}

/* Identity of everything published, whatever the order. */
static uintptr_t table_view(const struct part_table *t)
{
    uintptr_t view = 0;

    for (int k = 0; k < PART_KIND_COUNT; k++) {
        for (uint32_t i = 0; i < t->count[k]; i++) {
            if (t->slots[k][i] != NULL) {
                view += (uintptr_t)t->slots[k][i]->part * (i + 1);
            }
        }
    }
    return view;
}

static void reader_on_stop(struct loop *l, struct post *p)
{
    struct reader *r = container_of(p, struct reader, stop);

    timer_cancel(l, &r->timer);
    for (size_t i = 0; i < N_PINS; i++) {
        part_handle_unref(r->pins[i]);
    }
    r->view = table_view(&r->worker->parts);
}

/* --- the control plane: on main --------------------------------------------------------------- */

static unsigned below(unsigned n)
{
    return (unsigned)rng_below(&pr.rng, n);
}

static void yaml_cluster(struct strbuf *out, unsigned i)
{
    strbuf_addf(out,
                "{name: c%u, type: EDS, connect_timeout: %us, eds_cluster_config: {service_name: "
                "e%u, eds_config: {ads: {}, resource_api_version: V3}}}",
                i, 1 + ++pr.difference % 50, below(N_CLUSTERS));
}

static void yaml_endpoints(struct strbuf *out, unsigned i)
{
    strbuf_addf(out, "{cluster_name: e%u, endpoints: [{lb_endpoints: [", i);
    for (unsigned n = 1 + below(4); n > 0; n--) {
        strbuf_addf(out,
                    "{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: "
                    "%u}}}}, ",
                    1 + ++pr.difference % 60000);
    }
    strbuf_add_c(out, "]}]}");
}

static void yaml_table(struct strbuf *out, unsigned i)
{
    strbuf_addf(out,
                "{name: r%u, virtual_hosts: [{name: v%u, domains: ['*'], routes: [{match: {prefix: "
                "/a}, route: {cluster: c%u}}, {match: {prefix: /}, route: {cluster: c%u}}]}]}",
                i, ++pr.difference, below(N_CLUSTERS), below(N_CLUSTERS));
}

static void yaml_listener(struct strbuf *out, unsigned i)
{
    strbuf_addf(out, "{name: l%u, address: {socket_address: {address: 127.0.0.1, port_value: 0}}, ",
                i);
    if (i % 2 == 0) {
        strbuf_add_c(out, "traffic_direction: INBOUND, ");
    }
    if (below(3) == 0) {
        strbuf_addf(out, "per_connection_buffer_limit_bytes: %u, ", 1000 + ++pr.difference);
    }
    strbuf_add_c(out, "filter_chains: [");
    for (unsigned chain = 1 + below(2); chain > 0; chain--) {
        strbuf_addf(
            out,
            "{filter_chain_match: {destination_port: %u}, filters: [{name: http, typed_config: "
            "{'@type': type.googleapis.com/envoy.extensions.filters.network."
            "http_connection_manager.v3.HttpConnectionManager, stat_prefix: x, http_filters: "
            "[{name: router, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters."
            "http.router.v3.Router}}], rds: {route_config_name: r%u, config_source: {ads: {}, "
            "resource_api_version: V3}}}}]}, ",
            chain, below(N_TABLES));
    }
    strbuf_add_c(out, "]}");
}

/* All resources of a type, changed at random; clusters and listeners come and go. */
static void push(enum part_kind kind, unsigned count, bool may_go,
                 void (*yaml)(struct strbuf *out, unsigned i))
{
    struct fake_resource resources[N_CLUSTERS];
    struct fake_response rs = {
        .type_url = str_c(resource_type_of(kind)->type_url),
        .version = STR("v"),
        .nonce = STR("n"),
        .resources = resources,
    };
    struct arena a;
    struct strbuf text;

    arena_init(&a, NULL);
    strbuf_init(&text);
    for (unsigned i = 0; i < count; i++) {
        if (may_go && below(5) == 0) {
            continue;
        }
        strbuf_reset(&text);
        yaml(&text, i);
        resources[rs.resource_count++] =
            (struct fake_resource){.bytes = message_from_yaml(kind, strbuf_str(&text), &a)};
    }
    fake_stream_respond(fake_ads_stream(pr.ads), &rs);
    strbuf_done(&text);
    arena_done(&a);
}

static void push_something(bool may_go)
{
    switch (below(4)) {
    case 0:
        push(PART_CLUSTER, N_CLUSTERS, may_go, yaml_cluster);
        break;
    case 1:
        push(PART_ENDPOINTS, N_CLUSTERS, false, yaml_endpoints);
        break;
    case 2:
        push(PART_ROUTE_TABLE, N_TABLES, false, yaml_table);
        break;
    default:
        push(PART_LISTENER, N_LISTENERS, may_go, yaml_listener);
        break;
    }
}

static bool workers_have_seen(uint64_t version)
{
    for (int i = 0; i < N_WORKERS; i++) {
        if (atomic_load_explicit(&pr.workers[i].seen_version, memory_order_acquire) != version) {
            return false;
        }
    }
    return true;
}

static void listeners_stopped(void *user)
{
    (void)user;
    pr.sockets_closed += listener_manager_close_sockets(pr.listeners);
    pr.stops_done++;
}

/* What admin and hot restart ask of the workers, among the updates. */
static void drain_something(void)
{
    if (pr.updates % 16 == 0) {
        for (int i = 0; i < N_WORKERS; i++) {
            worker_set_health(&pr.workers[i], pr.updates % 32 == 0);
        }
    }
    if (pr.updates == N_UPDATES / 2 || pr.updates == N_UPDATES * 3 / 4) {
        enum drain_direction d = pr.updates == N_UPDATES / 2 ? DRAIN_INBOUND : DRAIN_ALL_LISTENERS;

        for (int i = 0; i < N_WORKERS; i++) {
            worker_start_drain(&pr.workers[i], d);
        }
        listener_manager_stop(pr.listeners, d);
        worker_stop_listeners(pr.workers, N_WORKERS, &pr.loop, d, listeners_stopped, NULL);
    }
}

/* An update per millisecond; then quiet until every worker has seen the last version. */
static void process_on_timer(struct timer *t)
{
    struct fake_request *rq;

    while ((rq = fake_ads_take(pr.ads)) != NULL) {
        fake_request_free(rq);
    }
    if (fake_ads_stream(pr.ads) != NULL && pr.updates < N_UPDATES) {
        pr.updates++;
        push_something(true);
        drain_something();
    } else if (pr.updates == N_UPDATES && timer_is_armed(&pr.store->hold_timer)) {
        (void)t; /* a withdrawn cluster is still to go */
    } else if (pr.updates == N_UPDATES && workers_have_seen(config_store_version(pr.store))) {
        loop_stop(&pr.loop);
        return;
    }
    timer_arm(&pr.loop, t, 1);
}

static void test_every_worker_sees_every_version(void **state)
{
    struct config_source ads = {.kind = CONFIG_SOURCE_ADS, .initial_fetch_timeout_ms = 15000};
    uintptr_t view;

    process_init();
    config_store_start(pr.store, &ads, &ads);
    for (int i = 0; i < N_WORKERS; i++) {
        struct reader *r = &pr.readers[i];

        r->worker = &pr.workers[i];
        r->start.run = reader_on_start;
        r->stop.run = reader_on_stop;
        rng_seed_with(&r->rng, (uint64_t)i);
        post_send(&pr.workers[i].loop, &r->start);
    }
    timer_init(&pr.timer, process_on_timer);
    timer_arm(&pr.loop, &pr.timer, 1);
    loop_run(&pr.loop);
    assert_true(config_store_version(pr.store) > N_UPDATES / 4);
    assert_true(config_store_is_initialized(pr.store));
    assert_int_equal(pr.stops_done, 2);
    assert_true(pr.sockets_closed > 0);
    for (int i = 0; i < N_WORKERS; i++) {
        post_send(&pr.workers[i].loop, &pr.readers[i].stop);
    }
    view = table_view(&pr.parts);
    process_done(); /* joins the workers */
    for (int i = 0; i < N_WORKERS; i++) {
        assert_int_equal(pr.readers[i].view, view);
        assert_true(pr.readers[i].read > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_worker_sees_every_version),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
