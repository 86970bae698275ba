/*
 * A worker's listener: accepts, chooses the filter chain, runs the network filters, drains.
 * Worker thread (main for the admin listener).
 */

#include "dataplane/net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/base/clock.h"
#include "dataplane/base/error.h"
#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/net/connection_balance.h"
#include "dataplane/runtime/overload.h"
#include "dataplane/runtime/runtime.h"
#include "dataplane/runtime/thread_context.h"

#define GLOBAL_LIMIT_KEY "overload.global_downstream_max_connections"
#define ACCEPTS_PER_EVENT 64
#define ACCEPT_PAUSE_MS                                                                            \
    100                /* after EMFILE: somebody must close something first; when overloaded       \
                        */
#define DRAIN_TICKS 32 /* how finely a gradual drain is spread over its time */

static const struct stat_def listener_stat_defs[LISTENER_STAT_COUNT] = {
    [LISTENER_CONNECTIONS_ACCEPTED_PER_SOCKET_EVENT] = {"connections_accepted_per_socket_event",
                                                        STAT_HISTOGRAM},
    [LISTENER_DOWNSTREAM_CX_TOTAL] = {"downstream_cx_total", STAT_COUNTER},
    [LISTENER_DOWNSTREAM_CX_DESTROY] = {"downstream_cx_destroy", STAT_COUNTER},
    [LISTENER_DOWNSTREAM_CX_ACTIVE] = {"downstream_cx_active", STAT_GAUGE},
    [LISTENER_DOWNSTREAM_CX_LENGTH_MS] = {"downstream_cx_length_ms", STAT_HISTOGRAM},
    [LISTENER_DOWNSTREAM_CX_ACCEPT_PAUSED] = {"downstream_cx_accept_paused", STAT_COUNTER},
    [LISTENER_DOWNSTREAM_CX_OVERFLOW] = {"downstream_cx_overflow", STAT_COUNTER},
    [LISTENER_DOWNSTREAM_CX_OVERLOAD_REJECT] = {"downstream_cx_overload_reject", STAT_COUNTER},
    [LISTENER_DOWNSTREAM_CX_TRANSPORT_SOCKET_CONNECT_TIMEOUT] =
        {"downstream_cx_transport_socket_connect_timeout", STAT_COUNTER},
    [LISTENER_DOWNSTREAM_GLOBAL_CX_OVERFLOW] = {"downstream_global_cx_overflow", STAT_COUNTER},
    [LISTENER_DOWNSTREAM_LISTENER_FILTER_ERROR] = {"downstream_listener_filter_error",
                                                   STAT_COUNTER},
    [LISTENER_DOWNSTREAM_LISTENER_FILTER_REMOTE_CLOSE] = {"downstream_listener_filter_remote_close",
                                                          STAT_COUNTER},
    [LISTENER_DOWNSTREAM_PRE_CX_ACTIVE] = {"downstream_pre_cx_active", STAT_GAUGE},
    [LISTENER_DOWNSTREAM_PRE_CX_TIMEOUT] = {"downstream_pre_cx_timeout", STAT_COUNTER},
    [LISTENER_NO_FILTER_CHAIN_MATCH] = {"no_filter_chain_match", STAT_COUNTER},
};

const struct stat_schema listener_stat_schema = {
    .defs = listener_stat_defs,
    .count = LISTENER_STAT_COUNT,
    .shown_untouched = true,
};

/* One listening descriptor of this worker: a duplicate, so that versions and listeners can share
 * the socket. */
struct accept_socket {
    uv_poll_t poll;
    struct worker_listener *listener;
    struct timer pause;
    int source_fd; /* main's descriptor, tells sockets apart across versions */
    int fd;
    bool is_unix;
};

/* A version, as far as connections in inspection use it. */
struct listener_run {
    uint32_t refs; /* the listener's, while it is the newest, and one per inspection */
    const struct listener_config *config;
    void (*released)(void *user);
    void *released_user;
};

struct worker_listener {
    struct worker_listener_params params;
    struct listener_run *run;
    struct accept_socket **sockets;
    size_t socket_count;
    struct list inspections; /* of inspection */
    struct list connections; /* of listener_connection */
    struct stat_block *stats;
    size_t connection_count;
    struct timer drain_timer; /* closes what is left */
    struct timer drain_tick;  /* tells some of those that drain gradually */
    uint64_t drain_since_ms;  /* a drain of all connections, also new ones, has begun; 0: none */
    bool is_draining;
    bool is_closing;
    void (*on_closed)(void *user);
    void *on_closed_user;
};

const struct listener_config *worker_listener_config(const struct worker_listener *wl)
{
    return wl->params.config;
}

size_t worker_listener_connections(const struct worker_listener *wl)
{
    return wl->connection_count;
}

/* --- network filters ---------------------------------------------------------------------- */

/* Takes the filters from `from` on through what there is: each is first told of the connection,
 * once, then of the bytes. Whoever stops is asked again with the next bytes, or goes on himself. */
static void lc_iterate(struct listener_connection *lc, size_t from, struct buf *in, bool end_stream)
{
    for (size_t i = from; i < lc->filter_count; i++) {
        struct network_filter *f = &lc->filters[i];
        const struct network_filter_type *type = f->type;

        if (i == lc->started_count) {
            lc->started_count++;
            if (type->on_new_connection != NULL &&
                type->on_new_connection(f) == NETWORK_FILTER_STOP) {
                return;
            }
        }
        if ((buf_len(in) > 0 || end_stream) && type->on_data != NULL &&
            !conn_is_closing(lc->conn) && type->on_data(f, in, end_stream) == NETWORK_FILTER_STOP) {
            return;
        }
        if (conn_is_closing(lc->conn)) {
            return;
        }
    }
}

static void lc_on_data(struct conn *c, struct buf *in, bool end_stream)
{
    lc_iterate(c->user, 0, in, end_stream);
}

static void lc_on_watermark(struct conn *c, bool is_above)
{
    struct listener_connection *lc = c->user;

    for (size_t i = 0; i < lc->filter_count; i++) {
        if (lc->filters[i].type->on_watermark != NULL) {
            lc->filters[i].type->on_watermark(&lc->filters[i], is_above);
        }
    }
}

static void worker_listener_maybe_closed(struct worker_listener *wl);

static void lc_log(struct listener_connection *lc, enum conn_close_cause cause)
{
    const struct worker_listener_params *p = &lc->listener->params;

    if (p->log != NULL && p->config->access_logs.count > 0) {
        p->log(p->user, &(struct listener_log){
                            .config = p->config,
                            .conn = lc->conn,
                            .remote = &lc->conn->remote,
                            .local = &lc->conn->local,
                            .info = lc->info,
                            .chain = lc->chain,
                            .listener = lc->listener,
                            .accepted_ns = lc->accepted_ns,
                            .termination_details = cause == CONN_CLOSED_CONNECT_TIMEOUT
                                                       ? STR("transport socket timeout was reached")
                                                       : STR_NONE,
                        });
    }
}

static void lc_on_closed(struct conn *c, enum conn_close_cause cause)
{
    struct listener_connection *lc = c->user;
    struct worker_listener *wl = lc->listener;

    for (size_t i = 0; i < lc->opened_count; i++) {
        if (lc->filters[i].type->on_closed != NULL) {
            lc->filters[i].type->on_closed(&lc->filters[i], cause);
        }
    }
    list_remove(&lc->node);
    stat_dec(lc->stats, LISTENER_DOWNSTREAM_CX_ACTIVE);
    stat_inc(lc->stats, LISTENER_DOWNSTREAM_CX_DESTROY);
    stat_record(lc->stats, LISTENER_DOWNSTREAM_CX_LENGTH_MS,
                (clock_mono_ns() - lc->accepted_ns) / 1000000);
    if (cause == CONN_CLOSED_CONNECT_TIMEOUT) {
        stat_inc(lc->stats, LISTENER_DOWNSTREAM_CX_TRANSPORT_SOCKET_CONNECT_TIMEOUT);
    }
    wl->connection_count--;
    lc_log(lc, cause);
    if (wl->params.chain_ref != NULL) {
        wl->params.chain_ref(wl->params.user, lc->chain, -1);
    }
    free(lc->info);
    free(lc);
    worker_listener_maybe_closed(wl);
}

static void lc_on_connected(struct conn *c)
{
    struct listener_connection *lc = c->user;

    for (size_t i = 0; i < lc->opened_count && !conn_is_closing(c); i++) {
        if (lc->filters[i].type->on_handshake != NULL) {
            lc->filters[i].type->on_handshake(&lc->filters[i]);
        }
    }
}

static const struct conn_ops listener_conn_ops = {
    .on_connected = lc_on_connected,
    .on_data = lc_on_data,
    .on_watermark = lc_on_watermark,
    .on_closed = lc_on_closed,
};

void network_filter_continue(struct network_filter *f)
{
    struct listener_connection *lc = f->lc;

    if (!conn_is_closing(lc->conn)) {
        lc_iterate(lc, (size_t)(f - lc->filters) + 1, &lc->conn->in, false);
        if (lc->conn->is_read_held) {
            conn_offer_again(lc->conn); /* reading may have stopped on what was held back */
        }
    }
}

static int lc_open_filters(struct listener_connection *lc)
{
    for (size_t i = 0; i < lc->filter_count; i++) {
        const struct filter_config *fc = &lc->chain->filters[i];
        struct network_filter *f = &lc->filters[i];

        f->type = (const struct network_filter_type *)fc->ext;
        f->config = fc->config;
        f->lc = lc;
        lc->opened_count = i + 1;
        if (f->type->open != NULL && f->type->open(f) != 0) {
            lc->opened_count = i;
            return E_SYS;
        }
    }
    return 0;
}

static void lc_drain(struct listener_connection *lc)
{
    if (lc->is_draining) {
        return;
    }
    lc->is_draining = true;
    for (size_t i = 0; i < lc->opened_count; i++) {
        if (lc->filters[i].type->on_drain != NULL) {
            lc->filters[i].type->on_drain(&lc->filters[i]);
        }
    }
}

/* --- limits ------------------------------------------------------------------------------- */

static void admission_give_back(const struct admission *a)
{
    for (size_t i = 0; i < CONN_LIMITS; i++) {
        if (a->limits[i] != NULL) {
            limit_give_back(a->limits[i]);
        }
    }
}

static void admission_give(const struct admission *a, struct conn *c)
{
    memcpy(c->limits, a->limits, sizeof(c->limits));
}

/* As Envoy: with a resource monitor, listeners that ignore the limit or the overload manager do not
 * count at all; without, everybody counts. False: there are enough connections. */
static bool worker_listener_admit_global(const struct worker_listener *wl, struct admission *a)
{
    const struct listener_config *l = wl->params.config;
    const struct thread_context *t = wl->params.thread;
    struct overload *o = t->overload;

    if (o == NULL || (o->has_connection_monitor &&
                      (l->ignore_global_conn_limit || l->bypass_overload_manager))) {
        return true;
    }
    if (l->ignore_global_conn_limit) {
        limit_force(&o->connections);
    } else if (!limit_take(&o->connections,
                           o->has_connection_monitor
                               ? o->max_connections
                               : runtime_get_u64(t, STR(GLOBAL_LIMIT_KEY), o->max_connections))) {
        return false;
    }
    a->limits[0] = &o->connections;
    return true;
}

static bool worker_listener_is_shedding(const struct worker_listener *wl)
{
    const struct thread_context *t = wl->params.thread;

    return !wl->params.config->bypass_overload_manager &&
           (overload_sheds(t, t->overload, LOAD_SHED_TCP_LISTENER_ACCEPT) ||
            overload_sheds(t, t->overload, OVERLOAD_REJECT_INCOMING_CONNECTIONS));
}

static bool worker_listener_admit_own(const struct worker_listener *wl, struct admission *a)
{
    const struct worker_listener_params *p = &wl->params;

    if (p->limit != NULL &&
        !limit_take(p->limit,
                    runtime_get_u64(p->thread, p->config->connection_limit_key, LIMIT_NONE))) {
        return false;
    }
    a->limits[1] = p->limit;
    return true;
}

/* Whether there may be one connection more, in Envoy's order. */
static bool worker_listener_admit(struct worker_listener *wl, struct admission *a)
{
    enum listener_stat refused;

    if (!worker_listener_admit_global(wl, a)) {
        refused = LISTENER_DOWNSTREAM_GLOBAL_CX_OVERFLOW;
    } else if (worker_listener_is_shedding(wl)) {
        refused = LISTENER_DOWNSTREAM_CX_OVERLOAD_REJECT;
    } else if (!worker_listener_admit_own(wl, a)) {
        refused = LISTENER_DOWNSTREAM_CX_OVERFLOW;
    } else {
        return true;
    }
    admission_give_back(a);
    stat_inc(wl->stats, refused);
    return false;
}

static void recount(struct limit **before, struct limit *now)
{
    if (*before != now) {
        if (*before != NULL) {
            limit_give_back(*before);
        }
        if (now != NULL) {
            limit_force(now);
        }
        *before = now;
    }
}

static size_t worker_listener_index(const struct worker_listener *wl)
{
    return (size_t)wl->params.thread->loop->index;
}

/* Another listener's filters sent the connection here: as Envoy, whatever the limit says. */
static void worker_listener_recount(struct worker_listener *wl, struct conn *c)
{
    struct connection_balance *b = wl->params.balance;

    recount(&c->limits[1], wl->params.limit);
    recount(&c->limits[2],
            b != NULL ? connection_balance_share(b, worker_listener_index(wl)) : NULL);
}

/* --- draining ----------------------------------------------------------------------------- */

bool listener_connection_wants_drain(const struct listener_connection *lc)
{
    const struct thread_drain *d = &lc->thread->drain;
    struct loop *l = lc->thread->loop;

    if (lc->is_draining || d->is_ending) {
        return true;
    }
    if (d->has_failed_health_check && lc->listener->params.config->drain_type == DRAIN_DEFAULT) {
        return true;
    }
    return lc->drain_since_ms > 0 &&
           drain_is_due(&d->policy, loop_now_ms(l) - lc->drain_since_ms, &l->rng);
}

static bool worker_listener_drains_gradually(const struct worker_listener *wl)
{
    const struct drain_policy *p = &wl->params.thread->drain.policy;

    return p->is_gradual && p->time_ms > 0;
}

/* Connections without requests would not notice: at each tick some are told, so that all have been
 * when the time is over. */
static void worker_listener_on_drain_tick(struct timer *t)
{
    struct worker_listener *wl = container_of(t, struct worker_listener, drain_tick);
    struct loop *l = wl->params.thread->loop;
    uint64_t time_ms = wl->params.thread->drain.policy.time_ms;
    uint64_t tick_ms = time_ms / DRAIN_TICKS;
    struct listener_connection *lc;
    bool any_left = false;

    list_for_each (lc, &wl->connections, struct listener_connection, node) {
        uint64_t elapsed_ms = loop_now_ms(l) - lc->drain_since_ms;

        if (lc->drain_since_ms == 0 || lc->is_draining) {
            continue;
        }
        if (elapsed_ms >= time_ms ||
            rng_below(&l->rng, (time_ms - elapsed_ms) / (tick_ms + 1) + 1) == 0) {
            lc_drain(lc);
        } else {
            any_left = true;
        }
    }
    if (any_left || wl->drain_since_ms > 0) {
        timer_arm(l, &wl->drain_tick, tick_ms > 0 ? tick_ms : 1);
    }
}

static void worker_listener_arm_drain_tick(struct worker_listener *wl)
{
    if (!timer_is_armed(&wl->drain_tick)) {
        timer_arm(wl->params.thread->loop, &wl->drain_tick,
                  wl->params.thread->drain.policy.time_ms / DRAIN_TICKS);
    }
}

static void worker_listener_drain_connection(struct worker_listener *wl,
                                             struct listener_connection *lc)
{
    if (!worker_listener_drains_gradually(wl)) {
        lc_drain(lc);
    } else if (lc->drain_since_ms == 0) {
        lc->drain_since_ms = loop_now_ms(wl->params.thread->loop);
        worker_listener_arm_drain_tick(wl);
    }
}

void worker_listener_drain(struct worker_listener *wl)
{
    struct listener_connection *lc;

    wl->is_draining = true;
    list_for_each (lc, &wl->connections, struct listener_connection, node) {
        lc_drain(lc);
    }
}

void worker_listener_start_drain(struct worker_listener *wl)
{
    struct listener_connection *lc;

    if (!worker_listener_drains_gradually(wl)) {
        worker_listener_drain(wl);
        return;
    }
    if (wl->drain_since_ms == 0) {
        wl->drain_since_ms = loop_now_ms(wl->params.thread->loop);
    }
    list_for_each (lc, &wl->connections, struct listener_connection, node) {
        worker_listener_drain_connection(wl, lc);
    }
}

/* --- accepting ---------------------------------------------------------------------------- */

static const struct filter_chain_config *
worker_listener_pick_chain(struct worker_listener *wl, const struct address *remote,
                           const struct address *direct_remote, const struct address *local,
                           const struct connection_info *info)
{
    struct filter_chain_key key = {
        .destination = local,
        .source = remote,
        .direct_source = direct_remote,
        .transport_protocol = STR("raw_buffer"),
    };

    if (info != NULL) {
        key.server_name = info->server_name;
        key.application_protocols = info->application_protocols;
        key.application_protocol_count = info->application_protocol_count;
        if (info->transport_protocol.len > 0) {
            key.transport_protocol = info->transport_protocol;
        }
    }
    return filter_chain_index_find(wl->params.chains, &key);
}

static void worker_listener_log_unserved(struct worker_listener *wl, const struct listener_log *l)
{
    if (wl->params.log != NULL && l->config->access_logs.count > 0) {
        wl->params.log(wl->params.user, l);
    }
}

static struct listener_connection *lc_new(struct worker_listener *wl, struct conn *c,
                                          const struct filter_chain_config *chain)
{
    struct listener_connection *lc =
        xcalloc(1, sizeof(*lc) + chain->filter_count * sizeof(struct network_filter));

    lc->conn = c;
    lc->listener = wl;
    lc->thread = wl->params.thread;
    lc->overload = wl->params.config->bypass_overload_manager ? NULL : lc->thread->overload;
    lc->chain = chain;
    lc->buffer_limit_bytes = wl->params.config->per_connection_buffer_limit_bytes.is_set
                                 ? wl->params.config->per_connection_buffer_limit_bytes.value
                                 : LISTENER_DEFAULT_BUFFER_LIMIT;
    lc->stats = wl->stats;
    lc->filter_count = chain->filter_count;
    c->ops = &listener_conn_ops;
    c->user = lc;
    list_add_tail(&wl->connections, &lc->node);
    wl->connection_count++;
    if (wl->params.chain_ref != NULL) {
        wl->params.chain_ref(wl->params.user, chain, 1);
    }
    stat_inc(wl->stats, LISTENER_DOWNSTREAM_CX_TOTAL);
    stat_inc(wl->stats, LISTENER_DOWNSTREAM_CX_ACTIVE);
    return lc;
}

static uint64_t worker_listener_connect_timeout(const struct worker_listener *wl,
                                                const struct filter_chain_config *chain)
{
    uint64_t ms = chain->transport_socket_connect_timeout_ms;

    return wl->params.config->bypass_overload_manager
               ? ms
               : ms - overload_cut_ms(wl->params.thread->overload, SCALED_TRANSPORT_CONNECT, ms);
}

/* The chain is chosen: the connection's transport and network filters, then the bytes that listener
 * filters left in `in`. */
static void worker_listener_serve(struct worker_listener *wl, struct conn *c,
                                  const struct filter_chain_config *chain,
                                  struct connection_info *take_info, uint64_t accepted_ns)
{
    struct listener_connection *lc = lc_new(wl, c, chain);
    struct buf seen;

    lc->info = take_info;
    lc->requested_server_name = take_info != NULL ? take_info->server_name : STR_NONE;
    lc->accepted_ns = accepted_ns;
    conn_set_watermark(c, wl->params.config->per_connection_buffer_limit_bytes.is_set
                              ? wl->params.config->per_connection_buffer_limit_bytes.value
                              : LISTENER_DEFAULT_WATERMARK);
    buf_init(&seen, &wl->params.thread->loop->bufs);
    buf_move(&seen, &c->in);
    if (conn_set_server_transport(c, (const struct transport_socket *)chain->transport_socket,
                                  chain->transport_socket_config,
                                  worker_listener_connect_timeout(wl, chain)) != 0 ||
        lc_open_filters(lc) != 0) {
        buf_reset(&seen);
        conn_close(c, CONN_CLOSE_NOW);
        return;
    }
    lc->drain_since_ms = wl->drain_since_ms;
    if (wl->is_draining) {
        lc_drain(lc); /* SIGTERM: still served, one response each */
    }
    lc_iterate(lc, 0, &c->in, false);
    if (conn_is_closing(c)) {
        buf_reset(&seen);
        return;
    }
    conn_read_start(c);
    if (seen.len > 0) {
        conn_feed(c, &seen);
    }
}

/* Envoy's answer to a connection that no chain wants. */
static void worker_listener_refuse(struct worker_listener *wl, const struct listener_log *l)
{
    stat_inc(wl->stats, LISTENER_NO_FILTER_CHAIN_MATCH);
    worker_listener_log_unserved(wl, l);
}

/* Without listener filters: the addresses are all there is to know. */
static void worker_listener_adopt(struct worker_listener *wl, const struct accepted_socket *a)
{
    const struct filter_chain_config *chain =
        worker_listener_pick_chain(wl, &a->remote, &a->remote, &a->local, NULL);
    uint64_t now_ns = clock_mono_ns();
    struct conn *c;

    if (chain == NULL) {
        worker_listener_refuse(wl, &(struct listener_log){
                                       .config = wl->params.config,
                                       .remote = &a->remote,
                                       .local = &a->local,
                                       .accepted_ns = now_ns,
                                       .has_no_chain = true,
                                   });
        accepted_socket_drop(a);
        return;
    }
    if (conn_accept(wl->params.thread->loop, a->fd, a->is_unix, &a->remote, &a->local, &c) != 0) {
        admission_give_back(&a->admission);
    } else {
        admission_give(&a->admission, c);
        c->id = ++wl->params.thread->next_connection_id;
        worker_listener_serve(wl, c, chain, NULL, now_ns);
    }
}

/* --- listener filters --------------------------------------------------------------------- */

static void listener_run_unref(struct listener_run *r)
{
    if (--r->refs == 0) {
        if (r->released != NULL) {
            r->released(r->released_user);
        }
        free(r);
    }
}

static struct listener_run *listener_run_new(const struct listener_config *config)
{
    struct listener_run *r = xcalloc(1, sizeof(*r));

    r->refs = 1;
    r->config = config;
    return r;
}

static void worker_listener_inspect(struct worker_listener *wl, struct conn *c,
                                    struct inspection *before, uint64_t accepted_ns);

static void inspection_done(struct inspection *i)
{
    struct listener_run *run = i->run;

    list_remove(&i->node);
    inspection_free(i);
    listener_run_unref(run);
}

/* Everything is known that will be. `i` stays the caller's. */
static void worker_listener_choose(struct worker_listener *wl, struct inspection *i)
{
    struct conn *c = i->conn;
    struct worker_listener *other = NULL;
    const struct filter_chain_config *chain;

    if (i->may_hand_off && i->config->use_original_dst && i->info.direct_local != NULL &&
        wl->params.find_listener != NULL) {
        other = wl->params.find_listener(wl->params.user, &c->local);
    }
    if (other != NULL && other != wl && !other->is_closing) {
        worker_listener_recount(other, c);
        worker_listener_inspect(other, c, i, i->accepted_ns);
        return;
    }
    chain = worker_listener_pick_chain(wl, &c->remote, conn_direct_remote(c), &c->local, &i->info);
    if (chain == NULL) {
        worker_listener_refuse(wl, &(struct listener_log){
                                       .config = i->config,
                                       .conn = c,
                                       .remote = &c->remote,
                                       .local = &c->local,
                                       .info = &i->info,
                                       .accepted_ns = i->accepted_ns,
                                       .has_no_chain = true,
                                   });
        conn_close(c, CONN_CLOSE_NOW);
        return;
    }
    worker_listener_serve(wl, c, chain, inspection_take_info(i), i->accepted_ns);
}

static void worker_listener_on_outcome(struct inspection *i, enum inspection_outcome o)
{
    struct worker_listener *wl = i->user;

    stat_dec(wl->stats, LISTENER_DOWNSTREAM_PRE_CX_ACTIVE);
    if (i->is_timed_out) {
        stat_inc(wl->stats, LISTENER_DOWNSTREAM_PRE_CX_TIMEOUT);
    }
    if (o == INSPECTION_DONE) {
        worker_listener_choose(wl, i);
    } else {
        if (o == INSPECTION_REMOTE_CLOSE) {
            stat_inc(wl->stats, LISTENER_DOWNSTREAM_LISTENER_FILTER_REMOTE_CLOSE);
        } else if (o == INSPECTION_ERROR) {
            stat_inc(wl->stats, LISTENER_DOWNSTREAM_LISTENER_FILTER_ERROR);
        }
        worker_listener_log_unserved(wl, &(struct listener_log){
                                             .config = i->config,
                                             .conn = i->conn,
                                             .remote = &i->conn->remote,
                                             .local = &i->conn->local,
                                             .info = &i->info,
                                             .accepted_ns = i->accepted_ns,
                                         });
        conn_close(i->conn, CONN_CLOSE_NOW);
    }
    inspection_done(i);
    worker_listener_maybe_closed(wl);
}

/* `before`: what another listener's filters found, when it hands the connection over; its own
 * destination is then final. */
static void worker_listener_inspect(struct worker_listener *wl, struct conn *c,
                                    struct inspection *before, uint64_t accepted_ns)
{
    struct inspection *i = inspection_new(wl->params.thread, wl->run->config, c);

    if (before != NULL) {
        inspection_move_info(i, before);
    }
    i->on_outcome = worker_listener_on_outcome;
    i->user = wl;
    i->run = wl->run;
    i->run->refs++;
    i->accepted_ns = accepted_ns;
    i->may_hand_off = before == NULL;
    list_add_tail(&wl->inspections, &i->node);
    stat_inc(wl->stats, LISTENER_DOWNSTREAM_PRE_CX_ACTIVE);
    inspection_start(i);
}

void accepted_socket_drop(const struct accepted_socket *take_accepted)
{
    admission_give_back(&take_accepted->admission);
    close(take_accepted->fd);
}

void worker_listener_take(struct worker_listener *wl, const struct accepted_socket *take_accepted)
{
    const struct accepted_socket *a = take_accepted;
    struct conn *c;

    if (wl->params.config->listener_filter_count == 0) {
        worker_listener_adopt(wl, a);
    } else if (conn_accept(wl->params.thread->loop, a->fd, a->is_unix, &a->remote, &a->local, &c) !=
               0) {
        admission_give_back(&a->admission);
    } else {
        admission_give(&a->admission, c);
        c->id = ++wl->params.thread->next_connection_id;
        worker_listener_inspect(wl, c, NULL, clock_mono_ns());
    }
}

/* --- sockets ------------------------------------------------------------------------------ */

static void accept_socket_arm(struct accept_socket *s);

/* Connections wait in the kernel meanwhile. */
static void accept_socket_pause(struct accept_socket *s)
{
    uv_poll_stop(&s->poll);
    timer_arm(s->listener->params.thread->loop, &s->pause, ACCEPT_PAUSE_MS);
}

/* To the worker that has the fewest, where that is asked for. */
static void worker_listener_accepted(struct worker_listener *wl, struct accepted_socket *take)
{
    struct connection_balance *b = wl->params.balance;
    size_t own = worker_listener_index(wl);
    size_t picked = b != NULL ? connection_balance_pick(b, own, &take->admission.limits[2]) : own;

    if (picked == own) {
        worker_listener_take(wl, take);
    } else {
        wl->params.hand_over(wl->params.user, wl, picked, take);
    }
}

/* False when nothing more is queued (or nothing more can be taken). */
static bool accept_socket_one(struct accept_socket *s)
{
    struct accepted_socket a = {
        .is_unix = s->is_unix,
        .remote.len = sizeof(a.remote.un),
        .local.len = sizeof(a.local.un),
    };

    a.fd = accept4(s->fd, &a.remote.sa, &a.remote.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (a.fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            stat_inc(s->listener->stats, LISTENER_DOWNSTREAM_CX_ACCEPT_PAUSED);
            accept_socket_pause(s);
            return false;
        }
        return errno == ECONNABORTED || errno == EINTR;
    }
    if (!worker_listener_admit(s->listener, &a.admission)) {
        close(a.fd);
        return true;
    }
    if (getsockname(a.fd, &a.local.sa, &a.local.len) != 0) {
        accepted_socket_drop(&a); /* gone already */
        return true;
    }
    if (s->is_unix) {
        a.remote = a.local; /* clients have no name: as Envoy, the listener's path */
    }
    worker_listener_accepted(s->listener, &a);
    return true;
}

static bool accept_socket_must_rest(const struct accept_socket *s)
{
    const struct worker_listener *wl = s->listener;

    return !wl->params.config->bypass_overload_manager &&
           overload_is_saturated(wl->params.thread->overload, OVERLOAD_STOP_ACCEPTING_CONNECTIONS);
}

static void accept_socket_on_readable(uv_poll_t *poll, int status, int events)
{
    struct accept_socket *s = container_of(poll, struct accept_socket, poll);
    uint32_t most = s->listener->params.config->accepts_per_event;
    uint32_t n = 0;

    (void)events;
    if (status < 0) {
        return;
    }
    if (accept_socket_must_rest(s)) {
        accept_socket_pause(s);
        return;
    }
    most = most > 0 ? most : ACCEPTS_PER_EVENT;
    while (n < most && s->fd >= 0 && accept_socket_one(s)) {
        n++;
    }
    stat_record(s->listener->stats, LISTENER_CONNECTIONS_ACCEPTED_PER_SOCKET_EVENT, n);
}

static void accept_socket_arm(struct accept_socket *s)
{
    (void)uv_poll_start(&s->poll, UV_READABLE, accept_socket_on_readable);
}

static void accept_socket_on_pause_over(struct timer *t)
{
    struct accept_socket *s = container_of(t, struct accept_socket, pause);

    if (accept_socket_must_rest(s)) {
        accept_socket_pause(s);
    } else {
        accept_socket_arm(s);
    }
}

static void accept_socket_on_uv_closed(uv_handle_t *h)
{
    free(container_of((uv_poll_t *)h, struct accept_socket, poll));
}

static bool socket_is_unix(int fd)
{
    int domain = AF_UNSPEC;
    socklen_t len = sizeof(domain);

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
}

static struct accept_socket *accept_socket_new(struct worker_listener *wl, int source_fd)
{
    struct accept_socket *s = xcalloc(1, sizeof(*s));

    s->listener = wl;
    s->source_fd = source_fd;
    s->is_unix = socket_is_unix(source_fd);
    s->fd = fcntl(source_fd, F_DUPFD_CLOEXEC, 0);
    timer_init(&s->pause, accept_socket_on_pause_over);
    if (s->fd < 0 || uv_poll_init(&wl->params.thread->loop->uv, &s->poll, s->fd) != 0) {
        if (s->fd >= 0) {
            close(s->fd);
        }
        free(s);
        return NULL;
    }
    accept_socket_arm(s);
    return s;
}

static void accept_socket_close(struct accept_socket *s, bool accept_queued)
{
    while (accept_queued && accept_socket_one(s)) {
    }
    timer_cancel(s->listener->params.thread->loop, &s->pause);
    /* libuv first: it takes the descriptor off its epoll, whose number another thread may reuse. */
    uv_close((uv_handle_t *)&s->poll, accept_socket_on_uv_closed);
    close(s->fd);
    s->fd = -1;
}

/* Closing a listening socket resets what its queue holds, also what came after the last accept. A
 * filter that drops every packet keeps the queue as it is. */
void worker_listener_stop_queueing(struct worker_listener *wl)
{
    struct sock_filter drop_all = {.code = BPF_RET | BPF_K, .k = 0};
    const struct sock_fprog program = {.len = 1, .filter = &drop_all};

    for (size_t i = 0; i < wl->socket_count; i++) {
        if (wl->sockets[i] != NULL && !wl->sockets[i]->is_unix) {
            /* Without it a few connections may be lost, as with everybody else. */
            (void)setsockopt(wl->sockets[i]->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
                             sizeof(program));
        }
    }
}

/* --- versions ----------------------------------------------------------------------------- */

static struct accept_socket *worker_listener_take_socket(struct worker_listener *wl, int source_fd)
{
    for (size_t i = 0; i < wl->socket_count; i++) {
        struct accept_socket *s = wl->sockets[i];

        if (s != NULL && s->source_fd == source_fd) {
            wl->sockets[i] = NULL;
            return s;
        }
    }
    return NULL;
}

/* Keeps the sockets that the new version shares, opens the new ones, closes the others. */
static int worker_listener_set_sockets(struct worker_listener *wl,
                                       const struct worker_listener_params *p)
{
    struct accept_socket **sockets = xcalloc(p->fd_count + 1, sizeof(struct accept_socket *));
    int r = 0;

    for (size_t i = 0; i < p->fd_count; i++) {
        sockets[i] = worker_listener_take_socket(wl, p->fds[i]);
        if (sockets[i] == NULL) {
            sockets[i] = accept_socket_new(wl, p->fds[i]);
            r = sockets[i] == NULL ? E_SYS : r;
        }
    }
    for (size_t i = 0; i < wl->socket_count; i++) {
        if (wl->sockets[i] != NULL) {
            accept_socket_close(wl->sockets[i], true);
        }
    }
    free(wl->sockets);
    wl->sockets = sockets;
    wl->socket_count = p->fd_count;
    return r;
}

static void worker_listener_drop_inspections(struct worker_listener *wl)
{
    struct inspection *i;

    list_for_each (i, &wl->inspections, struct inspection, node) {
        i->conn->ops = NULL;
        conn_close(i->conn, CONN_CLOSE_NOW);
        stat_dec(wl->stats, LISTENER_DOWNSTREAM_PRE_CX_ACTIVE);
        inspection_done(i);
    }
    worker_listener_maybe_closed(wl);
}

/* Closes connections whose chain has gone; all of them when the listener itself goes. */
static void worker_listener_on_drain_timer(struct timer *t)
{
    struct worker_listener *wl = container_of(t, struct worker_listener, drain_timer);
    struct listener_connection *lc;

    list_for_each (lc, &wl->connections, struct listener_connection, node) {
        if (lc->is_leaving || wl->is_closing) {
            conn_close(lc->conn, CONN_CLOSE_NOW);
        }
    }
    if (wl->is_closing) {
        worker_listener_drop_inspections(wl);
    }
}

static void worker_listener_arm_drain(struct worker_listener *wl, uint64_t drain_ms)
{
    /* A later drain of other chains extends the time of those already draining: harmless. */
    timer_arm(wl->params.thread->loop, &wl->drain_timer, drain_ms);
}

/* Only those that accept are given connections. */
static void worker_listener_join_balance(struct worker_listener *wl)
{
    if (wl->params.balance != NULL) {
        connection_balance_join(wl->params.balance, worker_listener_index(wl));
    }
}

/* What is still queued is its own. */
static void worker_listener_leave_balance(struct worker_listener *wl)
{
    if (wl->params.balance != NULL) {
        connection_balance_leave(wl->params.balance, worker_listener_index(wl));
        wl->params.balance = NULL;
    }
}

int worker_listener_new(const struct worker_listener_params *p, struct worker_listener **ret)
{
    struct worker_listener *wl = xcalloc(1, sizeof(*wl));
    int r;

    wl->params = *p;
    list_init(&wl->inspections);
    list_init(&wl->connections);
    wl->run = listener_run_new(p->config);
    timer_init(&wl->drain_timer, worker_listener_on_drain_timer);
    timer_init(&wl->drain_tick, worker_listener_on_drain_tick);
    wl->stats = stat_scope_block(p->scope, p->thread->loop->index);
    r = worker_listener_set_sockets(wl, p);
    worker_listener_join_balance(wl);
    wl->params.fds = NULL;
    *ret = wl;
    return r;
}

/* The new version counts under another address: connections go over to it, for the old counters are
 * given back with the old version. */
static void worker_listener_move_stats(struct worker_listener *wl, struct stat_block *to)
{
    struct listener_connection *lc;
    uint64_t inspected = 0;

    for (const struct list *n = wl->inspections.next; n != &wl->inspections; n = n->next) {
        inspected++;
    }
    if (inspected > 0) {
        stat_add(wl->stats, LISTENER_DOWNSTREAM_PRE_CX_ACTIVE, 0 - inspected);
        stat_add(to, LISTENER_DOWNSTREAM_PRE_CX_ACTIVE, inspected);
    }
    wl->stats = to;
    list_for_each (lc, &wl->connections, struct listener_connection, node) {
        if (lc->stats != to) {
            stat_dec(lc->stats, LISTENER_DOWNSTREAM_CX_ACTIVE);
            stat_inc(to, LISTENER_DOWNSTREAM_CX_ACTIVE);
            lc->stats = to;
        }
    }
}

int worker_listener_update(struct worker_listener *wl, const struct worker_listener_params *p,
                           bool (*keep_chain)(void *user, const struct filter_chain_config *chain),
                           uint64_t drain_ms, void (*released)(void *user), void *released_user)
{
    struct listener_connection *lc;
    struct listener_run *old = wl->run;
    bool is_in_place = p->config->listener_hash == old->config->listener_hash;
    bool any_draining = false;
    int r;

    if (p->balance == NULL) {
        worker_listener_leave_balance(wl);
    }
    wl->params = *p;
    wl->run = listener_run_new(p->config);
    r = worker_listener_set_sockets(wl, p); /* those that go accept what is queued on them */
    worker_listener_move_stats(wl, stat_scope_block(p->scope, p->thread->loop->index));
    worker_listener_join_balance(wl);
    wl->params.fds = NULL;
    list_for_each (lc, &wl->connections, struct listener_connection, node) {
        if (!keep_chain(p->user, lc->chain)) {
            any_draining = true;
            lc->is_leaving = true;
            if (is_in_place) {
                lc_drain(lc); /* as Envoy: chains are not drained gradually */
            } else {
                worker_listener_drain_connection(wl, lc);
            }
        }
    }
    if (any_draining) {
        worker_listener_arm_drain(wl, drain_ms);
    }
    old->released = released;
    old->released_user = released_user;
    listener_run_unref(old);
    return r;
}

static void worker_listener_close_sockets(struct worker_listener *wl, bool accept_queued)
{
    worker_listener_leave_balance(wl);
    for (size_t i = 0; i < wl->socket_count; i++) {
        if (wl->sockets[i] != NULL) {
            accept_socket_close(wl->sockets[i], accept_queued);
        }
    }
    wl->socket_count = 0;
}

void worker_listener_stop_accepting(struct worker_listener *wl)
{
    worker_listener_close_sockets(wl, true);
}

void worker_listener_scale_timeouts(struct worker_listener *wl)
{
    struct listener_connection *lc;

    list_for_each (lc, &wl->connections, struct listener_connection, node) {
        for (size_t i = 0; i < lc->opened_count; i++) {
            if (lc->filters[i].type->on_timeouts_scaled != NULL) {
                lc->filters[i].type->on_timeouts_scaled(&lc->filters[i]);
            }
        }
    }
}

size_t worker_listener_reset_streams(struct worker_listener *wl, uint64_t min_bytes, size_t most)
{
    struct listener_connection *lc;
    size_t n = 0;

    list_for_each (lc, &wl->connections, struct listener_connection, node) {
        for (size_t i = 0; i < lc->opened_count && n < most && !conn_is_closing(lc->conn); i++) {
            if (lc->filters[i].type->reset_streams != NULL) {
                n += lc->filters[i].type->reset_streams(&lc->filters[i], min_bytes, most - n);
            }
        }
    }
    return n;
}

static void worker_listener_maybe_closed(struct worker_listener *wl)
{
    void (*on_closed)(void *user) = wl->on_closed;
    void *user = wl->on_closed_user;

    if (!wl->is_closing || wl->connection_count > 0 || !list_is_empty(&wl->inspections)) {
        return;
    }
    timer_cancel(wl->params.thread->loop, &wl->drain_timer);
    timer_cancel(wl->params.thread->loop, &wl->drain_tick);
    free(wl->sockets);
    listener_run_unref(wl->run);
    free(wl);
    on_closed(user);
}

void worker_listener_close(struct worker_listener *wl, bool accept_queued, uint64_t drain_ms,
                           void (*on_closed)(void *user), void *user)
{
    worker_listener_close_sockets(wl, accept_queued);
    wl->on_closed = on_closed;
    wl->on_closed_user = user;
    worker_listener_start_drain(wl);
    wl->is_closing = true;
    if (wl->connection_count > 0 || !list_is_empty(&wl->inspections)) {
        worker_listener_arm_drain(wl, drain_ms);
    }
    worker_listener_maybe_closed(wl);
}
