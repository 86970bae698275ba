#ifndef CONFIG_PARSE_MATCHER_H
#define CONFIG_PARSE_MATCHER_H

/*
 * String, regex, header and query matchers. Regexes are freed with the part. The caller has pushed
 * the path of the message itself, unless a `field` is asked for. Main thread.
 */

#include "config/model/core.h"
#include "config/model/route.h"
#include "config/parse/context.h"
#include "proto/envoy/config/route/v3/route_components.pb-c.h"
#include "proto/envoy/type/matcher/v3/regex.pb-c.h"
#include "proto/envoy/type/matcher/v3/string.pb-c.h"

int parse_regex(struct parse_context *ctx, const Envoy__Type__Matcher__V3__RegexMatcher *m,
                struct regex **ret) MUST_CHECK;
int parse_regex_rewrite(struct parse_context *ctx,
                        const Envoy__Type__Matcher__V3__RegexMatchAndSubstitute *m,
                        struct regex_rewrite *ret) MUST_CHECK;
int parse_string_matcher(struct parse_context *ctx,
                         const Envoy__Type__Matcher__V3__StringMatcher *m,
                         struct string_matcher *ret) MUST_CHECK;
int parse_header_matcher(struct parse_context *ctx,
                         const Envoy__Config__Route__V3__HeaderMatcher *m,
                         struct header_matcher *ret) MUST_CHECK;
int parse_header_matchers(struct parse_context *ctx, const char *field, size_t n,
                          Envoy__Config__Route__V3__HeaderMatcher *const *m,
                          const struct header_matcher **ret, size_t *ret_count) MUST_CHECK;
int parse_query_matchers(struct parse_context *ctx, const char *field, size_t n,
                         Envoy__Config__Route__V3__QueryParameterMatcher *const *m,
                         const struct query_matcher **ret, size_t *ret_count) MUST_CHECK;

#endif
