/* Log entries as protobuf: what each field says of a stream. Owns nothing; the stream's thread. */

#include "dataplane/extensions/access_loggers/grpc/entry.h"

#include "dataplane/base/clock.h"
#include "dataplane/base/proto_wire.h"
#include "dataplane/codec/header_map.h"
#include "dataplane/net/connection.h"
#include "dataplane/net/listener_filter.h"
#include "dataplane/stream_info/filter_state.h"
#include "dataplane/stream_info/formatter_ops.h"
#include "dataplane/tls/info.h"

#define NS_PER_S UINT64_C(1000000000)

/* Fields of AccessLogCommon. */
enum {
    COMMON_DOWNSTREAM_REMOTE = 2,
    COMMON_DOWNSTREAM_LOCAL = 3,
    COMMON_TLS = 4,
    COMMON_START_TIME = 5,
    COMMON_LAST_RX = 6,
    COMMON_FIRST_UPSTREAM_TX = 7,
    COMMON_LAST_UPSTREAM_TX = 8,
    COMMON_FIRST_UPSTREAM_RX = 9,
    COMMON_LAST_UPSTREAM_RX = 10,
    COMMON_FIRST_DOWNSTREAM_TX = 11,
    COMMON_LAST_DOWNSTREAM_TX = 12,
    COMMON_UPSTREAM_REMOTE = 13,
    COMMON_UPSTREAM_LOCAL = 14,
    COMMON_UPSTREAM_CLUSTER = 15,
    COMMON_RESPONSE_FLAGS = 16,
    COMMON_METADATA = 17,
    COMMON_UPSTREAM_FAILURE = 18,
    COMMON_ROUTE_NAME = 19,
    COMMON_DIRECT_REMOTE = 20,
    COMMON_FILTER_STATE = 21,
    COMMON_DURATION = 23,
    COMMON_ATTEMPTS = 24,
    COMMON_TERMINATION = 25,
    COMMON_STREAM_ID = 26,
    COMMON_IS_INTERMEDIATE = 27,
    COMMON_DOWNSTREAM_FAILURE = 28,
    COMMON_DOWNSTREAM_WIRE_SENT = 29,
    COMMON_DOWNSTREAM_WIRE_RECEIVED = 30,
    COMMON_UPSTREAM_WIRE_SENT = 31,
    COMMON_UPSTREAM_WIRE_RECEIVED = 32,
    COMMON_TYPE = 33,
};

/* --- values ------------------------------------------------------------------------------- */

/* google.protobuf.Timestamp and Duration. */
static void write_time(struct strbuf *out, uint32_t field, uint64_t ns)
{
    size_t at = proto_begin(out, field);

    proto_u64(out, 1, ns / NS_PER_S);
    proto_u64(out, 2, ns % NS_PER_S);
    proto_end(out, at);
}

/* From the start to a moment that may not have come. */
static void write_since_start(struct strbuf *out, uint32_t field, const struct stream_info *si,
                              uint64_t ns)
{
    if (ns != 0) {
        write_time(out, field, ns > si->start_mono_ns ? ns - si->start_mono_ns : 0);
    }
}

/* core.v3.Address */
static void write_address(struct strbuf *out, uint32_t field, const struct address *a)
{
    char text[ADDRESS_TEXT_MAX];
    size_t outer;
    size_t inner;

    if (a == NULL || !address_is_set(a)) {
        return;
    }
    outer = proto_begin(out, field);
    inner = proto_begin(out, address_is_ip(a) ? 1 : 2);
    if (address_is_ip(a)) {
        proto_string(out, 2, str_n(text, address_format_ip(a, text)));
        proto_u64_always(out, 3, address_port(a));
    } else {
        proto_string(out, 1, str_n(text, address_format(a, text)));
    }
    proto_end(out, inner);
    proto_end(out, outer);
}

static void write_value(struct strbuf *out, uint32_t field, const struct value *v);

/* google.protobuf.Struct, and as it is of the same shape, core.v3.Metadata: a map of one field. */
static void write_fields(struct strbuf *out, const struct value *v,
                         void (*write)(struct strbuf *out, uint32_t field, const struct value *v))
{
    for (size_t i = 0; i < v->count; i++) {
        size_t at = proto_begin(out, 1);

        proto_string(out, 1, v->fields[i].name);
        write(out, 2, &v->fields[i].value);
        proto_end(out, at);
    }
}

static void write_struct(struct strbuf *out, uint32_t field, const struct value *v)
{
    size_t at = proto_begin(out, field);

    write_fields(out, v, write_value);
    proto_end(out, at);
}

static void write_list(struct strbuf *out, uint32_t field, const struct value *v)
{
    size_t at = proto_begin(out, field);

    for (size_t i = 0; i < v->count; i++) {
        write_value(out, 1, &v->items[i]);
    }
    proto_end(out, at);
}

/* Depth was bounded when the value was made. */
static void write_value(struct strbuf *out, uint32_t field, const struct value *v)
{
    size_t at = proto_begin(out, field);

    switch (v->kind) {
    case VALUE_NULL:
        proto_u64_always(out, 1, 0);
        break;
    case VALUE_NUMBER:
        proto_double_always(out, 2, v->number);
        break;
    case VALUE_STRING:
        proto_string_always(out, 3, v->string);
        break;
    case VALUE_BOOL:
        proto_u64_always(out, 4, v->boolean);
        break;
    case VALUE_STRUCT:
        write_struct(out, 5, v);
        break;
    case VALUE_LIST:
        write_list(out, 6, v);
        break;
    }
    proto_end(out, at);
}

/* --- TLS ---------------------------------------------------------------------------------- */

static void write_sans(struct strbuf *out, struct tls_info *tls, enum tls_side side,
                       enum tls_name_kind kind, uint32_t san_field)
{
    size_t count = 0;
    const struct str *names = tls_info_sans(tls, side, kind, &count);

    for (size_t i = 0; i < count; i++) {
        size_t at = proto_begin(out, 1);

        proto_string_always(out, san_field, names[i]);
        proto_end(out, at);
    }
}

static void write_certificate(struct strbuf *out, uint32_t field, struct tls_info *tls,
                              enum tls_side side)
{
    size_t at = proto_begin(out, field);

    write_sans(out, tls, side, TLS_NAME_URI, 1);
    proto_string(out, 2, tls_info_subject(tls, side));
    if (side == TLS_PEER) {
        proto_string(out, 3, tls_info_issuer(tls, side));
    }
    proto_end(out, at);
}

static uint32_t tls_version_number(struct str version)
{
    static const char *const names[] = {"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"};

    for (uint32_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_eq(version, str_c(names[i]))) {
            return i + 1;
        }
    }
    return 0;
}

static void write_tls(struct strbuf *out, const struct stream_info *si)
{
    struct tls_info *tls = si->connection != NULL ? conn_tls_info(si->connection) : NULL;
    size_t at;
    size_t inner;

    if (tls == NULL) {
        return;
    }
    at = proto_begin(out, COMMON_TLS);
    proto_u64(out, 1, tls_version_number(tls_info_version(tls)));
    inner = proto_begin(out, 2);
    proto_u64(out, 1, tls_info_cipher_id(tls));
    proto_end(out, inner);
    proto_string(out, 3, si->requested_server_name);
    write_certificate(out, 4, tls, TLS_LOCAL);
    write_certificate(out, 5, tls, TLS_PEER);
    proto_string(out, 6, tls_info_session_id(tls));
    proto_string(out, 7, si->connection_info != NULL ? si->connection_info->ja3 : STR_NONE);
    proto_end(out, at);
}

/* --- what all entries have ---------------------------------------------------------------- */

/* The proto has the flags in the order of the list, but for those that came later. */
static void write_flags(struct strbuf *out, uint64_t flags)
{
    const uint64_t unauthorized = (uint64_t)1 << FLAG_UNAUTHORIZED_EXTERNAL_SERVICE;
    size_t at;

    if (flags == 0) {
        return;
    }
    at = proto_begin(out, COMMON_RESPONSE_FLAGS);
    for (uint32_t i = 0; i <= FLAG_DNS_RESOLUTION_FAILED; i++) {
        uint64_t bit = (uint64_t)1 << i;

        if ((flags & bit) != 0 && bit == unauthorized) {
            size_t inner = proto_begin(out, i + 1);

            proto_u64(out, 1, 1); /* EXTERNAL_SERVICE */
            proto_end(out, inner);
        } else {
            proto_bool(out, i + 1, (flags & bit) != 0);
        }
    }
    proto_bool(out, 28, (flags & (uint64_t)1 << FLAG_DOWNSTREAM_REMOTE_RESET) != 0);
    proto_end(out, at);
}

static void write_metadata(struct strbuf *out, const struct stream_info *si)
{
    const struct value *v = si->connection_info != NULL ? si->connection_info->metadata : NULL;
    size_t at;

    if (v != NULL && v->count > 0) {
        at = proto_begin(out, COMMON_METADATA);
        write_fields(out, v, write_struct);
        proto_end(out, at);
    }
}

/* Texts, as a google.protobuf.StringValue in an Any. */
static void write_filter_state(struct strbuf *out, const struct grpc_log_fields *f,
                               const struct stream_info *si)
{
    for (size_t i = 0; i < f->filter_state_count; i++) {
        const struct filter_state_object *o = filter_state_get(si, f->filter_state[i]);
        size_t entry;
        size_t any;
        size_t text;

        if (o == NULL || o->plain.ptr == NULL) {
            continue;
        }
        entry = proto_begin(out, COMMON_FILTER_STATE);
        proto_string(out, 1, o->name);
        any = proto_begin(out, 2);
        proto_string(out, 1, STR("type.googleapis.com/google.protobuf.StringValue"));
        text = proto_begin(out, 2);
        proto_string(out, 1, o->plain);
        proto_end(out, text);
        proto_end(out, any);
        proto_end(out, entry);
    }
}

static void write_stream_id(struct strbuf *out, const struct access_log_entry *e)
{
    const struct format_item item = {.op = FORMAT_STREAM_ID};
    const struct format_source src = {.entry = e};
    struct formatted v;

    format_item_eval(&item, &src, &v);
    if (v.kind == FORMATTED_STRING) {
        proto_string(out, COMMON_STREAM_ID, v.string);
    }
}

static void write_times(struct strbuf *out, const struct stream_info *si)
{
    write_time(out, COMMON_START_TIME, si->start_wall_ns);
    write_since_start(out, COMMON_LAST_RX, si, si->last_rx_byte_ns);
    write_since_start(out, COMMON_FIRST_UPSTREAM_TX, si, si->first_upstream_tx_ns);
    write_since_start(out, COMMON_LAST_UPSTREAM_TX, si, si->last_upstream_tx_ns);
    write_since_start(out, COMMON_FIRST_UPSTREAM_RX, si, si->first_upstream_rx_ns);
    write_since_start(out, COMMON_LAST_UPSTREAM_RX, si, si->last_upstream_rx_ns);
    write_since_start(out, COMMON_FIRST_DOWNSTREAM_TX, si, si->first_downstream_tx_ns);
    write_since_start(out, COMMON_LAST_DOWNSTREAM_TX, si, si->last_downstream_tx_ns);
    write_since_start(out, COMMON_DURATION, si, si->end_ns != 0 ? si->end_ns : clock_mono_ns());
}

static void write_common(struct strbuf *out, const struct grpc_log_fields *f,
                         const struct access_log_entry *e)
{
    const struct stream_info *si = e->info;
    size_t at = proto_begin(out, 1);

    write_address(out, COMMON_DOWNSTREAM_REMOTE, &si->remote);
    write_address(out, COMMON_DIRECT_REMOTE, si->direct_remote);
    write_address(out, COMMON_DOWNSTREAM_LOCAL, si->local);
    write_tls(out, si);
    write_times(out, si);
    write_address(out, COMMON_UPSTREAM_REMOTE, &si->upstream_remote);
    write_address(out, COMMON_UPSTREAM_LOCAL, &si->upstream_local);
    if (address_is_set(&si->upstream_remote)) { /* as Envoy */
        proto_string(out, COMMON_UPSTREAM_CLUSTER, si->upstream_cluster);
    }
    write_flags(out, si->flags);
    write_metadata(out, si);
    proto_string(out, COMMON_UPSTREAM_FAILURE, si->upstream_transport_failure_reason);
    proto_string(out, COMMON_ROUTE_NAME, si->route_name);
    write_filter_state(out, f, si);
    proto_u64(out, COMMON_ATTEMPTS, si->attempt_count);
    proto_string(out, COMMON_TERMINATION, si->connection_termination_details);
    write_stream_id(out, e);
    proto_bool(out, COMMON_IS_INTERMEDIATE, si->end_ns == 0);
    if (si->connection != NULL) {
        proto_string(out, COMMON_DOWNSTREAM_FAILURE, str_c(si->connection->failure_reason));
    }
    proto_u64(out, COMMON_DOWNSTREAM_WIRE_SENT, si->wire_bytes_sent);
    proto_u64(out, COMMON_DOWNSTREAM_WIRE_RECEIVED, si->wire_bytes_received);
    proto_u64(out, COMMON_UPSTREAM_WIRE_SENT, si->upstream_wire_bytes_sent);
    proto_u64(out, COMMON_UPSTREAM_WIRE_RECEIVED, si->upstream_wire_bytes_received);
    proto_u64(out, COMMON_TYPE, e->type);
    proto_end(out, at);
}

/* --- HTTP --------------------------------------------------------------------------------- */

static uint32_t method_number(struct str method)
{
    static const char *const names[] = {"GET",     "HEAD",    "POST",  "PUT",  "DELETE",
                                        "CONNECT", "OPTIONS", "TRACE", "PATCH"};

    for (uint32_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_eq(method, str_c(names[i]))) {
            return i + 1;
        }
    }
    return 0;
}

/* A map of those that are there. */
static void write_headers(struct strbuf *out, uint32_t field, const struct grpc_log_headers *names,
                          const struct header_map *m)
{
    for (size_t i = 0; m != NULL && i < names->count; i++) {
        size_t at;

        if (header_find_name(m, names->names[i]) == NULL) {
            continue;
        }
        at = proto_begin(out, field);
        proto_string(out, 1, names->names[i]);
        proto_string(out, 2, header_joined(m, names->names[i]));
        proto_end(out, at);
    }
}

static void write_request(struct strbuf *out, const struct grpc_log_fields *f,
                          const struct access_log_entry *e)
{
    const struct header_map *h = e->request_headers;
    const struct stream_info *si = e->info;
    size_t at = proto_begin(out, 3);

    if (h != NULL) {
        proto_u64(out, 1, method_number(header_get(h, HDR_METHOD)));
        proto_string(out, 2, header_get(h, HDR_SCHEME));
        proto_string(out, 3, header_get(h, HDR_AUTHORITY));
        proto_string(out, 5, header_get(h, HDR_PATH));
        proto_string(out, 6, header_get(h, HDR_USER_AGENT));
        proto_string(out, 7, header_get(h, HDR_REFERER));
        proto_string(out, 8, header_get(h, HDR_X_FORWARDED_FOR));
        proto_string(out, 9, header_get(h, HDR_X_REQUEST_ID));
        proto_string(out, 10, header_get(h, HDR_X_ENVOY_ORIGINAL_PATH));
        proto_u64(out, 11, h->byte_size);
    }
    proto_u64(out, 12, si->bytes_received);
    write_headers(out, 13, &f->request_headers, h);
    proto_u64(out, 14, si->upstream_header_bytes_sent);
    proto_u64(out, 15, si->header_bytes_received);
    proto_end(out, at);
}

static void write_response(struct strbuf *out, const struct grpc_log_fields *f,
                           const struct access_log_entry *e)
{
    const struct stream_info *si = e->info;
    size_t at = proto_begin(out, 4);

    if (si->response_code != 0) {
        size_t code = proto_begin(out, 1);

        proto_u64(out, 1, (uint64_t)si->response_code);
        proto_end(out, code);
    }
    proto_u64(out, 2, e->response_headers != NULL ? e->response_headers->byte_size : 0);
    proto_u64(out, 3, si->bytes_sent);
    write_headers(out, 4, &f->response_headers, e->response_headers);
    write_headers(out, 5, &f->response_trailers, e->response_trailers);
    proto_string(out, 6, si->response_code_details);
    proto_u64(out, 7, si->upstream_header_bytes_received);
    proto_u64(out, 8, si->header_bytes_sent);
    proto_end(out, at);
}

static uint32_t protocol_number(enum http_protocol p)
{
    switch (p) {
    case HTTP_10:
        return 1;
    case HTTP_11:
        return 2;
    case HTTP_2:
        return 3;
    default:
        return 0;
    }
}

void grpc_log_write_http(const struct grpc_log_fields *f, const struct access_log_entry *e,
                         struct strbuf *out)
{
    write_common(out, f, e);
    if (e->info->has_protocol) {
        proto_u64(out, 2, protocol_number(e->info->protocol));
    }
    write_request(out, f, e);
    write_response(out, f, e);
}

void grpc_log_write_tcp(const struct grpc_log_fields *f, const struct access_log_entry *e,
                        struct strbuf *out)
{
    size_t at;

    write_common(out, f, e);
    at = proto_begin(out, 2);
    proto_u64(out, 1, e->info->bytes_received);
    proto_u64(out, 2, e->info->bytes_sent);
    proto_end(out, at);
}
