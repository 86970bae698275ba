/*
 * The transport socket: bytes from the wire through BoringSSL to the consumer and back. BoringSSL
 * reads and writes through a BIO that is nothing but the two bufs of the call under way; it never
 * sees the socket. A connection's thread.
 *
 * Records: what is written after a pause goes out in records that fit into one TCP segment, so that
 * the first bytes can be read when they arrive; a longer transfer gets whole records.
 */

#include "dataplane/tls/socket.h"

#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "config/model/part_handle.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/event/loop.h"
#include "dataplane/tls/info.h"
#include "dataplane/tls/tls_internal.h"

#define SMALL_RECORD_BYTES 1369 /* in 1,460 with the record's head, its tag and TCP options */
#define SMALL_RECORDS_BYTES (16 * SMALL_RECORD_BYTES)
#define PAUSE_MS 1000
#define RECORD_BYTES (16 * 1024)
/* Pieces are put together into one record up to this; longer ones are not worth the copy. */
#define GATHER_BYTES 4096
#define READ_MIN_BYTES 512

struct tls_socket *tls_socket_of(const SSL *ssl)
{
    return SSL_get_app_data(ssl);
}

/* --- the BIO ---------------------------------------------------------------------------------- */

static int bio_read(BIO *bio, char *to, int len)
{
    struct tls_socket *s = BIO_get_data(bio);
    size_t n;

    BIO_clear_retry_flags(bio);
    if (s->in == NULL || buf_len(s->in) == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    n = buf_copy_out(s->in, 0, to, (size_t)len);
    buf_drain(s->in, n);
    return (int)n;
}

static int bio_write(BIO *bio, const char *from, int len)
{
    struct tls_socket *s = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    buf_add(s->out, from, (size_t)len);
    return len;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    (void)bio;
    (void)num;
    (void)ptr;
    return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *bio_method;

static void make_bio_method(void)
{
    bio_method = BIO_meth_new(0, "buf");
    CHECK(bio_method != NULL); /* out of memory */
    BIO_meth_set_read(bio_method, bio_read);
    BIO_meth_set_write(bio_method, bio_write);
    BIO_meth_set_ctrl(bio_method, bio_ctrl);
}

static void attach_bio(struct tls_socket *s)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    BIO *bio;

    (void)pthread_once(&once, make_bio_method);
    bio = BIO_new(bio_method);
    CHECK(bio != NULL); /* out of memory */
    BIO_set_data(bio, s);
    BIO_set_init(bio, 1);
    SSL_set_bio(s->ssl, bio, bio);
}

/* What failed before, here or elsewhere on this thread, must not be taken for the next failure. */
static void forget_errors(void)
{
    if (NUNCIO_UNLIKELY(ERR_peek_error() != 0)) {
        ERR_clear_error();
    }
}

/* --- failures --------------------------------------------------------------------------------- */

static void count(const struct tls_socket *s, enum tls_stat stat)
{
    struct stat_block *b = tls_context_stats(s->context, s->conn->loop);

    if (b != NULL) {
        stat_inc(b, stat);
    }
}

/* Envoy's words for BoringSSL's errors, and its counters. */
static void note_errors(struct tls_socket *s)
{
    bool is_refused = false;
    bool has_no_certificate = false;
    struct strbuf text;
    uint32_t e;

    strbuf_init(&text);
    while ((e = ERR_get_error()) != 0) {
        const char *lib = ERR_lib_error_string(e);
        const char *reason = ERR_reason_error_string(e);

        if (ERR_GET_LIB(e) == ERR_LIB_SSL) {
            has_no_certificate |= ERR_GET_REASON(e) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE;
            is_refused |= ERR_GET_REASON(e) == SSL_R_CERTIFICATE_VERIFY_FAILED;
        }
        strbuf_addf(&text, "%s|%u:%s:%s:%s", text.len == 0 ? "TLS_error:" : "", e,
                    lib != NULL ? lib : "", ERR_func_error_string(e), reason != NULL ? reason : "");
    }
    if (text.len > 0) {
        if (is_refused && s->verify_error != NULL) {
            strbuf_addf(&text, ":%s", s->verify_error);
        } else if (has_no_certificate) {
            strbuf_add_c(&text, ":peer did not provide required client certificate");
        }
        strbuf_add_c(&text, ":TLS_error_end");
        if (has_no_certificate) {
            count(s, TLS_FAIL_VERIFY_NO_CERT);
        } else if (!is_refused) {
            count(s, TLS_CONNECTION_ERROR);
        }
        log_debug(LOG_C_CONNECTION, "[C%llu] %.*s", (unsigned long long)s->conn->id,
                  STR_ARG(strbuf_str(&text)));
        if (s->conn->failure_reason == NULL) {
            s->conn->failure_reason = strbuf_take(&text);
        }
    }
    strbuf_done(&text);
}

static int fail(struct tls_socket *s)
{
    note_errors(s);
    s->is_broken = true;
    return E_TLS;
}

/* --- secrets that are not there --------------------------------------------------------------- */

static void miss_secrets(const struct tls_context *context, struct conn *c)
{
    if (context->factory_stats != NULL) {
        stat_inc(stat_scope_block(context->factory_stats, c->loop->index), TLS_SECRETS_NOT_READY);
    }
    if (c->failure_reason == NULL) {
        c->failure_reason = xstrdup("TLS error: Secret is not supplied by SDS");
    }
}

void tls_socket_miss_secrets(struct tls_socket *s)
{
    miss_secrets(s->context, s->conn);
}

/* --- the secret that peers are judged by ------------------------------------------------------ */

static void unpin_validation(struct tls_socket *s)
{
    part_handle_unref(s->validation);
    s->validation = NULL;
}

void tls_socket_pin_validation(struct tls_socket *s)
{
    uint32_t slot = s->context->common->validation_slot;

    unpin_validation(s);
    s->validation =
        slot != SLOT_NONE ? part_table_get(s->conn->loop->parts, PART_SECRET, slot) : NULL;
    if (s->validation != NULL) {
        part_handle_ref(s->validation);
    }
}

const struct secret_config *tls_socket_validation(const struct tls_socket *s)
{
    return s->validation != NULL ? (const struct secret_config *)s->validation->part : NULL;
}

/* --- verification ----------------------------------------------------------------------------- */

static void count_refusal(const struct tls_socket *s, enum tls_verify_result result)
{
    static const enum tls_stat BY_RESULT[] = {
        [TLS_FAIL_NO_CERT] = TLS_FAIL_VERIFY_NO_CERT,
        [TLS_FAIL_ERROR] = TLS_FAIL_VERIFY_ERROR,
        [TLS_FAIL_SAN] = TLS_FAIL_VERIFY_SAN,
        [TLS_FAIL_CERT_HASH] = TLS_FAIL_VERIFY_CERT_HASH,
    };

    count(s, BY_RESULT[result]);
}

/* Names of a hostile certificate may hold a NUL: Envoy writes it as it is. */
static char *printable(struct str s)
{
    struct strbuf text;

    strbuf_init(&text);
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\0') {
            strbuf_add_c(&text, "\\x00");
        } else {
            strbuf_add_char(&text, s.ptr[i]);
        }
    }
    return strbuf_take(&text);
}

enum ssl_verify_result_t tls_verify_callback(SSL *ssl, uint8_t *ret_alert)
{
    struct tls_socket *s = tls_socket_of(ssl);
    struct tls_verify_params p = {
        .is_server = s->context->server != NULL,
        .now_s = (int64_t)(clock_wall_ns() / 1000000000),
    };
    enum tls_verify_result overlooked;
    enum tls_verify_result result;
    struct strbuf reason;

    if (!tls_context_is_ready(s->context, s->conn->loop)) {
        tls_socket_miss_secrets(s); /* gone since the handshake began: nobody to judge by */
        return ssl_verify_invalid;
    }
    free(s->issuer);
    s->issuer = NULL;
    p.ret_overlooked = &overlooked;
    p.ret_issuer = &s->issuer;
    tls_validation_parts(s->context->common, tls_socket_validation(s), p.parts);
    if (s->expected != NULL) {
        p.is_san_from_sni = s->context->client->auto_sni_san_validation;
        p.server_name = s->expected->server_name;
        p.sans = s->expected->sans;
        p.san_count = s->expected->san_count;
    }
    strbuf_init(&reason);
    result = tls_verify_peer(ssl, &p, &reason, ret_alert, &s->is_peer_validated);
    if (overlooked != TLS_VERIFIED) {
        count_refusal(s, overlooked);
    }
    if (result != TLS_VERIFIED) {
        count_refusal(s, result);
        free(s->verify_error);
        s->verify_error = reason.len > 0 ? printable(strbuf_str(&reason)) : NULL;
    }
    strbuf_done(&reason);
    return result == TLS_VERIFIED ? ssl_verify_ok : ssl_verify_invalid;
}

/* --- the handshake ---------------------------------------------------------------------------- */

static void count_handshake(const struct tls_socket *s)
{
    struct stat_block *b = tls_context_stats(s->context, s->conn->loop);

    if (b == NULL) {
        return;
    }
    stat_inc(b, TLS_HANDSHAKE);
    if (SSL_session_reused(s->ssl)) {
        stat_inc(b, TLS_SESSION_REUSED);
    }
    if (SSL_get0_peer_certificates(s->ssl) == NULL) {
        stat_inc(b, TLS_NO_CERTIFICATE);
    }
    tls_stats_count_negotiated(stat_scope_block(s->context->negotiated, s->conn->loop->index),
                               s->ssl);
}

static int handshake(struct tls_socket *s)
{
    int rc = SSL_do_handshake(s->ssl);

    if (rc == 1) {
        s->is_ready = true;
        s->ready_ns = clock_mono_ns();
        free(s->expected);
        s->expected = NULL;
        unpin_validation(s);
        count_handshake(s);
        return 0;
    }
    return SSL_get_error(s->ssl, rc) == SSL_ERROR_WANT_READ ? 0 : fail(s);
}

static int start(struct tls_socket *s, const struct transport_options *options)
{
    int r = 0;

    s->ssl = SSL_new(s->context->ssl_ctx);
    CHECK(s->ssl != NULL); /* out of memory */
    r = SSL_set_app_data(s->ssl, s);
    CHECK(r == 1);
    attach_bio(s);
    forget_errors();
    if (s->context->server != NULL) {
        tls_server_prepare(s);
        return 0;
    }
    r = tls_client_prepare(s, options);
    if (r < 0) {
        return fail(s);
    }
    s->out = s->conn->wire;
    return handshake(s); /* the ClientHello, to be sent once connected */
}

bool tls_socket_is_available(const void *config, const struct loop *l)
{
    return tls_context_is_ready(config, l);
}

int tls_socket_open(struct conn *c, const void *config, bool is_server,
                    const struct transport_options *options, void **ret_state)
{
    const struct tls_context *context = config;
    struct tls_socket *s;
    int r = 0;

    CHECK(is_server == (context->server != NULL));
    if (!tls_context_is_ready(context, c->loop)) {
        miss_secrets(context, c);
        if (is_server) {
            return E_TLS;
        }
        r = E_TLS;
    }
    s = xcalloc(1, sizeof(*s));
    s->conn = c;
    s->context = context;
    *ret_state = s;
    /* An outgoing connection fails when it is connected, as Envoy's does: that is where its user
     * expects it. */
    if (r < 0 || start(s, options) < 0) {
        s->is_broken = true;
    }
    return 0;
}

bool tls_socket_is_ready(const struct conn *c, const void *state)
{
    const struct tls_socket *s = state;

    (void)c;
    return s->is_ready;
}

/* --- bytes ------------------------------------------------------------------------------------ */

/* One SSL_read. Its result. */
static int read_once(struct tls_socket *s, struct buf *plain)
{
    size_t waiting = buf_len(s->in) > 0 ? buf_len(s->in) : (size_t)SSL_pending(s->ssl);
    size_t want = waiting < READ_MIN_BYTES    ? READ_MIN_BYTES
                  : waiting > BUF_RESERVE_MAX ? BUF_RESERVE_MAX
                                              : waiting;
    uint8_t *to = buf_reserve(plain, want);
    int n = SSL_read(s->ssl, to, (int)want);

    buf_commit(plain, n > 0 ? (size_t)n : 0);
    return n;
}

int tls_socket_decrypt(struct conn *c, void *state, struct buf *wire, struct buf *plain)
{
    struct tls_socket *s = state;
    int n;

    if (s->is_broken) {
        return E_TLS;
    }
    s->in = wire;
    s->out = c->wire;
    forget_errors();
    if (!s->is_ready) {
        int r = handshake(s);

        if (r < 0 || !s->is_ready) {
            s->in = NULL;
            return r;
        }
    }
    do { /* BoringSSL takes from us what a record needs, and no more */
        n = read_once(s, plain);
    } while (n > 0 && (buf_len(wire) > 0 || SSL_pending(s->ssl) > 0));
    s->in = NULL;
    if (n > 0) {
        return 0;
    }
    switch (SSL_get_error(s->ssl, n)) {
    case SSL_ERROR_WANT_READ:
        return 0;
    case SSL_ERROR_ZERO_RETURN:
        return E_CLOSED;
    default: /* renegotiation among them: BoringSSL refuses it with an alert */
        return fail(s);
    }
}

/* How much goes into the next record. */
static size_t record_limit(struct tls_socket *s, uint64_t now_ms)
{
    if (now_ms - s->last_write_ms > PAUSE_MS) {
        s->burst_bytes = 0;
    }
    s->last_write_ms = now_ms;
    return s->burst_bytes < SMALL_RECORDS_BYTES ? SMALL_RECORD_BYTES : RECORD_BYTES;
}

/* The front of `plain`, at most `limit` bytes, contiguous. */
static struct str next_piece(struct buf *plain, size_t limit)
{
    struct str front = buf_front(plain);
    size_t whole = buf_len(plain) < limit ? buf_len(plain) : limit;

    if (front.len < whole && whole <= GATHER_BYTES) {
        return str_n((const char *)buf_linearize(plain, whole), whole);
    }
    return str_sub(front, 0, limit);
}

int tls_socket_encrypt(struct conn *c, void *state, struct buf *plain, struct buf *wire)
{
    struct tls_socket *s = state;

    if (s->is_broken) {
        return E_TLS;
    }
    if (!s->is_ready) {
        return 0; /* it waits */
    }
    s->out = wire;
    forget_errors();
    while (buf_len(plain) > 0) {
        struct str piece = next_piece(plain, record_limit(s, loop_now_ms(c->loop)));
        int n = SSL_write(s->ssl, piece.ptr, (int)piece.len);

        if (n <= 0) {
            return fail(s);
        }
        s->burst_bytes += s->burst_bytes < SMALL_RECORDS_BYTES ? (uint32_t)n : 0;
        buf_drain(plain, (size_t)n);
    }
    return 0;
}

void tls_socket_shutdown(struct conn *c, void *state, struct buf *wire)
{
    struct tls_socket *s = state;

    (void)c;
    if (s->is_ready && !s->is_broken) {
        s->out = wire;
        forget_errors();
        (void)SSL_shutdown(s->ssl); /* the peer's answer is not waited for */
    }
}

/* --- what it knows ---------------------------------------------------------------------------- */

struct str tls_socket_alpn(const struct conn *c, const void *state)
{
    const struct tls_socket *s = state;
    const uint8_t *name = NULL;
    unsigned len = 0;

    (void)c;
    if (s->ssl != NULL) {
        SSL_get0_alpn_selected(s->ssl, &name, &len);
    }
    return str_n((const char *)name, len);
}

struct tls_info *tls_socket_info(const struct conn *c, void *state)
{
    struct tls_socket *s = state;

    (void)c;
    if (s->info != NULL && !s->is_info_final) {
        tls_info_unref(s->info);
        s->info = NULL;
    }
    /* Also of a handshake that failed or broke off: the log tells whose it was. */
    if (s->info == NULL && s->ssl != NULL) {
        s->is_info_final = s->is_ready || s->is_broken;
        s->info = tls_info_new(s->ssl, &(struct tls_info_params){
                                           .local = s->local_leaf,
                                           .take_issuer = s->issuer,
                                           .is_peer_validated = s->is_peer_validated,
                                           .handshake_done_ns = s->ready_ns,
                                       });
        s->issuer = NULL;
    }
    return s->info;
}

void tls_socket_free(void *state)
{
    struct tls_socket *s = state;

    tls_info_unref(s->info);
    SSL_free(s->ssl);
    X509_free(s->local_leaf);
    free(s->issuer);
    free(s->expected);
    free(s->verify_error);
    unpin_validation(s);
    free(s);
}
