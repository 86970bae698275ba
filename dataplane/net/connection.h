#ifndef DATAPLANE_NET_CONNECTION_H
#define DATAPLANE_NET_CONNECTION_H

/*
 * One connected socket: reads into the loop's shared block, output gathered per loop turn and
 * written with one writev, watermarks on what is not written yet. A transport socket (raw, TLS)
 * sits between the socket and the consumer. Loop thread only.
 *
 * Reading: bytes are offered in `in`; what the consumer leaves there stays and is offered again,
 * together with what comes next. An idle connection holds no buffer.
 * Closing: on_closed is the last call ever; the memory goes after the current turn. After any
 * callback the connection may be closing (conn_is_closing). What the peer caused is told at once,
 * a close of our own from the loop: conn_close never calls back.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

#include "config/model/core.h"
#include "dataplane/base/address.h"
#include "dataplane/base/buf.h"
#include "dataplane/base/limit.h"
#include "dataplane/event/deferred.h"
#include "dataplane/event/loop.h"
#include "dataplane/net/transport_socket.h"

#define CONN_LIMITS 3 /* the process's, the listener's and its share on this worker */
#define CONN_MAGIC MAGIC('C', 'O', 'N', 'N')

struct conn;

enum conn_close_cause {
    CONN_CLOSED_LOCAL,           /* conn_close by us, everything asked for was flushed or dropped */
    CONN_CLOSED_REMOTE,          /* FIN (half-close not enabled) */
    CONN_CLOSED_RESET,           /* RST or another socket error */
    CONN_CLOSED_CONNECT_FAILED,  /* never connected */
    CONN_CLOSED_CONNECT_TIMEOUT, /* or its handshake took too long */
    CONN_CLOSED_TRANSPORT,       /* the transport socket refused (TLS) */
};

enum conn_close_mode {
    CONN_CLOSE_NOW,   /* drop what is unwritten, FIN */
    CONN_CLOSE_RESET, /* drop what is unwritten, RST */
    CONN_CLOSE_FLUSH, /* write everything, then FIN */
    /* Write everything, shut down writing, then wait for the peer's FIN (bounded, default 1 s as
     * Envoy's delayed_close_timeout), so that a reply is not lost to an RST. */
    CONN_CLOSE_FLUSH_AND_DELAY,
};

struct conn_ops {
    /* Outgoing connections: connected, transport handshake done. Accepted ones: handshake done;
     * not called where there is none. NULL allowed. */
    void (*on_connected)(struct conn *c);
    /* `end_stream`: the peer has shut down writing (only with half-close enabled). */
    void (*on_data)(struct conn *c, struct buf *in, bool end_stream);
    /* Unwritten output rose above the high (true) or fell to the low watermark (false). */
    void (*on_watermark)(struct conn *c, bool is_above);
    void (*on_closed)(struct conn *c, enum conn_close_cause cause);
};

struct conn {
    uint32_t magic;
    /* Private, up to `armed`. */
    uint8_t state;
    uint8_t close_cause;
    uint8_t armed;       /* uv_poll events watched for */
    bool is_poll_broken; /* libuv watches no more */
    bool is_above_watermark;
    bool is_reading;   /* conn_read_start was called and no FIN has come */
    bool is_bulk;      /* the last read brought all it had room for */
    bool is_read_held; /* something came while reading was disabled: it waits in the kernel */
    bool is_blocked;   /* the socket took no more: output waits until it is writable */
    bool is_eof;       /* the peer's FIN was seen */
    bool is_fin_sent;
    bool is_eof_last; /* it came after ours: the peer ended the connection, as Envoy sees it */
    bool is_accepted; /* else we connected */
    bool is_transport_ended; /* transport->shutdown was called */
    bool wants_fin;
    bool wants_offer;
    bool is_delayed_close;
    bool is_write_broken; /* the peer takes nothing more; what it sent is still read */
    bool has_connect_result;
    /* For the consumer. */
    bool is_half_close_enabled;
    bool is_close_timed_out; /* CONN_CLOSE_FLUSH_AND_DELAY waited in vain; for on_closed */
    /* A peer that goes while reading is disabled is noticed, and what it left unread dropped.
     * Accepted connections do, as in Envoy. */
    bool detects_early_close;
    uint32_t high_watermark; /* 0: none; low is half of it */
    uint32_t read_disable_count;
    uint32_t delayed_close_ms; /* how long a delayed close waits, 0: not at all; 1 s unless set */
    int connect_error;
    int fd;
    struct loop *loop;
    uint64_t id;
    uint64_t connected_ns; /* when the socket was connected, if we connected it */
    const struct conn_ops *ops;
    void *user;
    struct buf in;          /* left over by the consumer */
    struct buf out;         /* accepted by conn_write, not yet written */
    uint64_t bytes_read;    /* what the transport made of what came, as Envoy counts */
    uint64_t bytes_written; /* of `out`: given to the socket, or to the transport */
    uint64_t wire_written;  /* given to the socket */
    struct loop_task task;  /* end of turn: offer, flush */
    uv_poll_t poll;
    const struct transport_socket *transport;
    void *transport_state;
    struct buf *wire;         /* what the transport made of `out`; NULL for a raw one */
    struct timer close_timer; /* delayed close, connect timeout */
    struct deferred deferred;
    struct limit *limits[CONN_LIMITS]; /* it counts against these until its socket closes */
    char *failure_reason;              /* of a connect or the transport, NULL for none; heap */
    struct address *direct_remote;     /* of the socket, when it is not `remote`; heap */
    struct address local;
    struct address remote; /* after original_dst/proxy_protocol */
};

/* Wraps an accepted socket; no callback before it returns; reading starts at the end of the turn's
 * set-up by conn_read_start. Takes the fd always, also on error. E_SYS. */
int conn_accept(struct loop *l, int take_fd, bool is_unix, const struct address *remote,
                const struct address *local, struct conn **ret_conn) MUST_CHECK;

/* An accepted connection speaks through this; before conn_read_start. It is closed
 * (CONN_CLOSED_CONNECT_TIMEOUT) when the handshake is not done after `timeout_ms`, 0: none. E_TLS.
 */
int conn_set_server_transport(struct conn *c, const struct transport_socket *transport,
                              const void *config, uint64_t timeout_ms) MUST_CHECK;

/* For a transport socket that only puts something before another one, from inside its `open`: from
 * here on the connection speaks through that one. NULL: raw. E_TLS. */
int conn_open_transport(struct conn *c, const struct transport_socket *transport,
                        const void *config, bool is_server,
                        const struct transport_options *options) MUST_CHECK;

struct conn_connect_options {
    struct address remote;
    struct address bind; /* len 0: none */
    const struct socket_option *socket_options;
    size_t socket_option_count;
    const struct tcp_keepalive *keepalive;
    uint64_t timeout_ms;                      /* connect + handshake; 0: none */
    const struct transport_socket *transport; /* NULL: raw */
    const void *transport_config;
    const struct transport_options *transport_options; /* NULL: none; read during the call */
};

/* Starts connecting; the outcome comes as on_connected or on_closed, never from inside. */
int conn_connect(struct loop *l, const struct conn_connect_options *o, const struct conn_ops *ops,
                 void *user, struct conn **ret_conn) MUST_CHECK;

void conn_read_start(struct conn *c);
/* Takes bytes that were read from the socket before its transport was known: they come as if now.
 * Calls back. */
void conn_feed(struct conn *c, struct buf *take_bytes);
/* Counted: reads resume when every disable has been undone. Bytes already in `in` are offered
 * again then (from the end of the turn, not from inside). */
void conn_read_disable(struct conn *c, bool disable);
/* Offers `in` again at the end of this turn although nothing new came. A consumer that leaves a
 * watermark's worth in `in` gets no more bytes until it has taken some and asked so. */
void conn_offer_again(struct conn *c);
/* Takes all of `data`; written at the end of this turn. */
void conn_write(struct conn *c, struct buf *data);
/* For encoders that write straight into c->out: call after having added to it. */
void conn_output_added(struct conn *c);
/* Writes what is queued without waiting for the end of the turn. */
void conn_flush(struct conn *c);
/* Half-closes our side once everything is written. */
void conn_shutdown_write(struct conn *c);
void conn_close(struct conn *c, enum conn_close_mode mode);
bool conn_is_closing(const struct conn *c);
bool conn_is_connected(const struct conn *c);
/* Both `high` = 0 for none. */
void conn_set_watermark(struct conn *c, uint32_t high);
/* Output that the kernel has not taken yet. */
size_t conn_unwritten(const struct conn *c);
int conn_fd(const struct conn *c);
/* Whether the transport is encrypted. */
bool conn_is_secure(const struct conn *c);
/* Negotiated protocol; empty: none. */
struct str conn_alpn(const struct conn *c);
/* Of a finished TLS handshake, NULL without. Not counted: ref it to keep it. */
struct tls_info *conn_tls_info(const struct conn *c);
/* The address of the socket's peer, whatever `remote` says now. */
const struct address *conn_direct_remote(const struct conn *c);

#endif
