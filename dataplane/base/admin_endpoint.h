#ifndef DATAPLANE_BASE_ADMIN_ENDPOINT_H
#define DATAPLANE_BASE_ADMIN_ENDPOINT_H

/*
 * One admin page. Each layer offers its own as const descriptors; server/ registers them with
 * their context and admin/ serves them. Rendering happens on the main thread.
 */

#include <stdbool.h>
#include <stddef.h>

#include "dataplane/base/str.h"

struct admin_param {
    struct str name;  /* percent-decoded */
    struct str value; /* percent-decoded, except that an undecodable raw value is kept as is */
};

struct admin_request {
    struct str path; /* without the query */
    /* Of the query; of a form in the body when the query has none. */
    const struct admin_param *params;
    size_t param_count;
    bool is_post;
};

/* A long answer comes in pieces, each asked for when the client has room for it, so that neither
 * its size nor a client that does not read takes memory. Between two pieces anything may have
 * changed: the state holds no pointer into what others own. */
#define ADMIN_PIECE_BYTES 65536
struct admin_pieces {
    /* Appends about ADMIN_PIECE_BYTES; false: that was all. */
    bool (*next)(void *state, struct strbuf *out);
    void (*free)(void *state);
};

struct admin_response {
    int status;               /* 200 unless render changes it */
    const char *content_type; /* default "text/plain; charset=UTF-8" */
    /* Of an HTML page, its content-security-policy; NULL: no script, no source but itself. */
    const char *content_policy;
    struct strbuf body;
    const struct admin_pieces *pieces; /* what follows the body; NULL: nothing */
    void *pieces_state;                /* the response's to free */
};

/* NULL when absent; an empty value is an empty, non-NULL string. */
const struct str *admin_param(const struct admin_request *rq, struct str name);
/* For tests: the whole answer in the body. */
void admin_response_gather(struct admin_response *rs);
/* Body and pieces. */
void admin_response_done(struct admin_response *rs);

/* What a page can be asked, for /help and the home page. */
struct admin_param_doc {
    const char *name;
    const char *help;
    const char *const *choices; /* ends with NULL; NULL: any text */
    bool is_flag;               /* without a value */
};

struct admin_endpoint {
    const char *path; /* "/clusters" */
    const char *help;
    const struct admin_param_doc *params;
    size_t param_count;
    bool needs_post; /* 405 otherwise, as Envoy */
    void (*render)(void *context, const struct admin_request *rq, struct admin_response *rs);
};

#endif
