/*
 * What a relayed connection says about itself to a host that wants to know (PROXY protocol): whose
 * it is, and TLVs of the client's own header, of the configuration, or of both. The connection's
 * thread.
 */

#include "dataplane/extensions/filters/network/tcp_proxy/session.h"

#include "dataplane/net/connection.h"
#include "dataplane/net/listener.h"
#include "dataplane/net/listener_filter.h"
#include "dataplane/net/transport_options.h"
#include "dataplane/stream_info/formatter.h"

#define TLV_HEAD_BYTES 3

static void add_tlv(struct strbuf *out, uint8_t type, struct str value)
{
    const char head[TLV_HEAD_BYTES] = {(char)type, (char)(value.len >> 8), (char)value.len};

    if (value.len <= UINT16_MAX) { /* else it cannot be said */
        strbuf_add(out, head, sizeof(head));
        strbuf_add_str(out, value);
    }
}

static void add_formatted(struct tcp_session *s, const struct tcp_tlv *tlv, struct strbuf *out)
{
    const struct access_log_entry entry = {.info = &s->info};
    const struct substitution_format *f = tlv->format;
    struct strbuf value;

    strbuf_init(&value);
    if (f->is_json) {
        formatter_json(&f->json, &entry, s->filter->lc->thread, f->omit_empty_values, &value);
    } else {
        formatter_text(&f->text, &entry, s->filter->lc->thread, f->omit_empty_values, &value);
    }
    add_tlv(out, tlv->type, strbuf_str(&value));
    strbuf_done(&value);
}

static void add_ours(struct tcp_session *s, struct strbuf *out)
{
    for (size_t i = 0; i < s->config->tlv_count; i++) {
        const struct tcp_tlv *tlv = &s->config->tlvs[i];

        if (tlv->format != NULL) {
            add_formatted(s, tlv, out);
        } else {
            add_tlv(out, tlv->type, tlv->value);
        }
    }
}

static bool is_ours(const struct tcp_proxy_config *c, uint8_t type)
{
    for (size_t i = 0; i < c->tlv_count; i++) {
        if (c->tlvs[i].type == type) {
            return true;
        }
    }
    return false;
}

/* Of the client's, those of types that are not ours. */
static void add_others(const struct tcp_session *s, struct str theirs, struct strbuf *out)
{
    while (theirs.len >= TLV_HEAD_BYTES) {
        const uint8_t *p = (const uint8_t *)theirs.ptr;
        size_t len = TLV_HEAD_BYTES + ((size_t)p[1] << 8 | p[2]);

        if (len > theirs.len) {
            return;
        }
        if (!is_ours(s->config, p[0])) {
            strbuf_add(out, p, len);
        }
        theirs = str_sub(theirs, len, theirs.len);
    }
}

static void add_merged(struct tcp_session *s, struct str theirs, struct strbuf *out)
{
    switch (s->config->tlv_merge) {
    case TCP_TLV_ADD_IF_ABSENT:
        strbuf_add_str(out, theirs);
        break;
    case TCP_TLV_OVERWRITE:
        add_ours(s, out);
        add_others(s, theirs, out);
        break;
    case TCP_TLV_APPEND:
        strbuf_add_str(out, theirs);
        add_ours(s, out);
        break;
    }
}

static struct str session_tlvs(struct tcp_session *s)
{
    const struct connection_info *found = s->filter->lc->info;
    struct strbuf tlvs;
    struct str out;

    strbuf_init(&tlvs);
    if (found != NULL && found->has_proxy_header) {
        add_merged(s, found->proxy_tlvs, &tlvs);
    } else {
        add_ours(s, &tlvs);
    }
    out = arena_str(&s->arena, strbuf_str(&tlvs));
    strbuf_done(&tlvs);
    return out;
}

const struct transport_options *tcp_transport_options(struct tcp_session *s)
{
    const struct transport_socket *transport = host_transport(s->host);
    struct transport_options *o;

    if (transport == NULL || !transport->wants_proxy_addresses) {
        return NULL;
    }
    o = ARENA_NEW(&s->arena, struct transport_options);
    o->proxy_source = &s->client->remote;
    o->proxy_destination = &s->client->local;
    o->proxy_tlvs = session_tlvs(s);
    o->hash = transport_options_hash(o);
    return o;
}
