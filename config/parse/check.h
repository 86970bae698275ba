#ifndef CONFIG_PARSE_CHECK_H
#define CONFIG_PARSE_CHECK_H

/*
 * The rules that Envoy's protos carry as annotations (validate.rules), one function per kind of
 * rule. Each sets the error at "<path>.<field>" and returns E_INVALID when the value breaks it.
 */

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/model/core.h"
#include "config/parse/context.h"
#include "proto/google/protobuf/duration.pb-c.h"
#include "proto/google/protobuf/wrappers.pb-c.h"

/* string.min_len: 1 */
int parse_check_not_empty(struct parse_context *ctx, const char *field, const char *s) MUST_CHECK;
/* string.max_bytes */
int parse_check_max_bytes(struct parse_context *ctx, const char *field, const char *s,
                          size_t max) MUST_CHECK;
/* HTTP_HEADER_NAME and HTTP_HEADER_VALUE with strict: false, which are one rule: no NUL, CR, LF. */
int parse_check_header_text(struct parse_context *ctx, const char *field, const char *s) MUST_CHECK;
/* The same, not empty, and at most 16384 bytes: names in header operations. */
int parse_check_header_name(struct parse_context *ctx, const char *field, const char *s) MUST_CHECK;
/* HTTP_HEADER_NAME: a token, perhaps after a colon. */
int parse_check_strict_header_name(struct parse_context *ctx, const char *field,
                                   const char *s) MUST_CHECK;
/* enum.defined_only */
int parse_check_enum(struct parse_context *ctx, const char *field, int value,
                     const ProtobufCEnumDescriptor *d) MUST_CHECK;
/* message.required */
int parse_check_present(struct parse_context *ctx, const char *field,
                        const void *message) MUST_CHECK;

/* --- durations: every one is checked for its proto range; negative ones are refused -------- */

enum duration_rule {
    DURATION_ANY,     /* >= 0 */
    DURATION_GT_ZERO, /* gt {} */
    DURATION_GT_1MS,  /* gt {nanos: 1000000} */
    DURATION_GTE_1MS, /* gte {nanos: 1000000} */
};

/* Absent: `ret` keeps is_set false. Milliseconds are rounded down, as in Envoy. */
int parse_opt_ms(struct parse_context *ctx, const char *field, const Google__Protobuf__Duration *d,
                 enum duration_rule rule, struct opt_ms *ret) MUST_CHECK;
int parse_ms_or(struct parse_context *ctx, const char *field, const Google__Protobuf__Duration *d,
                enum duration_rule rule, uint64_t absent_ms, uint64_t *ret_ms) MUST_CHECK;

/* --- wrappers ------------------------------------------------------------------------------- */

struct opt_u32 parse_opt_u32(const Google__Protobuf__UInt32Value *v);
uint32_t parse_u32_or(const Google__Protobuf__UInt32Value *v, uint32_t absent);
bool parse_bool_or(const Google__Protobuf__BoolValue *v, bool absent);

#endif
