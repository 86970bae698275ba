#ifndef DATAPLANE_ADMIN_ADMIN_H
#define DATAPLANE_ADMIN_ADMIN_H

/*
 * The admin interface: a table of endpoints (base/admin_endpoint.h) served by an HTTP connection
 * manager on main's loop, with this file's filter at the end of the chain instead of the router.
 * Main thread.
 */

#include "dataplane/base/admin_endpoint.h"
#include "dataplane/http/filter.h"

struct admin;

struct admin *admin_new(void);
void admin_free(struct admin *a);
/* `context` is what render gets. The descriptor must outlive the admin. */
void admin_add(struct admin *a, const struct admin_endpoint *e, void *context);
/* Called before any page is rendered: brings derived stats up to date. */
void admin_set_refresh(struct admin *a, void (*refresh)(void *context), void *context);

/* Answers one request; for the filter and for tests. */
void admin_handle(const struct admin *a, struct str method, struct str path_and_query,
                  struct admin_response *rs);

/* Terminal filter; its config is the struct admin. */
extern const struct http_filter_type http_filter_admin;

#endif
