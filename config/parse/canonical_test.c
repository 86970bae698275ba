/* Equal but for the order of maps, also inside of Any; safe on bytes that are nothing. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/model/route.h"
#include "config/parse/canonical.h"
#include "config/parse/parse_support.h"
#include "dataplane/base/rand.h"
#include "proto/envoy/config/listener/v3/listener.pb-c.h"
#include "proto/envoy/config/route/v3/route.pb-c.h"

#define ANY "{'@type': type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}"

static uint64_t hash_of(const ProtobufCMessageDescriptor *d, const char *yaml)
{
    struct parse_fixture f;
    const ProtobufCMessage *m;
    uint8_t bytes[4096];
    size_t len;

    parse_fixture_init(&f, sizeof(struct route_config), PART_ROUTE_TABLE, "x");
    if (parse_fixture_message(&f, d, str_c(yaml), &m) < 0) {
        fail_msg("%s", error_message(&f.err));
    }
    len = protobuf_c_message_get_packed_size(m);
    assert_true(len < sizeof(bytes));
    protobuf_c_message_pack(m, bytes);
    parse_fixture_done(&f);
    return config_canonical_hash(d, bytes, len);
}

static uint64_t route_hash(const char *yaml)
{
    return hash_of(&envoy__config__route__v3__route_configuration__descriptor, yaml);
}

static void test_order_of_map_entries_does_not_count(void **state)
{
    assert_true(route_hash("{typed_per_filter_config: {a: " ANY
                           ", b: {'@type': type.googleapis.com/"
                           "google.protobuf.Empty}}}") ==
                route_hash("{typed_per_filter_config: {b: {'@type': type.googleapis.com/"
                           "google.protobuf.Empty}, a: " ANY "}}"));
    assert_true(route_hash("{typed_per_filter_config: {a: " ANY "}}") !=
                route_hash("{typed_per_filter_config: {b: " ANY "}}"));
    assert_true(route_hash("{typed_per_filter_config: {a: " ANY "}}") != route_hash("{}"));
}

static void test_order_of_lists_counts(void **state)
{
    assert_true(route_hash("{virtual_hosts: [{name: a}, {name: b}]}") !=
                route_hash("{virtual_hosts: [{name: b}, {name: a}]}"));
    assert_true(route_hash("{internal_only_headers: [a, b]}") !=
                route_hash("{internal_only_headers: [b, a]}"));
}

#define LISTENER_WITH(metadata)                                                                    \
    "{filter_chains: [{filters: [{name: x, typed_config: {'@type': type.googleapis.com/"           \
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager,"           \
    " route_config: {virtual_hosts: [{metadata: {filter_metadata: {" metadata "}}}]}}}]}]}"

static void test_looks_into_any(void **state)
{
    const ProtobufCMessageDescriptor *d = &envoy__config__listener__v3__listener__descriptor;

    assert_true(hash_of(d, LISTENER_WITH("a: {x: 1, y: 2}, b: {}")) ==
                hash_of(d, LISTENER_WITH("b: {}, a: {y: 2, x: 1}")));
    assert_true(hash_of(d, LISTENER_WITH("a: {x: 1, y: 2}")) !=
                hash_of(d, LISTENER_WITH("a: {x: 2, y: 1}")));
}

static void test_equal_means_equal(void **state)
{
    const ProtobufCMessageDescriptor *d =
        &envoy__config__route__v3__route_configuration__descriptor;
    static const uint8_t a[] = {0x0a, 0x01, 'a'};
    static const uint8_t b[] = {0x0a, 0x01, 'b'};

    assert_true(config_canonical_equal(d, a, sizeof(a), a, sizeof(a)));
    assert_false(config_canonical_equal(d, a, sizeof(a), b, sizeof(b)));
    assert_false(config_canonical_equal(d, a, sizeof(a), a, 0));
    assert_true(config_canonical_equal(d, a, 0, b, 0));
}

static void test_any_bytes_will_do(void **state)
{
    struct rng r;

    rng_seed_with(&r, 8);
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[64];
        size_t len = rng_below(&r, sizeof(bytes));

        for (size_t k = 0; k < len; k++) {
            bytes[k] = (uint8_t)rng_below(&r, rng_below(&r, 2) == 0 ? 256 : 32);
        }
        assert_true(config_canonical_equal(&envoy__config__listener__v3__listener__descriptor,
                                           bytes, len, bytes, len));
        (void)config_canonical_hash(&envoy__config__listener__v3__listener__descriptor, bytes, len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_of_map_entries_does_not_count),
        cmocka_unit_test(test_order_of_lists_counts),
        cmocka_unit_test(test_looks_into_any),
        cmocka_unit_test(test_equal_means_equal),
        cmocka_unit_test(test_any_bytes_will_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
