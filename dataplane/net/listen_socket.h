#ifndef DATAPLANE_NET_LISTEN_SOCKET_H
#define DATAPLANE_NET_LISTEN_SOCKET_H

/*
 * Making, binding and listening, on main: a set of fds for one listener address, one per worker
 * with SO_REUSEPORT, else one shared. Reference counted, so that a new listener on the same address
 * (same options) inherits the sockets of the old one and no queued connection is lost.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model/listener.h"
#include "dataplane/base/address.h"
#include "dataplane/base/error.h"

struct listen_socket {
    uint32_t refs;         /* main thread */
    struct address bound;  /* with the port that the kernel chose */
    uint64_t options_hash; /* address + all socket options */
    bool is_reuse_port;
    bool is_ip;
    bool is_listening;
    bool is_handed_over; /* a process of the next generation has it too */
    size_t fd_count;     /* workers, or 1; as many as there were, when inherited */
    int fds[];
};

uint64_t listen_socket_options_hash(const struct listener_config *l, size_t address_index);
/* E_SYS with "cannot bind '127.0.0.1:80': Address already in use" in Envoy's wording. Binds; does
 * not listen yet. */
int listen_socket_new(const struct listener_config *l, size_t address_index, size_t worker_count,
                      struct listen_socket **ret, struct error *reterr) MUST_CHECK;
/* The same from descriptors that already listen on the address, of a process before this one: takes
 * all `count` of them, also on error. Where each worker is to have one, those that are too few are
 * made. E_SYS. */
int listen_socket_adopt(const struct listener_config *l, size_t address_index, size_t worker_count,
                        const int *take_fds, size_t count, struct listen_socket **ret,
                        struct error *reterr) MUST_CHECK;
/* Starts listening (refused connections until then). E_SYS. */
int listen_socket_listen(struct listen_socket *s, const struct listener_config *l,
                         struct error *reterr) MUST_CHECK;
/* The descriptors of worker `worker` of `worker_count`: each is some worker's, and each worker has
 * one at least. Writes at most `fd_count` of them to `fds`; returns how many. */
size_t listen_socket_fds_of(const struct listen_socket *s, size_t worker, size_t worker_count,
                            int *fds);
/* Nobody accepts any more: the port refuses, where no other process holds it. */
void listen_socket_close_fds(struct listen_socket *s);
void listen_socket_ref(struct listen_socket *s);
void listen_socket_unref(struct listen_socket *s);

#endif
