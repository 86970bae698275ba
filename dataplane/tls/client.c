/*
 * A client's handshakes: whom it asks for, what it offers, which session it resumes. Any thread.
 */

#include <stdlib.h>
#include <string.h>

#include "dataplane/base/hash.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/event/loop.h"
#include "dataplane/tls/tls_internal.h"

/* --- sessions --------------------------------------------------------------------------------- */

void tls_session_cache_init(struct tls_session_cache *sc, uint32_t max)
{
    int r = pthread_mutex_init(&sc->lock, NULL);

    CHECK(r == 0);
    sc->max = max;
    sc->count = 0;
    sc->sessions = NULL; /* made with the first */
}

void tls_session_cache_done(struct tls_session_cache *sc)
{
    for (uint32_t i = 0; i < sc->count; i++) {
        SSL_SESSION_free(sc->sessions[i]);
    }
    free(sc->sessions);
    (void)pthread_mutex_destroy(&sc->lock);
}

/* Sessions made with other secrets than these are dropped: a session carries the identity that was
 * shown when it was made. Locked by the caller. */
static void session_cache_keep_only(struct tls_session_cache *sc, uint64_t secrets)
{
    if (sc->secrets != secrets) {
        while (sc->count > 0) {
            SSL_SESSION_free(sc->sessions[--sc->count]);
        }
        sc->secrets = secrets;
    }
}

/* The newest is the likeliest to be known still. */
static void session_cache_put(struct tls_session_cache *sc, uint64_t secrets,
                              SSL_SESSION *take_session)
{
    (void)pthread_mutex_lock(&sc->lock);
    if (sc->secrets != secrets) { /* those of the moment are others already */
        SSL_SESSION_free(take_session);
    } else {
        if (sc->count == sc->max) {
            SSL_SESSION_free(sc->sessions[--sc->count]);
        } else {
            sc->sessions = xreallocarray(sc->sessions, sc->count + 1, sizeof(SSL_SESSION *));
        }
        memmove(sc->sessions + 1, sc->sessions, sc->count * sizeof(SSL_SESSION *));
        sc->sessions[0] = take_session;
        sc->count++;
    }
    (void)pthread_mutex_unlock(&sc->lock);
}

/* Referenced for the caller; NULL when there is none. Those of TLS 1.3 are used once. */
static SSL_SESSION *session_cache_take(struct tls_session_cache *sc, uint64_t secrets)
{
    SSL_SESSION *session = NULL;

    (void)pthread_mutex_lock(&sc->lock);
    session_cache_keep_only(sc, secrets);
    if (sc->count > 0) {
        session = sc->sessions[0];
        if (SSL_SESSION_should_be_single_use(session)) {
            memmove(sc->sessions, sc->sessions + 1, --sc->count * sizeof(SSL_SESSION *));
        } else {
            SSL_SESSION_up_ref(session);
        }
    }
    (void)pthread_mutex_unlock(&sc->lock);
    return session;
}

static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_context *c = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

    session_cache_put(&c->sessions, tls_socket_of(ssl)->secrets, session);
    return 1; /* ours now */
}

/* --- names ------------------------------------------------------------------------------------ */

static struct tls_expected_names *copy_names(struct str server_name, const struct str *sans,
                                             size_t san_count)
{
    size_t bytes = sizeof(struct tls_expected_names) + san_count * sizeof(struct str);
    struct tls_expected_names *e;
    char *at;

    bytes += server_name.len;
    for (size_t i = 0; i < san_count; i++) {
        bytes += sans[i].len;
    }
    e = xcalloc(1, bytes);
    e->sans = (struct str *)(e + 1);
    e->san_count = san_count;
    at = (char *)(e->sans + san_count);
    for (size_t i = 0; i <= san_count; i++) {
        struct str from = i < san_count ? sans[i] : server_name;
        struct str *to = i < san_count ? &e->sans[i] : &e->server_name;

        memcpy(at, from.len > 0 ? from.ptr : "", from.len);
        *to = str_n(at, from.len);
        at += from.len;
    }
    return e;
}

/* That of the options, the endpoint's, or the configured one. */
static struct str choose_server_name(const struct tls_client_config *client,
                                     const struct transport_options *o)
{
    if (o != NULL && o->server_name.len > 0) {
        return o->server_name;
    }
    if (client->auto_host_sni && o != NULL && o->host_name.len > 0) {
        return o->host_name;
    }
    return client->sni;
}

static int set_server_name(struct tls_socket *s, struct str name)
{
    char *text;
    int ok;

    if (name.len == 0) {
        return 0;
    }
    text = xstrndup(name.ptr, name.len);
    ok = strlen(text) == name.len && SSL_set_tlsext_host_name(s->ssl, text);
    free(text);
    return ok ? 0 : E_TLS;
}

static void set_alpn(struct tls_socket *s, const struct transport_options *o)
{
    const struct tls_context *c = s->context;
    size_t len = 0;
    uint8_t *wire = NULL;

    if (o != NULL && o->alpn_count > 0) {
        wire = tls_alpn_wire(o->alpn, o->alpn_count, &len);
    } else if (c->alpn_len == 0 && o != NULL && o->alpn_fallback_count > 0) {
        wire = tls_alpn_wire(o->alpn_fallback, o->alpn_fallback_count, &len);
    }
    if (len > 0) {
        (void)SSL_set_alpn_protos(s->ssl, wire, len); /* fails only for want of memory */
    }
    free(wire);
}

/* --- the handshake ---------------------------------------------------------------------------- */

void tls_client_configure(struct tls_context *c)
{
    if (c->alpn_len > 0) {
        (void)SSL_CTX_set_alpn_protos(c->ssl_ctx, c->alpn, c->alpn_len);
    }
    if (c->client->max_session_keys > 0) {
        SSL_CTX_set_session_cache_mode(c->ssl_ctx,
                                       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(c->ssl_ctx, on_new_session);
    }
}

static const struct tls_certificate *client_certificate(const struct tls_socket *s)
{
    const struct tls_common *common = s->context->common;
    const struct secret_config *secret;

    if (common->certificate_count > 0) {
        return common->certificates[0];
    }
    if (common->certificate_slot_count == 0) {
        return NULL;
    }
    secret = tls_secret(s->conn->loop, common->certificate_slots[0]);
    return secret != NULL ? secret->certificate : NULL;
}

static int show_certificate(struct tls_socket *s)
{
    const struct tls_certificate *c = client_certificate(s);

    if (c == NULL) {
        return 0;
    }
    if (!SSL_set_chain_and_key(s->ssl, c->chain, c->chain_count, c->key, NULL)) {
        return E_TLS;
    }
    X509_up_ref(c->leaf);
    s->local_leaf = c->leaf;
    return 0;
}

static void expect_names(struct tls_socket *s, struct str server_name,
                         const struct transport_options *o)
{
    bool is_san_from_sni = s->context->client->auto_sni_san_validation && server_name.len > 0;
    size_t san_count = o != NULL ? o->san_count : 0;

    if (is_san_from_sni || san_count > 0) {
        s->expected = copy_names(server_name, o != NULL ? o->sans : NULL, san_count);
    }
}

static uint64_t secrets_of(const struct tls_socket *s)
{
    const struct tls_common *common = s->context->common;
    uint32_t slots[] = {
        common->certificate_slot_count > 0 ? common->certificate_slots[0] : SLOT_NONE,
        common->validation_slot,
    };
    uint64_t h = 0;

    for (size_t i = 0; i < ARRAY_LEN(slots); i++) {
        const struct secret_config *secret = tls_secret(s->conn->loop, slots[i]);

        if (secret != NULL) {
            h = hash_mix(h, &secret->part.hash, sizeof(secret->part.hash));
        }
    }
    return h;
}

static void resume(struct tls_socket *s)
{
    struct tls_context *c = SSL_CTX_get_app_data(s->context->ssl_ctx);
    SSL_SESSION *session;

    if (c->sessions.max == 0) {
        return;
    }
    s->secrets = secrets_of(s);
    session = session_cache_take(&c->sessions, s->secrets);
    if (session != NULL) {
        (void)SSL_set_session(s->ssl, session);
        SSL_SESSION_free(session);
    }
}

int tls_client_prepare(struct tls_socket *s, const struct transport_options *o)
{
    const struct tls_client_config *client = s->context->client;
    struct str server_name = choose_server_name(client, o);

    SSL_set_connect_state(s->ssl);
    if (set_server_name(s, server_name) != 0 || show_certificate(s) != 0) {
        return E_TLS;
    }
    set_alpn(s, o);
    expect_names(s, server_name, o);
    SSL_set_custom_verify(s->ssl, SSL_VERIFY_PEER, tls_verify_callback);
    tls_socket_pin_validation(s);
    resume(s);
    return 0;
}
