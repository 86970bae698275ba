/*
 * loadgen: a closed-loop HTTP/1.1 client for benches, demo and churn. Each connection sends one
 * request, waits for the whole response, checks it, and sends the next. One thread, one epoll.
 *
 * Everything that is not a whole 2xx response counts as a failure, by kind; nothing is retried
 * behind the caller's back. A connection that the peer closes after a complete response, with or
 * without `connection: close`, is opened again: that is no failure, for nothing was lost.
 *
 * It reads commands on standard input: "report" prints the totals so far as one line of JSON and
 * starts a new latency window; the end of input ends the run. It prints the totals at the end too.
 * Responses must have a content-length.
 *
 * Built with loadgen_tls.c it speaks TLS when told --tls. --reconnect: each request on a connection
 * of its own, with --resume in the session of the one before.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "loadgen_tls.h"

#define BUFFER_BYTES 16384
#define MAX_BODIES 64
#define BODY_BYTES 64
#define BUCKETS 4096
#define RETRY_NS 2000000
#define MAX_BUSY_HOLDING                                                                           \
    16 /* with --hold: so that a proxy needs few connections to its backend                        \
        */
#define TIMEOUT_NS 15000000000

enum failure {
    FAIL_CONNECT,   /* refused, or reset before it was established */
    FAIL_CLOSED,    /* closed without an answer to a request that was sent */
    FAIL_TRUNCATED, /* closed inside a response */
    FAIL_RESET,
    FAIL_MALFORMED,
    FAIL_STATUS,  /* a whole response, but not 2xx */
    FAIL_TIMEOUT, /* nothing for 15 s */
    FAIL_TLS,     /* a handshake that failed, a record that is not one */
    FAIL_KINDS
};

static const char *const failure_names[FAIL_KINDS] = {
    "connect", "closed", "truncated", "reset", "malformed", "status", "timeout", "tls",
};

enum phase {
    PHASE_CLOSED,
    PHASE_CONNECTING,
    PHASE_SHAKING,
    PHASE_WAITING, /* a request is out */
    PHASE_HELD,    /* done, kept open: --hold */
};

struct connection {
    int fd;
    enum phase phase;
    uint64_t started_ns; /* of the request, or of the wait before connecting again */
    bool is_peer_done;   /* the peer has sent its FIN */
    struct tls *tls;     /* NULL: in clear text */
    size_t used;
    char *buffer; /* BUFFER_BYTES, apart from this struct: sweeps walk over all of these */
};

struct body {
    char text[BODY_BYTES + 1];
    uint64_t count;
};

/* All state of a run. Latency buckets are log-linear: 64 steps per power of two, in nanoseconds. */
static struct {
    int epoll;
    struct sockaddr_in address;
    char *request;
    size_t request_bytes;
    struct connection *connections;
    size_t connection_count;
    bool counts_bodies;
    bool holds;
    bool has_tls;
    bool reconnects;
    struct tls_options tls;
    uint64_t resumed;
    uint64_t started_ns;
    uint64_t responses;
    uint64_t statuses[600];
    uint64_t failures[FAIL_KINDS];
    uint64_t connects;
    uint64_t held;
    struct body bodies[MAX_BODIES];
    uint64_t buckets[BUCKETS];
    uint64_t max_ns;
    uint64_t limit;
} run;

static uint64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static size_t bucket_of(uint64_t ns)
{
    unsigned shift;

    if (ns < 64) {
        return ns;
    }
    shift = 63U - (unsigned)__builtin_clzll(ns) - 6U;
    return (shift + 1U) * 64U + (size_t)((ns >> shift) - 64U);
}

static double bucket_us(size_t bucket)
{
    if (bucket < 64) {
        return (double)bucket / 1e3;
    }
    return (double)((64U + bucket % 64U) << (bucket / 64U - 1U)) / 1e3;
}

static double percentile_us(double share)
{
    uint64_t total = 0;
    uint64_t seen = 0;

    for (size_t i = 0; i < BUCKETS; i++) {
        total += run.buckets[i];
    }
    for (size_t i = 0; i < BUCKETS; i++) {
        seen += run.buckets[i];
        if (total > 0 && (double)seen >= share * (double)total) {
            return bucket_us(i);
        }
    }
    return 0;
}

static void report(void)
{
    const char *comma = "";

    printf("{\"seconds\": %.6f, \"responses\": %lu, \"connects\": %lu, \"held\": %lu, \"resumed\": "
           "%lu, ",
           (double)(now_ns() - run.started_ns) / 1e9, run.responses, run.connects, run.held,
           run.resumed);
    printf("\"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, \"failures\": {",
           percentile_us(0.5), percentile_us(0.99), (double)run.max_ns / 1e3);
    for (size_t i = 0; i < FAIL_KINDS; i++) {
        printf("%s\"%s\": %lu", comma, failure_names[i], run.failures[i]);
        comma = ", ";
    }
    printf("}, \"statuses\": {");
    comma = "";
    for (size_t i = 0; i < 600; i++) {
        if (run.statuses[i] > 0) {
            printf("%s\"%zu\": %lu", comma, i, run.statuses[i]);
            comma = ", ";
        }
    }
    printf("}, \"bodies\": {");
    comma = "";
    for (size_t i = 0; i < MAX_BODIES && run.bodies[i].count > 0; i++) {
        printf("%s\"%s\": %lu", comma, run.bodies[i].text, run.bodies[i].count);
        comma = ", ";
    }
    printf("}}\n");
    (void)fflush(stdout);
    memset(run.buckets, 0, sizeof(run.buckets));
    run.max_ns = 0;
}

static void count_body(const char *data, size_t bytes)
{
    char text[BODY_BYTES + 1] = {0};

    bytes = bytes < BODY_BYTES ? bytes : BODY_BYTES;
    for (size_t i = 0; i < bytes; i++) {
        bool is_plain = data[i] >= ' ' && data[i] <= '~' && data[i] != '"' && data[i] != '\\';

        text[i] = is_plain ? data[i] : '.';
    }
    for (size_t i = 0; i < MAX_BODIES; i++) {
        if (run.bodies[i].count == 0) {
            memcpy(run.bodies[i].text, text, sizeof(text));
        }
        if (strcmp(run.bodies[i].text, text) == 0) {
            run.bodies[i].count++;
            return;
        }
    }
}

static ssize_t connection_write(struct connection *c, const void *data, size_t bytes)
{
    return c->tls != NULL ? tls_send(c->tls, data, bytes) : send(c->fd, data, bytes, MSG_NOSIGNAL);
}

static ssize_t connection_read(struct connection *c, void *data, size_t room)
{
    return c->tls != NULL ? tls_recv(c->tls, data, room) : recv(c->fd, data, room, 0);
}

static void connection_end_tls(struct connection *c)
{
    if (c->tls != NULL) {
        tls_close(c->tls);
    }
}

static void connection_wait(struct connection *c)
{
    if (c->fd >= 0) {
        connection_end_tls(c);
        (void)close(c->fd);
    }
    c->fd = -1;
    c->phase = PHASE_CLOSED;
    c->started_ns = now_ns();
}

static void connection_fail(struct connection *c, enum failure why)
{
    run.failures[why]++;
    connection_wait(c);
}

static void connection_send(struct connection *c)
{
    ssize_t n;

    if (run.limit > 0 && run.responses >= run.limit) {
        c->phase = PHASE_HELD;
        return;
    }
    c->started_ns = now_ns();
    c->used = 0;
    c->phase = PHASE_WAITING;
    n = connection_write(c, run.request, run.request_bytes);
    if (n != (ssize_t)run.request_bytes) {
        /* The peer went away between two requests: it has not seen this one, so a new connection
         * sends it. */
        if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
            connection_wait(c);
            c->started_ns = 0;
            return;
        }
        connection_fail(c, FAIL_RESET);
    }
}

/* The socket is connected. */
static void connection_ready(struct connection *c)
{
    bool was_resumed = false;
    int r = 1;

    if (c->tls != NULL) {
        if (c->phase == PHASE_CONNECTING) {
            tls_open(c->tls, c->fd);
            c->phase = PHASE_SHAKING;
        }
        r = tls_shake(c->tls, &was_resumed);
    }
    if (r < 0) {
        connection_fail(c, FAIL_TLS);
    }
    if (r <= 0) {
        return;
    }
    run.resumed += was_resumed;
    connection_send(c);
}

static void connection_open(struct connection *c)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data = {.ptr = c}};
    int on = 1;

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        die("socket");
    }
    c->used = 0;
    c->is_peer_done = false;
    c->started_ns = now_ns();
    c->phase = PHASE_CONNECTING;
    run.connects++;
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(c->fd, (struct sockaddr *)&run.address, sizeof(run.address)) < 0 &&
        errno != EINPROGRESS) {
        connection_fail(c, FAIL_CONNECT);
        return;
    }
    if (epoll_ctl(run.epoll, EPOLL_CTL_ADD, c->fd, &event) < 0) {
        die("epoll_ctl");
    }
}

/* The value of a header in the head of a response, or NULL; names are matched without case. */
static const char *find_header(const char *head, const char *end, const char *name)
{
    size_t length = strlen(name);
    const char *line = memchr(head, '\n', (size_t)(end - head));

    while (line != NULL && (size_t)(end - line) > length + 1) {
        line++;
        if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
            line += length + 1;
            while (line < end && *line == ' ') {
                line++;
            }
            return line;
        }
        line = memchr(line, '\n', (size_t)(end - line));
    }
    return NULL;
}

static void connection_answered(struct connection *c, const char *body, size_t bytes, bool closes)
{
    uint64_t took = now_ns() - c->started_ns;
    unsigned status = (unsigned)(c->buffer[9] - '0') * 100U +
                      (unsigned)(c->buffer[10] - '0') * 10U + (unsigned)(c->buffer[11] - '0');

    run.responses++;
    run.buckets[bucket_of(took) % BUCKETS]++;
    run.max_ns = took > run.max_ns ? took : run.max_ns;
    run.statuses[status % 600]++;
    if (status < 200 || status > 299) {
        run.failures[FAIL_STATUS]++;
    }
    if (run.counts_bodies) {
        count_body(body, bytes);
    }
    if (run.reconnects && !closes && !run.holds) {
        connection_wait(c);
        connection_open(c);
    } else if (closes || c->is_peer_done) {
        connection_wait(c);
        c->started_ns = 0;
    } else if (run.holds) {
        c->phase = PHASE_HELD;
        run.held++;
    } else {
        connection_send(c);
    }
}

/* Is there a whole response in the buffer? Then it is counted. */
static void connection_parse(struct connection *c)
{
    char *end = memmem(c->buffer, c->used, "\r\n\r\n", 4);
    const char *length;
    const char *connection;
    size_t head;
    size_t bytes;

    if (end == NULL) {
        if (c->used == BUFFER_BYTES) {
            connection_fail(c, FAIL_MALFORMED);
        }
        return;
    }
    head = (size_t)(end - c->buffer) + 4;
    length = find_header(c->buffer, end + 2, "content-length");
    if (strncmp(c->buffer, "HTTP/1.1 ", 9) != 0 || length == NULL) {
        connection_fail(c, FAIL_MALFORMED);
        return;
    }
    bytes = strtoul(length, NULL, 10);
    if (head + bytes > BUFFER_BYTES || c->used > head + bytes) {
        connection_fail(c, FAIL_MALFORMED);
        return;
    }
    if (c->used == head + bytes) {
        connection = find_header(c->buffer, end + 2, "connection");
        connection_answered(c, c->buffer + head, bytes,
                            connection != NULL && strncasecmp(connection, "close", 5) == 0);
    }
}

static void connection_ended(struct connection *c, bool was_reset)
{
    if (c->phase == PHASE_HELD) {
        run.held--;
        connection_wait(c);
    } else if (c->phase == PHASE_CONNECTING) {
        connection_fail(c, FAIL_CONNECT);
    } else if (c->used > 0) {
        connection_fail(c, FAIL_TRUNCATED);
    } else {
        connection_fail(c, was_reset ? FAIL_RESET : FAIL_CLOSED);
    }
}

static void connection_readable(struct connection *c)
{
    while (c->fd >= 0 && c->phase != PHASE_CLOSED) {
        ssize_t n = connection_read(c, c->buffer + c->used, BUFFER_BYTES - c->used);

        if (n < 0 && errno == EAGAIN) {
            return;
        }
        if (n < 0 && errno == EPROTO) {
            connection_fail(c, FAIL_TLS);
            return;
        }
        if (n <= 0) {
            connection_ended(c, n < 0);
            return;
        }
        c->used += (size_t)n;
        connection_parse(c);
        if (c->used == 0) {
            return; /* answered, and the next request is out: its response will make an event */
        }
    }
}

static void on_event(const struct epoll_event *event)
{
    struct connection *c = event->data.ptr;

    if (c->phase == PHASE_CONNECTING) {
        int error = 0;
        socklen_t length = sizeof(error);

        (void)getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
        if (error != 0) {
            connection_fail(c, FAIL_CONNECT);
        } else if ((event->events & EPOLLOUT) != 0) {
            connection_ready(c);
        }
        return;
    }
    if (c->phase == PHASE_SHAKING) {
        connection_ready(c);
        return;
    }
    if ((event->events & EPOLLRDHUP) != 0) {
        c->is_peer_done = true;
    }
    if ((event->events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
        connection_readable(c);
    }
}

/* Opens what has to be opened again, and finds what has waited too long. */
static void sweep(uint64_t now, bool looks_for_timeouts)
{
    size_t busy = 0;

    for (size_t i = 0; i < run.connection_count; i++) {
        busy += run.connections[i].phase == PHASE_CONNECTING ||
                run.connections[i].phase == PHASE_SHAKING ||
                run.connections[i].phase == PHASE_WAITING;
    }
    for (size_t i = 0; i < run.connection_count; i++) {
        struct connection *c = &run.connections[i];

        if (c->phase == PHASE_CLOSED && now - c->started_ns >= RETRY_NS) {
            if (run.holds && busy >= MAX_BUSY_HOLDING) {
                continue;
            }
            busy++;
            connection_open(c);
        } else if (looks_for_timeouts && now > c->started_ns && c->phase != PHASE_HELD &&
                   now - c->started_ns > TIMEOUT_NS) {
            connection_fail(c, FAIL_TIMEOUT);
        }
    }
}

/* Reads a command, if there is one. False at the end of input. */
static bool read_command(void)
{
    char text[256];
    ssize_t n = read(STDIN_FILENO, text, sizeof(text));

    for (ssize_t i = 0; i < n; i++) {
        if (text[i] == '\n') {
            report();
        }
    }
    return n > 0 || (n < 0 && errno == EAGAIN);
}

static bool parse_options(int argc, char **argv, const char **path, const char **host, char *extra,
                          size_t extra_room, double *seconds)
{
    static const struct option options[] = {
        {"connections", required_argument, NULL, 'c'},
        {"seconds", required_argument, NULL, 's'},
        {"path", required_argument, NULL, 'p'},
        {"host", required_argument, NULL, 'h'},
        {"header", required_argument, NULL, 'H'},
        {"bodies", no_argument, NULL, 'b'},
        {"hold", no_argument, NULL, 'o'},
        {"requests", required_argument, NULL, 'n'},
        {"reconnect", no_argument, NULL, 'r'},
        {"tls", no_argument, NULL, 't'},
        {"resume", no_argument, NULL, 'R'},
        {"certificate", required_argument, NULL, 'C'},
        {"key", required_argument, NULL, 'K'},
        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        size_t used = strlen(extra);

        switch (option) {
        case 'c':
            run.connection_count = strtoul(optarg, NULL, 10);
            break;
        case 's':
            *seconds = strtod(optarg, NULL);
            break;
        case 'p':
            *path = optarg;
            break;
        case 'h':
            *host = optarg;
            break;
        case 'H':
            (void)snprintf(extra + used, extra_room - used, "%s\r\n", optarg);
            break;
        case 'b':
            run.counts_bodies = true;
            break;
        case 'o':
            run.holds = true;
            break;
        case 'n':
            run.limit = strtoul(optarg, NULL, 10);
            break;
        case 'r':
            run.reconnects = true;
            break;
        case 't':
            run.has_tls = true;
            break;
        case 'R':
            run.tls.resumes = true;
            break;
        case 'C':
            run.tls.certificate = optarg;
            break;
        case 'K':
            run.tls.key = optarg;
            break;
        default:
            return false;
        }
    }
    if (optind + 1 != argc || run.connection_count == 0) {
        return false;
    }
    run.address.sin_family = AF_INET;
    run.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    run.address.sin_port = htons((uint16_t)strtoul(argv[optind], NULL, 10));
    return true;
}

static void prepare(const char *path, const char *host, const char *extra)
{
    struct epoll_event event = {.events = EPOLLIN};
    struct rlimit files;
    int length = asprintf(&run.request, "GET %s HTTP/1.1\r\nhost: %s\r\n%s\r\n", path, host, extra);

    if (length < 0) {
        die("asprintf");
    }
    run.request_bytes = (size_t)length;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    run.epoll = epoll_create1(EPOLL_CLOEXEC);
    run.connections = calloc(run.connection_count, sizeof(*run.connections));
    if (run.connections == NULL) {
        die("calloc");
    }
    for (size_t i = 0; i < run.connection_count; i++) {
        run.connections[i].fd = -1;
        run.connections[i].tls = run.has_tls ? tls_new() : NULL;
        run.connections[i].buffer = malloc(BUFFER_BYTES);
        if (run.connections[i].buffer == NULL) {
            die("malloc");
        }
    }
    (void)fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    if (epoll_ctl(run.epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event) < 0 && errno != EPERM) {
        die("epoll_ctl");
    }
    run.started_ns = now_ns();
}

int main(int argc, char **argv)
{
    struct epoll_event events[512];
    char extra[2048] = "";
    const char *path = "/";
    const char *host = "test";
    double seconds = 0;
    uint64_t end_ns = 0;
    uint64_t swept_ns = 0;
    uint64_t looked_ns = 0;

    if (!parse_options(argc, argv, &path, &host, extra, sizeof(extra), &seconds)) {
        fprintf(stderr, "usage: loadgen --connections N [--seconds S] [--requests N] [--path P] "
                        "[--host H] [--header 'name: value']... [--bodies] [--hold] [--reconnect]\n"
                        "[--tls [--resume] [--certificate FILE --key FILE]] port\n");
        return 2;
    }
    if (run.has_tls) {
        run.tls.server_name = host;
        tls_setup(&run.tls);
    }
    prepare(path, host, extra);
    if (seconds > 0) {
        end_ns = run.started_ns + (uint64_t)(seconds * 1e9);
    }
    for (;;) {
        uint64_t now = now_ns();
        int n;

        if ((end_ns > 0 && now >= end_ns) || (run.limit > 0 && run.responses >= run.limit)) {
            break;
        }
        if (now - swept_ns >= RETRY_NS) {
            bool looks = now - looked_ns > 1000000000;

            sweep(now, looks);
            looked_ns = looks ? now : looked_ns;
            swept_ns = now;
        }
        n = epoll_wait(run.epoll, events, 512, 2);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr != NULL) {
                on_event(&events[i]);
            } else if (!read_command()) {
                end_ns = now;
            }
        }
    }
    report();
    return 0;
}
