/* Secrets whose files change. Main thread. */

#include "config/secret_files.h"

#include <stdlib.h>

#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/event/file_watch.h"

/* Several events come for one replacement. */
#define SETTLE_MS 10

struct secret_files {
    struct config_store *store;
    struct slot *slot;
    struct file_watch **watches;
    size_t count;
    struct timer timer; /* to read again */
};

static void on_timer(struct timer *t)
{
    struct secret_files *f = container_of(t, struct secret_files, timer);

    store_read_again(f->store, f->slot); /* may come back to secret_files_watch */
}

/* As discovery files: writing in place is looked at only after a failure, for then nothing else may
 * come. */
static void on_change(void *user, struct str name, bool is_rename)
{
    struct secret_files *f = user;

    (void)name;
    if (is_rename || f->slot->resource->rejection != NULL) {
        timer_arm(f->store->params.loop, &f->timer, SETTLE_MS);
    }
}

static void close_watches(struct secret_files *f)
{
    for (size_t i = 0; i < f->count; i++) {
        file_watch_close(f->watches[i]);
    }
    free(f->watches);
    f->watches = NULL;
    f->count = 0;
}

static struct secret_files *make_files(struct config_store *s, struct slot *slot)
{
    struct secret_files *f = xcalloc(1, sizeof(*f));

    f->store = s;
    f->slot = slot;
    timer_init(&f->timer, on_timer);
    return f;
}

void secret_files_watch(struct config_store *s, struct slot *slot, const struct parse_context *ctx)
{
    struct resource *r = store_resource_of(slot);
    struct secret_files *f;

    if (ctx->watched_count == 0 && r->files == NULL) {
        return;
    }
    if (r->files == NULL) {
        r->files = make_files(s, slot);
    }
    f = r->files;
    close_watches(f);
    f->watches = xcalloc(ctx->watched_count + 1, sizeof(struct file_watch *));
    for (size_t i = 0; i < ctx->watched_count; i++) {
        if (file_watch_start(s->params.loop, ctx->watched[i], on_change, f,
                             &f->watches[f->count]) != 0) {
            log_warn(LOG_C_CONFIG, "secret '%.*s': cannot watch '%.*s'", STR_ARG(slot->name),
                     STR_ARG(ctx->watched[i]));
        } else {
            f->count++;
        }
    }
}

void secret_files_free(struct secret_files *f)
{
    if (f != NULL) {
        close_watches(f);
        timer_cancel(f->store->params.loop, &f->timer);
        free(f);
    }
}
