/* RFC 4648's vectors, in one piece and in every division, and what strict means. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/base64.h"
#include "dataplane/base/error.h"

static const struct {
    const char *plain;
    const char *text;
} vectors[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
    {"\xfb\xff\xbf\xfe\x3e", "+/+//j4="},
};

static void vectors_encode_in_any_division(void **state)
{
    char out[32];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        struct str plain = str_c(vectors[i].plain);
        struct str text = str_c(vectors[i].text);

        assert_int_equal(base64_encode(plain, out), text.len);
        assert_memory_equal(out, text.ptr, text.len);
        for (size_t a = 0; a <= plain.len; a++) {
            for (size_t b = a; b <= plain.len; b++) {
                struct base64_encoder e = {.count = 0};
                size_t n = base64_encode_some(&e, str_sub(plain, 0, a), out);

                n += base64_encode_some(&e, str_sub(plain, a, b), out + n);
                n += base64_encode_some(&e, str_sub(plain, b, plain.len), out + n);
                n += base64_encode_end(&e, out + n);
                assert_int_equal(n, text.len);
                assert_memory_equal(out, text.ptr, n);
            }
        }
    }
}

static void vectors_decode_in_any_division(void **state)
{
    uint8_t out[32];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        struct str plain = str_c(vectors[i].plain);
        struct str text = str_c(vectors[i].text);

        for (size_t a = 0; a <= text.len; a++) {
            struct base64_decoder d = {.count = 0};
            size_t first;
            size_t second;

            assert_int_equal(base64_decode_some(&d, str_sub(text, 0, a), out, &first), 0);
            assert_int_equal(
                base64_decode_some(&d, str_sub(text, a, text.len), out + first, &second), 0);
            assert_int_equal(d.count, 0);
            assert_int_equal(first + second, plain.len);
            assert_memory_equal(out, plain.ptr, plain.len);
        }
    }
}

static void what_is_not_strict_base64_is_refused(void **state)
{
    static const char *const bad[] = {
        "****",     "Zm9=", "Zh==", "Z===", "====",
        "Zg==Zg==", "Zm9 ", "Zm9_", "Z=9v", "\xff\xff\xff\xff",
    };
    uint8_t out[32];
    size_t n;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct base64_decoder d = {.count = 0};

        assert_int_equal(base64_decode_some(&d, str_c(bad[i]), out, &n), E_PROTOCOL);
    }
}

static void what_is_incomplete_is_seen_in_the_count(void **state)
{
    struct base64_decoder d = {.count = 0};
    uint8_t out[32];
    size_t n;

    (void)state;
    assert_int_equal(base64_decode_some(&d, STR("Zm9vY"), out, &n), 0);
    assert_int_equal(n, 3);
    assert_int_equal(d.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_encode_in_any_division),
        cmocka_unit_test(vectors_decode_in_any_division),
        cmocka_unit_test(what_is_not_strict_base64_is_refused),
        cmocka_unit_test(what_is_incomplete_is_seen_in_the_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
