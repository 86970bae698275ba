/* Asking the parent. Main thread. */

#include "dataplane/server/hot_restart_child.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/base/log.h"
#include "dataplane/server/options.h"

#define ANSWER_MS 10000 /* a parent that is busy; one that is stuck is none */

/* Whether a real Envoy waits under that name: its sockets are of another type, and its abstract
 * names as long as an address can be. */
static bool is_envoy_there(const struct address *name)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un padded = {0};
    bool is_there;

    memcpy(&padded, &name->un, name->len);
    is_there = fd >= 0 && connect(fd, (const struct sockaddr *)&padded, sizeof(padded)) == 0;

    if (fd >= 0) {
        close(fd);
    }
    return is_there;
}

static int receive(int fd, struct hot_restart_received *ret)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n;

    do {
        n = poll(&p, 1, ANSWER_MS);
    } while (n < 0 && errno == EINTR);
    return n > 0 ? hot_restart_receive(fd, ret) : E_TIMEOUT;
}

static int greet(int fd, uint32_t epoch, struct hot_restart_welcome *ret_welcome,
                 struct error *reterr)
{
    struct hot_restart_message m;
    struct hot_restart_received answer;
    int r;

    hot_restart_message_init(&m, HOT_RESTART_HELLO);
    m.epoch = epoch;
    r = hot_restart_send(fd, &m, NULL, 0, NULL, 0);
    if (r == 0) {
        r = receive(fd, &answer);
    }
    if (r == E_PROTOCOL && answer.m.version != 0) {
        return error_set(reterr, r,
                         "hot restart: the parent speaks version %u, this process version %d: they "
                         "cannot hand over",
                         answer.m.version, HOT_RESTART_VERSION);
    }
    if (r != 0) {
        return error_set(reterr, r, "hot restart: the parent does not answer (%s)", error_name(r));
    }
    if (answer.m.kind != HOT_RESTART_WELCOME) {
        return error_set(reterr, E_PROTOCOL, "hot restart: the parent refuses: %.*s",
                         (int)answer.m.data_len, answer.data);
    }
    ret_welcome->generation = answer.m.generation;
    ret_welcome->start_ns = answer.m.start_ns;
    return 0;
}

int hot_restart_connect(const struct options *o, uint32_t base_id, int *ret_fd,
                        struct hot_restart_welcome *ret_welcome, struct error *reterr)
{
    struct address name;
    char text[ADDRESS_TEXT_MAX];
    int fd;
    int r = hot_restart_name(o->socket_path, base_id, o->restart_epoch - 1, &name);

    if (r != 0) {
        return error_set(reterr, r, "hot restart: the socket path is too long");
    }
    address_format(&name, text);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return error_set(reterr, E_SYS, "hot restart: cannot make a socket: %s", strerror(errno));
    }
    if (connect(fd, &name.sa, name.len) != 0) {
        int saved = errno;

        close(fd);
        if (is_envoy_there(&name)) {
            return error_set(reterr, E_UNSUPPORTED,
                             "hot restart: the parent on '%s' is an Envoy, which hands its sockets "
                             "only to an Envoy: stop it first, then start with --restart-epoch 0",
                             text);
        }
        return error_set(reterr, E_NOT_FOUND,
                         "hot restart: --restart-epoch is %u and no parent waits on '%s': %s (see "
                         "--base-id, --skip-hot-restart-on-no-parent)",
                         o->restart_epoch, text, strerror(saved));
    }
    r = greet(fd, o->restart_epoch, ret_welcome, reterr);
    if (r != 0) {
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

/* Moves what came to the caller; what is too much is closed. */
static size_t take_fds(struct hot_restart_received *answer, int *fds, size_t n, size_t max)
{
    for (size_t i = 0; i < answer->fd_count; i++) {
        if (n < max) {
            fds[n++] = answer->fds[i];
        } else {
            close(answer->fds[i]);
        }
    }
    return n;
}

size_t hot_restart_get_sockets(int fd, enum hot_restart_kind kind, const struct address *a,
                               int *fds, size_t max)
{
    struct hot_restart_message m;
    struct hot_restart_received answer;
    size_t n = 0;
    int r;

    hot_restart_message_init(&m, kind);
    r = hot_restart_send(fd, &m, &a->sa, a->len, NULL, 0);
    do {
        if (r == 0) {
            r = receive(fd, &answer);
        }
        if (r != 0 || answer.m.kind != HOT_RESTART_SOCKETS) {
            log_error(LOG_C_MAIN, "hot restart: the parent gives no sockets (%s)", error_name(r));
            return n;
        }
        n = take_fds(&answer, fds, n, max);
    } while (answer.m.is_last == 0);
    return n;
}

int hot_restart_tell_live(int fd)
{
    struct hot_restart_message m;
    struct hot_restart_received answer;
    int r;

    hot_restart_message_init(&m, HOT_RESTART_LIVE);
    r = hot_restart_send(fd, &m, NULL, 0, NULL, 0);
    if (r == 0) {
        r = receive(fd, &answer);
    }
    return r == 0 && answer.m.kind != HOT_RESTART_GOING ? E_PROTOCOL : r;
}
