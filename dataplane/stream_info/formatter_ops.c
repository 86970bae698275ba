/*
 * What each format operator says about a stream, as Envoy defines it. Owns nothing; the thread of
 * the stream. How values are printed is formatter.c's business.
 */

#include "dataplane/stream_info/formatter_ops.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/base/check.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/hash.h"
#include "dataplane/event/loop.h"
#include "dataplane/net/connection.h"
#include "dataplane/net/listener.h"
#include "dataplane/net/listener_filter.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/stream_info/filter_state.h"
#include "dataplane/stream_info/grpc_status.h"
#include "dataplane/tls/info.h"

#define NS_PER_MS UINT64_C(1000000)

void formatted_set_string(struct formatted *out, struct str s)
{
    out->kind = FORMATTED_STRING;
    out->is_scratch = false;
    out->string = s;
}

/* An empty string is "not there": Envoy's optional strings. */
void formatted_set_optional(struct formatted *out, struct str s)
{
    if (s.len == 0) {
        out->kind = FORMATTED_NONE;
        return;
    }
    formatted_set_string(out, s);
}

void formatted_set_scratch(struct formatted *out, size_t len)
{
    out->kind = FORMATTED_STRING;
    out->is_scratch = true;
    out->string = str_n(out->scratch, len);
}

void formatted_set_u64(struct formatted *out, uint64_t v)
{
    out->kind = FORMATTED_U64;
    out->u64 = v;
}

static void set_scratch_str(struct formatted *out, struct str s)
{
    size_t len = s.len < sizeof(out->scratch) ? s.len : sizeof(out->scratch);

    if (len > 0) {
        memcpy(out->scratch, s.ptr, len);
    }
    formatted_set_scratch(out, len);
}

/* From `from` to `to`; not there while either has not happened. */
static void set_interval(struct formatted *out, uint64_t from, uint64_t to, uint64_t unit_ns)
{
    if (from == 0 || to == 0) {
        out->kind = FORMATTED_NONE;
        return;
    }
    /* The instants come from two clocks of one time base, one of them cached per loop turn. */
    formatted_set_u64(out, to > from ? (to - from) / unit_ns : 0);
}

static void set_address(struct formatted *out, const struct address *a)
{
    if (a == NULL || !address_is_set(a)) {
        out->kind = FORMATTED_NONE;
        return;
    }
    formatted_set_scratch(out, address_format(a, out->scratch));
}

static void set_ip(struct formatted *out, const struct address *a)
{
    if (a == NULL || !address_is_set(a)) {
        out->kind = FORMATTED_NONE;
        return;
    }
    formatted_set_scratch(out, address_format_ip(a, out->scratch));
}

static void set_port(struct formatted *out, const struct address *a)
{
    if (a == NULL || !address_is_set(a) || !address_is_ip(a)) {
        out->kind = FORMATTED_NONE;
        return;
    }
    formatted_set_u64(out, address_port(a));
}

static void set_header(struct formatted *out, const struct header_map *m,
                       const struct format_item *item)
{
    struct header *h = NULL;

    if (m != NULL) {
        h = header_find_name(m, item->arg1);
        if (h == NULL && item->arg2.len > 0) {
            h = header_find_name(m, item->arg2);
        }
    }
    if (h == NULL) {
        out->kind = FORMATTED_NONE;
        return;
    }
    formatted_set_string(out, h->value);
}

static void set_time(struct formatted *out, const struct format_item *item, uint64_t wall_ns)
{
    static const char local_default[] = "%Y-%m-%dT%H:%M:%E3S%z";
    struct str format = item->arg1;

    _Static_assert(FORMATTED_SCRATCH >= CLOCK_ISO_MS_BYTES, "scratch holds a time");
    if (format.len == 0 && !item->is_local) {
        clock_iso_ms(wall_ns, out->scratch);
        formatted_set_scratch(out, CLOCK_ISO_MS_BYTES);
        return;
    }
    if (format.len == 0) {
        format = STR(local_default);
    }
    formatted_set_scratch(
        out, format_time(format, wall_ns, item->is_local, out->scratch, FORMATTED_SCRATCH));
}

static void set_flags(struct formatted *out, uint64_t flags, bool is_long)
{
    struct strbuf text;

    if (flags == 0) {
        formatted_set_string(out, STR("-"));
        return;
    }
    strbuf_init(&text);
    if (is_long) {
        response_flags_format_long(flags, &text);
    } else {
        response_flags_format(flags, &text);
    }
    set_scratch_str(out, strbuf_str(&text));
    strbuf_done(&text);
}

/* Log fields are split at blanks: as Envoy, blanks in reasons become '_'. */
static void set_reason(struct formatted *out, struct str s)
{
    if (s.len == 0) {
        out->kind = FORMATTED_NONE;
        return;
    }
    if (memchr(s.ptr, ' ', s.len) == NULL) {
        formatted_set_string(out, s);
        return;
    }
    set_scratch_str(out, s);
    for (size_t i = 0; i < out->string.len; i++) {
        if (out->scratch[i] == ' ') {
            out->scratch[i] = '_';
        }
    }
}

/* What listener filters have written; no other filter writes any yet. */
static const struct value *dynamic_metadata(const struct stream_info *si)
{
    return si->connection_info != NULL ? si->connection_info->metadata : NULL;
}

static const struct value *metadata_of(enum format_metadata kind, const struct stream_info *si)
{
    switch (kind) {
    case FORMAT_METADATA_DYNAMIC:
        return dynamic_metadata(si);
    case FORMAT_METADATA_ROUTE:
        return si->route_metadata;
    case FORMAT_METADATA_VIRTUAL_HOST:
        return si->virtual_host_metadata;
    case FORMAT_METADATA_CLUSTER:
        return si->cluster_metadata;
    case FORMAT_METADATA_UPSTREAM_HOST:
        return si->upstream_host_metadata != NULL ? *si->upstream_host_metadata : NULL;
    case FORMAT_METADATA_LISTENER:
        return si->listener != NULL ? worker_listener_config(si->listener)->metadata : NULL;
    case FORMAT_METADATA_FILTER_CHAIN:
        return si->filter_chain != NULL ? si->filter_chain->metadata : NULL;
    }
    return NULL;
}

/* %METADATA(ROUTE:namespace:key:key)%; arg1 is the path. */
static void set_metadata(struct formatted *out, const struct format_item *item,
                         const struct stream_info *si)
{
    const struct value *v = metadata_of(item->metadata, si);
    struct str path = item->arg1;
    struct str key;

    if (path.len == 0) {
        v = NULL;
    }
    while (v != NULL && str_split(&path, ':', &key)) {
        v = value_get(v, key);
    }
    if (v == NULL) {
        out->kind = FORMATTED_NONE;
        return;
    }
    out->kind = FORMATTED_VALUE;
    out->value = v;
    out->value_text = STR_NONE;
}

/* arg1: the name; arg2: "TYPED" (default), "PLAIN" or "FIELD:name" (no object here has fields, as
 * none of Envoy's own has that these stand for). */
static void set_filter_state(struct formatted *out, const struct format_item *item,
                             const struct stream_info *si)
{
    const struct filter_state_object *o = filter_state_get(si, item->arg1);

    if (o != NULL && str_eq(item->arg2, STR("PLAIN"))) {
        formatted_set_optional(out, o->plain);
    } else if (o != NULL && o->typed != NULL && !str_starts(item->arg2, STR("FIELD"))) {
        out->kind = FORMATTED_VALUE;
        out->value = o->typed;
        out->value_text = o->text;
    }
}

static void set_grpc_status(struct formatted *out, const struct format_item *item,
                            const struct access_log_entry *e)
{
    struct str text = STR_NONE;
    uint64_t status;

    out->kind = FORMATTED_NONE;
    if (e->request_headers == NULL ||
        !grpc_is_content_type(header_get(e->request_headers, HDR_CONTENT_TYPE))) {
        return;
    }
    if (e->response_trailers != NULL) {
        text = header_get(e->response_trailers, HDR_GRPC_STATUS);
    }
    if (text.len == 0 && e->response_headers != NULL) {
        text = header_get(e->response_headers, HDR_GRPC_STATUS);
    }
    if (text.len == 0) {
        if (e->info->response_code == 0) {
            return;
        }
        status = grpc_status_of_http(e->info->response_code);
    } else if (parse_u64(text, &status) != 0) {
        formatted_set_string(out, STR("-1"));
        return;
    }
    if (str_eq(item->arg1, STR("NUMBER"))) {
        formatted_set_u64(out, status);
        return;
    }
    text = grpc_status_name(status, str_eq(item->arg1, STR("SNAKE_STRING")));
    if (text.len == 0) {
        formatted_set_scratch(out, format_u64(status, out->scratch));
        return;
    }
    formatted_set_string(out, text);
}

static void set_map_bytes(struct formatted *out, const struct header_map *m)
{
    formatted_set_u64(out, m != NULL ? m->byte_size : 0);
}

static void set_host_name(struct formatted *out, const struct stream_info *si)
{
    if (si->upstream_host_name.len > 0) {
        formatted_set_string(out, si->upstream_host_name);
    } else {
        set_address(out, &si->upstream_remote);
    }
}

static void set_protocol(struct formatted *out, bool has, enum http_protocol p)
{
    if (has) {
        formatted_set_string(out, str_c(http_protocol_name(p)));
    } else {
        out->kind = FORMATTED_NONE;
    }
}

/* What an operator says of an address. */
enum address_part { ADDRESS_WHOLE, ADDRESS_IP, ADDRESS_PORT };

/* "10.1.0.0/16" */
static void set_range(struct formatted *out, const struct address *a, uint32_t prefix_len)
{
    struct address range = *a;
    size_t len;

    prefix_len = address_mask(&range, prefix_len);
    len = address_format_ip(&range, out->scratch);
    out->scratch[len++] = '/';
    formatted_set_scratch(out, len + format_u64(prefix_len, out->scratch + len));
}

static void set_part(struct formatted *out, const struct address *a, enum address_part part,
                     const struct format_item *item)
{
    if (part == ADDRESS_WHOLE) {
        set_address(out, a);
    } else if (part == ADDRESS_PORT) {
        set_port(out, a);
    } else if (item->has_prefix_len && a != NULL && address_is_set(a) && address_is_ip(a)) {
        set_range(out, a, item->prefix_len);
    } else {
        set_ip(out, a);
    }
}

/* Of the socket, whatever listener filters made of it. */
static const struct address *direct_local(const struct stream_info *si)
{
    const struct connection_info *i = si->connection_info;

    return i != NULL && i->direct_local != NULL ? i->direct_local : si->local;
}

/* Returns false when it is not one of a downstream connection's addresses. */
static bool format_downstream_address(const struct format_item *item, const struct stream_info *si,
                                      struct formatted *out)
{
    switch (item->op) {
    case FORMAT_DOWNSTREAM_REMOTE_ADDRESS:
        set_part(out, &si->remote, ADDRESS_WHOLE, item);
        return true;
    case FORMAT_DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT:
        set_part(out, &si->remote, ADDRESS_IP, item);
        return true;
    case FORMAT_DOWNSTREAM_REMOTE_PORT:
        set_part(out, &si->remote, ADDRESS_PORT, item);
        return true;
    case FORMAT_DOWNSTREAM_DIRECT_REMOTE_ADDRESS:
        set_part(out, si->direct_remote, ADDRESS_WHOLE, item);
        return true;
    case FORMAT_DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT:
        set_part(out, si->direct_remote, ADDRESS_IP, item);
        return true;
    case FORMAT_DOWNSTREAM_DIRECT_REMOTE_PORT:
        set_part(out, si->direct_remote, ADDRESS_PORT, item);
        return true;
    case FORMAT_DOWNSTREAM_LOCAL_ADDRESS:
        set_part(out, si->local, ADDRESS_WHOLE, item);
        return true;
    case FORMAT_DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT:
        set_part(out, si->local, ADDRESS_IP, item);
        return true;
    case FORMAT_DOWNSTREAM_LOCAL_PORT:
        set_part(out, si->local, ADDRESS_PORT, item);
        return true;
    case FORMAT_DOWNSTREAM_DIRECT_LOCAL_ADDRESS:
        set_part(out, direct_local(si), ADDRESS_WHOLE, item);
        return true;
    case FORMAT_DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT:
        set_part(out, direct_local(si), ADDRESS_IP, item);
        return true;
    case FORMAT_DOWNSTREAM_DIRECT_LOCAL_PORT:
        set_part(out, direct_local(si), ADDRESS_PORT, item);
        return true;
    default:
        return false;
    }
}

/* Returns false when it is not one of an upstream connection's addresses. */
static bool format_upstream_address(const struct format_item *item, const struct stream_info *si,
                                    struct formatted *out)
{
    static const struct address none = {.len = 0};
    const struct address *remote = si->is_upstream_connected ? &si->upstream_remote : &none;

    switch (item->op) {
    case FORMAT_UPSTREAM_HOST:
        set_part(out, &si->upstream_remote, ADDRESS_WHOLE, item);
        return true;
    case FORMAT_UPSTREAM_REMOTE_ADDRESS:
        set_part(out, remote, ADDRESS_WHOLE, item);
        return true;
    case FORMAT_UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT:
        set_part(out, remote, ADDRESS_IP, item);
        return true;
    case FORMAT_UPSTREAM_REMOTE_PORT:
        set_part(out, remote, ADDRESS_PORT, item);
        return true;
    case FORMAT_UPSTREAM_HOST_NAME:
        set_host_name(out, si);
        return true;
    case FORMAT_UPSTREAM_LOCAL_ADDRESS:
        set_part(out, &si->upstream_local, ADDRESS_WHOLE, item);
        return true;
    case FORMAT_UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT:
        set_part(out, &si->upstream_local, ADDRESS_IP, item);
        return true;
    case FORMAT_UPSTREAM_LOCAL_PORT:
        set_part(out, &si->upstream_local, ADDRESS_PORT, item);
        return true;
    default:
        return false;
    }
}

static uint64_t moment_ns(const struct stream_info *si, enum format_moment m)
{
    switch (m) {
    case FORMAT_DS_RX_BEG:
        return si->start_mono_ns;
    case FORMAT_DS_RX_END:
        return si->last_rx_byte_ns;
    case FORMAT_US_TX_BEG:
        return si->first_upstream_tx_ns;
    case FORMAT_US_TX_END:
        return si->last_upstream_tx_ns;
    case FORMAT_US_RX_BEG:
        return si->first_upstream_rx_ns;
    case FORMAT_US_RX_END:
        return si->last_upstream_rx_ns;
    case FORMAT_DS_TX_BEG:
        return si->first_downstream_tx_ns;
    case FORMAT_DS_TX_END:
        return si->last_downstream_tx_ns;
    case FORMAT_US_CX_BEG:
        return si->upstream_connect_start_ns;
    case FORMAT_US_CX_END:
        return si->upstream_connect_end_ns;
    case FORMAT_US_HS_END:
        return si->upstream_tls != NULL ? tls_info_handshake_done_ns(si->upstream_tls) : 0;
    case FORMAT_US_RX_BODY_BEG:
        return si->first_upstream_body_rx_ns;
    default:
        return 0;
    }
}

/* Returns false when `op` is not a duration. */
static bool format_duration(const struct format_item *item, const struct stream_info *si,
                            struct formatted *out)
{
    const struct format_interval *interval = &item->interval;

    switch (item->op) {
    case FORMAT_DURATION:
        set_interval(out, si->start_mono_ns, si->end_ns != 0 ? si->end_ns : clock_mono_ns(),
                     NS_PER_MS); /* up to now, as Envoy */
        return true;
    case FORMAT_REQUEST_DURATION:
        set_interval(out, si->start_mono_ns, si->last_rx_byte_ns, NS_PER_MS);
        return true;
    case FORMAT_REQUEST_TX_DURATION:
        set_interval(out, si->start_mono_ns, si->last_upstream_tx_ns, NS_PER_MS);
        return true;
    case FORMAT_RESPONSE_DURATION:
        set_interval(out, si->start_mono_ns, si->first_upstream_rx_ns, NS_PER_MS);
        return true;
    case FORMAT_RESPONSE_TX_DURATION:
        set_interval(out, si->first_upstream_rx_ns, si->last_downstream_tx_ns, NS_PER_MS);
        return true;
    case FORMAT_UPSTREAM_CONNECTION_POOL_READY_DURATION:
        set_interval(out, si->upstream_request_ns, si->upstream_ready_ns, NS_PER_MS);
        return true;
    case FORMAT_COMMON_DURATION:
        set_interval(out, moment_ns(si, interval->from), moment_ns(si, interval->to),
                     interval->unit_ns);
        return true;
    default:
        return false;
    }
}

/* Returns false when `op` is not a number. */
static bool format_number(enum format_op op, const struct access_log_entry *e,
                          struct formatted *out)
{
    const struct stream_info *si = e->info;

    switch (op) {
    case FORMAT_RESPONSE_CODE:
        formatted_set_u64(out, (uint64_t)si->response_code);
        return true;
    case FORMAT_BYTES_RECEIVED:
        formatted_set_u64(out, si->bytes_received);
        return true;
    case FORMAT_BYTES_SENT:
        formatted_set_u64(out, si->bytes_sent);
        return true;
    case FORMAT_UPSTREAM_WIRE_BYTES_SENT:
        formatted_set_u64(out, si->upstream_wire_bytes_sent);
        return true;
    case FORMAT_UPSTREAM_WIRE_BYTES_RECEIVED:
        formatted_set_u64(out, si->upstream_wire_bytes_received);
        return true;
    case FORMAT_DOWNSTREAM_WIRE_BYTES_SENT:
        formatted_set_u64(out, si->wire_bytes_sent);
        return true;
    case FORMAT_DOWNSTREAM_WIRE_BYTES_RECEIVED:
        formatted_set_u64(out, si->wire_bytes_received);
        return true;
    case FORMAT_UPSTREAM_HEADER_BYTES_SENT:
        formatted_set_u64(out, si->upstream_header_bytes_sent);
        return true;
    case FORMAT_UPSTREAM_HEADER_BYTES_RECEIVED:
        formatted_set_u64(out, si->upstream_header_bytes_received);
        return true;
    case FORMAT_DOWNSTREAM_HEADER_BYTES_SENT:
        formatted_set_u64(out, si->header_bytes_sent);
        return true;
    case FORMAT_DOWNSTREAM_HEADER_BYTES_RECEIVED:
        formatted_set_u64(out, si->header_bytes_received);
        return true;
    case FORMAT_UPSTREAM_REQUEST_ATTEMPT_COUNT:
        formatted_set_u64(out, si->attempt_count);
        return true;
    case FORMAT_CONNECTION_ID:
        formatted_set_u64(out, si->connection_id);
        return true;
    case FORMAT_ALWAYS_ZERO:
        formatted_set_u64(out, 0);
        return true;
    case FORMAT_REQUEST_HEADERS_BYTES:
        set_map_bytes(out, e->request_headers);
        return true;
    case FORMAT_RESPONSE_HEADERS_BYTES:
        set_map_bytes(out, e->response_headers);
        return true;
    case FORMAT_RESPONSE_TRAILERS_BYTES:
        set_map_bytes(out, e->response_trailers);
        return true;
    default:
        return false;
    }
}

/* Returns false when `op` is not one of the plain strings of stream_info. */
static bool format_info_string(enum format_op op, const struct stream_info *si,
                               struct formatted *out)
{
    switch (op) {
    case FORMAT_RESPONSE_CODE_DETAILS:
        set_reason(out, si->response_code_details);
        return true;
    case FORMAT_CONNECTION_TERMINATION_DETAILS:
        formatted_set_optional(out, si->connection_termination_details);
        return true;
    case FORMAT_UPSTREAM_CLUSTER:
        formatted_set_optional(out, si->upstream_cluster);
        return true;
    case FORMAT_UPSTREAM_CLUSTER_RAW:
        formatted_set_optional(out, si->upstream_cluster_raw);
        return true;
    case FORMAT_UPSTREAM_TRANSPORT_FAILURE_REASON:
        set_reason(out, si->upstream_transport_failure_reason);
        return true;
    case FORMAT_DOWNSTREAM_TRANSPORT_FAILURE_REASON:
        set_reason(out, si->connection != NULL ? str_c(si->connection->failure_reason) : STR_NONE);
        return true;
    case FORMAT_TLS_JA3_FINGERPRINT:
        formatted_set_optional(out,
                               si->connection_info != NULL ? si->connection_info->ja3 : STR_NONE);
        return true;
    case FORMAT_TLS_JA4_FINGERPRINT:
        formatted_set_optional(out,
                               si->connection_info != NULL ? si->connection_info->ja4 : STR_NONE);
        return true;
    case FORMAT_ROUTE_NAME:
        formatted_set_optional(out, si->route_name);
        return true;
    case FORMAT_VIRTUAL_CLUSTER_NAME:
        formatted_set_optional(out, si->virtual_cluster_name);
        return true;
    case FORMAT_LISTENER_NAME:
        formatted_set_optional(
            out, si->listener != NULL ? worker_listener_config(si->listener)->part.name : STR_NONE);
        return true;
    case FORMAT_FILTER_CHAIN_NAME:
        formatted_set_optional(out, si->filter_chain != NULL ? si->filter_chain->name : STR_NONE);
        return true;
    case FORMAT_UPSTREAM_SERVER_NAME:
        formatted_set_optional(out, si->upstream_tls != NULL ? tls_info_sni(si->upstream_tls)
                                                             : STR_NONE);
        return true;
    case FORMAT_ALWAYS_EMPTY:
        formatted_set_string(out, STR(""));
        return true;
    case FORMAT_LOCAL_REPLY_BODY:
        formatted_set_string(out, si->local_reply_body);
        return true;
    default:
        return false;
    }
}

/* As Envoy: with the uuid extension a request's identifier is its request id; attempts at it have
 * none; a connection has one of its own, here made of what no other connection has. */
static void set_stream_id(struct formatted *out, const struct access_log_entry *e)
{
    const struct stream_info *si = e->info;
    const uint64_t what[] = {si->start_wall_ns, si->connection_id, (uint64_t)getpid()};
    struct rng rng;

    if (si->has_protocol || e->request_headers != NULL) {
        bool is_attempt = e->type == ACCESS_LOG_UPSTREAM_POOL_READY ||
                          e->type == ACCESS_LOG_UPSTREAM_PERIODIC ||
                          e->type == ACCESS_LOG_UPSTREAM_END;
        struct str id = e->request_headers != NULL && !is_attempt
                            ? header_get(e->request_headers, HDR_X_REQUEST_ID)
                            : STR_NONE;

        out->kind = FORMATTED_NONE;
        if (id.ptr != NULL) { /* also empty */
            formatted_set_string(out, id);
        }
        return;
    }
    rng_seed_with(&rng, hash_mix(0, what, sizeof(what)));
    rng_uuid4(&rng, out->scratch);
    formatted_set_scratch(out, UUID_BYTES);
}

static void set_unique_id(struct formatted *out, const struct thread_context *t)
{
    if (t != NULL) {
        rng_uuid4(&t->loop->rng, out->scratch);
        formatted_set_scratch(out, UUID_BYTES);
    }
}

/* Milliseconds, as the kernel sees the connection now. */
static void set_round_trip(struct formatted *out, const struct conn *c)
{
    struct tcp_info tcp;
    socklen_t len = sizeof(tcp);

    if (c != NULL && c->fd >= 0 && getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &tcp, &len) == 0) {
        formatted_set_u64(out, tcp.tcpi_rtt / 1000);
    }
}

/* Of what is not one of stream_info's. Returns false when it is none of these. */
static bool format_about_log(const struct format_item *item, const struct format_source *src,
                             struct formatted *out)
{
    const struct access_log_entry *e = src->entry;

    switch (item->op) {
    case FORMAT_START_TIME:
        set_time(out, item, e->info->start_wall_ns);
        return true;
    case FORMAT_EMIT_TIME:
        set_time(out, item, clock_wall_ns());
        return true;
    case FORMAT_STREAM_ID:
        set_stream_id(out, e);
        return true;
    case FORMAT_UNIQUE_ID:
        set_unique_id(out, src->thread);
        return true;
    case FORMAT_HOSTNAME:
        formatted_set_optional(out, src->thread != NULL ? str_c(src->thread->hostname) : STR_NONE);
        return true;
    case FORMAT_ENVIRONMENT:
        formatted_set_optional(out, item->arg1);
        return true;
    case FORMAT_ACCESS_LOG_TYPE:
        formatted_set_string(out, access_log_type_name(e->type));
        return true;
    case FORMAT_DOWNSTREAM_CX_RTT:
        set_round_trip(out, e->info->connection);
        return true;
    default:
        return false;
    }
}

void format_item_eval(const struct format_item *item, const struct format_source *src,
                      struct formatted *out)
{
    const struct access_log_entry *e = src->entry;
    const struct stream_info *si = e->info;

    out->kind = FORMATTED_NONE;
    out->is_scratch = false;
    switch (item->op) {
    case FORMAT_REQ:
        set_header(out, e->request_headers, item);
        return;
    case FORMAT_REQ_WITHOUT_QUERY:
        set_header(out, e->request_headers, item);
        if (out->kind == FORMATTED_STRING) {
            out->string = str_sub(out->string, 0, str_find_char(out->string, '?'));
        }
        return;
    case FORMAT_RESP:
        set_header(out, e->response_headers, item);
        return;
    case FORMAT_TRAILER:
        set_header(out, e->response_trailers, item);
        return;
    case FORMAT_PROTOCOL:
        set_protocol(out, si->has_protocol, si->protocol);
        return;
    case FORMAT_UPSTREAM_PROTOCOL:
        set_protocol(out, si->has_upstream_protocol, si->upstream_protocol);
        return;
    case FORMAT_RESPONSE_FLAGS:
        set_flags(out, si->flags, false);
        return;
    case FORMAT_RESPONSE_FLAGS_LONG:
        set_flags(out, si->flags, true);
        return;
    case FORMAT_METADATA:
        set_metadata(out, item, si);
        return;
    case FORMAT_GRPC_STATUS:
        set_grpc_status(out, item, e);
        return;
    case FORMAT_FILTER_STATE:
        set_filter_state(out, item, si);
        return;
    case FORMAT_DOWNSTREAM_TLS:
    case FORMAT_UPSTREAM_TLS:
    case FORMAT_DOWNSTREAM_HANDSHAKE_DURATION:
        format_tls(item, si, out);
        return;
    default:
        (void)(format_about_log(item, src, out) || format_request(item, e, out) ||
               format_attempts(item, si, out) || format_downstream_address(item, si, out) ||
               format_upstream_address(item, si, out) || format_number(item->op, e, out) ||
               format_duration(item, si, out) || format_info_string(item->op, si, out));
    }
}
