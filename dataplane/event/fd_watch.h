#ifndef DATAPLANE_EVENT_FD_WATCH_H
#define DATAPLANE_EVENT_FD_WATCH_H

/* Tells when a descriptor that is not a stream of its own (net/connection.h) has something to read:
 * sockets between processes. One thread. */

#include <stdbool.h>
#include <uv.h>

struct loop;

struct fd_watch {
    uv_poll_t poll;
    void (*on_readable)(struct fd_watch *w);
    int fd;
    bool is_closing; /* libuv has not let go of it yet */
};

/* Only where fd_watch_may_start. Takes `take_fd` always, also on error: E_SYS. The memory must live
 * until the loop has closed it.
 */
int fd_watch_start(struct loop *l, struct fd_watch *w, int take_fd,
                   void (*on_readable)(struct fd_watch *w));
/* Closes the descriptor; no callback afterwards. Harmless when never started. */
void fd_watch_close(struct fd_watch *w);
bool fd_watch_is_open(const struct fd_watch *w);
/* Zeroed memory, or closed in an earlier turn of the loop. */
bool fd_watch_may_start(const struct fd_watch *w);

#endif
