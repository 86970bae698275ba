/* The DER of an OCSP response with BoringSSL's CBS: a cursor that never leaves its bytes. */

#include "dataplane/tls/ocsp.h"

#include <openssl/bytestring.h>
#include <openssl/mem.h>
#include <string.h>

#define TAG_EXPLICIT(n) (CBS_ASN1_CONSTRUCTED | CBS_ASN1_CONTEXT_SPECIFIC | (n))
#define TAG_IMPLICIT(n) (CBS_ASN1_CONTEXT_SPECIFIC | (n))
#define SECONDS_PER_DAY 86400
#define TIME_BYTES 15

/* id-pkix-ocsp-basic, 1.3.6.1.5.5.7.48.1.1 */
static const uint8_t ocsp_basic_oid[] = {0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01};

/* Days since 1970-01-01 in the proleptic Gregorian calendar. */
static int64_t days_from_civil(int64_t year, int64_t month, int64_t day)
{
    int64_t shifted = month <= 2 ? year - 1 : year;
    int64_t era = shifted / 400;
    int64_t year_of_era = shifted - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

static bool two_digits(const uint8_t *p, int64_t *ret)
{
    if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9') {
        return false;
    }
    *ret = (p[0] - '0') * 10 + (p[1] - '0');
    return true;
}

static int64_t days_in_month(int64_t year, int64_t month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return month == 2 && is_leap ? 29 : days[month - 1];
}

/* "YYYYMMDDHHMMSSZ", the only form that DER allows here (RFC 5280 4.1.2.5.2). */
static int generalized_time(CBS *in, int64_t *ret_s, struct error *reterr)
{
    CBS text;
    int64_t field[7]; /* century, year, month, day, hour, minute, second */
    int64_t year;
    size_t i;

    if (!CBS_get_asn1(in, &text, CBS_ASN1_GENERALIZEDTIME)) {
        return error_set(reterr, E_INVALID, "Input is not a well-formed ASN.1 GENERALIZEDTIME");
    }
    if (CBS_len(&text) > 0 && (CBS_data(&text)[CBS_len(&text) - 1] | 0x20) != 'z') {
        return error_set(reterr, E_INVALID, "GENERALIZEDTIME must be in UTC");
    }
    if (CBS_len(&text) != TIME_BYTES) {
        return error_set(reterr, E_INVALID, "Error parsing string of GENERALIZEDTIME format");
    }
    for (i = 0; i < 7; i++) {
        if (!two_digits(CBS_data(&text) + 2 * i, &field[i])) {
            return error_set(reterr, E_INVALID, "Error parsing string of GENERALIZEDTIME format");
        }
    }
    year = field[0] * 100 + field[1];
    if (field[2] < 1 || field[2] > 12 || field[3] < 1 || field[3] > days_in_month(year, field[2]) ||
        field[4] > 23 || field[5] > 59 || field[6] > 59) {
        return error_set(reterr, E_INVALID, "Error parsing string of GENERALIZEDTIME format");
    }
    *ret_s = days_from_civil(year, field[2], field[3]) * SECONDS_PER_DAY + field[4] * 3600 +
             field[5] * 60 + field[6];
    return 0;
}

static int optional(CBS *in, CBS *ret, int *ret_is_there, unsigned tag, struct error *reterr)
{
    if (!CBS_get_optional_asn1(in, ret, ret_is_there, tag)) {
        return error_set(reterr, E_INVALID, "Failed to parse ASN.1 element tag");
    }
    return 0;
}

static int skip(CBS *in, unsigned tag, struct error *reterr)
{
    if (!CBS_get_asn1(in, NULL, tag)) {
        return error_set(reterr, E_INVALID, "Failed to parse ASN.1 element");
    }
    return 0;
}

/* ResponderID ::= CHOICE { byName [1] Name, byKey [2] KeyHash } */
static int skip_responder_id(CBS *in, struct error *reterr)
{
    if (!CBS_peek_asn1_tag(in, TAG_EXPLICIT(1)) && !CBS_peek_asn1_tag(in, TAG_EXPLICIT(2))) {
        return error_set(reterr, E_INVALID, "Unknown choice for Responder ID: %u",
                         CBS_len(in) > 0 ? (unsigned)CBS_data(in)[0] : 0);
    }
    return skip(in, CBS_peek_asn1_tag(in, TAG_EXPLICIT(1)) ? TAG_EXPLICIT(1) : TAG_EXPLICIT(2),
                reterr);
}

/* CertStatus ::= CHOICE { good [0] NULL, revoked [1] RevokedInfo, unknown [2] NULL } */
static int skip_cert_status(CBS *in, struct error *reterr)
{
    static const unsigned tags[] = {TAG_IMPLICIT(0), TAG_EXPLICIT(1), TAG_IMPLICIT(2)};
    size_t i;

    for (i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
        if (CBS_peek_asn1_tag(in, tags[i])) {
            return skip(in, tags[i], reterr);
        }
    }
    return error_set(reterr, E_INVALID, "Unknown OcspCertStatus tag: %u",
                     CBS_len(in) > 0 ? (unsigned)CBS_data(in)[0] : 0);
}

/* CertID ::= SEQUENCE { hashAlgorithm, issuerNameHash, issuerKeyHash, serialNumber } */
static int cert_id(CBS *in, struct str *ret_serial, struct error *reterr)
{
    CBS id;
    CBS serial;
    int rc;

    if (!CBS_get_asn1(in, &id, CBS_ASN1_SEQUENCE)) {
        return error_set(reterr, E_INVALID, "OCSP CertID is not a well-formed ASN.1 SEQUENCE");
    }
    rc = skip(&id, CBS_ASN1_SEQUENCE, reterr);
    if (rc == 0) {
        rc = skip(&id, CBS_ASN1_OCTETSTRING, reterr);
    }
    if (rc == 0) {
        rc = skip(&id, CBS_ASN1_OCTETSTRING, reterr);
    }
    if (rc != 0) {
        return rc;
    }
    if (!CBS_get_asn1(&id, &serial, CBS_ASN1_INTEGER) || CBS_len(&serial) == 0) {
        return error_set(reterr, E_INVALID, "Input is not a well-formed ASN.1 INTEGER");
    }
    *ret_serial = str_n((const char *)CBS_data(&serial), CBS_len(&serial));
    return 0;
}

/* SingleResponse ::= SEQUENCE { certID, certStatus, thisUpdate, nextUpdate [0] OPTIONAL,
 *                               singleExtensions [1] OPTIONAL } */
static int single_response(CBS *in, struct tls_ocsp *ret, struct error *reterr)
{
    CBS response;
    CBS next_update;
    int has_next_update;
    int rc;

    if (!CBS_get_asn1(in, &response, CBS_ASN1_SEQUENCE)) {
        return error_set(reterr, E_INVALID,
                         "OCSP SingleResponse is not a well-formed ASN.1 SEQUENCE");
    }
    rc = cert_id(&response, &ret->serial, reterr);
    if (rc == 0) {
        rc = skip_cert_status(&response, reterr);
    }
    if (rc == 0) {
        rc = generalized_time(&response, &ret->this_update_s, reterr);
    }
    if (rc == 0) {
        rc = optional(&response, &next_update, &has_next_update, TAG_EXPLICIT(0), reterr);
    }
    if (rc != 0) {
        return rc;
    }
    ret->has_next_update = has_next_update != 0;
    return has_next_update ? generalized_time(&next_update, &ret->next_update_s, reterr) : 0;
}

/* ResponseData ::= SEQUENCE { version [0] DEFAULT v1, responderID, producedAt, responses,
 *                             responseExtensions [1] OPTIONAL } */
static int response_data(CBS *in, struct tls_ocsp *ret, struct error *reterr)
{
    CBS data;
    CBS version;
    CBS responses;
    uint64_t number = 0;
    size_t count = 0;
    int has_version;
    int rc;

    if (!CBS_get_asn1(in, &data, CBS_ASN1_SEQUENCE)) {
        return error_set(reterr, E_INVALID,
                         "OCSP ResponseData is not a well-formed ASN.1 SEQUENCE");
    }
    rc = optional(&data, &version, &has_version, TAG_EXPLICIT(0), reterr);
    if (rc != 0) {
        return rc;
    }
    if (has_version && (!CBS_get_asn1_uint64(&version, &number) || number != 0)) {
        return error_set(reterr, E_INVALID, "OCSP ResponseData version 0x%02llx is not supported",
                         (unsigned long long)number);
    }
    rc = skip_responder_id(&data, reterr);
    if (rc == 0) {
        rc = skip(&data, CBS_ASN1_GENERALIZEDTIME, reterr);
    }
    if (rc != 0) {
        return rc;
    }
    if (!CBS_get_asn1(&data, &responses, CBS_ASN1_SEQUENCE)) {
        return error_set(reterr, E_INVALID, "Expected sequence of ASN.1 elements.");
    }
    for (; CBS_len(&responses) > 0; count++) {
        rc = single_response(&responses, ret, reterr);
        if (rc != 0) {
            return rc;
        }
    }
    if (count != 1) {
        return error_set(reterr, E_INVALID, "OCSP Response must be for one certificate only");
    }
    return 0;
}

/* ResponseBytes ::= SEQUENCE { responseType OID, response OCTET STRING }, and in the latter
 * BasicOCSPResponse ::= SEQUENCE { tbsResponseData, signatureAlgorithm, signature, certs } */
static int response_bytes(CBS *in, struct tls_ocsp *ret, struct error *reterr)
{
    CBS bytes;
    CBS oid;
    CBS octets;
    CBS basic;

    if (!CBS_get_asn1(in, &bytes, CBS_ASN1_SEQUENCE)) {
        return error_set(reterr, E_INVALID, "OCSP ResponseBytes is not a well-formed SEQUENCE");
    }
    if (!CBS_get_asn1(&bytes, &oid, CBS_ASN1_OBJECT)) {
        return error_set(reterr, E_INVALID, "Input is not a well-formed ASN.1 OBJECT");
    }
    if (!CBS_get_asn1(&bytes, &octets, CBS_ASN1_OCTETSTRING)) {
        return error_set(reterr, E_INVALID, "Expected ASN.1 OCTETSTRING for response");
    }
    if (!CBS_mem_equal(&oid, ocsp_basic_oid, sizeof(ocsp_basic_oid))) {
        char *text = CBS_asn1_oid_to_text(&oid);

        (void)error_set(reterr, E_INVALID, "Unknown OCSP Response type with OID: %s",
                        text != NULL ? text : ""); /* returned below */
        OPENSSL_free(text);
        return E_INVALID;
    }
    if (!CBS_get_asn1(&octets, &basic, CBS_ASN1_SEQUENCE)) {
        return error_set(reterr, E_INVALID,
                         "OCSP BasicOCSPResponse is not a wellf-formed ASN.1 SEQUENCE");
    }
    return response_data(&basic, ret, reterr);
}

/* OCSPResponseStatus: 4 is not used. */
static int response_status(CBS *in, struct error *reterr)
{
    CBS status;

    if (!CBS_get_asn1(in, &status, CBS_ASN1_ENUMERATED) || CBS_len(&status) != 1) {
        return error_set(reterr, E_INVALID,
                         "OCSP ResponseStatus is not a well-formed ASN.1 ENUMERATED");
    }
    if (CBS_data(&status)[0] == 4 || CBS_data(&status)[0] > 6) {
        return error_set(reterr, E_INVALID, "Unknown OCSP Response Status variant: %u",
                         (unsigned)CBS_data(&status)[0]);
    }
    if (CBS_data(&status)[0] != 0) {
        return error_set(reterr, E_INVALID, "OCSP response was unsuccessful");
    }
    return 0;
}

int tls_ocsp_parse(struct str der, struct tls_ocsp *ret, struct error *reterr)
{
    struct tls_ocsp ocsp = {0};
    CBS all;
    CBS response;
    CBS bytes;
    int has_bytes;
    int rc;

    CBS_init(&all, (const uint8_t *)der.ptr, der.len);
    /* One sentence for both: Envoy, too, looks at what is left before it looks at the failure. */
    if (!CBS_get_asn1(&all, &response, CBS_ASN1_SEQUENCE) || CBS_len(&all) != 0) {
        return error_set(reterr, E_INVALID, "Data contained more than a single OCSP response");
    }
    rc = response_status(&response, reterr);
    if (rc == 0) {
        rc = optional(&response, &bytes, &has_bytes, TAG_EXPLICIT(0), reterr);
    }
    if (rc != 0) {
        return rc;
    }
    if (!has_bytes) {
        return error_set(reterr, E_INVALID, "OCSP response has no body");
    }
    rc = response_bytes(&bytes, &ocsp, reterr);
    if (rc != 0) {
        return rc;
    }
    *ret = ocsp;
    return 0;
}
