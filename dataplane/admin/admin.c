/* Routing and answering of admin requests. Main thread. */

#include "dataplane/admin/admin.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/base/xalloc.h"
#include "dataplane/event/loop.h"
#include "dataplane/runtime/thread_context.h"

#define PARAMS_MAX 32

struct admin_entry {
    const struct admin_endpoint *endpoint;
    void *context;
};

struct admin {
    struct admin_entry *entries; /* sorted by path */
    size_t count;
    void (*refresh)(void *context);
    void *refresh_context;
};

struct admin *admin_new(void)
{
    return xcalloc(1, sizeof(struct admin));
}

void admin_free(struct admin *a)
{
    if (a != NULL) {
        free(a->entries);
        free(a);
    }
}

static int entry_cmp(const void *x, const void *y)
{
    return strcmp(((const struct admin_entry *)x)->endpoint->path,
                  ((const struct admin_entry *)y)->endpoint->path);
}

void admin_add(struct admin *a, const struct admin_endpoint *e, void *context)
{
    a->entries = xreallocarray(a->entries, a->count + 1, sizeof(*a->entries));
    a->entries[a->count++] = (struct admin_entry){e, context};
    qsort(a->entries, a->count, sizeof(*a->entries), entry_cmp);
}

void admin_set_refresh(struct admin *a, void (*refresh)(void *context), void *context)
{
    a->refresh = refresh;
    a->refresh_context = context;
}

/* --- request line ------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* '+' stays: a raw regex in `filter` is common. What is no valid escape stays as it is. */
static struct str percent_decode(struct arena *arena, struct str s)
{
    char *out = arena_alloc(arena, s.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '%' && i + 2 < s.len && hex_digit(s.ptr[i + 1]) >= 0 &&
            hex_digit(s.ptr[i + 2]) >= 0) {
            out[n++] = (char)(hex_digit(s.ptr[i + 1]) * 16 + hex_digit(s.ptr[i + 2]));
            i += 2;
        } else {
            out[n++] = s.ptr[i];
        }
    }
    out[n] = '\0';
    return str_n(out, n);
}

static size_t parse_query(struct arena *arena, struct str query, struct admin_param *params)
{
    struct str rest = query;
    struct str pair;
    size_t n = 0;

    while (n < PARAMS_MAX && str_split(&rest, '&', &pair)) {
        size_t eq = str_find_char(pair, '=');
        struct str value = eq == STR_NPOS ? STR("") : str_sub(pair, eq + 1, pair.len);

        if (pair.len == 0) {
            continue;
        }
        params[n].name = percent_decode(arena, eq == STR_NPOS ? pair : str_sub(pair, 0, eq));
        params[n++].value = percent_decode(arena, value);
    }
    return n;
}

static const struct admin_entry *admin_find(const struct admin *a, struct str path)
{
    for (size_t i = 0; i < a->count; i++) {
        if (str_eq(path, str_c(a->entries[i].endpoint->path))) {
            return &a->entries[i];
        }
    }
    return NULL;
}

static void render_commands(const struct admin *a, struct strbuf *out)
{
    strbuf_add_c(out, "admin commands are:\n");
    for (size_t i = 0; i < a->count; i++) {
        const struct admin_endpoint *e = a->entries[i].endpoint;

        strbuf_addf(out, "  %s%s: %s\n", e->path, e->needs_post ? " (POST)" : "", e->help);
    }
}

void admin_handle(const struct admin *a, struct str method, struct str path_and_query,
                  struct admin_response *rs)
{
    size_t mark = str_find_char(path_and_query, '?');
    struct admin_param params[PARAMS_MAX];
    struct admin_request rq = {.params = params, .is_post = str_eq(method, STR("POST"))};
    const struct admin_entry *entry;
    struct arena arena;

    arena_init(&arena, NULL);
    rq.path = mark == STR_NPOS ? path_and_query : str_sub(path_and_query, 0, mark);
    while (str_starts(rq.path, STR("//"))) {
        rq.path = str_sub(rq.path, 1, rq.path.len); /* "//stats" of sloppy pollers */
    }
    if (mark != STR_NPOS) {
        rq.param_count =
            parse_query(&arena, str_sub(path_and_query, mark + 1, path_and_query.len), params);
    }
    entry = admin_find(a, rq.path);
    if (entry == NULL) {
        rs->status = str_eq(rq.path, STR("/help")) ? 200 : 404;
        if (rs->status == 404) {
            strbuf_add_c(&rs->body, "invalid path. ");
        }
        render_commands(a, &rs->body);
    } else if (entry->endpoint->needs_post && !rq.is_post) {
        rs->status = 405;
        strbuf_addf(&rs->body, "Method %.*s not allowed, POST required.", STR_ARG(method));
    } else {
        if (a->refresh != NULL) {
            a->refresh(a->refresh_context);
        }
        entry->endpoint->render(entry->context, &rq, rs);
    }
    arena_done(&arena);
}

/* --- HTTP --------------------------------------------------------------------------------- */

/* Headers as Envoy's admin sends them; the connection manager adds date and server. */
static void admin_respond(struct http_filter *f)
{
    struct header_map *request = http_filter_request_headers(f);
    struct arena *arena = http_filter_arena(f);
    struct admin_response rs = {.status = 200, .content_type = "text/plain; charset=UTF-8"};
    struct header_map *h = ARENA_NEW(arena, struct header_map);
    struct buf body;
    bool is_head = str_eq(header_get(request, HDR_METHOD), STR("HEAD"));

    strbuf_init(&rs.body);
    admin_handle(f->config, header_get(request, HDR_METHOD), header_get(request, HDR_PATH), &rs);
    header_map_init(h, arena);
    header_add(h, HDR_STATUS, arena_printf(arena, "%d", rs.status));
    header_add(h, HDR_CONTENT_TYPE, str_c(rs.content_type));
    header_add(h, HDR_CACHE_CONTROL, STR("no-cache, max-age=0"));
    header_add_name(h, STR("x-content-type-options"), STR("nosniff"));
    if (is_head || rs.body.len == 0) {
        http_filter_respond_headers(f, h, true);
    } else {
        buf_init(&body, &http_filter_thread(f)->loop->bufs);
        buf_add_str(&body, strbuf_str(&rs.body));
        http_filter_respond_headers(f, h, false);
        http_filter_respond_data(f, &body, true);
    }
    strbuf_done(&rs.body);
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
    buf_reset(data); /* no endpoint reads a body */
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

const struct http_filter_type http_filter_admin = {
    .ext = {.name = "nuncio.filters.http.admin", .category = EXT_HTTP_FILTER, .is_terminal = true},
    .decode_headers = admin_decode_headers,
    .decode_data = admin_decode_data,
    .decode_trailers = admin_decode_trailers,
};
