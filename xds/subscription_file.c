/* Discovery from watched files. Main thread. */

#include "xds/subscription_file.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/event/file_watch.h"
#include "xds/response.h"

/* Several events come for one replacement: read once they have settled. */
#define SETTLE_MS 10

struct xds_file {
    struct loop *loop;
    char *path;
    struct str type_url; /* behind the struct */
    xds_read_file_fn *read;
    const struct xds_subscriber *subscriber;
    void *user;
    struct file_watch *watch;
    struct timer timer;
    bool only_renames; /* a watched_directory: only moves count, as Envoy */
    bool is_in_callback;
    bool is_closed;
};

static void xds_file_deliver(struct xds_file *f, struct str bytes)
{
    struct xds_verdict v = {.accepted = true};
    struct xds_response rs;
    struct arena scratch;

    arena_init(&scratch, NULL);
    strbuf_init(&v.detail);
    if (xds_response_decode(bytes, false, &scratch, &rs) != 0) {
        f->subscriber->on_error(f->user, STR("not a DiscoveryResponse"));
    } else {
        rs.update.type_url = f->type_url;
        f->subscriber->on_update(f->user, &rs.update, &v);
        if (!v.accepted) {
            log_warn(LOG_C_CONFIG, "%s: %.*s", f->path, STR_ARG(strbuf_str(&v.detail)));
        }
    }
    strbuf_done(&v.detail);
    arena_done(&scratch);
}

static void xds_file_read(struct timer *t)
{
    struct xds_file *f = container_of(t, struct xds_file, timer);
    struct error err;
    uint8_t *bytes = NULL;
    size_t len = 0;

    error_init(&err);
    f->is_in_callback = true;
    if (f->read(str_c(f->path), &bytes, &len, &err) != 0) {
        log_warn(LOG_C_CONFIG, "%s: %s", f->path, error_message(&err));
        f->subscriber->on_error(f->user, str_c(error_message(&err)));
    } else {
        xds_file_deliver(f, str_n((const char *)bytes, len));
    }
    f->is_in_callback = false;
    free(bytes);
    error_done(&err);
    if (f->is_closed) {
        xds_file_free(f);
    }
}

static void xds_file_on_change(void *user, struct str name, bool is_rename)
{
    struct xds_file *f = user;

    (void)name; /* symlink swaps move another entry than the file itself */
    if (is_rename || !f->only_renames) {
        timer_arm(f->loop, &f->timer, SETTLE_MS);
    }
}

struct xds_file *xds_file_new(struct loop *l, const struct xds_source *src, struct str type_url,
                              xds_read_file_fn *read, const struct xds_subscriber *cb, void *user)
{
    struct xds_file *f = xcalloc(1, sizeof(*f) + type_url.len + 1);
    size_t slash = str_rfind_char(src->path, '/');
    struct str directory = src->watched_directory;

    memcpy(f + 1, type_url.ptr, type_url.len);
    f->type_url = str_n((const char *)(f + 1), type_url.len);
    f->loop = l;
    f->path = xstrndup(src->path.ptr, src->path.len);
    f->read = read;
    f->subscriber = cb;
    f->user = user;
    f->only_renames = true;
    if (directory.len == 0) {
        directory = slash == STR_NPOS ? STR(".") : str_sub(src->path, 0, slash == 0 ? 1 : slash);
    }
    timer_init(&f->timer, xds_file_read);
    if (file_watch_start(l, directory, xds_file_on_change, f, &f->watch) != 0) {
        log_warn(LOG_C_CONFIG, "cannot watch '%.*s' for %s", STR_ARG(directory), f->path);
    }
    timer_arm(l, &f->timer, 0);
    return f;
}

void xds_file_free(struct xds_file *f)
{
    f->is_closed = true;
    if (f->is_in_callback) {
        return;
    }
    file_watch_close(f->watch);
    timer_cancel(f->loop, &f->timer);
    free(f->path);
    free(f);
}
