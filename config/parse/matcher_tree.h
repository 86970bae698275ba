#ifndef CONFIG_PARSE_MATCHER_TREE_H
#define CONFIG_PARSE_MATCHER_TREE_H

/*
 * xds.type.matcher.v3.Matcher into the model, for whoever says which inputs there are and what an
 * action is. Main thread.
 */

#include "config/model/matcher.h"
#include "config/parse/context.h"
#include "proto/google/protobuf/any.pb-c.h"
#include "proto/xds/type/matcher/v3/matcher.pb-c.h"

/* One that a configuration can name by the type of its message. */
struct matcher_input_type {
    const ProtobufCMessageDescriptor *descriptor;
    matcher_input_fn *get;
    /* Into the part's arena; NULL: the message has nothing to keep. */
    int (*parse)(struct parse_context *ctx, const ProtobufCMessage *msg, const void **ret_config);
};

struct matcher_domain {
    const struct matcher_input_type *inputs;
    size_t input_count;
    /* The path of the Any has been pushed; `name` is the action's. */
    int (*parse_action)(struct parse_context *ctx, void *user, const char *name,
                        const Google__Protobuf__Any *any, const void **ret_action);
    void *user;
};

/* The path of the message has been pushed. */
int parse_matcher(struct parse_context *ctx, const struct matcher_domain *domain,
                  const Xds__Type__Matcher__V3__Matcher *m, const struct matcher **ret) MUST_CHECK;

/* What can be known of a connection; over struct network_match_data. */
extern const struct matcher_input_type network_matcher_inputs[];
extern const size_t network_matcher_input_count;

#endif
