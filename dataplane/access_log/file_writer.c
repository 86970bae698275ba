/* Threads that write files. See file_writer.h. */

#include "dataplane/access_log/file_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/base/check.h"
#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"

/* How often a writer that waits for its file looks whether the process ends. */
#define POLL_MS 100
/* How long the end of the process waits for files that still take something. */
#define STOP_S 10
#define STACK_BYTES (256 * 1024)
#define SPARES_MAX 2
#define FIRST_ENTRIES 64

struct file_writers {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    size_t count; /* threads */
    _Atomic(bool) is_stopping;
};

struct file_writer {
    struct file_writers *writers;
    char *path;
    int fd;
    bool is_seekable; /* no pipe, socket or terminal: a write ends without anybody reading */
    struct stat_block *stats;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct log_batch *first; /* waiting, oldest first */
    struct log_batch *last;
    size_t pending_bytes; /* of what waits and what is being written */
    struct log_batch *spares;
    size_t spare_count;
    bool has_thread;
    bool is_closed;
    bool is_failing; /* said so in the log */
};

static const struct stat_def file_stats[FILE_STAT_COUNT] = {
    [FILE_FLUSHED_BY_TIMER] = {"flushed_by_timer", STAT_COUNTER},
    [FILE_REOPEN_FAILED] = {"reopen_failed", STAT_COUNTER},
    [FILE_WRITE_BUFFERED] = {"write_buffered", STAT_COUNTER},
    [FILE_WRITE_COMPLETED] = {"write_completed", STAT_COUNTER},
    [FILE_WRITE_DROPPED] = {"write_dropped", STAT_COUNTER},
    [FILE_WRITE_FAILED] = {"write_failed", STAT_COUNTER},
    [FILE_WRITE_TOTAL_BUFFERED] = {"write_total_buffered", STAT_GAUGE},
};

const struct stat_schema file_stat_schema = {
    .defs = file_stats,
    .count = FILE_STAT_COUNT,
    .shown_untouched = true,
};

/* --- batches ------------------------------------------------------------------------------ */

void log_batch_entry_ended(struct log_batch *b)
{
    if (b->count == b->cap) {
        b->cap = b->cap > 0 ? b->cap * 2 : FIRST_ENTRIES;
        b->ends = xreallocarray(b->ends, b->cap, sizeof(*b->ends));
    }
    CHECK(b->text.len <= UINT32_MAX);
    b->ends[b->count++] = (uint32_t)b->text.len;
}

static struct log_batch *log_batch_new(void)
{
    struct log_batch *b = xcalloc(1, sizeof(*b));

    strbuf_init(&b->text);
    return b;
}

void log_batch_free(struct log_batch *b)
{
    if (b != NULL) {
        strbuf_done(&b->text);
        free(b->ends);
        free(b);
    }
}

/* Entries that are not whole within the first `written` bytes. */
static size_t log_batch_lost(const struct log_batch *b, size_t written)
{
    size_t whole = 0;

    while (whole < b->count && b->ends[whole] <= written) {
        whole++;
    }
    return b->count - whole;
}

/* --- writing ------------------------------------------------------------------------------ */

static void writer_count(struct file_writer *w, enum file_stat s, uint64_t n)
{
    if (w->stats != NULL) {
        stat_add(w->stats, s, n);
    }
}

/* Until the file takes something. False: it does not, and the process ends. */
static bool writer_wait(struct file_writer *w)
{
    struct pollfd p = {.fd = w->fd, .events = POLLOUT};

    while (poll(&p, 1, POLL_MS) <= 0) {
        if (atomic_load_explicit(&w->writers->is_stopping, memory_order_acquire)) {
            return false;
        }
    }
    return true;
}

/* What is writable takes PIPE_BUF bytes without blocking, though it may be shared with others. */
static ssize_t writer_write_some(struct file_writer *w, struct str s)
{
    if (w->is_seekable) {
        return write(w->fd, s.ptr, s.len);
    }
    if (!writer_wait(w)) {
        errno = ECANCELED;
        return -1;
    }
    return write(w->fd, s.ptr, s.len < PIPE_BUF ? s.len : PIPE_BUF);
}

static void writer_failed(struct file_writer *w, int error)
{
    writer_count(w, FILE_WRITE_FAILED, 1);
    if (!w->is_failing) { /* once, until it works again */
        w->is_failing = true;
        log_warn(LOG_C_MAIN, "access log '%s': %s", w->path, strerror(error));
    }
}

static void writer_swap(struct file_writer *w, int take_fd)
{
    if (dup3(take_fd, w->fd, O_CLOEXEC) < 0) {
        writer_count(w, FILE_REOPEN_FAILED, 1);
    }
    close(take_fd);
}

static void writer_write(struct file_writer *w, const struct log_batch *b)
{
    size_t written = 0;

    if (b->is_reopening) {
        writer_swap(w, b->new_fd);
        return;
    }

    while (written < b->text.len) {
        ssize_t n = writer_write_some(w, str_n(b->text.ptr + written, b->text.len - written));

        if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
            continue;
        }
        if (n <= 0) {
            if (errno != ECANCELED) {
                writer_failed(w, errno);
            }
            writer_count(w, FILE_WRITE_DROPPED, log_batch_lost(b, written));
            return;
        }
        written += (size_t)n;
    }
    w->is_failing = false;
    writer_count(w, FILE_WRITE_COMPLETED, 1);
}

static void writer_free(struct file_writer *w)
{
    struct log_batch *b;

    while ((b = w->spares) != NULL) {
        w->spares = b->next;
        log_batch_free(b);
    }
    close(w->fd);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->mutex);
    free(w->path);
    free(w);
}

/* Its memory serves the next. */
static void writer_recycle(struct file_writer *w, struct log_batch *b)
{
    size_t len = b->text.len;

    w->pending_bytes -= len;
    writer_count(w, FILE_WRITE_TOTAL_BUFFERED, -(uint64_t)len);
    if (w->spare_count == SPARES_MAX) {
        log_batch_free(b);
        return;
    }
    strbuf_reset(&b->text);
    b->count = 0;
    b->is_reopening = false;
    b->next = w->spares;
    w->spares = b;
    w->spare_count++;
}

static void *writer_run(void *arg)
{
    struct file_writer *w = arg;
    struct file_writers *ws = w->writers;
    struct log_batch *b;

    pthread_mutex_lock(&w->mutex);
    for (;;) {
        while ((b = w->first) == NULL && !w->is_closed) {
            pthread_cond_wait(&w->changed, &w->mutex);
        }
        if (b == NULL) {
            break;
        }
        w->first = b->next;
        pthread_mutex_unlock(&w->mutex);
        writer_write(w, b);
        pthread_mutex_lock(&w->mutex);
        writer_recycle(w, b);
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->mutex);
    writer_free(w);
    pthread_mutex_lock(&ws->mutex);
    ws->count--;
    pthread_cond_broadcast(&ws->changed);
    pthread_mutex_unlock(&ws->mutex);
    return NULL;
}

/* --- writers ------------------------------------------------------------------------------ */

static bool file_is_seekable(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && !S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode) && !isatty(fd);
}

struct file_writer *file_writer_new(struct file_writers *ws, const char *path, int take_fd,
                                    struct stat_block *stats)
{
    struct file_writer *w = xcalloc(1, sizeof(*w));

    w->writers = ws;
    w->path = xstrndup(path, strlen(path));
    w->fd = take_fd;
    w->is_seekable = file_is_seekable(take_fd);
    w->stats = stats;
    CHECK(pthread_mutex_init(&w->mutex, NULL) == 0);
    CHECK(pthread_cond_init(&w->changed, NULL) == 0);
    return w;
}

/* Signals are main's. False: there is no thread to be had. */
static bool writer_start(struct file_writer *w)
{
    struct file_writers *ws = w->writers;
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all;
    sigset_t old;
    int r;

    CHECK(pthread_attr_init(&attr) == 0);
    (void)pthread_attr_setstacksize(&attr, STACK_BYTES);               /* else it is bigger */
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED); /* a valid state */
    pthread_mutex_lock(&ws->mutex);
    ws->count++;
    pthread_mutex_unlock(&ws->mutex);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = pthread_create(&thread, &attr, writer_run, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (r != 0) {
        pthread_mutex_lock(&ws->mutex);
        ws->count--;
        pthread_mutex_unlock(&ws->mutex);
    }
    return r == 0;
}

static struct log_batch *writer_spare(struct file_writer *w)
{
    struct log_batch *b = w->spares;

    if (b == NULL) {
        return log_batch_new();
    }
    w->spares = b->next;
    w->spare_count--;
    return b;
}

static void writer_enqueue(struct file_writer *w, struct log_batch *take_batch)
{
    take_batch->next = NULL;
    if (w->first == NULL) {
        w->first = take_batch;
    } else {
        w->last->next = take_batch;
    }
    w->last = take_batch;
    w->pending_bytes += take_batch->text.len;
    pthread_cond_broadcast(&w->changed);
}

static bool writer_has_room(struct file_writer *w, const struct log_batch *b)
{
    if (w->pending_bytes > 0 && w->pending_bytes + b->text.len > FILE_WRITER_BYTES_MAX) {
        return false;
    }
    w->has_thread = w->has_thread || writer_start(w);
    return w->has_thread;
}

struct log_batch *file_writer_push(struct file_writer *w, struct log_batch *take_batch,
                                   bool *ret_taken)
{
    struct log_batch *b = take_batch;

    *ret_taken = true;
    pthread_mutex_lock(&w->mutex);
    if (b != NULL && b->text.len > 0) {
        *ret_taken = writer_has_room(w, b);
        if (*ret_taken) {
            writer_enqueue(w, b);
            b = NULL;
        } else {
            strbuf_reset(&b->text);
            b->count = 0;
        }
    }
    if (b == NULL) {
        b = writer_spare(w);
    }
    pthread_mutex_unlock(&w->mutex);
    return b;
}

void file_writer_close(struct file_writer *w)
{
    bool has_thread;

    pthread_mutex_lock(&w->mutex);
    w->is_closed = true;
    has_thread = w->has_thread;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    if (!has_thread) {
        writer_free(w);
    }
}

void file_writer_reopen(struct file_writer *w, int take_fd)
{
    struct log_batch *b;

    pthread_mutex_lock(&w->mutex);
    if (w->pending_bytes > 0 && w->is_seekable) {
        b = writer_spare(w);
        b->is_reopening = true;
        b->new_fd = take_fd;
        writer_enqueue(w, b);
    } else {
        writer_swap(w, take_fd);
    }
    pthread_mutex_unlock(&w->mutex);
}

void file_writer_drain(struct file_writer *w)
{
    pthread_mutex_lock(&w->mutex);
    while (w->pending_bytes > 0) {
        pthread_cond_wait(&w->changed, &w->mutex);
    }
    pthread_mutex_unlock(&w->mutex);
}

struct file_writers *file_writers_new(void)
{
    struct file_writers *ws = xcalloc(1, sizeof(*ws));

    CHECK(pthread_mutex_init(&ws->mutex, NULL) == 0);
    CHECK(pthread_cond_init(&ws->changed, NULL) == 0);
    return ws;
}

void file_writers_free(struct file_writers *ws)
{
    struct timespec until;
    size_t left;

    atomic_store_explicit(&ws->is_stopping, true, memory_order_release);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STOP_S;
    pthread_mutex_lock(&ws->mutex);
    while (ws->count > 0 && pthread_cond_timedwait(&ws->changed, &ws->mutex, &until) == 0) {
    }
    left = ws->count;
    pthread_mutex_unlock(&ws->mutex);
    if (left > 0) {
        return; /* a disk that hangs: its thread may come back, to what is still there */
    }
    pthread_cond_destroy(&ws->changed);
    pthread_mutex_destroy(&ws->mutex);
    free(ws);
}
