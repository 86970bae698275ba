/* Both response messages, their wrappers, and what of a bad one is still believed. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/error.h"
#include "xds/response.h"
#include "xds/wire.h"

#define CLUSTER "type.googleapis.com/envoy.config.cluster.v3.Cluster"
#define RESOURCE "type.googleapis.com/envoy.service.discovery.v3.Resource"

static struct arena arena;
static struct strbuf message;

static int setup(void **state)
{
    arena_init(&arena, NULL);
    strbuf_init(&message);
    return 0;
}

static int teardown(void **state)
{
    arena_done(&arena);
    strbuf_done(&message);
    return 0;
}

static void put_any(struct strbuf *out, uint32_t number, struct str type_url, struct str value)
{
    size_t any = wire_begin(out);

    wire_put_bytes(out, 1, type_url);
    wire_put_bytes(out, 2, value);
    wire_end(out, any, number);
}

static struct xds_response decode(bool is_delta)
{
    struct xds_response rs;

    assert_int_equal(xds_response_decode(strbuf_str(&message), is_delta, &arena, &rs), 0);
    return rs;
}

static void assert_refused(bool is_delta)
{
    struct xds_response rs;

    assert_int_equal(xds_response_decode(strbuf_str(&message), is_delta, &arena, &rs), E_INVALID);
}

static void test_sotw(void **state)
{
    struct xds_response rs;

    wire_put_bytes(&message, 1, STR("v1"));
    put_any(&message, 2, STR(CLUSTER), STR("\x0a\x01x"));
    put_any(&message, 2, STR(CLUSTER), STR("\x0a\x02yz"));
    wire_put_varint(&message, 3, 1); /* canary: not looked at */
    wire_put_bytes(&message, 4, STR(CLUSTER));
    wire_put_bytes(&message, 5, STR("n1"));
    wire_put_bytes(&message, 6,
                   STR("\x0a\x02"
                       "id"));
    rs = decode(false);
    assert_false(rs.update.is_delta);
    assert_true(str_eq(rs.update.version_info, STR("v1")));
    assert_true(str_eq(rs.update.type_url, STR(CLUSTER)));
    assert_true(str_eq(rs.nonce, STR("n1")));
    assert_true(str_eq(rs.control_plane, STR("id")));
    assert_int_equal(rs.update.resource_count, 2);
    assert_int_equal(rs.update.resources[0].name.len, 0);
    assert_true(str_eq(rs.update.resources[1].type_url, STR(CLUSTER)));
    assert_int_equal(rs.update.resources[1].len, 4);
    assert_true(str_eq(xds_resource_name(&rs.update.resources[0]), STR("x")));
    assert_true(str_eq(xds_resource_name(&rs.update.resources[1]), STR("yz")));
    assert_int_equal(rs.update.removed_count, 0);
}

static void put_wrapper(struct strbuf *out, const char *name, const char *version)
{
    wire_put_bytes(out, 1, str_c(version));
    put_any(out, 2, STR(CLUSTER), STR("\x0a\x05inner"));
    wire_put_bytes(out, 3, str_c(name));
}

static void test_sotw_resource_in_a_wrapper(void **state)
{
    struct xds_response rs;
    struct strbuf wrapper;

    strbuf_init(&wrapper);
    put_wrapper(&wrapper, "outer", "7");
    put_any(&message, 2, STR(RESOURCE), strbuf_str(&wrapper));
    strbuf_done(&wrapper);
    rs = decode(false);
    assert_int_equal(rs.update.resource_count, 1);
    assert_true(str_eq(rs.update.resources[0].name, STR("outer")));
    assert_true(str_eq(rs.update.resources[0].version, STR("7")));
    assert_true(str_eq(rs.update.resources[0].type_url, STR(CLUSTER)));
    assert_true(str_eq(xds_resource_name(&rs.update.resources[0]), STR("outer")));
}

static void test_delta(void **state)
{
    struct xds_response rs;
    size_t at;

    wire_put_bytes(&message, 1, STR("system"));
    at = wire_begin(&message);
    put_wrapper(&message, "a", "1");
    wire_end(&message, at, 2);
    wire_put_bytes(&message, 4, STR(CLUSTER));
    wire_put_bytes(&message, 5, STR("n2"));
    wire_put_bytes(&message, 6, STR("gone"));
    wire_put_bytes(&message, 6, STR("too"));
    wire_put_bytes(&message, 7,
                   STR("\x0a\x02"
                       "id"));
    wire_put_bytes(&message, 8,
                   STR("\x0a\x05"
                       "third")); /* removed_resource_names */
    rs = decode(true);
    assert_true(rs.update.is_delta);
    assert_true(str_eq(rs.update.version_info, STR("system")));
    assert_int_equal(rs.update.resource_count, 1);
    assert_true(str_eq(rs.update.resources[0].name, STR("a")));
    assert_true(str_eq(rs.update.resources[0].version, STR("1")));
    assert_int_equal(rs.update.removed_count, 3);
    assert_true(str_eq(rs.update.removed[0], STR("gone")));
    assert_true(str_eq(rs.update.removed[2], STR("third")));
    assert_true(str_eq(rs.control_plane, STR("id")));
}

static void test_delta_name_in_a_message(void **state)
{
    struct xds_response rs;
    size_t at = wire_begin(&message);

    put_any(&message, 2, STR(CLUSTER), STR("\x0a\x05inner"));
    wire_put_bytes(&message, 8, STR("\x0a\x05named"));
    wire_end(&message, at, 2);
    rs = decode(true);
    assert_true(str_eq(rs.update.resources[0].name, STR("named")));
}

/* A time to live is renewed by a wrapper with nothing in it: no new version, nothing to refuse. */
static void test_heartbeats_are_left_out(void **state)
{
    struct xds_response rs;
    size_t at = wire_begin(&message);

    wire_put_bytes(&message, 1, STR("1"));
    wire_put_bytes(&message, 3, STR("a"));
    wire_put_bytes(&message, 6, STR("\x08\x0a"));
    wire_end(&message, at, 2);
    at = wire_begin(&message);
    put_wrapper(&message, "b", "1");
    wire_end(&message, at, 2);
    rs = decode(true);
    assert_int_equal(rs.update.resource_count, 1);
    assert_true(str_eq(rs.update.resources[0].name, STR("b")));
}

static void test_a_bad_resource_does_not_hide_the_others(void **state)
{
    struct xds_response rs;
    size_t at;

    wire_put_bytes(&message, 2, STR("\x0a\x7f")); /* an Any that ends too early */
    put_any(&message, 2, STR(CLUSTER), STR("\x0a\x01x"));
    put_any(&message, 2, STR(RESOURCE), STR("\xff"));
    rs = decode(false);
    assert_int_equal(rs.update.resource_count, 3);
    assert_true(rs.update.resources[0].undecodable);
    assert_int_equal(xds_resource_name(&rs.update.resources[0]).len, 0);
    assert_false(rs.update.resources[1].undecodable);
    assert_true(rs.update.resources[2].undecodable);

    strbuf_reset(&message);
    at = wire_begin(&message);
    wire_put_bytes(&message, 3, STR("named"));
    strbuf_add(&message, "\x12\x7f", 2);
    wire_end(&message, at, 2);
    at = wire_begin(&message);
    put_wrapper(&message, "\xff not UTF-8", "1");
    wire_end(&message, at, 2);
    rs = decode(true);
    assert_int_equal(rs.update.resource_count, 2);
    assert_true(rs.update.resources[0].undecodable);
    assert_true(str_eq(rs.update.resources[0].name, STR("named")));
    assert_true(rs.update.resources[1].undecodable);
    assert_int_equal(rs.update.resources[1].name.len, 0);
}

static void test_a_malformed_envelope_is_refused(void **state)
{
    put_any(&message, 2, STR(CLUSTER), STR("\x0a\x01x"));
    strbuf_add(&message, "\x22\x7f", 2);
    assert_refused(false);
    assert_refused(true);
}

/* What we send back must be text. */
static void test_envelope_strings_are_utf8(void **state)
{
    static const uint32_t NUMBERS[] = {1, 4, 5};

    for (size_t i = 0; i < ARRAY_LEN(NUMBERS); i++) {
        strbuf_reset(&message);
        wire_put_bytes(&message, NUMBERS[i], STR("\xc3\x28"));
        assert_refused(false);
        assert_refused(true);
    }
    strbuf_reset(&message);
    wire_put_bytes(&message, 6, STR("\xc3\x28"));
    assert_refused(true);
}

static void test_nothing_is_a_response_without_resources(void **state)
{
    struct xds_response rs = decode(false);

    assert_int_equal(rs.update.resource_count, 0);
    assert_int_equal(rs.update.type_url.len, 0);
    rs = decode(true);
    assert_int_equal(rs.update.removed_count, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_sotw),
        TEST(test_sotw_resource_in_a_wrapper),
        TEST(test_delta),
        TEST(test_delta_name_in_a_message),
        TEST(test_heartbeats_are_left_out),
        TEST(test_a_bad_resource_does_not_hide_the_others),
        TEST(test_a_malformed_envelope_is_refused),
        TEST(test_envelope_strings_are_utf8),
        TEST(test_nothing_is_a_response_without_resources),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
