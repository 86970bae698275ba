#include "dataplane/tls/ocsp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

/* cmocka wants them. */
#include <cmocka.h>

#include "dataplane/tls/testing.h"

static void assert_refused(struct str der, const char *sentence)
{
    struct tls_ocsp ocsp;
    struct error error;

    error_init(&error);
    assert_int_equal(tls_ocsp_parse(der, &ocsp, &error), E_INVALID);
    assert_string_equal(error_message(&error), sentence);
    error_done(&error);
}

static void make(struct strbuf *out, int64_t this_update_s, int64_t next_update_s)
{
    struct test_cert c;

    test_cert_init(&c, &(struct test_cert_params){.cn = "x", .serial = 0xfe});
    strbuf_init(out);
    test_ocsp(&c, this_update_s, next_update_s, out);
    test_cert_done(&c);
}

static struct tls_ocsp parse(struct str der)
{
    struct tls_ocsp ocsp = {0};
    struct error error;

    error_init(&error);
    if (tls_ocsp_parse(der, &ocsp, &error) != 0) {
        fail_msg("%s", error_message(&error));
    }
    error_done(&error);
    return ocsp;
}

static void serial_and_times(void **state)
{
    static const int64_t times[] = {0,
                                    951782400 /* 2000-02-29 */,
                                    TEST_NOW_S,
                                    4107542399 /* 2100-02-28 23:59:59 */,
                                    4107542400 /* 2100-03-01: no leap year */,
                                    253402300799 /* 9999-12-31 23:59:59 */};
    size_t i;

    for (i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        struct strbuf der;
        struct tls_ocsp ocsp;

        make(&der, times[i], times[i] + 1 > 253402300799 ? times[i] : times[i] + 1);
        ocsp = parse(strbuf_str(&der));
        assert_int_equal(ocsp.this_update_s, times[i]);
        assert_true(ocsp.has_next_update);
        assert_int_equal(ocsp.serial.len, 2);
        assert_memory_equal(ocsp.serial.ptr, "\0\xfe", 2);
        strbuf_done(&der);
    }
}

static void next_update_may_be_missing(void **state)
{
    struct strbuf der;

    make(&der, TEST_NOW_S, 0);
    assert_false(parse(strbuf_str(&der)).has_next_update);
    strbuf_done(&der);
}

static void no_prefix_of_a_response_is_one(void **state)
{
    struct strbuf der;
    size_t len;

    make(&der, TEST_NOW_S, TEST_NOW_S + 1);
    for (len = 0; len < der.len; len++) {
        assert_refused(str_n(der.ptr, len), "Data contained more than a single OCSP response");
    }
    strbuf_add_char(&der, '\0');
    assert_refused(strbuf_str(&der), "Data contained more than a single OCSP response");
    strbuf_done(&der);
}

static void responders_that_say_no(void **state)
{
    assert_refused(STR("\x30\x03\x0a\x01\x03"), "OCSP response was unsuccessful");
    assert_refused(STR("\x30\x03\x0a\x01\x04"), "Unknown OCSP Response Status variant: 4");
    assert_refused(STR("\x30\x03\x0a\x01\x00"), "OCSP response has no body");
    assert_refused(STR("\x30\x03\x02\x01\x00"),
                   "OCSP ResponseStatus is not a well-formed ASN.1 ENUMERATED");
}

/* Replaces the first `from` behind `start`. */
static void patch(struct strbuf *b, size_t start, struct str from, struct str to)
{
    size_t at = str_find(str_sub(strbuf_str(b), start, b->len), from);

    assert_int_not_equal(at, STR_NPOS);
    memcpy(b->ptr + start + at, to.ptr, to.len);
}

static void odd_times(void **state)
{
    static const struct {
        const char *to;
        const char *sentence;
    } cases[] = {
        {"20260101000000X", "GENERALIZEDTIME must be in UTC"},
        {"20261301000000Z", "Error parsing string of GENERALIZEDTIME format"},
        {"20260229000000Z", "Error parsing string of GENERALIZEDTIME format"},
        {"20260100000000Z", "Error parsing string of GENERALIZEDTIME format"},
        {"20260101240000Z", "Error parsing string of GENERALIZEDTIME format"},
        {"2026010100000.Z", "Error parsing string of GENERALIZEDTIME format"},
    };
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct strbuf der;

        /* producedAt, which nobody reads, and thisUpdate are the same. */
        make(&der, TEST_NOW_S, 0);
        patch(&der, 0, STR("20260101000000Z"), STR("29260101000000Z"));
        patch(&der, 0, STR("20260101000000Z"), str_c(cases[i].to));
        assert_refused(strbuf_str(&der), cases[i].sentence);
        strbuf_done(&der);
    }
}

static void other_types_of_response(void **state)
{
    struct strbuf der;

    make(&der, TEST_NOW_S, 0);
    patch(&der, 0, STR("\x2b\x06\x01\x05\x05\x07\x30\x01\x01"),
          STR("\x2b\x06\x01\x05\x05\x07\x30\x01\x02"));
    assert_refused(strbuf_str(&der), "Unknown OCSP Response type with OID: 1.3.6.1.5.5.7.48.1.2");
    strbuf_done(&der);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(serial_and_times),
        cmocka_unit_test(next_update_may_be_missing),
        cmocka_unit_test(no_prefix_of_a_response_is_one),
        cmocka_unit_test(responders_that_say_no),
        cmocka_unit_test(odd_times),
        cmocka_unit_test(other_types_of_response),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
