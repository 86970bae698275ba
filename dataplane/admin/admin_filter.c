/*
 * The admin interface's end of a filter chain: takes the request, sends the answer as the client
 * reads it. A client that does not read holds the state of a long answer or its one rendered body,
 * and bodies are bounded over all clients; its connection ends with the stream's idle timeout.
 * Main thread.
 */

#include <stdlib.h>

#include "dataplane/admin/admin_internal.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/event/loop.h"
#include "dataplane/runtime/thread_context.h"

#define FORM_BYTES_MAX (64 * 1024)
#define UNREAD_BYTES_MAX (64 * 1024 * 1024)

#define HTML_POLICY                                                                                \
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "         \
    "frame-ancestors 'none'"

/* Heap: an answer that is being sent may outlive its stream by the call that ended it. */
struct answer {
    struct admin *admin;
    struct loop *loop;
    struct admin_response rs;
    size_t sent;    /* of the body */
    size_t counted; /* in admin_unread_bytes */
    bool is_paused;
    bool is_sending; /* somewhere below on the stack */
    bool is_over;    /* the stream has gone */
};

struct admin_stream {
    struct strbuf form;
    bool is_above_watermark;
    struct answer *answer; /* NULL before the request is complete */
};

static void answer_free(struct answer *an)
{
    *admin_unread_bytes(an->admin) -= an->counted;
    admin_response_done(&an->rs);
    loop_note_freed(an->loop, an->counted); /* and what rendering it took, which is no less */
    free(an);
}

/* --- sending ------------------------------------------------------------------------------ */

/* Moves the next piece into `out`; false: it is the last. */
static bool answer_next_piece(struct answer *an, struct buf *out)
{
    struct strbuf piece;
    bool has_more = true;

    if (an->sent < an->rs.body.len) {
        size_t end = an->sent + ADMIN_PIECE_BYTES;

        buf_add_str(out, str_sub(strbuf_str(&an->rs.body), an->sent, end));
        an->sent = end < an->rs.body.len ? end : an->rs.body.len;
        return an->sent < an->rs.body.len || an->rs.pieces != NULL;
    }
    strbuf_init(&piece);
    has_more = an->rs.pieces != NULL && an->rs.pieces->next(an->rs.pieces_state, &piece);
    buf_add_str(out, strbuf_str(&piece));
    strbuf_done(&piece);
    return has_more;
}

/* Until the client's buffer is full or all is sent. */
static void answer_send(struct http_filter *f, struct answer *an)
{
    bool has_more = true;

    if (an->is_sending) {
        return;
    }
    an->is_sending = true;
    while (has_more && !an->is_paused && !an->is_over) {
        struct buf piece;

        buf_init(&piece, &http_filter_thread(f)->loop->bufs);
        has_more = answer_next_piece(an, &piece);
        http_filter_respond_data(f, &piece, !has_more);
    }
    an->is_sending = false;
    if (an->is_over) {
        answer_free(an);
    }
}

/* A browser says where a request comes from: another site's page is not to stop the proxy with a
 * form of its own. Other clients say nothing. */
static bool is_cross_site_post(const struct header_map *request)
{
    const struct header *site = header_find_name(request, STR("sec-fetch-site"));

    return site != NULL && str_eq_nocase(site->value, STR("cross-site")) &&
           str_eq(header_get(request, HDR_METHOD), STR("POST"));
}

static bool is_html(const struct admin_response *rs)
{
    return str_starts(str_c(rs->content_type), STR("text/html"));
}

/* Headers as Envoy's admin sends them; the connection manager adds date and server. */
static struct header_map *answer_headers(const struct answer *an, struct arena *arena)
{
    struct header_map *h = ARENA_NEW(arena, struct header_map);

    header_map_init(h, arena);
    header_add(h, HDR_STATUS, arena_printf(arena, "%d", an->rs.status));
    header_add(h, HDR_CONTENT_TYPE, str_c(an->rs.content_type));
    header_add(h, HDR_CACHE_CONTROL, STR("no-cache, max-age=0"));
    header_add_name(h, STR("x-content-type-options"), STR("nosniff"));
    if (is_html(&an->rs)) {
        header_add_name(h, STR("content-security-policy"),
                        an->rs.content_policy != NULL ? str_c(an->rs.content_policy)
                                                      : STR(HTML_POLICY));
    }
    return h;
}

static void answer_start(struct http_filter *f, struct answer *an, struct str form)
{
    const struct header_map *request = http_filter_request_headers(f);
    size_t *unread = admin_unread_bytes(an->admin);

    if (*unread >= UNREAD_BYTES_MAX) {
        an->rs.status = 503;
        strbuf_add_c(&an->rs.body, "too many answers wait to be read\n");
        return;
    }
    if (is_cross_site_post(request)) {
        an->rs.status = 403;
        strbuf_add_c(&an->rs.body, "changes are not taken from other sites' pages\n");
        return;
    }
    admin_handle(an->admin,
                 &(struct admin_call){.method = header_get(request, HDR_METHOD),
                                      .path_and_query = header_get(request, HDR_PATH),
                                      .form = form},
                 &an->rs);
    an->counted = an->rs.body.len;
    *unread += an->counted;
}

static void admin_respond(struct http_filter *f)
{
    struct admin_stream *s = f->state;
    struct answer *an = xcalloc(1, sizeof(*an));
    bool is_head = str_eq(header_get(http_filter_request_headers(f), HDR_METHOD), STR("HEAD"));
    struct header_map *h;

    an->admin = (struct admin *)(uintptr_t)f->config;
    an->loop = http_filter_thread(f)->loop;
    an->is_paused = s->is_above_watermark;
    an->rs = (struct admin_response){.status = 200, .content_type = "text/plain; charset=UTF-8"};
    strbuf_init(&an->rs.body);
    answer_start(f, an, strbuf_str(&s->form));
    h = answer_headers(an, http_filter_arena(f));
    if (is_head) {
        answer_free(an);
        http_filter_respond_headers(f, h, true);
        return;
    }
    s->answer = an;
    an->is_sending = true; /* the headers may end the stream */
    http_filter_respond_headers(f, h, false);
    an->is_sending = false;
    if (an->is_over) {
        answer_free(an);
    } else {
        answer_send(f, an);
    }
}

static void admin_on_watermark(struct http_filter *f, bool is_above)
{
    struct admin_stream *s = f->state;
    struct answer *an = s->answer;

    s->is_above_watermark = is_above;
    if (an != NULL) {
        an->is_paused = is_above;
        if (!is_above) {
            answer_send(f, an);
        }
    }
}

/* --- the request -------------------------------------------------------------------------- */

static bool has_form(const struct http_filter *f)
{
    return str_starts_nocase(header_get(http_filter_request_headers(f), HDR_CONTENT_TYPE),
                             STR("application/x-www-form-urlencoded"));
}

static enum filter_status admin_decode_headers(struct http_filter *f, struct header_map *h,
                                               bool end_stream)
{
    (void)h;
    if (end_stream) {
        admin_respond(f);
    }
    return FILTER_STOP;
}

static enum filter_status admin_decode_data(struct http_filter *f, struct buf *data,
                                            bool end_stream)
{
    struct admin_stream *s = f->state;

    if (has_form(f)) {
        if (s->form.len + data->len > FORM_BYTES_MAX) {
            http_filter_local_reply(f, 413, STR("Payload Too Large"), NULL, FLAG_NONE,
                                    STR("request_payload_too_large"));
            return FILTER_STOP;
        }
        buf_copy_out(data, 0, strbuf_reserve(&s->form, data->len), data->len);
        s->form.len += data->len;
    }
    buf_reset(data); /* no page reads another body */
    if (end_stream) {
        admin_respond(f);
    }
    return FILTER_STOP_AND_BUFFER;
}

static enum filter_status admin_decode_trailers(struct http_filter *f, struct header_map *trailers)
{
    (void)trailers;
    admin_respond(f);
    return FILTER_STOP;
}

static void admin_on_destroy(struct http_filter *f)
{
    struct admin_stream *s = f->state;
    struct answer *an = s->answer;

    strbuf_done(&s->form);
    s->answer = NULL;
    if (an == NULL) {
        return;
    }
    an->is_over = true;
    if (!an->is_sending) {
        answer_free(an);
    }
}

const struct http_filter_type http_filter_admin = {
    .ext = {.name = "nuncio.filters.http.admin", .category = EXT_HTTP_FILTER, .is_terminal = true},
    .stream_size = sizeof(struct admin_stream),
    .decode_headers = admin_decode_headers,
    .decode_data = admin_decode_data,
    .decode_trailers = admin_decode_trailers,
    .on_downstream_watermark = admin_on_watermark,
    .on_destroy = admin_on_destroy,
};
