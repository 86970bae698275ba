/* Listening sockets, made on main. Workers only duplicate the descriptors. */

#include "dataplane/net/listen_socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/base/hash.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/net/socket_options.h"

uint64_t listen_socket_options_hash(const struct listener_config *l, size_t address_index)
{
    const struct address *a = &l->addresses[address_index];
    uint64_t h = hash_mix(0, &a->un, a->len);
    const struct tcp_keepalive *k = &l->keepalive;
    const uint32_t flags[] = {
        l->reuse_port,
        l->ipv4_compat,
        l->unix_mode,
        l->is_transparent,
        l->is_freebind,
        l->is_mptcp,
        l->fast_open_queue.is_set,
        l->fast_open_queue.value,
        k->is_enabled,
        k->probes.is_set,
        k->probes.value,
        k->time_s.is_set,
        k->time_s.value,
        k->interval_s.is_set,
        k->interval_s.value,
    };

    h = hash_mix(h, flags, sizeof(flags));
    for (size_t i = 0; i < l->socket_option_count; i++) {
        const struct socket_option *o = &l->socket_options[i];
        const int64_t ints[] = {o->level, o->name, o->is_int, o->int_value, o->state};

        h = hash_mix(h, ints, sizeof(ints));
        h = hash_mix(h, o->buf_value.ptr, o->buf_value.len);
    }
    return h;
}

/* A socket file that nobody listens on any more is in the way. */
static void unix_remove_stale(const struct address *a)
{
    int fd;

    if (a->un.sun_path[0] == '\0') {
        return;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return;
    }
    if (connect(fd, &a->sa, a->len) != 0 && errno == ECONNREFUSED) {
        (void)unlink(a->un.sun_path);
    }
    close(fd);
}

static int set_flag(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) == 0 ? 0 : E_SYS;
}

/* IP_TRANSPARENT and the like, by the socket's family. */
static int set_ip_flag(int fd, const struct address *a, int v4_name, int v6_name)
{
    return a->sa.sa_family == AF_INET6 ? set_flag(fd, IPPROTO_IPV6, v6_name, 1)
                                       : set_flag(fd, IPPROTO_IP, v4_name, 1);
}

/* What the listener's own fields say, before it is bound. Accepted sockets inherit the rest. */
static int listen_fd_set_ip_options(int fd, const struct listener_config *l,
                                    const struct address *a)
{
    if (l->is_transparent && set_ip_flag(fd, a, IP_TRANSPARENT, IPV6_TRANSPARENT) != 0) {
        return E_SYS;
    }
    if (l->is_freebind && set_ip_flag(fd, a, IP_FREEBIND, IPV6_FREEBIND) != 0) {
        return E_SYS;
    }
    if (l->fast_open_queue.is_set &&
        set_flag(fd, IPPROTO_TCP, TCP_FASTOPEN, (int)l->fast_open_queue.value) != 0) {
        return E_SYS;
    }
    if (l->keepalive.is_enabled) {
        socket_set_keepalive(fd, &l->keepalive);
    }
    socket_set_no_delay(fd); /* a system call less for each connection */
    return 0;
}

static int listen_fd_set_options(int fd, const struct listener_config *l, const struct address *a,
                                 bool is_reuse_port)
{
    if (address_is_ip(a) && set_flag(fd, SOL_SOCKET, SO_REUSEADDR, 1) != 0) {
        return E_SYS;
    }
    if (is_reuse_port && set_flag(fd, SOL_SOCKET, SO_REUSEPORT, 1) != 0) {
        return E_SYS;
    }
    if (a->sa.sa_family == AF_INET6 &&
        set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, l->ipv4_compat ? 0 : 1) != 0) {
        return E_SYS;
    }
    if (address_is_ip(a) && listen_fd_set_ip_options(fd, l, a) != 0) {
        return E_SYS;
    }
    return socket_apply_options(fd, l->socket_options, l->socket_option_count,
                                SOCKET_STATE_PREBIND);
}

static int listen_fd_new(const struct listener_config *l, const struct address *a,
                         bool is_reuse_port, int *ret_fd)
{
    int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                    l->is_mptcp && address_is_ip(a) ? IPPROTO_MPTCP : 0);
    int saved;

    if (fd < 0) {
        return E_SYS;
    }
    if (listen_fd_set_options(fd, l, a, is_reuse_port) != 0 || bind(fd, &a->sa, a->len) != 0 ||
        socket_apply_options(fd, l->socket_options, l->socket_option_count, SOCKET_STATE_BOUND) !=
            0) {
        saved = errno;
        close(fd);
        errno = saved;
        return E_SYS;
    }
    *ret_fd = fd;
    return 0;
}

int listen_socket_new(const struct listener_config *l, size_t address_index, size_t worker_count,
                      struct listen_socket **ret, struct error *reterr)
{
    struct address a = l->addresses[address_index];
    bool is_reuse_port = l->reuse_port && address_is_ip(&a);
    size_t n = is_reuse_port && worker_count > 0 ? worker_count : 1;
    struct listen_socket *s = xcalloc(1, sizeof(*s) + n * sizeof(int));
    char text[ADDRESS_TEXT_MAX];

    s->refs = 1;
    s->is_reuse_port = is_reuse_port;
    s->options_hash = listen_socket_options_hash(l, address_index);
    s->is_ip = address_is_ip(&a);
    if (!s->is_ip) {
        unix_remove_stale(&a);
    }
    for (; s->fd_count < n; s->fd_count++) {
        if (listen_fd_new(l, &a, is_reuse_port, &s->fds[s->fd_count]) != 0) {
            int saved = errno;

            address_format(&a, text);
            listen_socket_unref(s);
            return error_set(reterr, E_SYS, "cannot bind '%s': %s", text, strerror(saved));
        }
        if (s->fd_count == 0) {
            /* The kernel chose the port: the other workers' sockets share it. */
            socklen_t len = sizeof(a.un);

            if (getsockname(s->fds[0], &a.sa, &len) == 0) {
                a.len = len;
            }
            s->bound = a;
        }
    }
    if (!s->is_ip && l->unix_mode != 0 && a.un.sun_path[0] != '\0') {
        (void)chmod(a.un.sun_path, (mode_t)l->unix_mode);
    }
    *ret = s;
    return 0;
}

int listen_socket_adopt(const struct listener_config *l, size_t address_index, size_t worker_count,
                        const int *take_fds, size_t count, struct listen_socket **ret,
                        struct error *reterr)
{
    struct address a = l->addresses[address_index];
    bool is_reuse_port = l->reuse_port && address_is_ip(&a);
    size_t n = is_reuse_port && worker_count > count ? worker_count : count;
    struct listen_socket *s = xcalloc(1, sizeof(*s) + n * sizeof(int));
    char text[ADDRESS_TEXT_MAX];

    s->refs = 1;
    s->is_reuse_port = is_reuse_port;
    s->options_hash = listen_socket_options_hash(l, address_index);
    s->is_ip = address_is_ip(&a);
    s->bound = a;
    memcpy(s->fds, take_fds, count * sizeof(int));
    for (s->fd_count = count; s->fd_count < n; s->fd_count++) {
        if (listen_fd_new(l, &a, true, &s->fds[s->fd_count]) != 0) {
            if (errno == EADDRINUSE) {
                break; /* there it was shared, and so it stays */
            }
            address_format(&a, text);
            (void)error_set(reterr, E_SYS, "cannot bind '%s': %s", text, strerror(errno));
            listen_socket_unref(s);
            return E_SYS;
        }
    }
    *ret = s;
    return 0;
}

int listen_socket_listen(struct listen_socket *s, const struct listener_config *l,
                         struct error *reterr)
{
    char text[ADDRESS_TEXT_MAX];

    if (s->is_listening) {
        return 0;
    }
    for (size_t i = 0; i < s->fd_count; i++) {
        if (listen(s->fds[i], l->backlog > 0 ? l->backlog : INT32_MAX) != 0 ||
            socket_apply_options(s->fds[i], l->socket_options, l->socket_option_count,
                                 SOCKET_STATE_LISTENING) != 0) {
            address_format(&s->bound, text);
            return error_set(reterr, E_SYS, "cannot listen() errno=%d on '%s'", errno, text);
        }
    }
    s->is_listening = true;
    return 0;
}

size_t listen_socket_fds_of(const struct listen_socket *s, size_t worker, size_t worker_count,
                            int *fds)
{
    size_t n = 0;

    for (size_t i = worker; i < s->fd_count; i += worker_count) {
        fds[n++] = s->fds[i];
    }
    if (n == 0 && s->fd_count > 0) {
        fds[n++] = s->fds[worker % s->fd_count];
    }
    return n;
}

void listen_socket_close_fds(struct listen_socket *s)
{
    if (!s->is_ip && s->fd_count > 0 && s->bound.un.sun_path[0] != '\0' && !s->is_handed_over) {
        (void)unlink(s->bound.un.sun_path);
    }
    for (size_t i = 0; i < s->fd_count; i++) {
        close(s->fds[i]);
    }
    s->fd_count = 0;
}

void listen_socket_ref(struct listen_socket *s)
{
    s->refs++;
}

void listen_socket_unref(struct listen_socket *s)
{
    if (s == NULL || --s->refs > 0) {
        return;
    }
    listen_socket_close_fds(s);
    free(s);
}
