#ifndef DATAPLANE_OVERLOAD_RESOURCE_MONITOR_H
#define DATAPLANE_OVERLOAD_RESOURCE_MONITOR_H

/*
 * What tells how scarce a resource is. A monitor is asked by the overload manager at each refresh;
 * one that watches memory also from whichever thread takes much of it, one at a time.
 */

#include <stdbool.h>

#include "config/model/extension.h"
#include "dataplane/base/error.h"

struct resource_monitor_type {
    struct extension ext;
    bool is_memory; /* `hurry` is there */
    /* The state lives from start to end of the process; `config` may be NULL for the defaults.
     * E_* when the resource cannot be watched at all. */
    int (*open)(const void *config, void **ret_state, struct error *reterr);
    /* 1: all of it is used; may be more. E_* when it cannot be told now. Main thread. */
    int (*read)(void *state, double *ret_pressure);
    /* The same, cheaper, from any thread; never during `read`. */
    int (*hurry)(void *state, double *ret_pressure);
    void (*close)(void *state);
};

#endif
