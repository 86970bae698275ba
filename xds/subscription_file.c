/* Discovery from watched files. Main thread. */

#include "xds/subscription_file.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/base/hash.h"
#include "dataplane/base/log.h"
#include "dataplane/base/map.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/event/file_watch.h"
#include "xds/response.h"

/* Several events come for one replacement, more while a new file is being written. */
#define SETTLE_MS 10

struct xds_file_name {
    struct str name; /* behind the struct */
    uint32_t users;
    bool is_answered; /* held by an accepted response, or told to be missing */
};

struct xds_file {
    struct loop *loop;
    char *path;
    struct str base_name; /* in `path` */
    struct str type_url;  /* behind the struct */
    xds_read_file_fn *read;
    const struct xds_subscriber *subscriber;
    void *user;
    struct file_watch *watch; /* NULL: cannot be watched */
    struct timer timer;       /* to read */
    struct map names;         /* of xds_file_name */
    bool is_answered;         /* the wildcard was */
    bool is_bad;              /* the last content was unreadable or refused in part */
    uint64_t content_hash;    /* of the last content delivered; 0: deliver whatever it is */
    bool is_in_callback;
    bool is_closed;
};

static void xds_file_free(struct xds_file *f)
{
    map_for_each (e, &f->names) {
        free(e->value);
    }
    map_done(&f->names);
    free(f->path);
    free(f);
}

static void xds_file_mark_answered(struct xds_file *f, const struct xds_update *u)
{
    for (size_t i = 0; i < u->resource_count; i++) {
        struct xds_file_name *n = map_get(&f->names, xds_resource_name(&u->resources[i]));

        if (n != NULL) {
            n->is_answered = true;
        }
    }
}

static void xds_file_deliver(struct xds_file *f, struct str bytes)
{
    struct xds_verdict v = {.accepted = true};
    struct xds_response rs;
    struct arena scratch;

    arena_init(&scratch, NULL);
    strbuf_init(&v.detail);
    if (xds_response_decode(bytes, false, &scratch, &rs) != 0) {
        log_warn(LOG_C_CONFIG, "%s: not a DiscoveryResponse", f->path);
        f->subscriber->on_error(f->user, STR("not a DiscoveryResponse"));
        f->is_bad = true;
    } else {
        rs.update.type_url = f->type_url;
        f->is_answered = true;
        f->subscriber->on_update(f->user, &rs.update, &v);
        f->is_bad = !v.accepted;
        if (v.accepted) {
            xds_file_mark_answered(f, &rs.update);
        }
    }
    strbuf_done(&v.detail);
    arena_done(&scratch);
}

/* A file has said all that it has to say: what it did not hold is not waited for. */
static void xds_file_tell_missing(struct xds_file *f)
{
    struct arena scratch;
    struct str *missing;
    size_t n = 0;

    arena_init(&scratch, NULL);
    missing = ARENA_ARRAY(&scratch, struct str, f->names.count + 1);
    map_for_each (e, &f->names) {
        struct xds_file_name *name = e->value;

        if (!name->is_answered) {
            name->is_answered = true;
            missing[n++] = arena_str(&scratch, name->name);
        }
    }
    if (n > 0) {
        f->subscriber->on_fetch_timeout(f->user, missing, n);
    } else if (!f->is_answered) {
        f->is_answered = true;
        f->subscriber->on_fetch_timeout(f->user, NULL, 0);
    }
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
        f->is_bad = true;
    } else {
        struct str content = str_n((const char *)bytes, len);
        uint64_t hash = hash_xx64(content, 0);

        /* Something else was moved in the directory. */
        if (hash != f->content_hash) {
            f->content_hash = hash;
            xds_file_deliver(f, content);
        }
    }
    free(bytes);
    error_done(&err);
    if (!f->is_closed) {
        xds_file_tell_missing(f);
    }
    f->is_in_callback = false;
    if (f->is_closed) {
        xds_file_free(f);
    }
}

static void xds_file_on_change(void *user, struct str name, bool is_rename)
{
    struct xds_file *f = user;
    bool is_own = str_eq(name, f->base_name);

    /* Symlink swaps move another entry than the file itself. Only writes to the file itself put
     * the reading off: others could do so for ever. */
    if (is_rename ? is_own || !timer_is_armed(&f->timer)
                  : is_own && (f->is_bad || timer_is_armed(&f->timer))) {
        timer_arm(f->loop, &f->timer, SETTLE_MS);
    }
}

struct xds_file *xds_file_new(struct loop *l, const struct xds_source *src, struct str type_url,
                              bool is_wildcard, xds_read_file_fn *read,
                              const struct xds_subscriber *cb, void *user)
{
    struct xds_file *f = xcalloc(1, sizeof(*f) + type_url.len + 1);
    size_t slash = str_rfind_char(src->path, '/');
    struct str directory = src->watched_directory;

    memcpy(f + 1, type_url.ptr, type_url.len);
    f->type_url = str_n((const char *)(f + 1), type_url.len);
    f->loop = l;
    f->path = xstrndup(src->path.ptr, src->path.len);
    f->base_name = str_sub(str_c(f->path), slash == STR_NPOS ? 0 : slash + 1, src->path.len);
    f->read = read;
    f->subscriber = cb;
    f->user = user;
    f->is_answered = !is_wildcard;
    map_init(&f->names);
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

void xds_file_add(struct xds_file *f, struct str name)
{
    struct xds_file_name *n = map_get(&f->names, name);

    if (n == NULL) {
        n = xcalloc(1, sizeof(*n) + name.len + 1);
        memcpy(n + 1, name.ptr, name.len);
        n->name = str_n((const char *)(n + 1), name.len);
        map_put(&f->names, n->name, n);
        f->content_hash = 0;
        timer_arm(f->loop, &f->timer, 0);
    }
    n->users++;
}

void xds_file_remove(struct xds_file *f, struct str name)
{
    struct xds_file_name *n = map_get(&f->names, name);

    if (n != NULL && --n->users == 0) {
        map_remove(&f->names, name);
        free(n);
    }
}

void xds_file_close(struct xds_file *f)
{
    f->is_closed = true;
    file_watch_close(f->watch);
    timer_cancel(f->loop, &f->timer);
    if (!f->is_in_callback) {
        xds_file_free(f);
    }
}
