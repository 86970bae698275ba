/* Entries of the router's upstream_log. A worker's thread. */

#include "dataplane/extensions/filters/http/router/upstream_log.h"

#include "dataplane/base/clock.h"
#include "dataplane/extensions/filters/http/router/router.h"
#include "dataplane/stream_info/access_log.h"

struct upstream_log {
    const struct upstream_log_config *config;
    struct upstream_request *request;
    struct timer timer;
    uint64_t start_mono_ns;
    uint64_t flags;
    struct header_map *headers;  /* NULL: none came */
    struct header_map *trailers; /* NULL: none came */
};

static struct http_filter *log_filter_of(const struct upstream_log *l)
{
    return l->request->router->filter;
}

/* What is known of the request, as the attempt sees it. */
static struct stream_info log_info(const struct upstream_log *l, enum access_log_type type)
{
    const struct upstream_request *rq = l->request;
    struct stream_info info = *http_filter_info(log_filter_of(l));

    info.start_wall_ns += l->start_mono_ns - info.start_mono_ns;
    info.start_mono_ns = l->start_mono_ns;
    info.end_ns = type == ACCESS_LOG_UPSTREAM_END ? clock_mono_ns() : 0;
    info.last_rx_byte_ns = 0;
    info.first_downstream_tx_ns = 0;
    info.last_downstream_tx_ns = 0;
    info.has_protocol = info.is_upstream_connected && info.has_upstream_protocol;
    info.protocol = info.upstream_protocol;
    info.response_code = rq->response_status;
    info.flags = l->flags;
    info.response_code_details = STR_NONE;
    info.connection_termination_details = STR_NONE;
    info.bytes_received = rq->bytes_received;
    info.bytes_sent = rq->bytes_sent;
    info.upstream_wire_bytes_sent = rq->stream != NULL ? rq->stream->wire_bytes_out : 0;
    info.upstream_wire_bytes_received = rq->stream != NULL ? rq->stream->wire_bytes_in : 0;
    info.upstream_header_bytes_sent = rq->stream != NULL ? rq->stream->header_bytes_out : 0;
    info.upstream_header_bytes_received = rq->stream != NULL ? rq->stream->header_bytes_in : 0;
    info.attempt_count = 0;
    info.virtual_cluster_name = STR_NONE;
    info.filter_state = NULL;
    return info;
}

static void log_write(const struct upstream_log *l, enum access_log_type type)
{
    struct stream_info info = log_info(l, type);
    struct access_log_entry entry = {
        .info = &info,
        .request_headers = http_filter_request_headers(log_filter_of(l)),
        .response_headers = l->headers,
        .response_trailers = l->trailers,
        .type = type,
    };

    access_logs_write(&l->config->logs, http_filter_thread(log_filter_of(l)), &entry);
}

static void log_on_timer(struct timer *t)
{
    struct upstream_log *l = container_of(t, struct upstream_log, timer);

    log_write(l, ACCESS_LOG_UPSTREAM_PERIODIC);
    timer_arm(router_loop(l->request->router), t, l->config->interval_ms);
}

struct upstream_log *upstream_log_new(const struct upstream_log_config *c,
                                      struct upstream_request *rq)
{
    struct upstream_log *l;

    if (c->logs.count == 0) {
        return NULL;
    }
    l = ARENA_NEW(http_filter_arena(rq->router->filter), struct upstream_log);
    l->config = c;
    l->request = rq;
    l->start_mono_ns = http_filter_info(rq->router->filter)->upstream_request_ns;
    timer_init(&l->timer, log_on_timer);
    if (c->interval_ms > 0) {
        timer_arm(router_loop(rq->router), &l->timer, c->interval_ms);
    }
    return l;
}

void upstream_log_connected(struct upstream_log *l)
{
    if (l != NULL && l->config->logs_connected) {
        log_write(l, ACCESS_LOG_UPSTREAM_POOL_READY);
    }
}

static struct header_map *log_copy(const struct upstream_log *l, const struct header_map *h)
{
    struct arena *a = http_filter_arena(log_filter_of(l));
    struct header_map *ret = ARENA_NEW(a, struct header_map);

    header_map_copy(ret, h, a);
    return ret;
}

void upstream_log_headers(struct upstream_log *l, const struct header_map *h)
{
    if (l != NULL) {
        l->headers = log_copy(l, h);
    }
}

void upstream_log_trailers(struct upstream_log *l, const struct header_map *h)
{
    if (l != NULL) {
        l->trailers = log_copy(l, h);
    }
}

void upstream_log_flag(struct upstream_log *l, enum response_flag flag)
{
    if (l != NULL) {
        l->flags |= (uint64_t)1 << flag;
    }
}

void upstream_log_end(struct upstream_log *l)
{
    if (l != NULL) {
        timer_cancel(router_loop(l->request->router), &l->timer);
        log_write(l, ACCESS_LOG_UPSTREAM_END);
    }
}
