/* PROXY protocol headers byte for byte, what goes along with them, and Envoy's verdicts. */

#include "dataplane/extensions/transport_sockets/proxy_protocol.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/parse/verdict_support.h"
#include "dataplane/extensions/registry.h"

static struct buf_pool pool;
static struct buf out;

static void start(void)
{
    buf_pool_init(&pool, 4);
    buf_init(&out, &pool);
}

static void end(void)
{
    buf_reset(&out);
    buf_pool_done(&pool);
}

static struct address ip(const char *text, uint16_t port)
{
    struct address a;

    assert_int_equal(address_from_ip(str_c(text), port, &a), 0);
    return a;
}

static struct str said(void)
{
    static char text[70000];

    return str_n(text, buf_copy_out(&out, 0, text, sizeof(text)));
}

static void check_v1(const char *source, const char *destination, const char *wanted)
{
    struct address from = ip(source, 1111);
    struct address to = ip(destination, 65535);

    start();
    header_v1(&(struct proxy_ends){&from, &to, false}, &out);
    assert_true(str_eq(said(), str_c(wanted)));
    end();
}

static void test_version_1(void **state)
{
    check_v1("192.0.2.1", "10.0.0.1", "PROXY TCP4 192.0.2.1 10.0.0.1 1111 65535\r\n");
    check_v1("2001:db8::1", "::1", "PROXY TCP6 2001:db8::1 ::1 1111 65535\r\n");
    check_v1("192.0.2.1", "::1", "PROXY TCP6 ::ffff:192.0.2.1 ::1 1111 65535\r\n");
    check_v1("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
             "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
             "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 1111 65535\r\n");
}

static void test_unix_is_unknown(void **state)
{
    struct proxy_config c = {.is_v1 = false};
    struct address path;
    struct proxy_ends ends = {&path, &path, false};

    assert_int_equal(address_from_path(STR("/x"), &path), 0);
    start();
    header_v1(&ends, &out);
    assert_true(str_eq(said(), STR("PROXY UNKNOWN\r\n")));
    buf_reset(&out);
    header_v2(&c, &ends, STR("\x01\0\1a"), NULL, &out);
    assert_true(str_eq(said(), str_n("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", 16)));
    end();
}

static void test_version_2(void **state)
{
    static const char v4[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\1\x0a\0\0\1\4\x57\xff\xff";
    struct proxy_config c = {.is_v1 = false};
    struct address from = ip("192.0.2.1", 1111);
    struct address to = ip("10.0.0.1", 65535);
    struct address to6 = ip("::1", 1);

    start();
    header_v2(&c, &(struct proxy_ends){&from, &to, false}, STR_NONE, NULL, &out);
    assert_true(str_eq(said(), str_n(v4, sizeof(v4) - 1)));
    buf_reset(&out);
    header_v2(&c, &(struct proxy_ends){&from, &to6, false}, STR_NONE, NULL, &out);
    assert_int_equal(buf_len(&out), 16 + 36);
    assert_int_equal(said().ptr[13], 0x21);
    buf_reset(&out);
    header_v2(&c, &(struct proxy_ends){&from, &to, true}, STR_NONE, NULL, &out); /* ours: LOCAL */
    assert_true(str_eq(said(), str_n("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", 16)));
    end();
}

static struct str tlvs_of(const struct proxy_config *c, struct str passed)
{
    struct address from = ip("192.0.2.1", 1);
    struct str all;

    buf_reset(&out);
    header_v2(c, &(struct proxy_ends){&from, &from, false}, passed, NULL, &out);
    all = said();
    return str_sub(all, V2_HEAD_BYTES + 12, all.len);
}

static void test_tlvs(void **state)
{
    const struct str passed = str_n("\1\0\1a\2\0\1b\1\0\1c", 12);
    struct proxy_config c = {.is_v1 = false};

    start();
    assert_int_equal(tlvs_of(&c, passed).len, 0);
    c.passes[1] = true;
    assert_true(str_eq(tlvs_of(&c, passed), str_n("\1\0\1a\1\0\1c", 8)));
    c.passes_all = true;
    assert_true(str_eq(tlvs_of(&c, passed), passed));
    c.added = str_n("\1\0\1X", 4);
    c.adds[1] = true;
    assert_true(str_eq(tlvs_of(&c, passed), str_n("\1\0\1X\2\0\1b", 8)));
    assert_true(str_eq(tlvs_of(&c, str_n("\2\0\xff", 3)), c.added)); /* cut off */
    end();
}

static void test_what_has_no_room_is_left_out(void **state)
{
    static char passed[2 * (TLV_HEAD_BYTES + 40000) + 4];
    struct proxy_config c = {.is_v1 = false, .passes_all = true};
    size_t n = 0;
    static char value[40000];

    n += tlv_encode((uint8_t *)passed, 1, value, sizeof(value));
    n += tlv_encode((uint8_t *)passed + n, 2, value, sizeof(value));
    n += tlv_encode((uint8_t *)passed + n, 3, "x", 1);
    start();
    assert_int_equal(tlvs_of(&c, str_n(passed, n)).len, TLV_HEAD_BYTES + sizeof(value) + 4);
    end();
}

static int parse_case(struct parse_fixture *fixture, struct str text)
{
    const struct extension *ext = &transport_socket_proxy_protocol.ext;
    const ProtobufCMessage *m;
    const void *config = NULL;
    int r;

    fixture->ctx.registry = &extension_registry;
    r = parse_fixture_message(fixture, ext->descriptor, text, &m);
    return r < 0 ? r : ext->parse(&fixture->ctx, m, &config);
}

static void test_envoys_verdicts(void **state)
{
    verdicts_check(VERDICTS_DIR "upstream_proxy_protocol.tsv", PART_CLUSTER,
                   sizeof(struct cluster_config), parse_case);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_1),
        cmocka_unit_test(test_unix_is_unknown),
        cmocka_unit_test(test_version_2),
        cmocka_unit_test(test_tlvs),
        cmocka_unit_test(test_what_has_no_room_is_left_out),
        cmocka_unit_test(test_envoys_verdicts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
