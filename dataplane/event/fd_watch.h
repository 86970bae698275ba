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
};

/* Takes `take_fd` always, also on error: E_SYS. The memory must live until the loop has closed it.
 */
int fd_watch_start(struct loop *l, struct fd_watch *w, int take_fd,
                   void (*on_readable)(struct fd_watch *w));
/* Closes the descriptor; no callback afterwards. Harmless when never started. */
void fd_watch_close(struct fd_watch *w);
bool fd_watch_is_open(const struct fd_watch *w);

#endif
