/* What the two halves of origin share: origin.c (sockets, HTTP/1) and origin_h2.c (HTTP/2). */
#ifndef BENCH_ORIGIN_H
#define BENCH_ORIGIN_H

#include <stdbool.h>
#include <stddef.h>

struct h2;

/* What a port answers with, whatever it is asked. */
struct answer {
    const char *name;
    const char *body; /* with gRPC: one message, its prefix included */
    size_t body_bytes;
    bool is_grpc;   /* HTTP/2 only: content-type application/grpc, and grpc-status 0 as a trailer */
    const char *h1; /* the whole response */
    size_t h1_bytes;
};

/* A listening socket, or an accepted connection: both are what an epoll event points to. */
struct peer {
    int fd;
    bool is_listener;
    unsigned
        matched; /* HTTP/1: how much of CR LF CR LF has been seen at the end of what was read */
    const struct answer *answer;
    bool has_begun;
    struct h2 *h2;   /* if it began with HTTP/2's preface */
    bool is_blocked; /* HTTP/2: waits for the socket to be writable */
};

/* Does a connection that begins with these bytes speak HTTP/2 with prior knowledge? */
bool h2_is_preface(const char *data, size_t bytes);

struct h2 *h2_new(void);
void h2_free(struct h2 *h);

/* Takes what was read. False: the connection is to be closed. */
bool h2_read(struct h2 *h, const struct answer *answer, const char *data, size_t bytes);

/* Sends what there is to send, as far as the socket and the peer's windows take it; ret_is_blocked:
 * call again once the socket is writable. False: the connection is to be closed. */
bool h2_write(struct h2 *h, const struct answer *answer, int fd, bool *ret_is_blocked);

#endif
