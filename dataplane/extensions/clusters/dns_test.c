/* DnsCluster messages, good and bad, and what they parse to. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/model/cluster.h"
#include "config/parse/parse_support.h"

extern const struct extension cluster_dns;

static int parse(struct parse_fixture *f, const char *text, const struct dns_options **ret)
{
    const ProtobufCMessage *m;
    const void *config = NULL;
    int r;

    parse_fixture_init(f, sizeof(struct cluster_config), PART_CLUSTER, "c");
    assert_int_equal(parse_fixture_message(f, cluster_dns.descriptor, str_c(text), &m), 0);
    r = cluster_dns.parse(&f->ctx, m, &config);
    *ret = config;
    return r;
}

static void defaults_are_envoys(void **state)
{
    const struct dns_options *o;
    struct parse_fixture f;

    (void)state;
    assert_int_equal(parse(&f, "{}", &o), 0);
    assert_false(o->is_logical || o->has_all_addresses || o->respect_ttl);
    assert_int_equal(o->lookup_family, DNS_AUTO);
    assert_int_equal(o->refresh_rate_ms, 5000);
    assert_int_equal(o->failure_refresh_base_ms, 5000);
    assert_int_equal(o->failure_refresh_max_ms, 5000);
    assert_int_equal(o->jitter_ms, 0);
    parse_fixture_done(&f);
}

static void everything_is_read(void **state)
{
    const struct dns_options *o;
    struct parse_fixture f;

    (void)state;
    assert_int_equal(parse(&f,
                           "dns_refresh_rate: 7s\n"
                           "dns_failure_refresh_rate: {base_interval: 2s}\n"
                           "respect_dns_ttl: true\n"
                           "dns_jitter: 0.5s\n"
                           "dns_lookup_family: V4_PREFERRED\n"
                           "all_addresses_in_single_endpoint: true\n",
                           &o),
                     0);
    assert_true(o->is_logical && o->has_all_addresses && o->respect_ttl);
    assert_int_equal(o->lookup_family, DNS_V4_PREFERRED);
    assert_int_equal(o->refresh_rate_ms, 7000);
    assert_int_equal(o->failure_refresh_base_ms, 2000);
    assert_int_equal(o->failure_refresh_max_ms, 20000); /* ten times the base, as Envoy */
    assert_int_equal(o->jitter_ms, 500);
    parse_fixture_done(&f);
}

static void assert_refused(const char *text, const char *field)
{
    const struct dns_options *o;
    struct parse_fixture f;

    assert_int_equal(parse(&f, text, &o), E_INVALID);
    assert_non_null(strstr(error_message(&f.err), field));
    parse_fixture_done(&f);
}

static void what_envoy_refuses_is_refused(void **state)
{
    (void)state;
    assert_refused("dns_refresh_rate: 0s", "dns_refresh_rate");
    assert_refused("dns_refresh_rate: 0.001s", "dns_refresh_rate");
    assert_refused("dns_failure_refresh_rate: {}", "dns_failure_refresh_rate.base_interval");
    assert_refused("dns_failure_refresh_rate: {base_interval: 2s, max_interval: 1s}",
                   "max_interval");
    assert_refused("dns_jitter: -1s", "dns_jitter");
    assert_refused("dns_lookup_family: 77", "dns_lookup_family");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_envoys),
        cmocka_unit_test(everything_is_read),
        cmocka_unit_test(what_envoy_refuses_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
