/* Messages of hot restart and the names of its sockets. Main thread; the only state is the socket.
 */

#include "dataplane/server/hot_restart_wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE_MAGIC 0x6e756e63u

const char *hot_restart_version(void)
{
    return "1";
}

/* As Envoy: ten names for each base id, of which the epochs use three in turn. */
int hot_restart_name(const char *socket_path, uint32_t base_id, uint32_t epoch,
                     struct address *ret_name)
{
    char text[256];
    int n = snprintf(text, sizeof(text), "%s_parent_%llu",
                     socket_path != NULL ? socket_path : HOT_RESTART_SOCKET_PATH,
                     (unsigned long long)base_id * 10 + epoch % HOT_RESTART_GENERATIONS);

    if (n < 0 || (size_t)n >= sizeof(text)) {
        return E_LIMIT;
    }
    return address_from_path(str_n(text, (size_t)n), ret_name);
}

void hot_restart_message_init(struct hot_restart_message *m, enum hot_restart_kind kind)
{
    memset(m, 0, sizeof(*m));
    m->magic = MESSAGE_MAGIC;
    m->version = HOT_RESTART_VERSION;
    m->kind = kind;
}

int hot_restart_send(int fd, const struct hot_restart_message *m, const void *data, size_t data_len,
                     const int *fds, size_t fd_count)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(HOT_RESTART_FDS_MAX * sizeof(int))];
    } control;
    struct hot_restart_message head = *m;
    struct iovec parts[2] = {
        {.iov_base = &head, .iov_len = sizeof(head)},
        {.iov_base = (void *)(uintptr_t)data, .iov_len = data_len},
    };
    struct msghdr msg = {.msg_iov = parts, .msg_iovlen = data_len > 0 ? 2 : 1};
    ssize_t n;

    CHECK(data_len <= HOT_RESTART_DATA_MAX && fd_count <= HOT_RESTART_FDS_MAX);
    head.data_len = (uint32_t)data_len;
    if (fd_count > 0) {
        struct cmsghdr *c;

        memset(&control, 0, sizeof(control));
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, fd_count * sizeof(int));
    }
    do {
        n = sendmsg(fd, &msg, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return errno == EPIPE || errno == ECONNRESET ? E_CLOSED : E_SYS;
    }
    return 0;
}

int hot_restart_parse(const void *bytes, size_t len, struct hot_restart_received *ret)
{
    struct hot_restart_message m;

    memset(&ret->m, 0, sizeof(ret->m));
    if (len < sizeof(m)) {
        return E_PROTOCOL;
    }
    memcpy(&m, bytes, sizeof(m));
    if (m.magic != MESSAGE_MAGIC) {
        return E_PROTOCOL;
    }
    ret->m.version = m.version;
    if (m.version != HOT_RESTART_VERSION || m.kind == 0 || m.kind >= HOT_RESTART_KIND_END ||
        m.data_len > HOT_RESTART_DATA_MAX || m.data_len != len - sizeof(m)) {
        return E_PROTOCOL;
    }
    ret->m = m;
    memcpy(ret->data, (const char *)bytes + sizeof(m), m.data_len);
    return 0;
}

static void received_take_fds(struct msghdr *msg, struct hot_restart_received *ret)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
        size_t count;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        CHECK(ret->fd_count + count <= HOT_RESTART_FDS_MAX); /* the control buffer ends there */
        memcpy(ret->fds + ret->fd_count, CMSG_DATA(c), count * sizeof(int));
        ret->fd_count += count;
    }
}

static void received_close_fds(struct hot_restart_received *ret)
{
    for (size_t i = 0; i < ret->fd_count; i++) {
        close(ret->fds[i]);
    }
    ret->fd_count = 0;
}

int hot_restart_receive(int fd, struct hot_restart_received *ret)
{
    char bytes[sizeof(struct hot_restart_message) + HOT_RESTART_DATA_MAX];
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(HOT_RESTART_FDS_MAX * sizeof(int))];
    } control;
    struct iovec part = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    struct msghdr msg = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    ssize_t n;
    int r;

    ret->fd_count = 0;
    memset(&ret->m, 0, sizeof(ret->m));
    do {
        n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return errno == EAGAIN ? E_AGAIN : E_CLOSED;
    }
    received_take_fds(&msg, ret);
    if (n == 0) {
        received_close_fds(ret);
        return E_CLOSED;
    }
    r = (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ? E_PROTOCOL
                                                        : hot_restart_parse(bytes, (size_t)n, ret);
    if (r != 0) {
        received_close_fds(ret);
    }
    return r;
}
