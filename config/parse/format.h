#ifndef CONFIG_PARSE_FORMAT_H
#define CONFIG_PARSE_FORMAT_H

/*
 * Substitution format strings: Envoy's grammar, %COMMAND(ARGUMENT):LENGTH% with %% for a percent
 * sign, and its error texts. Main thread.
 */

#include "config/model/format.h"
#include "config/parse/context.h"
#include "proto/envoy/config/core/v3/substitution_format_string.pb-c.h"

/* Without a field: built-in formats. The result's strings live in `a`. E_INVALID. */
int format_parse(struct arena *a, struct str text, struct format *ret,
                 struct error *reterr) MUST_CHECK;
/* The same; `has_req_without_query`: a formatter extension adds that command. */
int format_parse_with(struct arena *a, bool has_req_without_query, struct str text,
                      struct format *ret, struct error *reterr) MUST_CHECK;

/* The format in `text`, which is the value of `field` (NULL: of the current path). */
int parse_format(struct parse_context *ctx, const char *field, struct str text,
                 struct format *ret) MUST_CHECK;

/* A JSON format as in json_format. */
int parse_format_json(struct parse_context *ctx, const Google__Protobuf__Struct *m,
                      struct format_json *ret) MUST_CHECK;

/* Formatter extensions, which add commands: while ctx->has_req_without_query stays as this sets it,
 * which is the caller's to undo. */
int parse_formatters(struct parse_context *ctx, size_t n,
                     Envoy__Config__Core__V3__TypedExtensionConfig *const *m) MUST_CHECK;

int parse_substitution_format(struct parse_context *ctx,
                              const Envoy__Config__Core__V3__SubstitutionFormatString *m,
                              struct substitution_format *ret) MUST_CHECK;
/* That in `field`, in the arena; NULL stays NULL. */
int parse_optional_format(struct parse_context *ctx, const char *field,
                          const Envoy__Config__Core__V3__SubstitutionFormatString *m,
                          const struct substitution_format **ret) MUST_CHECK;

#endif
