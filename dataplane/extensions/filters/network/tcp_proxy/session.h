#ifndef DATAPLANE_EXTENSIONS_FILTERS_NETWORK_TCP_PROXY_SESSION_H
#define DATAPLANE_EXTENSIONS_FILTERS_NETWORK_TCP_PROXY_SESSION_H

/*
 * One relayed connection: the whole of it and its client's side (session.c), the host's side
 * (upstream.c, tunnel.c) and the lines about it (session_log.c). Lives from open to on_closed of
 * its network filter; the host's side never outlives the client's. The connection's thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/event/timer.h"
#include "dataplane/extensions/filters/network/tcp_proxy/config.h"
#include "dataplane/net/network_filter.h"
#include "dataplane/stream_info/stream_info.h"
#include "dataplane/upstream/upstream.h"

enum tcp_session_state {
    TCP_SESSION_NEW,
    TCP_SESSION_CONNECTING, /* a connection to the host is asked for */
    TCP_SESSION_RETRYING,   /* the last attempt failed, the next one waits for retry_timer */
    TCP_SESSION_OPEN,       /* bytes flow; each way ends on its own */
    TCP_SESSION_ENDED,      /* the client's connection is closing, there is no other any more */
};

struct tcp_session {
    struct network_filter *filter;
    const struct tcp_proxy_config *config;
    struct stat_block *stats;
    struct conn *client;
    struct loop *loop;
    enum tcp_session_state state;
    bool has_client_end;           /* the client's FIN was passed on */
    bool has_host_end;             /* and the host's */
    bool is_client_stopped;        /* reads disabled: the host has not taken what was read before */
    bool has_early_end;            /* the client ended before the host was there */
    bool is_early_stopped;         /* it has sent as much as may wait */
    struct buf early;              /* sent before the host was there */
    struct cluster *cluster;       /* referenced from the first attempt on; NULL: unknown */
    struct host *host;             /* likewise; NULL: none was picked */
    enum pool_protocol protocol;   /* of the attempt: HTTP through a tunnel */
    struct pool_request request;   /* while connecting */
    struct codec_stream *upstream; /* while open, and while a tunnel is asked for */
    uint64_t backoff_ms;           /* of the next wait, before jitter */
    uint64_t seen_bytes;           /* taken by both kernels, at the last look */
    struct timer idle_timer;
    struct timer duration_timer;
    struct timer retry_timer;
    struct timer log_timer;
    struct arena arena;         /* texts of `info`, a tunnel's heads */
    struct header_map response; /* the tunnel's */
    struct stream_info info;
};

/* --- session.c ---------------------------------------------------------------------------- */

struct tcp_session *tcp_session_new(struct network_filter *f);
/* The connection is there: its timers run, the host is asked for. */
void tcp_session_start(struct tcp_session *s);
/* After tcp_session_end. */
void tcp_session_free(struct tcp_session *s);
/* No more relaying; `is_reset`: the client broke it off, which the host is told in kind. The
 * client's connection is the caller's to close. */
void tcp_session_end(struct tcp_session *s, bool is_reset);
/* The client's TLS handshake is done. */
void tcp_session_handshaken(struct tcp_session *s);
/* What the client sent: takes it. */
void tcp_session_client_data(struct tcp_session *s, struct buf *in, bool end_stream);
void tcp_session_set_state(struct tcp_session *s, enum tcp_session_state state);
/* There is a way to the host: the client is read. */
void tcp_session_connected(struct tcp_session *s);
/* What the host sent: takes it. */
void tcp_session_host_data(struct tcp_session *s, struct buf *data, bool end_stream);
/* Output towards the host waits (true), or is gone. */
void tcp_session_stop_client(struct tcp_session *s, bool stop);
/* Closes the client's connection; the host's side is over already, or is reset. */
void tcp_session_close(struct tcp_session *s, enum conn_close_mode mode);
/* Something moved: the idle timeout starts again. */
void tcp_session_touch(struct tcp_session *s);

/* --- upstream.c --------------------------------------------------------------------------- */

/* The next attempt to connect, or the first. May close the session. */
void tcp_upstream_connect(struct tcp_session *s);
void tcp_upstream_send(struct tcp_session *s, struct buf *take_data, bool end_stream);
/* Bytes that the host's kernel has taken. */
uint64_t tcp_upstream_written(const struct tcp_session *s);
/* The client's output waits (true): the host is not read. */
void tcp_upstream_stop(struct tcp_session *s, bool stop);
/* Whatever there is of it; `is_reset` passes the client's RST on. */
void tcp_upstream_abandon(struct tcp_session *s, bool is_reset);
void tcp_upstream_on_retry_timer(struct timer *t);

/* An attempt came to nothing: another one, or the end. Its pool or stream may be at work still. */
void tcp_upstream_attempt_failed(struct tcp_session *s);
/* What follows the head of a tunnel, or all of a connection. */
void tcp_upstream_on_data(void *user, struct buf *data, bool end_stream);
void tcp_upstream_on_reset(void *user, enum stream_reset_reason reason, struct str details);
void tcp_upstream_on_watermark(void *user, bool is_above);

/* --- transport.c -------------------------------------------------------------------------- */

/* For `s->host`; NULL: it asks for nothing. */
const struct transport_options *tcp_transport_options(struct tcp_session *s);

/* --- tunnel.c ----------------------------------------------------------------------------- */

extern const struct codec_stream_callbacks tcp_tunnel_callbacks;
/* Asks for the tunnel on `s->upstream`. */
void tcp_tunnel_open(struct tcp_session *s);

/* --- session_log.c ------------------------------------------------------------------------ */

void tcp_session_init_info(struct tcp_session *s);
/* One line in each log. */
void tcp_session_log(struct tcp_session *s, enum access_log_type type);

#endif
