/* See testing.h. */

#include "dataplane/upstream/testing.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "config/model/snapshot.h"
#include "dataplane/event/testing.h"

#define WATCHDOG_MS 5000
#define TURN_MS 10

static void testing_release(struct part_releaser *r, const struct part *p)
{
    (void)r;
    part_unref(p);
}

void upstream_testing_init(struct upstream_testing *u)
{
    memset(u, 0, sizeof(*u));
    CHECK(loop_init(&u->loop, 0) == 0);
    rng_seed_with(&u->loop.rng, 1);
    u->stats = stat_store_new(1);
    u->registry = cluster_registry_new(u->stats, &u->thread);
    u->releaser.release = testing_release;
    part_table_init(&u->parts, &u->releaser);
    u->thread.loop = &u->loop;
    u->thread.stats = u->stats;
    u->thread.parts = &u->parts;
    u->thread.next_connection_id = 1;
    u->thread.clusters = cluster_manager_new(&u->thread);
}

void upstream_testing_done(struct upstream_testing *u)
{
    cluster_manager_free(u->thread.clusters);
    loop_done(&u->loop);
    part_table_done(&u->parts);
    cluster_registry_free(u->registry);
    stat_store_free(u->stats);
}

void upstream_testing_turn(struct upstream_testing *u)
{
    loop_test_turn(&u->loop);
}

struct cluster_config *testing_cluster(const char *name, uint32_t slot)
{
    struct cluster_config *c = part_new(sizeof(*c), PART_CLUSTER, str_c(name));

    c->part.slot = slot;
    c->name = c->part.name;
    c->stat_name = c->part.name;
    c->endpoints_slot = slot;
    c->overprovisioning_factor = 140;
    c->connect_timeout_ms = 5000;
    c->lb = (struct lb_config){.choice_count = 2, .active_request_bias = 1.0};
    c->panic_threshold = 50;
    for (int p = 0; p < PRIORITY_COUNT; p++) {
        c->breakers[p] = (struct circuit_breaker_limits){
            .max_connections = 1024,
            .max_pending_requests = 1024,
            .max_requests = 1024,
            .max_retries = 3,
        };
    }
    return c;
}

static struct endpoint testing_endpoint_of(const struct testing_endpoint *from)
{
    struct endpoint e = {.weight = from->weight > 0 ? from->weight : 1, .health = from->health};

    CHECK(address_from_ip(STR("127.0.0.1"), from->port, &e.address) == 0);
    return e;
}

static bool same_group(const struct testing_endpoint *a, const struct testing_endpoint *b)
{
    return a->priority == b->priority && str_eq(str_c(a->zone), str_c(b->zone));
}

struct endpoint_set *testing_endpoints(const struct testing_endpoint *e, size_t count)
{
    struct endpoint_set *s = part_new(sizeof(*s), PART_ENDPOINTS, STR("endpoints"));
    struct arena *a = &s->part.arena;
    struct locality_endpoints *groups = ARENA_ARRAY(a, struct locality_endpoints, count);
    struct endpoint *endpoints = ARENA_ARRAY(a, struct endpoint, count);

    for (size_t i = 0; i < count; i++) {
        endpoints[i] = testing_endpoint_of(&e[i]);
        if (i == 0 || !same_group(&e[i - 1], &e[i])) {
            groups[s->locality_count++] = (struct locality_endpoints){
                .locality = {.zone = arena_str(a, str_c(e[i].zone))},
                .priority = e[i].priority,
                .weight = {e[i].locality_weight > 0, e[i].locality_weight},
                .endpoints = &endpoints[i],
            };
        }
        groups[s->locality_count - 1].endpoint_count++;
    }
    s->localities = groups;
    s->overprovisioning_factor = 140;
    return s;
}

/* The order of worker.c: the registry first, then this thread's table and clusters. */
static void testing_put(struct upstream_testing *u, enum part_kind kind, uint32_t slot,
                        struct part *take)
{
    struct part_handle *old = part_table_get(&u->parts, kind, slot);
    struct snapshot_change change = {
        .kind = kind,
        .slot = slot,
        .before = old != NULL ? old->part : NULL,
        .after = take,
    };

    if (take != NULL) {
        take->slot = slot;
    }
    cluster_registry_apply(u->registry, &change);
    if (take == NULL) {
        cluster_manager_apply(u->thread.clusters, &change);
        part_table_set(&u->parts, kind, slot, NULL);
        return;
    }
    if (old != NULL) {
        part_handle_ref(old);
    }
    part_table_set(&u->parts, kind, slot, take);
    cluster_manager_apply(u->thread.clusters, &change);
    part_handle_unref(old);
}

void upstream_testing_put_cluster(struct upstream_testing *u, uint32_t slot,
                                  struct cluster_config *take)
{
    testing_put(u, PART_CLUSTER, slot, take != NULL ? &take->part : NULL);
}

void upstream_testing_put_endpoints(struct upstream_testing *u, uint32_t slot,
                                    struct endpoint_set *take)
{
    testing_put(u, PART_ENDPOINTS, slot, take != NULL ? &take->part : NULL);
}

struct stat_search {
    struct str name;
    uint64_t value;
};

static void stat_search_visit(void *user, const struct stat_sample *s)
{
    struct stat_search *search = user;

    if (str_eq(s->name, search->name)) {
        search->value = s->value;
    }
}

uint64_t upstream_testing_stat(struct upstream_testing *u, const char *full_name)
{
    struct stat_search search = {.name = str_c(full_name)};

    cluster_registry_refresh_stats(u->registry);
    stat_store_visit(u->stats, stat_search_visit, &search);
    return search.value;
}

/* --- waiting
 * --------------------------------------------------------------------------------------- */

struct ticker {
    struct timer timer;
    struct loop *loop;
};

/* So that a turn always ends. */
static void ticker_on_fire(struct timer *t)
{
    struct ticker *ticker = container_of(t, struct ticker, timer);

    timer_arm(ticker->loop, t, TURN_MS);
}

void upstream_testing_until(struct upstream_testing *u, bool (*ready)(void *arg), void *arg)
{
    uint64_t deadline_ms = loop_now_ms(&u->loop) + WATCHDOG_MS;
    struct ticker ticker = {.loop = &u->loop};

    timer_init(&ticker.timer, ticker_on_fire);
    timer_arm(&u->loop, &ticker.timer, TURN_MS);
    while (!ready(arg)) {
        upstream_testing_turn(u);
        CHECK(loop_now_ms(&u->loop) < deadline_ms);
    }
    timer_cancel(&u->loop, &ticker.timer);
}

struct stat_wait {
    struct upstream_testing *u;
    const char *full_name;
    uint64_t value;
};

static bool stat_is_ready(void *arg)
{
    const struct stat_wait *w = arg;

    return upstream_testing_stat(w->u, w->full_name) == w->value;
}

void upstream_testing_until_stat(struct upstream_testing *u, const char *full_name, uint64_t value)
{
    upstream_testing_until(u, stat_is_ready, &(struct stat_wait){u, full_name, value});
}

/* --- the origin
 * ------------------------------------------------------------------------------------ */

void testing_origin_open(struct testing_origin *o, struct upstream_testing *u, int backlog)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(a);

    o->u = u;
    o->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK(bind(o->fd, (struct sockaddr *)&a, sizeof(a)) == 0);
    CHECK(listen(o->fd, backlog) == 0);
    CHECK(getsockname(o->fd, (struct sockaddr *)&a, &len) == 0);
    o->port = ntohs(a.sin_port);
}

void testing_origin_close(struct testing_origin *o)
{
    if (o->fd >= 0) {
        (void)close(o->fd);
    }
    o->fd = -1;
}

struct origin_wait {
    int listen_fd;
    int fd;
    const char *want;
    char *text;
    size_t len;
};

static bool accept_is_ready(void *arg)
{
    struct origin_wait *w = arg;

    w->fd = accept4(w->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return w->fd >= 0;
}

int testing_origin_accept(struct testing_origin *o)
{
    struct origin_wait w = {.listen_fd = o->fd};

    upstream_testing_until(o->u, accept_is_ready, &w);
    return w.fd;
}

static bool text_is_ready(void *arg)
{
    struct origin_wait *w = arg;
    ssize_t n = read(w->fd, w->text + w->len, TESTING_HEAD_MAX - 1 - w->len);

    if (n > 0) {
        w->len += (size_t)n;
        w->text[w->len] = '\0';
    }
    return strstr(w->text, w->want) != NULL;
}

void testing_origin_read_until(struct testing_origin *o, int fd, const char *text,
                               char ret_text[TESTING_HEAD_MAX])
{
    struct origin_wait w = {.fd = fd, .want = text, .text = ret_text};

    ret_text[0] = '\0';
    upstream_testing_until(o->u, text_is_ready, &w);
}

void testing_origin_read_head(struct testing_origin *o, int fd, char ret_text[TESTING_HEAD_MAX])
{
    testing_origin_read_until(o, fd, "\r\n\r\n", ret_text);
}

void testing_origin_send(int fd, const char *text)
{
    CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

static bool close_is_ready(void *arg)
{
    const struct origin_wait *w = arg;
    char text[TESTING_HEAD_MAX];
    ssize_t n = read(w->fd, text, sizeof(text));

    return n == 0 || (n < 0 && errno == ECONNRESET);
}

void testing_origin_await_close(struct testing_origin *o, int fd)
{
    upstream_testing_until(o->u, close_is_ready, &(struct origin_wait){.fd = fd});
    (void)close(fd);
}
