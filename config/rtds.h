#ifndef CONFIG_RTDS_H
#define CONFIG_RTDS_H

/*
 * Runtime discovery: subscribes to what the RTDS layers of the bootstrap name, and hands the values
 * to the layers. As Envoy, dynamic clusters and listeners are asked for once each layer has had an
 * answer, good or bad, or its fetch timeout has passed. Main thread.
 */

#include "dataplane/runtime/layers.h"

struct extension_registry;
struct stat_store;
struct xds_client;
struct rtds;

struct rtds_params {
    struct xds_client *xds;
    struct stat_store *stats;
    const struct extension_registry *registry;
    const struct runtime_config *config; /* must outlive it, as the layers made of it */
    struct runtime_layers *layers;
    bool rejects_unknown; /* --reject-unknown-dynamic-fields */
    /* Once; from inside rtds_new when there is nothing to wait for. */
    void (*ready)(void *ctx);
    void *ctx;
};

struct rtds *rtds_new(const struct rtds_params *p);
/* Before the xds client closes, after the layers have been freed. NULL allowed. */
void rtds_free(struct rtds *r);

#endif
