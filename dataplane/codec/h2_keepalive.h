#ifndef DATAPLANE_CODEC_H2_KEEPALIVE_H
#define DATAPLANE_CODEC_H2_KEEPALIVE_H

/*
 * PINGs on one HTTP/2 connection (core.v3.KeepaliveSettings): every interval, and before a stream
 * after a long silence. A peer from which nothing at all comes within the timeout is taken for
 * dead. Used by both sides' owners of connections; the loop's thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "config/model/core.h"
#include "dataplane/codec/codec.h"
#include "dataplane/event/timer.h"

struct loop;

struct h2_keepalive {
    const struct http2_keepalive *config;
    struct loop *loop;
    struct codec *codec;
    /* Counted by the keep-alive itself (http2.keepalive_timeout). The owner closes at once. */
    void (*on_timeout)(void *owner);
    void *owner;
    struct timer interval_timer;
    struct timer timeout_timer;
    uint64_t last_received_ms;
};

static inline bool h2_keepalive_is_wanted(const struct http2_keepalive *c)
{
    return c->timeout_ms > 0;
}

/* Starts the first interval. `config` and `codec` outlive it. */
void h2_keepalive_start(struct h2_keepalive *k, struct loop *l,
                        const struct http2_keepalive *config, struct codec *codec,
                        void (*on_timeout)(void *owner), void *owner);
/* Something came from the peer. */
void h2_keepalive_received(struct h2_keepalive *k);
/* The codec's on_ping_ack. */
void h2_keepalive_acknowledged(struct h2_keepalive *k);
/* A stream is about to be opened. */
void h2_keepalive_before_stream(struct h2_keepalive *k);
void h2_keepalive_stop(struct h2_keepalive *k);

#endif
