/* Local replies as Envoy forms them. Any thread, no state. */

#include "dataplane/http/local_reply.h"

#include "dataplane/http/conn_manager_config.h"
#include "dataplane/http/header_rewrite.h"
#include "dataplane/stream_info/formatter.h"
#include "dataplane/stream_info/grpc_status.h"
#include "dataplane/stream_info/log_filter.h"

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

/* --- local_reply_config ------------------------------------------------------------------- */

static void mapper_apply(const struct local_reply_mapper *m, struct local_reply *reply,
                         struct stream_info *info, const struct access_log_entry *entry,
                         struct thread_context *t, struct header_map *h)
{
    struct header_rewrite rw = {.entry = entry, .thread = t};

    if (m->has_body) {
        reply->body = m->body;
    }
    header_ops_apply(&m->headers, &rw, h);
    header_drop_invalid(h);
    if (m->status != 0) {
        reply->status = m->status;
        header_set(h, HDR_STATUS, decimal(h->arena, (uint64_t)m->status));
        info->response_code = m->status;
    }
}

struct str local_reply_format(const struct substitution_format *f, struct str body,
                              struct stream_info *info, const struct access_log_entry *entry,
                              struct thread_context *t, struct arena *a, struct str *type)
{
    struct strbuf out;

    strbuf_init(&out);
    info->local_reply_body = body;
    if (f->is_json) {
        formatter_json(&f->json, entry, t, f->omit_empty_values, &out);
        *type = STR("application/json");
    } else {
        formatter_text(&f->text, entry, t, f->omit_empty_values, &out);
    }
    info->local_reply_body = STR_NONE;
    body = arena_str(a, strbuf_str(&out));
    strbuf_done(&out);
    if (f->content_type.len > 0) {
        *type = f->content_type;
    }
    return body;
}

void local_reply_rewrite(const struct local_reply_config *c, struct local_reply *reply,
                         struct stream_info *info, const struct access_log_entry *entry,
                         struct thread_context *t, struct header_map *h)
{
    struct str type = header_get(h, HDR_CONTENT_TYPE);
    struct str body = reply->body;
    const struct substitution_format *format = c->format;

    info->response_code = reply->status; /* filters and formats look at it */
    for (size_t i = 0; i < c->mapper_count; i++) {
        const struct local_reply_mapper *m = &c->mappers[i];

        if (log_filter_matches(&m->filter, entry, t)) {
            mapper_apply(m, reply, info, entry, t, h);
            format = m->format != NULL ? m->format : format;
            break;
        }
    }
    if (format != NULL) {
        reply->body =
            local_reply_format(format, reply->body, info, entry, t, h->arena, &reply->content_type);
    }
    /* A type that the mapper's headers gave stays. */
    reply->replaces_content_type =
        str_eq(type, header_get(h, HDR_CONTENT_TYPE)) && !str_eq(body, reply->body);
}

/* --- the end of the head ------------------------------------------------------------------ */

/* As Envoy: a line of JSON has an end, a header value has none. */
static struct str grpc_message(const struct local_reply *reply)
{
    bool is_line =
        str_eq(reply->content_type, STR("application/json")) && str_ends(reply->body, STR("\n"));

    return is_line ? str_sub(reply->body, 0, reply->body.len - 1) : reply->body;
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
        header_set(h, HDR_GRPC_MESSAGE, grpc_message_encode(h->arena, grpc_message(reply)));
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
    if (!header_has(h, HDR_CONTENT_TYPE) || reply->replaces_content_type) {
        header_set(h, HDR_CONTENT_TYPE,
                   reply->content_type.len > 0 ? reply->content_type : STR("text/plain"));
    }
    return is_head ? STR_NONE : reply->body;
}
