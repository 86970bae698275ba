/* A name that is expected (length, bytes) and the DER of subjectAltName from a stranger. */

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "dataplane/base/check.h"
#include "dataplane/tls/san.h"
#include "dataplane/tls/trust.h"
#include "dataplane/tls/x509_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has_nul(const GENERAL_NAME *san)
{
    struct str text;

    if (san->type != GEN_DNS && san->type != GEN_URI && san->type != GEN_EMAIL) {
        return false;
    }
    text = x509_string(san->d.ia5);
    return str_find_char(text, '\0') != STR_NPOS;
}

/* Exact ones of every type and a suffix: whatever matches exactly ends in itself. */
static void check_san(const GENERAL_NAME *san, struct str expected)
{
    static const enum tls_san_type types[] = {TLS_SAN_ANY, TLS_SAN_EMAIL, TLS_SAN_DNS,
                                              TLS_SAN_URI, TLS_SAN_IP,    TLS_SAN_OTHER_NAME};
    size_t i;

    for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct tls_san_matcher m = {
            .type = types[i],
            .oid = STR("1.2.3"),
            .matcher = {.kind = STRING_MATCH_EXACT, .value = expected},
        };
        bool is_match = tls_san_matches(san, &m);

        CHECK(!is_match || tls_san_is(san, expected));
        m.matcher.kind = STRING_MATCH_PREFIX;
        m.matcher.value = STR_NONE;
        CHECK(!is_match || tls_san_matches(san, &m));
        CHECK(!has_nul(san) || !(is_match || tls_san_matches(san, &m)));
    }
    if (tls_san_is_dns(san, expected)) {
        CHECK(san->type == GEN_DNS && tls_dns_name_matches(expected, x509_string(san->d.ia5)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t len = size > 0 ? data[0] : 0;
    struct strbuf text;
    GENERAL_NAMES *sans;
    struct str expected;
    const uint8_t *der;
    size_t i;

    if (size < 1 + len) {
        return 0;
    }
    expected = str_n((const char *)data + 1, len);
    der = data + 1 + len;
    CHECK(tls_dns_name_matches(expected, expected));
    (void)tls_dns_name_matches(expected, str_n((const char *)der, size - 1 - len)); /* any answer */
    sans = d2i_GENERAL_NAMES(NULL, &der, (long)(size - 1 - len));
    strbuf_init(&text);
    tls_sans_text(sans, &text);
    strbuf_done(&text);
    for (i = 0; sans != NULL && i < sk_GENERAL_NAME_num(sans); i++) {
        check_san(sk_GENERAL_NAME_value(sans, i), expected);
    }
    GENERAL_NAMES_free(sans);
    ERR_clear_error();
    return 0;
}
