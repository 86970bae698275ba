#ifndef DATAPLANE_HTTP_CONN_MANAGER_H
#define DATAPLANE_HTTP_CONN_MANAGER_H

/*
 * One downstream connection that speaks HTTP: its codec, its open streams, its timeouts, its
 * draining. A network filter (extensions/filters/network/http_connection_manager.c) is the thin
 * wrapper around it. The connection's thread.
 *
 * Timeouts: everything that may time out, of the connection and of its streams, is a deadline in
 * memory; one timer per connection fires at the earliest of them or before. A request moves
 * deadlines by storing numbers and never touches the timer wheel in the steady state.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/list.h"
#include "dataplane/codec/codec.h"
#include "dataplane/event/deferred.h"
#include "dataplane/event/loop.h"
#include "dataplane/event/timer.h"
#include "dataplane/http/conn_manager_config.h"
#include "dataplane/http/conn_manager_stats.h"
#include "dataplane/net/connection.h"
#include "dataplane/net/network_filter.h"

#define CONN_MANAGER_MAGIC MAGIC('H', 'T', 'C', 'M')
#define CONN_MANAGER_IP_BYTES 46 /* INET6_ADDRSTRLEN */

struct h2_keepalive;
struct thread_context;

enum drain_state {
    DRAIN_NONE,
    DRAIN_STARTED, /* told the client; new requests are still answered */
    DRAIN_CLOSING, /* closes once no stream is open */
    DRAIN_CLOSED,  /* conn_close was called */
};

struct conn_manager {
    uint32_t magic;
    uint32_t request_count;
    uint8_t drain_state;   /* enum drain_state */
    bool is_closed;        /* the connection is gone; the memory follows */
    bool is_soft_draining; /* http1_safe_max_connection_duration: closes with the next response */
    uint8_t remote_ip_len; /* 0: not formatted yet */
    uint32_t buffer_limit_bytes;
    const struct http_conn_manager_config *config;
    struct thread_context *thread;
    struct conn *conn;
    struct listener_connection *lc; /* NULL once closed, and in tests */
    struct codec *codec;            /* NULL before the first byte */
    struct stat_block *stats;       /* NULL: nobody counts */
    struct stat_block *listener_stats;
    struct stat_block *http2_stats; /* likewise */
    struct h2_keepalive *keepalive; /* NULL: no PINGs */
    struct list streams;
    struct loop_task pending_task; /* the codec holds what came, for streams that are read again */
    /* Of streams that the client or the codec ended; see conn_manager_check_resets. */
    uint64_t ended_count;
    uint64_t premature_reset_count;
    struct str close_details; /* of the streams that its end cuts off; empty: they have their own */
    struct timer timer;
    uint64_t opened_ms;
    uint64_t idle_deadline_ms;
    uint64_t duration_deadline_ms;
    uint64_t drain_deadline_ms;
    uint64_t counted_rx_bytes;
    uint64_t counted_tx_bytes;
    uint64_t counted_rx_buffered;
    uint64_t counted_tx_buffered;
    char remote_ip[CONN_MANAGER_IP_BYTES];
    struct deferred deferred;
};

/* As the network filter's callbacks. `lc` may be NULL (tests). */
struct conn_manager *conn_manager_new(const struct http_conn_manager_config *config,
                                      struct thread_context *t, struct conn *conn,
                                      struct listener_connection *lc, uint32_t buffer_limit_bytes);
void conn_manager_on_data(struct conn_manager *cm, struct buf *in, bool end_stream);
void conn_manager_on_watermark(struct conn_manager *cm, bool is_above);
/* The filter chain or the process drains: answers carry connection: close (GOAWAY); idle
 * connections close after drain_timeout. */
void conn_manager_on_drain(struct conn_manager *cm);
/* The last call; frees it at the end of the turn. */
void conn_manager_on_closed(struct conn_manager *cm, enum conn_close_cause cause);

/* --- for the streams ----------------------------------------------------------------------- */
static inline void conn_manager_count(struct conn_manager *cm, enum conn_manager_stat stat)
{
    if (cm->stats != NULL) {
        stat_inc(cm->stats, stat);
    }
}
/* A response head goes out: counted by its class. */
void conn_manager_count_response(struct conn_manager *cm, int status);
void conn_manager_count_upgrade(struct conn_manager *cm, bool begins);
/* Makes sure that the timer fires by `deadline_ms`. */
void conn_manager_watch_deadline(struct conn_manager *cm, uint64_t deadline_ms);
/* Before a response head: starts draining where that is due. */
void conn_manager_check_drain(struct conn_manager *cm);
void conn_manager_start_drain(struct conn_manager *cm);
/* The connection closes once the last stream is over. */
void conn_manager_set_closing(struct conn_manager *cm);
/* A stream that has ended was not brought to its response; `is_premature`: within a second. */
void conn_manager_count_ended(struct conn_manager *cm, bool is_premature_reset);
/* `s` has left cm->streams. `is_flush_enough`: nothing unread can turn our FIN into a reset. */
void conn_manager_stream_ended(struct conn_manager *cm, bool is_flush_enough);
/* The client's address as text, empty for a unix socket; lives as long as the connection. */
struct str conn_manager_remote_ip(struct conn_manager *cm);
bool conn_manager_is_tls(const struct conn_manager *cm);
bool conn_manager_is_http1(const struct conn_manager *cm);

#endif
