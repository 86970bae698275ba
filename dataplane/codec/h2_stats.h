#ifndef DATAPLANE_CODEC_H2_STATS_H
#define DATAPLANE_CODEC_H2_STATS_H

/* The HTTP/2 codec's counters: "http2." for what is accepted, "cluster.<name>.http2." for what is
 * connected. */

#include "dataplane/stats/stats.h"

#define H2_STAT_LIST(X)                                                                            \
    X(H2_DEFERRED_STREAM_CLOSE, "deferred_stream_close", STAT_GAUGE)                               \
    X(H2_DROPPED_HEADERS_WITH_UNDERSCORES, "dropped_headers_with_underscores", STAT_COUNTER)       \
    X(H2_GOAWAY_SENT, "goaway_sent", STAT_COUNTER)                                                 \
    X(H2_HEADER_LIST_SIZE_TOO_LARGE, "header_list_size_too_large", STAT_COUNTER)                   \
    X(H2_HEADER_OVERFLOW, "header_overflow", STAT_COUNTER)                                         \
    X(H2_HEADERS_CB_NO_STREAM, "headers_cb_no_stream", STAT_COUNTER)                               \
    X(H2_INBOUND_EMPTY_FRAMES_FLOOD, "inbound_empty_frames_flood", STAT_COUNTER)                   \
    X(H2_INBOUND_PRIORITY_FRAMES_FLOOD, "inbound_priority_frames_flood", STAT_COUNTER)             \
    X(H2_INBOUND_WINDOW_UPDATE_FRAMES_FLOOD, "inbound_window_update_frames_flood", STAT_COUNTER)   \
    X(H2_KEEPALIVE_TIMEOUT, "keepalive_timeout", STAT_COUNTER)                                     \
    X(H2_METADATA_EMPTY_FRAMES, "metadata_empty_frames", STAT_COUNTER)                             \
    X(H2_OUTBOUND_CONTROL_FLOOD, "outbound_control_flood", STAT_COUNTER)                           \
    X(H2_OUTBOUND_CONTROL_FRAMES_ACTIVE, "outbound_control_frames_active", STAT_GAUGE)             \
    X(H2_OUTBOUND_FLOOD, "outbound_flood", STAT_COUNTER)                                           \
    X(H2_OUTBOUND_FRAMES_ACTIVE, "outbound_frames_active", STAT_GAUGE)                             \
    X(H2_PENDING_SEND_BYTES, "pending_send_bytes", STAT_GAUGE)                                     \
    X(H2_REQUESTS_REJECTED_WITH_UNDERSCORES, "requests_rejected_with_underscores_in_headers",      \
      STAT_COUNTER)                                                                                \
    X(H2_RX_MESSAGING_ERROR, "rx_messaging_error", STAT_COUNTER)                                   \
    X(H2_RX_RESET, "rx_reset", STAT_COUNTER)                                                       \
    X(H2_STREAM_REFUSED_ERRORS, "stream_refused_errors", STAT_COUNTER)                             \
    X(H2_STREAMS_ACTIVE, "streams_active", STAT_GAUGE)                                             \
    X(H2_TRAILERS, "trailers", STAT_COUNTER)                                                       \
    X(H2_TX_FLUSH_TIMEOUT, "tx_flush_timeout", STAT_COUNTER)                                       \
    X(H2_TX_RESET, "tx_reset", STAT_COUNTER)

enum h2_stat {
#define H2_STAT_ENUM(id, name, kind) id,
    H2_STAT_LIST(H2_STAT_ENUM)
#undef H2_STAT_ENUM
        H2_STAT_COUNT
};

extern const struct stat_schema h2_stat_schema;

#endif
