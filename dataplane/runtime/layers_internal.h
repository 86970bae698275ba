#ifndef DATAPLANE_RUNTIME_LAYERS_INTERNAL_H
#define DATAPLANE_RUNTIME_LAYERS_INTERNAL_H

/* Between layers.c, disk_layer.c and admin_runtime.c. */

#include "dataplane/base/error.h"
#include "dataplane/runtime/layers.h"

/* Entries that are being gathered, in an arena. */
struct entry_list {
    struct arena *arena;
    struct runtime_entry *entries; /* heap */
    size_t count;
    size_t cap;
};

/* Copies key and text, and reads it. */
void entry_list_add(struct entry_list *l, struct str key, struct str text);
void entry_list_done(struct entry_list *l);

/* Every file below `path` is a key, its path with dots; lines that begin with '#' are comments.
 * E_SYS, E_LIMIT with a sentence; what was read until then is in the list. */
int disk_layer_read(const char *path, struct entry_list *l, struct error *reterr) MUST_CHECK;

/* The state that was published last. */
const struct runtime *runtime_layers_current(const struct runtime_layers *l);
bool runtime_layers_has_admin(const struct runtime_layers *l);
/* An empty value takes the override away. Publishes once, whatever the number. */
void runtime_layers_override(struct runtime_layers *l, const struct admin_param *params,
                             size_t count);

#endif
