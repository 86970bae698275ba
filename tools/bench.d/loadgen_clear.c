/* The loadgen without TLS, for machines without libssl: loadgen_tls.h of which nothing is ever
 * used. */

#include "loadgen_tls.h"

#include <stdio.h>
#include <stdlib.h>

void tls_setup(const struct tls_options *options)
{
    (void)options;
    fprintf(stderr, "loadgen: built without TLS; that is loadgen_tls\n");
    exit(2);
}

struct tls *tls_new(void)
{
    return NULL;
}

void tls_open(struct tls *t, int fd)
{
    (void)t;
    (void)fd;
}

int tls_shake(struct tls *t, bool *ret_resumed)
{
    (void)t;
    (void)ret_resumed;
    return -1;
}

ssize_t tls_send(struct tls *t, const void *data, size_t size)
{
    (void)t;
    (void)data;
    (void)size;
    return -1;
}

ssize_t tls_recv(struct tls *t, void *data, size_t size)
{
    (void)t;
    (void)data;
    (void)size;
    return -1;
}

void tls_close(struct tls *t)
{
    (void)t;
}
