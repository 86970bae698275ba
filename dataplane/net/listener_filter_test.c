/* One inspection over a socket pair, with filters made for the purpose: whose turn it is, what they
 * see, what is left for the connection, what stays of what they found. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataplane/event/loop.h"
#include "dataplane/event/testing.h"
#include "dataplane/net/listener_filter.h"
#include "dataplane/runtime/thread_context.h"

#define WATCHDOG_MS 10000

static struct loop loop;
static struct timer watchdog;
static struct thread_context thread;
static struct listener_config config;
static struct listener_filter_config filters[4];
static struct conn *conn;
static int peer;
static struct inspection *inspection;
static struct connection_info *taken;
static int outcomes;
static enum inspection_outcome outcome;
static bool was_timed_out;

/* --- Filters ---------------------------------------------------------------------------------- */

/* Waits for `config` bytes, then takes the first away. */
struct eater {
    size_t calls;
};

static size_t eater_calls;

static enum listener_filter_status eater_on_accept(struct listener_filter *f)
{
    assert_int_equal(((struct eater *)f->state)->calls, 0); /* zeroed */
    return LISTENER_FILTER_WAIT;
}

static enum listener_filter_status eater_on_data(struct listener_filter *f, struct str bytes)
{
    size_t wanted = (size_t)(uintptr_t)f->config;

    ((struct eater *)f->state)->calls++;
    eater_calls++;
    if (bytes.len < wanted) {
        return LISTENER_FILTER_WAIT;
    }
    inspection_drain(f->inspection, 1);
    return LISTENER_FILTER_CONTINUE;
}

static const struct listener_filter_type eater = {
    .state_bytes = sizeof(struct eater),
    .on_accept = eater_on_accept,
    .on_data = eater_on_data,
};

static enum listener_filter_status namer_on_accept(struct listener_filter *f)
{
    struct inspection *i = f->inspection;
    const struct str protocols[] = {STR("h2"), STR("http/1.1")};

    i->info.server_name = STR("name.test");
    i->info.transport_protocol = STR("tls");
    i->info.proxy_tlvs = STR("tlvs");
    inspection_set_protocols(i, protocols, 2);
    inspection_set_metadata(i, STR("space"), STR("b"), STR("two"));
    inspection_set_metadata(i, STR("space"), STR("a"), STR("one"));
    inspection_set_metadata(i, STR("space"), STR("c"), STR("three"));
    inspection_set_metadata(i, STR("other"), STR("x"), STR(""));
    inspection_set_metadata(i, STR("space"), STR("b"), STR("2"));
    return LISTENER_FILTER_CONTINUE;
}

static const struct listener_filter_type namer = {.on_accept = namer_on_accept};

static enum listener_filter_status mover_on_accept(struct listener_filter *f)
{
    struct address a;

    assert_int_equal(address_from_ip(STR("10.0.0.9"), 99, &a), 0);
    inspection_restore_local(f->inspection, &a);
    inspection_set_remote(f->inspection, &a);
    return LISTENER_FILTER_CONTINUE;
}

static const struct listener_filter_type mover = {.on_accept = mover_on_accept};

static enum listener_filter_status refuser_on_accept(struct listener_filter *f)
{
    return LISTENER_FILTER_CLOSE;
}

static const struct listener_filter_type refuser = {.on_accept = refuser_on_accept};

/* --- Fixture ---------------------------------------------------------------------------------- */

static void on_watchdog(struct timer *t)
{
    fail_msg("nothing happened for too long");
}

#define WAIT(condition) LOOP_WAIT(&loop, condition)

static void on_outcome(struct inspection *i, enum inspection_outcome o)
{
    outcomes++;
    outcome = o;
    was_timed_out = i->is_timed_out;
    taken = inspection_take_info(i);
    inspection_free(i);
    inspection = NULL;
}

static int set_up(void **state)
{
    struct address remote;
    struct address local;
    int pair[2];

    assert_int_equal(loop_init(&loop, 0), 0);
    timer_init(&watchdog, on_watchdog);
    timer_arm(&loop, &watchdog, WATCHDOG_MS);
    thread = (struct thread_context){.loop = &loop};
    memset(filters, 0, sizeof(filters));
    config = (struct listener_config){.listener_filters = filters};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    peer = pair[0];
    assert_int_equal(address_from_ip(STR("192.0.2.1"), 1000, &remote), 0);
    assert_int_equal(address_from_ip(STR("192.0.2.2"), 443, &local), 0);
    assert_int_equal(conn_accept(&loop, pair[1], false, &remote, &local, &conn), 0);
    taken = NULL;
    outcomes = 0;
    eater_calls = 0;
    return 0;
}

static int tear_down(void **state)
{
    if (inspection != NULL) {
        inspection_free(inspection);
        inspection = NULL;
        conn->ops = NULL;
    }
    conn_close(conn, CONN_CLOSE_NOW);
    timer_cancel(&loop, &watchdog);
    loop_done(&loop);
    free(taken);
    if (peer >= 0) {
        (void)close(peer);
    }
    return 0;
}

static void use(const struct listener_filter_type *type, size_t bytes)
{
    filters[config.listener_filter_count++].filter = (struct filter_config){
        .ext = &type->ext,
        .config = (const void *)(uintptr_t)bytes,
    };
}

static void start(void)
{
    inspection = inspection_new(&thread, &config, conn);
    inspection->on_outcome = on_outcome;
    inspection_start(inspection);
}

static void say(const char *text)
{
    assert_int_equal(send(peer, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void assert_left(const char *want)
{
    char got[64];
    size_t len = buf_copy_out(&conn->in, 0, got, sizeof(got));

    assert_int_equal(len, strlen(want));
    assert_memory_equal(got, want, len);
    assert_int_equal(conn->bytes_read, len);
}

/* --- Tests ------------------------------------------------------------------------------------ */

static void filters_that_wait_for_nothing_are_done_at_once(void **state)
{
    use(&mover, 0);
    use(&namer, 0);
    start();
    assert_int_equal(outcomes, 1);
    assert_int_equal(outcome, INSPECTION_DONE);
}

static void no_filter_at_all(void **state)
{
    start();
    assert_int_equal(outcomes, 1);
    assert_int_equal(outcome, INSPECTION_DONE);
    assert_null(taken);
}

static void bytes_pass_from_filter_to_filter_and_on(void **state)
{
    use(&eater, 3);
    use(&eater, 4);
    start();
    assert_int_equal(outcomes, 0);
    say("ab");
    WAIT(eater_calls == 1);
    say("cd");
    WAIT(eater_calls == 3); /* the second sees what is there at once: too little */
    assert_int_equal(outcomes, 0);
    say("ef");
    WAIT(outcomes == 1);
    assert_int_equal(outcome, INSPECTION_DONE);
    assert_left("cdef");
}

static void what_trickles_in_is_put_together(void **state)
{
    char want[200 * 90 + 1];
    char piece[91];
    char *got;

    use(&eater, 200 * 90);
    start();
    for (int i = 0; i < 200; i++) {
        memset(piece, 'a' + i % 26, 90);
        piece[90] = '\0';
        memcpy(want + i * 90, piece, 90);
        say(piece);
        WAIT(eater_calls == (size_t)i + 1);
    }
    assert_int_equal(outcomes, 1);
    assert_int_equal(buf_len(&conn->in), 200 * 90 - 1);
    got = malloc(200 * 90);
    assert_int_equal(buf_copy_out(&conn->in, 0, got, 200 * 90), 200 * 90 - 1);
    assert_memory_equal(got, want + 1, 200 * 90 - 1);
    free(got);
}

static void a_filter_that_never_has_enough_is_stopped(void **state)
{
    static char text[8192];
    size_t sent = 0;

    use(&eater, SIZE_MAX);
    start();
    memset(text, 'x', sizeof(text));
    while (outcomes == 0) {
        ssize_t n = send(peer, text, sizeof(text), MSG_DONTWAIT | MSG_NOSIGNAL);

        sent += n > 0 ? (size_t)n : 0;
        (void)uv_run(&loop.uv, UV_RUN_NOWAIT);
    }
    assert_int_equal(outcome, INSPECTION_REFUSED);
    assert_true(sent >= LISTENER_FILTER_MAX_BYTES);
    assert_true(buf_len(&conn->in) < LISTENER_FILTER_MAX_BYTES + 5 * BUF_BLOCK_BYTES);
}

static void a_filter_may_refuse(void **state)
{
    use(&refuser, 0);
    use(&namer, 0);
    start();
    assert_int_equal(outcome, INSPECTION_REFUSED);
    assert_null(taken);
}

static void the_peer_may_go(void **state)
{
    use(&eater, 5);
    start();
    say("ab");
    assert_int_equal(close(peer), 0);
    peer = -1;
    WAIT(outcomes == 1);
    assert_int_equal(outcome, INSPECTION_REMOTE_CLOSE);
    assert_int_equal(eater_calls, 1);
}

static void time_runs_out(void **state)
{
    config.listener_filters_timeout_ms = 10;
    use(&eater, 5);
    start();
    WAIT(outcomes == 1);
    assert_int_equal(outcome, INSPECTION_TIMEOUT);
    assert_true(was_timed_out);
}

static void time_that_is_passed_over(void **state)
{
    config.listener_filters_timeout_ms = 10;
    config.continue_on_listener_filters_timeout = true;
    use(&eater, 5);
    start();
    say("ab");
    WAIT(outcomes == 1);
    assert_int_equal(outcome, INSPECTION_DONE);
    assert_true(was_timed_out);
    assert_left("ab");
}

static void predicates(void **state)
{
    const struct listener_predicate any = {.kind = LISTENER_PREDICATE_ANY};
    const struct listener_predicate https = {
        .kind = LISTENER_PREDICATE_DESTINATION_PORT, .port_from = 443, .port_to = 444};
    const struct listener_predicate below = {
        .kind = LISTENER_PREDICATE_DESTINATION_PORT, .port_from = 1, .port_to = 443};
    const struct listener_predicate both[] = {any, below};
    const struct listener_predicate no = {
        .kind = LISTENER_PREDICATE_NOT, .rules = &below, .rule_count = 1};
    const struct listener_predicate all = {
        .kind = LISTENER_PREDICATE_AND, .rules = both, .rule_count = 2};
    const struct listener_predicate one = {
        .kind = LISTENER_PREDICATE_OR, .rules = both, .rule_count = 2};
    const struct {
        const struct listener_predicate *disabled;
        bool is_disabled;
    } cases[] = {{&any, true}, {&https, true}, {&below, false},
                 {&no, true},  {&all, false},  {&one, true}};

    use(&namer, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        filters[0].disabled = cases[i].disabled;
        start();
        assert_int_equal(taken == NULL, cases[i].is_disabled);
        free(taken);
        taken = NULL;
    }
}

static void assert_field(const struct value *v, const char *space, const char *key,
                         const char *want)
{
    const struct value *f = value_get(value_get(v, str_c(space)), str_c(key));

    assert_non_null(f);
    assert_true(str_eq(f->string, str_c(want)));
}

static void what_was_found_stays(void **state)
{
    use(&namer, 0);
    start();
    assert_true(str_eq(taken->server_name, STR("name.test")));
    assert_true(str_eq(taken->transport_protocol, STR("tls")));
    assert_true(str_eq(taken->proxy_tlvs, STR("tlvs")));
    assert_int_equal(taken->application_protocol_count, 0); /* only for the choice */
    assert_int_equal(taken->metadata->count, 2);
    assert_int_equal(value_get(taken->metadata, STR("space"))->count, 3);
    assert_field(taken->metadata, "space", "a", "one");
    assert_field(taken->metadata, "space", "b", "2");
    assert_field(taken->metadata, "space", "c", "three");
    assert_field(taken->metadata, "other", "x", "");
}

static void addresses_move_and_the_sockets_own_are_kept(void **state)
{
    use(&mover, 0);
    start();
    assert_int_equal(address_port(&conn->local), 99);
    assert_int_equal(address_port(&conn->remote), 99);
    assert_int_equal(address_port(conn_direct_remote(conn)), 1000);
    assert_non_null(taken);
    assert_int_equal(address_port(taken->direct_local), 443);
}

static void another_inspection_goes_on_where_one_ended(void **state)
{
    struct inspection *second;

    use(&namer, 0);
    start();
    free(taken);
    taken = NULL;
    inspection = inspection_new(&thread, &config, conn);
    (void)namer_on_accept(&inspection->filters[0]);
    second = inspection_new(&thread, &config, conn);
    inspection_move_info(second, inspection);
    inspection_free(inspection);
    inspection = second;
    assert_true(str_eq(second->info.application_protocols[1], STR("http/1.1")));
    taken = inspection_take_info(second);
    assert_field(taken->metadata, "space", "a", "one");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        TEST(filters_that_wait_for_nothing_are_done_at_once),
        TEST(no_filter_at_all),
        TEST(bytes_pass_from_filter_to_filter_and_on),
        TEST(what_trickles_in_is_put_together),
        TEST(a_filter_that_never_has_enough_is_stopped),
        TEST(a_filter_may_refuse),
        TEST(the_peer_may_go),
        TEST(time_runs_out),
        TEST(time_that_is_passed_over),
        TEST(predicates),
        TEST(what_was_found_stays),
        TEST(addresses_move_and_the_sockets_own_are_kept),
        TEST(another_inspection_goes_on_where_one_ended),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
