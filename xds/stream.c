/* One discovery stream: connection life, sending, dispatch. Main thread. */

#include "xds/stream.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"
#include "xds/response.h"

#define BACKOFF_BASE_MS 500
#define BACKOFF_MAX_MS 30000

/* Methods of a stream that carries one type. */
static const struct {
    const char *type_url;
    const char *sotw;
    const char *delta;
} METHODS[] = {
    {"type.googleapis.com/envoy.config.cluster.v3.Cluster",
     "/envoy.service.cluster.v3.ClusterDiscoveryService/StreamClusters",
     "/envoy.service.cluster.v3.ClusterDiscoveryService/DeltaClusters"},
    {"type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
     "/envoy.service.endpoint.v3.EndpointDiscoveryService/StreamEndpoints",
     "/envoy.service.endpoint.v3.EndpointDiscoveryService/DeltaEndpoints"},
    {"type.googleapis.com/envoy.config.listener.v3.Listener",
     "/envoy.service.listener.v3.ListenerDiscoveryService/StreamListeners",
     "/envoy.service.listener.v3.ListenerDiscoveryService/DeltaListeners"},
    {"type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
     "/envoy.service.route.v3.RouteDiscoveryService/StreamRoutes",
     "/envoy.service.route.v3.RouteDiscoveryService/DeltaRoutes"},
    {"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
     "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets",
     "/envoy.service.secret.v3.SecretDiscoveryService/DeltaSecrets"},
    {"type.googleapis.com/envoy.service.runtime.v3.Runtime",
     "/envoy.service.runtime.v3.RuntimeDiscoveryService/StreamRuntime",
     "/envoy.service.runtime.v3.RuntimeDiscoveryService/DeltaRuntime"},
};
#define ADS_SOTW "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
#define ADS_DELTA "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"

struct xds_stream_type {
    struct list node;
    struct xds_stream *stream;
    struct str type_url; /* behind the struct */
    struct xds_type_state state;
    const struct xds_subscriber *subscriber;
    void *user;
    struct list waiting;           /* of xds_name: first response not there yet, by deadline */
    uint64_t wildcard_deadline_ms; /* 0: none runs */
    struct timer fetch_timer;
    struct timer answer_timer; /* armed: a NACK is held back */
    bool is_closed;            /* by its user, from inside a callback: swept when that returns */
};

/* Dialing leads to open or backoff, open to backoff, backoff to dialing. */
enum stream_state { STREAM_IDLE, STREAM_DIALING, STREAM_OPEN, STREAM_BACKOFF };

static const char *stream_state_name(enum stream_state st)
{
    static const char *const NAMES[] = {"idle", "dialing", "open", "backoff"};

    return NAMES[st];
}

struct xds_stream {
    struct xds_stream_params params;
    struct arena arena; /* the source's strings */
    struct xds_source source;
    struct list types;
    enum stream_state state;
    void *dial;                      /* while dialing */
    struct xds_transport *transport; /* while open */
    bool is_in_callback;             /* a subscriber's: nothing of ours may be freed */
    bool is_freed;                   /* meanwhile, by the owner */
    bool node_sent;
    uint32_t failures; /* in a row */
    struct timer backoff_timer;
    struct loop_task send_task;
    struct strbuf request;
    uint64_t connected_since_ms;
    uint32_t reconnects;
    uint32_t too_large;
    uint64_t requests_sent;
    uint64_t responses_received;
    char *last_error;
    char *control_plane;
};

static void stream_set_state(struct xds_stream *s, enum stream_state st)
{
    static const enum stream_state BEFORE[][2] = {
        [STREAM_IDLE] = {STREAM_IDLE, STREAM_IDLE}, /* where it starts */
        [STREAM_DIALING] = {STREAM_IDLE, STREAM_BACKOFF},
        [STREAM_OPEN] = {STREAM_DIALING, STREAM_DIALING},
        [STREAM_BACKOFF] = {STREAM_DIALING, STREAM_OPEN},
    };

    CHECK(s->state == BEFORE[st][0] || s->state == BEFORE[st][1]);
    log_debug(LOG_C_CONFIG, "xds stream to '%.*s': %s -> %s", STR_ARG(s->source.cluster_name),
              stream_state_name(s->state), stream_state_name(st));
    s->state = st;
}

/* --- callbacks ---------------------------------------------------------------------------- */

/* Around every call to a subscriber: it may close its subscription, others, and the stream. */
static void stream_enter(struct xds_stream *s)
{
    CHECK(!s->is_in_callback); /* subscription.h: never from inside a call */
    s->is_in_callback = true;
}

static void stream_type_free(struct xds_stream_type *t)
{
    list_remove(&t->node);
    timer_cancel(t->stream->params.loop, &t->fetch_timer);
    timer_cancel(t->stream->params.loop, &t->answer_timer);
    xds_type_state_done(&t->state);
    free(t);
}

static void stream_release(struct xds_stream *s)
{
    strbuf_done(&s->request);
    free(s->last_error);
    free(s->control_plane);
    arena_done(&s->arena);
    free(s);
}

/* Frees what was closed meanwhile. False: the stream too. */
static bool stream_leave(struct xds_stream *s)
{
    struct xds_stream_type *t;

    s->is_in_callback = false;
    list_for_each (t, &s->types, struct xds_stream_type, node) {
        if (t->is_closed) {
            stream_type_free(t);
        }
    }
    if (s->is_freed) {
        stream_release(s);
        return false;
    }
    return true;
}

/* --- sending ------------------------------------------------------------------------------ */

static void stream_send_type(struct xds_stream *s, struct xds_stream_type *t)
{
    struct str node = s->params.node;

    if (s->source.set_node_on_first_message_only && s->node_sent) {
        node = STR_NONE;
    }
    timer_cancel(s->params.loop, &t->answer_timer);
    strbuf_reset(&s->request);
    t->state.protocol->build_request(&t->state, node, &s->request);
    s->node_sent = true;
    s->requests_sent++;
    s->params.transports->send(s->transport, strbuf_str(&s->request));
}

/* A NACK that is held back goes out at once when there is something else to say. */
static bool stream_type_may_send(const struct xds_stream_type *t)
{
    return !t->is_closed && xds_type_state_has_request(&t->state) &&
           (!timer_is_armed(&t->answer_timer) || t->state.unsaid_count > 0);
}

static bool stream_has_request(const struct xds_stream *s)
{
    struct xds_stream_type *t;

    list_for_each (t, &s->types, struct xds_stream_type, node) {
        if (stream_type_may_send(t)) {
            return true;
        }
    }
    return false;
}

static void stream_connect(struct xds_stream *s);

static void stream_send_task(struct loop_task *task)
{
    struct xds_stream *s = container_of(task, struct xds_stream, send_task);
    struct xds_stream_type *t;

    if (s->state == STREAM_IDLE && stream_has_request(s)) {
        stream_connect(s);
    }
    if (s->state != STREAM_OPEN) {
        return;
    }
    list_for_each (t, &s->types, struct xds_stream_type, node) {
        while (stream_type_may_send(t)) {
            stream_send_type(s, t);
        }
    }
}

static void stream_send_soon(struct xds_stream *s)
{
    loop_task_schedule(s->params.loop, &s->send_task);
}

/* --- connection --------------------------------------------------------------------------- */

static struct str stream_method(const struct xds_stream *s)
{
    const struct xds_stream_type *t = list_first(&s->types, struct xds_stream_type, node);

    if (s->params.is_aggregated) {
        return s->source.is_delta ? STR(ADS_DELTA) : STR(ADS_SOTW);
    }
    for (size_t i = 0; t != NULL && i < ARRAY_LEN(METHODS); i++) {
        if (str_eq(t->type_url, str_c(METHODS[i].type_url))) {
            return str_c(s->source.is_delta ? METHODS[i].delta : METHODS[i].sotw);
        }
    }
    return STR("/");
}

/* Tells every subscriber. False: the stream is gone. */
static bool stream_note_error(struct xds_stream *s, struct str reason)
{
    struct xds_stream_type *t;

    log_debug(LOG_C_CONFIG, "xds stream to '%.*s': %.*s", STR_ARG(s->source.cluster_name),
              STR_ARG(reason));
    free(s->last_error);
    s->last_error = xstrndup(reason.ptr, reason.len);
    stream_enter(s);
    list_for_each (t, &s->types, struct xds_stream_type, node) {
        if (!t->is_closed) {
            t->subscriber->on_error(t->user, reason);
        }
    }
    return stream_leave(s);
}

/* Full jitter, as Envoy: anywhere in [0, min(max, base * 2^failures)). A message over the limit
 * would only come again: the second half of the longest wait. */
static void stream_back_off(struct xds_stream *s, bool is_long)
{
    uint64_t bound = BACKOFF_BASE_MS;
    uint64_t delay;

    for (uint32_t i = 0; i < s->failures && bound < BACKOFF_MAX_MS; i++) {
        bound *= 2;
    }
    if (bound > BACKOFF_MAX_MS) {
        bound = BACKOFF_MAX_MS;
    }
    s->failures++;
    delay = is_long ? BACKOFF_MAX_MS / 2 + rng_below(&s->params.loop->rng, BACKOFF_MAX_MS / 2)
                    : rng_below(&s->params.loop->rng, bound);
    stream_set_state(s, STREAM_BACKOFF);
    timer_arm(s->params.loop, &s->backoff_timer, delay);
}

static void stream_on_backoff(struct timer *timer)
{
    struct xds_stream *s = container_of(timer, struct xds_stream, backoff_timer);

    stream_connect(s);
}

static struct xds_stream_type *stream_find_type(const struct xds_stream *s, struct str type_url)
{
    struct xds_stream_type *t;

    list_for_each (t, &s->types, struct xds_stream_type, node) {
        if (!t->is_closed && str_eq(t->type_url, type_url)) {
            return t;
        }
    }
    return NULL;
}

/* Names that the response holds have had their first answer. Which of a refused response are good
 * we cannot say: the subscriber knows when it is told that their time is up. */
static void stream_type_end_waits(struct xds_stream_type *t, const struct xds_update *u,
                                  bool was_accepted)
{
    t->wildcard_deadline_ms = 0;
    if (!was_accepted) {
        return;
    }
    for (size_t i = 0; i < u->resource_count && !list_is_empty(&t->waiting); i++) {
        struct xds_name *n = map_get(&t->state.names, xds_resource_name(&u->resources[i]));

        if (n != NULL) {
            list_remove(&n->waiting);
        }
    }
}

/* Hands a response to its subscriber and answers it: every response has an answer of its own, in
 * order. False: the stream is gone. */
static bool stream_dispatch(struct xds_stream *s, struct xds_stream_type *t,
                            const struct xds_response *rs)
{
    struct xds_verdict v = {.accepted = true};

    if (timer_is_armed(&t->answer_timer)) {
        stream_send_type(s, t); /* of the response before */
    }
    strbuf_init(&v.detail);
    stream_enter(s);
    t->subscriber->on_update(t->user, &rs->update, &v);
    if (!t->is_closed) {
        t->state.protocol->applied(&t->state, rs, &v);
        stream_type_end_waits(t, &rs->update, v.accepted);
        if (v.delay_ms > 0) {
            timer_arm(s->params.loop, &t->answer_timer, v.delay_ms);
            stream_send_soon(s); /* names may have changed */
        } else {
            stream_send_type(s, t);
        }
    }
    strbuf_done(&v.detail);
    return stream_leave(s);
}

/* There is no nonce to refuse: as a gRPC library that cannot parse, end the stream. */
static void stream_on_malformed(struct xds_stream *s)
{
    s->params.transports->close(s->transport);
    s->transport = NULL;
    if (stream_note_error(s, STR("malformed discovery response"))) {
        stream_back_off(s, false);
    }
}

static void stream_on_message(void *user, struct str bytes)
{
    struct xds_stream *s = user;
    struct arena scratch;
    struct xds_response rs;
    struct xds_stream_type *t;

    s->responses_received++;
    arena_init(&scratch, NULL);
    if (xds_response_decode(bytes, s->source.is_delta, &scratch, &rs) != 0) {
        arena_done(&scratch);
        stream_on_malformed(s);
        return;
    }
    s->failures = 0;
    if (rs.control_plane.len > 0) {
        free(s->control_plane);
        s->control_plane = xstrndup(rs.control_plane.ptr, rs.control_plane.len);
    }
    t = stream_find_type(s, rs.update.type_url);
    if (t != NULL && t->state.has_asked) {
        (void)stream_dispatch(s, t, &rs); /* gone or not: nothing of the stream is touched below */
    } else {
        log_debug(LOG_C_CONFIG, "xds: response of unsubscribed type '%.*s' ignored",
                  STR_ARG(rs.update.type_url));
    }
    arena_done(&scratch);
}

static void stream_on_transport_closed(void *user, struct str reason, bool too_large)
{
    struct xds_stream *s = user;

    s->transport = NULL;
    s->too_large += too_large;
    if (stream_note_error(s, reason)) {
        stream_back_off(s, too_large);
    }
}

static const struct xds_transport_callbacks stream_transport_callbacks = {
    .on_message = stream_on_message,
    .on_closed = stream_on_transport_closed,
};

static void stream_on_dialed(void *user, int take_fd, struct str reason)
{
    struct xds_stream *s = user;
    struct xds_stream_type *t;
    struct xds_transport_params p = {
        .method = stream_method(s),
        .source = &s->source,
        .max_message_bytes = s->params.max_message_bytes,
    };

    s->dial = NULL;
    if (take_fd < 0) {
        if (stream_note_error(s, reason)) {
            stream_back_off(s, false);
        }
        return;
    }
    s->transport = s->params.transports->open(s->params.transports, take_fd, &p,
                                              &stream_transport_callbacks, s);
    s->node_sent = false;
    s->reconnects += s->connected_since_ms != 0;
    s->connected_since_ms = loop_now_ms(s->params.loop);
    stream_set_state(s, STREAM_OPEN);
    list_for_each (t, &s->types, struct xds_stream_type, node) {
        timer_cancel(s->params.loop, &t->answer_timer);
        xds_type_state_stream_started(&t->state);
    }
    stream_send_soon(s);
}

static void stream_connect(struct xds_stream *s)
{
    stream_set_state(s, STREAM_DIALING);
    s->dial =
        s->params.dialer->dial(s->params.dialer->ctx, s->source.cluster_name, stream_on_dialed, s);
}

/* --- subscriptions ------------------------------------------------------------------------ */

static void stream_type_arm_fetch(struct xds_stream_type *t)
{
    const struct xds_name *oldest = list_first(&t->waiting, struct xds_name, waiting);
    uint64_t deadline = t->wildcard_deadline_ms;
    uint64_t now = loop_now_ms(t->stream->params.loop);

    if (oldest != NULL && (deadline == 0 || oldest->deadline_ms < deadline)) {
        deadline = oldest->deadline_ms;
    }
    if (deadline != 0) {
        timer_arm(t->stream->params.loop, &t->fetch_timer, deadline > now ? deadline - now : 0);
    }
}

static void stream_type_on_fetch_timer(struct timer *timer)
{
    struct xds_stream_type *t = container_of(timer, struct xds_stream_type, fetch_timer);
    struct xds_stream *s = t->stream;
    uint64_t now = loop_now_ms(s->params.loop);
    bool is_wildcard_due = t->wildcard_deadline_ms != 0 && t->wildcard_deadline_ms <= now;
    struct arena scratch; /* names may go while they are told */
    struct str *names;
    size_t n = 0;
    struct xds_name *name;

    arena_init(&scratch, NULL);
    names = ARENA_ARRAY(&scratch, struct str, t->state.wanted_count + 1);
    list_for_each (name, &t->waiting, struct xds_name, waiting) {
        if (name->deadline_ms > now) {
            break;
        }
        list_remove(&name->waiting);
        names[n++] = arena_str(&scratch, name->name);
    }
    t->wildcard_deadline_ms = is_wildcard_due ? 0 : t->wildcard_deadline_ms;
    stream_type_arm_fetch(t);
    if (is_wildcard_due || n > 0) {
        stream_enter(s);
        t->subscriber->on_fetch_timeout(t->user, n > 0 ? names : NULL, n);
        (void)stream_leave(s); /* gone or not: nothing of the stream is touched below */
    }
    arena_done(&scratch);
}

/* A held-back NACK goes out now. */
static void stream_type_on_answer_timer(struct timer *timer)
{
    stream_send_soon(container_of(timer, struct xds_stream_type, answer_timer)->stream);
}

struct xds_stream_type *xds_stream_subscribe(struct xds_stream *s, struct str type_url,
                                             bool is_wildcard, uint64_t fetch_timeout_ms,
                                             const struct xds_subscriber *cb, void *user)
{
    struct xds_stream_type *t = xcalloc(1, sizeof(*t) + type_url.len + 1);

    CHECK(stream_find_type(s, type_url) == NULL);
    memcpy(t + 1, type_url.ptr, type_url.len);
    t->type_url = str_n((const char *)(t + 1), type_url.len);
    t->stream = s;
    t->subscriber = cb;
    t->user = user;
    list_init(&t->waiting);
    timer_init(&t->fetch_timer, stream_type_on_fetch_timer);
    timer_init(&t->answer_timer, stream_type_on_answer_timer);
    xds_type_state_init(&t->state, s->source.is_delta ? &xds_protocol_delta : &xds_protocol_sotw,
                        t->type_url, is_wildcard);
    list_add_tail(&s->types, &t->node);
    if (is_wildcard && fetch_timeout_ms > 0) {
        t->wildcard_deadline_ms = loop_now_ms(s->params.loop) + fetch_timeout_ms;
        stream_type_arm_fetch(t);
    }
    stream_send_soon(s);
    return t;
}

/* Deadlines of one kind come in order: looked for from the end. */
static void stream_type_await(struct xds_stream_type *t, struct xds_name *n, uint64_t timeout_ms)
{
    struct list *after = t->waiting.prev;

    n->deadline_ms = loop_now_ms(t->stream->params.loop) + timeout_ms;
    while (after != &t->waiting &&
           container_of(after, struct xds_name, waiting)->deadline_ms > n->deadline_ms) {
        after = after->prev;
    }
    list_add_head(after, &n->waiting);
    stream_type_arm_fetch(t);
}

void xds_stream_type_add(struct xds_stream_type *t, struct str name, uint64_t fetch_timeout_ms)
{
    struct xds_name *n;

    if (xds_type_state_add(&t->state, name, &n)) {
        if (fetch_timeout_ms > 0) {
            stream_type_await(t, n, fetch_timeout_ms);
        }
        stream_send_soon(t->stream);
    }
}

void xds_stream_type_remove(struct xds_stream_type *t, struct str name)
{
    xds_type_state_remove(&t->state, name);
    stream_send_soon(t->stream);
}

void xds_stream_type_close(struct xds_stream_type *t)
{
    struct xds_stream *s = t->stream;

    /* The others stay on this stream: the server shall forget our names of this type. */
    if (s->transport != NULL && s->params.is_aggregated && t->state.has_asked &&
        t->state.wanted_count > 0) {
        xds_type_state_remove_all(&t->state);
        stream_send_type(s, t);
    }
    t->is_closed = true;
    if (!s->is_in_callback) {
        stream_type_free(t);
    }
}

/* --- life --------------------------------------------------------------------------------- */

struct xds_stream *xds_stream_new(const struct xds_stream_params *p)
{
    struct xds_stream *s = xcalloc(1, sizeof(*s));
    struct xds_metadata *metadata;

    s->params = *p;
    arena_init(&s->arena, NULL);
    s->source = *p->source;
    s->source.cluster_name = arena_str(&s->arena, p->source->cluster_name);
    s->source.authority = arena_str(&s->arena, p->source->authority);
    metadata = ARENA_ARRAY(&s->arena, struct xds_metadata, p->source->initial_metadata_count + 1);
    for (size_t i = 0; i < p->source->initial_metadata_count; i++) {
        metadata[i].key = arena_str(&s->arena, p->source->initial_metadata[i].key);
        metadata[i].value = arena_str(&s->arena, p->source->initial_metadata[i].value);
    }
    s->source.initial_metadata = metadata;
    list_init(&s->types);
    strbuf_init(&s->request);
    timer_init(&s->backoff_timer, stream_on_backoff);
    loop_task_init(&s->send_task, stream_send_task);
    return s;
}

void xds_stream_free(struct xds_stream *s)
{
    struct xds_stream_type *t;

    list_for_each (t, &s->types, struct xds_stream_type, node) {
        CHECK(t->is_closed);
        timer_cancel(s->params.loop, &t->fetch_timer);
        timer_cancel(s->params.loop, &t->answer_timer);
    }
    if (s->dial != NULL) {
        s->params.dialer->cancel(s->params.dialer->ctx, s->dial);
    }
    if (s->transport != NULL) {
        s->params.transports->close(s->transport);
    }
    timer_cancel(s->params.loop, &s->backoff_timer);
    loop_task_cancel(&s->send_task);
    s->is_freed = true;
    if (!s->is_in_callback) {
        stream_release(s);
    }
}

void xds_stream_status(const struct xds_stream *s, struct xds_stream_status *ret_status)
{
    *ret_status = (struct xds_stream_status){
        .cluster = s->source.cluster_name,
        .is_connected = s->state == STREAM_OPEN,
        .is_delta = s->source.is_delta,
        .connected_since_ms = s->connected_since_ms,
        .reconnects = s->reconnects,
        .last_error = str_c(s->last_error),
        .control_plane = str_c(s->control_plane),
        .requests_sent = s->requests_sent,
        .responses_received = s->responses_received,
        .too_large_messages = s->too_large,
    };
}
