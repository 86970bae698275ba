#ifndef CONFIG_XDS_SOURCE_H
#define CONFIG_XDS_SOURCE_H

/* A config_source of the configuration as xds/ wants it. Main thread. */

#include "config/model/cluster.h"
#include "dataplane/base/arena.h"
#include "xds/subscription.h"

/* All of it in the arena. */
struct xds_source xds_source_from(const struct config_source *c, struct arena *a);
/* Whether a subscription can serve both. The fetch timeout is not part of it: it belongs to the
 * names. */
bool xds_source_eq(const struct xds_source *a, const struct xds_source *b);

#endif
