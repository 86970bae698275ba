/* Certificates in words. Nothing here decides anything. */

#include "dataplane/tls/x509_text.h"

#include <netinet/in.h>
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/obj.h>
#include <string.h>

#include "dataplane/base/address.h"
#include "dataplane/base/check.h"

#define SECONDS_PER_DAY 86400
#define OID_TEXT_MAX 256

struct str x509_string(const ASN1_STRING *s)
{
    return str_n((const char *)ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
}

void x509_name_text(const X509_NAME *name, struct strbuf *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    const uint8_t *text;
    size_t len;

    CHECK(bio != NULL);
    if (X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0 &&
        BIO_mem_contents(bio, &text, &len)) {
        strbuf_add(out, text, len);
    }
    BIO_free(bio);
}

/* The string in UTF-8, whatever it is encoded in; false when that cannot be done. */
static bool add_utf8(const ASN1_STRING *s, struct strbuf *out)
{
    uint8_t *text = NULL;
    int len = ASN1_STRING_to_UTF8(&text, s);

    if (len < 0) {
        return false;
    }
    strbuf_add(out, text, (size_t)len);
    OPENSSL_free(text);
    return true;
}

bool x509_common_name(const X509 *x509, struct strbuf *out)
{
    const X509_NAME *subject = X509_get_subject_name(x509);
    size_t start = out->len;
    int i;

    for (i = X509_NAME_entry_count(subject) - 1; i >= 0; i--) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, i);

        if (OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry)) == NID_commonName &&
            add_utf8(X509_NAME_ENTRY_get_data(entry), out) && out->len > start) {
            return true;
        }
    }
    return false;
}

static bool add_bignum(BIGNUM *number, char *(*format)(const BIGNUM *), struct strbuf *out)
{
    char *text = number != NULL ? format(number) : NULL;

    if (text != NULL) {
        strbuf_add_c(out, text);
    }
    OPENSSL_free(text);
    BN_free(number);
    return text != NULL;
}

void x509_serial_text(const X509 *x509, struct strbuf *out)
{
    (void)add_bignum(ASN1_INTEGER_to_BN(X509_get0_serialNumber(x509), NULL), BN_bn2hex,
                     out); /* no number, no text */
}

/* --- subject alternative names -------------------------------------------------------------- */

static bool add_ip(struct str bytes, struct strbuf *out)
{
    struct address address = {0};
    char text[ADDRESS_TEXT_MAX];

    if (bytes.len == sizeof(address.in.sin_addr)) {
        address.in.sin_family = AF_INET;
        memcpy(&address.in.sin_addr, bytes.ptr, bytes.len);
        address.len = sizeof(address.in);
    } else if (bytes.len == sizeof(address.in6.sin6_addr)) {
        address.in6.sin6_family = AF_INET6;
        memcpy(&address.in6.sin6_addr, bytes.ptr, bytes.len);
        address.len = sizeof(address.in6);
    } else {
        return false;
    }
    strbuf_add(out, text, address_format_ip(&address, text));
    return true;
}

static bool add_oid(const ASN1_OBJECT *object, struct strbuf *out)
{
    char text[OID_TEXT_MAX];
    int len = OBJ_obj2txt(text, sizeof(text), object, 1);

    if (len < 0 || len > (int)sizeof(text)) {
        return false;
    }
    strbuf_add_c(out, text);
    return true;
}

/* Of an otherName: strings as their bytes, numbers in decimal, the rest as DER. */
static bool add_other_name(const ASN1_TYPE *value, struct strbuf *out)
{
    if (value == NULL) {
        return false;
    }
    switch (value->type) {
    case V_ASN1_BOOLEAN:
        strbuf_add_c(out, value->value.boolean ? "true" : "false");
        return true;
    case V_ASN1_INTEGER:
        return add_bignum(ASN1_INTEGER_to_BN(value->value.integer, NULL), BN_bn2dec, out);
    case V_ASN1_ENUMERATED:
        return add_bignum(ASN1_ENUMERATED_to_BN(value->value.enumerated, NULL), BN_bn2dec, out);
    case V_ASN1_OBJECT:
        return add_oid(value->value.object, out);
    case V_ASN1_BMPSTRING:
    case V_ASN1_UNIVERSALSTRING:
        return add_utf8(value->value.asn1_string, out);
    case V_ASN1_BIT_STRING:
    case V_ASN1_OCTET_STRING:
    case V_ASN1_PRINTABLESTRING:
    case V_ASN1_T61STRING:
    case V_ASN1_IA5STRING:
    case V_ASN1_GENERALSTRING:
    case V_ASN1_VISIBLESTRING:
    case V_ASN1_UTF8STRING:
    case V_ASN1_UTCTIME:
    case V_ASN1_GENERALIZEDTIME:
    case V_ASN1_SET:
    case V_ASN1_SEQUENCE:
        strbuf_add_str(out, x509_string(value->value.asn1_string));
        return true;
    default:
        return false;
    }
}

bool x509_san_text(const GENERAL_NAME *name, struct strbuf *out)
{
    switch (name->type) {
    case GEN_DNS:
    case GEN_URI:
    case GEN_EMAIL:
        strbuf_add_str(out, x509_string(name->d.ia5));
        return true;
    case GEN_IPADD:
        return add_ip(x509_string(name->d.ip), out);
    case GEN_OTHERNAME:
        return add_other_name(name->d.otherName->value, out);
    default:
        return false;
    }
}

/* --- validity ------------------------------------------------------------------------------- */

bool x509_time(const ASN1_TIME *t, int64_t *ret_s)
{
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days;
    int seconds;
    bool ok = epoch != NULL && ASN1_TIME_diff(&days, &seconds, epoch, t);

    ASN1_TIME_free(epoch);
    if (ok) {
        *ret_s = (int64_t)days * SECONDS_PER_DAY + seconds;
    }
    return ok;
}

uint32_t x509_days_left(const X509 *x509, int64_t now_s)
{
    int64_t end_s;

    if (!x509_time(X509_get0_notAfter(x509), &end_s) || end_s < now_s) {
        return 0;
    }
    return (uint32_t)((end_s - now_s) / SECONDS_PER_DAY);
}
