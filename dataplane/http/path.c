/* Path normalisation. Bytes that a peer sent: every input gives an answer. Any thread, no state. */

#include "dataplane/http/path.h"

#include <string.h>

struct str path_only(struct str path)
{
    for (size_t i = 0; i < path.len; i++) {
        if (path.ptr[i] == '?' || path.ptr[i] == '#') {
            return str_n(path.ptr, i);
        }
    }
    return path;
}

static struct str path_query(struct str path, struct str only)
{
    return str_sub(path, only.len, path.len);
}

static struct str path_before_query(struct str path)
{
    return str_sub(path, 0, str_find_char(path, '?'));
}

/* --- normalisation ------------------------------------------------------------------------ */

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

/* Must not stand bare in a path. '%' is handled before. */
static bool must_escape(unsigned char c)
{
    return c <= ' ' || c >= 0x7f || c == '"' || c == '#' || c == '<' || c == '>' || c == '?' ||
           c == '^' || c == '`' || c == '{' || c == '|' || c == '}';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that "%xy" at `i` stands for, or -1. */
static int escaped_byte(struct str s, size_t i)
{
    int high;
    int low;

    if (s.len - i < 3 || s.ptr[i] != '%') {
        return -1;
    }
    high = hex_value(s.ptr[i + 1]);
    low = hex_value(s.ptr[i + 2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* Bytes of a dot at `i`, 1 for ".", 3 for "%2e", 0 for none. */
static size_t dot_at(struct str s, size_t i)
{
    if (i >= s.len) {
        return 0;
    }
    if (s.ptr[i] == '.') {
        return 1;
    }
    return escaped_byte(s, i) == '.' ? 3 : 0;
}

static bool is_segment_end(struct str s, size_t i)
{
    return i >= s.len || s.ptr[i] == '/' || s.ptr[i] == '\\';
}

#define NO_PERCENT SIZE_MAX

struct path_writer {
    char *out;
    size_t len;
    size_t bare_percent; /* where the last '%' went that is no escape; NO_PERCENT for none */
    bool is_valid;
};

static void path_put(struct path_writer *w, char c)
{
    w->out[w->len++] = c;
}

/* "/a/b/" becomes "/a/", "/" stays. */
static void path_back_up(struct path_writer *w)
{
    if (w->len <= 1) {
        return;
    }
    w->len--;
    while (w->len > 1 && w->out[w->len - 1] != '/') {
        w->len--;
    }
    if (w->bare_percent != NO_PERCENT && w->bare_percent >= w->len) {
        w->bare_percent = NO_PERCENT;
    }
}

/* A dot of `dot` bytes at `i`: consumes "." and ".." segments; returns the bytes used. */
static size_t path_put_dot(struct path_writer *w, struct str s, size_t i, size_t dot)
{
    size_t after = i + dot;
    size_t second;

    if (w->len == 0 || w->out[w->len - 1] != '/') {
        path_put(w, '.'); /* inside a name */
        return dot;
    }
    if (is_segment_end(s, after)) {
        return after < s.len ? dot + 1 : dot;
    }
    second = dot_at(s, after);
    if (second > 0 && is_segment_end(s, after + second)) {
        path_back_up(w);
        return after + second < s.len ? dot + second + 1 : dot + second;
    }
    path_put(w, '.');
    return dot;
}

/* A byte was just unescaped: when it, or it and the next byte of input, makes an escape out of a
 * '%' that was none, that '%' is escaped, so that "%2%65" cannot become "%2e". */
static void path_check_nested(struct path_writer *w, struct str rest)
{
    size_t from_percent = w->len - w->bare_percent; /* bytes from the '%' on */
    char tail[3];

    if (w->bare_percent == NO_PERCENT || from_percent > 3) {
        return;
    }
    memcpy(tail, w->out + w->bare_percent, from_percent);
    if (from_percent == 2) {
        if (rest.len == 0) {
            return;
        }
        tail[2] = rest.ptr[0];
    }
    if (escaped_byte(str_n(tail, sizeof(tail)), 0) >= 0) {
        memcpy(w->out + w->bare_percent, "%25", 3);
        memcpy(w->out + w->bare_percent + 3, tail + 1, from_percent - 1);
        w->len += 2;
    }
}

static size_t path_put_escape(struct path_writer *w, struct str s, size_t i)
{
    int byte = escaped_byte(s, i);

    if (byte < 0) {
        w->bare_percent = w->len;
        path_put(w, '%'); /* not an escape: kept as it is */
        return 1;
    }
    if (is_unreserved((unsigned char)byte)) {
        path_put(w, (char)byte);
        path_check_nested(w, str_sub(s, i + 3, s.len));
        return 3;
    }
    w->is_valid = w->is_valid && byte != 0;
    memcpy(w->out + w->len, s.ptr + i, 3); /* the origin may care for the case of the digits */
    w->len += 3;
    return 3;
}

static void path_put_other(struct path_writer *w, unsigned char c)
{
    static const char digits[] = "0123456789ABCDEF";

    if (c == '\\') {
        path_put(w, '/');
    } else if (must_escape(c)) {
        w->is_valid = w->is_valid && c != 0;
        path_put(w, '%');
        path_put(w, digits[c >> 4]);
        path_put(w, digits[c & 15]);
    } else {
        path_put(w, (char)c);
    }
}

/* As Envoy: a segment of dots with parameters is that of the dots alone, "/a/..;p/b" is "/a/../b".
 * Only bare dots, and before backslashes become slashes. */
static struct str path_drop_dot_params(struct str s, struct arena *a)
{
    char *out;
    size_t len = 0;

    if (str_find(s, STR("/.;")) == STR_NPOS && str_find(s, STR("/..;")) == STR_NPOS) {
        return s;
    }
    out = arena_alloc(a, s.len);
    for (size_t i = 0; i < s.len;) {
        struct str rest = str_sub(s, i, s.len);
        size_t keep = str_starts(rest, STR("/.;")) ? 2 : str_starts(rest, STR("/..;")) ? 3 : 0;

        if (keep == 0) {
            out[len++] = s.ptr[i++];
            continue;
        }
        memcpy(out + len, rest.ptr, keep);
        len += keep;
        i += keep;
        while (i < s.len && s.ptr[i] != '/') {
            i++;
        }
    }
    return str_n(out, len);
}

/* Whether there is anything for the slow way to do: nearly no path has. */
static bool path_is_normal(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c == '%' || c == '\\' || must_escape(c) || (c == '.' && i > 0 && s.ptr[i - 1] == '/')) {
            return false;
        }
    }
    return true;
}

bool path_normalize(struct str path, struct arena *a, struct str *ret_path)
{
    struct str only = path_before_query(path);
    struct str query = path_query(path, only);
    struct path_writer w = {.bare_percent = NO_PERCENT, .is_valid = true};
    size_t i = 0;

    if (path_is_normal(only)) {
        *ret_path = path;
        return true;
    }
    only = path_drop_dot_params(only, a);
    w.out = arena_alloc(a, only.len * 3 + query.len + 3);
    while (i < only.len) {
        size_t dot = dot_at(only, i);

        if (dot > 0) {
            i += path_put_dot(&w, only, i, dot);
        } else if (only.ptr[i] == '%') {
            i += path_put_escape(&w, only, i);
        } else {
            path_put_other(&w, (unsigned char)only.ptr[i]);
            i++;
        }
    }
    if (!w.is_valid) {
        return false;
    }
    if (query.len > 0) {
        memcpy(w.out + w.len, query.ptr, query.len);
    }
    *ret_path = str_n(w.out, w.len + query.len);
    return true;
}

/* --- slashes ------------------------------------------------------------------------------ */

struct str path_merge_slashes(struct str path, struct arena *a)
{
    struct str only = path_before_query(path);
    struct str query = path_query(path, only);
    size_t len = 0;
    char *out;

    if (str_find(only, STR("//")) == STR_NPOS) {
        return path;
    }
    out = arena_alloc(a, path.len + 1);
    for (size_t i = 0; i < only.len; i++) {
        if (only.ptr[i] != '/' || len == 0 || out[len - 1] != '/') {
            out[len++] = only.ptr[i];
        }
    }
    if (len == 1) {
        out[len++] = '/'; /* Envoy keeps a first and a last slash */
    }
    if (query.len > 0) {
        memcpy(out + len, query.ptr, query.len);
    }
    return str_n(out, len + query.len);
}

bool path_unescape_slashes(struct str path, struct arena *a, struct str *ret_path)
{
    struct str only = path_before_query(path);
    struct str query = path_query(path, only);
    bool found = false;
    size_t len = 0;
    char *out;

    if (str_find_char(only, '%') == STR_NPOS) {
        return false;
    }
    out = arena_alloc(a, path.len + 1);
    for (size_t i = 0; i < only.len;) {
        int byte = escaped_byte(only, i);

        if (byte == '/' || byte == '\\') {
            out[len++] = (char)byte;
            i += 3;
            found = true;
        } else {
            out[len++] = only.ptr[i++];
        }
    }
    if (!found) {
        return false;
    }
    if (query.len > 0) {
        memcpy(out + len, query.ptr, query.len);
    }
    *ret_path = str_n(out, len + query.len);
    return true;
}
