/* Socket options from the model. */

#include "dataplane/net/socket_options.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "dataplane/base/error.h"
#include "dataplane/net/connection.h"

void socket_set_no_delay(int fd)
{
    const int on = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* unix sockets have none */
}

int socket_apply_options(int fd, const struct socket_option *options, size_t count, int state)
{
    for (size_t i = 0; i < count; i++) {
        const struct socket_option *o = &options[i];
        const void *value = o->is_int ? (const void *)&o->int_value : o->buf_value.ptr;
        socklen_t len = o->is_int ? sizeof(o->int_value) : (socklen_t)o->buf_value.len;

        if ((int)o->state == state && setsockopt(fd, o->level, o->name, value, len) != 0) {
            return E_SYS;
        }
    }
    return 0;
}

static void set_int(int fd, int name, const struct opt_u32 *v)
{
    int value = (int)v->value;

    if (v->is_set) {
        (void)setsockopt(fd, IPPROTO_TCP, name, &value, sizeof(value));
    }
}

void socket_set_keepalive(int fd, const struct tcp_keepalive *k)
{
    const int on = 1;

    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    set_int(fd, TCP_KEEPCNT, &k->probes);
    set_int(fd, TCP_KEEPIDLE, &k->time_s);
    set_int(fd, TCP_KEEPINTVL, &k->interval_s);
}

int socket_prepare_client(int fd, const struct conn_connect_options *o)
{
    if (o->remote.sa.sa_family != AF_UNIX) {
        socket_set_no_delay(fd);
    }
    if (o->keepalive != NULL && o->keepalive->is_enabled) {
        socket_set_keepalive(fd, o->keepalive);
    }
    if (socket_apply_options(fd, o->socket_options, o->socket_option_count, SOCKET_STATE_PREBIND) !=
        0) {
        return E_SYS;
    }
    if (o->bind.len > 0 && bind(fd, &o->bind.sa, o->bind.len) != 0) {
        return E_SYS;
    }
    return socket_apply_options(fd, o->socket_options, o->socket_option_count, SOCKET_STATE_BOUND);
}
