/*
 * Name resolution with c-ares on the loop: its sockets are watched with uv_poll, its timeouts with
 * one timer. Main thread. Keeps no cache: clusters decide when to ask again.
 */

#include "dataplane/net/dns.h"

#include <ares.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/error.h"
#include "dataplane/base/list.h"
#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"

#define QUERY_TIMEOUT_MS 5000
#define QUERY_TRIES 3
#define ANSWER_ADDRESSES_MAX 5000
#define TICK_MAX_MS 1000

/* A socket of c-ares that is being watched. */
struct dns_socket {
    uv_poll_t poll;
    struct dns_resolver *resolver;
    struct list node;
    ares_socket_t fd;
};

struct dns_resolver {
    struct loop *loop;
    ares_channel channel;
    struct list sockets;
    struct list queries;
    struct timer timer;
    bool is_closed;
};

/* One name: up to two lookups (v4 and v6), one answer. */
struct dns_query {
    struct dns_resolver *resolver;
    struct list node;
    dns_answer_fn *on_answer; /* NULL once cancelled */
    void *user;
    char *name;
    int family; /* cluster_config.dns_lookup_family */
    int pending;
    int second_family; /* AF_UNSPEC: none; asked when the first found nothing */
    enum dns_status status;
    struct address *addresses;
    size_t address_count;
    uint64_t ttl_s;
    bool has_ttl;
    struct loop_task answer_task; /* answers never come from inside dns_resolve */
};

static void dns_arm_timer(struct dns_resolver *r)
{
    struct timeval max = {.tv_sec = TICK_MAX_MS / 1000};
    struct timeval tv;
    struct timeval *next;

    if (list_is_empty(&r->queries)) {
        timer_cancel(r->loop, &r->timer);
        return;
    }
    next = ares_timeout(r->channel, &max, &tv);
    timer_arm(r->loop, &r->timer, (uint64_t)next->tv_sec * 1000 + (uint64_t)next->tv_usec / 1000);
}

static void dns_on_timer(struct timer *t)
{
    struct dns_resolver *r = container_of(t, struct dns_resolver, timer);

    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    dns_arm_timer(r);
}

static void dns_on_poll(uv_poll_t *poll, int status, int events)
{
    struct dns_socket *s = container_of(poll, struct dns_socket, poll);
    struct dns_resolver *r = s->resolver;
    bool readable = status < 0 || (events & UV_READABLE) != 0;
    bool writable = status < 0 || (events & UV_WRITABLE) != 0;

    ares_process_fd(r->channel, readable ? s->fd : ARES_SOCKET_BAD,
                    writable ? s->fd : ARES_SOCKET_BAD);
    dns_arm_timer(r);
}

static void dns_socket_on_closed(uv_handle_t *h)
{
    free(container_of((uv_poll_t *)h, struct dns_socket, poll));
}

/* c-ares says what it wants of a socket; nothing means that it is about to close it. */
static void dns_on_socket_state(void *user, ares_socket_t fd, int readable, int writable)
{
    struct dns_resolver *r = user;
    struct dns_socket *s = NULL;
    struct dns_socket *it;

    list_for_each (it, &r->sockets, struct dns_socket, node) {
        if (it->fd == fd) {
            s = it;
        }
    }
    if (!readable && !writable) {
        if (s != NULL) {
            list_remove(&s->node);
            uv_poll_stop(&s->poll);
            uv_close((uv_handle_t *)&s->poll, dns_socket_on_closed);
        }
        return;
    }
    if (s == NULL) {
        s = xcalloc(1, sizeof(*s));
        s->resolver = r;
        s->fd = fd;
        if (uv_poll_init(&r->loop->uv, &s->poll, fd) != 0) {
            free(s);
            return; /* the query times out */
        }
        list_add_tail(&r->sockets, &s->node);
    }
    (void)uv_poll_start(&s->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0),
                        dns_on_poll);
}

int dns_resolver_new(struct loop *l, struct dns_resolver **ret)
{
    struct dns_resolver *r = xcalloc(1, sizeof(*r));
    struct ares_options options = {
        .sock_state_cb = dns_on_socket_state,
        .sock_state_cb_data = r,
        .timeout = QUERY_TIMEOUT_MS,
        .tries = QUERY_TRIES,
    };

    r->loop = l;
    list_init(&r->sockets);
    list_init(&r->queries);
    timer_init(&r->timer, dns_on_timer);
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS ||
        ares_init_options(&r->channel, &options,
                          ARES_OPT_SOCK_STATE_CB | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES) !=
            ARES_SUCCESS) {
        free(r);
        return E_SYS;
    }
    *ret = r;
    return 0;
}

int dns_resolver_set_servers(struct dns_resolver *r, const struct address *servers, size_t count)
{
    struct ares_addr_port_node *nodes = xcalloc(count + 1, sizeof(*nodes));
    int status;

    for (size_t i = 0; i < count; i++) {
        struct ares_addr_port_node *n = &nodes[i];

        n->next = i + 1 < count ? n + 1 : NULL;
        n->family = servers[i].sa.sa_family;
        n->udp_port = n->tcp_port = address_port(&servers[i]);
        if (n->family == AF_INET6) {
            memcpy(&n->addr.addr6, &servers[i].in6.sin6_addr, sizeof(n->addr.addr6));
        } else {
            n->addr.addr4 = servers[i].in.sin_addr;
        }
    }
    status = ares_set_servers_ports(r->channel, nodes);
    free(nodes);
    return status == ARES_SUCCESS ? 0 : E_INVALID;
}

/* --- queries ------------------------------------------------------------------------------ */

static void dns_query_free(struct dns_query *q)
{
    list_remove(&q->node);
    loop_task_cancel(&q->answer_task);
    free(q->name);
    free(q->addresses);
    free(q);
}

static void dns_query_answer(struct loop_task *t)
{
    struct dns_query *q = container_of(t, struct dns_query, answer_task);
    struct dns_answer a = {
        .status = q->address_count > 0 ? DNS_OK : q->status,
        .addresses = q->addresses,
        .address_count = q->address_count,
        .ttl_s = q->ttl_s,
    };
    dns_answer_fn *on_answer = q->on_answer;

    q->on_answer = NULL;
    if (on_answer != NULL) {
        on_answer(q->user, &a);
    }
    dns_query_free(q);
}

static void dns_query_add(struct dns_query *q, const struct ares_addrinfo *info)
{
    for (const struct ares_addrinfo_node *n = info->nodes; n != NULL; n = n->ai_next) {
        struct address a;

        if (n->ai_addrlen > sizeof(a.in6) || q->address_count == ANSWER_ADDRESSES_MAX) {
            continue;
        }
        memset(&a, 0, sizeof(a));
        memcpy(&a.sa, n->ai_addr, n->ai_addrlen);
        a.len = n->ai_addrlen;
        q->addresses = xreallocarray(q->addresses, q->address_count + 1, sizeof(*q->addresses));
        q->addresses[q->address_count++] = a;
        if (n->ai_ttl >= 0 && (!q->has_ttl || (uint64_t)n->ai_ttl < q->ttl_s)) {
            q->ttl_s = (uint64_t)n->ai_ttl;
            q->has_ttl = true;
        }
    }
}

static enum dns_status dns_status_of(int ares_status)
{
    switch (ares_status) {
    case ARES_SUCCESS:
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
        return DNS_NOT_FOUND; /* success without addresses is no answer either */
    case ARES_ETIMEOUT:
        return DNS_TIMEOUT_STATUS;
    default:
        return DNS_FAILURE;
    }
}

static void dns_query_ask(struct dns_query *q, int family);

static void dns_on_addrinfo(void *user, int status, int timeouts, struct ares_addrinfo *info)
{
    struct dns_query *q = user;

    (void)timeouts;
    q->pending--;
    if (status == ARES_SUCCESS && info != NULL) {
        dns_query_add(q, info);
    }
    if (info != NULL) {
        ares_freeaddrinfo(info);
    }
    if (q->address_count == 0) {
        q->status = dns_status_of(status);
        log_debug(LOG_C_DNS, "'%s': %s", q->name, ares_strerror(status));
    }
    if (status == ARES_EDESTRUCTION || status == ARES_ECANCELLED || q->resolver->is_closed) {
        if (q->pending == 0) {
            dns_query_free(q);
        }
        return;
    }
    if (q->pending == 0 && q->address_count == 0 && q->second_family != AF_UNSPEC) {
        int second = q->second_family;

        q->second_family = AF_UNSPEC;
        dns_query_ask(q, second);
        return;
    }
    if (q->pending == 0) {
        loop_task_schedule(q->resolver->loop, &q->answer_task);
    }
}

static void dns_query_ask(struct dns_query *q, int family)
{
    struct ares_addrinfo_hints hints = {
        .ai_family = family,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = ARES_AI_NOSORT,
    };

    q->pending++;
    ares_getaddrinfo(q->resolver->channel, q->name, NULL, &hints, dns_on_addrinfo, q);
}

struct dns_query *dns_resolve(struct dns_resolver *r, struct str name, int family,
                              dns_answer_fn *on_answer, void *user)
{
    struct dns_query *q = xcalloc(1, sizeof(*q));

    q->resolver = r;
    q->on_answer = on_answer;
    q->user = user;
    q->name = xstrndup(name.ptr, name.len);
    q->family = family;
    q->status = DNS_NOT_FOUND;
    q->second_family = AF_UNSPEC;
    loop_task_init(&q->answer_task, dns_query_answer);
    list_add_tail(&r->queries, &q->node);
    switch (family) {
    case DNS_V4_ONLY:
        dns_query_ask(q, AF_INET);
        break;
    case DNS_V6_ONLY:
        dns_query_ask(q, AF_INET6);
        break;
    case DNS_V4_PREFERRED:
        q->second_family = AF_INET6;
        dns_query_ask(q, AF_INET);
        break;
    case DNS_ALL:
        dns_query_ask(q, AF_UNSPEC);
        break;
    default: /* AUTO: v6, and v4 when there is none */
        q->second_family = AF_INET;
        dns_query_ask(q, AF_INET6);
        break;
    }
    dns_arm_timer(r);
    return q;
}

void dns_cancel(struct dns_query *q)
{
    if (q != NULL) {
        q->on_answer = NULL; /* it is freed when c-ares has finished with it */
    }
}

void dns_resolver_close(struct dns_resolver *r)
{
    struct dns_query *q;

    if (r == NULL) {
        return;
    }
    r->is_closed = true;
    timer_cancel(r->loop, &r->timer);
    ares_destroy(r->channel); /* calls back for everything pending */
    list_for_each (q, &r->queries, struct dns_query, node) {
        dns_query_free(q);
    }
    ares_library_cleanup();
    free(r);
}
