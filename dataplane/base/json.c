/* The JSON writer. One thread per writer. Does not check that a key precedes each member: misuse
 * that would corrupt the nesting fails a CHECK. */

#include "dataplane/base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/base/clock.h"

void json_init(struct json_writer *w, struct strbuf *out, bool pretty)
{
    w->out = out;
    w->depth = 0;
    w->pretty = pretty;
    w->after_key = false;
    w->has_member[0] = false;
}

static void json_newline(struct json_writer *w)
{
    char *p;

    if (w->pretty) {
        p = strbuf_reserve(w->out, (size_t)w->depth + 1);
        p[0] = '\n';
        memset(p + 1, ' ', (size_t)w->depth);
        p[1 + w->depth] = '\0';
        w->out->len += (size_t)w->depth + 1;
    }
}

/* What goes in front of a member or element. */
static void json_before(struct json_writer *w)
{
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (w->has_member[w->depth]) {
        strbuf_add_char(w->out, ',');
    }
    w->has_member[w->depth] = true;
    if (w->depth > 0) {
        json_newline(w);
    }
}

static void json_begin(struct json_writer *w, char open)
{
    json_before(w);
    strbuf_add_char(w->out, open);
    CHECK(w->depth + 1 < JSON_DEPTH_MAX);
    w->depth++;
    w->has_member[w->depth] = false;
}

static void json_end(struct json_writer *w, char close)
{
    CHECK(w->depth > 0 && !w->after_key);
    w->depth--;
    if (w->has_member[w->depth + 1]) {
        json_newline(w);
    }
    strbuf_add_char(w->out, close);
}

void json_object_begin(struct json_writer *w)
{
    json_begin(w, '{');
}

void json_object_end(struct json_writer *w)
{
    json_end(w, '}');
}

void json_array_begin(struct json_writer *w)
{
    json_begin(w, '[');
}

void json_array_end(struct json_writer *w)
{
    json_end(w, ']');
}

void json_key(struct json_writer *w, struct str key)
{
    CHECK(!w->after_key);
    json_before(w);
    json_escape(w->out, key);
    strbuf_add(w->out, ": ", w->pretty ? 2 : 1);
    w->after_key = true;
}

void json_str(struct json_writer *w, struct str s)
{
    json_before(w);
    json_escape(w->out, s);
}

void json_u64(struct json_writer *w, uint64_t v)
{
    json_before(w);
    strbuf_add_u64(w->out, v);
}

void json_i64(struct json_writer *w, int64_t v)
{
    json_before(w);
    if (v < 0) {
        strbuf_add_char(w->out, '-');
        strbuf_add_u64(w->out, -(uint64_t)v);
    } else {
        strbuf_add_u64(w->out, (uint64_t)v);
    }
}

void json_double(struct json_writer *w, double v)
{
    char text[32];

    json_before(w);
    if (isnan(v) || isinf(v)) { /* as protobuf's JSON: RFC 8259 has no such numbers */
        strbuf_add_c(w->out, isnan(v) ? "\"NaN\"" : v > 0 ? "\"Infinity\"" : "\"-Infinity\"");
        return;
    }
    /* The shortest of the forms that read back as the same number. */
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof(text), "%.*g", digits, v); /* 24 bytes at most */
        if (strtod(text, NULL) == v) {
            break;
        }
    }
    strbuf_add_c(w->out, text);
}

void json_bool(struct json_writer *w, bool v)
{
    json_before(w);
    strbuf_add_c(w->out, v ? "true" : "false");
}

void json_null(struct json_writer *w)
{
    json_before(w);
    strbuf_add_c(w->out, "null");
}

void json_member_str(struct json_writer *w, const char *key, struct str value)
{
    json_key(w, str_c(key));
    json_str(w, value);
}

void json_member_u64(struct json_writer *w, const char *key, uint64_t value)
{
    json_key(w, str_c(key));
    json_u64(w, value);
}

void json_member_bool(struct json_writer *w, const char *key, bool value)
{
    json_key(w, str_c(key));
    json_bool(w, value);
}

void json_member_time(struct json_writer *w, const char *key, uint64_t wall_ns)
{
    char iso[CLOCK_ISO_MS_BYTES];

    clock_iso_ms(wall_ns, iso);
    json_member_str(w, key, str_n(iso, sizeof(iso)));
}

void json_raw(struct json_writer *w, struct str s)
{
    json_before(w);
    strbuf_add_str(w->out, s);
}

static void json_escape_control(struct strbuf *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char short_forms[] = "btn\0fr"; /* of 0x08..0x0d; 0x0b has none */
    char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

    if (c >= 0x08 && c <= 0x0d && c != 0x0b) {
        text[1] = short_forms[c - 0x08];
        strbuf_add(out, text, 2);
    } else {
        strbuf_add(out, text, 6);
    }
}

#define EACH_BYTE(b) (UINT64_C(0x0101010101010101) * (b))

/* Top bits of the bytes that are zero (or follow one that is: good for "any?" only). */
static uint64_t zero_bytes(uint64_t v)
{
    return (v - EACH_BYTE(1)) & ~v & EACH_BYTE(0x80);
}

/* Eight bytes of printable ASCII that need no escape. */
static bool is_plain8(const char *p)
{
    uint64_t v;
    uint64_t controls;

    memcpy(&v, p, sizeof(v));
    controls = (v - EACH_BYTE(0x20)) & ~v;
    return ((v | controls) & EACH_BYTE(0x80)) == 0 && zero_bytes(v ^ EACH_BYTE('"')) == 0 &&
           zero_bytes(v ^ EACH_BYTE('\\')) == 0;
}

/* What is not UTF-8, as Envoy: every byte that is not plain ASCII by its number. */
static void json_escape_octets(struct strbuf *out, struct str s)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
            strbuf_add_char(out, (char)c);
        } else {
            const char octet[] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};

            strbuf_add(out, octet, sizeof(octet));
        }
    }
}

void json_escape(struct strbuf *out, struct str s)
{
    size_t start = out->len;
    size_t plain = 0; /* start of the run that needs no escape */
    size_t i = 0;

    (void)strbuf_reserve(out, s.len + 2);
    strbuf_add_char(out, '"');
    while (i < s.len) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (s.len - i >= 8 && is_plain8(s.ptr + i)) {
            i += 8;
            continue;
        }
        if (NUNCIO_LIKELY(c >= 0x20 && c < 0x80 && c != '"' && c != '\\')) {
            i++;
            continue;
        }
        if (c >= 0x80) {
            size_t n = utf8_sequence(s.ptr + i, s.len - i);
            if (n > 0) {
                i += n;
                continue;
            }
            out->len = start;
            strbuf_add_char(out, '"');
            json_escape_octets(out, s);
            strbuf_add_char(out, '"');
            return;
        }
        strbuf_add(out, s.ptr + plain, i - plain);
        if (c < 0x20) {
            json_escape_control(out, c);
        } else {
            strbuf_add_char(out, '\\');
            strbuf_add_char(out, (char)c);
        }
        plain = ++i;
    }
    if (i > plain) {
        strbuf_add(out, s.ptr + plain, i - plain);
    }
    strbuf_add_char(out, '"');
}

#undef EACH_BYTE
