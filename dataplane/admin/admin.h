#ifndef DATAPLANE_ADMIN_ADMIN_H
#define DATAPLANE_ADMIN_ADMIN_H

/*
 * The admin interface: a table of endpoints (base/admin_endpoint.h) served by an HTTP connection
 * manager on main's loop, with http_filter_admin at the end of the chain instead of the router.
 * Main thread.
 */

#include "config/model/core.h"
#include "dataplane/base/admin_endpoint.h"
#include "dataplane/http/filter.h"

struct admin;

struct admin *admin_new(void);
void admin_free(struct admin *a);
/* `context` is what render gets. The descriptor must outlive the admin. */
void admin_add(struct admin *a, const struct admin_endpoint *e, void *context);
/* Called before any page is rendered: brings derived stats up to date. */
void admin_set_refresh(struct admin *a, void (*refresh)(void *context), void *context);
/* 403 for paths (with their query) that match none. `matchers` must outlive the admin. */
void admin_allow_paths(struct admin *a, const struct string_matcher *matchers, size_t count);
/* In the order of their paths. */
void admin_visit(const struct admin *a, void (*visit)(void *user, const struct admin_endpoint *e),
                 void *user);

/* A request as the filter got it. */
struct admin_call {
    struct str method;
    struct str path_and_query;
    struct str form; /* an application/x-www-form-urlencoded body */
};

/* Answers one request; for the filter and for tests. */
void admin_handle(const struct admin *a, const struct admin_call *call, struct admin_response *rs);

/* Terminal filter; its config is the struct admin. */
extern const struct http_filter_type http_filter_admin;

/* "/": what the proxy is doing, for people, and all pages. Context: the struct admin. */
extern const struct admin_endpoint admin_home_endpoint;
/* What Envoy's allocator and profilers would answer. No context. */
extern const struct admin_endpoint *const admin_profiler_endpoints[];
extern const size_t admin_profiler_endpoint_count;

#endif
