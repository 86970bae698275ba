/* A descriptor that is watched. One thread. */

#include "dataplane/event/fd_watch.h"

#include <unistd.h>

#include "dataplane/base/error.h"
#include "dataplane/event/loop.h"

static void fd_watch_on_uv(uv_poll_t *poll, int status, int events)
{
    struct fd_watch *w = container_of(poll, struct fd_watch, poll);

    (void)status; /* whoever reads finds out */
    (void)events;
    w->on_readable(w);
}

static void fd_watch_on_closed(uv_handle_t *h)
{
    container_of((uv_poll_t *)h, struct fd_watch, poll)->is_closing = false;
}

int fd_watch_start(struct loop *l, struct fd_watch *w, int take_fd,
                   void (*on_readable)(struct fd_watch *w))
{
    CHECK(fd_watch_may_start(w));
    w->fd = take_fd;
    if (uv_poll_init(&l->uv, &w->poll, take_fd) != 0) {
        close(take_fd);
        return E_SYS;
    }
    w->on_readable = on_readable;
    uv_unref((uv_handle_t *)&w->poll);
    if (uv_poll_start(&w->poll, UV_READABLE, fd_watch_on_uv) != 0) {
        fd_watch_close(w);
        return E_SYS;
    }
    return 0;
}

bool fd_watch_may_start(const struct fd_watch *w)
{
    return w->on_readable == NULL && !w->is_closing;
}

bool fd_watch_is_open(const struct fd_watch *w)
{
    return w->on_readable != NULL;
}

void fd_watch_close(struct fd_watch *w)
{
    if (w->on_readable != NULL) {
        w->on_readable = NULL;
        w->is_closing = true;
        uv_close((uv_handle_t *)&w->poll, fd_watch_on_closed);
        close(w->fd);
    }
}
