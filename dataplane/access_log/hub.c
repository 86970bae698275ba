/* Access log files and the threads' buffers. See hub.h. */

#include "dataplane/access_log/hub.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/access_log/log_sink.h"
#include "dataplane/base/check.h"
#include "dataplane/base/list.h"
#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/event/loop.h"
#include "dataplane/runtime/thread_context.h"

struct access_log_buffer {
    struct access_log_file *file; /* one reference */
    size_t thread;
    struct strbuf lines;
    bool is_active; /* written to since the last flush by age */
    struct timer timer;
    struct loop *loop;
};

struct access_log_file {
    struct access_log_hub *hub;
    struct list node; /* in hub->files, under its mutex */
    char *path;
    int fd;
    _Atomic(uint32_t) refs;
    /* Each thread touches its own only; hub_free all, when the threads are gone. */
    struct access_log_buffer *buffers[ACCESS_LOG_THREADS_MAX];
};

struct access_log_hub {
    uint32_t flush_interval_ms;
    size_t flush_bytes;
    pthread_mutex_t mutex; /* the list of files: never taken while logging */
    struct list files;
    struct log_sinks sinks;
    struct str node;
    _Atomic(uint64_t) lost_batches;
};

/* --- writing ------------------------------------------------------------------------------ */

static void file_write(struct access_log_file *f, struct str batch)
{
    while (batch.len > 0) {
        ssize_t n = write(f->fd, batch.ptr, batch.len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            atomic_fetch_add_explicit(&f->hub->lost_batches, 1, memory_order_relaxed);
            log_debug(LOG_C_MAIN, "access log '%s': %s", f->path, strerror(errno));
            return;
        }
        batch = str_sub(batch, (size_t)n, batch.len);
    }
}

static void buffer_flush(struct access_log_buffer *b)
{
    file_write(b->file, strbuf_str(&b->lines));
    strbuf_reset(&b->lines);
}

/* Its thread is done with it, or has ended. */
static void buffer_free(struct access_log_buffer *b)
{
    struct access_log_file *f = b->file;

    buffer_flush(b);
    strbuf_done(&b->lines);
    f->buffers[b->thread] = NULL;
    free(b);
    access_log_file_unref(f);
}

static void buffer_on_timer(struct timer *t)
{
    struct access_log_buffer *b = container_of(t, struct access_log_buffer, timer);

    if (!b->is_active) {
        buffer_free(b); /* an interval without a line: the file may be closed */
        return;
    }
    buffer_flush(b);
    b->is_active = false;
    timer_arm(b->loop, &b->timer, b->file->hub->flush_interval_ms);
}

/* --- logging ------------------------------------------------------------------------------ */

/* Main's loop has index -1. */
static size_t thread_index(const struct thread_context *t)
{
    return (size_t)(t->loop->index + 1);
}

static struct access_log_buffer *buffer_new(struct access_log_file *f, struct thread_context *t)
{
    struct access_log_buffer *b = xcalloc(1, sizeof(*b));

    b->file = f;
    b->thread = thread_index(t);
    b->loop = t->loop;
    strbuf_init(&b->lines);
    timer_init(&b->timer, buffer_on_timer);
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    timer_arm(b->loop, &b->timer, f->hub->flush_interval_ms);
    return b;
}

struct strbuf *access_log_file_begin(struct access_log_file *f, struct thread_context *t)
{
    size_t i = thread_index(t);

    CHECK(i < ACCESS_LOG_THREADS_MAX);
    if (f->buffers[i] == NULL) {
        f->buffers[i] = buffer_new(f, t);
    }
    return &f->buffers[i]->lines;
}

void access_log_file_end(struct access_log_file *f, struct thread_context *t)
{
    struct access_log_buffer *b = f->buffers[thread_index(t)];

    b->is_active = true;
    if (b->lines.len >= f->hub->flush_bytes) {
        buffer_flush(b);
    }
}

/* --- files -------------------------------------------------------------------------------- */

static int open_path(const char *path)
{
    if (strcmp(path, "/dev/stdout") == 0) {
        return dup(STDOUT_FILENO); /* opening the path again fails for a socket */
    }
    if (strcmp(path, "/dev/stderr") == 0) {
        return dup(STDERR_FILENO);
    }
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
}

static struct access_log_file *hub_find(struct access_log_hub *hub, struct str path)
{
    struct access_log_file *f;

    list_for_each (f, &hub->files, struct access_log_file, node) {
        if (str_eq(str_c(f->path), path)) {
            atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
            return f;
        }
    }
    return NULL;
}

int access_log_hub_open(struct access_log_hub *hub, struct str path, struct access_log_file **ret,
                        struct error *reterr)
{
    struct access_log_file *f;
    int r = 0;

    pthread_mutex_lock(&hub->mutex);
    f = hub_find(hub, path);
    if (f == NULL) {
        f = xcalloc(1, sizeof(*f));
        f->hub = hub;
        f->path = xstrndup(path.ptr, path.len);
        atomic_init(&f->refs, 1);
        f->fd = open_path(f->path);
        if (f->fd < 0) {
            r = error_set(reterr, E_SYS, "unable to open file '%s': %s", f->path, strerror(errno));
            free(f->path);
            free(f);
        } else {
            list_add_tail(&hub->files, &f->node);
        }
    }
    pthread_mutex_unlock(&hub->mutex);
    if (r == 0) {
        *ret = f;
    }
    return r;
}

static void file_free(struct access_log_file *f)
{
    list_remove(&f->node);
    close(f->fd);
    free(f->path);
    free(f);
}

void access_log_file_unref(struct access_log_file *f)
{
    struct access_log_hub *hub;

    if (f == NULL) {
        return;
    }
    hub = f->hub;
    /* Under the mutex, so that hub_find cannot bring it back meanwhile. */
    pthread_mutex_lock(&hub->mutex);
    if (atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) == 1) {
        file_free(f);
    }
    pthread_mutex_unlock(&hub->mutex);
}

void access_log_hub_reopen(struct access_log_hub *hub)
{
    struct access_log_file *f;

    pthread_mutex_lock(&hub->mutex);
    list_for_each (f, &hub->files, struct access_log_file, node) {
        int fd = open_path(f->path);

        /* Replaces the descriptor under the writers in one step. */
        if (fd < 0 || dup3(fd, f->fd, O_CLOEXEC) < 0) {
            log_warn(LOG_C_MAIN, "cannot reopen access log '%s': %s", f->path, strerror(errno));
        }
        if (fd >= 0) {
            close(fd);
        }
    }
    pthread_mutex_unlock(&hub->mutex);
}

uint64_t access_log_hub_lost_batches(const struct access_log_hub *hub)
{
    return atomic_load_explicit(&hub->lost_batches, memory_order_relaxed);
}

/* --- the hub ------------------------------------------------------------------------------ */

struct access_log_hub *access_log_hub_new(uint32_t flush_interval_ms, size_t flush_bytes)
{
    struct access_log_hub *hub = xcalloc(1, sizeof(*hub));

    hub->flush_interval_ms = flush_interval_ms;
    hub->flush_bytes = flush_bytes;
    CHECK(pthread_mutex_init(&hub->mutex, NULL) == 0);
    list_init(&hub->files);
    log_sinks_init(&hub->sinks);
    return hub;
}

void access_log_hub_free(struct access_log_hub *hub)
{
    struct access_log_file *f;

    if (hub == NULL) {
        return;
    }
    while ((f = list_first(&hub->files, struct access_log_file, node)) != NULL) {
        atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed); /* keeps `f` for the walk */
        for (size_t i = 0; i < ACCESS_LOG_THREADS_MAX; i++) {
            if (f->buffers[i] != NULL) {
                buffer_free(f->buffers[i]);
            }
        }
        CHECK(atomic_load_explicit(&f->refs, memory_order_relaxed) == 1); /* no logger is left */
        access_log_file_unref(f);
    }
    log_sinks_done(&hub->sinks);
    pthread_mutex_destroy(&hub->mutex);
    free(hub);
}

struct log_sinks *access_log_hub_sinks(struct access_log_hub *hub)
{
    return &hub->sinks;
}

void access_log_hub_set_node(struct access_log_hub *hub, struct str node)
{
    hub->node = node;
}

struct str access_log_hub_node(const struct access_log_hub *hub)
{
    return hub->node;
}

void access_log_hub_stop_thread(struct access_log_hub *hub, struct thread_context *t)
{
    if (hub != NULL) {
        log_sinks_stop_thread(&hub->sinks, t);
    }
}
