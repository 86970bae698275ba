#ifndef DATAPLANE_SERVER_HOT_RESTART_H
#define DATAPLANE_SERVER_HOT_RESTART_H

/*
 * Hot restart: a process of the next epoch takes the listening sockets of this one, and this one
 * stops accepting only when the next is live. What dies before that changes nothing.
 *
 *   child   started with --restart-epoch N > 0: connects to the process of epoch N - 1, asks for
 *           each socket when its configuration names the address, says when it is live, and after
 *           --parent-shutdown-time-s that the parent is to end
 *   parent  every process: waits for a child under a name made of --socket-path and --base-id
 *
 * Main thread. The child's questions block, because a listener without its socket is of no use; the
 * parent's answers never do. What is said is in hot_restart_wire.h.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/address.h"
#include "dataplane/base/error.h"

struct hot_restart;
struct server;

/* Takes this process's name and, with an epoch, connects to the parent. E_* with the reason to end;
 * NULL in `ret` where there is no hot restart. */
int hot_restart_new(struct server *s, struct hot_restart **ret, struct error *reterr) MUST_CHECK;
/* Lets the name and both connections go; NULL allowed. Before the loop is done. */
void hot_restart_close(struct hot_restart *h);
void hot_restart_free(struct hot_restart *h); /* after it */

/* --- the child's side; NULL and no parent allowed --- */

/* The parent's sockets that listen on `a`: at most `max` of them, taken over by the caller. 0:
 * none. */
size_t hot_restart_inherit(struct hot_restart *h, const struct address *a, int *fds, size_t max);
/* The parent's admin socket on `a`, or -1. */
int hot_restart_inherit_admin(struct hot_restart *h, const struct address *a);
/* This process is live: the parent stops accepting. */
void hot_restart_on_live(struct hot_restart *h);
uint64_t hot_restart_generation(const struct hot_restart *h); /* 1 without a parent */
/* When the first generation started, wall clock; 0: this one is it. */
uint64_t hot_restart_first_start_ns(const struct hot_restart *h);

/* --- the parent's side --- */

/* Whether another process has sockets of this one. */
bool hot_restart_shares_sockets(const struct hot_restart *h);
/* SIGTERM: no child any more; the name is free for whoever is started anew. */
void hot_restart_stop_waiting(struct hot_restart *h);

#endif
