#ifndef DATAPLANE_CLIENT_HTTP_CLIENT_H
#define DATAPLANE_CLIENT_HTTP_CLIENT_H

/*
 * One HTTP request of ours to an ordinary cluster, its body and the response's held whole: for
 * fetching keys, asking an authorization server, checking health. Streams are grpc_client's, or
 * client_stream's. Callbacks come from the loop only, never from inside a call of this file. Its
 * own loop's thread, worker or main.
 */

#include <stddef.h>
#include <stdint.h>

#include "dataplane/client/client_stream.h"

struct thread_context;

/* As Envoy's http.async_response_buffer_limit. */
#define HTTP_CLIENT_RESPONSE_BYTES_MAX (32 * 1024 * 1024)

struct http_client_options {
    struct client_cluster cluster;
    uint64_t timeout_ms;         /* for the whole exchange; 0: none */
    uint64_t max_response_bytes; /* 0: HTTP_CLIENT_RESPONSE_BYTES_MAX */
    struct str forwarded_for;    /* x-forwarded-for: this machine's address; empty: not sent */
    bool skips_envoy_headers;    /* neither that nor x-envoy-internal */
};

enum http_client_outcome {
    HTTP_CLIENT_RESPONSE,  /* whole */
    HTTP_CLIENT_FAILURE,   /* there is none, or not all of it */
    HTTP_CLIENT_TOO_LARGE, /* over max_response_bytes */
};

struct http_client_result {
    enum http_client_outcome outcome;
    int status;                           /* the response's; else what the router would answer */
    const struct header_map *headers;     /* NULL unless HTTP_CLIENT_RESPONSE */
    struct buf *body;                     /* likewise; takes what it wants */
    const struct client_failure *failure; /* NULL unless HTTP_CLIENT_FAILURE */
};

struct http_client_request;

/* Last callback: the request, and all that `r` shows, dies when it returns. */
typedef void (*http_client_done)(void *user, const struct http_client_result *r);

/* Sends `headers` (copied; with :method, :path and :authority, an empty one is the cluster's name;
 * :scheme and content-length are set here) and `take_body` (NULL: none). Never NULL: what goes
 * wrong is told later. The caller ends it: by waiting or with http_client_cancel, at the latest
 * before its thread's clusters go. */
struct http_client_request *http_client_start(struct thread_context *t,
                                              const struct http_client_options *o,
                                              const struct header_map *headers,
                                              struct buf *take_body, http_client_done on_done,
                                              void *user);
/* Ends the request at once, without a callback; it dies. */
void http_client_cancel(struct http_client_request *rq);

#endif
