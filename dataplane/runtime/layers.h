#ifndef DATAPLANE_RUNTIME_LAYERS_H
#define DATAPLANE_RUNTIME_LAYERS_H

/*
 * The layers behind the runtime values: what the bootstrap says, a directory that is read again
 * when something is renamed over the link to it, what discovery brings (config/rtds.h), and what
 * /runtime_modify has set. Every change
 * makes a new state (runtime.h) and hands it to server/, which gives it to all threads. Main
 * thread. As Envoy, files are read on it: they are few and small, and bounded here.
 */

#include "dataplane/base/admin_endpoint.h"
#include "dataplane/runtime/runtime.h"

struct config_source; /* config/model/cluster.h */
struct loop;
struct stat_store;
struct runtime_layers;

enum runtime_layer_kind {
    RUNTIME_LAYER_STATIC,
    RUNTIME_LAYER_DISK,
    RUNTIME_LAYER_RTDS,
    RUNTIME_LAYER_ADMIN
};

/* As configured. */
struct runtime_layer_config {
    struct str name;
    enum runtime_layer_kind kind;
    const struct runtime_entry *entries; /* STATIC; distinct keys */
    size_t entry_count;
    struct str symlink_root; /* DISK */
    struct str subdirectory;
    bool append_service_cluster;
    struct str resource_name; /* RTDS */
    const struct config_source *source;
};

struct runtime_config {
    const struct runtime_layer_config *layers;
    size_t count;
};

struct runtime_layers_params {
    struct loop *loop;
    struct stat_store *stats;
    const struct runtime_config *config; /* must outlive the layers */
    struct str service_cluster;          /* likewise */
    /* A layer has changed; called from runtime_layers_new too. */
    void (*publish)(void *ctx, struct runtime *take);
    void *ctx;
};

struct runtime_layers *runtime_layers_new(const struct runtime_layers_params *p);
void runtime_layers_free(struct runtime_layers *l);
/* What an RTDS layer, by its place in the configuration, holds from now on: distinct keys, borrowed
 * until the next call for that layer. */
void runtime_layers_set(struct runtime_layers *l, size_t layer, const struct runtime_entry *entries,
                        size_t count);

/* Context: the struct runtime_layers. */
extern const struct admin_endpoint admin_runtime_endpoint;
extern const struct admin_endpoint admin_runtime_modify_endpoint;

#endif
