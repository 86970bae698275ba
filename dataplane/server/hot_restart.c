/* Both ends of hot restart as the main loop sees them. Main thread. */

#include "dataplane/server/hot_restart.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/base/log.h"
#include "dataplane/base/rand.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/event/fd_watch.h"
#include "dataplane/event/timer.h"
#include "dataplane/server/admin_server.h"
#include "dataplane/server/hot_restart_child.h"
#include "dataplane/server/hot_restart_wire.h"
#include "dataplane/server/listener_manager.h"
#include "dataplane/server/server.h"

#define BASE_ID_TRIES 100
#define BASE_ID_DYNAMIC_MAX 0x0fffffff /* ten names each fit 32 bits, as Envoy's */

enum child_state {
    CHILD_NONE,
    CHILD_STARTING, /* takes sockets */
    CHILD_LIVE,     /* this process drains, and ends */
};

struct hot_restart {
    struct server *server;
    struct address name;
    struct fd_watch waiting; /* for a child */
    struct fd_watch child;
    enum child_state child_state;
    bool has_admin_been_taken;
    struct timer end; /* of this process, should the child forget */
    int parent_fd;    /* until this process is live; -1: none */
    struct fd_watch parent;
    struct timer parent_end; /* when it is told to terminate */
    struct hot_restart_welcome welcome;
};

/* --- the parent's end --------------------------------------------------------------------- */

static void child_answer(struct hot_restart *h, enum hot_restart_kind kind, struct str text)
{
    struct hot_restart_message m;

    hot_restart_message_init(&m, kind);
    m.generation = hot_restart_generation(h);
    m.start_ns = hot_restart_first_start_ns(h) > 0 ? hot_restart_first_start_ns(h)
                                                   : h->server->start_wall_ns;
    (void)hot_restart_send(h->child.fd, &m, text.ptr, text.len, NULL,
                           0); /* its end shows on read */
}

static void child_answer_sockets(struct hot_restart *h, const int *fds, size_t count)
{
    struct hot_restart_message m;
    size_t sent = 0;

    hot_restart_message_init(&m, HOT_RESTART_SOCKETS);
    do {
        size_t n = count - sent < HOT_RESTART_FDS_MAX ? count - sent : HOT_RESTART_FDS_MAX;

        m.is_last = sent + n == count;
        if (hot_restart_send(h->child.fd, &m, NULL, 0, fds + sent, n) != 0) {
            return; /* its end shows on read */
        }
        sent += n;
    } while (sent < count);
}

/* Nothing has changed for this process: it goes on as before. */
static void child_gone(struct hot_restart *h)
{
    fd_watch_close(&h->child);
    if (h->child_state == CHILD_STARTING) {
        log_warn(LOG_C_MAIN, "hot restart: the new process ended before it was live");
        listener_manager_take_back(h->server->listeners);
        if (h->has_admin_been_taken) {
            h->has_admin_been_taken = false;
            server_admin_resume(h->server);
        }
        h->child_state = CHILD_NONE;
    }
}

static void on_end(struct timer *t)
{
    server_stop(container_of(t, struct hot_restart, end)->server);
}

static void parent_terminate(struct hot_restart *h);

static void child_is_live(struct hot_restart *h)
{
    struct server *s = h->server;

    log_warn(LOG_C_MAIN, "hot restart: the new process is live, draining");
    h->child_state = CHILD_LIVE;
    parent_terminate(h); /* three generations at most */
    fd_watch_close(&h->waiting);
    drain_manager_stop_listeners(&s->drain, DRAIN_ALL_LISTENERS);
    drain_manager_start(&s->drain, DRAIN_ALL_LISTENERS);
    server_admin_hand_over(s);
    timer_arm(&s->loop, &h->end, (uint64_t)s->options.parent_shutdown_time_s * 1000);
    child_answer(h, HOT_RESTART_GOING, STR_NONE);
}

static void child_greets(struct hot_restart *h, uint32_t epoch)
{
    if (epoch != h->server->options.restart_epoch + 1) {
        child_answer(h, HOT_RESTART_REFUSED, STR("its epoch is not the one before"));
    } else if (h->server->state == SERVER_DRAINING) {
        child_answer(h, HOT_RESTART_REFUSED, STR("it is about to end"));
    } else {
        log_info(LOG_C_MAIN, "hot restart: a process of epoch %u takes over", epoch);
        h->child_state = CHILD_STARTING;
        child_answer(h, HOT_RESTART_WELCOME, STR_NONE);
    }
}

static bool received_address(const struct hot_restart_received *m, struct address *ret)
{
    if (m->m.data_len < sizeof(sa_family_t) || m->m.data_len > sizeof(ret->un)) {
        return false;
    }
    memset(ret, 0, sizeof(*ret));
    memcpy(&ret->un, m->data, m->m.data_len);
    ret->len = (socklen_t)m->m.data_len;
    return true;
}

static void child_wants_sockets(struct hot_restart *h, const struct hot_restart_received *m)
{
    struct address a;
    const struct listen_socket *s =
        received_address(m, &a) ? listener_manager_hand_over(h->server->listeners, &a) : NULL;

    child_answer_sockets(h, s != NULL ? s->fds : NULL, s != NULL ? s->fd_count : 0);
}

static void child_wants_admin(struct hot_restart *h, const struct hot_restart_received *m)
{
    struct address a;
    int fd = received_address(m, &a) ? server_admin_pause(h->server, &a) : -1;

    h->has_admin_been_taken |= fd >= 0;
    child_answer_sockets(h, &fd, fd >= 0);
}

static void child_said(struct hot_restart *h, const struct hot_restart_received *m)
{
    bool is_known = h->child_state == CHILD_STARTING;

    if (m->m.kind == HOT_RESTART_HELLO && h->child_state == CHILD_NONE) {
        child_greets(h, m->m.epoch);
    } else if (m->m.kind == HOT_RESTART_GET_SOCKETS && is_known) {
        child_wants_sockets(h, m);
    } else if (m->m.kind == HOT_RESTART_GET_ADMIN && is_known) {
        child_wants_admin(h, m);
    } else if (m->m.kind == HOT_RESTART_LIVE && is_known) {
        child_is_live(h);
    } else if (m->m.kind == HOT_RESTART_TERMINATE && h->child_state == CHILD_LIVE) {
        log_warn(LOG_C_MAIN, "hot restart: told to end");
        server_stop(h->server);
    } else {
        child_gone(h);
    }
}

static void child_on_readable(struct fd_watch *w)
{
    struct hot_restart *h = container_of(w, struct hot_restart, child);
    struct hot_restart_received m;
    int r = hot_restart_receive(w->fd, &m);

    if (r == E_AGAIN) {
        return;
    }
    if (r == 0) {
        for (size_t i = 0; i < m.fd_count; i++) {
            close(m.fds[i]); /* nobody asked */
        }
        child_said(h, &m);
        return;
    }
    if (r == E_PROTOCOL && m.m.version != 0) {
        child_answer(h, HOT_RESTART_REFUSED,
                     STR("it is of another version")); /* ours tells which */
    }
    child_gone(h);
}

/* Sockets are not for everybody who can connect. */
static bool is_own_user(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
}

static void waiting_on_readable(struct fd_watch *w)
{
    struct hot_restart *h = container_of(w, struct hot_restart, waiting);
    int fd;

    if (h->child.is_closing) {
        return; /* asked again in the next turn */
    }
    fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    if (fd_watch_is_open(&h->child) || !is_own_user(fd)) {
        close(fd); /* one at a time */
        return;
    }
    if (fd_watch_start(&h->server->loop, &h->child, fd, child_on_readable) != 0) {
        log_error(LOG_C_MAIN, "hot restart: cannot talk to the new process");
    }
}

/* --- the child's end ---------------------------------------------------------------------- */

static void parent_gone(struct hot_restart *h)
{
    timer_cancel(&h->server->loop, &h->parent_end);
    fd_watch_close(&h->parent);
    if (h->parent_fd >= 0) {
        close(h->parent_fd);
        h->parent_fd = -1;
    }
}

static void parent_terminate(struct hot_restart *h)
{
    struct hot_restart_message m;

    if (fd_watch_is_open(&h->parent)) {
        hot_restart_message_init(&m, HOT_RESTART_TERMINATE);
        (void)hot_restart_send(h->parent.fd, &m, NULL, 0, NULL, 0); /* gone already: just as well */
        parent_gone(h);
    }
}

static void parent_on_readable(struct fd_watch *w)
{
    parent_gone(container_of(w, struct hot_restart, parent)); /* it has nothing to say but that */
}

static void on_parent_end(struct timer *t)
{
    struct hot_restart *h = container_of(t, struct hot_restart, parent_end);

    log_info(LOG_C_MAIN, "shutting down parent after drain");
    parent_terminate(h);
}

size_t hot_restart_inherit(struct hot_restart *h, const struct address *a, int *fds, size_t max)
{
    return h != NULL && h->parent_fd >= 0
               ? hot_restart_get_sockets(h->parent_fd, HOT_RESTART_GET_SOCKETS, a, fds, max)
               : 0;
}

int hot_restart_inherit_admin(struct hot_restart *h, const struct address *a)
{
    int fd;

    return h != NULL && h->parent_fd >= 0 &&
                   hot_restart_get_sockets(h->parent_fd, HOT_RESTART_GET_ADMIN, a, &fd, 1) == 1
               ? fd
               : -1;
}

void hot_restart_on_live(struct hot_restart *h)
{
    struct loop *l;
    int fd;
    int r;

    if (h == NULL || h->parent_fd < 0) {
        return;
    }
    l = &h->server->loop;
    fd = h->parent_fd;
    h->parent_fd = -1;
    r = hot_restart_tell_live(fd);
    if (r != 0) {
        log_error(LOG_C_MAIN, "hot restart: the parent does not answer (%s)", error_name(r));
        close(fd);
        return;
    }
    if (fd_watch_start(l, &h->parent, fd, parent_on_readable) == 0) {
        timer_arm(l, &h->parent_end, (uint64_t)h->server->options.parent_shutdown_time_s * 1000);
    }
}

uint64_t hot_restart_generation(const struct hot_restart *h)
{
    return h != NULL ? h->welcome.generation + 1 : 1;
}

uint64_t hot_restart_first_start_ns(const struct hot_restart *h)
{
    return h != NULL ? h->welcome.start_ns : 0;
}

/* --- life --------------------------------------------------------------------------------- */

bool hot_restart_shares_sockets(const struct hot_restart *h)
{
    return h != NULL && (h->child_state != CHILD_NONE || h->parent_fd >= 0);
}

void hot_restart_stop_waiting(struct hot_restart *h)
{
    if (h != NULL && fd_watch_is_open(&h->waiting)) {
        fd_watch_close(&h->waiting);
        if (h->name.un.sun_path[0] != '\0') {
            (void)unlink(h->name.un.sun_path);
        }
    }
}

/* Of a process that ended without taking it along: nobody listens there. */
static void remove_stale(const struct address *name)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (name->un.sun_path[0] != '\0' && connect(fd, &name->sa, name->len) != 0 &&
        errno == ECONNREFUSED) {
        (void)unlink(name->un.sun_path);
    }
    close(fd);
}

/* Takes the name of `base_id` for this process. 0 or E_SYS with errno. */
static int wait_for_child(struct hot_restart *h, uint32_t base_id, struct error *reterr)
{
    const struct options *o = &h->server->options;
    int fd;

    if (hot_restart_name(o->socket_path, base_id, o->restart_epoch, &h->name) != 0) {
        return error_set(reterr, E_LIMIT, "hot restart: --socket-path '%s' is too long",
                         o->socket_path);
    }
    remove_stale(&h->name);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, &h->name.sa, h->name.len) != 0 || listen(fd, 1) != 0) {
        int saved = errno;

        if (fd >= 0) {
            close(fd);
        }
        return error_set(reterr, E_EXISTS,
                         "unable to bind domain socket with base_id=%u, id=%u, errno=%d (see "
                         "--base-id option)",
                         base_id, base_id * 10 + o->restart_epoch % HOT_RESTART_GENERATIONS, saved);
    }
    if (h->name.un.sun_path[0] != '\0' && o->socket_mode > 0) {
        (void)chmod(h->name.un.sun_path, o->socket_mode);
    }
    return fd_watch_start(&h->server->loop, &h->waiting, fd, waiting_on_readable);
}

static int wait_under_any_name(struct hot_restart *h, uint32_t *ret_base_id, struct error *reterr)
{
    struct error last;

    for (int i = 0; i < BASE_ID_TRIES; i++) {
        *ret_base_id = (uint32_t)rng_below(&h->server->loop.rng, BASE_ID_DYNAMIC_MAX);
        error_init(&last);
        if (wait_for_child(h, *ret_base_id, &last) == 0) {
            error_done(&last);
            return 0;
        }
        error_done(&last);
    }
    return error_set(reterr, E_EXISTS, "unable to select a dynamic base id");
}

static int write_base_id(const char *path, uint32_t base_id, struct error *reterr)
{
    FILE *f = path != NULL ? fopen(path, "we") : NULL;

    if (path != NULL && f == NULL) {
        return error_set(reterr, E_SYS, "cannot open base id output file %s for writing.", path);
    }
    if (f != NULL) {
        fprintf(f, "%u", base_id);
        fclose(f);
    }
    return 0;
}

/* A second process without a --base-id of its own is no mistake that ought to end it. */
static int take_name(struct hot_restart *h, uint32_t *base_id, struct error *reterr)
{
    const struct options *o = &h->server->options;
    struct error taken;
    int r;

    if (o->use_dynamic_base_id) {
        return wait_under_any_name(h, base_id, reterr);
    }
    error_init(&taken);
    r = wait_for_child(h, *base_id, o->has_base_id || o->restart_epoch > 0 ? reterr : &taken);
    if (r == E_EXISTS && error_is_set(&taken)) {
        log_warn(LOG_C_MAIN, "%s: no hot restart of this process", error_message(&taken));
        r = 0;
    }
    error_done(&taken);
    return r;
}

static int find_parent(struct hot_restart *h, uint32_t base_id, struct error *reterr)
{
    const struct options *o = &h->server->options;
    struct error none;
    int r;

    if (o->restart_epoch == 0) {
        return 0;
    }
    error_init(&none);
    r = hot_restart_connect(o, base_id, &h->parent_fd, &h->welcome,
                            o->skip_hot_restart_on_no_parent ? &none : reterr);
    if (r != 0 && o->skip_hot_restart_on_no_parent) {
        if (r == E_NOT_FOUND) {
            log_warn(LOG_C_MAIN, "%s", error_message(&none));
            r = 0;
        } else {
            (void)error_set(reterr, r, "%s", error_message(&none));
        }
    }
    error_done(&none);
    return r;
}

int hot_restart_new(struct server *s, struct hot_restart **ret, struct error *reterr)
{
    struct hot_restart *h;
    uint32_t base_id = s->options.base_id;
    int r;

    *ret = NULL;
    if (s->options.disable_hot_restart || s->options.mode == MODE_VALIDATE) {
        return 0;
    }
    h = xcalloc(1, sizeof(*h));
    h->server = s;
    h->parent_fd = -1;
    timer_init(&h->end, on_end);
    timer_init(&h->parent_end, on_parent_end);
    *ret = h;
    r = find_parent(h, base_id, reterr);
    if (r == 0) {
        r = take_name(h, &base_id, reterr);
    }
    if (r == 0) {
        r = write_base_id(s->options.base_id_path, base_id, reterr);
    }
    s->options.base_id = base_id;
    return r;
}

void hot_restart_close(struct hot_restart *h)
{
    if (h == NULL) {
        return;
    }
    timer_cancel(&h->server->loop, &h->end);
    hot_restart_stop_waiting(h);
    fd_watch_close(&h->child);
    parent_gone(h);
}

void hot_restart_free(struct hot_restart *h)
{
    free(h);
}
