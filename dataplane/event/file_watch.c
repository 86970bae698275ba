/* Directory watches. The loop's own thread. */

#include "dataplane/event/file_watch.h"

#include <stdlib.h>

#include "dataplane/base/error.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/event/loop.h"

struct file_watch {
    uv_fs_event_t handle;
    file_watch_fn *on_change; /* NULL once closed */
    void *user;
};

static void file_watch_on_uv(uv_fs_event_t *handle, const char *name, int events, int status)
{
    struct file_watch *w = container_of(handle, struct file_watch, handle);

    if (status == 0 && w->on_change != NULL) {
        w->on_change(w->user, str_c(name), (events & UV_RENAME) != 0);
    }
}

static void file_watch_on_closed(uv_handle_t *handle)
{
    free(container_of(handle, struct file_watch, handle));
}

int file_watch_start(struct loop *l, struct str directory, file_watch_fn *on_change, void *user,
                     struct file_watch **ret_watch)
{
    struct file_watch *w = xcalloc(1, sizeof(*w));
    char *path = xstrndup(directory.ptr, directory.len);
    int r;

    w->on_change = on_change;
    w->user = user;
    if (uv_fs_event_init(&l->uv, &w->handle) != 0) {
        free(path);
        free(w);
        return E_SYS;
    }
    r = uv_fs_event_start(&w->handle, file_watch_on_uv, path, 0);
    free(path);
    if (r != 0) {
        file_watch_close(w);
        return E_SYS;
    }
    *ret_watch = w;
    return 0;
}

void file_watch_close(struct file_watch *w)
{
    if (w != NULL) {
        w->on_change = NULL;
        uv_close((uv_handle_t *)&w->handle, file_watch_on_closed);
    }
}
