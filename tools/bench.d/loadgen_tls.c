#include "loadgen_tls.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

struct tls {
    SSL *ssl;
    SSL_SESSION *session; /* the newest; NULL: a full handshake */
};

static SSL_CTX *ctx;
static struct tls_options options;

static void check(int ok, const char *what)
{
    if (ok != 1) {
        fprintf(stderr, "loadgen: %s\n", what);
        ERR_print_errors_fp(stderr);
        exit(1);
    }
}

/* A ticket: it comes with or before the first answer. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls *t = SSL_get_app_data(ssl);

    SSL_SESSION_free(t->session);
    t->session = session;
    return 1;
}

void tls_setup(const struct tls_options *o)
{
    options = *o;
    (void)signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    ctx = SSL_CTX_new(TLS_client_method());
    check(ctx != NULL, "SSL_CTX_new");
    /* The same work for every proxy: otherwise each would choose by its own taste. */
    check(SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION), "TLS 1.3");
    check(SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256"), "cipher suite");
    check(SSL_CTX_set1_groups_list(ctx, "X25519"), "group");
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE);
    if (options.certificate != NULL) {
        check(SSL_CTX_use_certificate_chain_file(ctx, options.certificate), options.certificate);
        check(SSL_CTX_use_PrivateKey_file(ctx, options.key, SSL_FILETYPE_PEM), options.key);
    }
    if (options.resumes) {
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(ctx, on_session);
    } else {
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    }
}

struct tls *tls_new(void)
{
    struct tls *t = calloc(1, sizeof(*t));

    check(t != NULL, "out of memory");
    return t;
}

void tls_open(struct tls *t, int fd)
{
    t->ssl = SSL_new(ctx);
    check(t->ssl != NULL, "SSL_new");
    SSL_set_app_data(t->ssl, t);
    check(SSL_set_fd(t->ssl, fd), "SSL_set_fd");
    check((int)SSL_set_tlsext_host_name(t->ssl, options.server_name), "server name");
    if (t->session != NULL) {
        check(SSL_set_session(t->ssl, t->session), "session");
        SSL_SESSION_free(t->session); /* a ticket is for one use */
        t->session = NULL;
    }
    SSL_set_connect_state(t->ssl);
}

/* errno for what OpenSSL did not do. */
static int set_errno(struct tls *t, int result)
{
    switch (SSL_get_error(t->ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        break;
    case SSL_ERROR_SYSCALL:
        errno = errno != 0 ? errno : ECONNRESET;
        break;
    default:
        errno = EPROTO;
        break;
    }
    ERR_clear_error();
    return -1;
}

int tls_shake(struct tls *t, bool *ret_resumed)
{
    int r;

    errno = 0;
    r = SSL_do_handshake(t->ssl);
    if (r == 1) {
        *ret_resumed = SSL_session_reused(t->ssl);
        return 1;
    }
    return set_errno(t, r) < 0 && errno == EAGAIN ? 0 : -1;
}

ssize_t tls_send(struct tls *t, const void *data, size_t size)
{
    int n;

    errno = 0;
    n = SSL_write(t->ssl, data, (int)size);
    return n > 0 ? n : set_errno(t, n);
}

ssize_t tls_recv(struct tls *t, void *data, size_t size)
{
    int n;

    errno = 0;
    n = SSL_read(t->ssl, data, (int)size);
    if (n > 0) {
        return n;
    }
    /* An end without close_notify is one all the same. */
    if (SSL_get_error(t->ssl, n) == SSL_ERROR_ZERO_RETURN ||
        ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        ERR_clear_error();
        return 0;
    }
    return set_errno(t, n);
}

void tls_close(struct tls *t)
{
    if (t->ssl == NULL) {
        return;
    }
    if (SSL_is_init_finished(t->ssl)) {
        (void)SSL_shutdown(t->ssl);
        ERR_clear_error();
    }
    SSL_free(t->ssl);
    t->ssl = NULL;
}
