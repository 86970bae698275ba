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
    const struct admin_param *params;
    size_t param_count;
    bool is_post;
};

struct admin_response {
    int status;               /* 200 unless render changes it */
    const char *content_type; /* default "text/plain; charset=UTF-8" */
    struct strbuf body;
};

/* NULL when absent; an empty value is an empty, non-NULL string. */
const struct str *admin_param(const struct admin_request *rq, struct str name);

struct admin_endpoint {
    const char *path; /* "/clusters" */
    const char *help;
    bool needs_post; /* 405 otherwise, as Envoy */
    void (*render)(void *context, const struct admin_request *rq, struct admin_response *rs);
};

#endif
