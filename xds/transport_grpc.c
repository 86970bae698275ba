/*
 * Discovery streams over gRPC C core (libgrpc_unsecure). The socket is connected by the caller and
 * handed to a channel of its own; a thread waits on the completion queue and posts what it gets to
 * main, where everything else here runs. At most one message is being read and one being sent.
 */

#include <errno.h>
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/event/loop.h"
#include "xds/transport.h"

/* A peer that vanished is noticed by the kernel: 30 s idle, then 3 probes 10 s apart; a minute when
 * something was sent and is not acknowledged, which keeps probes off. HTTP/2 pings would do, but
 * servers punish those that come more often than every 5 minutes. */
#define KEEPALIVE_IDLE_S 30
#define KEEPALIVE_INTERVAL_S 10
#define KEEPALIVE_PROBES 3
#define UNACKNOWLEDGED_MAX_MS 60000

struct grpc_transports {
    struct xds_transport_factory base;
    struct loop *loop;
    grpc_completion_queue *cq; /* NULL until the first stream */
    pthread_t thread;
    size_t open_count; /* streams whose operations are not all back yet */
    bool is_shutting_down;
    void (*on_closed)(void *user);
    void *on_closed_user;
    struct post closed_post;
};

enum op_kind { OP_SEND_METADATA, OP_RECV_METADATA, OP_SEND, OP_RECV, OP_STATUS, OP_KIND_COUNT };

/* The tag of a batch; the completion travels to main in its own `post`. */
struct op {
    struct post post;
    struct xds_transport *transport;
    enum op_kind kind;
    bool ok;
};

struct outgoing {
    struct outgoing *next;
    grpc_byte_buffer *bytes;
};

struct xds_transport {
    struct grpc_transports *owner;
    const struct xds_transport_callbacks *callbacks; /* NULL once closed by its user */
    void *user;
    grpc_channel *channel;
    grpc_call *call;
    struct op ops[OP_KIND_COUNT];
    size_t in_flight;
    bool is_sending;
    bool is_finished; /* the status is there */
    struct outgoing *queue_head;
    struct outgoing *queue_tail;
    grpc_byte_buffer *received;
    grpc_metadata_array initial_metadata;
    grpc_metadata_array trailing_metadata;
    grpc_status_code status;
    grpc_slice status_details;
    grpc_metadata *sent_metadata;
    size_t sent_metadata_count;
};

/* --- completion queue thread -------------------------------------------------------------- */

static void transports_on_thread_gone(struct loop *l, struct post *p);

static void *transports_thread(void *arg)
{
    struct grpc_transports *f = arg;

    for (;;) {
        grpc_event e = grpc_completion_queue_next(f->cq, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);

        if (e.type == GRPC_QUEUE_SHUTDOWN) {
            break;
        }
        if (e.type == GRPC_OP_COMPLETE) {
            struct op *op = e.tag;

            op->ok = e.success != 0;
            post_send(f->loop, &op->post);
        }
    }
    f->closed_post.run = transports_on_thread_gone;
    post_send(f->loop, &f->closed_post);
    return NULL;
}

/* --- main --------------------------------------------------------------------------------- */

static void transport_start(struct xds_transport *t, enum op_kind kind, grpc_op *op)
{
    struct op *tag = &t->ops[kind];
    grpc_call_error r = grpc_call_start_batch(t->call, op, 1, tag, NULL);

    /* Only misuse fails here (two reads at once and the like). */
    CHECK(r == GRPC_CALL_OK);
    t->in_flight++;
}

static void transport_receive(struct xds_transport *t)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};

    op.data.recv_message.recv_message = &t->received;
    transport_start(t, OP_RECV, &op);
}

static void transport_send_next(struct xds_transport *t)
{
    grpc_op op = {.op = GRPC_OP_SEND_MESSAGE};

    if (t->is_sending || t->queue_head == NULL || t->is_finished) {
        return;
    }
    t->is_sending = true;
    op.data.send_message.send_message = t->queue_head->bytes;
    transport_start(t, OP_SEND, &op);
}

static void transport_drop_sent(struct xds_transport *t)
{
    struct outgoing *o = t->queue_head;

    t->queue_head = o->next;
    if (t->queue_head == NULL) {
        t->queue_tail = NULL;
    }
    grpc_byte_buffer_destroy(o->bytes);
    free(o);
}

static void transports_maybe_stop(struct grpc_transports *f)
{
    if (f->is_shutting_down && f->open_count == 0 && f->cq != NULL) {
        grpc_completion_queue_shutdown(f->cq);
    }
}

static void transport_free(struct xds_transport *t)
{
    struct grpc_transports *f = t->owner;

    while (t->queue_head != NULL) {
        transport_drop_sent(t);
    }
    for (size_t i = 0; i < t->sent_metadata_count; i++) {
        grpc_slice_unref(t->sent_metadata[i].key);
        grpc_slice_unref(t->sent_metadata[i].value);
    }
    free(t->sent_metadata);
    if (t->received != NULL) {
        grpc_byte_buffer_destroy(t->received);
    }
    grpc_metadata_array_destroy(&t->initial_metadata);
    grpc_metadata_array_destroy(&t->trailing_metadata);
    grpc_slice_unref(t->status_details);
    grpc_call_unref(t->call);
    grpc_channel_destroy(t->channel);
    free(t);
    f->open_count--;
    transports_maybe_stop(f);
}

static void transport_deliver(struct xds_transport *t)
{
    grpc_byte_buffer_reader reader;
    grpc_slice all;

    if (!grpc_byte_buffer_reader_init(&reader, t->received)) {
        grpc_byte_buffer_destroy(t->received);
        t->received = NULL;
        return;
    }
    all = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    grpc_byte_buffer_destroy(t->received); /* one copy from here on */
    t->received = NULL;
    if (t->callbacks != NULL) {
        t->callbacks->on_message(
            t->user, str_n((const char *)GRPC_SLICE_START_PTR(all), GRPC_SLICE_LENGTH(all)));
    }
    grpc_slice_unref(all);
}

static void transport_tell_closed(struct xds_transport *t)
{
    const struct xds_transport_callbacks *cb = t->callbacks;
    struct str details = str_n((const char *)GRPC_SLICE_START_PTR(t->status_details),
                               GRPC_SLICE_LENGTH(t->status_details));
    struct strbuf reason;

    if (cb == NULL) {
        return;
    }
    t->callbacks = NULL;
    strbuf_init(&reason);
    strbuf_addf(&reason, "gRPC status %d: %.*s", (int)t->status, STR_ARG(details));
    cb->on_closed(t->user, strbuf_str(&reason),
                  t->status == GRPC_STATUS_RESOURCE_EXHAUSTED &&
                      str_find(details, STR("larger than max")) != STR_NPOS);
    strbuf_done(&reason);
}

static void transport_on_op(struct loop *l, struct post *p)
{
    struct op *op = container_of(p, struct op, post);
    struct xds_transport *t = op->transport;

    (void)l;
    t->in_flight--;
    switch (op->kind) {
    case OP_SEND:
        t->is_sending = false;
        transport_drop_sent(t);
        if (op->ok) {
            transport_send_next(t);
        }
        break;
    case OP_RECV:
        if (t->received != NULL) {
            transport_deliver(t);
            if (!t->is_finished) {
                transport_receive(t);
            }
        }
        break;
    case OP_STATUS:
        t->is_finished = true;
        break;
    default:
        break;
    }
    if (t->is_finished && t->in_flight == 0) {
        transport_tell_closed(t);
        transport_free(t);
    }
}

static void transports_on_thread_gone(struct loop *l, struct post *p)
{
    struct grpc_transports *f = container_of(p, struct grpc_transports, closed_post);
    void (*on_closed)(void *user) = f->on_closed;
    void *user = f->on_closed_user;

    (void)l;
    if (f->cq != NULL) {
        pthread_join(f->thread, NULL);
        grpc_completion_queue_destroy(f->cq);
        grpc_shutdown();
    }
    free(f);
    on_closed(user);
}

static void transports_start(struct grpc_transports *f)
{
    int r;

    grpc_init();
    f->cq = grpc_completion_queue_create_for_next(NULL);
    r = pthread_create(&f->thread, NULL, transports_thread, f);
    CHECK(r == 0); /* as an allocation: gRPC itself cannot start without threads */
}

void xds_socket_keep_alive(int fd)
{
    const int on = 1;
    const int idle = KEEPALIVE_IDLE_S;
    const int interval = KEEPALIVE_INTERVAL_S;
    const int probes = KEEPALIVE_PROBES;
    const unsigned unacknowledged_ms = UNACKNOWLEDGED_MAX_MS;
    int is_configured = 0;
    socklen_t len = sizeof(is_configured);

    /* Best effort: unix sockets have none of it. The cluster's own settings stay. */
    (void)getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &is_configured, &len);
    if (is_configured) {
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms,
                     sizeof(unacknowledged_ms));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

static void transport_make_channel(struct xds_transport *t, int take_fd,
                                   const struct xds_transport_params *p)
{
    struct str authority =
        p->source->authority.len > 0 ? p->source->authority : p->source->cluster_name;
    char *authority_text = xstrndup(authority.ptr, authority.len);
    grpc_arg args[2] = {
        {.type = GRPC_ARG_STRING, .key = (char *)(uintptr_t)GRPC_ARG_DEFAULT_AUTHORITY},
        {.type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH},
    };
    grpc_channel_args channel_args = {.num_args = ARRAY_LEN(args), .args = args};
    grpc_channel_credentials *creds = grpc_insecure_credentials_create();
    grpc_slice method = grpc_slice_from_copied_buffer(p->method.ptr, p->method.len);

    args[0].value.string = authority_text;
    args[1].value.integer = (int)p->max_message_bytes;
    xds_socket_keep_alive(take_fd);
    t->channel = grpc_channel_create_from_fd("fd", take_fd, creds, &channel_args);
    grpc_channel_credentials_release(creds);
    t->call = grpc_channel_create_call(t->channel, NULL, GRPC_PROPAGATE_DEFAULTS, t->owner->cq,
                                       method, NULL, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    grpc_slice_unref(method);
    free(authority_text);
}

/* What gRPC would not accept is left out: it refuses the whole call otherwise. */
static void transport_set_metadata(struct xds_transport *t, const struct xds_source *source)
{
    t->sent_metadata = xcalloc(source->initial_metadata_count + 1, sizeof(*t->sent_metadata));
    for (size_t i = 0; i < source->initial_metadata_count; i++) {
        const struct xds_metadata *m = &source->initial_metadata[i];
        char *lower = xstrndup(m->key.ptr, m->key.len);
        grpc_slice key;
        grpc_slice value = grpc_slice_from_copied_buffer(m->value.ptr, m->value.len);

        str_lower_in_place(lower, m->key.len);
        key = grpc_slice_from_copied_buffer(lower, m->key.len);
        free(lower);
        if (grpc_header_key_is_legal(key) &&
            (grpc_is_binary_header(key) || grpc_header_nonbin_value_is_legal(value))) {
            grpc_metadata *sent = &t->sent_metadata[t->sent_metadata_count++];

            sent->key = key;
            sent->value = value;
        } else {
            log_warn(LOG_C_CONFIG, "initial_metadata '%.*s' is not legal and not sent",
                     STR_ARG(m->key));
            grpc_slice_unref(key);
            grpc_slice_unref(value);
        }
    }
}

static struct xds_transport *transport_open(struct xds_transport_factory *factory, int take_fd,
                                            const struct xds_transport_params *p,
                                            const struct xds_transport_callbacks *cb, void *user)
{
    struct grpc_transports *f = container_of(factory, struct grpc_transports, base);
    struct xds_transport *t = xcalloc(1, sizeof(*t));
    grpc_op op;

    if (f->cq == NULL) {
        transports_start(f);
    }
    t->owner = f;
    t->callbacks = cb;
    t->user = user;
    for (int k = 0; k < OP_KIND_COUNT; k++) {
        t->ops[k] = (struct op){.transport = t, .kind = (enum op_kind)k};
        t->ops[k].post.run = transport_on_op;
    }
    grpc_metadata_array_init(&t->initial_metadata);
    grpc_metadata_array_init(&t->trailing_metadata);
    t->status_details = grpc_empty_slice();
    transport_make_channel(t, take_fd, p);
    transport_set_metadata(t, p->source);
    f->open_count++;

    memset(&op, 0, sizeof(op));
    op.op = GRPC_OP_SEND_INITIAL_METADATA;
    op.data.send_initial_metadata.count = t->sent_metadata_count;
    op.data.send_initial_metadata.metadata = t->sent_metadata;
    transport_start(t, OP_SEND_METADATA, &op);
    memset(&op, 0, sizeof(op));
    op.op = GRPC_OP_RECV_INITIAL_METADATA;
    op.data.recv_initial_metadata.recv_initial_metadata = &t->initial_metadata;
    transport_start(t, OP_RECV_METADATA, &op);
    memset(&op, 0, sizeof(op));
    op.op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    op.data.recv_status_on_client.trailing_metadata = &t->trailing_metadata;
    op.data.recv_status_on_client.status = &t->status;
    op.data.recv_status_on_client.status_details = &t->status_details;
    transport_start(t, OP_STATUS, &op);
    transport_receive(t);
    return t;
}

static void transport_send(struct xds_transport *t, struct str message)
{
    struct outgoing *o = xcalloc(1, sizeof(*o));
    grpc_slice slice = grpc_slice_from_copied_buffer(message.ptr, message.len);

    o->bytes = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    if (t->queue_tail != NULL) {
        t->queue_tail->next = o;
    } else {
        t->queue_head = o;
    }
    t->queue_tail = o;
    transport_send_next(t);
}

static void transport_close(struct xds_transport *t)
{
    t->callbacks = NULL;
    grpc_call_cancel(t->call, NULL); /* the batches come back, then it is freed */
}

static void transports_shutdown(struct xds_transport_factory *factory,
                                void (*on_closed)(void *user), void *user)
{
    struct grpc_transports *f = container_of(factory, struct grpc_transports, base);

    f->is_shutting_down = true;
    f->on_closed = on_closed;
    f->on_closed_user = user;
    if (f->cq == NULL) {
        f->closed_post.run = transports_on_thread_gone;
        post_send(f->loop, &f->closed_post);
    } else {
        transports_maybe_stop(f);
    }
}

struct xds_transport_factory *xds_grpc_transport_new(struct loop *l)
{
    struct grpc_transports *f = xcalloc(1, sizeof(*f));

    f->loop = l;
    f->base.open = transport_open;
    f->base.send = transport_send;
    f->base.close = transport_close;
    f->base.shutdown = transports_shutdown;
    return &f->base;
}
