#ifndef DATAPLANE_SERVER_HOT_RESTART_WIRE_H
#define DATAPLANE_SERVER_HOT_RESTART_WIRE_H

/*
 * What two generations of the process say to each other, over a connected unix socket that keeps
 * messages apart (SOCK_SEQPACKET). The child asks, the parent answers:
 *
 *   HELLO        WELCOME, or REFUSED with a reason
 *   GET_SOCKETS  SOCKETS: what listens on the address, one or more messages, the last says so
 *   GET_ADMIN    SOCKETS: and the parent's admin pauses until the child is gone or live
 *   LIVE         GOING: the parent stops accepting and drains
 *   TERMINATE    the end of the connection, and of the parent
 *
 * The end of the connection is the end of the other process. Messages are of this version alone: no
 * compatibility is promised between builds whose versions differ. The socket has Envoy's name (but
 * another type), so that launchers and --base-id mean the same.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/address.h"
#include "dataplane/base/error.h"

#define HOT_RESTART_VERSION 1
#define HOT_RESTART_SOCKET_PATH "@envoy_domain_socket" /* unless --socket-path says otherwise */
#define HOT_RESTART_GENERATIONS 3                      /* that may live at once, as Envoy */
#define HOT_RESTART_FDS_MAX 200                        /* in a message; the kernel takes 253 */
#define HOT_RESTART_DATA_MAX 512

enum hot_restart_kind {
    HOT_RESTART_HELLO = 1,
    HOT_RESTART_WELCOME,
    HOT_RESTART_REFUSED,
    HOT_RESTART_GET_SOCKETS,
    HOT_RESTART_GET_ADMIN,
    HOT_RESTART_SOCKETS,
    HOT_RESTART_LIVE,
    HOT_RESTART_GOING,
    HOT_RESTART_TERMINATE,
    HOT_RESTART_KIND_END
};

struct hot_restart_message {
    uint32_t magic;
    uint32_t version;
    uint32_t kind;       /* enum hot_restart_kind */
    uint32_t epoch;      /* HELLO */
    uint64_t generation; /* WELCOME: the parent's */
    uint64_t start_ns;   /* WELCOME: when the first generation started, wall clock */
    uint32_t is_last;    /* SOCKETS */
    uint32_t data_len;   /* of what follows the message: an address, a reason */
};

/* A message as received; what it holds is the receiver's. */
struct hot_restart_received {
    struct hot_restart_message m;
    char data[HOT_RESTART_DATA_MAX];
    int fds[HOT_RESTART_FDS_MAX];
    size_t fd_count;
};

/* "1", as /hot_restart_version and --hot-restart-version say it. */
const char *hot_restart_version(void);
/* The name under which the process of that epoch waits for its child. E_LIMIT: --socket-path is too
 * long, or the base id too large. */
int hot_restart_name(const char *socket_path, uint32_t base_id, uint32_t epoch,
                     struct address *ret_name) MUST_CHECK;
void hot_restart_message_init(struct hot_restart_message *m, enum hot_restart_kind kind);
/* E_SYS, E_CLOSED. Never blocks on a socket that does not. The fds stay the caller's. */
int hot_restart_send(int fd, const struct hot_restart_message *m, const void *data, size_t data_len,
                     const int *fds, size_t fd_count);
/* E_AGAIN: nothing there. E_CLOSED: the other end has gone. E_PROTOCOL: no message of ours; of
 * another version if `ret->m.version` is not 0. On error no descriptor is left. */
int hot_restart_receive(int fd, struct hot_restart_received *ret) MUST_CHECK;
/* For hot_restart_receive and its fuzz target: checks what was read. */
int hot_restart_parse(const void *bytes, size_t len, struct hot_restart_received *ret) MUST_CHECK;

#endif
