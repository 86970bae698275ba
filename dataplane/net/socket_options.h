#ifndef DATAPLANE_NET_SOCKET_OPTIONS_H
#define DATAPLANE_NET_SOCKET_OPTIONS_H

/* setsockopt for both sides, from the model. No state. */

#include "config/model/core.h"

struct conn_connect_options;

void socket_set_no_delay(int fd);
/* Those whose state is `state`. E_SYS at the first that the kernel refuses. */
int socket_apply_options(int fd, const struct socket_option *options, size_t count, int state);
void socket_set_keepalive(int fd, const struct tcp_keepalive *k);
/* Options, keepalive, TCP_NODELAY and the source address of an outgoing socket. E_SYS. */
int socket_prepare_client(int fd, const struct conn_connect_options *o);

#endif
