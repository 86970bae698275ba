/* Access log files and the threads' buffers. See hub.h. */

#include "dataplane/access_log/hub.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/access_log/file_writer.h"
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
    struct log_batch *batch;
    struct stat_block *stats; /* the thread's; NULL: nobody counts */
    bool is_active;           /* written to since the last flush by age */
    struct timer timer;
    struct loop *loop;
};

struct access_log_file {
    struct access_log_hub *hub;
    struct list node; /* in hub->files, under its mutex */
    char *path;
    struct file_writer *writer;
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
    const struct thread_context *main; /* NULL: nobody has said who we are */
    struct file_writers *writers;
    struct stat_scope *scope; /* NULL: nobody counts */
};

/* --- buffers ------------------------------------------------------------------------------ */

static void buffer_count(struct access_log_buffer *b, enum file_stat s, uint64_t n)
{
    if (b->stats != NULL) {
        stat_add(b->stats, s, n);
    }
}

/* To the file's thread. */
static void buffer_flush(struct access_log_buffer *b)
{
    size_t entries = b->batch->count;
    size_t bytes = b->batch->text.len;
    bool is_taken;

    if (bytes == 0) {
        return;
    }
    buffer_count(b, FILE_WRITE_TOTAL_BUFFERED, bytes);
    b->batch = file_writer_push(b->file->writer, b->batch, &is_taken);
    if (!is_taken) {
        buffer_count(b, FILE_WRITE_TOTAL_BUFFERED, -(uint64_t)bytes);
        buffer_count(b, FILE_WRITE_DROPPED, entries);
    }
}

/* Its thread is done with it, or has ended. */
static void buffer_free(struct access_log_buffer *b)
{
    struct access_log_file *f = b->file;

    buffer_flush(b);
    log_batch_free(b->batch);
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
    if (b->batch->count > 0) {
        buffer_count(b, FILE_FLUSHED_BY_TIMER, 1);
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
    bool is_taken;

    b->file = f;
    b->batch = file_writer_push(f->writer, NULL, &is_taken);
    if (f->hub->scope != NULL) {
        b->stats = stat_scope_block(f->hub->scope, t->loop->index);
    }
    b->thread = thread_index(t);
    b->loop = t->loop;
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
    return &f->buffers[i]->batch->text;
}

void access_log_file_end(struct access_log_file *f, struct thread_context *t)
{
    struct access_log_buffer *b = f->buffers[thread_index(t)];

    b->is_active = true;
    log_batch_entry_ended(b->batch);
    buffer_count(b, FILE_WRITE_BUFFERED, 1);
    if (b->batch->text.len >= f->hub->flush_bytes) {
        buffer_flush(b);
    }
}

/* --- files -------------------------------------------------------------------------------- */

/* A FIFO is opened for reading too: so it opens without a reader, and outlives each. */
static int open_file(const char *path)
{
    struct stat st;
    int way = stat(path, &st) == 0 && S_ISFIFO(st.st_mode) ? O_RDWR : O_WRONLY;

    return open(path, way | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
}

static int open_path(const char *path)
{
    if (strcmp(path, "/dev/stdout") == 0) {
        return dup(STDOUT_FILENO); /* opening the path again fails for a socket */
    }
    if (strcmp(path, "/dev/stderr") == 0) {
        return dup(STDERR_FILENO);
    }
    return open_file(path);
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

/* Counts of its own: a scope adopts the blocks of threads that are no workers. */
static struct stat_block *hub_writer_stats(struct access_log_hub *hub)
{
    struct stat_block *b = NULL;

    if (hub->scope != NULL) {
        b = stat_block_new(&file_stat_schema);
        stat_scope_adopt(hub->scope, b);
    }
    return b;
}

static struct access_log_file *file_new(struct access_log_hub *hub, const char *path, int take_fd)
{
    struct access_log_file *f = xcalloc(1, sizeof(*f));

    f->hub = hub;
    f->path = xstrndup(path, strlen(path));
    f->writer = file_writer_new(hub->writers, path, take_fd, hub_writer_stats(hub));
    atomic_init(&f->refs, 1);
    list_add_tail(&hub->files, &f->node);
    return f;
}

int access_log_hub_open(struct access_log_hub *hub, struct str path, struct access_log_file **ret,
                        struct error *reterr)
{
    struct access_log_file *f;
    int r = 0;

    pthread_mutex_lock(&hub->mutex);
    f = hub_find(hub, path);
    if (f == NULL) {
        char *name = xstrndup(path.ptr, path.len);
        int fd = open_path(name);

        if (fd < 0) {
            r = error_set(reterr, E_SYS, "unable to open file '%s': %s", name, strerror(errno));
        } else {
            f = file_new(hub, name, fd);
        }
        free(name);
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
    file_writer_close(f->writer);
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

static void hub_count_main(struct access_log_hub *hub, enum file_stat s)
{
    if (hub->scope != NULL) {
        stat_inc(stat_scope_block(hub->scope, LOOP_MAIN_INDEX), s);
    }
}

void access_log_hub_reopen(struct access_log_hub *hub)
{
    struct access_log_file *f;

    pthread_mutex_lock(&hub->mutex);
    list_for_each (f, &hub->files, struct access_log_file, node) {
        int fd = open_path(f->path);

        if (fd >= 0) {
            file_writer_reopen(f->writer, fd);
        } else {
            hub_count_main(hub, FILE_REOPEN_FAILED);
            log_warn(LOG_C_MAIN, "cannot reopen access log '%s': %s", f->path, strerror(errno));
        }
    }
    pthread_mutex_unlock(&hub->mutex);
}

void access_log_hub_drain(struct access_log_hub *hub)
{
    struct access_log_file *f;

    list_for_each (f, &hub->files, struct access_log_file, node) {
        file_writer_drain(f->writer);
    }
}

/* --- the hub ------------------------------------------------------------------------------ */

struct access_log_hub *access_log_hub_new(uint32_t flush_interval_ms, size_t flush_bytes)
{
    struct access_log_hub *hub = xcalloc(1, sizeof(*hub));

    hub->flush_interval_ms = flush_interval_ms;
    hub->flush_bytes = flush_bytes;
    CHECK(pthread_mutex_init(&hub->mutex, NULL) == 0);
    list_init(&hub->files);
    hub->writers = file_writers_new();
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
    file_writers_free(hub->writers);
    if (hub->scope != NULL) {
        stat_scope_unref(hub->scope);
    }
    pthread_mutex_destroy(&hub->mutex);
    free(hub);
}

void access_log_hub_count(struct access_log_hub *hub, struct stat_store *stats)
{
    hub->scope = stat_scope_ref(stats, &(struct stat_scope_spec){
                                           .prefix = STR("filesystem."),
                                           .tagged_prefix = STR("filesystem."),
                                           .schema = &file_stat_schema,
                                       });
}

struct log_sinks *access_log_hub_sinks(struct access_log_hub *hub)
{
    return &hub->sinks;
}

void access_log_hub_set_node(struct access_log_hub *hub, struct str node,
                             const struct thread_context *main)
{
    hub->node = node;
    hub->main = main;
}

struct str access_log_hub_node_id(const struct access_log_hub *hub)
{
    return hub->main != NULL ? str_c(hub->main->node_id) : STR("");
}

struct str access_log_hub_cluster(const struct access_log_hub *hub)
{
    return hub->main != NULL ? str_c(hub->main->node_cluster) : STR("");
}

struct str access_log_hub_zone(const struct access_log_hub *hub)
{
    return hub->main != NULL ? str_c(hub->main->node_zone) : STR("");
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
