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
    struct str name;      /* behind the struct */
    uint32_t users;       /* 0: wanted no more; kept until the server has heard */
    bool is_told;         /* the server knows that we want it (this stream) */
    bool is_reborn;       /* given up and wanted again before the server heard of either */
    bool is_received;     /* an accepted response held it */
    uint64_t deadline_ms; /* of the first response (stream.c) */
    struct list waiting;  /* linked while that deadline runs */
};

struct xds_type_state;

struct xds_protocol {
    bool is_delta;
    /* Appends one request and notes what it told. Only when xds_type_state_has_request. `node` is
     * empty after the first message when the source says so. */
    void (*build_request)(struct xds_type_state *t, struct str node, struct strbuf *out);
    /* A response was applied (verdict.accepted) or refused: what the next request must say. */
    void (*applied)(struct xds_type_state *t, const struct xds_response *rs,
                    const struct xds_verdict *v);
};

extern const struct xds_protocol xds_protocol_sotw;
extern const struct xds_protocol xds_protocol_delta;

struct xds_type_state {
    const struct xds_protocol *protocol;
    struct str type_url; /* borrowed */
    bool is_wildcard;
    struct map names; /* of xds_name */
    size_t wanted_count;
    size_t unsaid_count;   /* names that are wanted or given up, and the server does not know */
    bool has_asked;        /* a request went out on this stream */
    bool owes_answer;      /* a response waits for its ACK or NACK */
    bool is_refusal;       /* that answer is a NACK, `error_detail` its text */
    bool is_fresh;         /* no response was answered on this stream yet */
    struct strbuf version; /* SotW: of the last response accepted whole, on any stream */
    struct strbuf nonce;   /* of the last response on this stream */
    struct strbuf error_detail;
    struct map versions; /* delta: xds_version per resource held, for reconnects */
};

void xds_type_state_init(struct xds_type_state *t, const struct xds_protocol *p,
                         struct str type_url, bool is_wildcard);
void xds_type_state_done(struct xds_type_state *t);
/* Counted; not for wildcards. True when nobody wanted the name before. */
bool xds_type_state_add(struct xds_type_state *t, struct str name, struct xds_name **ret_name);
/* The last removal forgets the resource: whoever wants it again gets it from the server again. */
void xds_type_state_remove(struct xds_type_state *t, struct str name);
void xds_type_state_remove_all(struct xds_type_state *t);
/* The stream is new: the server knows nothing. */
void xds_type_state_stream_started(struct xds_type_state *t);
/* Whether there is anything to say. */
bool xds_type_state_has_request(const struct xds_type_state *t);

/* For the protocols: stores nonce and, for a NACK, its text. */
void xds_type_state_answer(struct xds_type_state *t, const struct xds_response *rs,
                           const struct xds_verdict *v);
/* For the protocols: forgets the names that are wanted no more (the server has heard). */
void xds_type_state_sweep(struct xds_type_state *t);
/* google.rpc.Status{code: 3 (INVALID_ARGUMENT), message} as field `number`. The text is cut at
 * XDS_ERROR_DETAIL_MAX bytes, and is valid UTF-8 whatever it was made of: a server could not
 * parse it otherwise. */
#define XDS_ERROR_DETAIL_MAX 4096
void xds_put_error_detail(struct strbuf *out, uint32_t number, struct str text);

#endif
