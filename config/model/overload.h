#ifndef CONFIG_MODEL_OVERLOAD_H
#define CONFIG_MODEL_OVERLOAD_H

/* The bootstrap's overload_manager, validated, with nuncio's own defaults filled in. Immutable. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model/listener.h"
#include "dataplane/runtime/overload.h"

struct overload_trigger {
    size_t resource;   /* index */
    double scaling;    /* nothing up to here */
    double saturation; /* everything from here on; equal to `scaling`: a threshold */
};

struct overload_point_config {
    struct str name;
    int point; /* enum overload_point; -1: a name that means nothing here, which still has stats */
    bool is_load_shed_point;
    struct overload_trigger *triggers;
    size_t trigger_count;
};

struct overload_config {
    uint64_t refresh_ms;
    struct filter_config *resources; /* ext: a struct resource_monitor_type */
    size_t resource_count;
    struct overload_point_config *points;
    size_t point_count;
    struct timer_scale timers[SCALED_TIMER_COUNT];
    uint64_t shrink_interval_ms;
    /* Streams that hold at least 2^this are reset at full level, of 128 times that at the least. */
    uint32_t reset_min_power;
    uint64_t max_connections; /* of the connection monitor; 0: there is none */
    bool has_cgroup_default;  /* what follows from the control group's limit is part of it */
};

#endif
