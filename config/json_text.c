/*
 * JSON text to nodes: RFC 8259, and what protobuf's reader takes beyond it in the mode that Envoy
 * uses: commas at the end, single quotes, bare keys, control characters in strings. A duplicate key
 * is an error. Main thread; no state.
 */

#include "config/text_node.h"

struct json_reader {
    const char *pos;
    const char *end;
    const char *line_start;
    unsigned line;
    int depth;
    struct arena *arena;
    struct error *err;
};

static int json_value(struct json_reader *r, const struct text_node **ret);

static int json_fail(struct json_reader *r, const char *what)
{
    return error_set(r->err, E_INVALID, "%u:%u: %s", r->line,
                     (unsigned)(r->pos - r->line_start) + 1, what);
}

static void json_skip_space(struct json_reader *r)
{
    for (; r->pos < r->end; r->pos++) {
        if (*r->pos == '\n') {
            r->line++;
            r->line_start = r->pos + 1;
        } else if (*r->pos != ' ' && *r->pos != '\t' && *r->pos != '\r') {
            break;
        }
    }
}

static bool json_take(struct json_reader *r, char c)
{
    json_skip_space(r);
    if (r->pos < r->end && *r->pos == c) {
        r->pos++;
        return true;
    }
    return false;
}

static int hex_value(char c)
{
    c = ascii_lower(c);
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool json_hex4(struct json_reader *r, unsigned *ret)
{
    unsigned v = 0;

    if (r->end - r->pos < 4) {
        return false;
    }
    for (int i = 0; i < 4; i++) {
        int h = hex_value(*r->pos++);

        if (h < 0) {
            return false;
        }
        v = v * 16 + (unsigned)h;
    }
    *ret = v;
    return true;
}

static size_t utf8_put(char *out, unsigned c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* After "\u". */
static bool json_code_point(struct json_reader *r, unsigned *ret)
{
    unsigned high;
    unsigned low;

    if (!json_hex4(r, &high) || (high >= 0xdc00 && high < 0xe000)) {
        return false;
    }
    if (high >= 0xd800 && high < 0xdc00) {
        if (r->end - r->pos < 2 || r->pos[0] != '\\' || r->pos[1] != 'u') {
            return false;
        }
        r->pos += 2;
        if (!json_hex4(r, &low) || low < 0xdc00 || low >= 0xe000) {
            return false;
        }
        high = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    }
    *ret = high;
    return true;
}

static int json_escape_sequence(struct json_reader *r, char *out, size_t *n)
{
    static const char FROM[] = "\"'\\/bfnrt";
    static const char TO[] = "\"'\\/\b\f\n\r\t";
    const char *at;
    unsigned c;

    if (r->pos == r->end) {
        return json_fail(r, "unterminated string");
    }
    if (*r->pos == 'u' || *r->pos == 'U') {
        r->pos++;
        if (!json_code_point(r, &c)) {
            return json_fail(r, "bad \\u escape");
        }
        *n += utf8_put(out + *n, c);
        return 0;
    }
    at = memchr(FROM, *r->pos, sizeof(FROM) - 1);
    if (at == NULL) {
        return json_fail(r, "bad escape");
    }
    out[(*n)++] = TO[at - FROM];
    r->pos++;
    return 0;
}

/* After the opening quote, up to the same one. */
static int json_string(struct json_reader *r, char quote, struct str *ret)
{
    const char *close = r->pos;
    size_t n = 0;
    char *out;

    while (close < r->end && *close != quote) {
        close += *close == '\\' && close + 1 < r->end ? 2 : 1;
    }
    if (close >= r->end) {
        return json_fail(r, "unterminated string");
    }
    out = arena_alloc(r->arena, (size_t)(close - r->pos) + 1);
    while (r->pos < close) {
        char c = *r->pos++;

        if (c == '\n') {
            r->line++;
            r->line_start = r->pos;
        }
        if (c != '\\') {
            out[n++] = c;
        } else if (json_escape_sequence(r, out, &n) != 0) {
            return E_INVALID;
        }
    }
    r->pos = close + 1;
    out[n] = '\0';
    *ret = str_n(out, n);
    return str_is_utf8(*ret) ? 0 : json_fail(r, "invalid UTF-8");
}

static bool is_bare_char(char c, bool is_first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' ||
           (!is_first && c >= '0' && c <= '9');
}

static int json_key(struct json_reader *r, struct str *ret)
{
    const char *start;

    if (json_take(r, '"')) {
        return json_string(r, '"', ret);
    }
    if (json_take(r, '\'')) {
        return json_string(r, '\'', ret);
    }
    start = r->pos;
    while (r->pos < r->end && is_bare_char(*r->pos, r->pos == start)) {
        r->pos++;
    }
    *ret = arena_str(r->arena, str_n(start, (size_t)(r->pos - start)));
    return ret->len > 0 ? 0 : json_fail(r, "key expected");
}

/* Room for one more element of `size`; what was there is copied. */
static void *json_grow(struct json_reader *r, const void *old, size_t count, size_t size)
{
    void *bigger;

    if ((count & (count - 1)) != 0) { /* a power of two: full */
        return (void *)(uintptr_t)old;
    }
    bigger = arena_calloc(r->arena, count > 0 ? count * 2 : 1, size);
    if (count > 0) {
        memcpy(bigger, old, count * size);
    }
    return bigger;
}

/* After '['. */
static int json_list(struct json_reader *r, struct text_node *n)
{
    const struct text_node **items;

    n->kind = TEXT_LIST;
    while (!json_take(r, ']')) {
        items = json_grow(r, (const void *)n->items, n->count, sizeof(struct text_node *));
        n->items = items;
        if (json_value(r, &items[n->count]) != 0) {
            return E_INVALID;
        }
        n->count++;
        if (!json_take(r, ',')) {
            return json_take(r, ']') ? 0 : json_fail(r, "',' or ']' expected");
        }
    }
    return 0;
}

static int json_member(struct json_reader *r, struct text_member *m)
{
    json_skip_space(r);
    m->line = r->line;
    m->column = (unsigned)(r->pos - r->line_start) + 1;
    if (json_key(r, &m->key) != 0) {
        return E_INVALID;
    }
    if (!json_take(r, ':')) {
        return json_fail(r, "':' expected");
    }
    return json_value(r, &m->value);
}

static int json_check_keys(struct json_reader *r, const struct text_node *n)
{
    const struct text_member *twice = text_find_duplicate(n);

    return twice == NULL ? 0
                         : error_set(r->err, E_INVALID, "%u:%u: duplicate key '%.*s'", twice->line,
                                     twice->column, STR_ARG(twice->key));
}

/* After '{'. */
static int json_map(struct json_reader *r, struct text_node *n)
{
    struct text_member *members;

    n->kind = TEXT_MAP;
    while (!json_take(r, '}')) {
        members = json_grow(r, n->members, n->count, sizeof(*members));
        n->members = members;
        if (json_member(r, &members[n->count]) != 0) {
            return E_INVALID;
        }
        n->count++;
        if (!json_take(r, ',')) {
            return json_take(r, '}') ? json_check_keys(r, n) : json_fail(r, "',' or '}' expected");
        }
    }
    return json_check_keys(r, n);
}

static bool json_take_word(struct json_reader *r, const char *word)
{
    struct str w = str_c(word);

    if (!str_starts(str_n(r->pos, (size_t)(r->end - r->pos)), w)) {
        return false;
    }
    r->pos += w.len;
    return true;
}

static size_t count_digits(struct json_reader *r)
{
    const char *start = r->pos;

    while (r->pos < r->end && *r->pos >= '0' && *r->pos <= '9') {
        r->pos++;
    }
    return (size_t)(r->pos - start);
}

static bool json_take_char(struct json_reader *r, char a, char b)
{
    if (r->pos < r->end && (*r->pos == a || *r->pos == b)) {
        r->pos++;
        return true;
    }
    return false;
}

/* -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)? */
static bool json_take_number(struct json_reader *r)
{
    (void)json_take_char(r, '-', '-');
    if (json_take_char(r, '0', '0')) {
        if (count_digits(r) > 0) {
            return false;
        }
    } else if (count_digits(r) == 0) {
        return false;
    }
    if (json_take_char(r, '.', '.') && count_digits(r) == 0) {
        return false;
    }
    if (json_take_char(r, 'e', 'E')) {
        (void)json_take_char(r, '+', '-');
        return count_digits(r) > 0;
    }
    return true;
}

static int json_number(struct json_reader *r, struct text_node *n)
{
    const char *start = r->pos;
    double d;

    if (!json_take_number(r)) {
        r->pos = start;
        return json_fail(r, "value expected");
    }
    n->kind = TEXT_NUMBER;
    n->scalar = arena_str(r->arena, str_n(start, (size_t)(r->pos - start)));
    if (parse_double(n->scalar, &d) != 0) {
        r->pos = start;
        return json_fail(r, "number out of range");
    }
    return 0;
}

static int json_value(struct json_reader *r, const struct text_node **ret)
{
    struct text_node *n = ARENA_NEW(r->arena, struct text_node);
    int result = 0;

    json_skip_space(r);
    n->line = r->line;
    n->column = (unsigned)(r->pos - r->line_start) + 1;
    *ret = n;
    if (++r->depth > TEXT_DEPTH_MAX) {
        return json_fail(r, "nested too deeply");
    }
    if (json_take(r, '{')) {
        result = json_map(r, n);
    } else if (json_take(r, '[')) {
        result = json_list(r, n);
    } else if (json_take(r, '"')) {
        n->kind = TEXT_STRING;
        result = json_string(r, '"', &n->scalar);
    } else if (json_take(r, '\'')) {
        n->kind = TEXT_STRING;
        result = json_string(r, '\'', &n->scalar);
    } else if (json_take_word(r, "true")) {
        n->kind = TEXT_BOOL;
        n->boolean = true;
        n->scalar = STR("true");
    } else if (json_take_word(r, "false")) {
        n->kind = TEXT_BOOL;
        n->scalar = STR("false");
    } else if (json_take_word(r, "null")) {
        n->kind = TEXT_NULL;
    } else {
        result = json_number(r, n);
    }
    r->depth--;
    return result;
}

int json_parse(struct str text, struct arena *a, const struct text_node **ret_root,
               struct error *reterr)
{
    const char *start = text.len > 0 ? text.ptr : "";
    struct json_reader r = {
        .pos = start,
        .end = start + text.len,
        .line_start = start,
        .line = 1,
        .arena = a,
        .err = reterr,
    };

    if (json_value(&r, ret_root) != 0) {
        return E_INVALID;
    }
    json_skip_space(&r);
    return r.pos == r.end ? 0 : json_fail(&r, "text after the end");
}
