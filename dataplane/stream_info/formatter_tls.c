/* The operators of TLS connections: DOWNSTREAM_PEER_SUBJECT, UPSTREAM_TLS_VERSION and the like. */

#include "dataplane/base/clock.h"
#include "dataplane/net/connection.h"
#include "dataplane/stream_info/formatter_ops.h"
#include "dataplane/stream_info/stream_info.h"
#include "dataplane/tls/info.h"

#define NS_PER_MS 1000000

static void set_time(const struct format_item *item, int64_t seconds, struct formatted *out)
{
    uint64_t ns = (uint64_t)(seconds > 0 ? seconds : 0) * 1000000000;
    size_t len = CLOCK_ISO_MS_BYTES;

    if (item->arg1.len > 0) {
        len = format_time(item->arg1, ns, false, out->scratch, FORMATTED_SCRATCH);
    } else {
        clock_iso_ms(ns, out->scratch);
    }
    out->kind = FORMATTED_STRING;
    out->is_scratch = true;
    out->string = str_n(out->scratch, len);
}

/* Returns false when the field is not a time. */
static bool format_validity(const struct format_item *item, struct tls_info *tls,
                            struct formatted *out)
{
    int64_t seconds;

    switch (item->tls_field) {
    case FORMAT_TLS_PEER_V_START:
        if (tls_info_valid_from(tls, TLS_PEER, &seconds)) {
            set_time(item, seconds, out);
        }
        return true;
    case FORMAT_TLS_PEER_V_END:
        if (tls_info_valid_to(tls, TLS_PEER, &seconds)) {
            set_time(item, seconds, out);
        }
        return true;
    default:
        return false;
    }
}

static struct str field_text(enum format_tls_field field, struct tls_info *tls)
{
    switch (field) {
    case FORMAT_TLS_VERSION:
        return tls_info_version(tls);
    case FORMAT_TLS_CIPHER:
        return tls_info_cipher(tls);
    case FORMAT_TLS_GROUP:
        return tls_info_group(tls);
    case FORMAT_TLS_SESSION_ID:
        return tls_info_session_id(tls);
    case FORMAT_TLS_PEER_SUBJECT:
        return tls_info_subject(tls, TLS_PEER);
    case FORMAT_TLS_PEER_ISSUER:
        return tls_info_issuer(tls, TLS_PEER);
    case FORMAT_TLS_PEER_CN:
        return tls_info_common_name(tls, TLS_PEER);
    case FORMAT_TLS_PEER_SERIAL:
        return tls_info_serial(tls, TLS_PEER);
    case FORMAT_TLS_PEER_SHA256:
        return tls_info_sha256_fingerprint(tls, TLS_PEER);
    case FORMAT_TLS_PEER_SHA1:
        return tls_info_sha1_fingerprint(tls, TLS_PEER);
    case FORMAT_TLS_PEER_CERT:
        return tls_info_url_encoded_pem(tls);
    case FORMAT_TLS_PEER_CHAIN_SHA256:
        return tls_info_peer_chain_sha256_joined(tls);
    case FORMAT_TLS_PEER_CHAIN_SHA1:
        return tls_info_peer_chain_sha1_joined(tls);
    case FORMAT_TLS_PEER_CHAIN_SERIALS:
        return tls_info_peer_chain_serials_joined(tls);
    case FORMAT_TLS_PEER_ISSUER_SERIAL:
        return tls_info_peer_issuer_serial(tls);
    case FORMAT_TLS_PEER_ISSUER_SHA256:
        return tls_info_peer_issuer_sha256(tls);
    case FORMAT_TLS_PEER_URI_SAN:
        return tls_info_sans_joined(tls, TLS_PEER, TLS_NAME_URI);
    case FORMAT_TLS_PEER_DNS_SAN:
        return tls_info_sans_joined(tls, TLS_PEER, TLS_NAME_DNS);
    case FORMAT_TLS_PEER_IP_SAN:
        return tls_info_sans_joined(tls, TLS_PEER, TLS_NAME_IP);
    case FORMAT_TLS_PEER_EMAIL_SAN:
        return tls_info_sans_joined(tls, TLS_PEER, TLS_NAME_EMAIL);
    case FORMAT_TLS_PEER_OTHERNAME_SAN:
        return tls_info_sans_joined(tls, TLS_PEER, TLS_NAME_OTHER);
    case FORMAT_TLS_LOCAL_SUBJECT:
        return tls_info_subject(tls, TLS_LOCAL);
    case FORMAT_TLS_LOCAL_URI_SAN:
        return tls_info_sans_joined(tls, TLS_LOCAL, TLS_NAME_URI);
    case FORMAT_TLS_LOCAL_DNS_SAN:
        return tls_info_sans_joined(tls, TLS_LOCAL, TLS_NAME_DNS);
    case FORMAT_TLS_LOCAL_IP_SAN:
        return tls_info_sans_joined(tls, TLS_LOCAL, TLS_NAME_IP);
    case FORMAT_TLS_LOCAL_EMAIL_SAN:
        return tls_info_sans_joined(tls, TLS_LOCAL, TLS_NAME_EMAIL);
    case FORMAT_TLS_LOCAL_OTHERNAME_SAN:
        return tls_info_sans_joined(tls, TLS_LOCAL, TLS_NAME_OTHER);
    default:
        return STR_NONE;
    }
}

/* As Envoy: counted from the start of what is logged, so for all but the connection itself it is
 * not above zero. */
static void set_handshake_duration(const struct stream_info *si, struct tls_info *tls,
                                   struct formatted *out)
{
    uint64_t done_ns = tls_info_handshake_done_ns(tls);
    bool is_before = done_ns < si->start_mono_ns;

    if (done_ns == 0) {
        return; /* it was not finished */
    }
    out->u64 = (is_before ? si->start_mono_ns - done_ns : done_ns - si->start_mono_ns) / NS_PER_MS;
    out->kind = is_before && out->u64 > 0 ? FORMATTED_NEGATIVE : FORMATTED_U64;
}

void format_tls(const struct format_item *item, const struct stream_info *si, struct formatted *out)
{
    struct tls_info *tls = si->upstream_tls;

    if (item->op != FORMAT_UPSTREAM_TLS) {
        tls = si->connection != NULL ? conn_tls_info(si->connection) : NULL;
    }
    if (tls == NULL) {
        return;
    }
    if (item->op == FORMAT_DOWNSTREAM_HANDSHAKE_DURATION) {
        set_handshake_duration(si, tls, out);
        return;
    }
    if (format_validity(item, tls, out)) {
        return;
    }
    out->string = field_text(item->tls_field, tls);
    out->kind = out->string.len > 0 ? FORMATTED_STRING : FORMATTED_NONE;
}
