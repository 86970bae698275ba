#ifndef LOADGEN_TLS_H
#define LOADGEN_TLS_H

/* TLS for loadgen, by OpenSSL: certificates are not checked (that is no work of the proxy's).
 * Linked only into loadgen_tls, so that plain loads need no libssl. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct tls_options {
    const char *certificate; /* PEM with its chain; NULL: none is shown */
    const char *key;
    const char *server_name;
    bool resumes; /* a connection shows the session of the one before it in its slot */
};

struct tls; /* of one slot: a connection at a time, and the session to resume */

/* Ends the program where it cannot. */
void tls_setup(const struct tls_options *options);
struct tls *tls_new(void);

void tls_open(struct tls *t, int fd);
/* 1 done, 0 wait for the socket, -1 failed. *ret_resumed is set when done. */
int tls_shake(struct tls *t, bool *ret_resumed);
/* As send and recv, errno too: EAGAIN to wait; EPROTO for what is TLS's own failure. */
ssize_t tls_send(struct tls *t, const void *data, size_t size);
ssize_t tls_recv(struct tls *t, void *data, size_t size);
/* close_notify, if it is open; the socket stays the caller's. */
void tls_close(struct tls *t);

#endif
