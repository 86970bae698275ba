#ifndef DATAPLANE_HTTP_EARLY_MUTATION_H
#define DATAPLANE_HTTP_EARLY_MUTATION_H

/* Changes to a request's headers before anything else looks at them: the vtable of Envoy's
 * early_header_mutation extensions. */

#include <stdbool.h>

#include "config/model/extension.h"
#include "dataplane/codec/header_map.h"
#include "dataplane/stream_info/access_log.h"

struct thread_context;

struct early_mutation_type {
    struct extension ext;
    /* False: the extensions behind this one are not asked. The stream's thread. */
    bool (*mutate)(const void *config, const struct access_log_entry *entry,
                   struct thread_context *t, struct header_map *h);
};

#endif
