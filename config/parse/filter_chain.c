/* Filter chains: what selects one and what it runs. Each is a part with an arena of its own, so
 * that a listener's next version can share those that did not change. Main thread. */

#include <string.h>

#include "config/parse/canonical.h"
#include "config/parse/check.h"
#include "config/parse/core.h"
#include "config/parse/extension.h"
#include "config/parse/listener_internal.h"
#include "dataplane/base/hash.h"

#define PORT_MAX 65535

typedef Envoy__Config__Listener__V3__FilterChain FilterChain;
typedef Envoy__Config__Listener__V3__FilterChainMatch FilterChainMatch;

/* --- match ---------------------------------------------------------------------------------- */

static int parse_port(struct parse_context *ctx, const char *field, uint32_t port)
{
    if (port < 1 || port > PORT_MAX) {
        return parse_fail(ctx, E_INVALID, field, "value must be inside range [1, 65535]");
    }
    return 0;
}

static int parse_source_ports(struct parse_context *ctx, const FilterChainMatch *m,
                              struct filter_chain_match *ret)
{
    uint32_t *ports = ARENA_ARRAY(parse_arena(ctx), uint32_t, m->n_source_ports);

    for (size_t i = 0; i < m->n_source_ports; i++) {
        int r = parse_port(ctx, "source_ports", m->source_ports[i]);

        if (r < 0) {
            return r;
        }
        ports[i] = m->source_ports[i];
    }
    ret->source_ports = ports;
    ret->source_port_count = m->n_source_ports;
    return 0;
}

/* A star may only be the whole first label. */
static bool is_partial_wildcard(struct str name)
{
    size_t star = str_find_char(name, '*');

    if (star == STR_NPOS) {
        return false;
    }
    return !str_starts(name, STR("*.")) ||
           str_find_char(str_sub(name, 1, name.len), '*') != STR_NPOS;
}

static int parse_server_names(struct parse_context *ctx, const FilterChainMatch *m,
                              struct filter_chain_match *ret)
{
    struct str *names = ARENA_ARRAY(parse_arena(ctx), struct str, m->n_server_names);

    for (size_t i = 0; i < m->n_server_names; i++) {
        names[i] = parse_lower(ctx, m->server_names[i]);
        if (is_partial_wildcard(names[i])) {
            return parse_fail(ctx, E_INVALID, "server_names",
                              "partial wildcards are not supported in \"server_names\"");
        }
    }
    ret->server_names = names;
    ret->server_name_count = m->n_server_names;
    return 0;
}

static int parse_source_type(struct parse_context *ctx, const FilterChainMatch *m,
                             enum source_type *ret)
{
    switch (m->source_type) {
    case ENVOY__CONFIG__LISTENER__V3__FILTER_CHAIN_MATCH__CONNECTION_SOURCE_TYPE__ANY:
        *ret = SOURCE_ANY;
        return 0;
    case ENVOY__CONFIG__LISTENER__V3__FILTER_CHAIN_MATCH__CONNECTION_SOURCE_TYPE__SAME_IP_OR_LOOPBACK:
        *ret = SOURCE_SAME_IP_OR_LOOPBACK;
        return 0;
    case ENVOY__CONFIG__LISTENER__V3__FILTER_CHAIN_MATCH__CONNECTION_SOURCE_TYPE__EXTERNAL:
        *ret = SOURCE_EXTERNAL;
        return 0;
    default:
        return parse_fail(ctx, E_INVALID, "source_type",
                          "value must be one of the defined enum values");
    }
}

static int parse_match_ranges(struct parse_context *ctx, const FilterChainMatch *m,
                              struct filter_chain_match *ret)
{
    int r = parse_cidrs(ctx, "prefix_ranges", m->n_prefix_ranges, m->prefix_ranges,
                        &ret->prefix_ranges, &ret->prefix_range_count);

    if (r == 0) {
        r = parse_cidrs(ctx, "direct_source_prefix_ranges", m->n_direct_source_prefix_ranges,
                        m->direct_source_prefix_ranges, &ret->direct_source_prefix_ranges,
                        &ret->direct_source_prefix_range_count);
    }
    return r < 0 ? r
                 : parse_cidrs(ctx, "source_prefix_ranges", m->n_source_prefix_ranges,
                               m->source_prefix_ranges, &ret->source_prefix_ranges,
                               &ret->source_prefix_range_count);
}

/* An absent match is as an empty one. */
static int parse_match(struct parse_context *ctx, const FilterChainMatch *m,
                       struct filter_chain_match *ret)
{
    struct str *protocols;
    int r = 0;

    if (m == NULL) {
        return 0;
    }
    if (m->destination_port != NULL) {
        r = parse_port(ctx, "destination_port", m->destination_port->value);
    }
    ret->destination_port = parse_opt_u32(m->destination_port);
    if (r == 0) {
        r = parse_match_ranges(ctx, m, ret);
    }
    if (r == 0) {
        r = parse_source_type(ctx, m, &ret->source_type);
    }
    if (r == 0) {
        r = parse_source_ports(ctx, m, ret);
    }
    if (r == 0) {
        r = parse_server_names(ctx, m, ret);
    }
    ret->transport_protocol = parse_str(ctx, m->transport_protocol);
    protocols = ARENA_ARRAY(parse_arena(ctx), struct str, m->n_application_protocols);
    for (size_t i = 0; i < m->n_application_protocols; i++) {
        protocols[i] = parse_str(ctx, m->application_protocols[i]);
    }
    ret->application_protocols = protocols;
    ret->application_protocol_count = m->n_application_protocols;
    return r;
}

/* --- filters -------------------------------------------------------------------------------- */

static int check_terminal(struct parse_context *ctx, const struct filter_config *f, bool is_last)
{
    if (f->ext->is_terminal && !is_last) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "Error: terminal filter named %.*s of type %s must be the last filter in "
                          "a network filter chain.",
                          STR_ARG(f->name), f->ext->name);
    }
    if (!f->ext->is_terminal && is_last) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "Error: non-terminal filter named %.*s of type %s is the last filter in "
                          "a network filter chain.",
                          STR_ARG(f->name), f->ext->name);
    }
    return 0;
}

static int parse_filters(struct parse_context *ctx, const FilterChain *m,
                         struct filter_chain_config *ret)
{
    struct filter_config *filters =
        ARENA_ARRAY(parse_arena(ctx), struct filter_config, m->n_filters);

    for (size_t i = 0; i < m->n_filters; i++) {
        const Envoy__Config__Listener__V3__Filter *f = m->filters[i];
        bool is_typed =
            f->config_type_case == ENVOY__CONFIG__LISTENER__V3__FILTER__CONFIG_TYPE_TYPED_CONFIG;
        size_t at = path_push_index(ctx, "filters", i);
        int r = parse_check_not_empty(ctx, "name", f->name);

        if (r == 0) {
            r = parse_extension(ctx, EXT_NETWORK_FILTER, f->name, "typed_config",
                                is_typed ? f->typed_config : NULL, &filters[i]);
        }
        if (r == 0) {
            r = check_terminal(ctx, &filters[i], i + 1 == m->n_filters);
        }
        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    ret->filters = filters;
    ret->filter_count = m->n_filters;
    return 0;
}

/* ctx is the chain's own. */
static int parse_chain_fields(struct parse_context *ctx, const FilterChain *m,
                              struct filter_chain_config *ret)
{
    size_t at = path_push(ctx, "filter_chain_match");
    int r = parse_match(ctx, m->filter_chain_match, &ret->match);

    if (r < 0) {
        return r;
    }
    path_pop(ctx, at);
    ret->name = ret->part.name;
    r = parse_ms_or(ctx, "transport_socket_connect_timeout", m->transport_socket_connect_timeout,
                    DURATION_ANY, 0, &ret->transport_socket_connect_timeout_ms);
    if (r == 0) {
        r = parse_transport_socket(ctx, EXT_DOWNSTREAM_TRANSPORT_SOCKET, m->transport_socket,
                                   &ret->transport_socket, &ret->transport_socket_config);
    }
    if (r == 0) {
        r = parse_metadata(ctx, "metadata", m->metadata, &ret->metadata);
    }
    return r == 0 ? parse_filters(ctx, m, ret) : r;
}

/* --- a chain as a part ---------------------------------------------------------------------- */

/* With the listener's name in stats, which the chain's filters count under. */
static uint64_t chain_hash(const struct parse_context *ctx, const FilterChain *m)
{
    return hash_mix(config_message_hash(&m->base), ctx->listener_stat_name.ptr,
                    ctx->listener_stat_name.len);
}

static const struct filter_chain_config *find_unchanged(const struct listener_config *previous,
                                                        uint64_t hash, size_t *hint)
{
    size_t count = previous != NULL ? previous->chain_count : 0;

    for (size_t i = 0; i < count; i++) {
        size_t at = (*hint + i) % count;

        if (previous->chains[at]->part.hash == hash) {
            *hint = at + 1;
            return previous->chains[at];
        }
    }
    if (previous != NULL && previous->default_chain != NULL &&
        previous->default_chain->part.hash == hash) {
        return previous->default_chain;
    }
    return NULL;
}

static void release_chain(void *chain)
{
    part_unref(chain);
}

/* Copied, for a chain that is shared later reports the same again. */
static void report_unsupported(struct parse_context *ctx, const struct filter_chain_config *chain)
{
    for (const struct unsupported_field *u = chain->unsupported; u != NULL; u = u->next) {
        struct unsupported_field *copy = ARENA_NEW(parse_arena(ctx), struct unsupported_field);

        copy->path = arena_str(parse_arena(ctx), u->path);
        copy->message = u->message;
        copy->next = ctx->unsupported;
        ctx->unsupported = copy;
        ctx->unsupported_count++;
    }
}

/* Parses with a context of the chain's own: the same path and error, another arena, other
 * dependencies. */
static int parse_new_chain(struct parse_context *ctx, const FilterChain *m,
                           struct filter_chain_config *chain)
{
    struct parse_context inner = *ctx;
    int r;

    inner.part = &chain->part;
    inner.unsupported = NULL;
    inner.unsupported_count = 0;
    inner.deps = NULL;
    inner.dep_count = 0;
    inner.dep_cap = 0;
    inner.subscriptions = NULL;
    inner.subscription_count = 0;
    inner.subscription_cap = 0;
    r = parse_chain_fields(&inner, m, chain);
    chain->unsupported = inner.unsupported;
    for (size_t i = 0; i < inner.subscription_count; i++) {
        parse_subscribe(ctx, inner.subscriptions[i].kind, inner.subscriptions[i].name,
                        inner.subscriptions[i].source, inner.subscriptions[i].owner);
    }
    parse_context_finish(&inner);
    if (ctx->slots->hold != NULL) {
        ctx->slots->hold(ctx->slots, &chain->part);
    }
    return r;
}

int parse_filter_chain(struct parse_context *ctx, const FilterChain *m,
                       const struct listener_config *previous, size_t *hint,
                       const struct filter_chain_config **ret)
{
    uint64_t hash = chain_hash(ctx, m);
    const struct filter_chain_config *chain = find_unchanged(previous, hash, hint);
    int r = 0;

    if (chain != NULL) {
        part_ref(&chain->part);
    } else {
        struct filter_chain_config *made =
            part_new(sizeof(*made), PART_FILTER_CHAIN, str_c(m->name));

        made->part.hash = hash;
        r = parse_new_chain(ctx, m, made);
        chain = made;
    }
    part_on_free(ctx->part, release_chain, (void *)(uintptr_t)&chain->part);
    if (r == 0) {
        report_unsupported(ctx, chain);
        *ret = chain;
    }
    return r;
}
