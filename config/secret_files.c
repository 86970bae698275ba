/* Secrets whose files change. Main thread. */

#include "config/secret_files.h"

#include <stdlib.h>

#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/event/file_watch.h"

/* Several events come for one replacement. */
#define SETTLE_MS 10
/* Many while a file is being written. */
#define WRITTEN_MS 100

struct watched_directory {
    char *path;
    struct file_watch *watch; /* NULL: it cannot be watched */
};

struct secret_files {
    struct config_store *store;
    struct slot *slot;
    bool is_refused; /* of the version that was refused last, not of the accepted one */
    bool is_check;   /* perhaps nothing has changed */
    struct watched_directory *directories;
    size_t count;
    struct timer timer; /* to read again */
};

static void secret_files_read(struct timer *t)
{
    struct secret_files *f = container_of(t, struct secret_files, timer);

    bool is_check = f->is_check;

    f->is_check = false;
    store_read_again(f->store, f->slot, f->is_refused, is_check); /* may free `f` */
}

/* As discovery files: writing in place is looked at only after a failure, for then nothing else may
 * come. Others may write and rename there too: nothing puts the reading off, and what they write
 * has it happen seldom and silently. */
static void secret_files_on_change(void *user, struct str name, bool is_rename)
{
    struct secret_files *f = user;

    (void)name;
    if (is_rename && (f->is_check || !timer_is_armed(&f->timer))) {
        f->is_check = false;
        timer_arm(f->store->params.loop, &f->timer, SETTLE_MS);
    } else if (!is_rename && f->slot->resource->rejection != NULL && !timer_is_armed(&f->timer)) {
        f->is_check = true;
        timer_arm(f->store->params.loop, &f->timer, WRITTEN_MS);
    }
}

static void directory_close(struct watched_directory *d)
{
    file_watch_close(d->watch);
    free(d->path);
}

static bool is_watched(const struct secret_files *f, struct str path)
{
    for (size_t i = 0; i < f->count; i++) {
        if (str_eq(str_c(f->directories[i].path), path)) {
            return true;
        }
    }
    return false;
}

static void watch(struct secret_files *f, struct str path)
{
    struct watched_directory *d;

    f->directories = xreallocarray(f->directories, f->count + 1, sizeof(*f->directories));
    d = &f->directories[f->count++];
    d->path = xstrndup(path.ptr, path.len);
    d->watch = NULL;
    if (file_watch_start(f->store->params.loop, path, secret_files_on_change, f, &d->watch) != 0) {
        log_warn(LOG_C_CONFIG, "secret '%.*s': cannot watch '%.*s'", STR_ARG(f->slot->name),
                 STR_ARG(path));
    }
}

static void watch_named(struct secret_files *f, const struct parse_context *ctx)
{
    for (size_t i = 0; i < ctx->watched_count; i++) {
        if (!is_watched(f, ctx->watched[i])) {
            watch(f, ctx->watched[i]);
            f->is_check |= !timer_is_armed(&f->timer);
            timer_arm(f->store->params.loop, &f->timer, SETTLE_MS);
        }
    }
}

static bool is_named(const struct parse_context *ctx, const char *path)
{
    for (size_t i = 0; i < ctx->watched_count; i++) {
        if (str_eq(ctx->watched[i], str_c(path))) {
            return true;
        }
    }
    return false;
}

static void drop_unnamed(struct secret_files *f, const struct parse_context *ctx)
{
    size_t kept = 0;

    for (size_t i = 0; i < f->count; i++) {
        if (is_named(ctx, f->directories[i].path)) {
            f->directories[kept++] = f->directories[i];
        } else {
            directory_close(&f->directories[i]);
        }
    }
    f->count = kept;
}

static struct secret_files *secret_files_new(struct config_store *s, struct slot *slot,
                                             bool is_refused)
{
    struct secret_files *f = xcalloc(1, sizeof(*f));

    f->store = s;
    f->slot = slot;
    f->is_refused = is_refused;
    timer_init(&f->timer, secret_files_read);
    return f;
}

/* Where parsing failed, not all files may have been named: what is watched of that version stays.
 */
static void watch_refused(struct config_store *s, struct slot *slot,
                          const struct parse_context *ctx)
{
    struct resource *r = slot->resource;
    struct secret_files **at = r->reading == READING_ACCEPTED_AGAIN ? &r->files : &r->refused_files;

    if (r->reading == READING_NEW) {
        secret_files_free(r->refused_files);
        r->refused_files = NULL;
    }
    if (*at == NULL && ctx->watched_count > 0) {
        *at = secret_files_new(s, slot, true);
    }
    if (*at != NULL) {
        watch_named(*at, ctx);
    }
}

static void watch_accepted(struct config_store *s, struct slot *slot,
                           const struct parse_context *ctx)
{
    struct resource *r = slot->resource;

    if (r->reading != READING_ACCEPTED_AGAIN) {
        secret_files_free(r->refused_files);
        r->refused_files = NULL;
    }
    if (ctx->watched_count == 0) {
        secret_files_free(r->files);
        r->files = NULL;
        return;
    }
    if (r->files == NULL) {
        r->files = secret_files_new(s, slot, false);
    }
    drop_unnamed(r->files, ctx);
    watch_named(r->files, ctx);
}

void secret_files_watch(struct config_store *s, struct slot *slot, const struct parse_context *ctx,
                        bool is_accepted)
{
    (void)store_resource_of(slot);
    if (is_accepted) {
        watch_accepted(s, slot, ctx);
    } else {
        watch_refused(s, slot, ctx);
    }
}

void secret_files_free(struct secret_files *f)
{
    if (f != NULL) {
        for (size_t i = 0; i < f->count; i++) {
            directory_close(&f->directories[i]);
        }
        timer_cancel(f->store->params.loop, &f->timer);
        free(f->directories);
        free(f);
    }
}
