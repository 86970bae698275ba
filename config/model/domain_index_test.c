/* Domains to virtual hosts: precedence, case, duplicates, and a comparison with the rule. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "config/model/domain_index.h"
#include "dataplane/base/rand.h"

#define HOSTS_MAX 200

struct hosts {
    struct part *part;
    struct str domains[HOSTS_MAX];
    struct virtual_host vhosts[HOSTS_MAX];
    size_t count;
    const struct domain_index *index;
};

static void hosts_init(struct hosts *h)
{
    h->part = part_new(sizeof(struct route_config), PART_ROUTE_TABLE, STR("table"));
    h->count = 0;
    h->index = NULL;
}

static void hosts_add(struct hosts *h, struct str domain)
{
    h->domains[h->count] = arena_str(&h->part->arena, domain);
    h->vhosts[h->count] =
        (struct virtual_host){.domains = &h->domains[h->count], .domain_count = 1};
    h->count++;
}

static int hosts_build(struct hosts *h, const char *want_error)
{
    struct error err;
    int r;

    error_init(&err);
    r = domain_index_build(h->part, h->vhosts, h->count, &h->index, &err);
    assert_string_equal(error_message(&err), want_error);
    error_done(&err);
    return r;
}

/* The place of the host that is found, -1 for none. */
static int found(const struct hosts *h, const char *host)
{
    const struct virtual_host *v = domain_index_find(h->index, str_c(host));

    return v != NULL ? (int)(v - h->vhosts) : -1;
}

static void test_order_of_precedence(void **state)
{
    struct hosts h;

    hosts_init(&h);
    hosts_add(&h, STR("*"));
    hosts_add(&h, STR("*.example.com"));
    hosts_add(&h, STR("*.a.example.com"));
    hosts_add(&h, STR("www.example.com"));
    hosts_add(&h, STR("www.*"));
    hosts_add(&h, STR("www.b.*"));
    hosts_add(&h, STR("*-x.example.com"));
    hosts_add(&h, STR("www.example.com:8080"));
    assert_int_equal(hosts_build(&h, ""), 0);

    assert_int_equal(found(&h, "www.example.com"), 3);
    assert_int_equal(found(&h, "WWW.Example.Com"), 3);
    assert_int_equal(found(&h, "www.example.com:8080"), 7);
    assert_int_equal(found(&h, "foo.example.com"), 1);
    assert_int_equal(found(&h, "FOO.A.example.com"), 2);
    assert_int_equal(found(&h, "foo-x.example.com"), 6);
    assert_int_equal(found(&h, ".example.com"), 0);      /* the star wants a character */
    assert_int_equal(found(&h, "www.a.example.com"), 2); /* suffixes before prefixes */
    assert_int_equal(found(&h, "www.c"), 4);
    assert_int_equal(found(&h, "www.b.c"), 5);
    assert_int_equal(found(&h, "www."), 0);
    assert_int_equal(found(&h, ""), 0);
    part_unref(h.part);
}

static void test_nothing_without_a_wildcard(void **state)
{
    struct hosts h;

    hosts_init(&h);
    hosts_add(&h, STR("a"));
    assert_int_equal(hosts_build(&h, ""), 0);
    assert_int_equal(found(&h, "b"), -1);
    assert_int_equal(found(&h, "aa"), -1);
    part_unref(h.part);

    hosts_init(&h);
    assert_int_equal(hosts_build(&h, ""), 0);
    assert_int_equal(found(&h, "a"), -1);
    part_unref(h.part);
}

static void expect_duplicate(struct str domain, const char *want)
{
    struct hosts h;

    hosts_init(&h);
    hosts_add(&h, domain);
    hosts_add(&h, STR("other"));
    hosts_add(&h, domain);
    assert_int_equal(hosts_build(&h, want), E_EXISTS);
    part_unref(h.part);
}

static void test_duplicates_are_refused(void **state)
{
    const char *each = "Only unique values for domains are permitted. Duplicate entry of domain ";
    char want[128];
    static const char *const domains[] = {"a.com", "*.a.com", "a.*", "*a*"};

    for (size_t i = 0; i < ARRAY_LEN(domains); i++) {
        (void)snprintf(want, sizeof(want), "%s%s", each, domains[i]);
        expect_duplicate(str_c(domains[i]), want);
    }
    expect_duplicate(STR("*"), "Only a single wildcard domain is permitted");
}

/* Envoy's rule, domain by domain. */
static int naive(const struct hosts *h, struct str host)
{
    int best = -1;
    size_t best_rank = 0;

    for (size_t i = 0; i < h->count; i++) {
        struct str d = h->domains[i];
        size_t rank = 0;

        if (str_eq(d, STR("*"))) {
            rank = 1;
        } else if (str_starts(d, STR("*"))) {
            if (host.len >= d.len && str_ends_nocase(host, str_sub(d, 1, d.len))) {
                rank = 2000 + d.len;
            }
        } else if (str_ends(d, STR("*"))) {
            if (host.len >= d.len && str_starts_nocase(host, str_sub(d, 0, d.len - 1))) {
                rank = 1000 + d.len;
            }
        } else if (str_eq_nocase(d, host)) {
            rank = 5000;
        }
        if (rank > best_rank) {
            best_rank = rank;
            best = (int)i;
        }
    }
    return best;
}

static void test_agrees_with_the_rule(void **state)
{
    static struct hosts h;
    struct rng r;

    rng_seed_with(&r, 5);
    for (int round = 0; round < 300; round++) {
        hosts_init(&h);
        for (size_t i = 0; i < HOSTS_MAX; i++) {
            char text[16];
            size_t len = 0;
            bool is_new = true;

            for (size_t n = rng_below(&r, 10); len < n; len++) {
                text[len] = "ab.*"[rng_below(&r, len == 0 || len + 1 == n ? 4 : 3)];
            }
            for (size_t k = 0; k < h.count; k++) {
                is_new = is_new && !str_eq(h.domains[k], str_n(text, len));
            }
            if (is_new) {
                hosts_add(&h, str_n(text, len));
            }
        }
        assert_int_equal(hosts_build(&h, ""), 0);
        for (int i = 0; i < 300; i++) {
            char text[16];
            size_t len = 0;

            for (size_t n = rng_below(&r, 12); len < n; len++) {
                text[len] = "abAB."[rng_below(&r, 5)];
            }
            text[len] = '\0';
            assert_int_equal(found(&h, text), naive(&h, str_n(text, len)));
        }
        part_unref(h.part);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_of_precedence),
        cmocka_unit_test(test_nothing_without_a_wildcard),
        cmocka_unit_test(test_duplicates_are_refused),
        cmocka_unit_test(test_agrees_with_the_rule),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
