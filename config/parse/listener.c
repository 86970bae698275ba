/* Listeners: addresses, sockets, chains shared with the version before. Main thread. What is inside
 * of a chain is read in filter_chain.c. */

#include "config/parse/listener.h"

#include <stdlib.h>
#include <string.h>

#include "config/any.h"
#include "config/parse/canonical.h"
#include "config/parse/check.h"
#include "config/parse/core.h"
#include "config/parse/extension.h"
#include "config/parse/listener_internal.h"
#include "config/parse/log_filter.h"
#include "config/parse/matcher_tree.h"
#include "dataplane/base/hash.h"
#include "dataplane/base/map.h"
#include "dataplane/base/xalloc.h"

#define LISTENER_FILTERS_TIMEOUT_MS 15000

typedef Envoy__Config__Listener__V3__Listener Listener;
typedef Envoy__Config__Core__V3__Address Address;

/* --- addresses ------------------------------------------------------------------------------ */

static bool address_may_be_compat(const struct address *a)
{
    return a->sa.sa_family == AF_INET6 &&
           (IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr) || IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr));
}

static int parse_listener_address(struct parse_context *ctx, const Address *m, struct address *ret)
{
    const Envoy__Config__Core__V3__SocketAddress *s;
    int r = parse_address(ctx, m, ret, NULL);

    if (r < 0 || m->address_case != ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_SOCKET_ADDRESS) {
        return r;
    }
    s = m->socket_address;
    if (s->protocol == ENVOY__CONFIG__CORE__V3__SOCKET_ADDRESS__PROTOCOL__UDP) {
        return parse_fail(ctx, E_UNSUPPORTED, "socket_address.protocol",
                          "UDP listeners are not supported");
    }
    if (s->ipv4_compat && !address_may_be_compat(ret)) {
        return parse_fail(ctx, E_INVALID, "socket_address.ipv4_compat",
                          "Only IPv6 address '::' or valid IPv4-mapped IPv6 address can set "
                          "ipv4_compat: %s",
                          s->address);
    }
    return 0;
}

static void note_first_address(const Address *m, struct listener_config *ret)
{
    if (m->address_case == ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_PIPE) {
        ret->unix_mode = m->pipe->mode;
    } else {
        ret->ipv4_compat = m->socket_address->ipv4_compat;
    }
}

static int parse_addresses(struct parse_context *ctx, const Listener *m,
                           struct listener_config *ret)
{
    size_t n = 1 + m->n_additional_addresses;
    struct address *addresses = ARENA_ARRAY(parse_arena(ctx), struct address, n);

    for (size_t i = 0; i < n; i++) {
        const Address *a = i == 0 ? m->address : m->additional_addresses[i - 1]->address;
        size_t at = i == 0 ? ctx->path.len : path_push_index(ctx, "additional_addresses", i - 1);
        int r;

        if (a == NULL) {
            return parse_fail(ctx, E_INVALID, "address", "address is necessary");
        }
        (void)path_push(ctx, "address"); /* popped with what stands before it */
        r = parse_listener_address(ctx, a, &addresses[i]);
        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    note_first_address(m->address, ret);
    ret->addresses = addresses;
    ret->address_count = n;
    return 0;
}

/* "127.0.0.1_80", as Envoy names the listener in its stats; the configured port, which may be 0. */
static struct str stat_name_of(struct parse_context *ctx, const struct listener_config *l)
{
    char text[ADDRESS_TEXT_MAX];
    size_t len;

    if (l->stat_prefix.len > 0) {
        return l->stat_prefix;
    }
    len = address_format(&l->addresses[0], text);
    for (size_t i = 0; i < len; i++) {
        text[i] = text[i] == ':' ? '_' : text[i];
    }
    return arena_str(parse_arena(ctx), str_n(text, len));
}

/* --- plain fields --------------------------------------------------------------------------- */

typedef Envoy__Config__Listener__V3__ListenerFilterChainMatchPredicate Predicate;
typedef Envoy__Config__Listener__V3__ListenerFilterChainMatchPredicate__MatchSet PredicateSet;
#define PREDICATE_RULE(name)                                                                       \
    ENVOY__CONFIG__LISTENER__V3__LISTENER_FILTER_CHAIN_MATCH_PREDICATE__RULE_##name

static int parse_predicate(struct parse_context *ctx, const Predicate *m,
                           struct listener_predicate *ret);

static int parse_predicate_set(struct parse_context *ctx, const char *field, const PredicateSet *m,
                               struct listener_predicate *ret)
{
    struct listener_predicate *rules =
        ARENA_ARRAY(parse_arena(ctx), struct listener_predicate, m->n_rules);
    size_t at = path_push(ctx, field);

    if (m->n_rules < 2) {
        return parse_fail(ctx, E_INVALID, "rules", "value must contain at least 2 item(s)");
    }
    for (size_t i = 0; i < m->n_rules; i++) {
        size_t inner = path_push_index(ctx, "rules", i);
        int r = parse_predicate(ctx, m->rules[i], &rules[i]);

        if (r < 0) {
            return r;
        }
        path_pop(ctx, inner);
    }
    path_pop(ctx, at);
    ret->rules = rules;
    ret->rule_count = m->n_rules;
    return 0;
}

static int parse_predicate_not(struct parse_context *ctx, const Predicate *m,
                               struct listener_predicate *ret)
{
    struct listener_predicate *rule = ARENA_NEW(parse_arena(ctx), struct listener_predicate);
    size_t at = path_push(ctx, "not_match");
    int r = parse_predicate(ctx, m, rule);

    path_pop(ctx, at);
    ret->rules = rule;
    ret->rule_count = 1;
    return r;
}

/* Depth was bounded when the message was unpacked. */
static int parse_predicate(struct parse_context *ctx, const Predicate *m,
                           struct listener_predicate *ret)
{
    switch (m->rule_case) {
    case PREDICATE_RULE(OR_MATCH):
        ret->kind = LISTENER_PREDICATE_OR;
        return parse_predicate_set(ctx, "or_match", m->or_match, ret);
    case PREDICATE_RULE(AND_MATCH):
        ret->kind = LISTENER_PREDICATE_AND;
        return parse_predicate_set(ctx, "and_match", m->and_match, ret);
    case PREDICATE_RULE(NOT_MATCH):
        ret->kind = LISTENER_PREDICATE_NOT;
        return parse_predicate_not(ctx, m->not_match, ret);
    case PREDICATE_RULE(ANY_MATCH):
        ret->kind = LISTENER_PREDICATE_ANY;
        return m->any_match ? 0 : parse_fail(ctx, E_INVALID, "any_match", "value must equal true");
    case PREDICATE_RULE(DESTINATION_PORT_RANGE):
        ret->kind = LISTENER_PREDICATE_DESTINATION_PORT;
        ret->port_from = m->destination_port_range->start;
        ret->port_to = m->destination_port_range->end;
        return 0;
    default:
        return parse_fail(ctx, E_INVALID, "rule", "value is required");
    }
}

static int parse_listener_filter(struct parse_context *ctx,
                                 const Envoy__Config__Listener__V3__ListenerFilter *m,
                                 struct listener_filter_config *ret)
{
    bool is_typed = m->config_type_case ==
                    ENVOY__CONFIG__LISTENER__V3__LISTENER_FILTER__CONFIG_TYPE_TYPED_CONFIG;
    int r = parse_check_not_empty(ctx, "name", m->name);

    if (r == 0) {
        r = parse_extension(ctx, EXT_LISTENER_FILTER, m->name, "typed_config",
                            is_typed ? m->typed_config : NULL, &ret->filter);
    }
    if (r == 0 && m->filter_disabled != NULL) {
        struct listener_predicate *p = ARENA_NEW(parse_arena(ctx), struct listener_predicate);
        size_t at = path_push(ctx, "filter_disabled");

        r = parse_predicate(ctx, m->filter_disabled, p);
        path_pop(ctx, at);
        ret->disabled = p;
    }
    return r;
}

/* As Envoy: the flag brings the filter that finds the destination, behind the others. */
static int add_original_dst(struct parse_context *ctx, struct listener_filter_config *ret)
{
    const struct extension *ext =
        extension_find(ctx->registry, EXT_LISTENER_FILTER,
                       STR("envoy.extensions.filters.listener.original_dst.v3.OriginalDst"));

    if (ext == NULL) {
        return parse_fail(ctx, E_UNSUPPORTED, "use_original_dst",
                          "there is no filter that finds the destination");
    }
    ret->filter.name = str_c(ext->name);
    ret->filter.ext = ext;
    return 0;
}

static int parse_listener_filters(struct parse_context *ctx, const Listener *m,
                                  struct listener_config *ret)
{
    size_t n = m->n_listener_filters;
    struct listener_filter_config *filters =
        ARENA_ARRAY(parse_arena(ctx), struct listener_filter_config, n + 1);

    for (size_t i = 0; i < n; i++) {
        size_t at = path_push_index(ctx, "listener_filters", i);
        int r = parse_listener_filter(ctx, m->listener_filters[i], &filters[i]);

        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    ret->listener_filters = filters;
    ret->listener_filter_count = n + ret->use_original_dst;
    return ret->use_original_dst ? add_original_dst(ctx, &filters[n]) : 0;
}

static enum traffic_direction direction_of(int d)
{
    return d == ENVOY__CONFIG__CORE__V3__TRAFFIC_DIRECTION__INBOUND    ? TRAFFIC_INBOUND
           : d == ENVOY__CONFIG__CORE__V3__TRAFFIC_DIRECTION__OUTBOUND ? TRAFFIC_OUTBOUND
                                                                       : TRAFFIC_UNSPECIFIED;
}

static int parse_plain(struct parse_context *ctx, const Listener *m, struct listener_config *ret)
{
    int r = parse_ms_or(ctx, "listener_filters_timeout", m->listener_filters_timeout, DURATION_ANY,
                        LISTENER_FILTERS_TIMEOUT_MS, &ret->listener_filters_timeout_ms);

    if (r < 0) {
        return r;
    }
    if (m->max_connections_to_accept_per_socket_event != NULL &&
        m->max_connections_to_accept_per_socket_event->value == 0) {
        return parse_fail(ctx, E_INVALID, "max_connections_to_accept_per_socket_event",
                          "value must be greater than 0");
    }
    if (m->connection_balance_config != NULL &&
        m->connection_balance_config->exact_balance == NULL) {
        return parse_fail(ctx, E_INVALID, "connection_balance_config.balance_type",
                          "a value is required");
    }
    ret->name = m->name[0] == '\0' || str_eq(ctx->part->name, str_c(m->name))
                    ? ctx->part->name
                    : parse_str(ctx, m->name);
    ret->connection_limit_key =
        arena_printf(parse_arena(ctx), "envoy.resource_limits.listener.%.*s.connection_limit",
                     STR_ARG(ret->name));
    ret->stat_prefix = parse_str(ctx, m->stat_prefix);
    ret->bind_to_port = parse_bool_or(m->bind_to_port, true);
    ret->use_original_dst = parse_bool_or(m->use_original_dst, false);
    ret->reuse_port = parse_bool_or(m->enable_reuse_port, true);
    ret->is_balanced_exactly = m->connection_balance_config != NULL;
    ret->backlog = (int)(parse_u32_or(m->tcp_backlog_size, 0) & INT32_MAX);
    ret->per_connection_buffer_limit_bytes = parse_opt_u32(m->per_connection_buffer_limit_bytes);
    ret->traffic_direction = direction_of((int)m->traffic_direction);
    ret->drain_type =
        m->drain_type == ENVOY__CONFIG__LISTENER__V3__LISTENER__DRAIN_TYPE__MODIFY_ONLY
            ? DRAIN_MODIFY_ONLY
            : DRAIN_DEFAULT;
    ret->continue_on_listener_filters_timeout = m->continue_on_listener_filters_timeout;
    ret->ignore_global_conn_limit = m->ignore_global_conn_limit;
    ret->bypass_overload_manager = m->bypass_overload_manager;
    ret->is_transparent = parse_bool_or(m->transparent, false);
    ret->is_freebind = parse_bool_or(m->freebind, false);
    ret->is_mptcp = m->enable_mptcp;
    ret->fast_open_queue = parse_opt_u32(m->tcp_fast_open_queue_length);
    ret->keepalive = parse_tcp_keepalive(m->tcp_keepalive);
    ret->accepts_per_event = parse_u32_or(m->max_connections_to_accept_per_socket_event, 0);
    ret->is_static = ctx->is_static;
    r = parse_socket_options(ctx, "socket_options", m->n_socket_options, m->socket_options,
                             &ret->socket_options, &ret->socket_option_count);
    return r < 0 ? r : parse_metadata(ctx, "metadata", m->metadata, &ret->metadata);
}

/* Of the message without its chains: equal when only chains changed. */
static uint64_t listener_hash_of(const Listener *m)
{
    Listener bare = *m;
    uint8_t *bytes;
    size_t len;
    uint64_t h;

    bare.n_filter_chains = 0;
    bare.filter_chains = NULL;
    bare.default_filter_chain = NULL;
    len = protobuf_c_message_get_packed_size(&bare.base);
    bytes = xmalloc(len + 1);
    protobuf_c_message_pack(&bare.base, bytes);
    h = config_canonical_hash(bare.base.descriptor, bytes, len);
    free(bytes);
    return h;
}

/* --- chains --------------------------------------------------------------------------------- */

static int parse_chains(struct parse_context *ctx, const Listener *m,
                        const struct listener_config *previous, struct listener_config *ret)
{
    const struct filter_chain_config **chains =
        ARENA_ARRAY(parse_arena(ctx), const struct filter_chain_config *, m->n_filter_chains);
    size_t hint = 0;
    int r = 0;

    if (m->n_filter_chains == 0 && m->default_filter_chain == NULL) {
        return parse_fail(ctx, E_INVALID, "filter_chains", "no filter chains specified");
    }
    for (size_t i = 0; i < m->n_filter_chains; i++) {
        size_t at = path_push_index(ctx, "filter_chains", i);

        r = parse_filter_chain(ctx, m->filter_chains[i], previous, &hint, &chains[i]);
        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    ret->chains = chains;
    ret->chain_count = m->n_filter_chains;
    if (m->default_filter_chain != NULL) {
        size_t at = path_push(ctx, "default_filter_chain");

        r = parse_filter_chain(ctx, m->default_filter_chain, previous, &hint, &ret->default_chain);
        path_pop(ctx, at);
    }
    return r;
}

/* --- choosing chains by a matcher ----------------------------------------------------------- */

/* Every name is its chain's alone; what the chains say of themselves is not looked at. */
static int check_chain_names(struct parse_context *ctx, const struct listener_config *l,
                             struct map *by_name)
{
    for (size_t i = 0; i < l->chain_count; i++) {
        const struct filter_chain_config *chain = l->chains[i];
        size_t at = path_push_index(ctx, "filter_chains", i);

        if (chain->name.len == 0) {
            return parse_fail(ctx, E_INVALID, "name",
                              "\"name\" field is required when using a listener matcher");
        }
        if (map_put(by_name, chain->name, (void *)(uintptr_t)chain) != NULL) {
            return parse_fail(ctx, E_INVALID, "name",
                              "\"name\" field is duplicated with value '%.*s'",
                              STR_ARG(chain->name));
        }
        path_pop(ctx, at);
    }
    return 0;
}

/* A google.protobuf.StringValue with the chain's name; a name that no chain has matches none. */
static int parse_chain_action(struct parse_context *ctx, void *user, const char *name,
                              const Google__Protobuf__Any *any, const void **ret_action)
{
    const ProtobufCMessageDescriptor *d = &google__protobuf__string_value__descriptor;
    struct filter_chain_action *action = ARENA_NEW(parse_arena(ctx), struct filter_chain_action);
    ProtobufCMessage *msg = NULL;
    struct arena scratch;
    int r;

    if (!str_eq(any_type_name(any), str_c(d->name))) {
        return parse_fail(ctx, E_UNSUPPORTED, NULL,
                          "Didn't find a registered implementation for '%s' with type URL: '%.*s'",
                          name, STR_ARG(any_type_name(any)));
    }
    arena_init(&scratch, NULL);
    r = any_unpack(ctx, any, d, &scratch, &msg);
    if (r == 0) {
        const char *chain_name = ((const Google__Protobuf__StringValue *)msg)->value;

        action->chain = map_get(user, str_c(chain_name));
        *ret_action = action;
    }
    arena_done(&scratch);
    return r;
}

static int parse_chain_matcher(struct parse_context *ctx, const Listener *m,
                               struct listener_config *ret)
{
    struct map by_name;
    struct matcher_domain domain = {
        .inputs = network_matcher_inputs,
        .input_count = network_matcher_input_count,
        .parse_action = parse_chain_action,
        .user = &by_name,
    };
    size_t at;
    int r;

    if (m->filter_chain_matcher == NULL) {
        return 0;
    }
    map_init(&by_name);
    r = check_chain_names(ctx, ret, &by_name);
    at = path_push(ctx, "filter_chain_matcher");
    if (r == 0) {
        r = parse_matcher(ctx, &domain, m->filter_chain_matcher, &ret->chain_matcher);
    }
    path_pop(ctx, at);
    map_done(&by_name);
    return r;
}

int parse_listener(struct parse_context *ctx, const Listener *m,
                   const struct listener_config *previous, struct listener_config *ret)
{
    int r = parse_plain(ctx, m, ret);

    if (r == 0) {
        r = parse_addresses(ctx, m, ret);
    }
    if (r < 0) {
        return r;
    }
    ctx->listener_stat_name = stat_name_of(ctx, ret);
    r = parse_listener_filters(ctx, m, ret);
    if (r == 0) {
        r = parse_access_logs(ctx, "access_log", m->n_access_log, m->access_log, &ret->access_logs);
    }
    if (r == 0) {
        r = parse_chains(ctx, m, previous, ret);
    }
    if (r == 0) {
        r = parse_chain_matcher(ctx, m, ret);
    }
    if (r == 0) {
        ret->listener_hash = listener_hash_of(m);
    }
    return r;
}
