/*
 * envoy.filters.network.connection_limit: a filter chain takes so many connections at once, over
 * all workers; one more is closed, at once or after a delay in which it gets nowhere. The
 * connection's thread.
 *
 * Trust: connections are counted before anything of them is read.
 * Buffers: what a rejected client sends during the delay, up to the connection's own limit.
 * Differs from Envoy: connections that came while the runtime had the filter switched off are not
 * taken off the count when they go (Envoy's count then falls below what there is).
 */

#include <stdlib.h>

#include "config/model/core.h"
#include "config/parse/check.h"
#include "config/parse/core.h"
#include "dataplane/base/limit.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/net/listener.h"
#include "dataplane/net/network_filter.h"
#include "dataplane/runtime/runtime.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/stats/stats.h"
#include "proto/envoy/extensions/filters/network/connection_limit/v3/connection_limit.pb-c.h"

typedef Envoy__Extensions__Filters__Network__ConnectionLimit__V3__ConnectionLimit ConnectionLimit;

enum connection_limit_stat { CONNECTION_LIMIT_ACTIVE, CONNECTION_LIMIT_LIMITED, STAT_COUNT };

static const struct stat_def connection_limit_stat_defs[STAT_COUNT] = {
    [CONNECTION_LIMIT_ACTIVE] = {"active_connections", STAT_GAUGE},
    [CONNECTION_LIMIT_LIMITED] = {"limited_connections", STAT_COUNTER},
};

static const struct stat_schema connection_limit_stat_schema = {
    .defs = connection_limit_stat_defs,
    .count = STAT_COUNT,
    .shown_untouched = true,
};

struct connection_limit_config {
    struct str stat_prefix;
    uint64_t max_connections;
    uint64_t delay_ms;
    struct runtime_flag enabled;
    struct stat_scope *stats;  /* NULL in unit tests of the parser */
    struct limit *connections; /* rejected ones included, until they are closed */
};

/* A connection that is counted; one that came while the filter was off has no state. */
struct connection_limit {
    const struct connection_limit_config *config;
    struct conn *conn;
    struct stat_block *stats;
    struct timer delay;
    bool is_rejected;
};

/* --- configuration ------------------------------------------------------------------------ */

static void connection_limit_scope_free(void *object)
{
    stat_scope_unref(object);
}

static void connection_limit_make_scope(struct parse_context *ctx,
                                        struct connection_limit_config *c)
{
    if (ctx->stats == NULL) {
        return;
    }
    c->stats = stat_scope_ref(ctx->stats,
                              &(struct stat_scope_spec){
                                  .prefix = arena_printf(parse_arena(ctx), "connection_limit.%.*s.",
                                                         STR_ARG(c->stat_prefix)),
                                  .tagged_prefix = STR("connection_limit."),
                                  .tags = {{STR("envoy.connection_limit_prefix"), c->stat_prefix}},
                                  .tag_count = 1,
                                  .schema = &connection_limit_stat_schema,
                              });
    part_on_free(ctx->part, connection_limit_scope_free, c->stats);
    (void)stat_scope_block(c->stats, LOOP_MAIN_INDEX); /* zeros are shown from the start */
}

static int connection_limit_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                                  const void **ret_config)
{
    const ConnectionLimit *m = (const ConnectionLimit *)msg;
    struct connection_limit_config *c = ARENA_NEW(parse_arena(ctx), struct connection_limit_config);
    int r = parse_check_not_empty(ctx, "stat_prefix", m->stat_prefix);

    if (r == 0) {
        r = parse_check_present(ctx, "max_connections", m->max_connections);
    }
    if (r == 0 && m->max_connections->value == 0) {
        r = parse_fail(ctx, E_INVALID, "max_connections",
                       "value must be greater than or equal to 1");
    }
    if (r == 0) {
        r = parse_ms_or(ctx, "delay", m->delay, DURATION_ANY, 0, &c->delay_ms);
    }
    if (r == 0) {
        r = parse_runtime_flag(ctx, "runtime_enabled", m->runtime_enabled, true, &c->enabled);
    }
    if (r < 0) {
        return r;
    }
    c->stat_prefix = parse_str(ctx, m->stat_prefix);
    c->max_connections = m->max_connections->value;
    c->connections = xcalloc_aligned(_Alignof(struct limit), sizeof(struct limit));
    part_on_free(ctx->part, free, c->connections);
    connection_limit_make_scope(ctx, c);
    *ret_config = c;
    return 0;
}

/* --- connections -------------------------------------------------------------------------- */

static void connection_limit_on_delay_over(struct timer *t)
{
    conn_close(container_of(t, struct connection_limit, delay)->conn, CONN_CLOSE_NOW);
}

static void connection_limit_reject(struct connection_limit *cl)
{
    const struct connection_limit_config *c = cl->config;

    limit_force(c->connections);
    cl->is_rejected = true;
    stat_inc(cl->stats, CONNECTION_LIMIT_LIMITED);
    if (c->delay_ms > 0) {
        timer_arm(cl->conn->loop, &cl->delay, c->delay_ms);
    } else {
        conn_close(cl->conn, CONN_CLOSE_NOW);
    }
}

static enum network_filter_status connection_limit_on_new_connection(struct network_filter *f)
{
    const struct connection_limit_config *c = f->config;
    const struct thread_context *t = f->lc->thread;
    struct connection_limit *cl;

    if (!runtime_get_bool(t, c->enabled.runtime_key, c->enabled.default_value)) {
        return NETWORK_FILTER_CONTINUE;
    }
    cl = xcalloc(1, sizeof(*cl));
    cl->config = c;
    cl->conn = f->lc->conn;
    cl->stats = stat_scope_block(c->stats, t->loop->index);
    timer_init(&cl->delay, connection_limit_on_delay_over);
    f->state = cl;
    stat_inc(cl->stats, CONNECTION_LIMIT_ACTIVE);
    if (limit_take(c->connections, c->max_connections)) {
        return NETWORK_FILTER_CONTINUE;
    }
    connection_limit_reject(cl);
    return NETWORK_FILTER_STOP;
}

static enum network_filter_status connection_limit_on_data(struct network_filter *f, struct buf *in,
                                                           bool end_stream)
{
    const struct connection_limit *cl = f->state;

    (void)in;
    (void)end_stream;
    return cl != NULL && cl->is_rejected ? NETWORK_FILTER_STOP : NETWORK_FILTER_CONTINUE;
}

static void connection_limit_on_closed(struct network_filter *f, enum conn_close_cause cause)
{
    struct connection_limit *cl = f->state;

    (void)cause;
    if (cl != NULL) {
        timer_cancel(cl->conn->loop, &cl->delay);
        limit_give_back(cl->config->connections);
        stat_dec(cl->stats, CONNECTION_LIMIT_ACTIVE);
        free(cl);
    }
}

const struct network_filter_type network_filter_connection_limit = {
    .ext =
        {
            .name = "envoy.filters.network.connection_limit",
            .category = EXT_NETWORK_FILTER,
            .descriptor =
                &envoy__extensions__filters__network__connection_limit__v3__connection_limit__descriptor,
            .parse = connection_limit_parse,
        },
    .on_new_connection = connection_limit_on_new_connection,
    .on_data = connection_limit_on_data,
    .on_closed = connection_limit_on_closed,
};
