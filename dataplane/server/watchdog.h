#ifndef DATAPLANE_SERVER_WATCHDOG_H
#define DATAPLANE_SERVER_WATCHDOG_H

/*
 * Notices threads whose loop no longer turns, as Envoy's guard dog: counts them, writes the stack
 * of one that is stuck for long into the log, and, where the configuration says so, ends the
 * process.
 *
 * One thread of its own asks each loop, by a message, whether it is there; a loop that has not
 * answered after miss_timeout has missed. All functions here: main thread.
 */

#include <pthread.h>

#include "config/bootstrap.h"

struct loop;
struct stat_store;
struct watchdog;

/* Stats are there from now on; nobody is watched before watchdog_start. `config` is copied. */
struct watchdog *watchdog_new(const struct watchdogs *config, struct stat_store *stats);
/* Before watchdog_start. `loop`, run by `thread`, is done before watchdog_free, for it may hold a
 * question until then. */
void watchdog_add(struct watchdog *w, struct loop *loop, pthread_t thread);
/* E_SYS: there is no thread to be had; nobody watches. */
int watchdog_start(struct watchdog *w) MUST_CHECK;
/* Nobody is asked any more. Before the loops stop. Harmless when it was not started. */
void watchdog_stop(struct watchdog *w);
/* Before the stat_store. NULL allowed. */
void watchdog_free(struct watchdog *w);

#endif
