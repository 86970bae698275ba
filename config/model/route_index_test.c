/* The route index against the rule it stands for: the first route, in order, whose path matches and
 * which the caller accepts. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "config/model/route_index.h"
#include "dataplane/base/rand.h"
#include "dataplane/base/xalloc.h"

#define ROUTES_MAX 400

struct table {
    struct part *part;
    struct route routes[ROUTES_MAX];
    size_t count;
    const struct route_index *index;
};

static void free_regex(void *r)
{
    regex_free(r);
}

static void table_init(struct table *t)
{
    t->part = part_new(sizeof(struct route_config), PART_ROUTE_TABLE, STR("table"));
    t->count = 0;
    t->index = NULL;
}

static void table_done(struct table *t)
{
    part_unref(t->part);
}

static void table_add(struct table *t, enum path_match_kind kind, bool case_sensitive,
                      struct str path)
{
    struct route *r = &t->routes[t->count];
    struct error err;

    *r = (struct route){.index = (uint32_t)t->count++,
                        .path_kind = kind,
                        .case_sensitive = case_sensitive || kind == PATH_MATCH_REGEX};
    r->path = arena_str(&t->part->arena, path);
    if (kind == PATH_MATCH_REGEX) {
        error_init(&err);
        assert_int_equal(regex_new(r->path, 0, &r->path_regex, &err), 0);
        part_on_free(t->part, free_regex, r->path_regex);
        error_done(&err);
    }
}

static void table_build(struct table *t)
{
    t->index = route_index_build(t->part, t->routes, t->count);
}

/* What a caller does: takes a route or not (headers); remembers which it was asked. */
struct caller {
    uint64_t taken; /* bit i: accepts routes with index % 64 == i */
    uint32_t asked[ROUTES_MAX];
    size_t asked_count;
};

static bool caller_accept(void *user, const struct route *r)
{
    struct caller *c = user;

    c->asked[c->asked_count++] = r->index;
    return (c->taken >> (r->index % 64) & 1) != 0;
}

static const struct route *naive_find(const struct table *t, struct str path, bool is_connect,
                                      struct caller *c)
{
    for (size_t i = 0; i < t->count; i++) {
        if (route_matches_path(&t->routes[i], path, is_connect) &&
            caller_accept(c, &t->routes[i])) {
            return &t->routes[i];
        }
    }
    return NULL;
}

static void check_target(const struct table *t, struct str path, bool is_connect, uint64_t taken)
{
    static struct caller expected;
    static struct caller got;
    const struct route *want;

    expected.taken = taken;
    expected.asked_count = 0;
    got.taken = taken;
    got.asked_count = 0;
    want = naive_find(t, path, is_connect, &expected);
    assert_ptr_equal(route_index_find(t->index, path, is_connect, caller_accept, &got), want);
    assert_int_equal(got.asked_count, expected.asked_count);
    assert_memory_equal(got.asked, expected.asked, got.asked_count * sizeof(*got.asked));
}

static void check_path(const struct table *t, struct str path, uint64_t taken)
{
    check_target(t, path, false, taken);
    check_target(t, path, true, taken);
    check_target(t, STR_NONE, true, taken);
}

/* Few letters and segments, so that keys nest and coincide. */
static struct str random_path(struct rng *r, char *out, size_t max)
{
    static const char letters[] = "abAB/.-";
    size_t len = 1 + rng_below(r, max - 1);

    out[0] = '/';
    for (size_t i = 1; i < len; i++) {
        out[i] = letters[rng_below(r, sizeof(letters) - 1)];
    }
    return str_n(out, len);
}

static struct str random_regex(struct rng *r, char *out, size_t max)
{
    static const char *const tails[] = {".*",  "",     "[ab]+", "(a|b)*",      "?",     "*",
                                        "+",   "\\.x", "a{2}",  "(?i)ab",      "[^/]*", "|/b.*",
                                        "a|b", "$",    "\\d",   "[[:alpha:]]", "[]|a]", "\\/b"};
    struct str head = random_path(r, out, max);
    size_t len = 0;
    const char *tail = tails[rng_below(r, ARRAY_LEN(tails))];

    for (size_t i = 0; i < head.len; i++) { /* '.' as written: matches anything */
        out[len++] = head.ptr[i];
    }
    memcpy(out + len, tail, strlen(tail));
    return str_n(out, len + strlen(tail));
}

static void add_random_route(struct table *t, struct rng *r)
{
    char text[64];
    enum path_match_kind kind = (enum path_match_kind)rng_below(r, 5);
    bool sensitive = rng_below(r, 4) > 0;

    if (kind == PATH_MATCH_REGEX) {
        table_add(t, kind, true, random_regex(r, text, 8));
    } else {
        struct str path = random_path(r, text, 1 + (size_t)rng_below(r, 12) + 1);

        /* An empty prefix takes everything, an empty exact path the empty path. */
        table_add(t, kind, sensitive, rng_below(r, 30) == 0 ? STR("") : path);
    }
}

static void test_agrees_with_the_first_match_rule(void **state)
{
    static struct table t;
    struct rng r;

    rng_seed_with(&r, 3);
    for (int round = 0; round < 300; round++) {
        size_t count = rng_below(&r, round % 10 == 0 ? 200 : 30);

        table_init(&t);
        for (size_t i = 0; i < count; i++) {
            add_random_route(&t, &r);
        }
        table_build(&t);
        for (int i = 0; i < 200; i++) {
            char text[32];
            uint64_t taken = rng_below(&r, 3) == 0 ? 0 : rng_next(&r) & rng_next(&r);
            struct str path = random_path(&r, text, 16);

            check_path(&t, rng_below(&r, 50) == 0 ? STR("") : path, taken);
            if (count > 0) { /* the very keys, and a little beyond */
                const struct route *some = &t.routes[rng_below(&r, count)];

                check_path(&t, some->path, taken);
                if (some->path.len < 30) {
                    memcpy(text, some->path.ptr, some->path.len);
                    text[some->path.len] = "/ab"[rng_below(&r, 3)];
                    check_path(&t, str_n(text, some->path.len + 1), taken);
                }
            }
        }
        table_done(&t);
    }
}

/* First match order goes across the list of CONNECT routes and the others. */
static void test_connect_routes_stand_among_the_others(void **state)
{
    static struct table t;
    struct caller c = {.taken = UINT64_MAX};

    for (size_t others = 0; others < 20; others += 10) { /* walked, and indexed */
        table_init(&t);
        table_add(&t, PATH_MATCH_EXACT, true, STR("/udp"));
        table_add(&t, PATH_MATCH_CONNECT, true, STR(""));
        table_add(&t, PATH_MATCH_PREFIX, true, STR("/"));
        for (size_t i = 0; i < others; i++) {
            table_add(&t, PATH_MATCH_PREFIX, true, STR("/x"));
        }
        table_build(&t);
        assert_ptr_equal(route_index_find(t.index, STR("/udp"), true, caller_accept, &c),
                         &t.routes[0]);
        assert_ptr_equal(route_index_find(t.index, STR("/x"), true, caller_accept, &c),
                         &t.routes[1]);
        assert_ptr_equal(route_index_find(t.index, STR_NONE, true, caller_accept, &c),
                         &t.routes[1]);
        assert_ptr_equal(route_index_find(t.index, STR("/x"), false, caller_accept, &c),
                         &t.routes[2]);
        assert_null(route_index_find(t.index, STR_NONE, false, caller_accept, &c));
        check_path(&t, STR("/x"), 4);
        table_done(&t);
    }
}

static void test_separated_prefix_ends_at_a_slash(void **state)
{
    static struct table t;

    table_init(&t);
    table_add(&t, PATH_MATCH_SEPARATED_PREFIX, true, STR("/api"));
    for (int i = 0; i < 20; i++) {
        table_add(&t, PATH_MATCH_EXACT, true, STR("/other"));
    }
    table_build(&t);
    for (int i = 0; i < 2; i++) {
        check_path(&t, STR("/api"), 1);
        check_path(&t, STR("/api/x"), 1);
        check_path(&t, STR("/apix"), 1);
        check_path(&t, STR("/ap"), 1);
    }
    table_done(&t);
}

static void test_deeply_nested_prefixes_fall_back_to_order(void **state)
{
    static struct table t;
    char text[ROUTES_MAX + 2];

    memset(text, 'a', sizeof(text));
    text[0] = '/';
    table_init(&t);
    for (size_t i = ROUTES_MAX; i-- > 0;) { /* the longest first */
        table_add(&t, PATH_MATCH_PREFIX, true, str_n(text, i + 1));
    }
    table_build(&t);
    for (size_t len = 0; len <= ROUTES_MAX; len += 7) {
        check_path(&t, str_n(text, len), UINT64_MAX);
        check_path(&t, str_n(text, len), 0x10);
        check_path(&t, str_n(text, len), 0);
    }
    table_done(&t);
}

static void test_many_regexes_under_one_prefix(void **state)
{
    static struct table t;
    char text[32];

    table_init(&t);
    for (int i = 0; i < 300; i++) {
        int len = snprintf(text, sizeof(text), "/v1/[a-z]+/%d(/.*)?", i);

        table_add(&t, PATH_MATCH_REGEX, true, str_n(text, (size_t)len));
    }
    table_add(&t, PATH_MATCH_REGEX, true, STR("/v1/.*"));
    table_build(&t);
    for (int i = 0; i < 310; i++) {
        int len = snprintf(text, sizeof(text), "/v1/abc/%d/x", i);

        check_path(&t, str_n(text, (size_t)len), UINT64_MAX);
        check_path(&t, str_n(text, (size_t)len), 0);
        check_path(&t, str_n(text, (size_t)len), (uint64_t)1 << (300 % 64));
    }
    table_done(&t);
}

static void test_regex_set_that_does_not_compile_is_matched_one_by_one(void **state)
{
    static struct table t;

    table_init(&t);
    for (int i = 0; i < 12; i++) {
        /* Each is well within RE2's budget, all of them together are not. */
        table_add(&t, PATH_MATCH_REGEX, true, STR("/x\\pL{1,100}b"));
    }
    table_add(&t, PATH_MATCH_PREFIX, true, STR("/x"));
    table_build(&t);
    check_path(&t, STR("/xaab"), 0x800);
    check_path(&t, STR("/xaab"), UINT64_MAX);
    check_path(&t, STR("/xc"), UINT64_MAX);
    table_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agrees_with_the_first_match_rule),
        cmocka_unit_test(test_connect_routes_stand_among_the_others),
        cmocka_unit_test(test_separated_prefix_ends_at_a_slash),
        cmocka_unit_test(test_deeply_nested_prefixes_fall_back_to_order),
        cmocka_unit_test(test_many_regexes_under_one_prefix),
        cmocka_unit_test(test_regex_set_that_does_not_compile_is_matched_one_by_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
