#ifndef DATAPLANE_OVERLOAD_OVERLOAD_MANAGER_H
#define DATAPLANE_OVERLOAD_OVERLOAD_MANAGER_H

/*
 * Envoy's overload manager: asks the resource monitors how scarce each resource is, derives from
 * that how strongly each action and load shed point applies, and leaves it where the threads read
 * it (runtime/overload.h). Main thread, at each refresh; a thread that takes much memory between
 * two refreshes has the monitors of memory asked at once (overload_manager_hurry).
 */

#include <stdint.h>

#include "config/model/overload.h"
#include "dataplane/base/error.h"
#include "dataplane/event/loop.h"
#include "dataplane/stats/stats.h"

struct overload_manager;

struct overload_manager_params {
    struct loop *loop;
    struct stat_store *stats;
    const struct overload_config *config; /* outlives the manager */
    uint64_t max_connections;             /* unless a resource monitor says how many */
    /* Main thread: the action's level is another now. */
    void (*on_level)(void *user, enum overload_point action, uint32_t level);
    /* Main thread, after each refresh while the action's level is not 0. */
    void (*on_shrink_heap)(void *user);
    void (*on_reset_streams)(void *user, uint64_t min_bytes);
    void *user;
};

/* E_* with the sentence to print when a resource cannot be watched. */
int overload_manager_new(const struct overload_manager_params *p, struct overload_manager **ret,
                         struct error *reterr) MUST_CHECK;
void overload_manager_start(struct overload_manager *m);
/* Nothing is asked or told any more; what threads read stays. */
void overload_manager_stop(struct overload_manager *m);
void overload_manager_free(struct overload_manager *m); /* NULL allowed */
/* For the thread contexts of the workers; lives as long as the manager. */
struct overload *overload_manager_state(struct overload_manager *m);
/* Any thread: memory is taken quickly. Returns at once when another thread is at it. */
void overload_manager_hurry(struct overload_manager *m);

#endif
