/* A worker's listener with filters that echo, over loopback: accepting, updates, draining, filter
 * iteration, running out of descriptors. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataplane/base/error.h"
#include "dataplane/event/testing.h"
#include "dataplane/net/listen_socket.h"
#include "dataplane/net/listener.h"
#include "dataplane/runtime/thread_context.h"

#define WATCHDOG_MS 10000

static struct loop loop;
static struct timer watchdog;
static struct stat_store *stats;
static struct stat_scope *scope;
static struct thread_context thread;
static struct address address;
static struct filter_chain_config chain_a;
static struct filter_chain_config chain_b;
static const struct filter_chain_config *chains[2];
static struct filter_config filters[2];
static struct listener_config config;
static struct filter_chain_index *chain_index;
static struct listen_socket *sockets;
static struct worker_listener *listener;
static struct worker_listener_params params;
static int chain_refs;
static int drained;
static bool is_closed;

/* --- A terminal filter that echoes, and one that holds the first bytes back ------------------ */

static enum network_filter_status echo_on_data(struct network_filter *f, struct buf *in,
                                               bool end_stream)
{
    conn_write(f->lc->conn, in);
    return NETWORK_FILTER_STOP;
}

static void echo_on_drain(struct network_filter *f)
{
    drained++;
}

static enum network_filter_status echo_on_new_connection(struct network_filter *f)
{
    struct buf b;

    buf_init(&b, &loop.bufs);
    buf_add(&b, "+", 1);
    conn_write(f->lc->conn, &b);
    return NETWORK_FILTER_CONTINUE;
}

static const struct network_filter_type echo = {
    .ext = {.is_terminal = true},
    .on_data = echo_on_data,
    .on_drain = echo_on_drain,
};

static const struct network_filter_type greeting_echo = {
    .ext = {.is_terminal = true},
    .on_new_connection = echo_on_new_connection,
    .on_data = echo_on_data,
};

static struct network_filter *gate_of_last;

static enum network_filter_status gate_on_new_connection(struct network_filter *f)
{
    gate_of_last = f;
    return NETWORK_FILTER_STOP;
}

static enum network_filter_status gate_on_data(struct network_filter *f, struct buf *in,
                                               bool end_stream)
{
    return buf_len(in) < 3 ? NETWORK_FILTER_STOP : NETWORK_FILTER_CONTINUE;
}

static const struct network_filter_type gate = {
    .on_new_connection = gate_on_new_connection,
    .on_data = gate_on_data,
};

static int broken_open(struct network_filter *f)
{
    return E_SYS;
}

static const struct network_filter_type broken = {.ext = {.is_terminal = true},
                                                  .open = broken_open};

/* --- Fixture ---------------------------------------------------------------------------------- */

static void on_watchdog(struct timer *t)
{
    fail_msg("nothing happened for too long");
}

#define WAIT(condition) LOOP_WAIT(&loop, condition)

static void count_chain(void *user, const struct filter_chain_config *chain, int delta)
{
    chain_refs += delta;
}

static void on_listener_closed(void *user)
{
    is_closed = true;
    listener = NULL;
}

static int set_up(void **state)
{
    const struct stat_scope_spec spec = {.prefix = STR("listener.test."),
                                         .schema = &listener_stat_schema};
    struct error e;

    error_init(&e);
    assert_int_equal(loop_init(&loop, 0), 0);
    timer_init(&watchdog, on_watchdog);
    timer_arm(&loop, &watchdog, WATCHDOG_MS);
    stats = stat_store_new(1);
    scope = stat_scope_ref(stats, &spec);
    thread = (struct thread_context){.loop = &loop, .stats = stats};
    assert_int_equal(address_from_ip(STR("127.0.0.1"), 0, &address), 0);
    filters[0] = (struct filter_config){.ext = &echo.ext};
    chain_a = (struct filter_chain_config){.name = STR("a"), .filters = filters, .filter_count = 1};
    chain_b = chain_a;
    chain_b.name = STR("b");
    chains[0] = &chain_a;
    config = (struct listener_config){
        .addresses = &address,
        .address_count = 1,
        .chains = chains,
        .chain_count = 1,
    };
    assert_int_equal(filter_chain_index_new(&config, &chain_index, &e), 0);
    assert_int_equal(listen_socket_new(&config, 0, 1, &sockets, &e), 0);
    assert_int_equal(listen_socket_listen(sockets, &config, &e), 0);
    params = (struct worker_listener_params){
        .thread = &thread,
        .config = &config,
        .chains = chain_index,
        .fds = sockets->fds,
        .fd_count = 1,
        .scope = scope,
        .chain_ref = count_chain,
    };
    chain_refs = drained = 0;
    is_closed = false;
    assert_int_equal(worker_listener_new(&params, &listener), 0);
    error_done(&e);
    return 0;
}

static int tear_down(void **state)
{
    if (listener != NULL) {
        worker_listener_close(listener, false, 0, on_listener_closed, NULL);
    }
    WAIT(is_closed);
    assert_int_equal(chain_refs, 0);
    assert_int_equal(stat_scope_value(scope, LISTENER_DOWNSTREAM_CX_ACTIVE), 0);
    timer_cancel(&loop, &watchdog);
    loop_done(&loop);
    listen_socket_unref(sockets);
    filter_chain_index_free(chain_index);
    stat_scope_unref(scope);
    stat_store_free(stats);
    return 0;
}

static int dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, &sockets->bound.sa, sockets->bound.len), 0);
    return fd;
}

/* Lets the loop turn until `len` bytes have come back. */
static void expect(int fd, const char *want)
{
    char got[64];
    size_t len = 0;

    while (len < strlen(want)) {
        ssize_t n = recv(fd, got + len, sizeof(got) - len, MSG_DONTWAIT);

        assert_int_not_equal(n, 0);
        if (n > 0) {
            len += (size_t)n;
        } else {
            (void)uv_run(&loop.uv, UV_RUN_NOWAIT); /* what comes to `fd` wakes no loop */
        }
    }
    assert_memory_equal(got, want, len);
}

static void expect_end(int fd)
{
    char byte;
    ssize_t n;

    while ((n = recv(fd, &byte, 1, MSG_DONTWAIT)) < 0 && errno == EAGAIN) {
        (void)uv_run(&loop.uv, UV_RUN_NOWAIT);
    }
    assert_true(n <= 0);
    assert_int_equal(close(fd), 0);
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
}

static uint64_t counted(size_t stat)
{
    return stat_scope_value(scope, stat);
}

/* --- Tests ------------------------------------------------------------------------------------ */

static void connections_are_accepted_and_counted(void **state)
{
    int one = dial();
    int two = dial();

    say(one, "hello");
    expect(one, "hello");
    say(two, "world");
    expect(two, "world");
    assert_int_equal(counted(LISTENER_DOWNSTREAM_CX_TOTAL), 2);
    assert_int_equal(counted(LISTENER_DOWNSTREAM_CX_ACTIVE), 2);
    assert_int_equal(worker_listener_connections(listener), 2);
    assert_int_equal(chain_refs, 2);
    assert_int_equal(close(one), 0);
    WAIT(counted(LISTENER_DOWNSTREAM_CX_DESTROY) == 1);
    assert_int_equal(close(two), 0);
    WAIT(worker_listener_connections(listener) == 0);
}

static void no_chain_no_connection(void **state)
{
    int fd;

    chain_a.match.destination_port.is_set = true;
    chain_a.match.destination_port.value = 1;
    filter_chain_index_free(chain_index);
    assert_int_equal(filter_chain_index_new(&config, &chain_index, NULL), 0);
    params.chains = chain_index;
    params.fds = sockets->fds;
    assert_int_equal(worker_listener_update(listener, &params, NULL, 0, NULL, NULL), 0);
    fd = dial();
    expect_end(fd);
    assert_int_equal(counted(LISTENER_NO_FILTER_CHAIN_MATCH), 1);
    assert_int_equal(counted(LISTENER_DOWNSTREAM_CX_ACTIVE), 0);
}

static bool keep_only_b(void *user, const struct filter_chain_config *chain)
{
    return chain == &chain_b;
}

static void an_update_drains_what_it_replaced(void **state)
{
    int old = dial();
    int other;

    say(old, "1");
    expect(old, "1");
    chains[0] = &chain_b;
    params.fds = sockets->fds;
    assert_int_equal(worker_listener_update(listener, &params, keep_only_b, 30, NULL, NULL), 0);
    assert_int_equal(drained, 1);
    say(old, "2"); /* draining, not cut off */
    expect(old, "2");
    other = dial();
    say(other, "3");
    expect(other, "3");
    expect_end(old); /* its time is over */
    say(other, "4");
    expect(other, "4");
    assert_int_equal(drained, 1);
    assert_int_equal(close(other), 0);
}

static bool keep_all(void *user, const struct filter_chain_config *chain)
{
    return true;
}

static void an_update_may_count_elsewhere(void **state)
{
    const struct stat_scope_spec spec = {.prefix = STR("listener.other."),
                                         .schema = &listener_stat_schema};
    struct stat_scope *old = scope;
    int fd = dial();

    say(fd, "1");
    expect(fd, "1");
    scope = stat_scope_ref(stats, &spec);
    params.scope = scope;
    params.fds = sockets->fds;
    assert_int_equal(worker_listener_update(listener, &params, keep_all, 30, NULL, NULL), 0);
    assert_int_equal(stat_scope_value(old, LISTENER_DOWNSTREAM_CX_ACTIVE), 0);
    assert_int_equal(counted(LISTENER_DOWNSTREAM_CX_ACTIVE), 1);
    stat_scope_unref(old); /* as main does once this worker has the new version */
    assert_int_equal(close(fd), 0);
    WAIT(worker_listener_connections(listener) == 0);
    assert_int_equal(counted(LISTENER_DOWNSTREAM_CX_DESTROY), 1);
}

static void closing_takes_what_is_queued(void **state)
{
    int queued = dial();

    say(queued, "x");
    worker_listener_close(listener, true, 5, on_listener_closed, NULL);
    listener = NULL;
    expect(queued, "x");
    assert_int_equal(drained, 1);
    expect_end(queued);
    WAIT(is_closed);
}

static void nothing_is_queued_on_a_socket_that_ends(void **state)
{
    int queued = dial();
    int late = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int error = 0;
    socklen_t len = sizeof(error);

    worker_listener_stop_queueing(listener);
    assert_int_not_equal(connect(late, &sockets->bound.sa, sockets->bound.len), 0);
    say(queued, "x");
    expect(queued, "x"); /* what was there before is served */
    assert_int_equal(getsockopt(late, SOL_SOCKET, SO_ERROR, &error, &len), 0);
    assert_int_equal(error, 0); /* neither accepted nor reset: still trying */
    assert_int_equal(counted(LISTENER_DOWNSTREAM_CX_TOTAL), 1);
    assert_int_equal(close(late), 0);
    assert_int_equal(close(queued), 0);
}

static void draining_still_accepts(void **state)
{
    int fd;

    worker_listener_drain(listener);
    fd = dial();
    say(fd, "x");
    expect(fd, "x");
    assert_int_equal(drained, 1);
    assert_int_equal(close(fd), 0);
}

static void use_filters(const struct network_filter_type *first,
                        const struct network_filter_type *second)
{
    filters[0] = (struct filter_config){.ext = &first->ext};
    filters[1] = (struct filter_config){.ext = &second->ext};
    chain_a.filter_count = 2;
}

static void a_filter_that_stops_is_asked_again(void **state)
{
    int fd;

    use_filters(&gate, &greeting_echo);
    fd = dial();
    WAIT(counted(LISTENER_DOWNSTREAM_CX_TOTAL) == 1);
    say(fd, "ab");
    WAIT(buf_len(&gate_of_last->lc->conn->in) == 2);
    say(fd, "c");
    expect(fd, "+abc"); /* the second filter hears of the connection first */
    assert_int_equal(close(fd), 0);
}

static void a_filter_that_stopped_may_go_on_itself(void **state)
{
    int fd;

    use_filters(&gate, &greeting_echo);
    fd = dial();
    WAIT(counted(LISTENER_DOWNSTREAM_CX_TOTAL) == 1);
    say(fd, "a");
    WAIT(buf_len(&gate_of_last->lc->conn->in) == 1);
    network_filter_continue(gate_of_last);
    expect(fd, "+a");
    assert_int_equal(close(fd), 0);
}

static enum network_filter_status hold_on_data(struct network_filter *f, struct buf *in,
                                               bool end_stream)
{
    return NETWORK_FILTER_STOP;
}

static const struct network_filter_type hold = {
    .on_new_connection = gate_on_new_connection,
    .on_data = hold_on_data,
};

static void what_a_filter_holds_back_is_bounded(void **state)
{
    const size_t limit = 64 * 1024;
    const size_t bytes = 1024 * 1024;
    char *text = calloc(1, bytes);
    size_t sent = 0;
    size_t got = 0;
    int fd;

    use_filters(&hold, &greeting_echo);
    config.per_connection_buffer_limit_bytes.is_set = true;
    config.per_connection_buffer_limit_bytes.value = (uint32_t)limit;
    fd = dial();
    while (got < bytes + 1) {
        ssize_t n = sent < bytes ? send(fd, text + sent, bytes - sent, MSG_DONTWAIT) : 0;

        sent += n > 0 ? (size_t)n : 0;
        (void)uv_run(&loop.uv, UV_RUN_NOWAIT);
        if (counted(LISTENER_DOWNSTREAM_CX_TOTAL) == 1) {
            struct conn *c = gate_of_last->lc->conn;

            assert_true(buf_len(&c->in) < limit + 4 * BUF_BLOCK_BYTES);
            if (buf_len(&c->in) >= limit || sent == bytes) {
                network_filter_continue(gate_of_last);
            }
        }
        n = recv(fd, text, bytes, MSG_DONTWAIT);
        got += n > 0 ? (size_t)n : 0;
    }
    free(text);
    assert_int_equal(close(fd), 0);
}

static void a_filter_that_cannot_open_ends_the_connection(void **state)
{
    int fd;

    use_filters(&echo, &broken);
    fd = dial();
    expect_end(fd);
    WAIT(counted(LISTENER_DOWNSTREAM_CX_DESTROY) == 1);
}

/* --- Listener filters: what one connection goes through is listener_filter_test.c's --------------
 */

static enum listener_filter_status wait_on_accept(struct listener_filter *f)
{
    return LISTENER_FILTER_WAIT;
}

/* Done with a '!' in front, which it takes; an 'x' is refused. */
static enum listener_filter_status wait_on_data(struct listener_filter *f, struct str bytes)
{
    if (bytes.ptr[0] == 'x') {
        return LISTENER_FILTER_CLOSE;
    }
    if (bytes.ptr[0] == '!') {
        inspection_drain(f->inspection, 1);
        f->inspection->info.server_name = STR("seen");
        return LISTENER_FILTER_CONTINUE;
    }
    return LISTENER_FILTER_WAIT;
}

static const struct listener_filter_type waiting = {
    .on_accept = wait_on_accept,
    .on_data = wait_on_data,
};

static struct listener_filter_config waits[] = {{.filter = {.ext = &waiting.ext}}};

static void use_listener_filter(void)
{
    config.listener_filters = waits;
    config.listener_filter_count = 1;
    assert_int_equal(worker_listener_update(listener, &params, keep_all, 0, NULL, NULL), 0);
}

static void a_listener_filter_comes_first(void **state)
{
    int fd;

    use_listener_filter();
    fd = dial();
    WAIT(counted(LISTENER_DOWNSTREAM_PRE_CX_ACTIVE) == 1);
    assert_int_equal(counted(LISTENER_DOWNSTREAM_CX_TOTAL), 0);
    say(fd, "!hello");
    expect(fd, "hello");
    assert_int_equal(counted(LISTENER_DOWNSTREAM_PRE_CX_ACTIVE), 0);
    assert_int_equal(counted(LISTENER_DOWNSTREAM_CX_TOTAL), 1);
    say(fd, "!");
    expect(fd, "!");
    assert_int_equal(close(fd), 0);
    fd = dial();
    say(fd, "x");
    expect_end(fd);
    assert_int_equal(counted(LISTENER_DOWNSTREAM_PRE_CX_ACTIVE), 0);
    assert_int_equal(counted(LISTENER_DOWNSTREAM_CX_TOTAL), 1);
}

static void clients_that_go_or_take_too_long(void **state)
{
    int fd;

    config.listener_filters_timeout_ms = 10;
    use_listener_filter();
    fd = dial();
    expect_end(fd);
    assert_int_equal(counted(LISTENER_DOWNSTREAM_PRE_CX_TIMEOUT), 1);
    config.listener_filters_timeout_ms = 0;
    fd = dial();
    WAIT(counted(LISTENER_DOWNSTREAM_PRE_CX_ACTIVE) == 1);
    assert_int_equal(close(fd), 0);
    WAIT(counted(LISTENER_DOWNSTREAM_LISTENER_FILTER_REMOTE_CLOSE) == 1);
    assert_int_equal(counted(LISTENER_DOWNSTREAM_PRE_CX_ACTIVE), 0);
}

static int releases;

static void on_released(void *user)
{
    releases++;
}

/* Its filters are the old version's, which is held; its chain is the new one's. */
static void an_update_meets_a_connection_in_inspection(void **state)
{
    static struct listener_config after;
    int fd;

    use_listener_filter();
    fd = dial();
    WAIT(counted(LISTENER_DOWNSTREAM_PRE_CX_ACTIVE) == 1);
    after = config;
    after.listener_filter_count = 0;
    params.config = &after;
    releases = 0;
    assert_int_equal(worker_listener_update(listener, &params, keep_all, 0, on_released, NULL), 0);
    assert_int_equal(releases, 0);
    say(fd, "!still");
    expect(fd, "still");
    assert_int_equal(releases, 1);
    assert_int_equal(close(fd), 0);
    assert_int_equal(worker_listener_update(listener, &params, keep_all, 0, on_released, NULL), 0);
    assert_int_equal(releases, 2); /* nobody is inspected: at once */
    WAIT(counted(LISTENER_DOWNSTREAM_CX_DESTROY) == 1);
}

static void closing_ends_inspections_in_the_end(void **state)
{
    int fd;

    use_listener_filter();
    fd = dial();
    WAIT(counted(LISTENER_DOWNSTREAM_PRE_CX_ACTIVE) == 1);
    worker_listener_close(listener, false, 10, on_listener_closed, NULL);
    assert_false(is_closed);
    WAIT(is_closed);
    expect_end(fd);
    assert_int_equal(counted(LISTENER_DOWNSTREAM_PRE_CX_ACTIVE), 0);
}

static struct worker_listener *found;
static bool is_found_closed;

static void on_found_closed(void *user)
{
    is_found_closed = true;
}

static struct worker_listener *find_another(void *user, const struct address *destination)
{
    assert_int_equal(address_port(destination), 99);
    return found;
}

static enum listener_filter_status move_on_accept(struct listener_filter *f)
{
    struct address a;

    assert_int_equal(address_from_ip(STR("10.0.0.9"), 99, &a), 0);
    inspection_restore_local(f->inspection, &a);
    return LISTENER_FILTER_CONTINUE;
}

static const struct listener_filter_type moving = {.on_accept = move_on_accept};

/* With the bytes that were read, and only once. */
static void a_connection_goes_to_the_listener_of_its_destination(void **state)
{
    static struct listener_filter_config moves[] = {{.filter = {.ext = &waiting.ext}},
                                                    {.filter = {.ext = &moving.ext}}};
    struct listener_config other = config;
    struct worker_listener_params p = params;
    int fd;

    other.listener_filters = &moves[1];
    other.listener_filter_count = 1;
    other.use_original_dst = true;
    p.config = &other;
    p.fd_count = 0;
    p.find_listener = find_another;
    assert_int_equal(worker_listener_new(&p, &found), 0);
    config.listener_filters = moves;
    config.listener_filter_count = 2;
    config.use_original_dst = true;
    params.find_listener = find_another;
    assert_int_equal(worker_listener_update(listener, &params, keep_all, 0, NULL, NULL), 0);
    fd = dial();
    say(fd, "!over there");
    expect(fd, "over there");
    assert_int_equal(worker_listener_connections(listener), 0);
    assert_int_equal(worker_listener_connections(found), 1);
    assert_int_equal(close(fd), 0);
    is_found_closed = false;
    worker_listener_close(found, false, 0, on_found_closed, NULL);
    WAIT(is_found_closed);
}

static void out_of_descriptors_accepting_pauses_and_recovers(void **state)
{
    struct rlimit before;
    struct rlimit none;
    int fd = dial();

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = (rlim_t)fd + 1; /* no more than are open now */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    WAIT(counted(LISTENER_DOWNSTREAM_CX_ACCEPT_PAUSED) == 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    say(fd, "x");
    expect(fd, "x");
    assert_int_equal(close(fd), 0);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(connections_are_accepted_and_counted),
        CASE(no_chain_no_connection),
        CASE(an_update_drains_what_it_replaced),
        CASE(an_update_may_count_elsewhere),
        CASE(closing_takes_what_is_queued),
        CASE(nothing_is_queued_on_a_socket_that_ends),
        CASE(draining_still_accepts),
        CASE(a_filter_that_stops_is_asked_again),
        CASE(a_filter_that_stopped_may_go_on_itself),
        CASE(what_a_filter_holds_back_is_bounded),
        CASE(a_filter_that_cannot_open_ends_the_connection),
        CASE(a_listener_filter_comes_first),
        CASE(clients_that_go_or_take_too_long),
        CASE(an_update_meets_a_connection_in_inspection),
        CASE(closing_ends_inspections_in_the_end),
        CASE(a_connection_goes_to_the_listener_of_its_destination),
        CASE(out_of_descriptors_accepting_pauses_and_recovers),
    };
#undef CASE
    return cmocka_run_group_tests(tests, NULL, NULL);
}
