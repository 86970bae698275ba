/*
 * Random updates of a small world, types in random order, over both protocols. Every version that
 * is published is checked as it comes (store_world.c): what it names is there, or was given up for
 * a reason. In the end it is what the control plane said last. And where the control plane is only
 * disorderly, never wrong, nothing is ever published without what it names.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "config/store_world.h"

#define N_CLUSTERS 5
#define N_TABLES 4
#define N_LISTENERS 3
#define N_KINDS 4

static const enum part_kind KINDS[N_KINDS] = {PART_CLUSTER, PART_ENDPOINTS, PART_ROUTE_TABLE,
                                              PART_LISTENER};

/* What the control plane wants. Endpoints and tables, once there, change but never go: they cannot
 * be taken away. */
struct desired {
    unsigned cluster[N_CLUSTERS];         /* connect timeout, 0: no such cluster */
    unsigned service[N_CLUSTERS];         /* number of its endpoints, which are e0, e1, ... */
    unsigned endpoints[N_CLUSTERS];       /* port, 0: not there yet */
    unsigned table[N_TABLES];             /* difference, 0: not there yet */
    unsigned table_clusters[N_TABLES][2]; /* named by the table */
    unsigned listener[N_LISTENERS];       /* difference, 0: no such listener */
    unsigned listener_table[N_LISTENERS];
};

static struct world w;
static struct rng rng;
static struct desired want;
static struct desired sent; /* delta: what removals refer to */
static unsigned differences;

static bool chance(unsigned percent)
{
    return rng_below(&rng, 100) < percent;
}

static unsigned below(unsigned n)
{
    return (unsigned)rng_below(&rng, n);
}

/* --- words --------------------------------------------------------------------------------- */

static void add_word(struct strbuf *out, const char *word, bool is_bad)
{
    strbuf_addf(out, "%s%s%s", out->len > 0 ? " " : "", word, is_bad ? "!" : "");
}

static void cluster_word(char *out, size_t size, unsigned i)
{
    char seconds[16] = "";

    if (want.cluster[i] != 5) { /* the default is not written */
        (void)snprintf(seconds, sizeof(seconds), "#%u", want.cluster[i]);
    }
    (void)snprintf(out, size, "c%u@e%u%s", i, want.service[i], seconds);
}

static void table_word(char *out, size_t size, unsigned i)
{
    const unsigned *c = want.table_clusters[i];

    if (c[0] == c[1]) {
        (void)snprintf(out, size, "r%u=c%u#%u", i, c[0], want.table[i]);
    } else {
        (void)snprintf(out, size, "r%u=c%u,c%u#%u", i, c[0], c[1], want.table[i]);
    }
}

static void listener_word(char *out, size_t size, unsigned i)
{
    (void)snprintf(out, size, "l%u=r%u#%u", i, want.listener_table[i], want.listener[i]);
}

static void removed_word(struct strbuf *out, const char *prefix, unsigned i, unsigned now,
                         unsigned before)
{
    if (w.is_delta && now == 0 && before != 0) {
        strbuf_addf(out, "%s-%s%u", out->len > 0 ? " " : "", prefix, i);
    }
}

static void words_of(enum part_kind kind, unsigned bad_percent, struct strbuf *out)
{
    char word[64];

    strbuf_add_c(out, "");
    for (unsigned i = 0; kind == PART_CLUSTER && i < N_CLUSTERS; i++) {
        cluster_word(word, sizeof(word), i);
        if (want.cluster[i] != 0) {
            add_word(out, word, chance(bad_percent));
        }
        removed_word(out, "c", i, want.cluster[i], sent.cluster[i]);
        sent.cluster[i] = want.cluster[i];
    }
    for (unsigned i = 0; kind == PART_ENDPOINTS && i < N_CLUSTERS; i++) {
        (void)snprintf(word, sizeof(word), "e%u=%u", i, want.endpoints[i]);
        if (want.endpoints[i] != 0) {
            add_word(out, word, chance(bad_percent));
        }
    }
    for (unsigned i = 0; kind == PART_ROUTE_TABLE && i < N_TABLES; i++) {
        table_word(word, sizeof(word), i);
        if (want.table[i] != 0) {
            add_word(out, word, chance(bad_percent));
        }
    }
    for (unsigned i = 0; kind == PART_LISTENER && i < N_LISTENERS; i++) {
        listener_word(word, sizeof(word), i);
        if (want.listener[i] != 0) {
            add_word(out, word, chance(bad_percent));
        }
        removed_word(out, "l", i, want.listener[i], sent.listener[i]);
        sent.listener[i] = want.listener[i];
    }
}

static void push(enum part_kind kind, unsigned bad_percent)
{
    struct strbuf words;

    if (fake_ads_stream(w.ads) == NULL) {
        return;
    }
    strbuf_init(&words);
    words_of(kind, bad_percent, &words);
    world_respond(&w, kind, words.ptr);
    strbuf_done(&words);
}

static void drop_requests(void)
{
    struct fake_request *rq;

    while ((rq = fake_ads_take(w.ads)) != NULL) {
        fake_request_free(rq);
    }
}

/* --- changes ------------------------------------------------------------------------------- */

static void change_cluster(unsigned i, bool may_go)
{
    want.cluster[i] = may_go && chance(30) ? 0 : 1 + ++differences % 50;
    if (chance(30)) {
        want.service[i] = below(N_CLUSTERS);
    }
}

static void change_anything(void)
{
    unsigned i;

    switch (below(4)) {
    case 0:
        change_cluster(below(N_CLUSTERS), true);
        break;
    case 1:
        want.endpoints[below(N_CLUSTERS)] = 1 + ++differences % 60000;
        break;
    case 2:
        i = below(N_TABLES);
        want.table[i] = ++differences;
        want.table_clusters[i][0] = below(N_CLUSTERS);
        want.table_clusters[i][1] = below(N_CLUSTERS);
        break;
    default:
        i = below(N_LISTENERS);
        want.listener[i] = chance(25) ? 0 : ++differences;
        want.listener_table[i] = below(N_TABLES);
        break;
    }
}

/* Everything that is named is there. */
static void close_world(void)
{
    for (unsigned i = 0; i < N_TABLES; i++) {
        want.table[i] = want.table[i] != 0 ? want.table[i] : ++differences;
        for (unsigned k = 0; k < 2; k++) {
            unsigned c = want.table_clusters[i][k];

            want.cluster[c] = want.cluster[c] != 0 ? want.cluster[c] : 1;
        }
    }
    for (unsigned i = 0; i < N_CLUSTERS; i++) {
        want.endpoints[i] = want.endpoints[i] != 0 ? want.endpoints[i] : 1;
    }
}

/* --- what must come of it ------------------------------------------------------------------ */

static bool is_table_named(unsigned table)
{
    for (unsigned i = 0; i < N_LISTENERS; i++) {
        if (want.listener[i] != 0 && want.listener_table[i] == table) {
            return true;
        }
    }
    return false;
}

static bool is_service_named(unsigned service)
{
    for (unsigned i = 0; i < N_CLUSTERS; i++) {
        if (want.cluster[i] != 0 && want.service[i] == service) {
            return true;
        }
    }
    return false;
}

static void check_agreement(void)
{
    struct strbuf words;
    char word[64];

    strbuf_init(&words);
    words_of(PART_CLUSTER, 0, &words);
    assert_published(&w, PART_CLUSTER, words.ptr);
    strbuf_reset(&words);
    words_of(PART_LISTENER, 0, &words);
    assert_published(&w, PART_LISTENER, words.ptr);
    strbuf_reset(&words);
    strbuf_add_c(&words, "");
    for (unsigned i = 0; i < N_TABLES; i++) {
        table_word(word, sizeof(word), i);
        if (want.table[i] != 0 && is_table_named(i)) {
            add_word(&words, word, false);
        }
    }
    assert_published(&w, PART_ROUTE_TABLE, words.ptr);
    strbuf_reset(&words);
    strbuf_add_c(&words, "");
    for (unsigned i = 0; i < N_CLUSTERS; i++) {
        (void)snprintf(word, sizeof(word), "e%u=%u", i, want.endpoints[i]);
        if (want.endpoints[i] != 0 && is_service_named(i)) {
            add_word(&words, word, false);
        }
    }
    assert_published(&w, PART_ENDPOINTS, words.ptr);
    strbuf_done(&words);
    assert_int_equal(w.prepared_count, config_store_counters(w.store, PART_LISTENER)->added -
                                           config_store_counters(w.store, PART_LISTENER)->removed);
}

/* --- runs ---------------------------------------------------------------------------------- */

static void start(uint64_t seed, bool is_delta)
{
    world_init(&w, is_delta);
    rng_seed_with(&rng, seed);
    memset(&want, 0, sizeof(want));
    memset(&sent, 0, sizeof(sent));
    differences = 0;
    world_start(&w);
}

static void connected(void)
{
    fake_ads_set_reachable(w.ads, true);
    while (fake_ads_stream(w.ads) == NULL) {
        world_advance(&w, 100);
    }
}

/* What is wanted is said until it has all been asked for (listeners only after the clusters are
 * warm, tables only after their listeners), and every timeout passes. */
static void settle(void)
{
    world_reclaim(&w);
    w.keeps_snapshots = false;
    for (int phase = 0; phase < 3; phase++) {
        connected();
        for (int round = 0; round < 2; round++) {
            for (size_t k = 0; k < N_KINDS; k++) {
                push(KINDS[k], 0);
                drop_requests();
            }
        }
        world_advance(&w, 16004); /* fetch timeouts and withdrawn clusters; then missing ones */
    }
}

static void random_step(void)
{
    uint64_t what = rng_below(&rng, 100);

    if (what < 40) {
        change_anything();
    } else if (what < 85) {
        push(KINDS[below(N_KINDS)], 10);
    } else if (what < 93) {
        world_advance(&w, rng_below(&rng, 600));
    } else if (what < 95) {
        world_advance(&w, rng_below(&rng, 16000));
    } else if (what < 97 && fake_ads_stream(w.ads) != NULL) {
        fake_stream_end(fake_ads_stream(w.ads), STR("restarting"), false);
    } else {
        world_reclaim(&w);
        w.keeps_snapshots = chance(50);
    }
    if (w.kept_count > WORLD_SLOTS / 2) {
        world_reclaim(&w);
    }
    drop_requests();
}

static void run_anything(uint64_t seed, bool is_delta)
{
    start(seed, is_delta);
    for (int round = 0; round < 12; round++) {
        for (int step = 0; step < 40; step++) {
            random_step();
        }
        settle();
        assert_true(w.is_initialized);
        check_agreement();
    }
    world_done(&w);
}

static void shuffle(enum part_kind *kinds, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t k = below((unsigned)i);
        enum part_kind kept = kinds[i - 1];

        kinds[i - 1] = kinds[k];
        kinds[k] = kept;
    }
}

/* A consistent world each round; its types come in any order, within less than a second. */
static void run_disorder(uint64_t seed, bool is_delta)
{
    start(seed, is_delta);
    close_world();
    settle();
    w.is_strict = true;
    for (int round = 0; round < 60; round++) {
        enum part_kind kinds[N_KINDS + 2];

        for (unsigned n = 1 + below(6); n > 0; n--) {
            change_anything();
        }
        close_world();
        memcpy(kinds, KINDS, sizeof(KINDS));
        shuffle(kinds, N_KINDS);
        kinds[N_KINDS] = PART_ENDPOINTS; /* answers to what was newly named */
        kinds[N_KINDS + 1] = PART_ROUTE_TABLE;
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
            push(kinds[k], 0);
            drop_requests();
            world_advance(&w, rng_below(&rng, 150));
        }
        if (chance(20)) {
            world_advance(&w, 16000);
            check_agreement();
        }
    }
    world_done(&w);
}

static void run_seeds(void (*run)(uint64_t seed, bool is_delta), bool is_delta, uint64_t count)
{
    const char *only = getenv("NUNCIO_TEST_SEED");
    uint64_t first = 1;

    if (only != NULL) {
        assert_int_equal(parse_u64(str_c(only), &first), 0);
        count = 1;
    }
    for (uint64_t seed = first; seed < first + count; seed++) {
        print_message("seed %u\n", (unsigned)seed);
        run(seed, is_delta);
    }
}

static void test_anything_sotw(void **state)
{
    run_seeds(run_anything, false, 12);
}

static void test_anything_delta(void **state)
{
    run_seeds(run_anything, true, 12);
}

static void test_disorder_sotw(void **state)
{
    run_seeds(run_disorder, false, 8);
}

static void test_disorder_delta(void **state)
{
    run_seeds(run_disorder, true, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_anything_sotw),
        cmocka_unit_test(test_anything_delta),
        cmocka_unit_test(test_disorder_sotw),
        cmocka_unit_test(test_disorder_delta),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
