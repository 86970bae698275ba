/*
 * TLS contexts: one SSL_CTX for everything that connections of a configuration share. Made and
 * freed on main; what else is here reads, on any thread.
 */

#include "dataplane/tls/context.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/model/part_handle.h"
#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/event/loop.h"
#include "dataplane/tls/inventory.h"
#include "dataplane/tls/tls_internal.h"

/* As Envoy's, both sides. */
#define DEFAULT_CIPHER_SUITES                                                                      \
    "[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]:"                               \
    "[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-CHACHA20-POLY1305]:"                                   \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
#define DEFAULT_CURVES "X25519:P-256"

static struct list contexts = {&contexts, &contexts}; /* main thread */

/* --- what handshakes look up ------------------------------------------------------------------ */

const struct secret_config *tls_secret(const struct loop *l, uint32_t slot)
{
    struct part_handle *h = slot != SLOT_NONE ? part_table_get(l->parts, PART_SECRET, slot) : NULL;

    return h != NULL ? (const struct secret_config *)h->part : NULL;
}

void tls_validation_parts(const struct tls_common *c, const struct secret_config *secret,
                          const struct tls_validation *ret_parts[2])
{
    ret_parts[0] = c->validation;
    ret_parts[1] = secret != NULL ? &secret->validation : NULL;
}

bool tls_context_is_ready(const struct tls_context *c, const struct loop *l)
{
    for (size_t i = 0; i < c->common->certificate_slot_count; i++) {
        if (tls_secret(l, c->common->certificate_slots[i]) == NULL) {
            return false;
        }
    }
    if (c->server != NULL && c->server->ticket_keys_slot != SLOT_NONE &&
        tls_secret(l, c->server->ticket_keys_slot) == NULL) {
        return false;
    }
    return c->common->validation_slot == SLOT_NONE ||
           tls_secret(l, c->common->validation_slot) != NULL;
}

struct stat_block *tls_context_stats(const struct tls_context *c, const struct loop *l)
{
    return c->stats != NULL ? stat_scope_block(c->stats, l->index) : NULL;
}

const struct tls_server_config *tls_context_server(const struct tls_context *c)
{
    return c->server;
}

const struct tls_client_config *tls_context_client(const struct tls_context *c)
{
    return c->client;
}

void tls_context_visit(void (*visit)(void *user, struct tls_context *c), void *user)
{
    struct tls_context *c;

    list_for_each (c, &contexts, struct tls_context, node) {
        visit(user, c);
    }
}

static bool names_slot(const struct tls_context *c, uint32_t slot)
{
    for (size_t i = 0; i < c->common->certificate_slot_count; i++) {
        if (c->common->certificate_slots[i] == slot) {
            return true;
        }
    }
    return c->common->validation_slot == slot ||
           (c->server != NULL && c->server->ticket_keys_slot == slot);
}

void tls_contexts_count_update(uint32_t slot)
{
    struct tls_context *c;

    list_for_each (c, &contexts, struct tls_context, node) {
        if (c->factory_stats != NULL && names_slot(c, slot)) {
            stat_inc(stat_scope_block(c->factory_stats, LOOP_MAIN_INDEX),
                     TLS_CONTEXT_UPDATE_BY_SDS);
        }
    }
}

int tls_context_check_secret(const struct tls_context *c, const struct secret_config *secret,
                             struct error *reterr)
{
    if (secret->kind == SECRET_TLS_CERTIFICATE && c->server != NULL) {
        return tls_certificate_check_served(secret->certificate,
                                            c->server->ocsp_policy == OCSP_MUST_STAPLE, reterr);
    }
    if (secret->kind == SECRET_VALIDATION_CONTEXT) {
        return tls_validation_check(c->common->validation, &secret->validation,
                                    c->client != NULL && c->client->auto_sni_san_validation,
                                    reterr);
    }
    return 0;
}

static int secret_fits(const struct secret_config *secret, struct error *reterr)
{
    struct tls_context *c;

    list_for_each (c, &contexts, struct tls_context, node) {
        int r = names_slot(c, secret->part.slot) ? tls_context_check_secret(c, secret, reterr) : 0;

        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* --- parameters ------------------------------------------------------------------------------- */

uint8_t *tls_alpn_wire(const struct str *names, size_t count, size_t *ret_len)
{
    size_t len = 0;
    uint8_t *wire;

    for (size_t i = 0; i < count; i++) {
        len += names[i].len > 0 && names[i].len <= UINT8_MAX ? 1 + names[i].len : 0;
    }
    *ret_len = len;
    if (len == 0) {
        return NULL;
    }
    wire = xmalloc(len);
    len = 0;
    for (size_t i = 0; i < count; i++) {
        if (names[i].len > 0 && names[i].len <= UINT8_MAX) {
            wire[len++] = (uint8_t)names[i].len;
            memcpy(wire + len, names[i].ptr, names[i].len);
            len += names[i].len;
        }
    }
    return wire;
}

static uint16_t version_number(enum tls_version v)
{
    switch (v) {
    case TLS_1_0:
        return TLS1_VERSION;
    case TLS_1_1:
        return TLS1_1_VERSION;
    case TLS_1_2:
        return TLS1_2_VERSION;
    default:
        return TLS1_3_VERSION;
    }
}

/* Names those of a list that BoringSSL does not know, as Envoy does: each is tried alone. */
static void name_bad_ciphers(SSL_CTX *ctx, struct str list, struct strbuf *out)
{
    size_t at = 0;

    while (at < list.len) {
        size_t end = at;
        struct str one;
        char name[128];

        while (end < list.len && strchr(":+![|]", list.ptr[end]) == NULL) {
            end++;
        }
        one = str_sub(list, at, end);
        at = end + 1;
        if (one.len > 0 && one.ptr[0] == '-') {
            one = str_sub(one, 1, one.len);
        }
        if (one.len == 0 || one.len >= sizeof(name)) {
            continue;
        }
        memcpy(name, one.ptr, one.len);
        name[one.len] = '\0';
        if (!SSL_CTX_set_strict_cipher_list(ctx, name)) {
            strbuf_add_c(out, out->len > 0 ? ", " : "");
            strbuf_add_str(out, one);
        }
    }
}

static int set_ciphers(struct tls_context *c, struct error *reterr)
{
    struct str suites =
        c->common->cipher_suites.len > 0 ? c->common->cipher_suites : STR(DEFAULT_CIPHER_SUITES);
    char *text = xstrndup(suites.ptr, suites.len);
    struct strbuf bad;
    int r = 0;

    strbuf_init(&bad);
    if (!SSL_CTX_set_strict_cipher_list(c->ssl_ctx, text)) {
        name_bad_ciphers(c->ssl_ctx, suites, &bad);
        r = error_set(reterr, E_INVALID,
                      "Failed to initialize cipher suites %s. The following ciphers were rejected "
                      "when tried individually: %.*s",
                      text, STR_ARG(strbuf_str(&bad)));
    }
    strbuf_done(&bad);
    free(text);
    return r;
}

static int set_lists(struct tls_context *c, struct error *reterr)
{
    struct str curves = c->common->curves.len > 0 ? c->common->curves : STR(DEFAULT_CURVES);
    struct str algorithms = c->common->signature_algorithms;
    char *text = xstrndup(curves.ptr, curves.len);
    int r = 0;

    if (!SSL_CTX_set1_curves_list(c->ssl_ctx, text)) {
        r = error_set(reterr, E_INVALID, "Failed to initialize ECDH curves %s", text);
    }
    free(text);
    if (r == 0 && algorithms.len > 0) {
        text = xstrndup(algorithms.ptr, algorithms.len);
        if (!SSL_CTX_set1_sigalgs_list(c->ssl_ctx, text)) {
            r = error_set(reterr, E_INVALID, "Failed to initialize TLS signature algorithms %s",
                          text);
        }
        free(text);
    }
    return r;
}

static int set_parameters(struct tls_context *c, struct error *reterr)
{
    static const enum ssl_compliance_policy_t POLICIES[] = {
        [TLS_COMPLIANCE_FIPS_202205] = ssl_compliance_policy_fips_202205,
        [TLS_COMPLIANCE_CNSA2_202603] = ssl_compliance_policy_cnsa2_202603,
        [TLS_COMPLIANCE_CNSA1_202603] = ssl_compliance_policy_cnsa1_202603,
    };
    int ok = SSL_CTX_set_min_proto_version(c->ssl_ctx, version_number(c->common->min_version)) &&
             SSL_CTX_set_max_proto_version(c->ssl_ctx, version_number(c->common->max_version));
    int r = set_ciphers(c, reterr);

    CHECK(ok == 1); /* each is one that BoringSSL has */
    if (r == 0) {
        r = set_lists(c, reterr);
    }
    if (r == 0 && c->common->compliance != TLS_COMPLIANCE_NONE) {
        ok = SSL_CTX_set_compliance_policy(c->ssl_ctx, POLICIES[c->common->compliance]);
        CHECK(ok == 1); /* it is one that BoringSSL has */
    }
    ERR_clear_error();
    return r;
}

/* --- key log ---------------------------------------------------------------------------------- */

static bool is_in_ranges(const struct cidr *ranges, size_t count, const struct address *a)
{
    for (size_t i = 0; i < count; i++) {
        if (cidr_contains(&ranges[i], a)) {
            return true;
        }
    }
    return count == 0;
}

/* For debugging only: a write per line, from whichever thread. */
static void on_key_log(const SSL *ssl, const char *line)
{
    const struct tls_socket *s = tls_socket_of(ssl);
    const struct tls_key_log *log = &s->context->common->key_log;
    struct strbuf text;

    if (!is_in_ranges(log->local_ranges, log->local_range_count, &s->conn->local) ||
        !is_in_ranges(log->remote_ranges, log->remote_range_count, &s->conn->remote)) {
        return;
    }
    strbuf_init(&text);
    strbuf_addf(&text, "%s\n", line);
    if (write(s->context->key_log_fd, text.ptr, text.len) < 0) {
        log_debug(LOG_C_CONNECTION, "TLS key log: %s", strerror(errno));
    }
    strbuf_done(&text);
}

static int open_key_log(struct tls_context *c, struct error *reterr)
{
    const struct tls_key_log *log = &c->common->key_log;
    char *path;

    if (log->path.len == 0) {
        return 0;
    }
    path = xstrndup(log->path.ptr, log->path.len);
    c->key_log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    free(path);
    if (c->key_log_fd < 0) {
        return error_set(reterr, E_INVALID, "unable to open file '%.*s': %s", STR_ARG(log->path),
                         strerror(errno));
    }
    SSL_CTX_set_keylog_callback(c->ssl_ctx, on_key_log);
    return 0;
}

/* --- stats ------------------------------------------------------------------------------------ */

static struct stat_scope *make_scope(const struct tls_context_params *p, const char *below,
                                     const struct stat_schema *schema)
{
    struct stat_scope_spec spec = p->stat_scope;
    struct strbuf prefix;
    struct strbuf tagged;
    struct stat_scope *scope;

    strbuf_init(&prefix);
    strbuf_init(&tagged);
    strbuf_add_str(&prefix, p->stat_scope.prefix);
    strbuf_add_c(&prefix, below);
    strbuf_add_str(&tagged, p->stat_scope.tagged_prefix);
    strbuf_add_c(&tagged, below);
    spec.prefix = strbuf_str(&prefix);
    spec.tagged_prefix = strbuf_str(&tagged);
    spec.schema = schema;
    scope = stat_scope_ref(p->stats, &spec);
    strbuf_done(&prefix);
    strbuf_done(&tagged);
    return scope;
}

static void make_stats(struct tls_context *c, const struct tls_context_params *p)
{
    bool is_server = c->server != NULL;

    if (p->stats == NULL) {
        return;
    }
    c->stats =
        make_scope(p, "ssl.", is_server ? &tls_listener_stat_schema : &tls_cluster_stat_schema);
    c->negotiated = make_scope(p, "ssl.",
                               is_server ? &tls_listener_negotiated_stat_schema
                                         : &tls_cluster_negotiated_stat_schema);
    c->factory_stats =
        make_scope(p, is_server ? "server_ssl_socket_factory." : "client_ssl_socket_factory.",
                   is_server ? &tls_server_factory_stat_schema : &tls_client_factory_stat_schema);
}

/* --- making ----------------------------------------------------------------------------------- */

static void context_free(void *object)
{
    struct tls_context *c = object;

    list_remove(&c->node);
    SSL_CTX_free(c->ssl_ctx);
    tls_session_cache_done(&c->sessions);
    if (c->stats != NULL) {
        stat_scope_unref(c->stats);
        stat_scope_unref(c->negotiated);
        stat_scope_unref(c->factory_stats);
    }
    tls_gauges_done(&c->gauges);
    if (c->key_log_fd >= 0) {
        (void)close(c->key_log_fd);
    }
    free(c->alpn);
    free(c);
}

/* Once, when it is made. What a secret will ask of peers is not known then. */
static void warn_of_credulity(const struct tls_context *c)
{
    struct str owner = tls_gauges_owner(&c->gauges);
    const char *why =
        c->common->validation_slot == SLOT_NONE ? tls_context_credulity(c, NULL) : NULL;

    if (why != NULL && owner.len > 0) {
        log_warn(LOG_C_CONFIG, "TLS context of %.*s: %s", STR_ARG(owner), why);
    }
}

/* Those that are not secrets: of these, handshakes look. */
static int check_served_certificates(const struct tls_context *c, struct error *reterr)
{
    size_t count = c->server != NULL ? c->common->certificate_count : 0;
    int r = 0;

    for (size_t i = 0; r == 0 && i < count; i++) {
        r = tls_certificate_check_served(c->common->certificates[i],
                                         c->server->ocsp_policy == OCSP_MUST_STAPLE, reterr);
    }
    return r;
}

int tls_context_build(struct part *part, const struct tls_context_params *p,
                      const struct tls_context **ret, struct error *reterr)
{
    struct tls_context *c = xcalloc(1, sizeof(*c));
    int r;

    c->server = p->server;
    c->client = p->client;
    c->common = p->server != NULL ? &p->server->common : &p->client->common;
    c->key_log_fd = -1;
    /* Certificates stay bytes: parsed ones would double what an idle connection with mTLS costs. */
    c->ssl_ctx = SSL_CTX_new(TLS_with_buffers_method());
    CHECK(c->ssl_ctx != NULL); /* out of memory */
    list_add_tail(&contexts, &c->node);
    tls_session_cache_init(&c->sessions, p->client != NULL ? p->client->max_session_keys : 0);
    part_on_free(part, context_free, c);
    c->alpn = tls_alpn_wire(c->common->alpn, c->common->alpn_count, &c->alpn_len);
    r = SSL_CTX_set_app_data(c->ssl_ctx, c);
    CHECK(r == 1);
    r = set_parameters(c, reterr);
    if (r == 0) {
        r = check_served_certificates(c, reterr);
    }
    if (r == 0) {
        r = open_key_log(c, reterr);
    }
    if (r < 0) {
        return r;
    }
    SSL_CTX_set_reverify_on_resume(c->ssl_ctx, 1);
    if (c->server != NULL) {
        tls_server_configure(c);
    } else {
        tls_client_configure(c);
    }
    make_stats(c, p);
    tls_gauges_init(&c->gauges, p);
    warn_of_credulity(c);
    *ret = c;
    return 0;
}

const struct tls_builder tls_builder = {
    .certificate = tls_certificate_build,
    .trust = tls_trust_build,
    .is_oid = tls_oid_is_valid,
    .fits = secret_fits,
};
