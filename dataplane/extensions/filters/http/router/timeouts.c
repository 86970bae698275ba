/* See timeouts.h. */

#include "dataplane/extensions/filters/http/router/timeouts.h"

#include "dataplane/codec/grpc_timeout.h"

#define TIMEOUT_DEFAULT_MS 15000

/* What is no number is ignored. */
static void parse_ms(const struct header_map *h, enum header_id id, uint64_t *ret_ms)
{
    uint64_t ms;

    if (parse_u64(header_get(h, id), &ms) == 0) {
        *ret_ms = ms;
    }
}

/* The same, and out of the request in any case. */
static void take_ms(struct header_map *h, enum header_id id, uint64_t *ret_ms)
{
    if (header_has(h, id)) {
        parse_ms(h, id, ret_ms);
        (void)header_remove(h, id);
    }
}

/* max_grpc_timeout: what the client asks for, none being without end, within the route's bound. */
static uint64_t deprecated_grpc_timeout(const struct route_forward *f, const struct header_map *h)
{
    const struct opt_ms *max = &f->max_grpc_timeout;
    const struct opt_ms *offset = &f->grpc_timeout_offset;
    uint64_t ms = 0;

    if (!grpc_timeout_parse(header_get(h, HDR_GRPC_TIMEOUT), &ms)) {
        ms = 0;
    }
    if (offset->is_set && offset->ms < ms) { /* never down to 0, which would be no limit */
        ms -= offset->ms;
    }
    return max->ms != 0 && (ms == 0 || ms > max->ms) ? max->ms : ms;
}

static uint64_t response_timeout(const struct route_forward *f, bool is_grpc,
                                 const struct header_map *h)
{
    if (f->has_stream_duration) {
        return 0;
    }
    if (is_grpc && f->max_grpc_timeout.is_set) {
        return deprecated_grpc_timeout(f, h);
    }
    return f->timeout.is_set ? f->timeout.ms : TIMEOUT_DEFAULT_MS;
}

void request_timeouts_take(struct request_timeouts *t, const struct route_forward *f,
                           const struct cluster_config *c, bool is_grpc, bool respects_expected,
                           struct header_map *h)
{
    *t = (struct request_timeouts){
        .response_ms = response_timeout(f, is_grpc, h),
        .max_stream_ms = c->max_stream_duration.is_set ? c->max_stream_duration.ms : 0,
        .status = 504,
        .writes_grpc_timeout = is_grpc && !f->has_stream_duration && f->max_grpc_timeout.is_set,
    };
    if (respects_expected && header_has(h, HDR_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS)) {
        parse_ms(h, HDR_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS, &t->response_ms);
    } else {
        take_ms(h, HDR_X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS, &t->response_ms);
    }
    take_ms(h, HDR_X_ENVOY_UPSTREAM_RQ_PER_TRY_TIMEOUT_MS, &t->per_try_ms);
    if (t->per_try_ms >= t->response_ms && t->response_ms != 0) {
        t->per_try_ms = 0;
    }
    take_ms(h, HDR_X_ENVOY_UPSTREAM_STREAM_DURATION_MS, &t->max_stream_ms);
    if (header_remove(h, HDR_X_ENVOY_UPSTREAM_RQ_TIMEOUT_ALT_RESPONSE) > 0) {
        t->status = 204;
    }
}

void request_timeouts_write(const struct request_timeouts *t, uint64_t elapsed_ms,
                            bool writes_expected, struct header_map *h)
{
    uint64_t expected_ms = t->per_try_ms != 0 ? t->per_try_ms : t->response_ms;
    char *text;

    if (expected_ms == 0) {
        return;
    }
    if (t->response_ms > 0) {
        /* At least 1, for 0 would be no limit; the timer is about to fire. */
        uint64_t left_ms = elapsed_ms < t->response_ms ? t->response_ms - elapsed_ms : 1;

        expected_ms = left_ms < expected_ms ? left_ms : expected_ms;
    }
    if (writes_expected) {
        text = arena_alloc(h->arena, U64_DIGITS);
        header_set(h, HDR_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS,
                   str_n(text, format_u64(expected_ms, text)));
    }
    if (t->writes_grpc_timeout) {
        text = arena_alloc(h->arena, GRPC_TIMEOUT_BYTES);
        header_set(h, HDR_GRPC_TIMEOUT, str_n(text, grpc_timeout_format(expected_ms, text)));
    }
}
