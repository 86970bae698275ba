/* ClientHellos: well-known handwriting, records cut anywhere, everything that is refused. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/tls/client_hello.h"

/* --- Making one ------------------------------------------------------------------------------ */

struct maker {
    uint8_t bytes[1024];
    size_t len;
};

static void put(struct maker *m, const void *p, size_t len)
{
    assert_true(m->len + len <= sizeof(m->bytes));
    if (len > 0) {
        memcpy(m->bytes + m->len, p, len);
    }
    m->len += len;
}

static void put_number(struct maker *m, size_t v, size_t bytes)
{
    for (size_t i = bytes; i-- > 0;) {
        uint8_t b = (uint8_t)(v >> (8 * i));

        put(m, &b, 1);
    }
}

static void put_extension(struct maker *m, uint16_t type, const void *body, size_t len)
{
    put_number(m, type, 2);
    put_number(m, len, 2);
    put(m, body, len);
}

static void put_server_name(struct maker *m, const char *name, size_t len)
{
    put_number(m, 0, 2);
    put_number(m, len + 5, 2);
    put_number(m, len + 3, 2);
    put_number(m, 0, 1);
    put_number(m, len, 2);
    put(m, name, len);
}

/* The handshake message around these extensions. */
static void make_message(struct maker *m, uint16_t version, const struct maker *extensions)
{
    static const uint8_t random[32];
    static const uint8_t suites[] = {0x2a, 0x2a, 0x13, 0x02, 0x13, 0x01, 0xc0, 0x2f};
    size_t body = 2 + 32 + 1 + 2 + sizeof(suites) + 2 + 2 + extensions->len;

    m->len = 0;
    put_number(m, 1, 1);
    put_number(m, body, 3);
    put_number(m, version, 2);
    put(m, random, sizeof(random));
    put_number(m, 0, 1);
    put_number(m, sizeof(suites), 2);
    put(m, suites, sizeof(suites));
    put_number(m, 1, 1);
    put_number(m, 0, 1);
    put_number(m, extensions->len, 2);
    put(m, extensions->bytes, extensions->len);
}

/* In records of at most `size` bytes. */
static void make_records(struct maker *out, const struct maker *message, size_t size)
{
    out->len = 0;
    for (size_t at = 0; at < message->len;) {
        size_t n = message->len - at < size ? message->len - at : size;

        put_number(out, 22, 1);
        put_number(out, 0x0301, 2);
        put_number(out, n, 2);
        put(out, message->bytes + at, n);
        at += n;
    }
}

static const uint8_t ALPN[] = "\x00\x0c\x02h2\x08http/1.1";
static const uint8_t VERSIONS[] = "\x06\x2a\x2a\x03\x04\x03\x03";

static void usual_extensions(struct maker *e)
{
    e->len = 0;
    put_server_name(e, "Host.Test", 9);
    put_extension(e, 0x1a1a, NULL, 0);
    put_extension(e, 10, "\x00\x04\x00\x1d\x00\x17", 6);
    put_extension(e, 11, "\x01\x00", 2);
    put_extension(e, 13, "\x00\x04\x04\x03\x08\x04", 6);
    put_extension(e, 16, ALPN, sizeof(ALPN) - 1);
    put_extension(e, 43, VERSIONS, sizeof(VERSIONS) - 1);
}

static struct arena arena;

static int set_up(void **state)
{
    arena_init(&arena, NULL);
    return 0;
}

static int tear_down(void **state)
{
    arena_done(&arena);
    return 0;
}

static enum client_hello_verdict parse(const struct maker *m, struct client_hello *h)
{
    size_t size;

    return client_hello_parse(str_n((const char *)m->bytes, m->len), &arena, h, &size);
}

static enum client_hello_verdict verdict_on(const struct maker *extensions)
{
    struct maker message;
    struct maker records;
    struct client_hello h;

    make_message(&message, 0x0303, extensions);
    make_records(&records, &message, 16384);
    return parse(&records, &h);
}

/* --- Tests ----------------------------------------------------------------------------------- */

static void assert_str(struct str got, const char *want)
{
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.ptr, want, got.len);
}

static void what_it_says(void **state)
{
    struct maker extensions;
    struct maker message;
    struct maker records;
    struct client_hello h;
    struct str protocol;

    usual_extensions(&extensions);
    make_message(&message, 0x0303, &extensions);
    make_records(&records, &message, 16384);
    assert_int_equal(parse(&records, &h), CLIENT_HELLO_FOUND);
    assert_int_equal(h.version, 0x0303);
    assert_str(h.server_name, "Host.Test");
    assert_true(client_hello_next_protocol(&h.alpn, &protocol));
    assert_str(protocol, "h2");
    assert_true(client_hello_next_protocol(&h.alpn, &protocol));
    assert_str(protocol, "http/1.1");
    assert_false(client_hello_next_protocol(&h.alpn, &protocol));
}

/* Of what Envoy makes of the same bytes, in integration/listeners/test_listener_filters.py. */
static void fingerprints(void **state)
{
    struct maker extensions;
    struct maker message;
    struct maker records;
    struct client_hello h;
    char ja3[CLIENT_HELLO_JA3_LEN];
    char ja4[CLIENT_HELLO_JA4_LEN];

    usual_extensions(&extensions);
    make_message(&message, 0x0303, &extensions);
    make_records(&records, &message, 16384);
    assert_int_equal(parse(&records, &h), CLIENT_HELLO_FOUND);
    client_hello_ja3(&h, ja3);
    /* md5 of 771,4866-4865-49199,0-10-11-13-16-43,29-23,0 */
    assert_memory_equal(ja3, "7a36bd646cfd44ffe5268a460aeea992", sizeof(ja3));
    client_hello_ja4(&h, ja4);
    /* sha256 of 1301,1302,c02f and of 000a,000b,000d,002b_0403,0804 */
    assert_memory_equal(ja4, "t13d0306h2_40b44b994229_fb71836bce29", sizeof(ja4));
}

static void records_may_be_cut_anywhere(void **state)
{
    struct maker extensions;
    struct maker message;
    struct maker records;
    struct client_hello h;

    usual_extensions(&extensions);
    make_message(&message, 0x0303, &extensions);
    for (size_t size = 1; size <= message.len; size++) {
        if (size * 6 < message.len) {
            continue; /* more headers than fit */
        }
        make_records(&records, &message, size);
        assert_int_equal(parse(&records, &h), CLIENT_HELLO_FOUND);
        assert_str(h.server_name, "Host.Test");
        for (size_t len = 0; len < records.len; len++) {
            struct maker part = records;

            part.len = len;
            assert_int_equal(parse(&part, &h), CLIENT_HELLO_PARTIAL);
        }
    }
}

static void what_is_no_tls(void **state)
{
    static const char *const texts[] = {"GET / HTTP/1.1\r\n", "SSH-2.0-x\r\n",
                                        "\x15\x03\x01\x00\x02\x02\x28", "\x16\x02\x00\x00\x04",
                                        "\x16\x03\x01\x40\x01"};
    struct client_hello h;
    struct maker m;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        m.len = 0;
        put(&m, texts[i], 5);
        assert_int_equal(parse(&m, &h), CLIENT_HELLO_NOT_TLS);
    }
    m.len = 0;
    put(&m, "GET ", 4);
    assert_int_equal(parse(&m, &h), CLIENT_HELLO_PARTIAL); /* four bytes do not tell */
}

static void what_is_refused(void **state)
{
    struct maker e = {.len = 0};

    assert_int_equal(verdict_on(&e), CLIENT_HELLO_FOUND);
    put_extension(&e, 10, "\x00", 1);
    assert_int_equal(verdict_on(&e), CLIENT_HELLO_FOUND); /* nobody looks into it */
    put_extension(&e, 10, "\x00", 1);
    assert_int_equal(verdict_on(&e), CLIENT_HELLO_NOT_TLS); /* twice */
    e.len = 0;
    put_server_name(&e, "", 0);
    assert_int_equal(verdict_on(&e), CLIENT_HELLO_NOT_TLS);
    e.len = 0;
    put_server_name(&e, "a\0b", 3);
    assert_int_equal(verdict_on(&e), CLIENT_HELLO_NOT_TLS);
    e.len = 0;
    put_extension(&e, 0, NULL, 0);
    assert_int_equal(verdict_on(&e), CLIENT_HELLO_NOT_TLS);
    e.len = 0;
    put_extension(&e, 16, "\x00\x05\x02h2", 5);
    assert_int_equal(verdict_on(&e), CLIENT_HELLO_FOUND); /* a broken ALPN is as none */
    e.len = 3;
    assert_int_equal(verdict_on(&e), CLIENT_HELLO_NOT_TLS); /* cut in an extension */
}

static void nothing_may_follow_in_its_record(void **state)
{
    struct maker extensions = {.len = 0};
    struct maker message;
    struct maker records;
    struct client_hello h;

    make_message(&message, 0x0303, &extensions);
    put_number(&message, 0x14, 1);
    make_records(&records, &message, 16384);
    assert_int_equal(parse(&records, &h), CLIENT_HELLO_NOT_TLS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_it_says, set_up, tear_down),
        cmocka_unit_test_setup_teardown(fingerprints, set_up, tear_down),
        cmocka_unit_test_setup_teardown(records_may_be_cut_anywhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_tls, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_may_follow_in_its_record, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
