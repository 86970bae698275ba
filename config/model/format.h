#ifndef CONFIG_MODEL_FORMAT_H
#define CONFIG_MODEL_FORMAT_H

/*
 * A substitution format string ("%REQ(:METHOD)% %RESPONSE_CODE%") after parsing. Parsed and
 * checked by config/parse/format.c, evaluated by dataplane/stream_info/formatter.c. One op enum
 * for access logs, header values and local reply bodies.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/str.h"

enum format_op {
    FORMAT_LITERAL,
    FORMAT_REQ, /* arg1 header, arg2 alternative header */
    FORMAT_REQ_WITHOUT_QUERY,
    FORMAT_RESP,
    FORMAT_TRAILER,
    FORMAT_START_TIME, /* arg1: strftime format with %3f ..., empty for the default; is_local */
    FORMAT_EMIT_TIME,  /* the same, of now */
    FORMAT_PROTOCOL,
    FORMAT_UPSTREAM_PROTOCOL,
    FORMAT_RESPONSE_CODE,
    FORMAT_RESPONSE_CODE_DETAILS,
    FORMAT_CONNECTION_TERMINATION_DETAILS,
    FORMAT_RESPONSE_FLAGS,
    FORMAT_RESPONSE_FLAGS_LONG,
    FORMAT_BYTES_RECEIVED,
    FORMAT_BYTES_SENT,
    FORMAT_UPSTREAM_WIRE_BYTES_SENT,
    FORMAT_UPSTREAM_WIRE_BYTES_RECEIVED,
    FORMAT_DOWNSTREAM_WIRE_BYTES_SENT,
    FORMAT_DOWNSTREAM_WIRE_BYTES_RECEIVED,
    FORMAT_UPSTREAM_HEADER_BYTES_SENT,
    FORMAT_UPSTREAM_HEADER_BYTES_RECEIVED,
    FORMAT_DOWNSTREAM_HEADER_BYTES_SENT,
    FORMAT_DOWNSTREAM_HEADER_BYTES_RECEIVED,
    FORMAT_DURATION,
    FORMAT_COMMON_DURATION, /* `interval` */
    FORMAT_DOWNSTREAM_HANDSHAKE_DURATION,
    FORMAT_REQUEST_DURATION,
    FORMAT_REQUEST_TX_DURATION,
    FORMAT_RESPONSE_DURATION,
    FORMAT_RESPONSE_TX_DURATION,
    FORMAT_UPSTREAM_HOST,
    FORMAT_UPSTREAM_HOST_NAME,
    FORMAT_UPSTREAM_CLUSTER,
    FORMAT_UPSTREAM_CLUSTER_RAW,
    FORMAT_UPSTREAM_LOCAL_ADDRESS,
    FORMAT_UPSTREAM_REMOTE_ADDRESS,
    FORMAT_UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT,
    FORMAT_UPSTREAM_LOCAL_PORT,
    FORMAT_UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT,
    FORMAT_UPSTREAM_REMOTE_PORT,
    FORMAT_UPSTREAM_TRANSPORT_FAILURE_REASON,
    FORMAT_UPSTREAM_REQUEST_ATTEMPT_COUNT,
    FORMAT_DOWNSTREAM_REMOTE_ADDRESS,
    FORMAT_DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT,
    FORMAT_DOWNSTREAM_REMOTE_PORT,
    FORMAT_DOWNSTREAM_DIRECT_REMOTE_ADDRESS,
    FORMAT_DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT,
    FORMAT_DOWNSTREAM_DIRECT_REMOTE_PORT,
    FORMAT_DOWNSTREAM_DIRECT_LOCAL_ADDRESS,
    FORMAT_DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT,
    FORMAT_DOWNSTREAM_DIRECT_LOCAL_PORT,
    FORMAT_DOWNSTREAM_LOCAL_ADDRESS,
    FORMAT_DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT,
    FORMAT_DOWNSTREAM_LOCAL_PORT,
    FORMAT_CONNECTION_ID,
    FORMAT_STREAM_ID,
    FORMAT_REQUESTED_SERVER_NAME,
    FORMAT_ROUTE_NAME,
    FORMAT_VIRTUAL_CLUSTER_NAME,
    FORMAT_XFCC_VALUE, /* arg1: the key, in lower case */
    FORMAT_HOSTNAME,
    FORMAT_ENVIRONMENT, /* arg1: the value, read when parsed */
    FORMAT_METADATA,    /* `metadata`; arg1: namespace:key... */
    FORMAT_FILTER_STATE,
    FORMAT_GRPC_STATUS,
    FORMAT_PATH,
    FORMAT_REQUEST_HEADERS_BYTES,
    FORMAT_RESPONSE_HEADERS_BYTES,
    FORMAT_RESPONSE_TRAILERS_BYTES,
    FORMAT_LOCAL_REPLY_BODY,
    FORMAT_DOWNSTREAM_TRANSPORT_FAILURE_REASON,
    FORMAT_ACCESS_LOG_TYPE,
    FORMAT_LISTENER_NAME,
    FORMAT_FILTER_CHAIN_NAME,
    FORMAT_UNIQUE_ID,
    FORMAT_COALESCE,     /* the first of `choices` that has a value */
    FORMAT_QUERY_PARAM,  /* arg1: its name */
    FORMAT_QUERY_PARAMS, /* as it came */
    FORMAT_QUERY_PARAMS_DECODED,
    FORMAT_UPSTREAM_HOST_NAME_WITHOUT_PORT,
    FORMAT_UPSTREAM_CONNECTION_ID,
    FORMAT_UPSTREAM_CONNECTION_IDS_ATTEMPTED,
    FORMAT_UPSTREAM_HOSTS_ATTEMPTED,
    FORMAT_UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT,
    FORMAT_UPSTREAM_HOST_NAMES_ATTEMPTED,
    FORMAT_UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT,
    FORMAT_UPSTREAM_CONNECTION_POOL_READY_DURATION,
    FORMAT_UPSTREAM_SERVER_NAME,
    FORMAT_DOWNSTREAM_CX_RTT,
    FORMAT_NEVER_THERE, /* of protocols and features that there are none of: traces, HTTP/3 */
    FORMAT_ALWAYS_ZERO,
    FORMAT_ALWAYS_EMPTY,
    FORMAT_TLS_JA3_FINGERPRINT,
    FORMAT_TLS_JA4_FINGERPRINT,
    FORMAT_DOWNSTREAM_TLS, /* `tls_field`; arg1: the time format of V_START and V_END */
    FORMAT_UPSTREAM_TLS,
    FORMAT_OP_COUNT
};

/* What of a TLS connection: FORMAT_DOWNSTREAM_TLS and FORMAT_UPSTREAM_TLS. */
enum format_tls_field {
    FORMAT_TLS_VERSION,
    FORMAT_TLS_CIPHER,
    FORMAT_TLS_GROUP,
    FORMAT_TLS_SESSION_ID,
    FORMAT_TLS_PEER_SUBJECT,
    FORMAT_TLS_PEER_ISSUER,
    FORMAT_TLS_PEER_CN,
    FORMAT_TLS_PEER_SERIAL,
    FORMAT_TLS_PEER_SHA256,
    FORMAT_TLS_PEER_SHA1,
    FORMAT_TLS_PEER_CERT,
    FORMAT_TLS_PEER_V_START,
    FORMAT_TLS_PEER_V_END,
    FORMAT_TLS_PEER_CHAIN_SHA256,
    FORMAT_TLS_PEER_CHAIN_SHA1,
    FORMAT_TLS_PEER_CHAIN_SERIALS,
    FORMAT_TLS_PEER_ISSUER_SERIAL,
    FORMAT_TLS_PEER_ISSUER_SHA256,
    FORMAT_TLS_PEER_URI_SAN,
    FORMAT_TLS_PEER_DNS_SAN,
    FORMAT_TLS_PEER_IP_SAN,
    FORMAT_TLS_PEER_EMAIL_SAN,
    FORMAT_TLS_PEER_OTHERNAME_SAN,
    FORMAT_TLS_LOCAL_SUBJECT,
    FORMAT_TLS_LOCAL_URI_SAN,
    FORMAT_TLS_LOCAL_DNS_SAN,
    FORMAT_TLS_LOCAL_IP_SAN,
    FORMAT_TLS_LOCAL_EMAIL_SAN,
    FORMAT_TLS_LOCAL_OTHERNAME_SAN,
    FORMAT_TLS_FIELD_COUNT
};

enum format_metadata {
    FORMAT_METADATA_DYNAMIC,
    FORMAT_METADATA_ROUTE,
    FORMAT_METADATA_VIRTUAL_HOST,
    FORMAT_METADATA_CLUSTER,
    FORMAT_METADATA_UPSTREAM_HOST,
    FORMAT_METADATA_LISTENER,
    FORMAT_METADATA_FILTER_CHAIN,
};

/* REQUESTED_SERVER_NAME: where the name is looked for, first to last. */
enum format_server_name {
    FORMAT_NAME_SNI_ONLY,
    FORMAT_NAME_SNI_FIRST,
    FORMAT_NAME_HOST_FIRST,
};

/* Which host header it takes. */
enum format_host { FORMAT_HOST_ORIG_OR_HOST, FORMAT_HOST_ORIG, FORMAT_HOST_NOW };

/* Moments of a request, for %COMMON_DURATION()%. */
enum format_moment {
    FORMAT_DS_RX_BEG, /* the request began */
    FORMAT_DS_RX_END,
    FORMAT_US_TX_BEG,
    FORMAT_US_TX_END,
    FORMAT_US_RX_BEG,
    FORMAT_US_RX_END,
    FORMAT_DS_TX_BEG,
    FORMAT_DS_TX_END,
    FORMAT_US_CX_BEG, /* the connection was begun, maybe for a request before */
    FORMAT_US_CX_END,
    FORMAT_US_HS_END,
    FORMAT_US_RX_BODY_BEG,
    FORMAT_NO_MOMENT, /* a name that nobody notes: no interval */
    FORMAT_MOMENT_COUNT
};

struct format_interval {
    enum format_moment from;
    enum format_moment to;
    uint32_t unit_ns;
};

struct format_item {
    enum format_op op;
    enum format_tls_field tls_field;
    struct format_interval interval;
    enum format_metadata metadata;
    enum format_server_name server_name;
    enum format_host host;
    bool is_local;       /* times: of this machine's zone, else UTC */
    bool has_prefix_len; /* addresses: masked, as a range */
    uint32_t prefix_len;
    struct str arg1; /* header names are lower-cased */
    struct str arg2;
    bool has_max_len;
    uint32_t max_len;
    const struct format_item *choices; /* COALESCE: at least one; its length is theirs too */
    size_t choice_count;
};

struct format {
    const struct format_item *items;
    size_t count;
    /* A single literal: the common case for header values, no evaluation. */
    bool is_literal;
    struct str literal;
};

/* JSON access logs: a tree whose leaves are formats. */
enum format_json_kind {
    FORMAT_JSON_LEAF,
    FORMAT_JSON_NUMBER,
    FORMAT_JSON_BOOL,
    FORMAT_JSON_NULL,
    FORMAT_JSON_OBJECT,
    FORMAT_JSON_ARRAY
};

struct format_json {
    enum format_json_kind kind;
    struct str key; /* inside an object */
    struct format leaf;
    struct str number; /* as it is written */
    bool boolean;
    const struct format_json *children;
    size_t count;
};

/* core.v3.SubstitutionFormatString. */
struct substitution_format {
    bool is_json;
    struct format text;
    struct format_json json;
    bool omit_empty_values;
    struct str content_type;
};

#endif
