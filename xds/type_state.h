#ifndef XDS_TYPE_STATE_H
#define XDS_TYPE_STATE_H

/*
 * What is to be said about one resource type on one stream: the names wanted, what the server was
 * told, what is to be acknowledged. The two protocols (sotw.c, delta.c) differ in the requests
 * they build from it. No I/O, no clock.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/list.h"
#include "dataplane/base/map.h"
#include "dataplane/base/str.h"
#include "xds/response.h"

struct xds_name {
    struct str name; /* behind the struct */
    uint32_t users;
    bool is_told;     /* the server knows that we want it (this stream) */
    bool is_received; /* some response held it */
    bool is_wanted;
    uint64_t deadline_ms; /* of the first response; 0: none */
    struct list waiting;  /* linked while a deadline runs */
};

struct xds_type_state;

struct xds_protocol {
    bool is_delta;
    /* Whether there is anything to say. */
    bool (*has_request)(const struct xds_type_state *t);
    /* Appends one request and notes what it told. `node` is empty after the first message when the
     * source says so. */
    void (*build_request)(struct xds_type_state *t, struct str node, struct strbuf *out);
    /* A response was applied (verdict.accepted) or refused: what the next request must say. */
    void (*applied)(struct xds_type_state *t, const struct xds_response *rs,
                    const struct xds_verdict *v);
    /* The stream is new: the server knows nothing. */
    void (*stream_started)(struct xds_type_state *t);
};

extern const struct xds_protocol xds_protocol_sotw;
extern const struct xds_protocol xds_protocol_delta;

struct xds_type_state {
    const struct xds_protocol *protocol;
    struct str type_url; /* borrowed */
    bool is_wildcard;
    struct map names; /* of xds_name */
    bool names_changed;
    bool has_asked;      /* a request went out on this stream */
    bool owes_answer;    /* a response waits for its ACK or NACK */
    char *version;       /* SotW: last accepted; NULL: none */
    char *nonce;         /* of the last response on this stream; NULL: none */
    char *error_detail;  /* NACK text; NULL: ACK */
    struct map versions; /* delta: xds_version per resource held, for reconnects */
};

void xds_type_state_init(struct xds_type_state *t, const struct xds_protocol *p,
                         struct str type_url, bool is_wildcard);
void xds_type_state_done(struct xds_type_state *t);
/* Counted. True when the name is new. */
bool xds_type_state_add(struct xds_type_state *t, struct str name, struct xds_name **ret_name);
void xds_type_state_remove(struct xds_type_state *t, struct str name);
/* Stores nonce and, for a NACK, its text; what both protocols do. */
void xds_type_state_answer(struct xds_type_state *t, const struct xds_response *rs,
                           const struct xds_verdict *v);
/* google.rpc.Status{code: 3 (INVALID_ARGUMENT), message} as field `number`. */
void xds_put_error_detail(struct strbuf *out, uint32_t number, const char *text);

#endif
