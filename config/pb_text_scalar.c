/* Scalars of the JSON mapping, as lenient as protobuf's own reader in the mode that Envoy uses.
 * Main thread; no state. */

#include <math.h>
#include <string.h>

#include "config/pb_text_internal.h"

#define DOUBLE_EXACT_MAX 9007199254740992.0 /* 2^53: every integer below has its own double */

/* --- numbers ------------------------------------------------------------------------------ */

static bool has_hex_prefix(struct str s)
{
    return s.len > 2 && s.ptr[0] == '0' && ascii_lower(s.ptr[1]) == 'x';
}

/* Decimal, hexadecimal integers, "inf", "nan"; too large a number is infinite. */
static bool text_to_double(struct str s, double *ret)
{
    bool is_negative = s.len > 0 && s.ptr[0] == '-';
    uint64_t hex;
    double d;
    int r;

    if (s.len > 0 && (s.ptr[0] == '-' || s.ptr[0] == '+')) {
        s = str_sub(s, 1, s.len);
    }
    if (s.len > 0 && (s.ptr[0] == '-' || s.ptr[0] == '+')) {
        return false;
    }
    r = parse_double(s, &d);
    if (r == E_LIMIT || str_eq_nocase(s, STR("inf")) || str_eq_nocase(s, STR("infinity"))) {
        d = (double)INFINITY;
    } else if (str_eq_nocase(s, STR("nan"))) {
        d = (double)NAN;
    } else if (has_hex_prefix(s) && parse_u64_hex(str_sub(s, 2, s.len), &hex) == 0) {
        d = (double)hex;
    } else if (r != 0) {
        return false;
    }
    *ret = is_negative ? -d : d;
    return true;
}

static int out_of_range(struct pb_reader *r, const struct text_node *n)
{
    return pb_text_fail(r, n, "%.*s is out of range", STR_ARG(n->scalar));
}

/* An integer that is not written as one: 5.0, 5e2, "0x10". */
static int read_rounded(struct pb_reader *r, const struct text_node *n, double min, double max,
                        double *ret)
{
    double d;

    if (!text_to_double(n->scalar, &d) || !isfinite(d)) {
        return pb_text_fail(r, n, "'%.*s' is not a number", STR_ARG(n->scalar));
    }
    if (d < min || d > max) {
        return out_of_range(r, n);
    }
    if (d != floor(d)) {
        return pb_text_fail(r, n, "integer expected, not %.*s", STR_ARG(n->scalar));
    }
    *ret = d;
    return 0;
}

static struct str without_plus(struct str s)
{
    return s.len > 1 && s.ptr[0] == '+' && s.ptr[1] != '-' ? str_sub(s, 1, s.len) : s;
}

static int read_signed(struct pb_reader *r, const struct text_node *n, int64_t min, int64_t max,
                       int64_t *ret)
{
    int64_t v;
    double d;

    if (n->kind != TEXT_NUMBER && n->kind != TEXT_STRING) {
        return pb_text_expected(r, n, "number");
    }
    if (parse_i64(without_plus(n->scalar), &v) != 0) {
        if (read_rounded(r, n, -DOUBLE_EXACT_MAX, DOUBLE_EXACT_MAX, &d) != 0) {
            return E_INVALID;
        }
        v = (int64_t)d;
    }
    if (v < min || v > max) {
        return out_of_range(r, n);
    }
    *ret = v;
    return 0;
}

static int read_unsigned(struct pb_reader *r, const struct text_node *n, uint64_t max,
                         uint64_t *ret)
{
    uint64_t v;
    double d;

    if (n->kind != TEXT_NUMBER && n->kind != TEXT_STRING) {
        return pb_text_expected(r, n, "number");
    }
    if (parse_u64(without_plus(n->scalar), &v) != 0) {
        if (read_rounded(r, n, 0, 2 * DOUBLE_EXACT_MAX, &d) != 0) {
            return E_INVALID;
        }
        v = (uint64_t)d;
    }
    if (v > max) {
        return out_of_range(r, n);
    }
    *ret = v;
    return 0;
}

static int read_double(struct pb_reader *r, const struct text_node *n, double *ret)
{
    if (n->kind != TEXT_NUMBER && n->kind != TEXT_STRING) {
        return pb_text_expected(r, n, "number");
    }
    if (!text_to_double(n->scalar, ret)) {
        return pb_text_fail(r, n, "'%.*s' is not a number", STR_ARG(n->scalar));
    }
    return 0;
}

static int read_float(struct pb_reader *r, const struct text_node *n, float *ret)
{
    double d;

    if (read_double(r, n, &d) != 0) {
        return E_INVALID;
    }
    if (isfinite(d) && !isfinite((float)d)) {
        return out_of_range(r, n);
    }
    *ret = (float)d;
    return 0;
}

/* --- words -------------------------------------------------------------------------------- */

static int read_bool(struct pb_reader *r, const struct text_node *n, protobuf_c_boolean *ret)
{
    static const char *const TRUE[] = {"true", "t", "yes", "y", "1"};
    static const char *const FALSE[] = {"false", "f", "no", "n", "0"};

    if (n->kind == TEXT_BOOL) {
        *ret = n->boolean;
        return 0;
    }
    for (size_t i = 0; n->kind == TEXT_STRING && i < ARRAY_LEN(TRUE); i++) {
        if (str_eq_nocase(n->scalar, str_c(TRUE[i])) || str_eq_nocase(n->scalar, str_c(FALSE[i]))) {
            *ret = str_eq_nocase(n->scalar, str_c(TRUE[i]));
            return 0;
        }
    }
    return pb_text_expected(r, n, "bool");
}

/* By name in any case, or by number. */
static int read_enum(struct pb_reader *r, const struct text_node *n,
                     const ProtobufCEnumDescriptor *d, int32_t *ret)
{
    int64_t number;

    if (n->kind != TEXT_STRING) {
        if (read_signed(r, n, INT32_MIN, INT32_MAX, &number) != 0) {
            return E_INVALID;
        }
        *ret = (int32_t)number;
        return 0;
    }
    for (unsigned i = 0; i < d->n_values; i++) {
        if (str_eq_nocase(str_c(d->values[i].name), n->scalar)) {
            *ret = d->values[i].value;
            return 0;
        }
    }
    if (parse_i64(without_plus(n->scalar), &number) == 0 && number >= INT32_MIN &&
        number <= INT32_MAX) {
        *ret = (int32_t)number;
        return 0;
    }
    if (r->options->allow_unknown) {
        *ret = 0;
        return 0;
    }
    return pb_text_fail(r, n, "'%.*s' is not a value of %s", STR_ARG(n->scalar), d->name);
}

static int read_string(struct pb_reader *r, const struct text_node *n, char **ret)
{
    if (n->kind != TEXT_STRING) {
        return pb_text_expected(r, n, "string");
    }
    if (n->scalar.len > 0 && memchr(n->scalar.ptr, '\0', n->scalar.len) != NULL) {
        return pb_text_fail(r, n, "string contains a NUL character");
    }
    *ret = arena_strdup(r->arena, n->scalar.len > 0 ? n->scalar.ptr : "");
    return 0;
}

/* --- bytes -------------------------------------------------------------------------------- */

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

/* Standard and URL-safe alphabet; padded, or not padded at all. */
static int read_bytes(struct pb_reader *r, const struct text_node *n, ProtobufCBinaryData *ret)
{
    struct str s = n->scalar;
    uint32_t acc = 0;
    int bits = 0;

    if (n->kind != TEXT_STRING) {
        return pb_text_expected(r, n, "base64 string");
    }
    for (int i = 0; i < 2 && n->scalar.len % 4 == 0 && str_ends(s, STR("=")); i++) {
        s.len--;
    }
    ret->data = arena_alloc(r->arena, s.len + 1);
    ret->len = 0;
    for (size_t i = 0; i < s.len; i++) {
        int d = base64_digit(s.ptr[i]);

        if (d < 0) {
            return pb_text_fail(r, n, "invalid base64");
        }
        acc = acc << 6 | (uint32_t)d;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            ret->data[ret->len++] = (uint8_t)(acc >> bits);
        }
    }
    return s.len % 4 == 1 ? pb_text_fail(r, n, "invalid base64") : 0;
}

/* --- by type ------------------------------------------------------------------------------ */

static int read_integer(struct pb_reader *r, const struct text_node *n, ProtobufCType type,
                        void *to)
{
    int64_t i = 0;
    uint64_t u = 0;
    int result;

    switch (type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        result = read_signed(r, n, INT32_MIN, INT32_MAX, &i);
        *(int32_t *)to = (int32_t)i;
        return result;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        result = read_unsigned(r, n, UINT32_MAX, &u);
        *(uint32_t *)to = (uint32_t)u;
        return result;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return read_unsigned(r, n, UINT64_MAX, to);
    default:
        return read_signed(r, n, INT64_MIN, INT64_MAX, to);
    }
}

int pb_text_read_scalar(struct pb_reader *r, const struct text_node *n,
                        const ProtobufCFieldDescriptor *f, void *to)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_FLOAT:
        return read_float(r, n, to);
    case PROTOBUF_C_TYPE_DOUBLE:
        return read_double(r, n, to);
    case PROTOBUF_C_TYPE_BOOL:
        return read_bool(r, n, to);
    case PROTOBUF_C_TYPE_ENUM:
        return read_enum(r, n, f->descriptor, to);
    case PROTOBUF_C_TYPE_STRING:
        return read_string(r, n, to);
    case PROTOBUF_C_TYPE_BYTES:
        return read_bytes(r, n, to);
    default:
        return read_integer(r, n, f->type, to);
    }
}
