#ifndef DATAPLANE_NET_LISTENER_FILTER_H
#define DATAPLANE_NET_LISTENER_FILTER_H

/*
 * Listener filters look at an accepted connection before its filter chain is chosen: who it says
 * that it comes from, where it wanted to go, what it speaks. One inspection per connection, on its
 * worker; it ends, with all that only it needed, when the chain is chosen.
 *
 * Bytes are read into the connection's `in` and stay there until a filter takes them away: what no
 * filter took is the first that the transport and the network filters see.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model/extension.h"
#include "config/model/listener.h"
#include "dataplane/base/arena.h"
#include "dataplane/base/list.h"
#include "dataplane/base/str.h"
#include "dataplane/event/timer.h"
#include "dataplane/net/connection.h"

struct inspection;
struct listener_filter;
struct listener_run; /* listener.c */
struct thread_context;

/* What filters may hold back of a connection; every filter refuses earlier than that. */
#define LISTENER_FILTER_MAX_BYTES (128u * 1024)

/* What filters found out. Lives as long as the connection (listener_connection.info). */
struct connection_info {
    struct str server_name;        /* asked for in the ClientHello, lower case; empty: none */
    struct str transport_protocol; /* "tls", "raw_buffer"; empty: nobody could tell */
    struct str ja3;                /* MD5 in hex; empty: not asked for, or no TLS */
    struct str ja4;
    const struct value *metadata; /* dynamic metadata: a struct per namespace; NULL: none */
    /* A PROXY header said so; its TLVs that are to go on upstream, as they came. */
    bool has_proxy_header;
    struct str proxy_tlvs;
    /* Of the socket, where conn->local says where the client wanted to go; else NULL. */
    const struct address *direct_local;
    /* What the client offers, most wanted first. Only until the chain is chosen. */
    const struct str *application_protocols;
    size_t application_protocol_count;
};

enum listener_filter_status {
    LISTENER_FILTER_CONTINUE, /* on with the next one */
    LISTENER_FILTER_WAIT,     /* for bytes that on_data shall see */
    LISTENER_FILTER_CLOSE,    /* the connection ends */
};

struct listener_filter_type {
    struct extension ext;
    size_t state_bytes; /* zeroed, f->state; gone with the inspection */
    /* Mandatory. Nothing may have been read yet. */
    enum listener_filter_status (*on_accept)(struct listener_filter *f);
    /* All bytes that are there, in one piece; called again when more have come. Mandatory for one
     * that waits. */
    enum listener_filter_status (*on_data)(struct listener_filter *f, struct str bytes);
};

struct listener_filter {
    const struct listener_filter_type *type;
    const void *config;
    void *state;
    struct inspection *inspection;
};

enum inspection_outcome {
    INSPECTION_DONE,    /* choose a chain; also after a time-out that is passed over */
    INSPECTION_TIMEOUT, /* it took too long: close */
    INSPECTION_REFUSED, /* by a filter: close */
    INSPECTION_REMOTE_CLOSE,
    INSPECTION_ERROR, /* of the socket */
};

struct inspection {
    struct conn *conn; /* its ops and user are the inspection's until the outcome */
    struct thread_context *thread;
    const struct listener_config *config;
    void (*on_outcome)(struct inspection *i, enum inspection_outcome o);
    void *user;
    struct list node; /* the user's */
    struct listener_run *run;
    uint64_t accepted_ns;
    bool may_hand_off;
    struct connection_info info; /* strings in `arena`, or longer */
    struct arena arena;
    struct timer timer;
    char *gathered; /* heap: several segments of conn->in in one piece */
    size_t gathered_len;
    size_t gathered_cap;
    size_t at;         /* the filter whose turn it is */
    bool is_timed_out; /* the outcome came by the timer */
    size_t filter_count;
    struct listener_filter filters[];
};

/* Takes no connection over: on INSPECTION_DONE it is the callback's, with nothing lost, else it is
 * closed already (REMOTE_CLOSE, ERROR) or to be closed. The callback frees the inspection; it may
 * come before this returns. */
struct inspection *inspection_new(struct thread_context *t, const struct listener_config *config,
                                  struct conn *c);
void inspection_start(struct inspection *i);
/* Without an outcome; also from inside of the callback. */
void inspection_free(struct inspection *i);
/* What was found goes over to another one that has not started. */
void inspection_move_info(struct inspection *to, struct inspection *from);
/* A copy of `info` for the connection's life, one allocation, without what ends with the
 * inspection; free() it. NULL when there is nothing in it. */
struct connection_info *inspection_take_info(struct inspection *i);

/* --- for filters --------------------------------------------------------------------------- */

/* Drops the first `len` bytes: nobody else sees them. */
void inspection_drain(struct inspection *i, size_t len);
/* Where the client wanted to go. */
void inspection_restore_local(struct inspection *i, const struct address *local);
/* Who the client is behind the socket's peer. */
void inspection_set_remote(struct inspection *i, const struct address *remote);
void inspection_set_protocols(struct inspection *i, const struct str *protocols, size_t count);
/* Dynamic metadata: sets `key` in the struct of `name_space`; copies. */
void inspection_set_metadata(struct inspection *i, struct str name_space, struct str key,
                             struct str value);

#endif
