#ifndef CONFIG_MODEL_CORE_H
#define CONFIG_MODEL_CORE_H

/* Small values that several parts of the model share. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/address.h"
#include "dataplane/base/regex.h"
#include "dataplane/base/str.h"

/* Milliseconds; presence matters (`timeout: 0s` is not absent). */
struct opt_ms {
    bool is_set;
    uint64_t ms;
};

struct opt_u32 {
    bool is_set;
    uint32_t value;
};

struct opt_u64 {
    bool is_set;
    uint64_t value;
};

struct opt_bool {
    bool is_set;
    bool value;
};

/* Probability as a fraction: matches when rnd % denominator < numerator. */
struct fraction {
    uint32_t numerator;
    uint32_t denominator;   /* 100, 10000 or 1000000 */
    struct str runtime_key; /* whose value counts instead, where there is one; empty: none */
};

/* A switch that the runtime may turn. */
struct runtime_flag {
    bool default_value;
    struct str runtime_key; /* empty: none */
};

struct locality {
    struct str region;
    struct str zone;
    struct str sub_zone;
};

enum string_match_kind {
    STRING_MATCH_EXACT,
    STRING_MATCH_PREFIX,
    STRING_MATCH_SUFFIX,
    STRING_MATCH_CONTAINS,
    STRING_MATCH_REGEX,
};

struct string_matcher {
    enum string_match_kind kind;
    bool ignore_case; /* not for regex */
    struct str value;
    struct regex *regex; /* owned by the part (cleanup) */
};

bool string_matcher_matches(const struct string_matcher *m, struct str s);

struct regex_rewrite {
    struct regex *regex; /* NULL: no rewrite */
    struct str substitution;
};

/* google.protobuf.Struct, immutable, for metadata. */
enum value_kind { VALUE_NULL, VALUE_NUMBER, VALUE_STRING, VALUE_BOOL, VALUE_STRUCT, VALUE_LIST };

struct value_field;

struct value {
    enum value_kind kind;
    bool boolean;
    double number;
    struct str string;
    const struct value_field *fields; /* VALUE_STRUCT, sorted by name */
    const struct value *items;        /* VALUE_LIST */
    size_t count;
};

struct value_field {
    struct str name;
    struct value value;
};

/* filter_metadata: a struct per namespace. NULL or kind VALUE_STRUCT. */
const struct value *value_get(const struct value *v, struct str name);

enum routing_priority { PRIORITY_DEFAULT, PRIORITY_HIGH, PRIORITY_COUNT };

enum traffic_direction { TRAFFIC_UNSPECIFIED, TRAFFIC_INBOUND, TRAFFIC_OUTBOUND };

struct socket_option {
    int level;
    int name;
    bool is_int;
    int int_value;
    struct str buf_value;
    enum { SOCKET_STATE_PREBIND, SOCKET_STATE_BOUND, SOCKET_STATE_LISTENING } state;
};

enum underscore_action { UNDERSCORE_ALLOW, UNDERSCORE_REJECT_REQUEST, UNDERSCORE_DROP_HEADER };

/* core.v3.HttpProtocolOptions: common to both sides and all versions of HTTP. */
struct http_options {
    struct opt_ms idle_timeout; /* 0 off */
    struct opt_ms max_connection_duration;
    double max_connection_duration_jitter; /* percent of the duration, added at random */
    struct opt_ms max_stream_duration;
    struct opt_u32 max_headers_count;
    struct opt_u32 max_requests_per_connection; /* 0: no limit */
    struct opt_u32 max_response_headers_kb;     /* upstream only */
    enum underscore_action headers_with_underscores;
};

/* How HTTP/1 writes field names. */
enum header_key_format {
    HEADER_KEY_LOWER,
    HEADER_KEY_PROPER,    /* X-Like-This */
    HEADER_KEY_PRESERVED, /* as the message's sender did */
};

/* PreserveCaseFormatterConfig. */
struct header_case_options {
    bool forwards_reason_phrase; /* of responses */
    bool is_proper_otherwise;    /* names that the sender did not use: X-Like-This */
};

/* core.v3.Http1ProtocolOptions. All zero: the defaults. */
struct http1_options {
    bool accept_http_10;
    bool enable_trailers;
    bool allow_chunked_length;
    bool allow_custom_methods;
    bool ignores_absolute_url;     /* the target is taken for a path: allow_absolute_url: false */
    bool send_fully_qualified_url; /* client */
    enum header_key_format header_key_format;
    struct header_case_options header_case; /* HEADER_KEY_PRESERVED */
    struct str default_host_for_http_10;
    /* Server: upgrades to these are no upgrades (h2c never is one). */
    const struct string_matcher *ignored_upgrades;
    size_t ignored_upgrade_count;
    /* A request refused with 400 does not cost its connection. */
    bool stream_error_on_invalid_message;
};

/* core.v3.KeepaliveSettings: PINGs on an HTTP/2 connection. */
struct http2_keepalive {
    uint64_t interval_ms;      /* 0: none */
    uint64_t timeout_ms;       /* for the answer; the connection closes after it */
    uint32_t interval_jitter;  /* percent of the interval, 15 unless set */
    uint64_t idle_interval_ms; /* a PING before a stream after that much silence; 0: none */
};

#define HTTP2_CUSTOM_SETTINGS_MAX 4

struct http2_setting {
    uint16_t id;
    uint32_t value;
};

/* core.v3.Http2ProtocolOptions with the defaults filled in (http2_options_defaults). */
struct http2_options {
    uint32_t hpack_table_size;       /* 4096; ours (decoding), and the bound for encoding */
    uint32_t max_concurrent_streams; /* server: what we allow; client: the most we open */
    uint32_t initial_stream_window_size;
    uint32_t initial_connection_window_size;
    /* Silent configuration: stream windows start small and grow while the consumer keeps up. */
    bool grows_stream_windows;
    bool allow_connect; /* RFC 8441: extended CONNECT */
    /* An invalid message costs its stream, not the connection. */
    bool stream_error_on_invalid_message;
    /* Floods. */
    uint32_t max_outbound_frames;                             /* 10000 */
    uint32_t max_outbound_control_frames;                     /* 1000 */
    uint32_t max_consecutive_inbound_empty_frames;            /* 1 */
    uint32_t max_inbound_priority_frames_per_stream;          /* 100 */
    uint32_t max_inbound_window_update_frames_per_data_frame; /* 10 */
    struct http2_keepalive keepalive;
    /* custom_settings_parameters without a field of their own above: sent as they are. */
    struct http2_setting custom_settings[HTTP2_CUSTOM_SETTINGS_MAX];
    size_t custom_setting_count;
};

#define HTTP2_STREAM_WINDOW_START (64 * 1024 - 1)
#define HTTP2_STREAM_WINDOW_GROWN (1024 * 1024)
#define HTTP2_CONNECTION_WINDOW (16 * 1024 * 1024)
#define HTTP2_MAX_CONCURRENT_STREAMS_SERVER 100
#define HTTP2_MAX_CONCURRENT_STREAMS_CLIENT 1024

/* What silent configuration means. README, "Differs from Envoy". */
struct http2_options http2_options_defaults(bool is_server);

/* Envoy's upgrade types are matched without case: "websocket", "CONNECT", ... */
struct route_upgrade {
    struct str type; /* as configured */
    bool is_enabled;
    /* connect_config: CONNECT (and POST with allow_post) ends here, its payload goes on as TCP. */
    bool terminates_connect;
    bool allow_post;
};

struct tcp_keepalive {
    bool is_enabled;
    struct opt_u32 probes;
    struct opt_u32 time_s;
    struct opt_u32 interval_s;
};

#endif
