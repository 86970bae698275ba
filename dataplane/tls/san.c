/* Names of certificates compared as Envoy compares them. Any thread. */

#include "dataplane/tls/san.h"

#include <openssl/err.h>
#include <openssl/nid.h>
#include <openssl/obj.h>
#include <string.h>

#include "dataplane/tls/trust.h"
#include "dataplane/tls/x509_text.h"

#define OID_TEXT_MAX 256

GENERAL_NAMES *tls_sans_of(const X509 *leaf)
{
    GENERAL_NAMES *sans = (GENERAL_NAMES *)X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);

    ERR_clear_error();
    return sans;
}

/* --- DNS ------------------------------------------------------------------------------------ */

/* "*" is any label, "a*z" one that starts and ends so; more than one star is none. */
static bool label_matches(struct str label, struct str pattern)
{
    size_t star = str_find_char(pattern, '*');
    struct str before = str_sub(pattern, 0, star);
    struct str after = str_sub(pattern, star + 1, pattern.len);

    if (pattern.len == 1) {
        return true;
    }
    return str_find_char(after, '*') == STR_NPOS && pattern.len <= label.len + 1 &&
           str_starts_nocase(label, before) && str_ends_nocase(label, after);
}

bool tls_dns_name_matches(struct str name, struct str pattern)
{
    size_t name_dot = str_find_char(name, '.');
    size_t pattern_dot = str_find_char(pattern, '.');
    struct str label;
    struct str rest;

    if (str_eq_nocase(name, pattern)) {
        return true;
    }
    if (name_dot == STR_NPOS || pattern_dot == STR_NPOS) {
        return false; /* a wildcard is never the whole name */
    }
    label = str_sub(pattern, 0, pattern_dot);
    rest = str_sub(pattern, pattern_dot + 1, pattern.len);
    /* One star, in the leftmost label, which is no A-label (RFC 5890 2.3.2.5). */
    if (str_find_char(label, '*') == STR_NPOS || str_find_char(rest, '*') != STR_NPOS ||
        str_starts_nocase(label, STR("xn--"))) {
        return false;
    }
    return str_eq_nocase(str_sub(name, name_dot + 1, name.len), rest) &&
           label_matches(str_sub(name, 0, name_dot), label);
}

/* --- matchers ------------------------------------------------------------------------------- */

static bool is_text(const GENERAL_NAME *san)
{
    return san->type == GEN_DNS || san->type == GEN_URI || san->type == GEN_EMAIL;
}

/* Into `out`, which is reset; false when it cannot match anything. */
static bool comparable_text(const GENERAL_NAME *san, struct strbuf *out)
{
    strbuf_reset(out);
    if (!x509_san_text(san, out)) {
        return false;
    }
    return !is_text(san) || str_find_char(strbuf_str(out), '\0') == STR_NPOS;
}

/* Dotted numbers, or a name that BoringSSL knows; NULL: neither. The caller frees it. */
static ASN1_OBJECT *parse_oid(struct str oid)
{
    char text[OID_TEXT_MAX];
    ASN1_OBJECT *object;

    if (oid.len == 0 || oid.len >= sizeof(text)) {
        return NULL;
    }
    memcpy(text, oid.ptr, oid.len);
    text[oid.len] = '\0';
    object = OBJ_txt2obj(text, 0);
    ERR_clear_error();
    return object;
}

bool tls_oid_is_valid(struct str oid)
{
    ASN1_OBJECT *object = parse_oid(oid);

    ASN1_OBJECT_free(object);
    return object != NULL;
}

static bool oid_is(const ASN1_OBJECT *object, struct str oid)
{
    ASN1_OBJECT *expected = parse_oid(oid);
    bool is_same = expected != NULL && OBJ_cmp(object, expected) == 0;

    ASN1_OBJECT_free(expected);
    return is_same;
}

static bool type_matches(const GENERAL_NAME *san, const struct tls_san_matcher *m)
{
    switch (m->type) {
    case TLS_SAN_ANY:
        return is_text(san) || san->type == GEN_IPADD;
    case TLS_SAN_EMAIL:
        return san->type == GEN_EMAIL;
    case TLS_SAN_DNS:
        return san->type == GEN_DNS;
    case TLS_SAN_URI:
        return san->type == GEN_URI;
    case TLS_SAN_IP:
        return san->type == GEN_IPADD;
    case TLS_SAN_OTHER_NAME:
        return san->type == GEN_OTHERNAME && oid_is(san->d.otherName->type_id, m->oid);
    }
    return false;
}

bool tls_san_matches(const GENERAL_NAME *san, const struct tls_san_matcher *m)
{
    struct strbuf text;
    bool is_match = false;

    if (!type_matches(san, m)) {
        return false;
    }
    strbuf_init(&text);
    if (comparable_text(san, &text)) {
        is_match = san->type == GEN_DNS && m->matcher.kind == STRING_MATCH_EXACT
                       ? tls_dns_name_matches(m->matcher.value, strbuf_str(&text))
                       : string_matcher_matches(&m->matcher, strbuf_str(&text));
    }
    strbuf_done(&text);
    return is_match;
}

bool tls_san_is(const GENERAL_NAME *san, struct str expected)
{
    struct strbuf text;
    bool is_match = false;

    strbuf_init(&text);
    if (comparable_text(san, &text)) {
        is_match = san->type == GEN_DNS ? tls_dns_name_matches(expected, strbuf_str(&text))
                                        : str_eq(expected, strbuf_str(&text));
    }
    strbuf_done(&text);
    return is_match;
}

bool tls_san_is_dns(const GENERAL_NAME *san, struct str host)
{
    return san->type == GEN_DNS && tls_san_is(san, host);
}

void tls_sans_text(const GENERAL_NAMES *sans, struct strbuf *out)
{
    size_t i;

    for (i = 0; sans != NULL && i < sk_GENERAL_NAME_num(sans); i++) {
        if (i > 0) {
            strbuf_add_c(out, ", ");
        }
        (void)x509_san_text(sk_GENERAL_NAME_value(sans, i), out); /* some kinds have no text */
    }
}
