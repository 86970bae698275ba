/* x-forwarded-client-cert of one request. A connection's thread. */

#include "dataplane/http/client_cert.h"

#include "dataplane/base/str.h"
#include "dataplane/tls/info.h"

static void add_part(struct strbuf *out, const char *key, struct str value, bool is_quoted)
{
    const char *quote = is_quoted ? "\"" : "";

    strbuf_addf(out, "%s%s=%s", out->len > 0 ? ";" : "", key, quote);
    strbuf_add_str(out, value);
    strbuf_add_c(out, quote);
}

static void add_present(struct strbuf *out, const char *key, struct str value, bool is_quoted)
{
    if (value.len > 0) {
        add_part(out, key, value, is_quoted);
    }
}

static void add_names(struct strbuf *out, const char *key, struct tls_info *tls, enum tls_side side,
                      enum tls_name_kind kind)
{
    size_t count;
    const struct str *names = tls_info_sans(tls, side, kind, &count);

    for (size_t i = 0; i < count; i++) {
        add_part(out, key, names[i], false);
    }
}

/* Subject and URI are named also when they are empty. */
static void describe(const struct client_cert_details *details, struct tls_info *tls,
                     struct strbuf *out)
{
    size_t uri_count;

    add_names(out, "By", tls, TLS_LOCAL, TLS_NAME_URI);
    add_present(out, "Hash", tls_info_sha256_fingerprint(tls, TLS_PEER), false);
    if (details->cert) {
        add_present(out, "Cert", tls_info_url_encoded_pem(tls), true);
    }
    if (details->chain) {
        add_present(out, "Chain", tls_info_url_encoded_pem_chain(tls), true);
    }
    if (details->subject) {
        add_part(out, "Subject", tls_info_subject(tls, TLS_PEER), true);
    }
    if (details->uri) {
        (void)tls_info_sans(tls, TLS_PEER, TLS_NAME_URI, &uri_count);
        if (uri_count == 0) {
            add_part(out, "URI", STR_NONE, false);
        }
        add_names(out, "URI", tls, TLS_PEER, TLS_NAME_URI);
    }
    if (details->dns) {
        add_names(out, "DNS", tls, TLS_PEER, TLS_NAME_DNS);
    }
}

void client_cert_mutate_request(const struct http_conn_manager_config *config, struct tls_info *tls,
                                struct header_map *headers)
{
    struct strbuf text;
    struct str value;

    if (config->forward_client_cert == CLIENT_CERT_ALWAYS_FORWARD_ONLY) {
        return;
    }
    if (config->forward_client_cert == CLIENT_CERT_SANITIZE ||
        !tls_info_has_peer_certificate(tls)) {
        header_remove(headers, HDR_X_FORWARDED_CLIENT_CERT);
        return;
    }
    if (config->forward_client_cert == CLIENT_CERT_FORWARD_ONLY) {
        return;
    }
    strbuf_init(&text);
    describe(&config->client_cert_details, tls, &text);
    value = arena_str(headers->arena, strbuf_str(&text));
    strbuf_done(&text);
    if (config->forward_client_cert == CLIENT_CERT_APPEND_FORWARD) {
        header_append_value(headers, HDR_X_FORWARDED_CLIENT_CERT, value);
    } else {
        header_set(headers, HDR_X_FORWARDED_CLIENT_CERT, value);
    }
}
