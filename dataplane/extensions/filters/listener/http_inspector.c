/*
 * envoy.filters.listener.http_inspector: which HTTP a plaintext connection begins with. The
 * connection's thread.
 *
 * Trust: none; only the shape of the first line is looked at, the codec judges it later.
 * Buffers: a request line of up to 64 KiB that comes in pieces.
 * Differs from Envoy: no.
 */

#include "config/parse/context.h"
#include "dataplane/event/loop.h"
#include "dataplane/net/listener_filter.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/stats/stats.h"
#include "proto/envoy/extensions/filters/listener/http_inspector/v3/http_inspector.pb-c.h"

#define MAX_INSPECT_BYTES (64u * 1024)
#define HTTP2_PREFACE STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

enum http_inspector_stat {
    HTTP_INSPECTOR_HTTP10_FOUND,
    HTTP_INSPECTOR_HTTP11_FOUND,
    HTTP_INSPECTOR_HTTP2_FOUND,
    HTTP_INSPECTOR_HTTP_NOT_FOUND,
    HTTP_INSPECTOR_READ_ERROR,
    HTTP_INSPECTOR_STAT_COUNT
};

static const struct stat_def http_inspector_stat_defs[HTTP_INSPECTOR_STAT_COUNT] = {
    [HTTP_INSPECTOR_HTTP10_FOUND] = {"http10_found", STAT_COUNTER},
    [HTTP_INSPECTOR_HTTP11_FOUND] = {"http11_found", STAT_COUNTER},
    [HTTP_INSPECTOR_HTTP2_FOUND] = {"http2_found", STAT_COUNTER},
    [HTTP_INSPECTOR_HTTP_NOT_FOUND] = {"http_not_found", STAT_COUNTER},
    [HTTP_INSPECTOR_READ_ERROR] = {"read_error", STAT_COUNTER},
};

static const struct stat_schema http_inspector_stat_schema = {
    .defs = http_inspector_stat_defs,
    .count = HTTP_INSPECTOR_STAT_COUNT,
    .shown_untouched = true,
};

struct http_inspector_config {
    struct stat_scope *stats; /* NULL: nobody counts */
};

struct http_inspector {
    size_t searched; /* bytes without a line feed */
};

/* --- configuration ------------------------------------------------------------------------ */

static void http_inspector_scope_free(void *object)
{
    stat_scope_unref(object);
}

static int http_inspector_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                                const void **ret_config)
{
    struct http_inspector_config *c = ARENA_NEW(parse_arena(ctx), struct http_inspector_config);

    (void)msg; /* it has no fields */
    *ret_config = c;
    if (ctx->stats == NULL) {
        return 0;
    }
    c->stats = stat_scope_ref(ctx->stats, &(struct stat_scope_spec){
                                              .prefix = STR("http_inspector."),
                                              .tagged_prefix = STR("http_inspector."),
                                              .schema = &http_inspector_stat_schema,
                                          });
    part_on_free(ctx->part, http_inspector_scope_free, c->stats);
    (void)stat_scope_block(c->stats, LOOP_MAIN_INDEX); /* zeros are shown from the start */
    return 0;
}

/* --- the first line ----------------------------------------------------------------------- */

enum http_verdict { HTTP_PARTIAL, HTTP_NONE, HTTP_1_0, HTTP_1_1, HTTP_2 };

#define TOKEN_CHARS "!#$%&'*+-.^_`|~"

/* As Envoy's parser: every control character separates words. */
static bool is_blank(char c)
{
    return (unsigned char)c <= ' ';
}

/* The next word of a line, which blanks separate. */
static struct str next_word(struct str *line)
{
    struct str word;
    size_t from = 0;
    size_t to;

    while (from < line->len && is_blank(line->ptr[from])) {
        from++;
    }
    for (to = from; to < line->len && !is_blank(line->ptr[to]);) {
        to++;
    }
    word = str_sub(*line, from, to);
    *line = str_sub(*line, to, line->len);
    return word;
}

/* What remains, without the blanks around it. */
static struct str last_words(struct str line)
{
    while (line.len > 0 && is_blank(line.ptr[0])) {
        line = str_sub(line, 1, line.len);
    }
    while (line.len > 0 && is_blank(line.ptr[line.len - 1])) {
        line.len--;
    }
    return line;
}

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
}

/* Whether all of `s` are letters, digits or among `more`. */
static bool consists_of(struct str s, const char *more)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_alnum(s.ptr[i]) && (s.ptr[i] == '\0' || strchr(more, s.ptr[i]) == NULL)) {
            return false;
        }
    }
    return true;
}

static bool is_visible(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '!' || s.ptr[i] > '~') {
            return false;
        }
    }
    return true;
}

/* A path or star, or scheme://host/path, or host:port of a CONNECT, as loosely as Envoy has it. */
static bool target_is_valid(struct str t, bool is_connect)
{
    size_t at = 0;

    if (t.len == 0) {
        return false;
    }
    if (t.ptr[0] == '/' || t.ptr[0] == '*') {
        return is_visible(t);
    }
    if (!is_connect) {
        at = str_find(t, STR("://"));
        if (at == STR_NPOS || ascii_lower(t.ptr[0]) < 'a' || ascii_lower(t.ptr[0]) > 'z' ||
            !consists_of(str_sub(t, 0, at), "+-.")) {
            return false;
        }
        t = str_sub(t, at + 3, t.len);
    }
    for (at = 0; at < t.len && t.ptr[at] != '/' && t.ptr[at] != '?';) {
        at++;
    }
    return consists_of(str_sub(t, 0, at), "!$%&()*+,-.:;=@[]_~") &&
           str_find(str_sub(t, 0, at), STR("@@")) == STR_NPOS && is_visible(str_sub(t, at, t.len));
}

/* Method, target and, but for HTTP/0.9, version. */
static enum http_verdict judge_line(struct str line)
{
    struct str method;
    struct str target;
    struct str version;

    method = next_word(&line);
    target = next_word(&line);
    version = last_words(line);
    if (method.len == 0 || !consists_of(method, TOKEN_CHARS) ||
        !target_is_valid(target, str_eq(method, STR("CONNECT")))) {
        return HTTP_NONE;
    }
    if (str_eq(version, STR("HTTP/1.1"))) {
        return HTTP_1_1;
    }
    if (version.len == 0) {
        return HTTP_1_0;
    }
    return version.len == 8 && str_starts(version, STR("HTTP/")) && version.ptr[6] == '.' &&
                   version.ptr[5] >= '0' && version.ptr[5] <= '9' && version.ptr[7] >= '0' &&
                   version.ptr[7] <= '9'
               ? HTTP_1_0
               : HTTP_NONE;
}

static enum http_verdict http_inspector_judge(struct http_inspector *s, struct str bytes)
{
    struct str rest = str_sub(bytes, s->searched, bytes.len);
    size_t end;

    if (str_starts(HTTP2_PREFACE, str_sub(bytes, 0, HTTP2_PREFACE.len))) {
        return bytes.len < HTTP2_PREFACE.len ? HTTP_PARTIAL : HTTP_2;
    }
    if (!consists_of(str_sub(bytes, 0, 1), TOKEN_CHARS)) {
        return HTTP_NONE;
    }
    end = str_find_char(rest, '\n');
    if (end == STR_NPOS) {
        s->searched = bytes.len;
        return HTTP_PARTIAL;
    }
    return judge_line(str_sub(bytes, 0, s->searched + end));
}

/* --- the filter --------------------------------------------------------------------------- */

static void http_inspector_count(const struct listener_filter *f, enum http_inspector_stat stat)
{
    const struct http_inspector_config *c = f->config;

    if (c->stats != NULL) {
        stat_inc(stat_scope_block(c->stats, f->inspection->thread->loop->index), stat);
    }
}

static enum listener_filter_status
http_inspector_found(struct listener_filter *f, enum http_inspector_stat stat, struct str protocol)
{
    http_inspector_count(f, stat);
    inspection_set_protocols(f->inspection, &protocol, 1);
    return LISTENER_FILTER_CONTINUE;
}

static enum listener_filter_status http_inspector_on_accept(struct listener_filter *f)
{
    struct str transport = f->inspection->info.transport_protocol;

    return transport.len > 0 && !str_eq(transport, STR("raw_buffer")) ? LISTENER_FILTER_CONTINUE
                                                                      : LISTENER_FILTER_WAIT;
}

static enum listener_filter_status http_inspector_on_data(struct listener_filter *f,
                                                          struct str bytes)
{
    switch (http_inspector_judge(f->state, str_sub(bytes, 0, MAX_INSPECT_BYTES))) {
    case HTTP_1_0:
        return http_inspector_found(f, HTTP_INSPECTOR_HTTP10_FOUND, STR("http/1.0"));
    case HTTP_1_1:
        return http_inspector_found(f, HTTP_INSPECTOR_HTTP11_FOUND, STR("http/1.1"));
    case HTTP_2:
        return http_inspector_found(f, HTTP_INSPECTOR_HTTP2_FOUND, STR("h2c"));
    case HTTP_NONE:
        http_inspector_count(f, HTTP_INSPECTOR_HTTP_NOT_FOUND);
        return LISTENER_FILTER_CONTINUE;
    case HTTP_PARTIAL:
        break;
    }
    if (bytes.len < MAX_INSPECT_BYTES) {
        return LISTENER_FILTER_WAIT;
    }
    http_inspector_count(f, HTTP_INSPECTOR_READ_ERROR);
    return LISTENER_FILTER_CLOSE;
}

const struct listener_filter_type listener_filter_http_inspector = {
    .ext =
        {
            .name = "envoy.filters.listener.http_inspector",
            .category = EXT_LISTENER_FILTER,
            .descriptor =
                &envoy__extensions__filters__listener__http_inspector__v3__http_inspector__descriptor,
            .parse = http_inspector_parse,
        },
    .state_bytes = sizeof(struct http_inspector),
    .on_accept = http_inspector_on_accept,
    .on_data = http_inspector_on_data,
};
