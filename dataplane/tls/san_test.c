#include "dataplane/tls/san.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

/* cmocka wants them. */
#include <cmocka.h>

#include "dataplane/tls/testing.h"
#include "dataplane/tls/trust.h"

static void dns_names(void **state)
{
    static const struct {
        const char *name;
        const char *pattern;
        bool matches;
    } cases[] = {
        {"foo.com", "foo.com", true},
        {"FOO.com", "foo.COM", true},
        {"foo.com", "bar.com", false},
        {"a.foo.com", "*.foo.com", true},
        {"A.FOO.com", "*.foo.com", true},
        {"a.b.foo.com", "*.foo.com", false},
        {"foo.com", "*.foo.com", false},
        {"foo.com", "*.com", true},
        {"foo.com", "*", false},
        {"com", "*", false},
        {"bar-foo.com", "bar-*.com", true},
        {"bar.com", "bar*.com", true},
        {"ba.com", "bar*.com", false},
        {"foo-bar.com", "*-bar.com", true},
        {"foobar.com", "f*r.com", true},
        {"fr.com", "f*r.com", true},
        {"f.com", "f*f.com", false}, /* the star's two sides may not overlap */
        {"foobar.com", "f*o*r.com", false},
        {"a.b.com", "**.b.com", false},
        {"a.b.c.com", "*.*.c.com", false},
        {"a.b.com", "a.*.com", false},
        {"xn--abc.com", "xn--*.com", false},
        {"xn--abc.com", "*.com", true},
        {".foo.com", "*.foo.com", true},
        {"", "", true},
        {"a.foo.com", "*foo.com", false},
    };
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (tls_dns_name_matches(str_c(cases[i].name), str_c(cases[i].pattern)) !=
            cases[i].matches) {
            fail_msg("%s against %s", cases[i].name, cases[i].pattern);
        }
    }
}

/* Whether any name of a certificate with these SANs matches. */
static bool matches(const char *sans, struct str raw_dns, const struct tls_san_matcher *m)
{
    struct test_cert c;
    GENERAL_NAMES *names;
    bool is_match = false;
    size_t i;

    test_cert_init(&c, &(struct test_cert_params){.cn = "cn", .sans = sans, .raw_dns = raw_dns});
    names = tls_sans_of(c.x509);
    assert_non_null(names);
    for (i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        is_match |= tls_san_matches(sk_GENERAL_NAME_value(names, i), m);
    }
    GENERAL_NAMES_free(names);
    test_cert_done(&c);
    return is_match;
}

static struct tls_san_matcher matcher(enum tls_san_type type, enum string_match_kind kind,
                                      const char *value)
{
    return (struct tls_san_matcher){.type = type, .matcher = {.kind = kind, .value = str_c(value)}};
}

static void each_type_looks_at_its_own_kind(void **state)
{
    static const char sans[] =
        "DNS:a.example,URI:spiffe://a/b,IP:10.0.0.1,IP:2001:db8::1,email:who@a.example,"
        "otherName:1.2.3;UTF8:other";
    static const struct {
        enum tls_san_type type;
        const char *value;
        bool matches;
    } cases[] = {
        {TLS_SAN_DNS, "a.example", true},     {TLS_SAN_DNS, "who@a.example", false},
        {TLS_SAN_DNS, "spiffe://a/b", false}, {TLS_SAN_DNS, "cn", false},
        {TLS_SAN_URI, "spiffe://a/b", true},  {TLS_SAN_URI, "SPIFFE://a/b", false},
        {TLS_SAN_URI, "a.example", false},    {TLS_SAN_EMAIL, "who@a.example", true},
        {TLS_SAN_EMAIL, "a.example", false},  {TLS_SAN_IP, "10.0.0.1", true},
        {TLS_SAN_IP, "2001:db8::1", true},    {TLS_SAN_IP, "10.0.0.2", false},
        {TLS_SAN_ANY, "a.example", true},     {TLS_SAN_ANY, "spiffe://a/b", true},
        {TLS_SAN_ANY, "10.0.0.1", true},      {TLS_SAN_ANY, "who@a.example", true},
        {TLS_SAN_ANY, "other", false},
    };
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct tls_san_matcher m = matcher(cases[i].type, STRING_MATCH_EXACT, cases[i].value);

        if (matches(sans, STR_NONE, &m) != cases[i].matches) {
            fail_msg("case %zu: %s", i, cases[i].value);
        }
    }
}

static void wildcards_only_where_a_dns_name_is_matched_exactly(void **state)
{
    struct tls_san_matcher exact = matcher(TLS_SAN_DNS, STRING_MATCH_EXACT, "x.a.example");
    struct tls_san_matcher any = matcher(TLS_SAN_ANY, STRING_MATCH_EXACT, "x.a.example");
    struct tls_san_matcher suffix = matcher(TLS_SAN_DNS, STRING_MATCH_SUFFIX, "x.a.example");
    struct tls_san_matcher star = matcher(TLS_SAN_DNS, STRING_MATCH_PREFIX, "*.");
    struct tls_san_matcher uri = matcher(TLS_SAN_URI, STRING_MATCH_EXACT, "x.a.example");

    assert_true(matches("DNS:*.a.example", STR_NONE, &exact));
    assert_true(matches("DNS:*.a.example", STR_NONE, &any));
    assert_true(matches("DNS:*.A.example", STR_NONE, &exact));
    assert_false(matches("DNS:*.a.example", STR_NONE, &suffix));
    assert_true(matches("DNS:*.a.example", STR_NONE, &star));
    assert_false(matches("URI:*.a.example", STR_NONE, &uri));
}

static void a_nul_inside_matches_nothing(void **state)
{
    struct str evil = STR("evil.example\0.good.example");
    struct tls_san_matcher suffix = matcher(TLS_SAN_DNS, STRING_MATCH_SUFFIX, ".good.example");
    struct tls_san_matcher prefix = matcher(TLS_SAN_DNS, STRING_MATCH_PREFIX, "evil.example");
    struct tls_san_matcher exact = matcher(TLS_SAN_DNS, STRING_MATCH_EXACT, "evil.example");
    struct tls_san_matcher good = matcher(TLS_SAN_DNS, STRING_MATCH_EXACT, "good.example");

    assert_false(matches(NULL, evil, &suffix));
    assert_false(matches(NULL, evil, &prefix));
    assert_false(matches(NULL, evil, &exact));
    exact.matcher.value = evil;
    assert_false(matches(NULL, evil, &exact));
    assert_true(matches("DNS:good.example", evil, &good)); /* its neighbours do */
}

static void other_names_by_oid(void **state)
{
    static const struct {
        const char *san;
        const char *text;
    } cases[] = {
        {"otherName:1.2.3;UTF8:text", "text"},
        {"otherName:1.2.3;IA5:text", "text"},
        {"otherName:1.2.3;PRINTABLE:text", "text"},
        {"otherName:1.2.3;BMP:text", "text"}, /* two bytes a letter on the wire */
        {"otherName:1.2.3;INT:-5", "-5"},
        {"otherName:1.2.3;ENUM:7", "7"},
        {"otherName:1.2.3;BOOL:TRUE", "true"},
        {"otherName:1.2.3;OID:2.5.4.3", "2.5.4.3"},
        {"otherName:1.2.3;OCTETSTRING:bytes", "bytes"},
    };
    struct tls_san_matcher m;
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        m = matcher(TLS_SAN_OTHER_NAME, STRING_MATCH_EXACT, cases[i].text);
        m.oid = STR("1.2.3");
        if (!matches(cases[i].san, STR_NONE, &m)) {
            fail_msg("%s", cases[i].san);
        }
        m.oid = STR("1.2.4");
        assert_false(matches(cases[i].san, STR_NONE, &m));
    }
    m = matcher(TLS_SAN_OTHER_NAME, STRING_MATCH_EXACT, "text");
    m.oid = STR("CN");
    assert_true(matches("otherName:2.5.4.3;UTF8:text", STR_NONE, &m));
    m.oid = STR_NONE;
    assert_false(matches("otherName:2.5.4.3;UTF8:text", STR_NONE, &m));
}

static void oids(void **state)
{
    assert_true(tls_oid_is_valid(STR("1.3.6.1.4.1.311.20.2.3")));
    assert_true(tls_oid_is_valid(STR("CN")));
    assert_false(tls_oid_is_valid(STR("")));
    assert_false(tls_oid_is_valid(STR("1.2.x")));
    assert_false(tls_oid_is_valid(STR("userPrincipalName")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dns_names),
        cmocka_unit_test(each_type_looks_at_its_own_kind),
        cmocka_unit_test(wildcards_only_where_a_dns_name_is_matched_exactly),
        cmocka_unit_test(a_nul_inside_matches_nothing),
        cmocka_unit_test(other_names_by_oid),
        cmocka_unit_test(oids),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
