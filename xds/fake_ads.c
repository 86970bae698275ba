/* A management server without a network or a mind of its own. One thread. */

#include "xds/fake_ads.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "dataplane/base/xalloc.h"
#include "xds/wire.h"

struct fake_dial {
    struct list node;
    struct loop_task task;
    struct fake_ads *ads;
    xds_dialed_fn *on_dialed;
    void *user;
};

struct xds_transport {
    struct list node; /* in fake_ads.streams */
    struct fake_ads *ads;
    struct arena arena;
    uint64_t number;
    struct str method;
    bool is_delta;
    struct xds_metadata *metadata;
    size_t metadata_count;
    const struct xds_transport_callbacks *callbacks;
    void *user;
    bool is_in_callback;
    bool is_closed; /* by the client, meanwhile */
};

/* The two sides of one thing. */
struct fake_stream {
    struct xds_transport transport;
};

struct fake_ads {
    struct xds_transport_factory base;
    struct loop *loop;
    struct list dials;
    struct list streams;  /* newest last */
    struct list requests; /* oldest first */
    bool is_unreachable;
    bool holds_dials;
    size_t dial_count;
    uint64_t stream_count;
    struct loop_task closed_task;
    void (*on_closed)(void *user);
    void *on_closed_user;
};

/* --- dialing ------------------------------------------------------------------------------ */

static void dial_run(struct loop_task *task)
{
    struct fake_dial *d = container_of(task, struct fake_dial, task);
    struct fake_dial copy = *d;

    list_remove(&d->node);
    free(d);
    if (copy.ads->is_unreachable) {
        copy.on_dialed(copy.user, -1, STR("connection refused"));
    } else {
        copy.on_dialed(copy.user, open("/dev/null", O_RDONLY | O_CLOEXEC), STR_NONE);
    }
}

static void *fake_dial_start(void *ctx, struct str cluster, xds_dialed_fn *on_dialed, void *user)
{
    struct fake_ads *f = ctx;
    struct fake_dial *d = xcalloc(1, sizeof(*d));

    (void)cluster;
    d->ads = f;
    d->on_dialed = on_dialed;
    d->user = user;
    loop_task_init(&d->task, dial_run);
    list_add_tail(&f->dials, &d->node);
    f->dial_count++;
    if (!f->holds_dials) {
        loop_task_schedule(f->loop, &d->task);
    }
    return d;
}

static void fake_dial_cancel(void *ctx, void *handle)
{
    struct fake_dial *d = handle;

    (void)ctx;
    loop_task_cancel(&d->task);
    list_remove(&d->node);
    free(d);
}

struct xds_dialer fake_ads_dialer(struct fake_ads *f)
{
    return (struct xds_dialer){.dial = fake_dial_start, .cancel = fake_dial_cancel, .ctx = f};
}

void fake_ads_set_reachable(struct fake_ads *f, bool is_reachable)
{
    f->is_unreachable = !is_reachable;
}

void fake_ads_set_answers_dials(struct fake_ads *f, bool answers)
{
    struct fake_dial *d;

    f->holds_dials = !answers;
    list_for_each (d, &f->dials, struct fake_dial, node) {
        if (answers) {
            loop_task_schedule(f->loop, &d->task);
        }
    }
}

size_t fake_ads_dial_count(const struct fake_ads *f)
{
    return f->dial_count;
}

/* --- requests ----------------------------------------------------------------------------- */

/* The union of the two messages' fields; what a field number means depends on the message. */
enum request_field {
    FIELD_NONE,
    FIELD_NODE,
    FIELD_VERSION,
    FIELD_NAME,
    FIELD_UNSUBSCRIBE,
    FIELD_HELD,
    FIELD_TYPE_URL,
    FIELD_NONCE,
    FIELD_ERROR,
};
static const enum request_field SOTW_FIELDS[8] = {
    [1] = FIELD_VERSION,  [2] = FIELD_NODE,  [3] = FIELD_NAME,
    [4] = FIELD_TYPE_URL, [5] = FIELD_NONCE, [6] = FIELD_ERROR,
};
static const enum request_field DELTA_FIELDS[8] = {
    [1] = FIELD_NODE, [2] = FIELD_TYPE_URL, [3] = FIELD_NAME,  [4] = FIELD_UNSUBSCRIBE,
    [5] = FIELD_HELD, [6] = FIELD_NONCE,    [7] = FIELD_ERROR,
};

static void request_put_error(struct fake_request *rq, struct str status)
{
    struct wire_reader r = wire_reader_of(status);
    struct wire_field f;
    int more;

    rq->has_error = true;
    while ((more = wire_next(&r, &f)) == 1) {
        if (f.number == 1) {
            rq->error_code = f.varint;
        } else if (f.number == 2) {
            rq->error = arena_str(&rq->arena, f.bytes);
        }
    }
    CHECK(more == 0);
}

static void request_put_held(struct fake_request *rq, struct str entry)
{
    struct fake_version *v = &rq->held[rq->held_count++];
    struct wire_reader r = wire_reader_of(entry);
    struct wire_field f;
    int more;

    while ((more = wire_next(&r, &f)) == 1) {
        *(f.number == 1 ? &v->name : &v->version) = arena_str(&rq->arena, f.bytes);
    }
    CHECK(more == 0);
}

static void request_put(struct fake_request *rq, enum request_field what, struct str bytes)
{
    switch (what) {
    case FIELD_NODE:
        rq->has_node = true;
        break;
    case FIELD_VERSION:
        rq->version = arena_str(&rq->arena, bytes);
        break;
    case FIELD_NAME:
        rq->names[rq->name_count++] = arena_str(&rq->arena, bytes);
        break;
    case FIELD_UNSUBSCRIBE:
        rq->unsubscribed[rq->unsubscribed_count++] = arena_str(&rq->arena, bytes);
        break;
    case FIELD_HELD:
        request_put_held(rq, bytes);
        break;
    case FIELD_TYPE_URL:
        rq->type_url = arena_str(&rq->arena, bytes);
        break;
    case FIELD_NONCE:
        rq->nonce = arena_str(&rq->arena, bytes);
        break;
    case FIELD_ERROR:
        request_put_error(rq, bytes);
        break;
    default:
        CHECK(!"a field that no request has");
    }
}

static size_t message_field_count(struct str message)
{
    struct wire_reader r = wire_reader_of(message);
    struct wire_field f;
    size_t n = 0;

    while (wire_next(&r, &f) == 1) {
        n++;
    }
    return n;
}

struct fake_request *fake_request_decode(struct str message, bool is_delta)
{
    struct fake_request *rq = xcalloc(1, sizeof(*rq));
    const enum request_field *fields = is_delta ? DELTA_FIELDS : SOTW_FIELDS;
    size_t max = message_field_count(message);
    struct wire_reader r = wire_reader_of(message);
    struct wire_field f;
    int more;

    list_init(&rq->node);
    arena_init(&rq->arena, NULL);
    rq->is_delta = is_delta;
    rq->names = ARENA_ARRAY(&rq->arena, struct str, max + 1);
    rq->unsubscribed = ARENA_ARRAY(&rq->arena, struct str, max + 1);
    rq->held = ARENA_ARRAY(&rq->arena, struct fake_version, max + 1);
    while ((more = wire_next(&r, &f)) == 1) {
        CHECK(f.is_bytes && f.number < ARRAY_LEN(SOTW_FIELDS));
        request_put(rq, fields[f.number], f.bytes);
    }
    CHECK(more == 0);
    return rq;
}

static int name_cmp(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void text_add_names(struct strbuf *out, const char *lead, struct str *names, size_t n)
{
    qsort(names, n, sizeof(*names), name_cmp);
    strbuf_addf(out, " %s", lead);
    for (size_t i = 0; i < n; i++) {
        strbuf_addf(out, "%s%.*s", i > 0 ? "," : "", STR_ARG(names[i]));
    }
}

static void text_add_held(struct strbuf *out, struct fake_request *rq)
{
    struct str *pairs = ARENA_ARRAY(&rq->arena, struct str, rq->held_count + 1);

    for (size_t i = 0; i < rq->held_count; i++) {
        pairs[i] = arena_printf(&rq->arena, "%.*s:%.*s", STR_ARG(rq->held[i].name),
                                STR_ARG(rq->held[i].version));
    }
    text_add_names(out, "held=", pairs, rq->held_count);
}

const char *fake_request_text(struct fake_request *rq)
{
    struct strbuf b;
    const char *text;

    strbuf_init(&b);
    if (rq->version.len > 0) {
        strbuf_addf(&b, " version=%.*s", STR_ARG(rq->version));
    }
    if (rq->nonce.len > 0) {
        strbuf_addf(&b, " nonce=%.*s", STR_ARG(rq->nonce));
    }
    if (!rq->is_delta || rq->name_count > 0) {
        text_add_names(&b, rq->is_delta ? "+" : "names=", rq->names, rq->name_count);
    }
    if (rq->unsubscribed_count > 0) {
        text_add_names(&b, "-", rq->unsubscribed, rq->unsubscribed_count);
    }
    if (rq->held_count > 0) {
        text_add_held(&b, rq);
    }
    if (rq->has_error) {
        strbuf_addf(&b, " error=%.*s", STR_ARG(rq->error));
    }
    text = b.len > 0 ? arena_strdup(&rq->arena, b.ptr + 1) : "";
    strbuf_done(&b);
    return text;
}

static void transport_send(struct xds_transport *t, struct str message)
{
    struct fake_request *rq = fake_request_decode(message, t->is_delta);

    CHECK(!t->is_closed);
    rq->stream = container_of(t, struct fake_stream, transport);
    rq->stream_number = t->number;
    list_add_tail(&t->ads->requests, &rq->node);
}

struct fake_request *fake_ads_take(struct fake_ads *f)
{
    struct fake_request *rq = list_first(&f->requests, struct fake_request, node);

    if (rq != NULL) {
        list_remove(&rq->node);
    }
    return rq;
}

void fake_request_free(struct fake_request *rq)
{
    if (rq != NULL) {
        arena_done(&rq->arena);
        free(rq);
    }
}

/* --- streams ------------------------------------------------------------------------------ */

static struct xds_transport *transport_open(struct xds_transport_factory *factory, int take_fd,
                                            const struct xds_transport_params *p,
                                            const struct xds_transport_callbacks *cb, void *user)
{
    struct fake_ads *f = container_of(factory, struct fake_ads, base);
    struct fake_stream *st = xcalloc(1, sizeof(*st));
    struct xds_transport *t = &st->transport;

    (void)close(take_fd);
    arena_init(&t->arena, NULL);
    t->ads = f;
    t->number = ++f->stream_count;
    t->method = arena_str(&t->arena, p->method);
    t->is_delta = str_find(p->method, STR("/Delta")) != STR_NPOS;
    t->metadata_count = p->source->initial_metadata_count;
    t->metadata = ARENA_ARRAY(&t->arena, struct xds_metadata, t->metadata_count + 1);
    for (size_t i = 0; i < t->metadata_count; i++) {
        t->metadata[i].key = arena_str(&t->arena, p->source->initial_metadata[i].key);
        t->metadata[i].value = arena_str(&t->arena, p->source->initial_metadata[i].value);
    }
    t->callbacks = cb;
    t->user = user;
    list_add_tail(&f->streams, &t->node);
    return t;
}

static void transport_free(struct xds_transport *t)
{
    struct fake_request *rq;

    list_for_each (rq, &t->ads->requests, struct fake_request, node) {
        if (rq->stream == container_of(t, struct fake_stream, transport)) {
            rq->stream = NULL;
        }
    }
    list_remove(&t->node);
    arena_done(&t->arena);
    free(container_of(t, struct fake_stream, transport));
}

static void transport_close(struct xds_transport *t)
{
    t->is_closed = true;
    list_remove(&t->node);
    if (!t->is_in_callback) {
        transport_free(t);
    }
}

struct fake_stream *fake_ads_stream(const struct fake_ads *f)
{
    struct xds_transport *t = list_last(&f->streams, struct xds_transport, node);

    return t != NULL ? container_of(t, struct fake_stream, transport) : NULL;
}

struct fake_stream *fake_ads_stream_of(const struct fake_ads *f, struct str method)
{
    struct xds_transport *t;
    struct xds_transport *newest = NULL;

    list_for_each (t, &f->streams, struct xds_transport, node) {
        newest = str_eq(t->method, method) ? t : newest;
    }
    return newest != NULL ? container_of(newest, struct fake_stream, transport) : NULL;
}

size_t fake_ads_open_count(const struct fake_ads *f)
{
    size_t n = 0;

    for (const struct list *at = f->streams.next; at != &f->streams; at = at->next) {
        n++;
    }
    return n;
}

uint64_t fake_stream_number(const struct fake_stream *st)
{
    return st->transport.number;
}

struct str fake_stream_method(const struct fake_stream *st)
{
    return st->transport.method;
}

struct str fake_stream_metadata(const struct fake_stream *st, struct str key)
{
    const struct xds_transport *t = &st->transport;

    for (size_t i = 0; i < t->metadata_count; i++) {
        if (str_eq(t->metadata[i].key, key)) {
            return t->metadata[i].value;
        }
    }
    return STR_NONE;
}

void fake_stream_send(struct fake_stream *st, struct str message)
{
    struct xds_transport *t = &st->transport;
    char *exact = xmalloc(message.len > 0 ? message.len : 1); /* so that ASan sees its end */

    CHECK(!t->is_in_callback);
    if (message.len > 0) {
        memcpy(exact, message.ptr, message.len);
    }
    t->is_in_callback = true;
    t->callbacks->on_message(t->user, str_n(exact, message.len));
    t->is_in_callback = false;
    free(exact);
    if (t->is_closed) {
        transport_free(t);
    }
}

void fake_stream_end(struct fake_stream *st, struct str reason, bool too_large)
{
    struct xds_transport *t = &st->transport;

    list_remove(&t->node);
    t->callbacks->on_closed(t->user, reason, too_large);
    transport_free(t);
}

/* --- responses ---------------------------------------------------------------------------- */

enum { RESPONSE_VERSION = 1, RESPONSE_RESOURCES = 2, RESPONSE_TYPE_URL = 4, RESPONSE_NONCE = 5 };
enum { RESPONSE_CONTROL_PLANE = 6, DELTA_CONTROL_PLANE = 7, DELTA_REMOVED = 6 };
enum { RESOURCE_VERSION = 1, RESOURCE_RESOURCE = 2, RESOURCE_NAME = 3 };
#define RESOURCE_TYPE_URL "type.googleapis.com/envoy.service.discovery.v3.Resource"

static void put_any(struct strbuf *out, uint32_t number, struct str type_url, struct str value)
{
    size_t any = wire_begin(out);

    wire_put_bytes(out, 1, type_url);
    wire_put_bytes(out, 2, value);
    wire_end(out, any, number);
}

static void put_wrapper(struct strbuf *out, const struct fake_resource *r, struct str type_url)
{
    wire_put_bytes(out, RESOURCE_VERSION, r->version);
    put_any(out, RESOURCE_RESOURCE, type_url, r->bytes);
    wire_put_bytes(out, RESOURCE_NAME, r->name);
}

static void put_resource(struct strbuf *out, const struct fake_resource *r, struct str type_url,
                         bool is_delta)
{
    struct strbuf wrapper;

    if (r->type_url.len > 0) {
        type_url = r->type_url;
    }
    if (is_delta) {
        size_t resource = wire_begin(out);

        put_wrapper(out, r, type_url);
        wire_end(out, resource, RESPONSE_RESOURCES);
    } else if (r->name.len > 0) {
        strbuf_init(&wrapper);
        put_wrapper(&wrapper, r, type_url);
        put_any(out, RESPONSE_RESOURCES, STR(RESOURCE_TYPE_URL), strbuf_str(&wrapper));
        strbuf_done(&wrapper);
    } else {
        put_any(out, RESPONSE_RESOURCES, type_url, r->bytes);
    }
}

void fake_stream_respond(struct fake_stream *st, const struct fake_response *rs)
{
    bool is_delta = st->transport.is_delta;
    struct strbuf message;

    strbuf_init(&message);
    wire_put_bytes(&message, RESPONSE_VERSION, rs->version);
    for (size_t i = 0; i < rs->resource_count; i++) {
        put_resource(&message, &rs->resources[i], rs->type_url, is_delta);
    }
    wire_put_bytes(&message, RESPONSE_TYPE_URL, rs->type_url);
    wire_put_bytes(&message, RESPONSE_NONCE, rs->nonce);
    for (size_t i = 0; i < rs->removed_count && is_delta; i++) {
        wire_put_bytes(&message, DELTA_REMOVED, rs->removed[i]);
    }
    if (rs->control_plane.len > 0) {
        size_t control_plane = wire_begin(&message);

        wire_put_bytes(&message, 1, rs->control_plane);
        wire_end(&message, control_plane, is_delta ? DELTA_CONTROL_PLANE : RESPONSE_CONTROL_PLANE);
    }
    fake_stream_send(st, strbuf_str(&message));
    strbuf_done(&message);
}

/* --- life --------------------------------------------------------------------------------- */

static void closed_run(struct loop_task *task)
{
    struct fake_ads *f = container_of(task, struct fake_ads, closed_task);

    CHECK(list_is_empty(&f->streams) && list_is_empty(&f->dials));
    f->on_closed(f->on_closed_user);
}

static void transports_shutdown(struct xds_transport_factory *factory,
                                void (*on_closed)(void *user), void *user)
{
    struct fake_ads *f = container_of(factory, struct fake_ads, base);

    f->on_closed = on_closed;
    f->on_closed_user = user;
    loop_task_schedule(f->loop, &f->closed_task);
}

struct fake_ads *fake_ads_new(struct loop *l)
{
    struct fake_ads *f = xcalloc(1, sizeof(*f));

    f->base.open = transport_open;
    f->base.send = transport_send;
    f->base.close = transport_close;
    f->base.shutdown = transports_shutdown;
    f->loop = l;
    list_init(&f->dials);
    list_init(&f->streams);
    list_init(&f->requests);
    loop_task_init(&f->closed_task, closed_run);
    return f;
}

void fake_ads_free(struct fake_ads *f)
{
    struct fake_request *rq;

    while ((rq = fake_ads_take(f)) != NULL) {
        fake_request_free(rq);
    }
    free(f);
}

struct xds_transport_factory *fake_ads_transports(struct fake_ads *f)
{
    return &f->base;
}
