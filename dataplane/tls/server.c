/*
 * A server's handshakes: which certificate, what is asked of clients, which tickets are taken.
 * Certificates and keys are those of the moment: secrets are looked up per handshake. Any thread.
 */

#include <openssl/bytestring.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>

#include "dataplane/base/clock.h"
#include "dataplane/base/hash.h"
#include "dataplane/event/loop.h"
#include "dataplane/tls/tls_internal.h"

#define SNI_MAX 255

/* --- what the client can take ----------------------------------------------------------------- */

/* Bits of key types. */
#define KEY_BIT(type) (1u << (type))

/* Signature algorithms of TLS 1.3 and groups of TLS 1.2 that go with ECDSA keys. */
static unsigned ecdsa_bits(CBS list)
{
    unsigned bits = 0;
    uint16_t v;

    while (CBS_get_u16(&list, &v)) {
        if (v == SSL_SIGN_ECDSA_SECP256R1_SHA256 || v == SSL_CURVE_SECP256R1) {
            bits |= KEY_BIT(TLS_KEY_ECDSA_P256);
        } else if (v == SSL_SIGN_ECDSA_SECP384R1_SHA384 || v == SSL_CURVE_SECP384R1) {
            bits |= KEY_BIT(TLS_KEY_ECDSA_P384);
        } else if (v == SSL_SIGN_ECDSA_SECP521R1_SHA512 || v == SSL_CURVE_SECP521R1) {
            bits |= KEY_BIT(TLS_KEY_ECDSA_P521);
        }
    }
    return bits;
}

static bool get_extension(const SSL_CLIENT_HELLO *hello, uint16_t type, CBS *ret)
{
    const uint8_t *data;
    size_t len;

    if (!SSL_early_callback_ctx_extension_get(hello, type, &data, &len)) {
        return false;
    }
    CBS_init(ret, data, len);
    return true;
}

/* Whether one of the client's cipher suites of TLS 1.2 is one of ours with ECDSA. */
static bool has_ecdsa_cipher(const struct tls_context *c, const SSL_CLIENT_HELLO *hello)
{
    STACK_OF(SSL_CIPHER) *ours = SSL_CTX_get_ciphers(c->ssl_ctx);
    CBS suites;
    uint16_t id;

    CBS_init(&suites, hello->cipher_suites, hello->cipher_suites_len);
    while (CBS_get_u16(&suites, &id)) {
        const SSL_CIPHER *cipher = SSL_get_cipher_by_value(id);

        if (cipher == NULL || SSL_CIPHER_get_auth_nid(cipher) != NID_auth_ecdsa) {
            continue;
        }
        for (size_t i = 0; i < sk_SSL_CIPHER_num(ours); i++) {
            if (SSL_CIPHER_get_id(sk_SSL_CIPHER_value(ours, i)) == SSL_CIPHER_get_id(cipher)) {
                return true;
            }
        }
    }
    return false;
}

/* The kinds of ECDSA keys that this client takes; 0: none, it wants RSA. */
static unsigned client_ecdsa_bits(const struct tls_context *c, const SSL_CLIENT_HELLO *hello)
{
    CBS extension;
    CBS list;

    if (hello->version == TLS1_2_VERSION && c->common->max_version == TLS_1_3 &&
        get_extension(hello, TLSEXT_TYPE_supported_versions, &extension)) {
        /* TLS 1.3: the signature algorithms say it all. */
        return get_extension(hello, TLSEXT_TYPE_signature_algorithms, &extension) &&
                       CBS_get_u16_length_prefixed(&extension, &list) && CBS_len(&extension) == 0
                   ? ecdsa_bits(list)
                   : 0;
    }
    if (!get_extension(hello, TLSEXT_TYPE_supported_groups, &extension)) {
        return 0;
    }
    return has_ecdsa_cipher(c, hello) ? ecdsa_bits(extension) : 0;
}

/* --- the choice ------------------------------------------------------------------------------- */

enum staple_action { STAPLE_NOT_ASKED, STAPLE_SEND, STAPLE_OMIT, STAPLE_FAIL };

struct choice {
    const struct tls_context *context;
    const struct loop *loop;
    int64_t now_s;
    unsigned ecdsa; /* kinds of ECDSA keys the client takes */
    bool wants_staple;
    const struct tls_certificate *candidate; /* RSA, should there be no ECDSA */
};

static enum staple_action staple_action(const struct choice *ch, const struct tls_certificate *c)
{
    enum tls_ocsp_policy policy =
        c->must_staple ? OCSP_MUST_STAPLE : ch->context->server->ocsp_policy;
    bool has = c->ocsp_staple.len > 0;
    bool is_valid = has && c->ocsp_expires_s > ch->now_s;

    if (!ch->wants_staple) {
        return STAPLE_NOT_ASKED;
    }
    if (is_valid) {
        return STAPLE_SEND;
    }
    if (policy == OCSP_MUST_STAPLE || (policy == OCSP_STRICT_STAPLING && has)) {
        return STAPLE_FAIL;
    }
    return STAPLE_OMIT;
}

/* As Envoy: ECDSA where the client takes it, RSA else; RSA also for a client that takes ECDSA, when
 * nothing better is found. */
static bool is_the_one(struct choice *ch, const struct tls_certificate *c)
{
    bool is_rsa = c->key_type == TLS_KEY_RSA || c->key_type == TLS_KEY_ED25519;

    if (staple_action(ch, c) == STAPLE_FAIL) {
        return false;
    }
    if (!is_rsa) {
        return (ch->ecdsa & KEY_BIT(c->key_type)) != 0;
    }
    if (ch->ecdsa == 0) {
        return true;
    }
    if (ch->candidate == NULL) {
        ch->candidate = c;
    }
    return false;
}

/* The i-th certificate of the context, NULL: that secret is not there. */
static const struct tls_certificate *certificate_at(const struct choice *ch, size_t i)
{
    const struct tls_common *common = ch->context->common;
    const struct secret_config *secret;

    if (i < common->certificate_count) {
        return common->certificates[i];
    }
    secret = tls_secret(ch->loop, common->certificate_slots[i - common->certificate_count]);
    return secret != NULL ? secret->certificate : NULL;
}

static size_t certificate_count(const struct choice *ch)
{
    return ch->context->common->certificate_count + ch->context->common->certificate_slot_count;
}

static bool has_name(const struct tls_certificate *c, struct str name)
{
    for (size_t i = 0; i < c->name_count; i++) {
        if (str_eq(c->names[i], name)) {
            return true;
        }
    }
    return false;
}

/* Among those that have exactly this name ("a.b" or "*.b"); `name` empty: among all. */
static const struct tls_certificate *choose_among(struct choice *ch, struct str name)
{
    ch->candidate = NULL;
    for (size_t i = 0; i < certificate_count(ch); i++) {
        const struct tls_certificate *c = certificate_at(ch, i);

        if (c != NULL && (name.len == 0 || has_name(c, name)) && is_the_one(ch, c)) {
            return c;
        }
    }
    return ch->candidate;
}

/* `sni` is lower case. NULL: no certificate at all. */
static const struct tls_certificate *choose(struct choice *ch, struct str sni)
{
    const struct tls_certificate *c = NULL;
    char wildcard[SNI_MAX + 1];
    size_t dot = str_find_char(str_sub(sni, 1, sni.len), '.');

    if (sni.len > 0) {
        c = choose_among(ch, sni);
        if (c == NULL && dot != STR_NPOS && 1 + dot + 1 < sni.len) {
            struct str rest = str_sub(sni, 1 + dot, sni.len);

            wildcard[0] = '*';
            memcpy(wildcard + 1, rest.ptr, rest.len);
            c = choose_among(ch, str_n(wildcard, 1 + rest.len));
        }
        if (c == NULL && !ch->context->server->full_scan_certs_on_sni_mismatch) {
            return certificate_at(ch, 0);
        }
    }
    if (c == NULL) {
        c = choose_among(ch, STR_NONE);
    }
    return c != NULL ? c : certificate_at(ch, 0);
}

static void count_staple(struct stat_block *b, const struct choice *ch, enum staple_action action)
{
    static const enum tls_stat BY_ACTION[] = {
        [STAPLE_SEND] = TLS_OCSP_STAPLE_RESPONSES,
        [STAPLE_OMIT] = TLS_OCSP_STAPLE_OMITTED,
        [STAPLE_FAIL] = TLS_OCSP_STAPLE_FAILED,
    };

    if (b == NULL || !ch->wants_staple) {
        return;
    }
    stat_inc(b, TLS_OCSP_STAPLE_REQUESTS);
    stat_inc(b, BY_ACTION[action]);
}

static uint64_t hash_trust(const struct tls_trust *trust, uint64_t h)
{
    return trust != NULL ? hash_mix(h, trust->digest, sizeof(trust->digest)) : h;
}

/* Sessions are resumed only where the same names are shown and the same is asked of clients. Not
 * what else the filter chain says: a ticket outlives the configuration it was made under, as long
 * as its key does. */
static void set_session_context(struct tls_socket *s, const struct choice *ch)
{
    const struct tls_validation *parts[2];
    uint64_t id[4] = {s->context->server->require_client_certificate, s->context->common->hash, 0,
                      0};
    const struct secret_config *validation = tls_socket_validation(s);
    int r;

    for (size_t i = 0; i < certificate_count(ch); i++) {
        const struct tls_certificate *c = certificate_at(ch, i);

        for (size_t n = 0; c != NULL && n < c->name_count; n++) {
            id[2] = hash_xx64(c->names[n], id[2]);
        }
    }
    tls_validation_parts(s->context->common, validation, parts);
    for (size_t i = 0; i < 2; i++) {
        if (parts[i] == NULL) {
            continue;
        }
        id[0] = hash_trust(parts[i]->trust, id[0]);
        for (size_t n = 0; n < parts[i]->trust_domain_count; n++) {
            id[0] = hash_trust(parts[i]->trust_domains[n].bundle, id[0]);
        }
    }
    id[3] = validation != NULL ? validation->part.hash : 0;
    r = SSL_set_session_id_context(s->ssl, (const uint8_t *)id, sizeof(id));
    CHECK(r == 1); /* it is not longer than allowed */
}

/* Together with the session context: what is asked of a client and what its session is good for are
 * of the same secrets, however long it was silent before. */
static void ask_for_certificate(struct tls_socket *s)
{
    const struct tls_validation *parts[2];
    STACK_OF(CRYPTO_BUFFER) * names;
    int mode;

    tls_validation_parts(s->context->common, tls_socket_validation(s), parts);
    mode = tls_validation_verify_mode(parts, s->context->server->require_client_certificate);
    if (mode == SSL_VERIFY_NONE) {
        return;
    }
    SSL_set_custom_verify(s->ssl, mode, tls_verify_callback);
    names = tls_validation_ca_names(parts);
    if (names != NULL) {
        SSL_set0_client_CAs(s->ssl, names);
    }
}

static enum ssl_select_cert_result_t on_client_hello(const SSL_CLIENT_HELLO *hello)
{
    struct tls_socket *s = tls_socket_of(hello->ssl);
    struct choice ch = {
        .context = s->context,
        .loop = s->conn->loop,
        .now_s = (int64_t)(clock_wall_ns() / 1000000000),
        .ecdsa = client_ecdsa_bits(s->context, hello),
    };
    const char *name = SSL_get_servername(hello->ssl, TLSEXT_NAMETYPE_host_name);
    size_t name_len = name != NULL ? strnlen(name, SNI_MAX + 1) : 0;
    const struct tls_certificate *c;
    enum staple_action action;
    char sni[SNI_MAX];
    CBS ignored;

    if (!tls_context_is_ready(s->context, ch.loop)) {
        tls_socket_miss_secrets(s);
        return ssl_select_cert_error;
    }
    ch.wants_staple = get_extension(hello, TLSEXT_TYPE_status_request, &ignored);
    if (name_len > SNI_MAX) {
        name_len = 0;
    }
    if (name_len > 0) {
        memcpy(sni, name, name_len);
        str_lower_in_place(sni, name_len);
    }
    c = choose(&ch, str_n(sni, name_len));
    if (c == NULL) {
        return ssl_select_cert_error;
    }
    action = staple_action(&ch, c);
    count_staple(tls_context_stats(s->context, ch.loop), &ch, action);
    if (action == STAPLE_FAIL ||
        !SSL_set_chain_and_key(s->ssl, c->chain, c->chain_count, c->key, NULL) ||
        (action == STAPLE_SEND &&
         !SSL_set_ocsp_response(s->ssl, (const uint8_t *)c->ocsp_staple.ptr, c->ocsp_staple.len))) {
        return ssl_select_cert_error;
    }
    X509_up_ref(c->leaf);
    X509_free(s->local_leaf);
    s->local_leaf = c->leaf;
    tls_socket_pin_validation(s);
    set_session_context(s, &ch);
    ask_for_certificate(s);
    return ssl_select_cert_success;
}

/* --- protocols -------------------------------------------------------------------------------- */

/* Ours first, in our order; a client that knows none of them goes on without. */
static int on_alpn(SSL *ssl, const uint8_t **out, uint8_t *out_len, const uint8_t *in,
                   unsigned in_len, void *arg)
{
    const struct tls_context *c = arg;
    uint8_t *chosen;

    (void)ssl;
    if (SSL_select_next_proto(&chosen, out_len, c->alpn, (unsigned)c->alpn_len, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* --- tickets ---------------------------------------------------------------------------------- */

#define TICKET_NAME_BYTES 16
#define TICKET_HMAC_BYTES 32

static const struct tls_ticket_keys *ticket_keys(const struct tls_socket *s)
{
    const struct tls_server_config *server = s->context->server;
    const struct secret_config *secret = tls_secret(s->conn->loop, server->ticket_keys_slot);

    return secret != NULL ? &secret->ticket_keys : &server->ticket_keys;
}

/* RFC 5077's construction, as Envoy: the first key encrypts, all decrypt, and a ticket of another
 * than the first is renewed. */
static int on_ticket(SSL *ssl, uint8_t *name, uint8_t *iv, EVP_CIPHER_CTX *cipher, HMAC_CTX *hmac,
                     int is_encrypt)
{
    const struct tls_ticket_keys *keys = ticket_keys(tls_socket_of(ssl));

    for (size_t i = 0; i < keys->count; i++) {
        const uint8_t *key = keys->keys[i];
        const uint8_t *hmac_key = key + TICKET_NAME_BYTES;
        const uint8_t *aes_key = hmac_key + TICKET_HMAC_BYTES;

        if (is_encrypt) {
            memcpy(name, key, TICKET_NAME_BYTES);
            RAND_bytes(iv, EVP_CIPHER_iv_length(EVP_aes_256_cbc()));
        } else if (memcmp(name, key, TICKET_NAME_BYTES) != 0) {
            continue;
        }
        if (!EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, aes_key, iv, is_encrypt) ||
            !HMAC_Init_ex(hmac, hmac_key, TICKET_HMAC_BYTES, EVP_sha256(), NULL)) {
            return -1;
        }
        return is_encrypt || i == 0 ? 1 : 2;
    }
    return is_encrypt ? -1 : 0;
}

/* --- making ----------------------------------------------------------------------------------- */

void tls_server_configure(struct tls_context *c)
{
    const struct tls_server_config *server = c->server;

    SSL_CTX_set_select_certificate_cb(c->ssl_ctx, on_client_hello);
    if (c->alpn_len > 0) {
        SSL_CTX_set_alpn_select_cb(c->ssl_ctx, on_alpn, c);
    }
    if (!server->prefer_client_ciphers) {
        SSL_CTX_set_options(c->ssl_ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
    }
    if (server->disable_stateless_resumption) {
        SSL_CTX_set_options(c->ssl_ctx, SSL_OP_NO_TICKET);
    } else if (server->ticket_keys.count > 0 || server->ticket_keys_slot != SLOT_NONE) {
        SSL_CTX_set_tlsext_ticket_key_cb(c->ssl_ctx, on_ticket);
    }
    if (server->disable_stateful_resumption) {
        SSL_CTX_set_session_cache_mode(c->ssl_ctx, SSL_SESS_CACHE_OFF);
    }
    if (server->session_timeout.is_set) {
        SSL_CTX_set_timeout(c->ssl_ctx, (uint32_t)(server->session_timeout.ms / 1000));
    }
}

void tls_server_prepare(struct tls_socket *s)
{
    SSL_set_accept_state(s->ssl);
}
