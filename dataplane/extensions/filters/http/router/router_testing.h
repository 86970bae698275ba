#ifndef DATAPLANE_EXTENSIONS_FILTERS_HTTP_ROUTER_ROUTER_TESTING_H
#define DATAPLANE_EXTENSIONS_FILTERS_HTTP_ROUTER_ROUTER_TESTING_H

/*
 * The router between a client made of recorded calls and an origin on loopback. The filter layer
 * (http_filter_*) is the test's own: it is defined here, so the linker takes this one. For tests
 * only, each of which includes it once.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

#include "dataplane/base/clock.h"
#include "dataplane/extensions/filters/http/router/router.h"
#include "dataplane/upstream/testing.h"

extern const struct http_filter_type http_filter_router;

/* --- the client: what the router did to it
 * --------------------------------------------------------- */

static struct upstream_testing u;
static struct testing_origin origin;

static struct client {
    struct http_filter filter;
    struct router_config config;
    struct arena arena;
    struct stream_info info;
    struct header_map headers;
    struct route route;
    struct virtual_host vhost;
    const struct weighted_cluster *weighted;
    enum route_answer route_answer;
    size_t buffer_limit;
    /* The response. */
    const struct header_map *response;
    unsigned informational;
    struct strbuf body;
    bool is_over;
    bool has_local_reply;
    int status;
    char details[256];
    bool is_overloaded;
    bool has_attempt_count;
    struct str attempts; /* said by a local reply */
    int read_disables;
    struct str trailer; /* of the response: grpc-status */
} client;

struct thread_context *http_filter_thread(const struct http_filter *f)
{
    (void)f;
    return &u.thread;
}

struct arena *http_filter_arena(const struct http_filter *f)
{
    (void)f;
    return &client.arena;
}

struct stream_info *http_filter_info(const struct http_filter *f)
{
    (void)f;
    return &client.info;
}

struct header_map *http_filter_request_headers(const struct http_filter *f)
{
    (void)f;
    return &client.headers;
}

const struct route *http_filter_route(const struct http_filter *f)
{
    (void)f;
    return &client.route;
}

const struct virtual_host *http_filter_virtual_host(const struct http_filter *f)
{
    (void)f;
    return &client.vhost;
}

const struct weighted_cluster *http_filter_weighted_cluster(const struct http_filter *f)
{
    (void)f;
    return client.weighted;
}

void http_filter_count(struct http_filter *f, int stat)
{
    (void)f;
    (void)stat;
}

size_t http_filter_buffer_limit(const struct http_filter *f)
{
    (void)f;
    return client.buffer_limit;
}

size_t http_filter_repeat_limit(const struct http_filter *f)
{
    (void)f;
    return client.buffer_limit;
}

bool http_filter_scheme_matches_upstream(const struct http_filter *f)
{
    (void)f;
    return false;
}

struct str http_filter_proxy_tlvs(const struct http_filter *f)
{
    (void)f;
    return STR_NONE;
}

enum route_answer http_filter_answer_from_route(struct http_filter *f, bool keeps_original)
{
    (void)f;
    return client.route_answer;
}

void http_filter_finalize_request(struct http_filter *f, bool keeps_original)
{
    (void)f;
    header_add_name(&client.headers, STR("x-finalized"), keeps_original ? STR("1") : STR("0"));
}

void http_filter_finalize_response(struct http_filter *f, struct header_map *h)
{
    (void)f;
    header_add_name(h, STR("x-finalized"), STR("1"));
}

void http_filter_rewrite_host(struct http_filter *f, struct str host, bool keeps_original)
{
    (void)f;
    (void)keeps_original;
    header_set(&client.headers, HDR_AUTHORITY, host);
}

void http_filter_local_reply(struct http_filter *f, int status, struct str body,
                             const struct header_map *extra, enum response_flag flag,
                             struct str details)
{
    (void)f;
    assert_false(client.is_over);
    client.is_over = true;
    client.has_local_reply = true;
    if (client.response == NULL) {
        client.status = status;
        strbuf_add_str(&client.body, body);
    }
    if (flag != FLAG_NONE) {
        stream_info_set_flag(&client.info, flag);
    }
    (void)snprintf(client.details, sizeof(client.details), "%.*s", STR_ARG(details));
    if (extra != NULL) {
        client.is_overloaded = header_has(extra, HDR_X_ENVOY_OVERLOADED);
        client.has_attempt_count = header_has(extra, HDR_X_ENVOY_ATTEMPT_COUNT);
        client.attempts = header_get(extra, HDR_X_ENVOY_ATTEMPT_COUNT);
    }
}

void http_filter_respond_1xx(struct http_filter *f, struct header_map *h)
{
    (void)f;
    assert_true(str_eq(header_get(h, HDR_STATUS), STR("100")));
    client.informational++;
}

void http_filter_respond_headers(struct http_filter *f, struct header_map *take_headers,
                                 bool end_stream)
{
    uint64_t status;

    (void)f;
    assert_int_equal(parse_u64(header_get(take_headers, HDR_STATUS), &status), 0);
    client.response = take_headers;
    client.status = (int)status;
    client.is_over = end_stream;
}

void http_filter_respond_data(struct http_filter *f, struct buf *take_data, bool end_stream)
{
    (void)f;
    while (buf_len(take_data) > 0) {
        struct str s = buf_front(take_data);

        strbuf_add_str(&client.body, s);
        buf_drain(take_data, s.len);
    }
    client.is_over = end_stream;
}

void http_filter_respond_trailers(struct http_filter *f, struct header_map *take_trailers)
{
    (void)f;
    client.trailer = header_get(take_trailers, HDR_GRPC_STATUS);
    client.is_over = true;
}

void http_filter_read_disable(struct http_filter *f, bool disable)
{
    (void)f;
    client.read_disables += disable ? 1 : -1;
    assert_in_range(client.read_disables, 0, 1);
}

static inline bool client_is_over(void *arg)
{
    (void)arg;
    return client.is_over;
}

static inline void client_await(void)
{
    upstream_testing_until(&u, client_is_over, NULL);
}

/* The request's head goes in. */
static inline void client_send(const char *method, bool end_stream)
{
    header_add(&client.headers, HDR_METHOD, str_c(method));
    header_add(&client.headers, HDR_PATH, STR("/p"));
    header_add(&client.headers, HDR_AUTHORITY, STR("a"));
    header_add(&client.headers, HDR_SCHEME, STR("http"));
    client.info.start_mono_ns = clock_mono_ns();
    (void)http_filter_router.decode_headers(&client.filter, &client.headers, end_stream);
}

static inline void client_send_body(const char *text, bool end_stream)
{
    struct buf data;

    buf_init(&data, &u.loop.bufs);
    buf_add_str(&data, str_c(text));
    client.info.last_rx_byte_ns = end_stream ? clock_mono_ns() : 0;
    (void)http_filter_router.decode_data(&client.filter, &data, end_stream);
    buf_reset(&data);
}

/* --- set-up
 * ---------------------------------------------------------------------------------------- */

static inline int setup(void **state)
{
    struct testing_endpoint e = {0};

    (void)state;
    upstream_testing_init(&u);
    testing_origin_open(&origin, &u, 16);
    e.port = origin.port;
    upstream_testing_put_endpoints(&u, 0, testing_endpoints(&e, 1));
    memset(&client, 0, sizeof(client));
    arena_init(&client.arena, NULL);
    header_map_init(&client.headers, &client.arena);
    strbuf_init(&client.body);
    client.config = (struct router_config){.counts_codes = true};
    client.filter = (struct http_filter){
        .type = &http_filter_router,
        .config = &client.config,
        .state = arena_calloc(&client.arena, 1, http_filter_router.stream_size),
    };
    client.route.forward = (struct route_forward){.cluster_name = STR("c")};
    client.buffer_limit = 16;
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    http_filter_router.on_destroy(&client.filter);
    strbuf_done(&client.body);
    assert_int_equal(client.read_disables, 0);
    upstream_testing_done(&u);
    arena_done(&client.arena);
    testing_origin_close(&origin);
    return 0;
}

static inline void put_default_cluster(void)
{
    upstream_testing_put_cluster(&u, 0, testing_cluster("c", 0));
}

static inline uint64_t stat_of(const char *name)
{
    char full[128];

    (void)snprintf(full, sizeof(full), "cluster.c.%s", name);
    return upstream_testing_stat(&u, full);
}

static inline void assert_has(const char *text, const char *want)
{
    if (strstr(text, want) == NULL) {
        fail_msg("'%s' is not in:\n%s", want, text);
    }
}

static inline void assert_lacks(const char *text, const char *unwanted)
{
    if (strstr(text, unwanted) != NULL) {
        fail_msg("'%s' is in:\n%s", unwanted, text);
    }
}

static inline bool has_flag(enum response_flag f)
{
    return stream_info_has_flag(&client.info, f);
}

static inline void assert_body(const char *want)
{
    assert_string_equal(client.body.ptr != NULL ? client.body.ptr : "", want);
}

/* Takes the request at the origin. */
static inline int origin_take(char head[TESTING_HEAD_MAX])
{
    int fd = testing_origin_accept(&origin);

    testing_origin_read_head(&origin, fd, head);
    return fd;
}

#define ROUTER_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
