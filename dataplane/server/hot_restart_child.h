#ifndef DATAPLANE_SERVER_HOT_RESTART_CHILD_H
#define DATAPLANE_SERVER_HOT_RESTART_CHILD_H

/* The child's end of hot restart: finding the parent, questions and answers. Blocks, with a bound.
 * Main thread. */

#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/address.h"
#include "dataplane/base/error.h"
#include "dataplane/server/hot_restart_wire.h"

struct options;

struct hot_restart_welcome {
    uint64_t generation; /* the parent's */
    uint64_t start_ns;   /* of the first one */
};

/* Connects to the process of the epoch before and greets it. E_NOT_FOUND: nobody is there, with the
 * sentence; else E_* with the sentence, which tells of a parent that is an Envoy. */
int hot_restart_connect(const struct options *o, uint32_t base_id, int *ret_fd,
                        struct hot_restart_welcome *ret_welcome, struct error *reterr) MUST_CHECK;
/* GET_SOCKETS or GET_ADMIN: what listens on `a`, at most `max`, for the caller to close. 0:
 * nothing, or the parent has gone. */
size_t hot_restart_get_sockets(int fd, enum hot_restart_kind kind, const struct address *a,
                               int *fds, size_t max);
/* LIVE, and its answer. E_CLOSED: the parent has gone. */
int hot_restart_tell_live(int fd) MUST_CHECK;

#endif
