/* Streams and subscriptions against fake_ads: life, backoff, answers, and callbacks that close. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "dataplane/base/xalloc.h"
#include "xds/client.h"
#include "xds/fake_ads.h"
#include "xds/sim_loop.h"

#define CDS STR("type.googleapis.com/envoy.config.cluster.v3.Cluster")
#define EDS STR("type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment")
#define LDS STR("type.googleapis.com/envoy.config.listener.v3.Listener")

/* What a test's subscriber was told, as one line; what it does about it. */
struct told {
    struct strbuf line;
    bool refuses;
    uint64_t delay_ms;
    struct xds_subscription *closes; /* on the next callback */
    struct xds_subscription *adds_to;
    const char *adds;
    struct xds_subscription *removes_from;
    const char *removes;
};

struct fixture {
    struct loop loop;
    struct fake_ads *ads;
    struct xds_client *client;
    struct told cds;
    struct told eds;
    bool is_closed;
};

static struct fixture fx;

static void told_react(struct told *t)
{
    struct xds_subscription *closes = t->closes;

    if (t->adds != NULL) {
        xds_subscription_add(t->adds_to, str_c(t->adds), 15000);
        t->adds = NULL;
    }
    if (t->removes != NULL) {
        xds_subscription_remove(t->removes_from, str_c(t->removes));
        t->removes = NULL;
    }
    t->closes = NULL;
    if (closes != NULL) {
        xds_subscription_close(closes);
    }
}

static void told_on_update(void *user, const struct xds_update *u, struct xds_verdict *v)
{
    struct told *t = user;

    strbuf_addf(&t->line, "update(%.*s", STR_ARG(u->version_info));
    for (size_t i = 0; i < u->resource_count; i++) {
        strbuf_addf(&t->line, " %.*s", STR_ARG(u->resources[i].name));
    }
    for (size_t i = 0; i < u->removed_count; i++) {
        strbuf_addf(&t->line, " -%.*s", STR_ARG(u->removed[i]));
    }
    strbuf_add_c(&t->line, ") ");
    if (t->refuses) {
        v->accepted = false;
        v->delay_ms = t->delay_ms;
        strbuf_add_c(&v->detail, "bad");
    }
    told_react(t);
}

static void told_on_error(void *user, struct str reason)
{
    struct told *t = user;

    strbuf_addf(&t->line, "error(%.*s) ", STR_ARG(reason));
    told_react(t);
}

static void told_on_fetch_timeout(void *user, const struct str *names, size_t n)
{
    struct told *t = user;

    strbuf_add_c(&t->line, "timeout(");
    for (size_t i = 0; i < n; i++) {
        strbuf_addf(&t->line, "%s%.*s", i > 0 ? " " : "", STR_ARG(names[i]));
    }
    strbuf_add_c(&t->line, ") ");
    told_react(t);
}

static const struct xds_subscriber told_subscriber = {
    .on_update = told_on_update,
    .on_error = told_on_error,
    .on_fetch_timeout = told_on_fetch_timeout,
};

/* Since the last look. */
#define assert_told(t, text)                                                                       \
    do {                                                                                           \
        assert_string_equal((t)->line.len > 0 ? (t)->line.ptr : "", (text));                       \
        strbuf_reset(&(t)->line);                                                                  \
    } while (0)

static const struct xds_source ADS = {.kind = XDS_SOURCE_ADS, .initial_fetch_timeout_ms = 15000};

static struct xds_source grpc_source(bool is_delta)
{
    return (struct xds_source){
        .kind = XDS_SOURCE_GRPC,
        .is_delta = is_delta,
        .cluster_name = STR("control_plane"),
        .initial_fetch_timeout_ms = 15000,
    };
}

static void start_with(const struct xds_source *ads)
{
    sim_loop_init(&fx.loop, 1);
    fx.ads = fake_ads_new(&fx.loop);
    fx.client = xds_client_new(&(struct xds_client_params){
        .loop = &fx.loop,
        .dialer = fake_ads_dialer(fx.ads),
        .node = (const uint8_t *)"node",
        .node_len = 4,
        .transports = fake_ads_transports(fx.ads),
    });
    strbuf_init(&fx.cds.line);
    strbuf_init(&fx.eds.line);
    if (ads != NULL) {
        xds_client_set_ads(fx.client, ads);
    }
}

static int setup_sotw(void **state)
{
    struct xds_source ads = grpc_source(false);

    fx = (struct fixture){.is_closed = false};
    start_with(&ads);
    return 0;
}

static int setup_delta(void **state)
{
    struct xds_source ads = grpc_source(true);

    fx = (struct fixture){.is_closed = false};
    start_with(&ads);
    return 0;
}

static int setup_without_ads(void **state)
{
    fx = (struct fixture){.is_closed = false};
    start_with(NULL);
    return 0;
}

static void fx_on_closed(void *user)
{
    ((struct fixture *)user)->is_closed = true;
}

static int teardown(void **state)
{
    xds_client_close(fx.client, fx_on_closed, &fx);
    assert_false(fx.is_closed);
    sim_loop_turn(&fx.loop);
    assert_true(fx.is_closed);
    assert_int_equal(fake_ads_open_count(fx.ads), 0);
    fake_ads_free(fx.ads);
    strbuf_done(&fx.cds.line);
    strbuf_done(&fx.eds.line);
    sim_loop_done(&fx.loop);
    return 0;
}

static struct xds_subscription *subscribe(struct str type_url, bool is_wildcard, struct told *t)
{
    return xds_subscribe(fx.client, &ADS, type_url, is_wildcard, &told_subscriber, t);
}

static void turn(void)
{
    sim_loop_turn(&fx.loop);
}

static void advance(uint64_t ms)
{
    sim_loop_advance(&fx.loop, ms);
}

/* The oldest request not looked at yet. */
#define assert_request(type, text)                                                                 \
    do {                                                                                           \
        struct fake_request *rq = fake_ads_take(fx.ads);                                           \
        assert_non_null(rq);                                                                       \
        assert_true(str_eq(rq->type_url, (type)));                                                 \
        assert_string_equal(fake_request_text(rq), (text));                                        \
        fake_request_free(rq);                                                                     \
    } while (0)

static void assert_silent(void)
{
    assert_null(fake_ads_take(fx.ads));
}

static void respond(struct str type_url, const char *version, const char *nonce, const char *names)
{
    struct fake_resource resources[8];
    struct str removed[8];
    struct fake_response rs = {
        .type_url = type_url,
        .version = str_c(version),
        .nonce = str_c(nonce),
        .control_plane = STR("istiod"),
        .resources = resources,
        .removed = removed,
    };
    struct str rest = str_c(names);
    struct str name;

    while (rest.len > 0 && str_split(&rest, ',', &name)) {
        if (name.ptr[0] == '-') {
            removed[rs.removed_count++] = str_sub(name, 1, name.len);
        } else {
            resources[rs.resource_count++] = (struct fake_resource){
                .name = name,
                .version = str_c(version),
            };
        }
    }
    fake_stream_respond(fake_ads_stream(fx.ads), &rs);
    turn();
}

static void keep_status(void *user, const struct xds_stream_status *s)
{
    *(struct xds_stream_status *)user = *s;
}

/* --- a stream's life ----------------------------------------------------------------------- */

static void test_nothing_is_sent_or_dialed_before_the_turn_ends(void **state)
{
    struct xds_subscription *eds = subscribe(EDS, false, &fx.eds);
    struct xds_subscription *cds = subscribe(CDS, true, &fx.cds);

    xds_subscription_add(eds, STR("b"), 15000);
    xds_subscription_add(eds, STR("a"), 15000);
    assert_int_equal(fake_ads_dial_count(fx.ads), 0);
    turn();
    assert_int_equal(fake_ads_dial_count(fx.ads), 1);
    assert_true(str_eq(fake_stream_method(fake_ads_stream(fx.ads)),
                       STR("/envoy.service.discovery.v3.AggregatedDiscoveryService/"
                           "StreamAggregatedResources")));
    assert_request(EDS, "names=a,b");
    assert_request(CDS, "names=");
    assert_silent();
    xds_subscription_close(eds);
    xds_subscription_close(cds);
}

static void test_no_stream_without_something_to_say(void **state)
{
    struct xds_subscription *eds = subscribe(EDS, false, &fx.eds);

    advance(100);
    assert_int_equal(fake_ads_dial_count(fx.ads), 0);
    xds_subscription_add(eds, STR("a"), 15000);
    turn();
    assert_request(EDS, "names=a");
    xds_subscription_close(eds);
}

static void test_an_update_is_answered_before_what_it_causes(void **state)
{
    struct xds_subscription *cds = subscribe(CDS, true, &fx.cds);
    struct xds_subscription *eds = subscribe(EDS, false, &fx.eds);

    turn();
    assert_request(CDS, "names=");
    fx.cds.adds_to = eds;
    fx.cds.adds = "x";
    respond(CDS, "1", "A", "x");
    assert_told(&fx.cds, "update(1 x) ");
    assert_request(CDS, "version=1 nonce=A names=");
    assert_request(EDS, "names=x");
    respond(EDS, "1", "B", "x");
    assert_told(&fx.eds, "update(1 x) ");
    assert_request(EDS, "version=1 nonce=B names=x");
    assert_silent();
    xds_subscription_close(eds);
    xds_subscription_close(cds);
}

static void test_refusal(void **state)
{
    struct xds_subscription *cds = subscribe(CDS, true, &fx.cds);

    turn();
    assert_request(CDS, "names=");
    fx.cds.refuses = true;
    respond(CDS, "1", "A", "x");
    assert_request(CDS, "nonce=A names= error=bad");
    xds_subscription_close(cds);
}

static void test_a_refusal_is_held_back(void **state)
{
    struct xds_subscription *cds = subscribe(CDS, true, &fx.cds);

    turn();
    assert_request(CDS, "names=");
    fx.cds.refuses = true;
    fx.cds.delay_ms = 400;
    respond(CDS, "1", "A", "x");
    advance(399);
    assert_silent();
    advance(2);
    assert_request(CDS, "nonce=A names= error=bad");
    assert_silent();
    xds_subscription_close(cds);
}

/* Every response has an answer of its own, and names never wait. */
static void test_a_held_refusal_goes_before_anything_newer(void **state)
{
    struct xds_subscription *eds = subscribe(EDS, false, &fx.eds);

    xds_subscription_add(eds, STR("a"), 15000);
    turn();
    assert_request(EDS, "names=a");
    fx.eds.refuses = true;
    fx.eds.delay_ms = 5000;
    respond(EDS, "1", "A", "a");
    assert_silent();
    fx.eds.refuses = false;
    respond(EDS, "2", "B", "a");
    assert_request(EDS, "nonce=A names=a error=bad");
    assert_request(EDS, "version=2 nonce=B names=a");
    fx.eds.refuses = true;
    respond(EDS, "3", "C", "a");
    xds_subscription_add(eds, STR("b"), 15000);
    turn();
    assert_request(EDS, "version=2 nonce=C names=a,b error=bad");
    advance(6000);
    assert_silent();
    xds_subscription_close(eds);
}

static void test_a_held_refusal_dies_with_its_stream(void **state)
{
    struct xds_subscription *cds = subscribe(CDS, true, &fx.cds);

    turn();
    assert_request(CDS, "names=");
    fx.cds.refuses = true;
    fx.cds.delay_ms = 5000;
    respond(CDS, "1", "A", "x");
    fake_stream_end(fake_ads_stream(fx.ads), STR("bye"), false);
    advance(600);
    assert_request(CDS, "names=");
    advance(6000);
    assert_silent();
    xds_subscription_close(cds);
}

static void test_types_that_were_not_asked_for_are_ignored(void **state)
{
    struct xds_subscription *cds = subscribe(CDS, true, &fx.cds);
    struct xds_subscription *eds = subscribe(EDS, false, &fx.eds);

    turn();
    assert_request(CDS, "names=");
    respond(LDS, "1", "A", "x");
    respond(EDS, "1", "B", "x"); /* subscribed, but without a name: an ACK would ask for all */
    assert_told(&fx.eds, "");
    assert_silent();
    respond(CDS, "1", "C", "x");
    assert_request(CDS, "version=1 nonce=C names=");
    xds_subscription_close(eds);
    xds_subscription_close(cds);
}

static void test_an_empty_response_is_an_update(void **state)
{
    struct xds_subscription *cds = subscribe(CDS, true, &fx.cds);

    turn();
    assert_request(CDS, "names=");
    respond(CDS, "1", "A", "");
    assert_told(&fx.cds, "update(1) ");
    assert_request(CDS, "version=1 nonce=A names=");
    xds_subscription_close(cds);
}

/* --- loss and backoff ---------------------------------------------------------------------- */

static void test_a_new_stream_asks_for_everything_again(void **state)
{
    struct xds_subscription *cds = subscribe(CDS, true, &fx.cds);
    struct xds_subscription *eds = subscribe(EDS, false, &fx.eds);

    xds_subscription_add(eds, STR("x"), 15000);
    turn();
    assert_request(CDS, "names=");
    assert_request(EDS, "names=x");
    respond(CDS, "7", "A", "x");
    respond(EDS, "8", "B", "x");
    assert_request(CDS, "version=7 nonce=A names=");
    assert_request(EDS, "version=8 nonce=B names=x");
    fake_stream_end(fake_ads_stream(fx.ads), STR("gone"), false);
    strbuf_reset(&fx.eds.line);
    assert_told(&fx.cds, "update(7 x) error(gone) ");
    advance(600);
    assert_request(CDS, "version=7 names=");
    assert_request(EDS, "version=8 names=x");
    assert_silent();
    xds_subscription_close(eds);
    xds_subscription_close(cds);
}

static void test_delta_reconnect_tells_what_is_held(void **state)
{
    struct xds_subscription *cds = subscribe(CDS, true, &fx.cds);

    turn();
    assert_true(str_eq(fake_stream_method(fake_ads_stream(fx.ads)),
                       STR("/envoy.service.discovery.v3.AggregatedDiscoveryService/"
                           "DeltaAggregatedResources")));
    assert_request(CDS, "");
    respond(CDS, "1", "A", "x,y");
    assert_request(CDS, "nonce=A");
    respond(CDS, "2", "B", "-y");
    assert_told(&fx.cds, "update(1 x y) update(2 -y) ");
    assert_request(CDS, "nonce=B");
    fake_stream_end(fake_ads_stream(fx.ads), STR("gone"), false);
    advance(600);
    assert_request(CDS, "held=x:1");
    xds_subscription_close(cds);
}

/* Milliseconds until the next dial, which fails or succeeds as told before. */
static uint64_t wait_for_dial(void)
{
    size_t before = fake_ads_dial_count(fx.ads);
    uint64_t waited = 0;

    while (fake_ads_dial_count(fx.ads) == before) {
        advance(1);
        waited++;
        assert_true(waited < 40000);
    }
    return waited;
}

static void test_backoff_doubles_with_jitter_up_to_half_a_minute(void **state)
{
    struct xds_subscription *cds = subscribe(CDS, true, &fx.cds);
    uint64_t longest = 0;

    fake_ads_set_reachable(fx.ads, false);
    turn();
    for (uint64_t round = 0, bound = 500; round < 60; round++) {
        uint64_t waited = wait_for_dial();

        assert_true(waited <= bound + 2);
        longest = waited > longest ? waited : longest;
        bound = bound * 2 > 30000 ? 30000 : bound * 2;
    }
    assert_true(longest > 15000);
    assert_told(&fx.cds, fx.cds.line.ptr); /* an error each */
    xds_subscription_close(cds);
}

/* A response ends the row of failures, a connection alone does not. */
static void test_backoff_starts_again_after_a_response(void **state)
{
    struct xds_subscription *cds = subscribe(CDS, true, &fx.cds);
    uint64_t sum = 0;

    turn();
    for (int i = 0; i < 20; i++) {
        fake_stream_end(fake_ads_stream(fx.ads), STR("unavailable"), false);
        sum += wait_for_dial();
        turn();
    }
    assert_true(sum > 20 * 500);
    for (int i = 0; i < 20; i++) {
        respond(CDS, "1", "A", "x");
        fake_stream_end(fake_ads_stream(fx.ads), STR("restarting"), false);
        assert_true(wait_for_dial() <= 502);
        turn();
    }
    xds_subscription_close(cds);
}

static void test_a_message_that_is_too_large_backs_off_long(void **state)
{
    struct xds_subscription *cds = subscribe(CDS, true, &fx.cds);
    struct xds_stream_status status;

    turn();
    respond(CDS, "1", "A", "x");
    fake_stream_end(fake_ads_stream(fx.ads), STR("too large"), true);
    assert_true(wait_for_dial() >= 15000);
    xds_client_visit(fx.client, keep_status, &status);
    assert_int_equal(status.too_large_messages, 1);
    xds_subscription_close(cds);
}

static void test_a_malformed_response_ends_the_stream(void **state)
{
    struct xds_subscription *cds = subscribe(CDS, true, &fx.cds);

    turn();
    respond(CDS, "1", "A", "x");
    fake_stream_send(fake_ads_stream(fx.ads), STR("\xff\xff"));
    assert_null(fake_ads_stream(fx.ads));
    assert_told(&fx.cds, "update(1 x) error(malformed discovery response) ");
    fake_request_free(fake_ads_take(fx.ads));
    fake_request_free(fake_ads_take(fx.ads));
    advance(600);
    assert_request(CDS, "version=1 names=");
    xds_subscription_close(cds);
}

static void test_a_server_that_says_nothing_is_waited_for(void **state)
{
    struct xds_subscription *cds = subscribe(CDS, true, &fx.cds);

    advance(14999);
    assert_told(&fx.cds, "");
    advance(3);
    assert_told(&fx.cds, "timeout() ");
    advance(60000);
    assert_told(&fx.cds, "");
    assert_int_equal(fake_ads_dial_count(fx.ads), 1);
    respond(CDS, "1", "A", "x"); /* late is better than never */
    assert_told(&fx.cds, "update(1 x) ");
    xds_subscription_close(cds);
}

static void test_a_refused_response_answers_a_wildcard(void **state)
{
    struct xds_subscription *cds = subscribe(CDS, true, &fx.cds);

    turn();
    fx.cds.refuses = true;
    respond(CDS, "1", "A", "x");
    advance(16000);
    assert_told(&fx.cds, "update(1 x) ");
    xds_subscription_close(cds);
}

static void test_what_the_admin_page_shows(void **state)
{
    struct xds_subscription *cds = subscribe(CDS, true, &fx.cds);
    struct xds_stream_status status;

    turn();
    respond(CDS, "1", "A", "x");
    xds_client_visit(fx.client, keep_status, &status);
    assert_true(status.is_connected);
    assert_false(status.is_delta);
    assert_true(str_eq(status.cluster, STR("control_plane")));
    assert_true(str_eq(status.control_plane, STR("istiod")));
    assert_int_equal(status.requests_sent, 2);
    assert_int_equal(status.responses_received, 1);
    assert_int_equal(status.reconnects, 0);
    fake_stream_end(fake_ads_stream(fx.ads), STR("gone"), false);
    xds_client_visit(fx.client, keep_status, &status);
    assert_false(status.is_connected);
    assert_true(str_eq(status.last_error, STR("gone")));
    advance(600);
    xds_client_visit(fx.client, keep_status, &status);
    assert_true(status.is_connected);
    assert_int_equal(status.reconnects, 1);
    xds_subscription_close(cds);
}

/* --- fetch timeouts ------------------------------------------------------------------------ */

static void test_each_name_has_its_own_fetch_timeout(void **state)
{
    struct xds_subscription *eds = subscribe(EDS, false, &fx.eds);

    xds_subscription_add(eds, STR("slow"), 20000);
    xds_subscription_add(eds, STR("quick"), 5000);
    xds_subscription_add(eds, STR("never"), 0);
    xds_subscription_add(eds, STR("there"), 5000);
    xds_subscription_add(eds, STR("given up"), 5000);
    turn();
    xds_subscription_remove(eds, STR("given up"));
    respond(EDS, "1", "A", "there");
    assert_told(&fx.eds, "update(1 there) ");
    advance(4998);
    assert_told(&fx.eds, "");
    advance(5);
    assert_told(&fx.eds, "timeout(quick) ");
    advance(15001);
    assert_told(&fx.eds, "timeout(slow) ");
    advance(100000);
    assert_told(&fx.eds, "");
    xds_subscription_close(eds);
}

/* Which of a refused response are good only the subscriber knows. */
static void test_a_refused_response_does_not_end_the_wait(void **state)
{
    struct xds_subscription *eds = subscribe(EDS, false, &fx.eds);

    xds_subscription_add(eds, STR("a"), 5000);
    turn();
    fx.eds.refuses = true;
    respond(EDS, "1", "A", "a");
    advance(6000);
    assert_told(&fx.eds, "update(1 a) timeout(a) ");
    xds_subscription_close(eds);
}

/* Names told may be given up in the callback that tells them: never connected, they go at once. */
static void test_a_subscription_closed_while_it_is_told_of_a_timeout(void **state)
{
    struct xds_subscription *eds = subscribe(EDS, false, &fx.eds);

    fake_ads_set_answers_dials(fx.ads, false);
    xds_subscription_add(eds, STR("a"), 5000);
    xds_subscription_add(eds, STR("b"), 5000);
    fx.eds.removes_from = eds;
    fx.eds.removes = "a";
    advance(5002);
    assert_told(&fx.eds, "timeout(a b) ");
    xds_subscription_add(eds, STR("a"), 5000);
    fx.eds.closes = eds;
    advance(5002);
    assert_told(&fx.eds, "timeout(a) ");
}

/* --- closing ------------------------------------------------------------------------------- */

static void test_closing_while_dialing_cancels(void **state)
{
    struct xds_subscription *cds = subscribe(CDS, true, &fx.cds);

    fake_ads_set_answers_dials(fx.ads, false);
    turn();
    assert_int_equal(fake_ads_dial_count(fx.ads), 1);
    xds_subscription_close(cds);
    /* teardown frees the stream: fake_ads checks that the dial is gone */
}

static void test_a_subscription_closed_in_its_own_callback(void **state)
{
    struct xds_subscription *cds = subscribe(CDS, true, &fx.cds);

    turn();
    assert_request(CDS, "names=");
    fx.cds.closes = cds;
    respond(CDS, "1", "A", "x");
    assert_told(&fx.cds, "update(1 x) ");
    assert_silent(); /* nobody is there to accept or refuse */
    respond(CDS, "2", "B", "x");
    assert_told(&fx.cds, "");
}

static void test_a_subscription_closed_in_anothers_callback(void **state)
{
    struct xds_subscription *cds = subscribe(CDS, true, &fx.cds);
    struct xds_subscription *eds = subscribe(EDS, false, &fx.eds);

    xds_subscription_add(eds, STR("a"), 15000);
    turn();
    assert_request(CDS, "names=");
    assert_request(EDS, "names=a");
    fx.cds.closes = eds;
    fake_stream_end(fake_ads_stream(fx.ads), STR("gone"), false);
    assert_told(&fx.cds, "error(gone) ");
    assert_told(&fx.eds, "");
    advance(600);
    assert_request(CDS, "names=");
    assert_silent();
    xds_subscription_close(cds);
}

static void test_closing_a_type_takes_its_names_back(void **state)
{
    struct xds_subscription *cds = subscribe(CDS, true, &fx.cds);
    struct xds_subscription *eds = subscribe(EDS, false, &fx.eds);

    xds_subscription_add(eds, STR("a"), 15000);
    turn();
    assert_request(CDS, "");
    assert_request(EDS, "+a");
    xds_subscription_close(eds);
    assert_request(EDS, "-a");
    eds = subscribe(EDS, false, &fx.eds);
    xds_subscription_add(eds, STR("a"), 15000);
    turn();
    assert_request(EDS, "+a");
    assert_silent();
    xds_subscription_close(eds);
    xds_subscription_close(cds);
}

/* --- other sources ------------------------------------------------------------------------- */

static void test_a_source_of_its_own_has_a_stream_of_its_own(void **state)
{
    const struct xds_metadata metadata[] = {{STR("x-token"), STR("t")}};
    struct xds_source own = grpc_source(true);
    struct xds_subscription *cds = subscribe(CDS, true, &fx.cds);
    struct xds_subscription *eds;
    struct fake_stream *st;

    own.cluster_name = STR("other");
    own.initial_metadata = metadata;
    own.initial_metadata_count = 1;
    eds = xds_subscribe(fx.client, &own, EDS, false, &told_subscriber, &fx.eds);
    xds_subscription_add(eds, STR("a"), 15000);
    turn();
    assert_int_equal(fake_ads_open_count(fx.ads), 2);
    st = fake_ads_stream_of(
        fx.ads, STR("/envoy.service.endpoint.v3.EndpointDiscoveryService/DeltaEndpoints"));
    assert_non_null(st);
    assert_true(str_eq(fake_stream_metadata(st, STR("x-token")), STR("t")));
    assert_request(CDS, "names=");
    assert_request(EDS, "+a");
    fx.eds.closes = eds;
    fake_stream_respond(st, &(struct fake_response){.type_url = EDS});
    assert_int_equal(fake_ads_open_count(fx.ads), 1);
    assert_told(&fx.eds, "update() ");
    xds_subscription_close(cds);
}

static void test_a_source_closed_in_an_error_callback(void **state)
{
    struct xds_source own = grpc_source(false);
    struct xds_subscription *eds =
        xds_subscribe(fx.client, &own, EDS, false, &told_subscriber, &fx.eds);

    xds_subscription_add(eds, STR("a"), 15000);
    turn();
    fx.eds.closes = eds;
    fake_stream_end(fake_ads_stream(fx.ads), STR("gone"), false);
    assert_told(&fx.eds, "error(gone) ");
    advance(60000);
    assert_int_equal(fake_ads_dial_count(fx.ads), 1);
}

static void test_a_source_closed_when_its_bytes_are_malformed(void **state)
{
    struct xds_source own = grpc_source(false);
    struct xds_subscription *eds =
        xds_subscribe(fx.client, &own, EDS, false, &told_subscriber, &fx.eds);

    xds_subscription_add(eds, STR("a"), 15000);
    turn();
    fx.eds.closes = eds;
    fake_stream_send(fake_ads_stream(fx.ads), STR("\xff"));
    advance(60000);
    assert_int_equal(fake_ads_dial_count(fx.ads), 1);
}

/* ADS asked for where the bootstrap has none: errors and timeouts, not silence for ever. */
static void test_ads_that_is_not_configured(void **state)
{
    struct xds_subscription *cds;

    fake_ads_set_reachable(fx.ads, false);
    cds = subscribe(CDS, true, &fx.cds);
    advance(15002);
    assert_non_null(strstr(fx.cds.line.ptr, "timeout() "));
    strbuf_reset(&fx.cds.line);
    xds_subscription_close(cds);
}

/* --- the node ------------------------------------------------------------------------------ */

static bool next_has_node(void)
{
    struct fake_request *rq = fake_ads_take(fx.ads);
    bool has_node;

    assert_non_null(rq);
    has_node = rq->has_node;
    fake_request_free(rq);
    return has_node;
}

static void test_the_node_goes_with_every_request(void **state)
{
    struct xds_subscription *cds = subscribe(CDS, true, &fx.cds);

    turn();
    respond(CDS, "1", "A", "x");
    assert_true(next_has_node());
    assert_true(next_has_node());
    xds_subscription_close(cds);
}

static int setup_node_once(void **state)
{
    struct xds_source ads = grpc_source(false);

    fx = (struct fixture){.is_closed = false};
    ads.set_node_on_first_message_only = true;
    start_with(&ads);
    return 0;
}

static void test_the_node_goes_with_a_streams_first_request(void **state)
{
    struct xds_subscription *cds = subscribe(CDS, true, &fx.cds);
    struct xds_subscription *eds = subscribe(EDS, false, &fx.eds);

    xds_subscription_add(eds, STR("a"), 15000);
    turn();
    respond(CDS, "1", "A", "x");
    assert_true(next_has_node());
    assert_false(next_has_node());
    assert_false(next_has_node());
    fake_stream_end(fake_ads_stream(fx.ads), STR("gone"), false);
    advance(600);
    assert_true(next_has_node());
    assert_false(next_has_node());
    xds_subscription_close(eds);
    xds_subscription_close(cds);
}

#define SOTW(f) cmocka_unit_test_setup_teardown(f, setup_sotw, teardown)
#define DELTA(f) cmocka_unit_test_setup_teardown(f, setup_delta, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOTW(test_nothing_is_sent_or_dialed_before_the_turn_ends),
        SOTW(test_no_stream_without_something_to_say),
        SOTW(test_an_update_is_answered_before_what_it_causes),
        SOTW(test_refusal),
        SOTW(test_a_refusal_is_held_back),
        SOTW(test_a_held_refusal_goes_before_anything_newer),
        SOTW(test_a_held_refusal_dies_with_its_stream),
        SOTW(test_types_that_were_not_asked_for_are_ignored),
        SOTW(test_an_empty_response_is_an_update),
        SOTW(test_a_new_stream_asks_for_everything_again),
        DELTA(test_delta_reconnect_tells_what_is_held),
        SOTW(test_backoff_doubles_with_jitter_up_to_half_a_minute),
        SOTW(test_backoff_starts_again_after_a_response),
        SOTW(test_a_message_that_is_too_large_backs_off_long),
        SOTW(test_a_malformed_response_ends_the_stream),
        SOTW(test_a_server_that_says_nothing_is_waited_for),
        SOTW(test_a_refused_response_answers_a_wildcard),
        SOTW(test_what_the_admin_page_shows),
        SOTW(test_each_name_has_its_own_fetch_timeout),
        SOTW(test_a_refused_response_does_not_end_the_wait),
        SOTW(test_a_subscription_closed_while_it_is_told_of_a_timeout),
        SOTW(test_closing_while_dialing_cancels),
        SOTW(test_a_subscription_closed_in_its_own_callback),
        SOTW(test_a_subscription_closed_in_anothers_callback),
        DELTA(test_closing_a_type_takes_its_names_back),
        SOTW(test_a_source_of_its_own_has_a_stream_of_its_own),
        SOTW(test_a_source_closed_in_an_error_callback),
        SOTW(test_a_source_closed_when_its_bytes_are_malformed),
        cmocka_unit_test_setup_teardown(test_ads_that_is_not_configured, setup_without_ads,
                                        teardown),
        SOTW(test_the_node_goes_with_every_request),
        cmocka_unit_test_setup_teardown(test_the_node_goes_with_a_streams_first_request,
                                        setup_node_once, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
