/*
 * The story of a handshake. Small while nobody asks: the chain's bytes are BoringSSL's own, shared
 * with the session; each text is made from them once and kept. Parsed certificates are not kept:
 * they are several times the size of what is ever asked of them.
 */

#include "dataplane/tls/info.h"

#include <openssl/bio.h>
#include <openssl/digest.h>
#include <openssl/err.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/pool.h>
#include <openssl/sha.h>
#include <openssl/stack.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/check.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/tls/san.h"
#include "dataplane/tls/trust.h"
#include "dataplane/tls/x509_text.h"

enum answer_kind {
    ANSWER_SESSION_ID,
    ANSWER_SUBJECT,
    ANSWER_COMMON_NAME,
    ANSWER_ISSUER,
    ANSWER_SERIAL,
    ANSWER_SHA256,
    ANSWER_SHA1,
    ANSWER_PEM,
    ANSWER_URL_PEM,
    ANSWER_URL_PEM_CHAIN,
    ANSWER_ISSUER_SHA256,
    ANSWER_SANS, /* and one more for each tls_name_kind */
};

#define WHOLE_CHAIN UINT32_MAX /* question.at: of each certificate */

struct question {
    uint16_t kind; /* enum answer_kind */
    uint8_t side;  /* enum tls_side */
    uint32_t at;   /* place in the chain */
};

/* One text or a list, in one block with its bytes. */
struct answer {
    struct answer *next;
    struct question question;
    uint32_t count;
    struct str items[];
};

struct tls_info {
    uint64_t done_ns;
    uint32_t refs;
    uint16_t cipher_id;
    bool is_peer_validated;
    uint8_t session_id_len;
    uint8_t session_id[SSL_MAX_SSL_SESSION_ID_LENGTH];
    const char *version; /* BoringSSL's constants */
    const char *cipher;
    const char *group;
    struct str sni; /* behind the struct */
    struct str alpn;
    X509 *local_leaf;
    struct tls_issuer *issuer;
    struct answer *answers;
    size_t chain_count;
    CRYPTO_BUFFER *chain[]; /* the peer's, leaf first */
};

/* --- life ----------------------------------------------------------------------------------- */

struct tls_info *tls_info_new(const SSL *ssl, const struct tls_info_params *p)
{
    const STACK_OF(CRYPTO_BUFFER) *chain = SSL_get0_peer_certificates(ssl);
    const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
    const SSL_SESSION *session = SSL_get_session(ssl);
    struct str sni = str_c(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
    size_t count = chain != NULL ? sk_CRYPTO_BUFFER_num(chain) : 0;
    const uint8_t *alpn;
    unsigned alpn_len;
    struct tls_info *i;
    char *text;
    size_t at;

    SSL_get0_alpn_selected(ssl, &alpn, &alpn_len);
    i = (struct tls_info *)xcalloc(1,
                                   sizeof(*i) + count * sizeof(i->chain[0]) + sni.len + alpn_len);
    i->refs = 1;
    i->done_ns = p->handshake_done_ns;
    i->issuer = p->take_issuer;
    i->is_peer_validated = p->is_peer_validated;
    i->version = SSL_get_version(ssl);
    i->group = SSL_get_curve_name(SSL_get_curve_id(ssl)); /* the names that Debian has, too */
    if (cipher != NULL) {
        i->cipher = SSL_CIPHER_get_name(cipher);
        i->cipher_id = (uint16_t)SSL_CIPHER_get_id(cipher);
    } else {
        i->cipher_id = 0xffff;
    }
    if (session != NULL) {
        unsigned len;
        const uint8_t *id = SSL_SESSION_get_id(session, &len);

        CHECK(len <= sizeof(i->session_id));
        memcpy(i->session_id, id, len);
        i->session_id_len = (uint8_t)len;
    }
    for (at = 0; at < count; at++) {
        i->chain[at] = sk_CRYPTO_BUFFER_value(chain, at);
        CRYPTO_BUFFER_up_ref(i->chain[at]);
    }
    i->chain_count = count;
    if (p->local != NULL) {
        X509_up_ref(p->local);
        i->local_leaf = p->local;
    }
    text = (char *)&i->chain[count];
    if (sni.len > 0) {
        i->sni = str_n(memcpy(text, sni.ptr, sni.len), sni.len);
    }
    if (alpn_len > 0) {
        i->alpn = str_n(memcpy(text + sni.len, alpn, alpn_len), alpn_len);
    }
    return i;
}

void tls_info_ref(struct tls_info *i)
{
    CHECK(i->refs > 0 && i->refs < UINT32_MAX);
    i->refs++;
}

void tls_info_unref(struct tls_info *i)
{
    size_t at;

    if (i == NULL || --i->refs > 0) {
        return;
    }
    while (i->answers != NULL) {
        struct answer *a = i->answers;

        i->answers = a->next;
        free(a);
    }
    for (at = 0; at < i->chain_count; at++) {
        CRYPTO_BUFFER_free(i->chain[at]);
    }
    X509_free(i->local_leaf);
    free(i->issuer);
    free(i);
}

/* --- what is at hand ------------------------------------------------------------------------ */

struct str tls_info_version(const struct tls_info *i)
{
    return i != NULL ? str_c(i->version) : STR_NONE;
}

struct str tls_info_cipher(const struct tls_info *i)
{
    return i != NULL ? str_c(i->cipher) : STR_NONE;
}

uint16_t tls_info_cipher_id(const struct tls_info *i)
{
    return i != NULL ? i->cipher_id : 0;
}

struct str tls_info_group(const struct tls_info *i)
{
    return i != NULL ? str_c(i->group) : STR_NONE;
}

uint64_t tls_info_handshake_done_ns(const struct tls_info *i)
{
    return i != NULL ? i->done_ns : 0;
}

struct str tls_info_sni(const struct tls_info *i)
{
    return i != NULL ? i->sni : STR_NONE;
}

struct str tls_info_alpn(const struct tls_info *i)
{
    return i != NULL ? i->alpn : STR_NONE;
}

bool tls_info_has_peer_certificate(const struct tls_info *i)
{
    return i != NULL && i->chain_count > 0;
}

bool tls_info_is_peer_validated(const struct tls_info *i)
{
    return i != NULL && i->is_peer_validated;
}

size_t tls_info_peer_chain_length(const struct tls_info *i)
{
    return i != NULL ? i->chain_count : 0;
}

/* --- answers -------------------------------------------------------------------------------- */

static const struct answer *find_answer(const struct tls_info *i, struct question q)
{
    const struct answer *a = i->answers;

    while (a != NULL &&
           (a->question.kind != q.kind || a->question.side != q.side || a->question.at != q.at)) {
        a = a->next;
    }
    return a;
}

/* `lens` are the lengths of `count` texts that lie one behind the other in `text`. */
static const struct answer *keep_answer(struct tls_info *i, struct question q, struct str text,
                                        const size_t *lens, size_t count)
{
    struct answer *a =
        (struct answer *)xmalloc(sizeof(*a) + count * sizeof(a->items[0]) + text.len);
    char *bytes = (char *)&a->items[count];
    size_t n;

    if (text.len > 0) {
        memcpy(bytes, text.ptr, text.len);
    }
    for (n = 0; n < count; n++) {
        a->items[n] = str_n(bytes, lens[n]);
        bytes += lens[n];
    }
    a->question = q;
    a->count = (uint32_t)count;
    a->next = i->answers;
    i->answers = a;
    return a;
}

/* The certificate that is asked about, with a reference of the caller's; NULL: there is none. */
static X509 *subject_of(const struct tls_info *i, struct question q)
{
    X509 *x509;

    if (q.side == TLS_LOCAL) {
        if (i->local_leaf != NULL) {
            X509_up_ref(i->local_leaf);
        }
        return i->local_leaf;
    }
    x509 = q.at < i->chain_count ? X509_parse_from_buffer(i->chain[q.at]) : NULL;
    ERR_clear_error();
    return x509;
}

static void add_hex(struct strbuf *out, const uint8_t *bytes, size_t count)
{
    static const char digits[] = "0123456789abcdef";
    size_t n;

    for (n = 0; n < count; n++) {
        strbuf_add_char(out, digits[bytes[n] >> 4]);
        strbuf_add_char(out, digits[bytes[n] & 15]);
    }
}

static void add_fingerprint(const X509 *x509, const EVP_MD *md, struct strbuf *out)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len;

    if (X509_digest(x509, md, digest, &len)) {
        add_hex(out, digest, len);
    }
}

static void add_url_encoded(struct strbuf *out, const char *text, size_t len)
{
    for (size_t n = 0; n < len; n++) {
        char c = text[n];

        if (c == '\n' || c == ' ' || c == '+' || c == '/' || c == '=') {
            strbuf_addf(out, "%%%02X", (unsigned)c);
        } else {
            strbuf_add_char(out, c);
        }
    }
}

/* PEM; url-encoded: with what a header's value may not hold as %XX. */
static void add_pem(const CRYPTO_BUFFER *der, bool is_url_encoded, struct strbuf *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    const uint8_t *pem;
    size_t len;

    CHECK(bio != NULL);
    CHECK(PEM_write_bio(bio, "CERTIFICATE", "", CRYPTO_BUFFER_data(der),
                        (long)CRYPTO_BUFFER_len(der)));
    CHECK(BIO_mem_contents(bio, &pem, &len));
    if (is_url_encoded) {
        add_url_encoded(out, (const char *)pem, len);
    } else {
        strbuf_add(out, (const char *)pem, len);
    }
    BIO_free(bio);
}

static void answer_about(const X509 *x509, enum answer_kind kind, struct strbuf *out)
{
    switch (kind) {
    case ANSWER_SUBJECT:
        x509_name_text(X509_get_subject_name(x509), out);
        break;
    case ANSWER_COMMON_NAME:
        (void)x509_common_name(x509, out); /* none: the empty text */
        break;
    case ANSWER_ISSUER:
        x509_name_text(X509_get_issuer_name(x509), out);
        break;
    case ANSWER_SERIAL:
        x509_serial_text(x509, out);
        break;
    case ANSWER_SHA256:
        add_fingerprint(x509, EVP_sha256(), out);
        break;
    case ANSWER_SHA1:
        add_fingerprint(x509, EVP_sha1(), out);
        break;
    default:
        CHECK(!"a question about the whole connection");
    }
}

static void make_text(struct tls_info *i, struct question q, struct strbuf *out)
{
    X509 *x509;
    size_t at;

    switch (q.kind) {
    case ANSWER_SESSION_ID:
        add_hex(out, i->session_id, i->session_id_len);
        return;
    case ANSWER_PEM:
    case ANSWER_URL_PEM:
        if (q.at < i->chain_count) {
            add_pem(i->chain[q.at], q.kind == ANSWER_URL_PEM, out);
        }
        return;
    case ANSWER_ISSUER_SHA256:
        if (i->issuer != NULL) {
            add_hex(out, i->issuer->sha256, sizeof(i->issuer->sha256));
        }
        return;
    case ANSWER_URL_PEM_CHAIN:
        for (at = 0; at < i->chain_count; at++) {
            add_pem(i->chain[at], true, out);
        }
        return;
    default:
        break;
    }
    x509 = subject_of(i, q);
    if (x509 != NULL) {
        answer_about(x509, (enum answer_kind)q.kind, out);
        X509_free(x509);
        ERR_clear_error();
    }
}

/* One text, which `make` writes when it is asked for first. */
static struct str answer_with(struct tls_info *i, struct question q,
                              void (*make)(struct tls_info *i, struct question q,
                                           struct strbuf *out))
{
    const struct answer *a;
    struct strbuf text;

    if (i == NULL) {
        return STR_NONE;
    }
    a = find_answer(i, q);
    if (a == NULL) {
        strbuf_init(&text);
        make(i, q, &text);
        a = keep_answer(i, q, strbuf_str(&text), &text.len, 1);
        strbuf_done(&text);
    }
    return a->items[0];
}

static struct str text_answer(struct tls_info *i, enum answer_kind kind, enum tls_side side,
                              size_t at)
{
    struct question q = {.kind = (uint16_t)kind, .side = (uint8_t)side, .at = (uint32_t)at};

    return answer_with(i, q, make_text);
}

struct str tls_info_session_id(struct tls_info *i)
{
    return text_answer(i, ANSWER_SESSION_ID, TLS_LOCAL, 0);
}

struct str tls_info_subject(struct tls_info *i, enum tls_side side)
{
    return text_answer(i, ANSWER_SUBJECT, side, 0);
}

struct str tls_info_common_name(struct tls_info *i, enum tls_side side)
{
    return text_answer(i, ANSWER_COMMON_NAME, side, 0);
}

struct str tls_info_issuer(struct tls_info *i, enum tls_side side)
{
    return text_answer(i, ANSWER_ISSUER, side, 0);
}

struct str tls_info_serial(struct tls_info *i, enum tls_side side)
{
    return text_answer(i, ANSWER_SERIAL, side, 0);
}

struct str tls_info_sha256_fingerprint(struct tls_info *i, enum tls_side side)
{
    return text_answer(i, ANSWER_SHA256, side, 0);
}

struct str tls_info_sha1_fingerprint(struct tls_info *i, enum tls_side side)
{
    return text_answer(i, ANSWER_SHA1, side, 0);
}

struct str tls_info_peer_pem(struct tls_info *i, size_t at)
{
    return text_answer(i, ANSWER_PEM, TLS_PEER, at);
}

struct str tls_info_url_encoded_pem(struct tls_info *i)
{
    return text_answer(i, ANSWER_URL_PEM, TLS_PEER, 0);
}

struct str tls_info_url_encoded_pem_chain(struct tls_info *i)
{
    return text_answer(i, ANSWER_URL_PEM_CHAIN, TLS_PEER, 0);
}

struct str tls_info_peer_issuer_sha256(struct tls_info *i)
{
    return text_answer(i, ANSWER_ISSUER_SHA256, TLS_PEER, 0);
}

struct str tls_info_peer_issuer_serial(struct tls_info *i)
{
    return i != NULL && i->issuer != NULL ? i->issuer->serial : STR_NONE;
}

/* --- joined ----------------------------------------------------------------------------------- */

static void add_chain(struct tls_info *i, struct question q, struct strbuf *out)
{
    for (size_t at = 0; at < i->chain_count; at++) {
        strbuf_add_c(out, at > 0 ? "," : "");
        strbuf_add_str(out, text_answer(i, (enum answer_kind)q.kind, TLS_PEER, at));
    }
}

static struct str joined_chain(struct tls_info *i, enum answer_kind kind)
{
    struct question q = {.kind = (uint16_t)kind, .side = TLS_PEER, .at = WHOLE_CHAIN};

    return answer_with(i, q, add_chain);
}

struct str tls_info_peer_chain_sha256_joined(struct tls_info *i)
{
    return joined_chain(i, ANSWER_SHA256);
}

struct str tls_info_peer_chain_sha1_joined(struct tls_info *i)
{
    return joined_chain(i, ANSWER_SHA1);
}

struct str tls_info_peer_chain_serials_joined(struct tls_info *i)
{
    return joined_chain(i, ANSWER_SERIAL);
}

struct str tls_info_peer_chain_sha256(struct tls_info *i, size_t at)
{
    return text_answer(i, ANSWER_SHA256, TLS_PEER, at);
}

struct str tls_info_peer_chain_sha1(struct tls_info *i, size_t at)
{
    return text_answer(i, ANSWER_SHA1, TLS_PEER, at);
}

struct str tls_info_peer_chain_serial(struct tls_info *i, size_t at)
{
    return text_answer(i, ANSWER_SERIAL, TLS_PEER, at);
}

/* --- validity ------------------------------------------------------------------------------- */

static bool validity(const struct tls_info *i, enum tls_side side,
                     const ASN1_TIME *(*which)(const X509 *), int64_t *ret_s)
{
    struct question q = {.side = (uint8_t)side};
    X509 *x509 = i != NULL ? subject_of(i, q) : NULL;
    bool ok = x509 != NULL && x509_time(which(x509), ret_s);

    X509_free(x509);
    ERR_clear_error();
    return ok;
}

bool tls_info_valid_from(struct tls_info *i, enum tls_side side, int64_t *ret_s)
{
    return validity(i, side, X509_get0_notBefore, ret_s);
}

bool tls_info_valid_to(struct tls_info *i, enum tls_side side, int64_t *ret_s)
{
    return validity(i, side, X509_get0_notAfter, ret_s);
}

/* --- names ---------------------------------------------------------------------------------- */

static int general_name_type(enum tls_name_kind kind)
{
    static const int types[] = {
        [TLS_NAME_DNS] = GEN_DNS,     [TLS_NAME_URI] = GEN_URI,         [TLS_NAME_IP] = GEN_IPADD,
        [TLS_NAME_EMAIL] = GEN_EMAIL, [TLS_NAME_OTHER] = GEN_OTHERNAME,
    };

    return types[kind];
}

static const struct answer *make_names(struct tls_info *i, struct question q,
                                       enum tls_name_kind kind)
{
    X509 *x509 = subject_of(i, q);
    GENERAL_NAMES *sans = x509 != NULL ? tls_sans_of(x509) : NULL;
    size_t max = sans != NULL ? sk_GENERAL_NAME_num(sans) : 0;
    size_t *lens = (size_t *)xcalloc(max + 1, sizeof(*lens));
    size_t count = 0;
    size_t n;
    const struct answer *a;
    struct strbuf text;

    strbuf_init(&text);
    for (n = 0; n < max; n++) {
        const GENERAL_NAME *san = sk_GENERAL_NAME_value(sans, n);
        size_t start = text.len;

        if (san->type == general_name_type(kind)) {
            (void)x509_san_text(san, &text); /* no text: an empty name, as Envoy */
            lens[count++] = text.len - start;
        }
    }
    a = keep_answer(i, q, strbuf_str(&text), lens, count);
    strbuf_done(&text);
    free(lens);
    GENERAL_NAMES_free(sans);
    X509_free(x509);
    return a;
}

const struct str *tls_info_sans(struct tls_info *i, enum tls_side side, enum tls_name_kind kind,
                                size_t *ret_count)
{
    struct question q = {.kind = (uint16_t)(ANSWER_SANS + kind), .side = (uint8_t)side};
    const struct answer *a;

    if (i == NULL) {
        *ret_count = 0;
        return NULL;
    }
    a = find_answer(i, q);
    if (a == NULL) {
        a = make_names(i, q, kind);
    }
    *ret_count = a->count;
    return a->items;
}

static void add_sans(struct tls_info *i, struct question q, struct strbuf *out)
{
    size_t count;
    const struct str *names =
        tls_info_sans(i, (enum tls_side)q.side, (enum tls_name_kind)(q.kind - ANSWER_SANS), &count);

    for (size_t n = 0; n < count; n++) {
        strbuf_add_c(out, n > 0 ? "," : "");
        strbuf_add_str(out, names[n]);
    }
}

struct str tls_info_sans_joined(struct tls_info *i, enum tls_side side, enum tls_name_kind kind)
{
    struct question q = {
        .kind = (uint16_t)(ANSWER_SANS + kind), .side = (uint8_t)side, .at = WHOLE_CHAIN};

    return answer_with(i, q, add_sans);
}
