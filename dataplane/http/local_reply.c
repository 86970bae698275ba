/* Local replies as Envoy forms them. Any thread, no state. */

#include "dataplane/http/local_reply.h"

#include "dataplane/stream_info/grpc_status.h"

static struct str decimal(struct arena *a, uint64_t v)
{
    char *text = arena_alloc(a, U64_DIGITS);

    return str_n(text, format_u64(v, text));
}

struct header_map *local_reply_headers(const struct local_reply *reply, struct arena *a)
{
    struct header_map *h = arena_alloc(a, sizeof(*h));

    header_map_init(h, a);
    header_add(h, HDR_STATUS, decimal(a, (uint64_t)reply->status));
    if (reply->extra != NULL) {
        header_for_each(e, reply->extra)
        {
            header_add_name(h, arena_str(a, e->name), arena_str(a, e->value));
        }
    }
    return h;
}

static void local_reply_finish_grpc(const struct local_reply *reply, bool is_head,
                                    struct header_map *h)
{
    uint64_t status =
        reply->has_grpc_status ? reply->grpc_status : grpc_status_of_http(reply->status);

    header_set(h, HDR_STATUS, STR("200"));
    header_set(h, HDR_CONTENT_TYPE, STR("application/grpc"));
    if (!header_has(h, HDR_GRPC_STATUS)) {
        header_add(h, HDR_GRPC_STATUS, decimal(h->arena, status));
    }
    if (reply->body.len > 0 && !is_head) {
        header_set(h, HDR_GRPC_MESSAGE, grpc_message_encode(h->arena, reply->body));
    }
    (void)header_remove(h, HDR_CONTENT_LENGTH);
}

struct str local_reply_finish(const struct local_reply *reply, bool is_grpc, bool is_head,
                              struct header_map *h)
{
    if (is_grpc) {
        local_reply_finish_grpc(reply, is_head, h);
        return STR_NONE;
    }
    if (reply->body.len == 0) {
        (void)header_remove(h, HDR_CONTENT_LENGTH);
        (void)header_remove(h, HDR_CONTENT_TYPE);
        return STR_NONE;
    }
    header_set(h, HDR_CONTENT_LENGTH, decimal(h->arena, reply->body.len));
    if (!header_has(h, HDR_CONTENT_TYPE)) {
        header_add(h, HDR_CONTENT_TYPE, STR("text/plain"));
    }
    return is_head ? STR_NONE : reply->body;
}
