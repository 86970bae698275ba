/* Which connections may serve whom, by what they were made with: transport options, the protocol
 * that was negotiated, the transport socket of the host. The transport is a stand-in that changes
 * no byte and notes what it was asked for. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

#include "dataplane/net/transport_options.h"
#include "dataplane/upstream/cluster.h"
#include "dataplane/upstream/option_pools.h"
#include "dataplane/upstream/testing.h"

#define ANSWER "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
#define REQUESTS 4

static struct upstream_testing u;
static struct testing_origin origin;

/* --- the transport -------------------------------------------------------------------------------
 */

static struct {
    unsigned opened;
    char server_name[64]; /* of the last one */
    char host_name[64];
    char fallback[64];
    const void *config;
    struct str negotiates;
} seen;

static void keep(char to[64], struct str s)
{
    (void)snprintf(to, 64, "%.*s", STR_ARG(s));
}

static int fake_open(struct conn *c, const void *config, bool is_server,
                     const struct transport_options *o, void **ret_state)
{
    (void)c;
    assert_false(is_server);
    seen.opened++;
    seen.config = config;
    keep(seen.server_name, o->server_name);
    keep(seen.host_name, o->host_name);
    seen.fallback[0] = '\0';
    for (size_t i = 0; i < o->alpn_fallback_count; i++) {
        (void)snprintf(seen.fallback + strlen(seen.fallback), 16, "%.*s ",
                       STR_ARG(o->alpn_fallback[i]));
    }
    *ret_state = NULL;
    return 0;
}

static struct str fake_alpn(const struct conn *c, const void *state)
{
    (void)c;
    (void)state;
    return seen.negotiates;
}

static const struct transport_socket fake = {
    .is_secure = true, .open = fake_open, .alpn = fake_alpn};

static const struct transport_socket raw = {.ext = {.name = "raw"}};

/* --- requests ------------------------------------------------------------------------------------
 */

struct request {
    struct pool_request pool;
    struct codec_stream *stream;
    struct arena arena;
    struct header_map headers;
    struct header_map response;
    uint64_t connection_id; /* 0: none yet */
    bool is_complete;
};

static struct request rq[REQUESTS];

static void request_on_headers(void *user, bool end_stream)
{
    ((struct request *)user)->is_complete = end_stream;
}

static void request_on_data(void *user, struct buf *data, bool end_stream)
{
    (void)data;
    ((struct request *)user)->is_complete = end_stream;
}

static void request_on_reset(void *user, enum stream_reset_reason reason, struct str details)
{
    (void)user;
    (void)reason;
    (void)details;
}

static const struct codec_stream_callbacks stream_callbacks = {
    .on_headers = request_on_headers,
    .on_data = request_on_data,
    .on_reset = request_on_reset,
};

static void request_on_ready(struct pool_request *p)
{
    struct request *r = p->user;
    struct pool_connection_info info;

    pool_request_connection(p, &info);
    r->connection_id = info.connection_id;
    assert_int_equal(info.protocol == HTTP_2, p->protocol == POOL_HTTP2);
    r->stream = pool_request_open_stream(p, &stream_callbacks, r, &r->arena, &r->response);
    r->stream->ops->encode_headers(r->stream, &r->headers, true);
}

static void request_on_failure(struct pool_request *p, enum pool_failure f, struct str reason)
{
    (void)p;
    fail_msg("failure %d: %.*s", f, STR_ARG(reason));
}

static const struct pool_request_ops request_ops = {request_on_ready, request_on_failure};

static struct host *the_host(void)
{
    struct host *h = cluster_pick(cluster_manager_get(u.thread.clusters, 0), NULL);

    host_unref(h); /* its cluster has it too */
    return h;
}

/* `server_name` NULL: without options. */
static void request_start(struct request *r, const char *server_name)
{
    struct cluster *c = cluster_manager_get(u.thread.clusters, 0);
    struct transport_options o = {.server_name = str_c(server_name)};

    o.hash = transport_options_hash(&o);
    memset(r, 0, sizeof(*r));
    arena_init(&r->arena, NULL);
    header_map_init(&r->headers, &r->arena);
    header_map_init(&r->response, &r->arena);
    header_add(&r->headers, HDR_METHOD, STR("GET"));
    header_add(&r->headers, HDR_PATH, STR("/"));
    header_add(&r->headers, HDR_AUTHORITY, STR("a"));
    header_add(&r->headers, HDR_SCHEME, STR("http"));
    cluster_request_stream(c, the_host(), PRIORITY_DEFAULT, cluster_pool_protocol(c, HTTP_11),
                           server_name != NULL ? &o : NULL, &request_ops, r, &r->pool);
}

static bool request_is_over(void *arg)
{
    return ((struct request *)arg)->is_complete;
}

/* The origin answers it on `fd`. */
static void request_finish(struct request *r, int fd)
{
    char head[TESTING_HEAD_MAX];

    testing_origin_read_head(&origin, fd, head);
    testing_origin_send(fd, ANSWER);
    upstream_testing_until(&u, request_is_over, r);
    arena_done(&r->arena);
}

/* On a new connection, which is returned. */
static int first_exchange(const char *server_name)
{
    int fd;

    request_start(&rq[0], server_name);
    fd = testing_origin_accept(&origin);
    request_finish(&rq[0], fd);
    return fd;
}

/* On one that is there already. */
static void next_exchange(const char *server_name, int fd)
{
    request_start(&rq[0], server_name);
    assert_int_not_equal(rq[0].connection_id, 0);
    request_finish(&rq[0], fd);
}

static uint64_t stat_of(const char *name)
{
    char full[128];

    (void)snprintf(full, sizeof(full), "cluster.c.%s", name);
    return upstream_testing_stat(&u, full);
}

static void await_stat(const char *name, uint64_t value)
{
    char full[128];

    (void)snprintf(full, sizeof(full), "cluster.c.%s", name);
    upstream_testing_until_stat(&u, full, value);
}

/* --- set-up --------------------------------------------------------------------------------------
 */

static struct cluster_config *cluster_over(const struct transport_socket *t)
{
    struct cluster_config *c = testing_cluster("c", 0);

    c->transport_socket = &t->ext;
    c->http2 = http2_options_defaults(false);
    return c;
}

static void put_cluster(struct cluster_config *take)
{
    upstream_testing_put_cluster(&u, 0, take);
}

static void put_origin(const struct value *metadata)
{
    struct endpoint_set *s = testing_endpoints(&(struct testing_endpoint){.port = origin.port}, 1);
    struct endpoint *e = (struct endpoint *)(uintptr_t)&s->localities[0].endpoints[0];

    e->metadata = metadata;
    e->hostname = STR("host.test");
    upstream_testing_put_endpoints(&u, 0, s);
}

static int setup(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof(seen));
    upstream_testing_init(&u);
    testing_origin_open(&origin, &u, 16);
    put_origin(NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    upstream_testing_done(&u);
    testing_origin_close(&origin);
    return 0;
}

struct pools_wait {
    struct host *host;
    size_t count;
};

static bool pools_are(void *arg)
{
    const struct pools_wait *w = arg;

    return option_pools_count(w->host->option_pools) == w->count;
}

static void await_pools(size_t count)
{
    upstream_testing_until(&u, pools_are, &(struct pools_wait){the_host(), count});
}

/* --- options -------------------------------------------------------------------------------------
 */

static void options_have_connections_of_their_own(void **state)
{
    int none;
    int a;
    int b;

    (void)state;
    put_cluster(cluster_over(&fake));
    none = first_exchange(NULL);
    assert_string_equal(seen.server_name, "");
    assert_string_equal(seen.host_name, "host.test");
    assert_string_equal(seen.fallback, "http/1.1 ");
    a = first_exchange("a.test");
    assert_string_equal(seen.server_name, "a.test");
    b = first_exchange("b.test");
    assert_string_equal(seen.server_name, "b.test");
    next_exchange("a.test", a);
    next_exchange(NULL, none);
    next_exchange("b.test", b);
    assert_int_equal(stat_of("upstream_cx_total"), 3);
    close(none);
    close(a);
    close(b);
}

static void options_mean_nothing_to_a_raw_transport(void **state)
{
    int fd;

    (void)state;
    put_cluster(cluster_over(&raw));
    fd = first_exchange("a.test");
    next_exchange("b.test", fd);
    assert_int_equal(stat_of("upstream_cx_total"), 1);
    close(fd);
}

static void a_pool_goes_with_its_last_connection(void **state)
{
    int a;
    int b;

    (void)state;
    put_cluster(cluster_over(&fake));
    a = first_exchange("a.test");
    b = first_exchange("b.test");
    assert_int_equal(option_pools_count(the_host()->option_pools), 2);
    close(a);
    await_stat("upstream_cx_active", 1);
    await_pools(1);
    next_exchange("b.test", b);
    a = first_exchange("a.test");
    assert_int_equal(option_pools_count(the_host()->option_pools), 2);
    close(a);
    close(b);
}

static void a_cancelled_request_leaves_no_pool(void **state)
{
    (void)state;
    put_cluster(cluster_over(&fake));
    request_start(&rq[0], "a.test");
    pool_request_cancel(&rq[0].pool);
    arena_done(&rq[0].arena);
    close(testing_origin_accept(&origin));
    await_stat("upstream_cx_active", 0);
    await_pools(0);
}

static void request_on_overflow(struct pool_request *p, enum pool_failure f, struct str reason)
{
    (void)reason;
    assert_int_equal(f, POOL_FAILURE_OVERFLOW);
    *(bool *)p->user = true;
}

static void a_request_too_many_leaves_no_pool(void **state)
{
    static const struct pool_request_ops ops = {.on_failure = request_on_overflow};
    struct cluster_config *c = cluster_over(&fake);
    struct transport_options o = {.server_name = STR("a.test")};
    struct pool_request p;
    bool has_failed = false;

    (void)state;
    o.hash = transport_options_hash(&o);
    c->breakers[PRIORITY_DEFAULT].max_pending_requests = 0;
    put_cluster(c);
    cluster_request_stream(cluster_manager_get(u.thread.clusters, 0), the_host(), PRIORITY_DEFAULT,
                           POOL_HTTP1, &o, &ops, &has_failed, &p);
    assert_true(has_failed);
    assert_int_equal(option_pools_count(the_host()->option_pools), 1);
    await_pools(0);
}

static void of_many_pools_idle_ones_go(void **state)
{
    enum { MANY = 1030 };
    struct cluster_config *c = cluster_over(&fake);
    int fds[MANY];

    (void)state;
    c->breakers[PRIORITY_DEFAULT].max_connections = 2 * MANY;
    put_cluster(c);
    for (int i = 0; i < MANY; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "%d.test", i);
        fds[i] = first_exchange(name);
    }
    await_stat("upstream_cx_active", 1024);
    await_pools(1024);
    next_exchange("1029.test", fds[MANY - 1]); /* the oldest went */
    for (int i = 0; i < MANY; i++) {
        close(fds[i]);
    }
}

static void pools_with_options_drain_too(void **state)
{
    int fd;

    (void)state;
    put_cluster(cluster_over(&fake));
    fd = first_exchange("a.test");
    put_cluster(NULL);
    testing_origin_await_close(&origin, fd);
}

/* --- the protocol --------------------------------------------------------------------------------
 */

static void each_protocol_offers_its_own(void **state)
{
    struct cluster_config *c = cluster_over(&fake);
    int fd;

    (void)state;
    c->http_protocol = UPSTREAM_HTTP2;
    put_cluster(c);
    request_start(&rq[0], NULL);
    fd = testing_origin_accept(&origin);
    assert_string_equal(seen.fallback, "h2 ");
    close(fd);
    await_stat("upstream_cx_active", 0);
    arena_done(&rq[0].arena);
}

static void put_auto(struct str negotiates)
{
    struct cluster_config *c = cluster_over(&fake);

    c->http_protocol = UPSTREAM_HTTP_AUTO;
    seen.negotiates = negotiates;
    put_cluster(c);
}

static void http2_when_it_was_negotiated(void **state)
{
    char text[TESTING_HEAD_MAX];
    int fd;

    (void)state;
    put_auto(STR("h2"));
    request_start(&rq[0], NULL);
    request_start(&rq[1], NULL);
    assert_int_equal(stat_of("upstream_cx_total"), 1); /* as if it were HTTP/2 */
    assert_int_equal(stat_of("upstream_cx_http2_total"), 0);
    fd = testing_origin_accept(&origin);
    testing_origin_read_until(&origin, fd, "PRI * HTTP/2.0", text);
    await_stat("upstream_rq_active", 2);
    assert_string_equal(seen.fallback, "h2 http/1.1 ");
    assert_int_equal(rq[0].connection_id, rq[1].connection_id);
    assert_int_equal(rq[1].pool.protocol, POOL_HTTP2);
    assert_int_equal(stat_of("upstream_cx_http2_total"), 1);
    assert_int_equal(stat_of("upstream_cx_http1_total"), 0);
    assert_int_equal(stat_of("upstream_cx_total"), 1);
    close(fd);
    await_stat("upstream_rq_active", 0);
    arena_done(&rq[0].arena);
    arena_done(&rq[1].arena);
}

/* Those that waited for one connection need one each. */
static void http1_when_it_was_not(struct str negotiates)
{
    int fds[REQUESTS];

    put_auto(negotiates);
    for (size_t i = 0; i < 3; i++) {
        request_start(&rq[i], NULL);
    }
    assert_int_equal(stat_of("upstream_cx_total"), 1);
    for (size_t i = 0; i < 3; i++) {
        fds[i] = testing_origin_accept(&origin);
    }
    await_stat("upstream_rq_active", 3);
    assert_int_equal(rq[0].pool.protocol, POOL_HTTP1);
    assert_int_equal(stat_of("upstream_cx_http1_total"), 3);
    assert_int_equal(stat_of("upstream_cx_total"), 3);
    request_start(&rq[3], NULL); /* by now it is known at once */
    assert_int_equal(stat_of("upstream_cx_total"), 4);
    fds[3] = testing_origin_accept(&origin);
    for (size_t i = 0; i < REQUESTS; i++) {
        char head[TESTING_HEAD_MAX];

        testing_origin_read_head(&origin, fds[i], head);
        testing_origin_send(fds[i], ANSWER);
    }
    for (size_t i = 0; i < REQUESTS; i++) {
        upstream_testing_until(&u, request_is_over, &rq[i]);
        arena_done(&rq[i].arena);
        close(fds[i]);
    }
}

static void http1_when_that_was_negotiated(void **state)
{
    (void)state;
    http1_when_it_was_not(STR("http/1.1"));
}

static void http1_when_nothing_was(void **state)
{
    (void)state;
    http1_when_it_was_not(STR_NONE);
}

/* --- transport socket matches --------------------------------------------------------------------
 */

static int first_config;
static int second_config;

/* {tls: on} goes to `fake`. Two configurations, the second with another hash. */
static void put_matching(const void *config, uint64_t hash)
{
    struct cluster_config *c = cluster_over(&raw);
    struct arena *a = &c->part.arena;
    struct transport_socket_match *m = ARENA_NEW(a, struct transport_socket_match);
    struct value_field *label = ARENA_NEW(a, struct value_field);
    struct value *match = ARENA_NEW(a, struct value);

    *label = (struct value_field){STR("tls"), {.kind = VALUE_STRING, .string = STR("on")}};
    *match = (struct value){.kind = VALUE_STRUCT, .fields = label, .count = 1};
    *m = (struct transport_socket_match){
        .name = STR("m"), .match = match, .ext = &fake.ext, .config = config, .hash = hash};
    c->transport_socket_matches = m;
    c->transport_socket_match_count = 1;
    put_cluster(c);
}

static const struct value_field label_on = {.name = {"tls", 3},
                                            .value = {.kind = VALUE_STRING, .string = {"on", 2}}};
static const struct value_field namespace_on = {
    .name = {"envoy.transport_socket_match", 28},
    .value = {.kind = VALUE_STRUCT, .fields = &label_on, .count = 1}};
static const struct value metadata_on = {.kind = VALUE_STRUCT, .fields = &namespace_on, .count = 1};

static void metadata_chooses_the_transport(void **state)
{
    int plain;
    int secure;

    (void)state;
    put_matching(&first_config, 1);
    plain = first_exchange(NULL);
    assert_int_equal(seen.opened, 0);
    assert_false(host_is_secure(the_host()));
    assert_int_equal(stat_of("default.total_match_count"), 1);
    put_origin(&metadata_on);
    testing_origin_await_close(&origin, plain); /* nobody may have it any more */
    secure = first_exchange(NULL);
    assert_int_equal(seen.opened, 1);
    assert_ptr_equal(seen.config, &first_config);
    assert_true(host_is_secure(the_host()));
    assert_int_equal(stat_of("m.total_match_count"), 1);
    close(secure);
}

static void a_changed_match_has_new_connections(void **state)
{
    int fd;

    (void)state;
    put_origin(&metadata_on);
    put_matching(&first_config, 1);
    fd = first_exchange(NULL);
    put_matching(&first_config, 1); /* another version of the same */
    next_exchange(NULL, fd);
    put_matching(&second_config, 2);
    testing_origin_await_close(&origin, fd);
    fd = first_exchange(NULL);
    assert_ptr_equal(seen.config, &second_config);
    close(fd);
}

/* --- what the transport looks at
 * ------------------------------------------------------------------
 */

static void note_freed(void *object)
{
    *(bool *)object = true;
}

static bool is_true(void *arg)
{
    return *(bool *)arg;
}

static void a_connection_holds_its_configuration(void **state)
{
    struct cluster_config *old = cluster_over(&fake);
    bool is_freed = false;
    int fd;

    (void)state;
    part_on_free(&old->part, note_freed, &is_freed);
    put_cluster(old);
    fd = first_exchange(NULL);
    put_cluster(cluster_over(&fake));
    next_exchange(NULL, fd);
    assert_false(is_freed);
    close(fd);
    upstream_testing_until(&u, is_true, &is_freed);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(options_have_connections_of_their_own),
        TEST(options_mean_nothing_to_a_raw_transport),
        TEST(a_pool_goes_with_its_last_connection),
        TEST(a_cancelled_request_leaves_no_pool),
        TEST(a_request_too_many_leaves_no_pool),
        TEST(of_many_pools_idle_ones_go),
        TEST(pools_with_options_drain_too),
        TEST(each_protocol_offers_its_own),
        TEST(http2_when_it_was_negotiated),
        TEST(http1_when_that_was_negotiated),
        TEST(http1_when_nothing_was),
        TEST(metadata_chooses_the_transport),
        TEST(a_changed_match_has_new_connections),
        TEST(a_connection_holds_its_configuration),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
