/* Log filters against one stream. Owns nothing; the stream's thread. */

#include "dataplane/stream_info/log_filter.h"

#include "config/model/route.h"
#include "dataplane/base/clock.h"
#include "dataplane/codec/header_match.h"
#include "dataplane/event/loop.h"
#include "dataplane/net/listener_filter.h"
#include "dataplane/runtime/runtime.h"
#include "dataplane/stream_info/grpc_status.h"

#define NS_PER_MS UINT64_C(1000000)
/* As much of a uuid as Envoy takes a number from. */
#define REQUEST_ID_NUMBER_BYTES 8

static bool log_filter_compare(const struct log_filter *f, uint64_t n,
                               const struct thread_context *t)
{
    uint64_t value = runtime_get_u64(t, f->runtime_key, f->value);

    switch (f->op) {
    case LOG_FILTER_EQ:
        return n == value;
    case LOG_FILTER_GE:
        return n >= value;
    case LOG_FILTER_LE:
        return n <= value;
    case LOG_FILTER_NE:
        return n != value;
    }
    return false;
}

static uint64_t stream_duration_ms(const struct stream_info *si)
{
    uint64_t end_ns = si->end_ns != 0 ? si->end_ns : clock_mono_ns();

    return end_ns > si->start_mono_ns ? (end_ns - si->start_mono_ns) / NS_PER_MS : 0;
}

/* As Envoy: the request's id decides alike on every hop it passes. */
static bool log_filter_samples(const struct log_filter *f, const struct access_log_entry *e,
                               struct thread_context *t)
{
    struct str id = STR_NONE;
    uint64_t number;

    if (!f->is_independent && e->request_headers != NULL) {
        id = header_get(e->request_headers, HDR_X_REQUEST_ID);
    }
    if (id.len < REQUEST_ID_NUMBER_BYTES ||
        parse_u64_hex(str_sub(id, 0, REQUEST_ID_NUMBER_BYTES), &number) < 0) {
        number = rng_next(&t->loop->rng);
    }
    return runtime_feature_enabled(t, f->runtime_key, f->fraction.numerator,
                                   f->fraction.denominator, number);
}

static bool log_filter_header(const struct log_filter *f, const struct access_log_entry *e)
{
    static const struct header_map none;

    return header_matcher_matches(f->header,
                                  e->request_headers != NULL ? e->request_headers : &none);
}

/* As Envoy: also of what is no gRPC, by what its HTTP status would mean. */
static uint64_t stream_grpc_status(const struct access_log_entry *e)
{
    uint64_t status;

    if ((e->response_trailers != NULL && grpc_status_of(e->response_trailers, &status)) ||
        (e->response_headers != NULL && grpc_status_of(e->response_headers, &status))) {
        return status;
    }
    return e->info->response_code != 0 ? grpc_status_of_http(e->info->response_code)
                                       : GRPC_STATUS_UNKNOWN;
}

static bool log_filter_has(const struct log_filter *f, uint64_t n)
{
    return (n < 64 && (f->set & (uint64_t)1 << n) != 0) != f->exclude;
}

/* As Envoy, which does not look at the matcher's `invert`. */
static bool log_filter_metadata(const struct log_filter *f, const struct stream_info *si)
{
    const struct value *v = NULL;

    if (f->has_metadata && si->connection_info != NULL) {
        v = metadata_matcher_find(&f->metadata, si->connection_info->metadata);
    }
    return v != NULL ? value_matcher_matches(&f->metadata.value, v) : f->matches_absent;
}

/* AND stops at the first that does not match, OR at the first that does. */
static bool log_filter_parts(const struct log_filter *f, const struct access_log_entry *e,
                             struct thread_context *t)
{
    bool stops_at = f->kind == LOG_FILTER_OR;

    for (size_t i = 0; i < f->part_count; i++) {
        if (log_filter_matches(&f->parts[i], e, t) == stops_at) {
            return stops_at;
        }
    }
    return !stops_at;
}

bool log_filter_matches(const struct log_filter *f, const struct access_log_entry *e,
                        struct thread_context *t)
{
    const struct stream_info *si = e->info;

    switch (f->kind) {
    case LOG_FILTER_STATUS_CODE:
        return log_filter_compare(f, (uint64_t)si->response_code, t);
    case LOG_FILTER_DURATION:
        return log_filter_compare(f, stream_duration_ms(si), t);
    case LOG_FILTER_NOT_HEALTH_CHECK:
        return !si->is_health_check;
    case LOG_FILTER_TRACEABLE:
        return false; /* as in Envoy where no tracing is configured */
    case LOG_FILTER_RUNTIME:
        return log_filter_samples(f, e, t);
    case LOG_FILTER_AND:
    case LOG_FILTER_OR:
        return log_filter_parts(f, e, t);
    case LOG_FILTER_HEADER:
        return log_filter_header(f, e);
    case LOG_FILTER_RESPONSE_FLAG:
        return f->set != 0 ? (si->flags & f->set) != 0 : si->flags != 0;
    case LOG_FILTER_GRPC_STATUS:
        return log_filter_has(f, stream_grpc_status(e));
    case LOG_FILTER_METADATA:
        return log_filter_metadata(f, si);
    case LOG_FILTER_LOG_TYPE:
        return log_filter_has(f, e->type);
    }
    return true;
}
