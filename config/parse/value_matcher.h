#ifndef CONFIG_PARSE_VALUE_MATCHER_H
#define CONFIG_PARSE_VALUE_MATCHER_H

/* Matchers of metadata. The caller has pushed the message's path. Main thread. */

#include "config/model/value_matcher.h"
#include "config/parse/context.h"
#include "proto/envoy/type/matcher/v3/metadata.pb-c.h"

int parse_value_matcher(struct parse_context *ctx, const Envoy__Type__Matcher__V3__ValueMatcher *m,
                        struct value_matcher *ret) MUST_CHECK;
int parse_metadata_matcher(struct parse_context *ctx,
                           const Envoy__Type__Matcher__V3__MetadataMatcher *m,
                           struct metadata_matcher *ret) MUST_CHECK;

#endif
