/*
 * origin: the backend of benches, demo and churn. It answers every request with 200 and a fixed
 * body, as cheaply as a process can, so that a proxy in front of it is what a measurement shows.
 * One thread, one epoll.
 *
 * It serves one port per name given, all on 127.0.0.1, and prints one JSON object {"name": port,
 * ...}. Over HTTP/1 it reads requests without a body only: it counts empty lines, and that is all
 * the HTTP/1 it knows. A connection that begins with HTTP/2's preface is origin_h2.c's.
 */
#define _GNU_SOURCE
#include "origin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_PORTS 256
#define MAX_PIPELINE 64
#define READ_BYTES 65536

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void *allocate(size_t bytes)
{
    void *out = calloc(1, bytes);

    if (out == NULL) {
        die("calloc");
    }
    return out;
}

/* A body of that many bytes, of the name's without; with gRPC, the message in it is that long. */
static const struct answer *answer_new(const char *name, size_t bytes, bool is_grpc)
{
    size_t name_bytes = strlen(name);
    size_t prefix = is_grpc ? 5 : 0;
    struct answer *a = allocate(sizeof(*a));
    char *body;
    char *h1;
    int head;

    *a = (struct answer){.name = name, .is_grpc = is_grpc};
    a->body_bytes = prefix + (bytes > 0 ? bytes : name_bytes);
    a->body = body = allocate(a->body_bytes);
    if (is_grpc) {
        uint32_t length = htonl((uint32_t)(a->body_bytes - prefix));

        memcpy(body + 1, &length, sizeof(length));
    }
    if (bytes > 0) {
        memset(body + prefix, 'x', bytes);
    } else {
        memcpy(body + prefix, name, name_bytes);
    }
    h1 = allocate(a->body_bytes + name_bytes + 128);
    head = snprintf(h1, name_bytes + 128,
                    "HTTP/1.1 200 OK\r\ncontent-length: %zu\r\nx-backend: %s\r\n\r\n",
                    a->body_bytes, name);
    memcpy(h1 + head, body, a->body_bytes);
    a->h1 = h1;
    a->h1_bytes = (size_t)head + a->body_bytes;
    return a;
}

static int listen_on_free_port(struct peer *p)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof(address);

    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    p->is_listener = true;
    if (p->fd < 0 || bind(p->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(p->fd, 4096) < 0 || getsockname(p->fd, (struct sockaddr *)&address, &length) < 0) {
        die("listen");
    }
    return ntohs(address.sin_port);
}

static void accept_all(int epoll, const struct peer *listener)
{
    for (;;) {
        int on = 1;
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        struct peer *p;
        struct epoll_event event = {.events = EPOLLIN};

        if (fd < 0) {
            return;
        }
        p = allocate(sizeof(*p));
        p->fd = fd;
        p->answer = listener->answer;
        event.data.ptr = p;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
            die("epoll_ctl");
        }
    }
}

/* How many requests ended in these bytes: the number of CR LF CR LF, which may be split between
 * reads. */
static unsigned count_requests(struct peer *p, const char *data, size_t bytes)
{
    unsigned matched = p->matched;
    unsigned requests = 0;

    if (matched == 0 && bytes >= 4 && memcmp(data + bytes - 4, "\r\n\r\n", 4) == 0 &&
        memmem(data, bytes, "\r\n\r\n", 4) == data + bytes - 4) {
        return 1;
    }
    for (size_t i = 0; i < bytes; i++) {
        char wanted = (matched & 1) != 0 ? '\n' : '\r';

        if (data[i] == wanted) {
            matched++;
        } else {
            matched = data[i] == '\r' ? 1 : 0;
        }
        if (matched == 4) {
            requests++;
            matched = 0;
        }
    }
    p->matched = matched;
    return requests;
}

static bool answer_h1(const struct peer *p, unsigned requests)
{
    for (unsigned i = 0; i < requests; i++) {
        size_t done = 0;

        while (done < p->answer->h1_bytes) {
            ssize_t n = send(p->fd, p->answer->h1 + done, p->answer->h1_bytes - done, MSG_NOSIGNAL);

            if (n >= 0) {
                done += (size_t)n;
            } else if (errno != EAGAIN) {
                return false;
            }
        }
    }
    return true;
}

static bool write_h2(int epoll, struct peer *p)
{
    bool is_blocked;
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = p}};

    if (!h2_write(p->h2, p->answer, p->fd, &is_blocked)) {
        return false;
    }
    if (is_blocked != p->is_blocked) {
        p->is_blocked = is_blocked;
        event.events |= is_blocked ? EPOLLOUT : 0;
        return epoll_ctl(epoll, EPOLL_CTL_MOD, p->fd, &event) == 0;
    }
    return true;
}

/* False: the connection is to be closed. */
static bool serve(int epoll, struct peer *p, unsigned events)
{
    static char data[READ_BYTES];
    ssize_t n;

    if ((events & EPOLLOUT) != 0 && !write_h2(epoll, p)) {
        return false;
    }
    n = recv(p->fd, data, sizeof(data), 0);
    if (n <= 0) {
        return n < 0 && errno == EAGAIN;
    }
    if (!p->has_begun && h2_is_preface(data, (size_t)n)) {
        p->h2 = h2_new();
    }
    p->has_begun = true;
    if (p->h2 == NULL) {
        return answer_h1(p, count_requests(p, data, (size_t)n));
    }
    return h2_read(p->h2, p->answer, data, (size_t)n) && write_h2(epoll, p);
}

static void peer_close(struct peer *p)
{
    (void)close(p->fd);
    h2_free(p->h2);
    free(p);
}

int main(int argc, char **argv)
{
    static struct peer listeners[MAX_PORTS];
    struct epoll_event events[512];
    struct rlimit files;
    size_t body_bytes = 0;
    bool is_grpc = false;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int option;

    while ((option = getopt(argc, argv, "b:g")) != -1) {
        if (option == 'b') {
            body_bytes = strtoul(optarg, NULL, 10);
        } else if (option == 'g') {
            is_grpc = true;
        } else {
            fprintf(stderr, "usage: origin [-b body-bytes] [-g] name...\n");
            return 2;
        }
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    printf("{");
    for (int i = optind; i < argc && i - optind < MAX_PORTS; i++) {
        struct peer *p = &listeners[i - optind];
        struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = p}};

        p->answer = answer_new(argv[i], body_bytes, is_grpc);
        printf("%s\"%s\": %d", i == optind ? "" : ", ", argv[i], listen_on_free_port(p));
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, p->fd, &event) < 0) {
            die("epoll_ctl");
        }
    }
    printf("}\n");
    (void)fflush(stdout);
    for (;;) {
        int n = epoll_wait(epoll, events, 512, -1);

        for (int i = 0; i < n; i++) {
            struct peer *p = events[i].data.ptr;

            if (p->is_listener) {
                accept_all(epoll, p);
            } else if (!serve(epoll, p, events[i].events)) {
                peer_close(p);
            }
        }
    }
}
