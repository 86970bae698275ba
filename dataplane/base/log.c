/*
 * The process log. Any thread: a line is formatted on the caller's stack and leaves in one
 * write(2), so lines of different threads do not mix. The levels and the descriptor are the only
 * process-wide state; reopening swaps the file behind the descriptor, so no writer ever sees a
 * closed one.
 */

#include "dataplane/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/base/clock.h"
#include "dataplane/base/error.h"
#include "dataplane/base/log_format.h"
#include "dataplane/base/xalloc.h"

#define LOG_LINE_BYTES 2048 /* longer lines take memory from the heap */

_Atomic unsigned char log_levels[LOG_COMPONENT_COUNT] = {
    [LOG_C_ADMIN] = LOG_INFO,      [LOG_C_CLIENT] = LOG_INFO,  [LOG_C_CONFIG] = LOG_INFO,
    [LOG_C_CONNECTION] = LOG_INFO, [LOG_C_DNS] = LOG_INFO,     [LOG_C_FILTER] = LOG_INFO,
    [LOG_C_HTTP] = LOG_INFO,       [LOG_C_MAIN] = LOG_INFO,    [LOG_C_POOL] = LOG_INFO,
    [LOG_C_ROUTER] = LOG_INFO,     [LOG_C_RUNTIME] = LOG_INFO, [LOG_C_UPSTREAM] = LOG_INFO,
};

static const char *const level_names[] = {
    [LOG_TRACE] = "trace", [LOG_DEBUG] = "debug",       [LOG_INFO] = "info", [LOG_WARN] = "warning",
    [LOG_ERROR] = "error", [LOG_CRITICAL] = "critical", [LOG_OFF] = "off",
};

static const char *const component_names[] = {
    [LOG_C_ADMIN] = "admin",     [LOG_C_CLIENT] = "client",
    [LOG_C_CONFIG] = "config",   [LOG_C_CONNECTION] = "connection",
    [LOG_C_DNS] = "dns",         [LOG_C_FILTER] = "filter",
    [LOG_C_HTTP] = "http",       [LOG_C_MAIN] = "main",
    [LOG_C_POOL] = "pool",       [LOG_C_ROUTER] = "router",
    [LOG_C_RUNTIME] = "runtime", [LOG_C_UPSTREAM] = "upstream",
};

static _Atomic int log_fd = STDERR_FILENO;
/* Set once by log_open, before other threads run. */
static char *log_path;
/* Set once by log_set_format, before other threads run. */
static const char *log_pattern;
static bool is_log_escaped;

const char *log_level_name(enum log_level l)
{
    return (size_t)l < ARRAY_LEN(level_names) ? level_names[l] : "unknown";
}

bool log_level_parse(const char *name, enum log_level *ret_level)
{
    for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
        if (strcasecmp(name, level_names[i]) == 0) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    if (strcasecmp(name, "warn") == 0) {
        *ret_level = LOG_WARN;
        return true;
    }
    return false;
}

const char *log_component_name(enum log_component c)
{
    return (size_t)c < ARRAY_LEN(component_names) ? component_names[c] : "unknown";
}

bool log_component_parse(const char *name, enum log_component *ret_component)
{
    for (size_t i = 0; i < ARRAY_LEN(component_names); i++) {
        if (strcmp(name, component_names[i]) == 0) {
            *ret_component = (enum log_component)i;
            return true;
        }
    }
    return false;
}

void log_set_level(enum log_component c, enum log_level l)
{
    atomic_store_explicit(&log_levels[c], (unsigned char)l, memory_order_relaxed);
}

void log_set_all(enum log_level l)
{
    for (size_t i = 0; i < LOG_COMPONENT_COUNT; i++) {
        log_set_level((enum log_component)i, l);
    }
}

void log_set_format(const char *pattern, bool is_escaped)
{
    log_pattern = pattern;
    is_log_escaped = is_escaped;
}

static int log_file_open(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

int log_open(const char *path)
{
    int fd = log_file_open(path);
    int old;

    if (fd < 0) {
        return E_SYS;
    }
    free(log_path);
    log_path = xstrdup(path);
    old = atomic_exchange(&log_fd, fd);
    if (old != STDERR_FILENO) {
        (void)close(old);
    }
    return 0;
}

void log_reopen(void)
{
    int fd;

    if (log_path == NULL) {
        return;
    }
    fd = log_file_open(log_path);
    if (fd < 0) {
        log_warn(LOG_C_MAIN, "cannot reopen log file '%s': %s", log_path, strerror(errno));
        return;
    }
    (void)dup3(fd, atomic_load(&log_fd), O_CLOEXEC); /* on failure the old file goes on */
    (void)close(fd);
}

/* "2026-08-01 12:00:00.000" in local time, as Envoy; the part up to the second is kept. */
static size_t log_format_time(char *out, size_t cap)
{
    static _Thread_local time_t cached_second = -1;
    static _Thread_local char cached[24];
    uint64_t now_ns = clock_wall_ns();
    time_t second = (time_t)(now_ns / 1000000000);
    int n;

    if (second != cached_second) {
        struct tm tm;

        if (localtime_r(&second, &tm) == NULL ||
            strftime(cached, sizeof(cached), "%Y-%m-%d %H:%M:%S", &tm) == 0) {
            cached[0] = '\0';
        }
        cached_second = second;
    }
    n = snprintf(out, cap, "%s.%03u", cached, (unsigned)(now_ns % 1000000000 / 1000000));
    return n > 0 ? (size_t)n : 0;
}

/* Formats into `out` and returns the length the whole line would have, without its newline. */
static PRINTF_LIKE(7, 0) size_t
    log_format(char *out, size_t cap, enum log_component c, enum log_level l, const char *file,
               int line, const char *fmt, va_list args)
{
    char when[40];
    int head;
    int text;

    (void)log_format_time(when, sizeof(when));
    head = snprintf(out, cap, "[%s][%d][%s][%s] [%s:%d] ", when, (int)gettid(), log_level_name(l),
                    log_component_name(c), file, line);
    if (head < 0) {
        return 0;
    }
    text = vsnprintf((size_t)head < cap ? out + head : NULL,
                     (size_t)head < cap ? cap - (size_t)head : 0, fmt, args);
    return (size_t)head + (text > 0 ? (size_t)text : 0);
}

void log_write_raw(const char *text, size_t len)
{
    ssize_t n;

    do {
        n = write(atomic_load_explicit(&log_fd, memory_order_relaxed), text, len);
    } while (n < 0 && errno == EINTR);
    /* A full disk or a closed pipe loses log lines, never requests. */
}

static void log_put(char *line, size_t len)
{
    line[len] = '\n';
    log_write_raw(line, len + 1);
}

/* By a pattern of the user's: no hurry. */
static PRINTF_LIKE(5, 0) void log_write_pattern(enum log_component c, enum log_level l,
                                                const char *file, int line, const char *fmt,
                                                va_list args)
{
    struct log_record r = {
        .wall_ns = clock_wall_ns(),
        .thread_id = (int)gettid(),
        .level = l,
        .logger = log_component_name(c),
        .file = file,
        .line = line,
    };
    struct strbuf message;
    struct strbuf escaped;
    struct strbuf out;

    strbuf_init(&message);
    strbuf_init(&escaped);
    strbuf_init(&out);
    strbuf_addv(&message, fmt, args);
    r.message = strbuf_str(&message);
    if (is_log_escaped) {
        log_escape(&escaped, r.message);
        r.message = strbuf_str(&escaped);
    }
    log_format_line(&out, log_pattern != NULL ? log_pattern : LOG_FORMAT_DEFAULT, &r);
    strbuf_add_char(&out, '\n');
    log_write_raw(out.ptr, out.len);
    strbuf_done(&message);
    strbuf_done(&escaped);
    strbuf_done(&out);
}

void log_write(enum log_component c, enum log_level l, const char *file, int line, const char *fmt,
               ...)
{
    int saved_errno = errno;
    char stack[LOG_LINE_BYTES];
    va_list args;
    size_t len;

    while (strncmp(file, "../", 3) == 0) { /* the build directory's view of the source */
        file += 3;
    }
    va_start(args, fmt);
    if (log_pattern != NULL || is_log_escaped) {
        log_write_pattern(c, l, file, line, fmt, args);
        va_end(args);
        errno = saved_errno;
        return;
    }
    len = log_format(stack, sizeof(stack), c, l, file, line, fmt, args);
    va_end(args);
    if (len < sizeof(stack)) {
        log_put(stack, len);
    } else {
        char *heap = xmalloc(len + 1);
        size_t again;

        va_start(args, fmt);
        again = log_format(heap, len + 1, c, l, file, line, fmt, args);
        va_end(args);
        log_put(heap, again < len ? again : len);
        free(heap);
    }
    errno = saved_errno;
}
