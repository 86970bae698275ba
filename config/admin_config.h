#ifndef CONFIG_ADMIN_CONFIG_H
#define CONFIG_ADMIN_CONFIG_H

/* Admin pages about configuration: what is held, what is refused, what waits, what is not
 * supported. Main thread. */

#include "config/bootstrap.h"
#include "config/store.h"
#include "dataplane/base/admin_endpoint.h"

struct admin_config {
    struct config_store *store;
    const struct bootstrap *bootstrap;
    const struct xds_client *xds; /* NULL: none */
    uint64_t loaded_wall_ns;      /* of the bootstrap */
};

/* The context of all of them is a struct admin_config. */
extern const struct admin_endpoint admin_config_dump_endpoint; /* as Envoy's */
extern const struct admin_endpoint admin_init_dump_endpoint;   /* as Envoy's */
extern const struct admin_endpoint admin_xds_endpoint;         /* nuncio's own */
extern const struct admin_endpoint admin_unsupported_endpoint; /* nuncio's own */

#endif
