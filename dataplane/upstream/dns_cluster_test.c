/* Endpoint sets from scripted DNS answers. The resolver is the test's own: it is defined here, so
 * the linker takes this one. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "dataplane/upstream/dns_cluster.h"
#include "dataplane/upstream/testing.h"

#define QUERIES_MAX 8

struct dns_query {
    struct str name;
    dns_answer_fn *on_answer;
    void *user;
    bool is_open;
};

static struct dns_query queries[QUERIES_MAX];
static size_t query_count;

struct dns_query *dns_resolve(struct dns_resolver *r, struct str name, int family,
                              dns_answer_fn *on_answer, void *user)
{
    struct dns_query *q = &queries[query_count++ % QUERIES_MAX];

    (void)r;
    (void)family;
    assert_false(q->is_open);
    *q = (struct dns_query){name, on_answer, user, true};
    return q;
}

void dns_cancel(struct dns_query *q)
{
    if (q != NULL) {
        q->is_open = false;
    }
}

/* --- the cluster under test
 * ------------------------------------------------------------------------ */

static struct upstream_testing u;
static struct cluster_config *config;
static struct dns_cluster *dns;
static struct endpoint_set *published; /* the newest */
static unsigned published_count;
static unsigned failed_count;

static void on_endpoints(void *user, const struct cluster_config *c, struct endpoint_set *take)
{
    (void)user;
    assert_ptr_equal(c, config);
    if (published != NULL) {
        part_unref(&published->part);
    }
    published = take;
    published_count++;
}

static void on_failed(void *user, const struct cluster_config *c)
{
    (void)user;
    assert_ptr_equal(c, config);
    failed_count++;
}

static const struct dns_cluster_ops ops = {on_endpoints, on_failed};

static void endpoint_set_port(struct endpoint *e, uint16_t port)
{
    assert_int_equal(address_from_ip(STR("0.0.0.0"), port, &e->address), 0);
}

/* "one" and "two" at port 80, and an IP address. */
static int setup(void **state)
{
    struct locality_endpoints *l;
    struct endpoint *e;

    (void)state;
    upstream_testing_init(&u);
    query_count = 0;
    memset(queries, 0, sizeof(queries));
    published = NULL;
    published_count = 0;
    failed_count = 0;
    config = testing_cluster("c", 0);
    config->type = DISCOVERY_STRICT_DNS;
    config->dns = (struct dns_options){
        .refresh_rate_ms = 5, .failure_refresh_base_ms = 5, .failure_refresh_max_ms = 5};
    l = ARENA_NEW(&config->part.arena, struct locality_endpoints);
    e = ARENA_ARRAY(&config->part.arena, struct endpoint, 3);
    for (size_t i = 0; i < 3; i++) {
        endpoint_set_port(&e[i], 80);
        e[i].weight = 1;
    }
    e[0].dns_name = STR("one");
    e[1].dns_name = STR("two");
    l->endpoints = e;
    l->endpoint_count = 3;
    config->load_assignment = l;
    config->load_assignment_count = 1;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dns_cluster_stop(dns);
    if (published != NULL) {
        part_unref(&published->part);
    }
    part_unref(&config->part);
    upstream_testing_done(&u);
    return 0;
}

static void start(void)
{
    dns = dns_cluster_start(
        &(struct dns_cluster_params){.loop = &u.loop, .registry = u.registry, .ops = &ops}, config);
}

static struct dns_query *open_query(const char *name)
{
    for (size_t i = 0; i < QUERIES_MAX; i++) {
        if (queries[i].is_open && str_eq(queries[i].name, str_c(name))) {
            return &queries[i];
        }
    }
    return NULL;
}

/* Waits for the question about `name`. */
static struct dns_query *await_query(const char *name)
{
    struct dns_query *q;

    while ((q = open_query(name)) == NULL) {
        upstream_testing_turn(&u);
    }
    return q;
}

static void answer(const char *name, enum dns_status status, uint64_t ttl_s, const char *ip1,
                   const char *ip2)
{
    struct dns_query *q = await_query(name);
    struct address addresses[2];
    size_t n = 0;

    if (ip1 != NULL) {
        assert_int_equal(address_from_ip(str_c(ip1), 0, &addresses[n++]), 0);
    }
    if (ip2 != NULL) {
        assert_int_equal(address_from_ip(str_c(ip2), 0, &addresses[n++]), 0);
    }
    q->is_open = false;
    q->on_answer(q->user, &(struct dns_answer){status, addresses, n, ttl_s});
}

static void assert_endpoint(size_t i, const char *want, const char *hostname)
{
    const struct endpoint *e = &published->localities[0].endpoints[i];
    char text[ADDRESS_TEXT_MAX];

    (void)address_format(&e->address, text);
    assert_string_equal(text, want);
    assert_true(str_eq(e->hostname, str_c(hostname)));
}

static uint64_t stat_of(const char *name)
{
    return upstream_testing_stat(&u, name);
}

/* --- tests ---------------------------------------------------------------------------------------
 */

static void every_address_is_an_endpoint(void **state)
{
    (void)state;
    start();
    answer("one", DNS_OK, 0, "10.0.0.2", "10.0.0.1");
    assert_int_equal(published_count, 1);
    assert_int_equal(published->localities[0].endpoint_count, 3);
    assert_endpoint(0, "10.0.0.1:80", "one");
    assert_endpoint(1, "10.0.0.2:80", "one");
    assert_endpoint(2, "0.0.0.0:80", "");
    answer("two", DNS_OK, 0, "10.0.0.3", NULL);
    assert_int_equal(published->localities[0].endpoint_count, 4);
    assert_endpoint(2, "10.0.0.3:80", "two");
    assert_int_equal(stat_of("cluster.c.update_attempt"), 2);
    assert_int_equal(stat_of("cluster.c.update_success"), 2);
}

static void the_same_answer_in_another_order_changes_nothing(void **state)
{
    (void)state;
    start();
    answer("one", DNS_OK, 0, "10.0.0.2", "10.0.0.1");
    answer("one", DNS_OK, 0, "10.0.0.1", "10.0.0.2");
    assert_int_equal(published_count, 1);
    assert_int_equal(stat_of("cluster.c.update_no_rebuild"), 1);
    answer("one", DNS_OK, 0, "10.0.0.1", NULL);
    assert_int_equal(published_count, 2);
    assert_int_equal(published->localities[0].endpoint_count, 2);
}

static void the_last_good_answer_is_kept(void **state)
{
    const enum dns_status bad[] = {DNS_NOT_FOUND, DNS_FAILURE, DNS_TIMEOUT_STATUS};

    (void)state;
    start();
    answer("one", DNS_OK, 0, "10.0.0.1", NULL);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        answer("one", bad[i], 0, NULL, NULL);
    }
    assert_int_equal(published_count, 1);
    assert_int_equal(failed_count, 0);
    assert_int_equal(stat_of("cluster.c.update_failure"), 2);
    assert_int_equal(stat_of("cluster.c.update_empty"), 1);
    answer("one", DNS_OK, 0, "10.0.0.9", NULL);
    assert_endpoint(0, "10.0.0.9:80", "one");
}

static void waiting_ends_when_no_name_is_found(void **state)
{
    (void)state;
    start();
    answer("one", DNS_FAILURE, 0, NULL, NULL);
    assert_int_equal(failed_count, 0);
    answer("two", DNS_NOT_FOUND, 0, NULL, NULL);
    assert_int_equal(failed_count, 1);
    answer("one", DNS_FAILURE, 0, NULL, NULL);
    assert_int_equal(failed_count, 1);
    answer("one", DNS_OK, 0, "10.0.0.1", NULL);
    assert_int_equal(published_count, 1);
}

static void a_logical_cluster_stays_with_its_address(void **state)
{
    (void)state;
    config->dns.is_logical = true;
    ((struct locality_endpoints *)(uintptr_t)config->load_assignment)->endpoint_count = 1;
    start();
    answer("one", DNS_OK, 0, "10.0.0.2", "10.0.0.3");
    assert_int_equal(published->localities[0].endpoint_count, 1);
    assert_endpoint(0, "10.0.0.2:80", "one");
    answer("one", DNS_OK, 0, "10.0.0.1", "10.0.0.2");
    assert_int_equal(published_count, 1);
    answer("one", DNS_OK, 0, "10.0.0.1", NULL);
    assert_endpoint(0, "10.0.0.1:80", "one");
    assert_int_equal(published->localities[0].endpoints[0].additional_count, 0);
}

static void all_addresses_may_be_one_endpoint(void **state)
{
    (void)state;
    config->dns.is_logical = true;
    config->dns.has_all_addresses = true;
    start();
    answer("one", DNS_OK, 0, "10.0.0.1", "10.0.0.2");
    assert_endpoint(0, "10.0.0.1:80", "one");
    assert_int_equal(published->localities[0].endpoints[0].additional_count, 1);
}

static void the_ttl_is_respected_when_asked_for(void **state)
{
    (void)state;
    config->dns.respect_ttl = true;
    config->dns.refresh_rate_ms = 1000000;
    start();
    answer("one", DNS_OK, 0, "10.0.0.1", NULL); /* a TTL of 0 is no interval */
    answer("two", DNS_OK, 1, "10.0.0.2", NULL);
    assert_non_null(await_query("two"));
    assert_null(open_query("one"));
}

static void nothing_comes_after_stop(void **state)
{
    (void)state;
    start();
    dns_cluster_stop(dns);
    dns = NULL;
    assert_null(open_query("one"));
    assert_null(open_query("two"));
}

#define DNS_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DNS_TEST(every_address_is_an_endpoint),
        DNS_TEST(the_same_answer_in_another_order_changes_nothing),
        DNS_TEST(the_last_good_answer_is_kept),
        DNS_TEST(waiting_ends_when_no_name_is_found),
        DNS_TEST(a_logical_cluster_stays_with_its_address),
        DNS_TEST(all_addresses_may_be_one_endpoint),
        DNS_TEST(the_ttl_is_respected_when_asked_for),
        DNS_TEST(nothing_comes_after_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
