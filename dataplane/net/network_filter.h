#ifndef DATAPLANE_NET_NETWORK_FILTER_H
#define DATAPLANE_NET_NETWORK_FILTER_H

/*
 * Network filters of a downstream connection, in configured order; the last is terminal
 * (http_connection_manager, tcp_proxy). NULL callback = pass through.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model/extension.h"
#include "config/model/listener.h"
#include "dataplane/base/buf.h"
#include "dataplane/net/connection.h"

struct thread_context;
struct network_filter;
struct listener_connection; /* net/listener.h: connection + chain + filters */

enum network_filter_status { NETWORK_FILTER_CONTINUE, NETWORK_FILTER_STOP };

struct network_filter_type {
    struct extension ext;
    /* Sets f->state; on error the connection is closed. */
    int (*open)(struct network_filter *f);
    enum network_filter_status (*on_new_connection)(struct network_filter *f);
    /* The transport's handshake is done; not for raw connections. After on_new_connection. */
    void (*on_handshake)(struct network_filter *f);
    enum network_filter_status (*on_data)(struct network_filter *f, struct buf *in,
                                          bool end_stream);
    void (*on_watermark)(struct network_filter *f, bool is_above);
    /* Timeouts are shorter, or longer, from now on (OVERLOAD_REDUCE_TIMEOUTS). */
    void (*on_timeouts_scaled)(struct network_filter *f);
    /* Ends streams that hold `min_bytes` or more, at most `most`; returns how many. */
    size_t (*reset_streams)(struct network_filter *f, uint64_t min_bytes, size_t most);
    /* The filter chain or listener is being drained: finish what is open, take nothing new. */
    void (*on_drain)(struct network_filter *f);
    /* Last call; frees f->state. */
    void (*on_closed)(struct network_filter *f, enum conn_close_cause cause);
};

struct network_filter {
    const struct network_filter_type *type;
    const void *config;
    void *state;
    struct listener_connection *lc;
};

/* A filter that stopped in on_new_connection or on_data goes on. */
void network_filter_continue(struct network_filter *f);

#endif
