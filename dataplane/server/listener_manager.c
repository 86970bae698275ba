/* Sockets and versions of listeners. Main thread; accepting is worker.c's and net/listener.c's. */

#include "dataplane/server/listener_manager.h"

#include <stdlib.h>
#include <string.h>

#include "config/store.h"
#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/net/connection_balance.h"
#include "dataplane/net/listener.h"
#include "dataplane/net/listener_series.h"
#include "dataplane/server/hot_restart.h"

#define INHERITED_MAX 1024 /* sockets of one address: a process has no more workers */

struct listener_manager {
    struct list versions; /* the prepared ones that are not discarded */
    struct stat_store *stats;
    const struct config_store *store;
    size_t worker_count;
    size_t *version_count;
    struct hot_restart *hot_restart;
    enum drain_direction stopped;
};

struct listener_manager *listener_manager_new(struct stat_store *stats, size_t worker_count,
                                              size_t *version_count)
{
    struct listener_manager *m = xcalloc(1, sizeof(*m));

    list_init(&m->versions);
    m->stats = stats;
    m->worker_count = worker_count;
    m->version_count = version_count;
    return m;
}

void listener_manager_set_store(struct listener_manager *m, const struct config_store *s)
{
    m->store = s;
}

void listener_manager_set_hot_restart(struct listener_manager *m, struct hot_restart *h)
{
    m->hot_restart = h;
}

/* --- versions ----------------------------------------------------------------------------- */

/* As Envoy: the configured stat_prefix, else the configured address with ':' made '_'. */
static void listener_stat_name(const struct listener_config *l, struct strbuf *out)
{
    char text[ADDRESS_TEXT_MAX];
    size_t len;

    if (l->stat_prefix.len > 0) {
        strbuf_add_str(out, l->stat_prefix);
        return;
    }
    len = address_format(&l->addresses[0], text);
    for (size_t i = 0; i < len; i++) {
        strbuf_add_char(out, text[i] == ':' ? '_' : text[i]);
    }
}

static struct listener_scope *listener_scope_new(struct listener_manager *m,
                                                 const struct listener_config *l)
{
    struct listener_scope *s = xcalloc(1, sizeof(*s));
    struct strbuf prefix;
    struct str tag;

    strbuf_init(&prefix);
    strbuf_add_c(&prefix, "listener.");
    listener_stat_name(l, &prefix);
    tag = str_sub(strbuf_str(&prefix), strlen("listener."), prefix.len);
    strbuf_add_char(&prefix, '.');
    tag.ptr = prefix.ptr + strlen("listener.");
    s->refs = 1;
    s->stats = stat_scope_ref(m->stats, &(struct stat_scope_spec){
                                            .prefix = strbuf_str(&prefix),
                                            .tagged_prefix = STR("listener."),
                                            .tags = {{STR("envoy.listener_address"), tag}},
                                            .tag_count = 1,
                                            .schema = &listener_stat_schema,
                                        });
    /* Zeros are shown from the start: pollers look for downstream_cx_active. */
    (void)stat_scope_block(s->stats, LOOP_MAIN_INDEX);
    s->series = listener_series_new(m->stats, s->stats, strbuf_str(&prefix), tag, m->worker_count);
    strbuf_done(&prefix);
    return s;
}

static void listener_scope_unref(struct listener_scope *s)
{
    if (s != NULL && --s->refs == 0) {
        listener_series_free(s->series);
        stat_scope_unref(s->stats);
        free(s);
    }
}

/* That of the version before, if there is one. */
static struct listener_count *listener_manager_count(const struct listener_manager *m,
                                                     struct str name)
{
    struct listener_version *v;
    struct listener_count *n;

    list_for_each (v, &m->versions, struct listener_version, node) {
        if (str_eq(v->config->name, name)) {
            listener_count_ref(v->count);
            return v->count;
        }
    }
    n = xcalloc_aligned(_Alignof(struct listener_count), sizeof(*n));
    n->balance = connection_balance_new(m->worker_count);
    atomic_init(&n->refs, 1);
    return n;
}

void listener_count_ref(struct listener_count *n)
{
    (void)atomic_fetch_add_explicit(&n->refs, 1, memory_order_relaxed);
}

void listener_count_unref(struct listener_count *n)
{
    if (n != NULL && atomic_fetch_sub_explicit(&n->refs, 1, memory_order_acq_rel) == 1) {
        connection_balance_free(n->balance);
        free(n);
    }
}

void listener_version_ref(struct listener_version *v)
{
    v->refs++;
}

static void listener_version_drop_sockets(struct listener_version *v)
{
    for (size_t i = 0; i < v->socket_count; i++) {
        listen_socket_unref(v->sockets[i]);
    }
    v->socket_count = 0;
}

void listener_version_open(struct listener_version *v)
{
    v->opens++;
}

void listener_version_close(struct listener_version *v)
{
    CHECK(v->opens > 0);
    if (--v->opens == 0 && !list_is_linked(&v->node)) {
        listener_version_drop_sockets(v);
    }
}

void listener_version_unref(struct listener_version *v)
{
    if (v == NULL || --v->refs > 0) {
        return;
    }
    list_remove(&v->node);
    listener_version_drop_sockets(v);
    filter_chain_index_free(v->chains);
    listener_scope_unref(v->scope);
    listener_count_unref(v->count);
    part_unref(&v->config->part);
    --*v->version_count;
    free(v);
}

void listener_ref_chains(const struct listener_config *l)
{
    for (size_t i = 0; i < l->chain_count; i++) {
        part_ref(&l->chains[i]->part);
    }
    if (l->default_chain != NULL) {
        part_ref(&l->default_chain->part);
    }
}

static struct listener_version *listener_manager_find(const struct listener_manager *m,
                                                      const struct listener_config *l)
{
    struct listener_version *v;

    list_for_each (v, &m->versions, struct listener_version, node) {
        if (v->config == l) {
            return v;
        }
    }
    return NULL;
}

/* --- addresses ---------------------------------------------------------------------------- */

static bool listener_is_going(const struct listener_manager *m, const struct listener_config *l)
{
    return m->store != NULL && config_store_is_removed(m->store, PART_LISTENER, l->name);
}

/* Envoy: "error adding listener: 'b' has duplicate address '127.0.0.1:80' as existing listener". */
static int listener_check_duplicates(const struct listener_manager *m,
                                     const struct listener_config *l, struct error *reterr)
{
    struct listener_version *v;
    char text[ADDRESS_TEXT_MAX];

    list_for_each (v, &m->versions, struct listener_version, node) {
        if (str_eq(v->config->name, l->name) || !v->config->bind_to_port || !l->bind_to_port ||
            listener_is_going(m, v->config)) {
            continue;
        }
        for (size_t i = 0; i < l->address_count; i++) {
            for (size_t j = 0; j < v->config->address_count; j++) {
                if (address_port(&l->addresses[i]) == 0 && address_is_ip(&l->addresses[i])) {
                    continue;
                }
                if (address_eq(&l->addresses[i], &v->config->addresses[j])) {
                    address_format(&l->addresses[i], text);
                    return error_set(reterr, E_EXISTS,
                                     "error adding listener: '%.*s' has duplicate address '%s' as "
                                     "existing listener, to check if the listener has duplicated "
                                     "addresses with other listeners or 'enable_reuse_port' is set "
                                     "to 'false' for the listener",
                                     STR_ARG(l->name), text);
                }
            }
        }
    }
    return 0;
}

/* A socket that is already bound to this address with the same options: of the version before, or
 * of a listener that is being removed. */
static struct listen_socket *listener_find_socket(const struct listener_manager *m,
                                                  const struct listener_config *l, size_t index)
{
    uint64_t hash = listen_socket_options_hash(l, index);
    struct listener_version *v;

    list_for_each (v, &m->versions, struct listener_version, node) {
        if (!str_eq(v->config->name, l->name) && !listener_is_going(m, v->config)) {
            continue;
        }
        for (size_t i = 0; i < v->socket_count; i++) {
            if (v->sockets[i]->options_hash == hash && v->sockets[i]->fd_count > 0) {
                return v->sockets[i];
            }
        }
    }
    return NULL;
}

/* Of the process before this one, else a new one. */
static int listener_make_socket(struct listener_manager *m, const struct listener_config *l,
                                size_t index, struct listen_socket **ret, struct error *reterr)
{
    const struct address *a = &l->addresses[index];
    int fds[INHERITED_MAX];
    size_t n = address_is_ip(a) && address_port(a) == 0
                   ? 0
                   : hot_restart_inherit(m->hot_restart, a, fds, ARRAY_LEN(fds));

    return n > 0 ? listen_socket_adopt(l, index, m->worker_count, fds, n, ret, reterr)
                 : listen_socket_new(l, index, m->worker_count, ret, reterr);
}

static int listener_version_bind(struct listener_manager *m, struct listener_version *v,
                                 struct error *reterr)
{
    const struct listener_config *l = v->config;

    if (drain_direction_covers(m->stopped, l->traffic_direction)) {
        return 0; /* as Envoy: known, never opened */
    }
    for (size_t i = 0; l->bind_to_port && i < l->address_count; i++) {
        struct listen_socket *s = listener_find_socket(m, l, i);
        int r;

        if (s != NULL) {
            listen_socket_ref(s);
        } else {
            r = listener_make_socket(m, l, i, &s, reterr);
            if (r != 0) {
                return r;
            }
        }
        v->sockets[v->socket_count++] = s;
    }
    return 0;
}

int listener_manager_prepare(struct listener_manager *m, const struct listener_config *l,
                             const struct listener_config *before, struct error *reterr)
{
    struct listener_version *old = before != NULL ? listener_manager_find(m, before) : NULL;
    struct listener_version *v;
    int r = listener_check_duplicates(m, l, reterr);

    if (r != 0) {
        return r;
    }
    v = xcalloc(1, sizeof(*v) + l->address_count * sizeof(struct listen_socket *));
    v->refs = 1;
    v->version_count = m->version_count;
    ++*v->version_count;
    v->config = l;
    list_init(&v->node);
    part_ref(&l->part);
    v->count = listener_manager_count(m, l->name);
    r = filter_chain_index_new(l, &v->chains, reterr);
    if (r == 0) {
        r = listener_version_bind(m, v, reterr);
    }
    if (r != 0) {
        listener_version_unref(v);
        return r;
    }
    if (old != NULL && str_eq(old->config->stat_prefix, l->stat_prefix) && old->socket_count > 0 &&
        v->socket_count > 0 && old->sockets[0] == v->sockets[0]) {
        v->scope = old->scope;
        v->scope->refs++;
    } else {
        v->scope = listener_scope_new(m, l);
    }
    list_add_tail(&m->versions, &v->node);
    return 0;
}

void listener_manager_discard(struct listener_manager *m, const struct listener_config *l)
{
    struct listener_version *v = listener_manager_find(m, l);

    if (v != NULL) {
        list_remove(&v->node);
        if (v->opens == 0) {
            listener_version_drop_sockets(v);
        }
        listener_version_unref(v);
    }
}

struct listener_version *listener_manager_publish(struct listener_manager *m,
                                                  const struct listener_config *l)
{
    struct listener_version *v = listener_manager_find(m, l);
    struct error err;

    CHECK(v != NULL);
    for (size_t i = 0;
         i < v->socket_count && !drain_direction_covers(m->stopped, l->traffic_direction); i++) {
        error_init(&err);
        if (listen_socket_listen(v->sockets[i], l, &err) != 0) {
            log_error(LOG_C_MAIN, "listener '%.*s': %s", STR_ARG(l->name), error_message(&err));
        }
        error_done(&err);
    }
    listener_version_ref(v);
    return v;
}

void listener_manager_visit(const struct listener_manager *m, listener_visit_fn *visit, void *user)
{
    struct listener_version *v;

    list_for_each (v, &m->versions, struct listener_version, node) {
        visit(user, v);
    }
}

const struct listen_socket *listener_manager_hand_over(struct listener_manager *m,
                                                       const struct address *a)
{
    struct listener_version *v;

    list_for_each (v, &m->versions, struct listener_version, node) {
        for (size_t i = 0; i < v->socket_count; i++) {
            if (address_eq(&v->sockets[i]->bound, a) && v->sockets[i]->fd_count > 0) {
                v->sockets[i]->is_handed_over = true;
                return v->sockets[i];
            }
        }
    }
    return NULL;
}

void listener_manager_take_back(struct listener_manager *m)
{
    struct listener_version *v;

    list_for_each (v, &m->versions, struct listener_version, node) {
        for (size_t i = 0; i < v->socket_count; i++) {
            v->sockets[i]->is_handed_over = false;
        }
    }
}

void listener_manager_stop(struct listener_manager *m, enum drain_direction direction)
{
    m->stopped = direction;
}

size_t listener_manager_close_sockets(struct listener_manager *m)
{
    struct listener_version *v;
    size_t n = 0;

    list_for_each (v, &m->versions, struct listener_version, node) {
        bool had_any = false;

        if (!drain_direction_covers(m->stopped, v->config->traffic_direction)) {
            continue;
        }
        for (size_t i = 0; i < v->socket_count; i++) {
            had_any |= v->sockets[i]->fd_count > 0;
            listen_socket_close_fds(v->sockets[i]);
        }
        n += had_any;
    }
    return n;
}

void listener_manager_refresh_stats(const struct listener_manager *m)
{
    struct listener_version *v;

    list_for_each (v, &m->versions, struct listener_version, node) {
        listener_series_refresh(v->scope->series);
    }
}

size_t listener_manager_draining(const struct listener_manager *m)
{
    size_t n = *m->version_count;

    for (const struct list *v = m->versions.next; v != &m->versions; v = v->next) {
        n--;
    }
    return n;
}

uint64_t listener_manager_active_connections(const struct listener_manager *m)
{
    struct listener_version *v;
    uint64_t n = 0;

    list_for_each (v, &m->versions, struct listener_version, node) {
        n += stat_scope_value(v->scope->stats, LISTENER_DOWNSTREAM_CX_ACTIVE);
    }
    return n;
}

void listener_manager_free(struct listener_manager *m)
{
    struct listener_version *v;

    if (m == NULL) {
        return;
    }
    list_for_each (v, &m->versions, struct listener_version, node) {
        list_remove(&v->node);
        listener_version_unref(v);
    }
    free(m);
}
