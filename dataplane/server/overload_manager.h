#ifndef DATAPLANE_SERVER_OVERLOAD_MANAGER_H
#define DATAPLANE_SERVER_OVERLOAD_MANAGER_H

/*
 * Envoy's overload manager: asks the resource monitors how scarce each resource is, derives from
 * that how strongly each action and load shed point applies, and tells the threads
 * (runtime/overload.h). Main thread.
 */

#include "dataplane/runtime/overload.h"

struct overload_manager;

struct overload_manager *overload_manager_new(void);
void overload_manager_free(struct overload_manager *m); /* NULL allowed */
/* For the thread contexts of the workers; lives as long as the manager. */
struct overload *overload_manager_state(struct overload_manager *m);

#endif
