/*
 * A server and a client that do random things to each other, for both protocols: resources change,
 * go bad and go away, names are subscribed and given up, responses are repeated, streams end. The
 * server believes what the protocol says it may believe, as go-control-plane: it never sends what
 * the client must have. Whenever both have nothing more to say, the client has every good resource
 * that it wants as the server has it; and each response was answered once, in order, by an ACK or
 * NACK with the right version and nonce.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "xds/client.h"
#include "xds/fake_ads.h"
#include "xds/sim_loop.h"
#include "xds/wire.h"

#define N_NAMES 6
#define N_ROUNDS 400
#define N_STEPS 12 /* between two quiet moments */
#define N_ANSWERS 64

enum { T_WILDCARD, T_NAMED, N_TYPES };

static const struct str TYPE_URLS[N_TYPES] = {
    {"type.googleapis.com/envoy.config.cluster.v3.Cluster", 51},
    {"type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment", 66},
};
static const struct str NAMES[N_NAMES] = {{"r0", 2}, {"r1", 2}, {"r2", 2},
                                          {"r3", 2}, {"r4", 2}, {"r5", 2}};

/* A response that the client has seen and not yet answered. */
struct expected {
    unsigned nonce;
    bool is_refusal;
    unsigned version; /* SotW: last accepted when it was judged */
};

struct type_model {
    /* What there is. */
    unsigned version;                   /* of everything; moves with each change */
    unsigned resource_version[N_NAMES]; /* 0: does not exist */
    bool is_bad[N_NAMES];
    /* The server's belief about the stream. */
    bool is_asked;
    bool is_subscribed[N_NAMES];
    unsigned believed[N_NAMES]; /* version of what the client has; 0: nothing */
    unsigned sent_version;      /* of the last response, or what the client says it has */
    /* What the rules of answering demand. */
    struct expected expected[N_ANSWERS];
    size_t expected_count;
    unsigned answered_nonce; /* 0: none on this stream */
    unsigned accepted_version;
    /* The client. */
    struct xds_subscription *subscription;
    unsigned wanted[N_NAMES];
    unsigned view[N_NAMES];
    bool was_updated; /* by the response being sent */
    bool was_refused;
};

static struct loop loop;
static struct fake_ads *ads;
static struct rng rng;
static bool is_delta;
static struct type_model models[N_TYPES];
static uint64_t stream_number;
static unsigned nonces;

static bool chance(unsigned percent)
{
    return rng_below(&rng, 100) < percent;
}

static size_t name_index(struct str name)
{
    for (size_t i = 0; i < N_NAMES; i++) {
        if (str_eq(NAMES[i], name)) {
            return i;
        }
    }
    fail_msg("a name that nobody made");
    return 0;
}

static unsigned number_of(struct str digits)
{
    uint64_t v = 0;

    if (digits.len > 0) {
        assert_int_equal(parse_u64(digits, &v), 0);
    }
    return (unsigned)v;
}

/* --- client -------------------------------------------------------------------------------- */

/* Resource message: name, version, whether it is bad. */
static void resource_read(const struct xds_resource *r, size_t *ret_index, unsigned *ret_version,
                          bool *ret_bad)
{
    struct wire_reader reader = wire_reader_of(str_n((const char *)r->bytes, r->len));
    struct wire_field f;

    *ret_bad = false;
    while (wire_next(&reader, &f) == 1) {
        if (f.number == 1) {
            *ret_index = name_index(f.bytes);
        } else if (f.number == 2) {
            *ret_version = (unsigned)f.varint;
        } else {
            *ret_bad = true;
        }
    }
}

static void client_on_update(void *user, const struct xds_update *u, struct xds_verdict *v)
{
    struct type_model *m = user;
    bool is_present[N_NAMES] = {false};

    assert_int_equal(u->is_delta, is_delta);
    m->was_updated = true;
    for (size_t i = 0; i < u->resource_count; i++) {
        size_t at = 0;
        unsigned version = 0;
        bool is_bad;

        resource_read(&u->resources[i], &at, &version, &is_bad);
        is_present[at] = true;
        if (is_bad) {
            v->accepted = false;
            strbuf_addf(&v->detail, "%.*s is bad; ", STR_ARG(NAMES[at]));
        } else if (m == &models[T_WILDCARD] || m->wanted[at] > 0) {
            m->view[at] = version;
        }
    }
    for (size_t i = 0; i < u->removed_count; i++) {
        m->view[name_index(u->removed[i])] = 0;
    }
    for (size_t i = 0; i < N_NAMES && !is_delta && m == &models[T_WILDCARD]; i++) {
        m->view[i] = is_present[i] ? m->view[i] : 0;
    }
    m->was_refused = !v->accepted;
    if (!v->accepted && chance(30)) {
        v->delay_ms = rng_below(&rng, 5000);
    }
    if (v->accepted) {
        m->accepted_version = number_of(u->version_info);
    }
}

static void client_on_error(void *user, struct str reason)
{
    (void)user;
    (void)reason;
}

static void client_on_fetch_timeout(void *user, const struct str *names, size_t n)
{
    (void)user;
    (void)names;
    (void)n;
}

static const struct xds_subscriber client_subscriber = {
    .on_update = client_on_update,
    .on_error = client_on_error,
    .on_fetch_timeout = client_on_fetch_timeout,
};

static void client_want(size_t i)
{
    struct type_model *m = &models[T_NAMED];

    m->wanted[i]++;
    xds_subscription_add(m->subscription, NAMES[i], chance(50) ? 1000 : 0);
}

static void client_give_up(size_t i)
{
    struct type_model *m = &models[T_NAMED];

    if (m->wanted[i] > 0) {
        xds_subscription_remove(m->subscription, NAMES[i]);
        if (--m->wanted[i] == 0) {
            m->view[i] = 0; /* forgotten: it must come again */
        }
    }
}

/* --- server: sending ----------------------------------------------------------------------- */

static struct str make_bytes(struct arena *a, const struct type_model *m, size_t i)
{
    struct strbuf b;
    struct str bytes;

    strbuf_init(&b);
    wire_put_bytes(&b, 1, NAMES[i]);
    wire_put_varint(&b, 2, m->resource_version[i]);
    if (m->is_bad[i]) {
        wire_put_varint(&b, 3, 1);
    }
    bytes = arena_str(a, strbuf_str(&b));
    strbuf_done(&b);
    return bytes;
}

static bool server_concerns(const struct type_model *m, size_t i)
{
    return m == &models[T_WILDCARD] || m->is_subscribed[i];
}

/* The open stream; a new one knows nothing. */
static struct fake_stream *server_stream(void)
{
    struct fake_stream *st = fake_ads_stream(ads);

    if (st == NULL || fake_stream_number(st) == stream_number) {
        return st;
    }
    stream_number = fake_stream_number(st);
    for (size_t t = 0; t < N_TYPES; t++) {
        struct type_model *m = &models[t];

        m->is_asked = false;
        m->expected_count = 0;
        m->answered_nonce = 0;
        memset(m->is_subscribed, 0, sizeof(m->is_subscribed));
        memset(m->believed, 0, sizeof(m->believed));
    }
    return st;
}

static void server_send(struct type_model *m, const struct fake_resource *resources, size_t n,
                        const struct str *removed, size_t removed_n)
{
    struct expected *e = &m->expected[m->expected_count];
    char version[16];
    char nonce[16];

    nonces++;
    (void)snprintf(version, sizeof(version), "%u", m->version);
    (void)snprintf(nonce, sizeof(nonce), "%u", nonces);
    m->was_updated = false;
    fake_stream_respond(server_stream(), &(struct fake_response){
                                             .type_url = TYPE_URLS[m - models],
                                             .version = str_c(version),
                                             .nonce = str_c(nonce),
                                             .resources = resources,
                                             .resource_count = n,
                                             .removed = removed,
                                             .removed_count = removed_n,
                                         });
    if (m->was_updated) {
        assert_true(m->expected_count + 1 < N_ANSWERS);
        *e = (struct expected){
            .nonce = nonces, .is_refusal = m->was_refused, .version = m->accepted_version};
        m->expected_count++;
    }
}

/* SotW: everything that the client asks for. Delta: what it lacks, or, `sends_all`, everything. */
static void server_push(struct type_model *m, bool sends_all)
{
    struct fake_resource resources[N_NAMES];
    struct str removed[N_NAMES];
    size_t n = 0;
    size_t removed_n = 0;
    struct arena a;
    char version[N_NAMES][16];

    arena_init(&a, NULL);
    for (size_t i = 0; i < N_NAMES; i++) {
        unsigned now = m->resource_version[i];

        if (!server_concerns(m, i)) {
            continue;
        }
        if (now != 0 && (!is_delta || sends_all || m->believed[i] != now)) {
            (void)snprintf(version[i], sizeof(version[i]), "%u", now);
            resources[n] = (struct fake_resource){.bytes = make_bytes(&a, m, i)};
            if (is_delta || chance(20)) {
                resources[n].name = NAMES[i];
                resources[n].version = str_c(version[i]);
            }
            n++;
        } else if (now == 0 && is_delta && m->believed[i] != 0) {
            removed[removed_n++] = NAMES[i];
        }
        m->believed[i] = now;
    }
    m->sent_version = m->version;
    if (!is_delta || sends_all || n + removed_n > 0) {
        server_send(m, resources, n, removed, removed_n);
    }
    arena_done(&a);
}

/* --- server: requests ---------------------------------------------------------------------- */

/* True when the server goes on with it: not an answer to something older than its last word. */
static bool server_check_answer(struct type_model *m, const struct fake_request *rq)
{
    unsigned nonce = number_of(rq->nonce);
    unsigned version = number_of(rq->version);
    bool is_first = m->answered_nonce == 0;

    if (m->expected_count > 0 && nonce != 0 && nonce == m->expected[0].nonce) {
        struct expected e = m->expected[0];

        assert_int_equal(rq->has_error, e.is_refusal);
        assert_true(!rq->has_error || rq->error.len > 0);
        assert_int_equal(version, is_delta ? 0 : e.version);
        m->expected_count--;
        memmove(m->expected, m->expected + 1, m->expected_count * sizeof(e));
        m->answered_nonce = nonce;
        return m->expected_count == 0;
    }
    /* Nothing may come between a response and its answer but what crossed it. */
    assert_false(rq->has_error);
    if (is_delta) {
        assert_int_equal(nonce, 0);
        return true;
    }
    assert_int_equal(nonce, m->answered_nonce);
    if (!(is_first && version == 0)) {
        assert_true(version == m->accepted_version || m->expected_count > 0);
    }
    return m->expected_count == 0;
}

static void server_take_sotw(struct type_model *m, const struct fake_request *rq)
{
    bool is_first = !m->is_asked;
    unsigned version = number_of(rq->version);
    bool lacks = false;

    m->is_asked = true;
    if (!server_check_answer(m, rq)) {
        return;
    }
    for (size_t i = 0; i < N_NAMES; i++) {
        bool was_subscribed = m->is_subscribed[i];

        m->is_subscribed[i] = false;
        for (size_t k = 0; k < rq->name_count; k++) {
            m->is_subscribed[i] |= str_eq(rq->names[k], NAMES[i]);
        }
        if (is_first && version == m->version) {
            /* It has what came with this version, says the client. */
            m->believed[i] = server_concerns(m, i) ? m->resource_version[i] : 0;
        } else if (!was_subscribed || !m->is_subscribed[i]) {
            m->believed[i] = 0;
        }
        lacks |= server_concerns(m, i) && m == &models[T_NAMED] &&
                 m->believed[i] != m->resource_version[i];
    }
    if (is_first) {
        m->sent_version = version;
    }
    if (m->sent_version != m->version || lacks) {
        server_push(m, true);
    }
}

static void server_take_delta(struct type_model *m, const struct fake_request *rq)
{
    bool is_first = !m->is_asked;

    (void)server_check_answer(m, rq);
    assert_true(is_first || rq->held_count == 0);
    assert_true(m == &models[T_NAMED] || rq->name_count == 0);
    m->is_asked = true;
    for (size_t i = 0; i < rq->held_count; i++) {
        size_t at = name_index(rq->held[i].name);

        /* A version that is nowhere: different from all, but something to remove. */
        m->believed[at] =
            rq->held[i].version.len > 0 ? number_of(rq->held[i].version) : (unsigned)-1;
    }
    for (size_t i = 0; i < rq->name_count; i++) {
        size_t at = name_index(rq->names[i]);

        m->is_subscribed[at] = true;
        m->believed[at] = is_first ? m->believed[at] : 0;
    }
    for (size_t i = 0; i < rq->unsubscribed_count; i++) {
        size_t at = name_index(rq->unsubscribed[i]);

        assert_true(m->is_subscribed[at]);
        m->is_subscribed[at] = false;
        m->believed[at] = 0;
    }
    server_push(m, false);
}

static bool server_take_one(void)
{
    struct fake_request *rq = fake_ads_take(ads);

    if (rq == NULL) {
        return false;
    }
    if (server_stream() != NULL && rq->stream == server_stream()) {
        struct type_model *m =
            &models[str_eq(rq->type_url, TYPE_URLS[T_WILDCARD]) ? T_WILDCARD : T_NAMED];

        assert_true(str_eq(rq->type_url, TYPE_URLS[m - models]));
        (is_delta ? server_take_delta : server_take_sotw)(m, rq);
    }
    fake_request_free(rq);
    return true;
}

/* --- the world ----------------------------------------------------------------------------- */

static void world_change(struct type_model *m)
{
    size_t i = rng_below(&rng, N_NAMES);

    m->version++;
    m->resource_version[i] = chance(20) ? 0 : m->version;
    m->is_bad[i] = chance(15);
    /* As a snapshot cache: told to whoever listens, and does not owe an answer. */
    if (server_stream() != NULL && m->is_asked && m->expected_count == 0) {
        server_push(m, false);
    }
}

static void random_step(void)
{
    struct type_model *m = &models[rng_below(&rng, N_TYPES)];
    uint64_t what = rng_below(&rng, 100);

    if (what < 25) {
        world_change(m);
    } else if (what < 45) {
        client_want(rng_below(&rng, N_NAMES));
    } else if (what < 65) {
        client_give_up(rng_below(&rng, N_NAMES));
    } else if (what < 70) {
        if (server_stream() != NULL && m->is_asked) {
            server_push(m, true); /* nobody asked */
        }
    } else if (what < 75) {
        if (server_stream() != NULL) {
            fake_stream_end(server_stream(), STR("restarting"), false);
        }
    } else if (what < 77) {
        fake_ads_set_reachable(ads, chance(50));
    } else if (what < 90) {
        (void)server_take_one();
    } else {
        sim_loop_advance(&loop, rng_below(&rng, 40));
    }
    if (chance(60)) {
        sim_loop_turn(&loop);
    }
}

static void settle(void)
{
    fake_ads_set_reachable(ads, true);
    for (int quiet = 0; quiet < 2;) {
        quiet = server_take_one() ? 0 : quiet + 1;
        /* Twice over the longest a NACK is held back; backoff until there is a stream. */
        sim_loop_advance(&loop, quiet == 0 ? 0 : 5001);
        while (server_stream() == NULL) {
            sim_loop_advance(&loop, 500);
        }
    }
}

static void check_agreement(void)
{
    for (size_t t = 0; t < N_TYPES; t++) {
        const struct type_model *m = &models[t];

        assert_int_equal(m->expected_count, 0);
        for (size_t i = 0; i < N_NAMES; i++) {
            bool is_wanted = t == T_WILDCARD || m->wanted[i] > 0;

            assert_int_equal(m->is_subscribed[i], t == T_NAMED && is_wanted);
            if (!is_wanted) {
                assert_int_equal(m->view[i], 0);
            } else if (m->resource_version[i] != 0 && !m->is_bad[i]) {
                assert_int_equal(m->view[i], m->resource_version[i]);
            } else if (m->resource_version[i] == 0 && t == T_WILDCARD) {
                assert_int_equal(m->view[i], 0);
            }
        }
    }
}

static void noop(void *user)
{
    (void)user;
}

static void run_world(uint64_t seed, bool with_delta)
{
    struct xds_client *client;
    struct xds_source source = {.kind = XDS_SOURCE_GRPC, .is_delta = with_delta};
    struct xds_source aggregated = {.kind = XDS_SOURCE_ADS};

    is_delta = with_delta;
    memset(models, 0, sizeof(models));
    stream_number = 0;
    nonces = 0;
    rng_seed_with(&rng, seed);
    sim_loop_init(&loop, seed);
    ads = fake_ads_new(&loop);
    client = xds_client_new(&(struct xds_client_params){
        .loop = &loop,
        .dialer = fake_ads_dialer(ads),
        .transports = fake_ads_transports(ads),
    });
    xds_client_set_ads(client, &source);
    for (size_t t = 0; t < N_TYPES; t++) {
        models[t].version = 1;
        models[t].subscription = xds_subscribe(client, &aggregated, TYPE_URLS[t], t == T_WILDCARD,
                                               &client_subscriber, &models[t]);
    }
    for (int round = 0; round < N_ROUNDS; round++) {
        for (int step = 0; step < N_STEPS; step++) {
            random_step();
        }
        settle();
        check_agreement();
    }
    for (size_t t = 0; t < N_TYPES; t++) {
        xds_subscription_close(models[t].subscription);
    }
    xds_client_close(client, noop, NULL);
    sim_loop_turn(&loop);
    fake_ads_free(ads);
    sim_loop_done(&loop);
}

/* A failure names its seed: set NUNCIO_TEST_SEED to run that one alone. */
static void run_worlds(bool with_delta)
{
    const char *only = getenv("NUNCIO_TEST_SEED");

    for (uint64_t seed = 1; seed <= 20; seed++) {
        uint64_t used = only != NULL ? number_of(str_c(only)) : seed;

        print_message("seed %u\n", (unsigned)used);
        run_world(used, with_delta);
        if (only != NULL) {
            break;
        }
    }
}

static void test_sotw_agrees_whenever_it_is_quiet(void **state)
{
    run_worlds(false);
}

static void test_delta_agrees_whenever_it_is_quiet(void **state)
{
    run_worlds(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sotw_agrees_whenever_it_is_quiet),
        cmocka_unit_test(test_delta_agrees_whenever_it_is_quiet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
