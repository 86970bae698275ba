/* Envoy's annotated field rules. Main thread. Rules that need more than one field are checked
 * where those fields are read. */

#include "config/parse/check.h"

#include <string.h>

#define HEADER_TEXT_MAX_BYTES 16384
#define NANOS_PER_SECOND 1000000000
#define NANOS_PER_MS 1000000
/* As Envoy, which converts by way of nanoseconds in 64 bits. */
#define DURATION_MAX_SECONDS (INT64_MAX / NANOS_PER_SECOND)

int parse_check_not_empty(struct parse_context *ctx, const char *field, const char *s)
{
    if (s[0] == '\0') {
        return parse_fail(ctx, E_INVALID, field, "value length must be at least 1 characters");
    }
    return 0;
}

int parse_check_max_bytes(struct parse_context *ctx, const char *field, const char *s, size_t max)
{
    if (strnlen(s, max + 1) > max) {
        return parse_fail(ctx, E_INVALID, field, "value length must be at most %zu bytes", max);
    }
    return 0;
}

int parse_check_header_text(struct parse_context *ctx, const char *field, const char *s)
{
    if (s[strcspn(s, "\r\n")] != '\0') {
        return parse_fail(ctx, E_INVALID, field,
                          "value does not match regex pattern \"^[^\\u0000\\u000A\\u000D]*$\"");
    }
    return 0;
}

int parse_check_header_name(struct parse_context *ctx, const char *field, const char *s)
{
    int r = parse_check_not_empty(ctx, field, s);

    if (r == 0) {
        r = parse_check_max_bytes(ctx, field, s, HEADER_TEXT_MAX_BYTES);
    }
    return r == 0 ? parse_check_header_text(ctx, field, s) : r;
}

static bool is_header_name(const char *s)
{
    s += *s == ':';
    return *s != '\0' &&
           s[strspn(s, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                       "!#$%&'*+,-.^_|~`")] == '\0';
}

int parse_check_strict_header_name(struct parse_context *ctx, const char *field, const char *s)
{
    return is_header_name(s) ? 0
                             : parse_fail(ctx, E_INVALID, field,
                                          "value does not match regex pattern "
                                          "\"^:?[0-9a-zA-Z!#$%%&'*+-.^_|~`]+$\"");
}

int parse_check_enum(struct parse_context *ctx, const char *field, int value,
                     const ProtobufCEnumDescriptor *d)
{
    if (value != 0 && protobuf_c_enum_descriptor_get_value(d, value) == NULL) {
        return parse_fail(ctx, E_INVALID, field, "value must be one of the defined enum values");
    }
    return 0;
}

int parse_check_present(struct parse_context *ctx, const char *field, const void *message)
{
    if (message == NULL) {
        return parse_fail(ctx, E_INVALID, field, "value is required");
    }
    return 0;
}

/* Whether the duration obeys; `ret_why` is the rule in words otherwise. */
static bool duration_obeys(const Google__Protobuf__Duration *d, enum duration_rule rule,
                           const char **ret_why)
{
    bool is_above_1ms = d->seconds > 0 || d->nanos > NANOS_PER_MS;

    switch (rule) {
    case DURATION_ANY:
        return true;
    case DURATION_GT_ZERO:
        *ret_why = "value must be greater than 0s";
        return d->seconds > 0 || d->nanos > 0;
    case DURATION_GT_1MS:
        *ret_why = "value must be greater than 0.001s";
        return is_above_1ms;
    case DURATION_GTE_1MS:
        *ret_why = "value must be greater than or equal to 0.001s";
        return is_above_1ms || d->nanos == NANOS_PER_MS;
    }
    return false;
}

int parse_opt_ms(struct parse_context *ctx, const char *field, const Google__Protobuf__Duration *d,
                 enum duration_rule rule, struct opt_ms *ret)
{
    const char *why = "";

    *ret = (struct opt_ms){.is_set = false};
    if (d == NULL) {
        return 0;
    }
    if (d->seconds < 0 || d->nanos < 0) {
        return parse_fail(ctx, E_INVALID, field, "Expected positive duration");
    }
    if (d->seconds > DURATION_MAX_SECONDS || d->nanos >= NANOS_PER_SECOND) {
        return parse_fail(ctx, E_INVALID, field, "Duration out-of-range");
    }
    if (!duration_obeys(d, rule, &why)) {
        return parse_fail(ctx, E_INVALID, field, "%s", why);
    }
    ret->is_set = true;
    ret->ms = (uint64_t)d->seconds * 1000 + (uint64_t)d->nanos / NANOS_PER_MS;
    return 0;
}

int parse_ms_or(struct parse_context *ctx, const char *field, const Google__Protobuf__Duration *d,
                enum duration_rule rule, uint64_t absent_ms, uint64_t *ret_ms)
{
    struct opt_ms ms;
    int r = parse_opt_ms(ctx, field, d, rule, &ms);

    if (r == 0) {
        *ret_ms = ms.is_set ? ms.ms : absent_ms;
    }
    return r;
}

struct opt_u32 parse_opt_u32(const Google__Protobuf__UInt32Value *v)
{
    return (struct opt_u32){.is_set = v != NULL, .value = v != NULL ? v->value : 0};
}

uint32_t parse_u32_or(const Google__Protobuf__UInt32Value *v, uint32_t absent)
{
    return v != NULL ? v->value : absent;
}

bool parse_bool_or(const Google__Protobuf__BoolValue *v, bool absent)
{
    return v != NULL ? v->value : absent;
}
