/* PROXY protocol headers, both versions: what is read, what is waited for, what is refused. The
 * whole matrix stands beside Envoy in integration/listeners/test_listener_filters.py. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/extensions/filters/listener/proxy_protocol/proxy_header.h"

static const struct proxy_header_rules STRICT = {.allows_v1 = true, .allows_v2 = true};
static const struct proxy_header_rules LOOSE = {true, true, true};

#define V1 STR("PROXY TCP4 10.1.2.3 10.4.5.6 1111 80\r\n")
#define V2_INET                                                                                    \
    STR("\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x12\x0a\x01\x02\x03\x0a\x04\x05\x06\x04\x57\x00\x50"     \
        "\x02\x00\x03"                                                                             \
        "abc")

static enum proxy_header_verdict parse(struct str s, struct proxy_header *h)
{
    return proxy_header_parse(s, &STRICT, h);
}

static void assert_addresses(const struct proxy_header *h, const char *source,
                             const char *destination)
{
    char text[ADDRESS_TEXT_MAX];

    assert_true(h->has_addresses);
    (void)address_format(&h->source, text);
    assert_string_equal(text, source);
    (void)address_format(&h->destination, text);
    assert_string_equal(text, destination);
}

static void version_1(void **state)
{
    struct proxy_header h;

    assert_int_equal(parse(V1, &h), PROXY_HEADER_FOUND);
    assert_int_equal(h.version, 1);
    assert_int_equal(h.size, V1.len);
    assert_addresses(&h, "10.1.2.3:1111", "10.4.5.6:80");
    assert_int_equal(parse(STR("PROXY TCP6 ::1 2001:db8::2 1 2\r\nmore"), &h), PROXY_HEADER_FOUND);
    assert_int_equal(h.size, 32);
    assert_addresses(&h, "[::1]:1", "[2001:db8::2]:2");
    assert_int_equal(parse(STR("PROXY UNKNOWN whatever\r\n"), &h), PROXY_HEADER_FOUND);
    assert_false(h.has_addresses);
}

static void version_2(void **state)
{
    struct proxy_header h;
    struct str value;
    uint8_t type;

    assert_int_equal(parse(V2_INET, &h), PROXY_HEADER_FOUND);
    assert_int_equal(h.version, 2);
    assert_int_equal(h.size, V2_INET.len);
    assert_addresses(&h, "10.1.2.3:1111", "10.4.5.6:80");
    assert_true(proxy_header_next_tlv(&h.tlvs, &type, &value));
    assert_int_equal(type, 2);
    assert_true(str_eq(value, STR("abc")));
    assert_false(proxy_header_next_tlv(&h.tlvs, &type, &value));
    assert_int_equal(parse(STR("\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x02zz"), &h), PROXY_HEADER_FOUND);
    assert_false(h.has_addresses);
    assert_int_equal(h.size, 18);
    assert_int_equal(h.tlvs.len, 0);
}

static void less_is_waited_for(void **state)
{
    struct proxy_header h;

    for (size_t len = 0; len < V1.len; len++) {
        assert_int_equal(parse(str_sub(V1, 0, len), &h), PROXY_HEADER_PARTIAL);
        assert_int_equal(proxy_header_parse(str_sub(V1, 0, len), &LOOSE, &h), PROXY_HEADER_PARTIAL);
    }
    for (size_t len = 0; len < V2_INET.len; len++) {
        assert_int_equal(parse(str_sub(V2_INET, 0, len), &h), PROXY_HEADER_PARTIAL);
    }
}

static void broken_ones(void **state)
{
    const struct {
        struct str bytes;
        int version;
    } cases[] = {
        {STR("PROXY TCP4  10.1.2.3 10.4.5.6 1111 80\r\n"), 1},
        {STR("PROXY TCP4 10.1.2.3 10.4.5.6 1111\r\n"), 1},
        {STR("PROXY TCP4 10.1.2.3 10.4.5.6 65536 80\r\n"), 1},
        {STR("PROXY TCP4 ::1 ::1 1 80\r\n"), 1},
        {STR("PROXY TCP4 0.0.0.0 10.4.5.6 1 80\r\n"), 1},
        {STR("PROXY TCP4 224.0.0.1 10.4.5.6 1 80\r\n"), 1},
        {STR("PROXY TCP4 10.1.2.3\0 10.4.5.6 1 80\r\n"), 1},
        {STR("PROXY UDP4 10.1.2.3 10.4.5.6 1 80\r\n"), 1},
        {STR("GET / HTTP/1.1\r\n"), 0},
        {STR("\r\n\r\n\0\r\nQUIX\nxxxx"), 0},
        {STR("\r\n\r\n\0\r\nQUIT\n\x11\x11\x00\x00"), 2},
        {STR("\r\n\r\n\0\r\nQUIT\n\x21\x31\x00\x00"), 2},
        {STR("\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0b"), 2},
        {STR("\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0d\x0a\x01\x02\x03\x0a\x04\x05\x06\x04\x57\x00\x50"
             "!"),
         2},
    };
    struct proxy_header h;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(parse(cases[i].bytes, &h), PROXY_HEADER_ERROR);
        assert_int_equal(h.version, cases[i].version);
    }
}

static void a_line_has_an_end(void **state)
{
    char line[200];
    struct proxy_header h;

    memset(line, 'x', sizeof(line));
    memcpy(line, "PROXY UNKNOWN ", 14);
    assert_int_equal(parse(str_n(line, 108), &h), PROXY_HEADER_PARTIAL);
    assert_int_equal(parse(str_n(line, 109), &h), PROXY_HEADER_ERROR);
    memcpy(line + 106, "\r\n", 2);
    assert_int_equal(parse(str_n(line, 150), &h), PROXY_HEADER_FOUND);
    assert_int_equal(h.size, 108);
}

static void rules(void **state)
{
    const struct proxy_header_rules only_v1 = {.allows_v1 = true};
    const struct proxy_header_rules v2_or_none = {.allows_none = true, .allows_v2 = true};
    struct proxy_header h;

    assert_int_equal(proxy_header_parse(V2_INET, &only_v1, &h), PROXY_HEADER_DENIED);
    assert_int_equal(h.version, 2);
    assert_int_equal(proxy_header_parse(V1, &v2_or_none, &h), PROXY_HEADER_NONE);
    assert_int_equal(h.version, 0);
    assert_int_equal(proxy_header_parse(STR("G"), &LOOSE, &h), PROXY_HEADER_NONE);
    assert_int_equal(proxy_header_parse(STR("P"), &LOOSE, &h), PROXY_HEADER_PARTIAL);
    assert_int_equal(proxy_header_parse(STR("\r"), &LOOSE, &h), PROXY_HEADER_PARTIAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_1),          cmocka_unit_test(version_2),
        cmocka_unit_test(less_is_waited_for), cmocka_unit_test(broken_ones),
        cmocka_unit_test(a_line_has_an_end),  cmocka_unit_test(rules),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
