#ifndef DATAPLANE_ADMIN_ADMIN_INTERNAL_H
#define DATAPLANE_ADMIN_ADMIN_INTERNAL_H

/* Between admin.c and admin_filter.c. */

#include "dataplane/admin/admin.h"

/* Of answers that were rendered in one piece, what no client has taken yet, over all connections:
 * admin_filter.c refuses to render more above its limit. */
size_t *admin_unread_bytes(struct admin *a);

#endif
