/*
 * origin: the backend of benches, demo and churn. It answers every request with 200 and a fixed
 * body, as cheaply as a process can, so that a proxy in front of it is what a measurement shows.
 * One thread, one epoll.
 *
 * It serves one port per name given, all on 127.0.0.1, and prints one JSON object {"name": port,
 * ...}. It reads requests without a body only: it counts empty lines, and that is all the HTTP it
 * knows.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
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
#define READ_BYTES 16384

/* A listening socket, or an accepted connection: both are what an epoll event points to. */
struct peer {
    int fd;
    bool is_listener;
    unsigned matched; /* how much of CR LF CR LF has been seen at the end of what was read */
    const char *response;
    size_t response_bytes;
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void build_response(struct peer *p, const char *name, size_t body_bytes)
{
    size_t name_bytes = strlen(name);
    size_t bytes = body_bytes > 0 ? body_bytes : name_bytes;
    size_t room = bytes + name_bytes + 128;
    char *text = malloc(room);
    int head;

    if (text == NULL) {
        die("malloc");
    }
    head = snprintf(text, room, "HTTP/1.1 200 OK\r\ncontent-length: %zu\r\nx-backend: %s\r\n\r\n",
                    bytes, name);
    if (body_bytes > 0) {
        memset(text + head, 'x', bytes);
    } else {
        memcpy(text + head, name, bytes);
    }
    p->response = text;
    p->response_bytes = (size_t)head + bytes;
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
        p = calloc(1, sizeof(*p));
        if (p == NULL) {
            die("calloc");
        }
        p->fd = fd;
        p->response = listener->response;
        p->response_bytes = listener->response_bytes;
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

static bool answer(const struct peer *p, unsigned requests)
{
    for (unsigned i = 0; i < requests; i++) {
        size_t done = 0;

        while (done < p->response_bytes) {
            ssize_t n = send(p->fd, p->response + done, p->response_bytes - done, MSG_NOSIGNAL);

            if (n >= 0) {
                done += (size_t)n;
            } else if (errno != EAGAIN) {
                return false;
            }
        }
    }
    return true;
}

static void serve(struct peer *p)
{
    char data[READ_BYTES];
    ssize_t n = recv(p->fd, data, sizeof(data), 0);

    if (n < 0 && errno == EAGAIN) {
        return;
    }
    if (n <= 0 || !answer(p, count_requests(p, data, (size_t)n))) {
        (void)close(p->fd);
        free(p);
    }
}

int main(int argc, char **argv)
{
    static struct peer listeners[MAX_PORTS];
    struct epoll_event events[512];
    struct rlimit files;
    size_t body_bytes = 0;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int option;

    while ((option = getopt(argc, argv, "b:")) != -1) {
        if (option != 'b') {
            fprintf(stderr, "usage: origin [-b body-bytes] name...\n");
            return 2;
        }
        body_bytes = strtoul(optarg, NULL, 10);
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    printf("{");
    for (int i = optind; i < argc && i - optind < MAX_PORTS; i++) {
        struct peer *p = &listeners[i - optind];
        struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = p}};

        build_response(p, argv[i], body_bytes);
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
            } else {
                serve(p);
            }
        }
    }
}
