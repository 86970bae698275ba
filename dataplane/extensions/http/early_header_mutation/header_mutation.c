/*
 * Headers that are changed before anything else looks at the request: one mutation after another,
 * in the order of the configuration.
 *
 * Trust: configuration; values may hold what the client sent.
 * Buffers: nothing.
 * Differs from Envoy: neither the host nor a pseudo-header can be removed: refused, or left alone.
 */

#include "config/parse/check.h"
#include "config/parse/core.h"
#include "config/parse/header_ops.h"
#include "config/parse/matcher.h"
#include "dataplane/http/early_mutation.h"
#include "dataplane/http/header_rewrite.h"
#include "proto/envoy/config/common/mutation_rules/v3/mutation_rules.pb-c.h"
#include "proto/envoy/extensions/http/early_header_mutation/header_mutation/v3/header_mutation.pb-c.h"

typedef Envoy__Config__Common__MutationRules__V3__HeaderMutation Mutation;
#define CASE(suffix) ENVOY__CONFIG__COMMON__MUTATION_RULES__V3__HEADER_MUTATION__ACTION_##suffix

struct mutation {
    struct header_ops ops;            /* one removal or one addition, or */
    const struct string_matcher *key; /* which names are removed; NULL: none */
};

struct header_mutation_config {
    const struct mutation *mutations;
    size_t count;
};

static int parse_remove_on_match(struct parse_context *ctx, const Mutation *m, struct mutation *ret)
{
    struct string_matcher *key = ARENA_NEW(parse_arena(ctx), struct string_matcher);
    size_t at = path_push(ctx, "remove_on_match");
    int r = parse_check_present(ctx, "key_matcher", m->remove_on_match->key_matcher);

    if (r == 0) {
        size_t inner = path_push(ctx, "key_matcher");

        r = parse_string_matcher(ctx, m->remove_on_match->key_matcher, key);
        path_pop(ctx, inner);
    }
    path_pop(ctx, at);
    ret->key = key;
    return r;
}

static int parse_mutation(struct parse_context *ctx, const Mutation *m, struct mutation *ret)
{
    struct header_ops_fields fields = {
        .add_field = "append", .remove_field = "remove", .remove_may_be_empty = true};

    switch (m->action_case) {
    case CASE(REMOVE):
        fields.remove = &m->remove;
        fields.remove_count = 1;
        return parse_header_ops(ctx, &fields, &ret->ops);
    case CASE(APPEND):
        fields.add = &m->append;
        fields.add_count = 1;
        return parse_header_ops(ctx, &fields, &ret->ops);
    case CASE(REMOVE_ON_MATCH):
        return parse_remove_on_match(ctx, m, ret);
    default:
        return parse_fail(ctx, E_INVALID, "action", "value is required");
    }
}

static int header_mutation_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                                 const void **ret_config)
{
    const Envoy__Extensions__Http__EarlyHeaderMutation__HeaderMutation__V3__HeaderMutation *m =
        (const Envoy__Extensions__Http__EarlyHeaderMutation__HeaderMutation__V3__HeaderMutation *)
            msg;
    struct header_mutation_config *c = ARENA_NEW(parse_arena(ctx), struct header_mutation_config);
    struct mutation *mutations = ARENA_ARRAY(parse_arena(ctx), struct mutation, m->n_mutations);

    if (m->n_mutations == 0) {
        return parse_fail(ctx, E_INVALID, "mutations", "value must contain at least 1 item(s)");
    }
    for (size_t i = 0; i < m->n_mutations; i++) {
        size_t at = path_push_index(ctx, "mutations", i);
        int r = parse_mutation(ctx, m->mutations[i], &mutations[i]);

        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    c->mutations = mutations;
    c->count = m->n_mutations;
    *ret_config = c;
    return 0;
}

static void remove_matching(const struct string_matcher *key, struct header_map *h)
{
    header_for_each(e, h)
    {
        if (!header_id_is_pseudo(e->id) && string_matcher_matches(key, e->name)) {
            header_remove_entry(h, e);
        }
    }
}

static bool header_mutation_mutate(const void *config, const struct access_log_entry *entry,
                                   struct thread_context *t, struct header_map *h)
{
    const struct header_mutation_config *c = config;
    struct header_rewrite rw = {.entry = entry, .thread = t};

    for (size_t i = 0; i < c->count; i++) {
        const struct mutation *m = &c->mutations[i];

        if (m->key != NULL) {
            remove_matching(m->key, h);
        } else {
            header_ops_apply(&m->ops, &rw, h);
        }
    }
    return true;
}

const struct early_mutation_type early_header_mutation_header_mutation = {
    .ext =
        {
            .name = "envoy.http.early_header_mutation.header_mutation",
            .category = EXT_EARLY_HEADER_MUTATION,
            .descriptor =
                &envoy__extensions__http__early_header_mutation__header_mutation__v3__header_mutation__descriptor,
            .parse = header_mutation_parse,
        },
    .mutate = header_mutation_mutate,
};
