/* x-forwarded-client-cert of one request. A connection's thread. */

#include "dataplane/http/client_cert.h"

#include "dataplane/base/json.h"
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
static void add_text(const struct client_cert_details *details, struct tls_info *tls,
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
    if (details->issuer) {
        add_present(out, "Issuer", tls_info_issuer(tls, TLS_PEER), true);
    }
}

/* --- JSON ----------------------------------------------------------------------------------- */

static void json_present(struct json_writer *w, const char *key, struct str value)
{
    if (value.len > 0) {
        json_key(w, str_c(key));
        json_str(w, value);
    }
}

static void json_names(struct json_writer *w, const char *key, struct tls_info *tls,
                       enum tls_side side, enum tls_name_kind kind)
{
    size_t count;
    const struct str *names = tls_info_sans(tls, side, kind, &count);

    if (count == 0) {
        return;
    }
    json_key(w, str_c(key));
    json_array_begin(w);
    for (size_t i = 0; i < count; i++) {
        json_str(w, names[i]);
    }
    json_array_end(w);
}

static void json_chain(struct json_writer *w, struct tls_info *tls)
{
    json_key(w, STR("chain"));
    json_array_begin(w);
    for (size_t i = 0; i < tls_info_peer_chain_length(tls); i++) {
        json_str(w, tls_info_peer_pem(tls, i));
    }
    json_array_end(w);
}

/* One object; what is empty is left out. */
static void add_json(const struct client_cert_details *details, struct tls_info *tls,
                     struct strbuf *out)
{
    struct json_writer w;

    json_init(&w, out, false);
    json_object_begin(&w);
    json_names(&w, "by", tls, TLS_LOCAL, TLS_NAME_URI);
    json_present(&w, "hash", tls_info_sha256_fingerprint(tls, TLS_PEER));
    if (details->cert) {
        json_present(&w, "cert", tls_info_peer_pem(tls, 0));
    }
    if (details->chain) {
        json_chain(&w, tls);
    }
    if (details->subject) {
        json_present(&w, "subject", tls_info_subject(tls, TLS_PEER));
    }
    if (details->uri) {
        json_names(&w, "uri", tls, TLS_PEER, TLS_NAME_URI);
    }
    if (details->dns) {
        json_names(&w, "dns", tls, TLS_PEER, TLS_NAME_DNS);
    }
    if (details->issuer) {
        json_present(&w, "issuer", tls_info_issuer(tls, TLS_PEER));
    }
    json_object_end(&w);
}

/* --- the header ----------------------------------------------------------------------------- */

/* What came is added to in the format that it has, as Envoy; `*out` is empty. */
static void add_to_former(const struct client_cert_details *details, struct tls_info *tls,
                          struct str former, struct strbuf *out)
{
    struct strbuf text;

    if (str_starts(former, STR("[")) && str_ends(former, STR("]"))) {
        strbuf_add_str(out, str_sub(former, 0, former.len - 1));
        strbuf_add_char(out, ',');
        add_json(details, tls, out);
        strbuf_add_char(out, ']');
        return;
    }
    strbuf_init(&text);
    add_text(details, tls, &text);
    strbuf_add_str(out, former);
    strbuf_add_char(out, ',');
    strbuf_add_str(out, strbuf_str(&text));
    strbuf_done(&text);
}

static void describe(const struct client_cert_details *details, struct tls_info *tls,
                     struct strbuf *out)
{
    if (details->is_json) {
        strbuf_add_char(out, '[');
        add_json(details, tls, out);
        strbuf_add_char(out, ']');
    } else {
        add_text(details, tls, out);
    }
}

/* As Envoy: the lines of one request go on as one. */
static void pass_on(struct header_map *headers)
{
    const struct header *first = header_find(headers, HDR_X_FORWARDED_CLIENT_CERT);

    if (first != NULL && header_next_same(headers, first) != NULL) {
        header_set(headers, HDR_X_FORWARDED_CLIENT_CERT,
                   header_joined(headers, header_name(HDR_X_FORWARDED_CLIENT_CERT)));
    }
}

void client_cert_mutate_request(const struct http_conn_manager_config *config, struct tls_info *tls,
                                struct header_map *headers)
{
    struct str former = STR_NONE;
    struct strbuf text;

    if (config->forward_client_cert == CLIENT_CERT_ALWAYS_FORWARD_ONLY) {
        pass_on(headers);
        return;
    }
    if (config->forward_client_cert == CLIENT_CERT_SANITIZE ||
        !tls_info_has_peer_certificate(tls)) {
        header_remove(headers, HDR_X_FORWARDED_CLIENT_CERT);
        return;
    }
    if (config->forward_client_cert == CLIENT_CERT_FORWARD_ONLY) {
        pass_on(headers);
        return;
    }
    if (config->forward_client_cert == CLIENT_CERT_APPEND_FORWARD) {
        former = header_joined(headers, header_name(HDR_X_FORWARDED_CLIENT_CERT));
    }
    strbuf_init(&text);
    if (former.len > 0) {
        add_to_former(&config->client_cert_details, tls, former, &text);
    } else {
        describe(&config->client_cert_details, tls, &text);
    }
    if (!header_value_is_valid(strbuf_str(&text))) {
        headers->has_invalid_value = true; /* a name in the certificate */
    }
    header_set(headers, HDR_X_FORWARDED_CLIENT_CERT, arena_str(headers->arena, strbuf_str(&text)));
    strbuf_done(&text);
}
