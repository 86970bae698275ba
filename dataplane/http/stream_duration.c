/* See stream_duration.h. */

#include "dataplane/http/stream_duration.h"

#include "dataplane/codec/grpc_timeout.h"
#include "dataplane/stream_info/grpc_status.h"

/* What the client asked for, within what the route allows. */
static uint64_t duration_of_client(const struct route_forward *f, uint64_t asked_ms)
{
    const struct opt_ms *max = &f->grpc_timeout_header_max;
    const struct opt_ms *offset = &f->grpc_timeout_header_offset;
    uint64_t ms = asked_ms;

    if (max->ms != 0 && ms > max->ms) {
        ms = max->ms;
    }
    if (offset->is_set) {
        ms = offset->ms < ms ? ms - offset->ms : 0;
    }
    return ms;
}

bool stream_duration_decide(const struct route_forward *f, uint64_t manager_ms,
                            struct header_map *request, uint64_t *ret_ms)
{
    bool tells_server = f->has_stream_duration && grpc_is_request(request);
    uint64_t ms = f->max_stream_duration.is_set ? f->max_stream_duration.ms : manager_ms;
    uint64_t asked_ms;

    if (f->grpc_timeout_header_max.is_set &&
        grpc_timeout_parse(header_get(request, HDR_GRPC_TIMEOUT), &asked_ms)) {
        ms = duration_of_client(f, asked_ms);
    } else if (ms == 0) {
        if (tells_server && manager_ms > 0) { /* a limit that the route lifts */
            (void)header_remove(request, HDR_GRPC_TIMEOUT);
        }
        return false;
    }
    if (tells_server) {
        char *text = arena_alloc(request->arena, GRPC_TIMEOUT_BYTES);

        header_set(request, HDR_GRPC_TIMEOUT, str_n(text, grpc_timeout_format(ms, text)));
    }
    *ret_ms = ms;
    return true;
}
