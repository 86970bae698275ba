/* Substitution format strings to items. Main thread. Evaluation is stream_info/formatter.c's. */

#include "config/parse/format.h"

#include <stdlib.h>

#include "config/text_node.h"
#include "dataplane/base/xalloc.h"

#define ADDRESS_BITS_MAX 128

/* --- commands ------------------------------------------------------------------------------- */

/* One %COMMAND(argument):length%, cut but not understood. */
struct command {
    struct str name;
    struct str argument;
    bool has_length;
    uint32_t length;
};

typedef int command_argument_fn(struct arena *a, const struct command *c, struct format_item *item,
                                struct error *reterr);

enum command_syntax {
    BARE,           /* neither argument nor length */
    OPTIONAL,       /* an argument is allowed */
    OPTIONAL_SIZED, /* so is a length */
    REQUIRED,       /* the argument is needed */
    REQUIRED_SIZED, /* the argument is needed, a length allowed */
};

struct command_type {
    const char *name;
    enum format_op op;
    enum command_syntax syntax;
    command_argument_fn *argument; /* NULL: keeps none */
};

/* What a header name in %REQ()% may hold: token characters (RFC 9110), also ':' in front. */
static bool is_header_name(struct str name)
{
    static const char punctuation[] = "!#$%&'*+-.^_|~`:";

    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool is_alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (!is_alnum && (c == '\0' || strchr(punctuation, c) == NULL)) {
            return false;
        }
    }
    return true;
}

static struct str lower_copy(struct arena *a, struct str s)
{
    struct str copy = arena_str(a, s);

    str_lower_in_place((char *)(uintptr_t)copy.ptr, copy.len); /* ours: just made */
    return copy;
}

/* "main?alternative" */
static int argument_headers(struct arena *a, const struct command *c, struct format_item *item,
                            struct error *reterr)
{
    size_t cut = str_find_char(c->argument, '?');
    struct str main_name = str_sub(c->argument, 0, cut);
    struct str other_name = STR_NONE;

    if (cut != STR_NPOS) {
        other_name = str_sub(c->argument, cut + 1, c->argument.len);
    }
    if (str_find_char(other_name, '?') != STR_NPOS) {
        return error_set(reterr, E_INVALID,
                         "More than 1 alternative header specified in token: %.*s",
                         STR_ARG(c->argument));
    }
    if (!is_header_name(main_name) || !is_header_name(other_name)) {
        return error_set(
            reterr, E_INVALID,
            "Invalid header configuration. Format string contains invalid characters.");
    }
    item->arg1 = lower_copy(a, main_name);
    item->arg2 = lower_copy(a, other_name);
    return 0;
}

/* A %n of strftime, with flags and a width, would break a log line. */
static bool has_strftime_newline(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] != '%') {
            continue;
        }
        do {
            i++;
        } while (i < s.len && strchr("-_0^#123456789EO", s.ptr[i]) != NULL && s.ptr[i] != '\0');
        if (i < s.len && s.ptr[i] == 'n') {
            return true;
        }
    }
    return false;
}

static int argument_time(struct arena *a, const struct command *c, struct format_item *item,
                         struct error *reterr)
{
    /* "%E4n" is a fraction of absl's, not a newline. */
    if (has_strftime_newline(c->argument) && str_find(c->argument, STR("%E")) == STR_NPOS) {
        return error_set(reterr, E_INVALID,
                         "Invalid header configuration. Format string contains newline.");
    }
    item->arg1 = arena_str(a, c->argument);
    item->is_local = str_ends(c->name, STR("_LOCAL"));
    return 0;
}

/* Read now: the environment does not change while a configuration lives. */
static int argument_environment(struct arena *a, const struct command *c, struct format_item *item,
                                struct error *reterr)
{
    char *name = xstrndup(c->argument.ptr, c->argument.len);
    const char *value = getenv(name);

    (void)reterr;
    free(name);
    item->arg1 = arena_str(a, value != NULL ? str_c(value) : STR("-"));
    return 0;
}

/* "TYPE:namespace:key:..." */
static int argument_metadata(struct arena *a, const struct command *c, struct format_item *item,
                             struct error *reterr)
{
    static const struct {
        const char *name;
        enum format_metadata kind;
    } kinds[] = {
        {"DYNAMIC", FORMAT_METADATA_DYNAMIC},
        {"ROUTE", FORMAT_METADATA_ROUTE},
        {"VIRTUAL_HOST", FORMAT_METADATA_VIRTUAL_HOST},
        {"CLUSTER", FORMAT_METADATA_CLUSTER},
        {"UPSTREAM_HOST", FORMAT_METADATA_UPSTREAM_HOST},
        {"LISTENER", FORMAT_METADATA_LISTENER},
        {"LISTENER_FILTER_CHAIN", FORMAT_METADATA_FILTER_CHAIN},
    };
    struct str rest = c->argument;
    struct str type = STR_NONE;

    (void)str_split(&rest, ':', &type); /* an empty argument leaves an empty type */
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (str_eq(type, str_c(kinds[i].name))) {
            item->metadata = kinds[i].kind;
            item->arg1 = arena_str(a, rest);
            return 0;
        }
    }
    return error_set(reterr, E_INVALID, "%.*s is not supported type of metadata", STR_ARG(type));
}

/* `namespace:key:...`, or in the older spelling of header values `["namespace", "key", ...]`. */
static int argument_path(struct arena *a, const struct command *c, struct format_item *item,
                         struct error *reterr)
{
    char *text;
    size_t len = 0;

    (void)reterr;
    if (str_eq(c->name, STR("CLUSTER_METADATA"))) {
        item->metadata = FORMAT_METADATA_CLUSTER;
    } else if (str_eq(c->name, STR("UPSTREAM_METADATA"))) {
        item->metadata = FORMAT_METADATA_UPSTREAM_HOST;
    }
    if (c->argument.ptr[0] != '[') {
        item->arg1 = arena_str(a, c->argument);
        return 0;
    }
    text = arena_alloc(a, c->argument.len + 1);
    for (size_t i = 0; i < c->argument.len; i++) {
        char ch = c->argument.ptr[i];

        if (strchr("[]\" ", ch) == NULL) {
            text[len++] = ch == ',' ? ':' : ch;
        }
    }
    item->arg1 = str_n(text, len);
    return 0;
}

/* "key", "key:PLAIN", "key:TYPED" or "key:FIELD:name" */
static int argument_filter_state(struct arena *a, const struct command *c, struct format_item *item,
                                 struct error *reterr)
{
    struct str rest = c->argument;
    struct str key = STR_NONE;
    struct str serialize = STR_NONE;
    struct str field = STR_NONE;
    bool has_serialize;
    bool has_field;

    (void)str_split(&rest, ':', &key); /* absent: empty, refused below */
    has_serialize = str_split(&rest, ':', &serialize);
    has_field = str_split(&rest, ':', &field);
    if (key.len == 0) {
        return error_set(reterr, E_INVALID,
                         "Invalid filter state configuration, key cannot be empty.");
    }
    if (has_serialize && !str_eq(serialize, STR("PLAIN")) && !str_eq(serialize, STR("TYPED")) &&
        !str_eq(serialize, STR("FIELD"))) {
        return error_set(reterr, E_INVALID,
                         "Invalid filter state serialize type, only support PLAIN/TYPED/FIELD.");
    }
    if (str_eq(serialize, STR("FIELD")) != has_field) {
        return error_set(reterr, E_INVALID,
                         "Invalid filter state serialize type, FIELD should be used with the "
                         "field name.");
    }
    item->arg1 = arena_str(a, key);
    item->arg2 = arena_str(a, str_sub(c->argument, key.len + 1, c->argument.len));
    return 0;
}

static int argument_grpc_status(struct arena *a, const struct command *c, struct format_item *item,
                                struct error *reterr)
{
    struct str arg = c->argument;

    if (arg.len > 0 && !str_eq(arg, STR("CAMEL_STRING")) && !str_eq(arg, STR("SNAKE_STRING")) &&
        !str_eq(arg, STR("NUMBER"))) {
        return error_set(reterr, E_INVALID,
                         "GrpcStatusFormatter only supports CAMEL_STRING, SNAKE_STRING or NUMBER. "
                         "Got: %.*s",
                         STR_ARG(arg));
    }
    item->arg1 = arena_str(a, arg);
    return 0;
}

static int argument_grpc_status_number(struct arena *a, const struct command *c,
                                       struct format_item *item, struct error *reterr)
{
    (void)a;
    (void)c;
    (void)reterr;
    item->arg1 = STR("NUMBER");
    return 0;
}

/* "WQ" or "NQ" (query kept or not), then ":ORIG", ":PATH" or ":ORIG_OR_PATH". */
static int argument_url_path(struct arena *a, const struct command *c, struct format_item *item,
                             struct error *reterr)
{
    struct str rest = c->argument;
    struct str query = STR_NONE;
    struct str which = STR_NONE;

    (void)str_split(&rest, ':', &query); /* absent: the defaults below */
    (void)str_split(&rest, ':', &which);
    if (query.len > 0 && !str_eq(query, STR("WQ")) && !str_eq(query, STR("NQ"))) {
        return error_set(reterr, E_INVALID,
                         "Invalid PATH option: '%.*s', only 'WQ'/'NQ' are allowed", STR_ARG(query));
    }
    if (which.len > 0 && !str_eq(which, STR("ORIG")) && !str_eq(which, STR("PATH")) &&
        !str_eq(which, STR("ORIG_OR_PATH"))) {
        return error_set(reterr, E_INVALID,
                         "Invalid PATH option: '%.*s', only 'ORIG'/'PATH'/'ORIG_OR_PATH' are "
                         "allowed",
                         STR_ARG(which));
    }
    item->arg1 = query.len > 0 ? arena_str(a, query) : STR("WQ");
    item->arg2 = which.len > 0 ? arena_str(a, which) : STR("ORIG_OR_PATH");
    return 0;
}

/* "SNI_FIRST", "HOST_FIRST" or "SNI_ONLY", then ":ORIG", ":HOST" or ":ORIG_OR_HOST" */
static int argument_server_name(struct arena *a, const struct command *c, struct format_item *item,
                                struct error *reterr)
{
    struct str rest = c->argument;
    struct str order = STR_NONE;
    struct str host = STR_NONE;

    (void)a;
    (void)str_split(&rest, ':', &order); /* absent: the defaults below */
    (void)str_split(&rest, ':', &host);
    if (str_eq(order, STR("SNI_FIRST"))) {
        item->server_name = FORMAT_NAME_SNI_FIRST;
    } else if (str_eq(order, STR("HOST_FIRST"))) {
        item->server_name = FORMAT_NAME_HOST_FIRST;
    } else if (order.len > 0 && !str_eq(order, STR("SNI_ONLY"))) {
        return error_set(reterr, E_INVALID,
                         "Invalid REQUESTED_SERVER_NAME option: '%.*s', only "
                         "'SNI_ONLY'/'SNI_FIRST'/'HOST_FIRST' are allowed",
                         STR_ARG(order));
    }
    if (str_eq(host, STR("ORIG"))) {
        item->host = FORMAT_HOST_ORIG;
    } else if (str_eq(host, STR("HOST"))) {
        item->host = FORMAT_HOST_NOW;
    } else if (host.len > 0 && !str_eq(host, STR("ORIG_OR_HOST"))) {
        return error_set(reterr, E_INVALID,
                         "Invalid REQUESTED_SERVER_NAME option: '%.*s', only "
                         "'ORIG_OR_HOST'/'HOST'/'ORIG' are allowed",
                         STR_ARG(host));
    }
    return 0;
}

static int argument_text(struct arena *a, const struct command *c, struct format_item *item,
                         struct error *reterr)
{
    (void)reterr;
    item->arg1 = arena_str(a, c->argument);
    return 0;
}

static int argument_query(struct arena *a, const struct command *c, struct format_item *item,
                          struct error *reterr)
{
    (void)a;
    if (str_eq(c->argument, STR("DECODED"))) {
        item->op = FORMAT_QUERY_PARAMS_DECODED;
        return 0;
    }
    if (c->argument.len > 0 && !str_eq(c->argument, STR("ORIG"))) {
        return error_set(reterr, E_INVALID,
                         "Invalid QUERY_PARAMS option: '%.*s', only 'ORIG'/'DECODED' are allowed",
                         STR_ARG(c->argument));
    }
    return 0;
}

/* A key of x-forwarded-client-cert in any case. As Envoy: a length is of no effect. */
static int argument_xfcc(struct arena *a, const struct command *c, struct format_item *item,
                         struct error *reterr)
{
    static const struct str keys[] = {{"by", 2},      {"hash", 4}, {"cert", 4}, {"chain", 5},
                                      {"subject", 7}, {"uri", 3},  {"dns", 3}};

    (void)a;
    if (c->argument.len == 0) {
        return error_set(reterr, E_INVALID, "XFCC_VALUE command requires a subcommand");
    }
    item->has_max_len = false;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (str_eq_nocase(c->argument, keys[i])) {
            item->arg1 = keys[i];
            return 0;
        }
    }
    return error_set(reterr, E_INVALID, "XFCC_VALUE command does not support subcommand: %.*s",
                     STR_ARG(c->argument));
}

static int argument_whitespace(struct arena *a, const struct command *c, struct format_item *item,
                               struct error *reterr)
{
    (void)reterr;
    item->arg1 = arena_str(a, c->argument); /* "ALLOW_WHITESPACES" keeps blanks; else ignored */
    return 0;
}

/* As Envoy: what is no number is as if it were not there. */
static int argument_prefix_len(struct arena *a, const struct command *c, struct format_item *item,
                               struct error *reterr)
{
    uint64_t n;

    (void)a;
    (void)reterr;
    if (parse_u64(c->argument, &n) == 0) {
        item->has_prefix_len = true;
        item->prefix_len = n < ADDRESS_BITS_MAX ? (uint32_t)n : ADDRESS_BITS_MAX;
    }
    return 0;
}

/* --- durations ------------------------------------------------------------------------------ */

static const char *const moment_names[FORMAT_NO_MOMENT] = {
    [FORMAT_DS_RX_BEG] = "DS_RX_BEG", [FORMAT_DS_RX_END] = "DS_RX_END",
    [FORMAT_US_TX_BEG] = "US_TX_BEG", [FORMAT_US_TX_END] = "US_TX_END",
    [FORMAT_US_RX_BEG] = "US_RX_BEG", [FORMAT_US_RX_END] = "US_RX_END",
    [FORMAT_DS_TX_BEG] = "DS_TX_BEG", [FORMAT_DS_TX_END] = "DS_TX_END",
    [FORMAT_US_CX_BEG] = "US_CX_BEG", [FORMAT_US_CX_END] = "US_CX_END",
    [FORMAT_US_HS_END] = "US_HS_END", [FORMAT_US_RX_BODY_BEG] = "US_RX_BODY_BEG",
};

/* Any other name is one that some filter of Envoy's may have noted: accepted, never there. */
static enum format_moment moment_parse(struct str name)
{
    size_t i = 0;

    while (i < FORMAT_NO_MOMENT && !str_eq(name, str_c(moment_names[i]))) {
        i++;
    }
    return (enum format_moment)i;
}

static int unit_parse(struct str name, uint32_t *ret_ns, struct error *reterr)
{
    if (str_eq(name, STR("ms"))) {
        *ret_ns = 1000000;
    } else if (str_eq(name, STR("us"))) {
        *ret_ns = 1000;
    } else if (str_eq(name, STR("ns"))) {
        *ret_ns = 1;
    } else {
        return error_set(reterr, E_INVALID, "Invalid common duration precision: %.*s.",
                         STR_ARG(name));
    }
    return 0;
}

/* "FROM:TO", in milliseconds, or with ":ms", ":us" or ":ns" behind */
static int argument_interval(struct arena *a, const struct command *c, struct format_item *item,
                             struct error *reterr)
{
    struct str rest = c->argument;
    struct str from = STR_NONE;
    struct str to = STR_NONE;
    struct str unit = STR("ms");
    int r;

    (void)a;
    (void)str_split(&rest, ':', &from); /* an argument is never empty */
    if (!str_split(&rest, ':', &to) || (str_split(&rest, ':', &unit) && rest.ptr != NULL)) {
        return error_set(reterr, E_INVALID, "Invalid common duration configuration: %.*s.",
                         STR_ARG(c->argument));
    }
    r = unit_parse(unit, &item->interval.unit_ns, reterr);
    item->interval.from = moment_parse(from);
    item->interval.to = moment_parse(to);
    return r;
}

/* --- TLS operators -------------------------------------------------------------------------- */

/* What follows "DOWNSTREAM_" or "UPSTREAM_". */
static const char *const tls_field_names[FORMAT_TLS_FIELD_COUNT] = {
    [FORMAT_TLS_VERSION] = "TLS_VERSION",
    [FORMAT_TLS_CIPHER] = "TLS_CIPHER",
    [FORMAT_TLS_GROUP] = "TLS_GROUP",
    [FORMAT_TLS_SESSION_ID] = "TLS_SESSION_ID",
    [FORMAT_TLS_PEER_SUBJECT] = "PEER_SUBJECT",
    [FORMAT_TLS_PEER_ISSUER] = "PEER_ISSUER",
    [FORMAT_TLS_PEER_CN] = "PEER_CN",
    [FORMAT_TLS_PEER_SERIAL] = "PEER_SERIAL",
    [FORMAT_TLS_PEER_SHA256] = "PEER_FINGERPRINT_256",
    [FORMAT_TLS_PEER_SHA1] = "PEER_FINGERPRINT_1",
    [FORMAT_TLS_PEER_CERT] = "PEER_CERT",
    [FORMAT_TLS_PEER_V_START] = "PEER_CERT_V_START",
    [FORMAT_TLS_PEER_V_END] = "PEER_CERT_V_END",
    [FORMAT_TLS_PEER_CHAIN_SHA256] = "PEER_CHAIN_FINGERPRINTS_256",
    [FORMAT_TLS_PEER_CHAIN_SHA1] = "PEER_CHAIN_FINGERPRINTS_1",
    [FORMAT_TLS_PEER_CHAIN_SERIALS] = "PEER_CHAIN_SERIALS",
    [FORMAT_TLS_PEER_ISSUER_SERIAL] = "PEER_ISSUER_SERIAL",
    [FORMAT_TLS_PEER_ISSUER_SHA256] = "PEER_ISSUER_FINGERPRINT_256",
    [FORMAT_TLS_PEER_URI_SAN] = "PEER_URI_SAN",
    [FORMAT_TLS_PEER_DNS_SAN] = "PEER_DNS_SAN",
    [FORMAT_TLS_PEER_IP_SAN] = "PEER_IP_SAN",
    [FORMAT_TLS_PEER_EMAIL_SAN] = "PEER_EMAIL_SAN",
    [FORMAT_TLS_PEER_OTHERNAME_SAN] = "PEER_OTHERNAME_SAN",
    [FORMAT_TLS_LOCAL_SUBJECT] = "LOCAL_SUBJECT",
    [FORMAT_TLS_LOCAL_URI_SAN] = "LOCAL_URI_SAN",
    [FORMAT_TLS_LOCAL_DNS_SAN] = "LOCAL_DNS_SAN",
    [FORMAT_TLS_LOCAL_IP_SAN] = "LOCAL_IP_SAN",
    [FORMAT_TLS_LOCAL_EMAIL_SAN] = "LOCAL_EMAIL_SAN",
    [FORMAT_TLS_LOCAL_OTHERNAME_SAN] = "LOCAL_OTHERNAME_SAN",
};

static int argument_tls(struct arena *a, const struct command *c, struct format_item *item,
                        struct error *reterr)
{
    struct str field = str_sub(c->name, str_find_char(c->name, '_') + 1, c->name.len);
    size_t i = 0;

    (void)a;
    (void)reterr;
    while (!str_eq(str_c(tls_field_names[i]), field)) {
        i++; /* command_types names no others */
    }
    item->tls_field = (enum format_tls_field)i;
    return 0;
}

static int argument_tls_time(struct arena *a, const struct command *c, struct format_item *item,
                             struct error *reterr)
{
    int r = argument_time(a, c, item, reterr);

    return r == 0 ? argument_tls(a, c, item, reterr) : r;
}

/* {"operators": ["NAME", {"command": "REQ", "param": "x"}]}; below. */
static int argument_coalesce(struct arena *a, const struct command *c, struct format_item *item,
                             struct error *reterr);

/* Sorted by name. */
static const struct command_type command_types[] = {
    {"ACCESS_LOG_TYPE", FORMAT_ACCESS_LOG_TYPE, BARE, NULL},
    {"BYTES_RECEIVED", FORMAT_BYTES_RECEIVED, BARE, NULL},
    {"BYTES_RETRANSMITTED", FORMAT_ALWAYS_ZERO, BARE, NULL},
    {"BYTES_SENT", FORMAT_BYTES_SENT, BARE, NULL},
    {"CLUSTER_METADATA", FORMAT_METADATA, REQUIRED, argument_path},
    {"COALESCE", FORMAT_COALESCE, REQUIRED_SIZED, argument_coalesce},
    {"COMMON_DURATION", FORMAT_COMMON_DURATION, REQUIRED, argument_interval},
    {"CONNECTION_ID", FORMAT_CONNECTION_ID, BARE, NULL},
    {"CONNECTION_TERMINATION_DETAILS", FORMAT_CONNECTION_TERMINATION_DETAILS, BARE, NULL},
    {"CUSTOM_FLAGS", FORMAT_ALWAYS_EMPTY, BARE, NULL},
    {"DOWNSTREAM_CX_RTT", FORMAT_DOWNSTREAM_CX_RTT, BARE, NULL},
    {"DOWNSTREAM_DIRECT_LOCAL_ADDRESS", FORMAT_DOWNSTREAM_DIRECT_LOCAL_ADDRESS, BARE, NULL},
    {"DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID", FORMAT_ALWAYS_EMPTY, BARE, NULL},
    {"DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT",
     FORMAT_DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT, OPTIONAL, argument_prefix_len},
    {"DOWNSTREAM_DIRECT_LOCAL_PORT", FORMAT_DOWNSTREAM_DIRECT_LOCAL_PORT, BARE, NULL},
    {"DOWNSTREAM_DIRECT_REMOTE_ADDRESS", FORMAT_DOWNSTREAM_DIRECT_REMOTE_ADDRESS, BARE, NULL},
    {"DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
     FORMAT_DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT, OPTIONAL, argument_prefix_len},
    {"DOWNSTREAM_DIRECT_REMOTE_PORT", FORMAT_DOWNSTREAM_DIRECT_REMOTE_PORT, BARE, NULL},
    {"DOWNSTREAM_HANDSHAKE_DURATION", FORMAT_DOWNSTREAM_HANDSHAKE_DURATION, BARE, NULL},
    {"DOWNSTREAM_HEADER_BYTES_RECEIVED", FORMAT_DOWNSTREAM_HEADER_BYTES_RECEIVED, BARE, NULL},
    {"DOWNSTREAM_HEADER_BYTES_SENT", FORMAT_DOWNSTREAM_HEADER_BYTES_SENT, BARE, NULL},
    {"DOWNSTREAM_LOCAL_ADDRESS", FORMAT_DOWNSTREAM_LOCAL_ADDRESS, BARE, NULL},
    {"DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID", FORMAT_ALWAYS_EMPTY, BARE, NULL},
    {"DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", FORMAT_DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT,
     OPTIONAL, argument_prefix_len},
    {"DOWNSTREAM_LOCAL_DNS_SAN", FORMAT_DOWNSTREAM_TLS, BARE, argument_tls},
    {"DOWNSTREAM_LOCAL_EMAIL_SAN", FORMAT_DOWNSTREAM_TLS, BARE, argument_tls},
    {"DOWNSTREAM_LOCAL_IP_SAN", FORMAT_DOWNSTREAM_TLS, BARE, argument_tls},
    {"DOWNSTREAM_LOCAL_OTHERNAME_SAN", FORMAT_DOWNSTREAM_TLS, BARE, argument_tls},
    {"DOWNSTREAM_LOCAL_PORT", FORMAT_DOWNSTREAM_LOCAL_PORT, BARE, NULL},
    {"DOWNSTREAM_LOCAL_SUBJECT", FORMAT_DOWNSTREAM_TLS, BARE, argument_tls},
    {"DOWNSTREAM_LOCAL_URI_SAN", FORMAT_DOWNSTREAM_TLS, BARE, argument_tls},
    {"DOWNSTREAM_PEER_CERT", FORMAT_DOWNSTREAM_TLS, BARE, argument_tls},
    {"DOWNSTREAM_PEER_CERT_V_END", FORMAT_DOWNSTREAM_TLS, OPTIONAL, argument_tls_time},
    {"DOWNSTREAM_PEER_CERT_V_START", FORMAT_DOWNSTREAM_TLS, OPTIONAL, argument_tls_time},
    {"DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1", FORMAT_DOWNSTREAM_TLS, BARE, argument_tls},
    {"DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256", FORMAT_DOWNSTREAM_TLS, BARE, argument_tls},
    {"DOWNSTREAM_PEER_CHAIN_SERIALS", FORMAT_DOWNSTREAM_TLS, BARE, argument_tls},
    {"DOWNSTREAM_PEER_CN", FORMAT_DOWNSTREAM_TLS, BARE, argument_tls},
    {"DOWNSTREAM_PEER_DNS_SAN", FORMAT_DOWNSTREAM_TLS, BARE, argument_tls},
    {"DOWNSTREAM_PEER_EMAIL_SAN", FORMAT_DOWNSTREAM_TLS, BARE, argument_tls},
    {"DOWNSTREAM_PEER_FINGERPRINT_1", FORMAT_DOWNSTREAM_TLS, BARE, argument_tls},
    {"DOWNSTREAM_PEER_FINGERPRINT_256", FORMAT_DOWNSTREAM_TLS, BARE, argument_tls},
    {"DOWNSTREAM_PEER_IP_SAN", FORMAT_DOWNSTREAM_TLS, BARE, argument_tls},
    {"DOWNSTREAM_PEER_ISSUER", FORMAT_DOWNSTREAM_TLS, BARE, argument_tls},
    {"DOWNSTREAM_PEER_ISSUER_FINGERPRINT_256", FORMAT_DOWNSTREAM_TLS, BARE, argument_tls},
    {"DOWNSTREAM_PEER_ISSUER_SERIAL", FORMAT_DOWNSTREAM_TLS, BARE, argument_tls},
    {"DOWNSTREAM_PEER_OTHERNAME_SAN", FORMAT_DOWNSTREAM_TLS, BARE, argument_tls},
    {"DOWNSTREAM_PEER_SERIAL", FORMAT_DOWNSTREAM_TLS, BARE, argument_tls},
    {"DOWNSTREAM_PEER_SUBJECT", FORMAT_DOWNSTREAM_TLS, BARE, argument_tls},
    {"DOWNSTREAM_PEER_URI_SAN", FORMAT_DOWNSTREAM_TLS, BARE, argument_tls},
    {"DOWNSTREAM_REMOTE_ADDRESS", FORMAT_DOWNSTREAM_REMOTE_ADDRESS, BARE, NULL},
    {"DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", FORMAT_DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT,
     OPTIONAL, argument_prefix_len},
    {"DOWNSTREAM_REMOTE_PORT", FORMAT_DOWNSTREAM_REMOTE_PORT, BARE, NULL},
    {"DOWNSTREAM_TLS_CIPHER", FORMAT_DOWNSTREAM_TLS, BARE, argument_tls},
    {"DOWNSTREAM_TLS_GROUP", FORMAT_DOWNSTREAM_TLS, BARE, argument_tls},
    {"DOWNSTREAM_TLS_SESSION_ID", FORMAT_DOWNSTREAM_TLS, BARE, argument_tls},
    {"DOWNSTREAM_TLS_VERSION", FORMAT_DOWNSTREAM_TLS, BARE, argument_tls},
    {"DOWNSTREAM_TRANSPORT_FAILURE_REASON", FORMAT_DOWNSTREAM_TRANSPORT_FAILURE_REASON, BARE, NULL},
    {"DOWNSTREAM_WIRE_BYTES_RECEIVED", FORMAT_DOWNSTREAM_WIRE_BYTES_RECEIVED, BARE, NULL},
    {"DOWNSTREAM_WIRE_BYTES_SENT", FORMAT_DOWNSTREAM_WIRE_BYTES_SENT, BARE, NULL},
    {"DURATION", FORMAT_DURATION, BARE, NULL},
    {"DYNAMIC_METADATA", FORMAT_METADATA, REQUIRED_SIZED, argument_path},
    {"EMIT_TIME", FORMAT_EMIT_TIME, OPTIONAL, argument_time},
    {"EMIT_TIME_LOCAL", FORMAT_EMIT_TIME, OPTIONAL, argument_time},
    {"ENVIRONMENT", FORMAT_ENVIRONMENT, REQUIRED_SIZED, argument_environment},
    {"FILTER_CHAIN_NAME", FORMAT_FILTER_CHAIN_NAME, BARE, NULL},
    {"FILTER_STATE", FORMAT_FILTER_STATE, OPTIONAL_SIZED, argument_filter_state},
    {"GRPC_STATUS", FORMAT_GRPC_STATUS, OPTIONAL, argument_grpc_status},
    {"GRPC_STATUS_NUMBER", FORMAT_GRPC_STATUS, BARE, argument_grpc_status_number},
    {"HOSTNAME", FORMAT_HOSTNAME, BARE, NULL},
    {"LISTENER_NAME", FORMAT_LISTENER_NAME, BARE, NULL},
    {"LOCAL_REPLY_BODY", FORMAT_LOCAL_REPLY_BODY, BARE, NULL},
    {"METADATA", FORMAT_METADATA, OPTIONAL_SIZED, argument_metadata},
    {"PACKETS_RETRANSMITTED", FORMAT_ALWAYS_ZERO, BARE, NULL},
    {"PATH", FORMAT_PATH, OPTIONAL_SIZED, argument_url_path},
    {"PROTOCOL", FORMAT_PROTOCOL, BARE, NULL},
    {"QUERY_PARAM", FORMAT_QUERY_PARAM, REQUIRED_SIZED, argument_text},
    {"QUERY_PARAMS", FORMAT_QUERY_PARAMS, OPTIONAL_SIZED, argument_query},
    {"REQ", FORMAT_REQ, REQUIRED_SIZED, argument_headers},
    {"REQUESTED_SERVER_NAME", FORMAT_REQUESTED_SERVER_NAME, OPTIONAL, argument_server_name},
    {"REQUEST_DURATION", FORMAT_REQUEST_DURATION, BARE, NULL},
    {"REQUEST_HEADERS_BYTES", FORMAT_REQUEST_HEADERS_BYTES, BARE, NULL},
    {"REQUEST_TX_DURATION", FORMAT_REQUEST_TX_DURATION, BARE, NULL},
    {"RESP", FORMAT_RESP, REQUIRED_SIZED, argument_headers},
    {"RESPONSE_CODE", FORMAT_RESPONSE_CODE, BARE, NULL},
    {"RESPONSE_CODE_DETAILS", FORMAT_RESPONSE_CODE_DETAILS, OPTIONAL, argument_whitespace},
    {"RESPONSE_DURATION", FORMAT_RESPONSE_DURATION, BARE, NULL},
    {"RESPONSE_FLAGS", FORMAT_RESPONSE_FLAGS, BARE, NULL},
    {"RESPONSE_FLAGS_LONG", FORMAT_RESPONSE_FLAGS_LONG, BARE, NULL},
    {"RESPONSE_HEADERS_BYTES", FORMAT_RESPONSE_HEADERS_BYTES, BARE, NULL},
    {"RESPONSE_TRAILERS_BYTES", FORMAT_RESPONSE_TRAILERS_BYTES, BARE, NULL},
    {"RESPONSE_TX_DURATION", FORMAT_RESPONSE_TX_DURATION, BARE, NULL},
    {"ROUNDTRIP_DURATION", FORMAT_NEVER_THERE, BARE, NULL},
    {"ROUTE_NAME", FORMAT_ROUTE_NAME, BARE, NULL},
    {"SPAN_ID", FORMAT_NEVER_THERE, BARE, NULL},
    {"START_TIME", FORMAT_START_TIME, OPTIONAL, argument_time},
    {"START_TIME_LOCAL", FORMAT_START_TIME, OPTIONAL, argument_time},
    {"STREAM_ID", FORMAT_STREAM_ID, BARE, NULL},
    {"TLS_JA3_FINGERPRINT", FORMAT_TLS_JA3_FINGERPRINT, BARE, NULL},
    {"TLS_JA4_FINGERPRINT", FORMAT_TLS_JA4_FINGERPRINT, BARE, NULL},
    {"TRACE_ID", FORMAT_NEVER_THERE, BARE, NULL},
    {"TRAILER", FORMAT_TRAILER, REQUIRED_SIZED, argument_headers},
    {"UNIQUE_ID", FORMAT_UNIQUE_ID, BARE, NULL},
    {"UPSTREAM_CLUSTER", FORMAT_UPSTREAM_CLUSTER, BARE, NULL},
    {"UPSTREAM_CLUSTER_RAW", FORMAT_UPSTREAM_CLUSTER_RAW, BARE, NULL},
    {"UPSTREAM_CONNECTION_ID", FORMAT_UPSTREAM_CONNECTION_ID, BARE, NULL},
    {"UPSTREAM_CONNECTION_IDS_ATTEMPTED", FORMAT_UPSTREAM_CONNECTION_IDS_ATTEMPTED, BARE, NULL},
    {"UPSTREAM_CONNECTION_POOL_READY_DURATION", FORMAT_UPSTREAM_CONNECTION_POOL_READY_DURATION,
     BARE, NULL},
    {"UPSTREAM_FILTER_STATE", FORMAT_NEVER_THERE, OPTIONAL_SIZED, argument_filter_state},
    {"UPSTREAM_HEADER_BYTES_RECEIVED", FORMAT_UPSTREAM_HEADER_BYTES_RECEIVED, BARE, NULL},
    {"UPSTREAM_HEADER_BYTES_SENT", FORMAT_UPSTREAM_HEADER_BYTES_SENT, BARE, NULL},
    {"UPSTREAM_HOST", FORMAT_UPSTREAM_HOST, BARE, NULL},
    {"UPSTREAM_HOSTS_ATTEMPTED", FORMAT_UPSTREAM_HOSTS_ATTEMPTED, BARE, NULL},
    {"UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT", FORMAT_UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT, BARE,
     NULL},
    {"UPSTREAM_HOST_NAME", FORMAT_UPSTREAM_HOST_NAME, BARE, NULL},
    {"UPSTREAM_HOST_NAMES_ATTEMPTED", FORMAT_UPSTREAM_HOST_NAMES_ATTEMPTED, BARE, NULL},
    {"UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT",
     FORMAT_UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT, BARE, NULL},
    {"UPSTREAM_HOST_NAME_WITHOUT_PORT", FORMAT_UPSTREAM_HOST_NAME_WITHOUT_PORT, BARE, NULL},
    {"UPSTREAM_LOCAL_ADDRESS", FORMAT_UPSTREAM_LOCAL_ADDRESS, BARE, NULL},
    {"UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", FORMAT_UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT, OPTIONAL,
     argument_prefix_len},
    {"UPSTREAM_LOCAL_DNS_SAN", FORMAT_UPSTREAM_TLS, BARE, argument_tls},
    {"UPSTREAM_LOCAL_IP_SAN", FORMAT_UPSTREAM_TLS, BARE, argument_tls},
    {"UPSTREAM_LOCAL_PORT", FORMAT_UPSTREAM_LOCAL_PORT, BARE, NULL},
    {"UPSTREAM_LOCAL_URI_SAN", FORMAT_UPSTREAM_TLS, BARE, argument_tls},
    {"UPSTREAM_METADATA", FORMAT_METADATA, REQUIRED, argument_path},
    {"UPSTREAM_PEER_CERT", FORMAT_UPSTREAM_TLS, BARE, argument_tls},
    {"UPSTREAM_PEER_CERT_V_END", FORMAT_UPSTREAM_TLS, OPTIONAL, argument_tls_time},
    {"UPSTREAM_PEER_CERT_V_START", FORMAT_UPSTREAM_TLS, OPTIONAL, argument_tls_time},
    {"UPSTREAM_PEER_DNS_SAN", FORMAT_UPSTREAM_TLS, BARE, argument_tls},
    {"UPSTREAM_PEER_IP_SAN", FORMAT_UPSTREAM_TLS, BARE, argument_tls},
    {"UPSTREAM_PEER_ISSUER", FORMAT_UPSTREAM_TLS, BARE, argument_tls},
    {"UPSTREAM_PEER_SUBJECT", FORMAT_UPSTREAM_TLS, BARE, argument_tls},
    {"UPSTREAM_PEER_URI_SAN", FORMAT_UPSTREAM_TLS, BARE, argument_tls},
    {"UPSTREAM_PROTOCOL", FORMAT_UPSTREAM_PROTOCOL, BARE, NULL},
    {"UPSTREAM_REMOTE_ADDRESS", FORMAT_UPSTREAM_REMOTE_ADDRESS, BARE, NULL},
    {"UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID", FORMAT_ALWAYS_EMPTY, BARE, NULL},
    {"UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", FORMAT_UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT, OPTIONAL,
     argument_prefix_len},
    {"UPSTREAM_REMOTE_PORT", FORMAT_UPSTREAM_REMOTE_PORT, BARE, NULL},
    {"UPSTREAM_REQUEST_ATTEMPT_COUNT", FORMAT_UPSTREAM_REQUEST_ATTEMPT_COUNT, BARE, NULL},
    {"UPSTREAM_SERVER_NAME", FORMAT_UPSTREAM_SERVER_NAME, BARE, NULL},
    {"UPSTREAM_TLS_CIPHER", FORMAT_UPSTREAM_TLS, BARE, argument_tls},
    {"UPSTREAM_TLS_GROUP", FORMAT_UPSTREAM_TLS, BARE, argument_tls},
    {"UPSTREAM_TLS_SESSION_ID", FORMAT_UPSTREAM_TLS, BARE, argument_tls},
    {"UPSTREAM_TLS_VERSION", FORMAT_UPSTREAM_TLS, BARE, argument_tls},
    {"UPSTREAM_TRANSPORT_FAILURE_REASON", FORMAT_UPSTREAM_TRANSPORT_FAILURE_REASON, BARE, NULL},
    {"UPSTREAM_WIRE_BYTES_RECEIVED", FORMAT_UPSTREAM_WIRE_BYTES_RECEIVED, BARE, NULL},
    {"UPSTREAM_WIRE_BYTES_SENT", FORMAT_UPSTREAM_WIRE_BYTES_SENT, BARE, NULL},
    {"VIRTUAL_CLUSTER_NAME", FORMAT_VIRTUAL_CLUSTER_NAME, BARE, NULL},
    {"XFCC_VALUE", FORMAT_XFCC_VALUE, OPTIONAL_SIZED, argument_xfcc},
};

static int command_type_cmp(const void *name, const void *type)
{
    return str_cmp(*(const struct str *)name, str_c(((const struct command_type *)type)->name));
}

static const struct command_type *command_type_find(struct str name)
{
    return bsearch(&name, command_types, ARRAY_LEN(command_types), sizeof(*command_types),
                   command_type_cmp);
}

static int command_check_syntax(const struct command_type *t, const struct command *c,
                                struct error *reterr)
{
    if (t->syntax == BARE && (c->argument.len > 0 || c->has_length)) {
        return error_set(reterr, E_INVALID, "%s does not take any parameters or length", t->name);
    }
    if ((t->syntax == REQUIRED || t->syntax == REQUIRED_SIZED) && c->argument.len == 0) {
        return error_set(reterr, E_INVALID, "%s requires parameters", t->name);
    }
    if ((t->syntax == OPTIONAL || t->syntax == REQUIRED) && c->has_length) {
        return error_set(reterr, E_INVALID, "%s does not allow length to be specified.", t->name);
    }
    return 0;
}

static int command_parse(struct arena *a, bool has_req_without_query, const struct command *c,
                         struct format_item *item, struct error *reterr)
{
    static const struct command_type req_without_query = {
        "REQ_WITHOUT_QUERY", FORMAT_REQ_WITHOUT_QUERY, REQUIRED_SIZED, argument_headers};
    const struct command_type *t = command_type_find(c->name);
    int r;

    if (has_req_without_query && str_eq(c->name, str_c(req_without_query.name))) {
        t = &req_without_query;
    }

    if (t == NULL) {
        return error_set(reterr, E_INVALID, "Not supported field in StreamInfo: %.*s",
                         STR_ARG(c->name));
    }
    r = command_check_syntax(t, c, reterr);
    if (r < 0) {
        return r;
    }
    *item = (struct format_item){.op = t->op, .has_max_len = c->has_length, .max_len = c->length};
    return t->argument != NULL ? t->argument(a, c, item, reterr) : 0;
}

/* --- alternatives --------------------------------------------------------------------------- */

static const struct text_node *node_member(const struct text_node *map, const char *key)
{
    for (size_t i = 0; i < map->count; i++) {
        if (str_eq(map->members[i].key, str_c(key))) {
            return map->members[i].value;
        }
    }
    return NULL;
}

static int choice_length(const struct text_node *n, struct command *ret, struct error *reterr)
{
    int64_t length;

    if (n->kind != TEXT_NUMBER || parse_i64(n->scalar, &length) < 0) {
        return error_set(reterr, E_INVALID, "'max_length' field must be an integer");
    }
    if (length <= 0) {
        return error_set(reterr, E_INVALID, "'max_length' must be a positive integer");
    }
    ret->has_length = true;
    ret->length = length < UINT32_MAX ? (uint32_t)length : UINT32_MAX;
    return 0;
}

/* "NAME", or an object of that, its parameter and its length. */
static int choice_command(const struct text_node *n, struct command *ret, struct error *reterr)
{
    const struct text_node *name = n->kind == TEXT_MAP ? node_member(n, "command") : n;
    const struct text_node *param = n->kind == TEXT_MAP ? node_member(n, "param") : NULL;
    const struct text_node *length = n->kind == TEXT_MAP ? node_member(n, "max_length") : NULL;

    *ret = (struct command){.argument = STR("")};
    if (n->kind != TEXT_MAP && n->kind != TEXT_STRING) {
        return error_set(reterr, E_INVALID,
                         "operator entry must be either a string (command name) or an object with "
                         "'command' field");
    }
    if (name == NULL || name->kind != TEXT_STRING) {
        return error_set(reterr, E_INVALID, "operator object must have 'command' field");
    }
    ret->name = name->scalar;
    if (param != NULL && param->kind != TEXT_STRING) {
        return error_set(reterr, E_INVALID, "'param' field must be a string");
    }
    if (param != NULL) {
        ret->argument = param->scalar;
    }
    return length != NULL ? choice_length(length, ret, reterr) : 0;
}

static int choice_parse(struct arena *a, const struct text_node *n, const struct command *outer,
                        struct format_item *ret, struct error *reterr)
{
    const struct command_type *t;
    struct command c;
    int r = choice_command(n, &c, reterr);

    if (r < 0) {
        return r;
    }
    t = command_type_find(c.name);
    if (t == NULL) {
        return error_set(reterr, E_INVALID, "unknown command: '%.*s'", STR_ARG(c.name));
    }
    if (outer->has_length && t->op == FORMAT_COALESCE) { /* for the choices in it, too */
        c.length = c.has_length && c.length < outer->length ? c.length : outer->length;
        c.has_length = true;
    }
    r = command_parse(a, false, &c, ret, reterr);
    if (r == 0 && outer->has_length && !(ret->has_max_len && ret->max_len < outer->length)) {
        ret->has_max_len = true;
        ret->max_len = outer->length;
    }
    return r;
}

static int choices_parse(struct arena *a, const struct text_node *operators,
                         const struct command *outer, struct format_item *item,
                         struct error *reterr)
{
    struct format_item *choices = ARENA_ARRAY(a, struct format_item, operators->count);
    struct error why;
    int r = 0;

    error_init(&why);
    for (size_t i = 0; r == 0 && i < operators->count; i++) {
        r = choice_parse(a, operators->items[i], outer, &choices[i], &why);
        if (r < 0) {
            (void)error_set(reterr, r, "COALESCE: failed to parse operator at index %zu: %s", i,
                            error_message(&why)); /* r is returned */
        }
    }
    error_done(&why);
    item->choices = choices;
    item->choice_count = operators->count;
    return r;
}

static int argument_coalesce(struct arena *a, const struct command *c, struct format_item *item,
                             struct error *reterr)
{
    const struct text_node *root;
    const struct text_node *operators;
    struct error why;
    int r;

    error_init(&why);
    r = json_parse(c->argument, a, &root, &why);
    if (r < 0) {
        (void)error_set(reterr, r, "COALESCE: failed to parse JSON configuration: %s",
                        error_message(&why)); /* r is returned */
    }
    error_done(&why);
    if (r < 0) {
        return r;
    }
    operators = root->kind == TEXT_MAP ? node_member(root, "operators") : NULL;
    if (operators == NULL) {
        return error_set(reterr, E_INVALID,
                         "COALESCE: JSON configuration must contain 'operators' array");
    }
    if (operators->kind != TEXT_LIST) {
        return error_set(reterr, E_INVALID, "COALESCE: 'operators' must be an array");
    }
    if (operators->count == 0) {
        return error_set(reterr, E_INVALID, "COALESCE: 'operators' array must not be empty");
    }
    return choices_parse(a, operators, c, item, reterr);
}

/* --- the string ----------------------------------------------------------------------------- */

static bool is_command_char(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* After an argument: `:123%` or `%`. Returns the bytes taken, 0 when neither stands there. */
static size_t command_tail(struct str s, struct command *ret)
{
    size_t digits = 0;
    uint64_t length;

    ret->has_length = false;
    if (s.len > 0 && s.ptr[0] == '%') {
        return 1;
    }
    if (s.len == 0 || s.ptr[0] != ':') {
        return 0;
    }
    while (1 + digits < s.len && s.ptr[1 + digits] >= '0' && s.ptr[1 + digits] <= '9') {
        digits++;
    }
    if (1 + digits >= s.len || s.ptr[1 + digits] != '%' ||
        parse_u64(str_sub(s, 1, 1 + digits), &length) < 0) {
        return 0;
    }
    ret->has_length = true;
    ret->length = length < UINT32_MAX ? (uint32_t)length : UINT32_MAX;
    return digits + 2;
}

/* Cuts a command that begins at the '%' in s[0]; returns the bytes taken, 0 when there is none.
 * The argument ends at the first ')' that a length or the closing '%' follows, and holds no
 * newline. */
static size_t command_cut(struct str s, struct command *ret)
{
    size_t name_end = 1;
    size_t tail;

    *ret = (struct command){.argument = STR("")};
    while (name_end < s.len && is_command_char(s.ptr[name_end])) {
        name_end++;
    }
    ret->name = str_sub(s, 1, name_end);
    if (ret->name.len == 0) {
        return 0;
    }
    tail = command_tail(str_sub(s, name_end, s.len), ret);
    if (tail > 0) {
        return name_end + tail;
    }
    if (name_end == s.len || s.ptr[name_end] != '(') {
        return 0;
    }
    for (size_t i = name_end + 1; i < s.len && s.ptr[i] != '\n'; i++) {
        tail = s.ptr[i] == ')' ? command_tail(str_sub(s, i + 1, s.len), ret) : 0;
        if (tail > 0) {
            ret->argument = str_sub(s, name_end + 1, i);
            return i + 1 + tail;
        }
    }
    return 0;
}

/* The literal in front of s, up to a command or the end, with %% undone; returns the bytes
 * taken. */
static size_t literal_cut(struct arena *a, struct str s, struct str *ret)
{
    size_t end = 0;
    size_t percents = 0;
    size_t len = 0;
    char *text;

    while (end < s.len) {
        if (s.ptr[end] != '%') {
            end++;
        } else if (end + 1 < s.len && s.ptr[end + 1] == '%') {
            percents++;
            end += 2;
        } else {
            break;
        }
    }
    text = arena_alloc(a, end - percents + 1);
    for (size_t i = 0; i < end; i++) {
        text[len++] = s.ptr[i];
        i += s.ptr[i] == '%';
    }
    text[len] = '\0';
    *ret = str_n(text, len);
    return end;
}

/* An upper bound of the number of items. */
static size_t format_count_max(struct str text)
{
    size_t n = 1;

    for (size_t i = 0; i < text.len; i++) {
        n += text.ptr[i] == '%';
    }
    return n;
}

int format_parse_with(struct arena *a, bool has_req_without_query, struct str text,
                      struct format *ret, struct error *reterr)
{
    struct format_item *items;
    size_t count = 0;
    size_t pos;

    *ret = (struct format){.is_literal = true};
    pos = literal_cut(a, text, &ret->literal);
    if (pos == text.len) { /* nearly every header value */
        return 0;
    }
    items = ARENA_ARRAY(a, struct format_item, format_count_max(text));
    if (pos > 0) {
        items[count++] = (struct format_item){.op = FORMAT_LITERAL, .arg1 = ret->literal};
    }
    while (pos < text.len) {
        struct str rest = str_sub(text, pos, text.len);
        struct str literal;
        struct command c;
        size_t taken = command_cut(rest, &c);
        int r;

        if (taken == 0) {
            return error_set(reterr, E_INVALID,
                             "Incorrect configuration: %.*s. Couldn't find valid command at "
                             "position %zu",
                             STR_ARG(text), pos);
        }
        r = command_parse(a, has_req_without_query, &c, &items[count++], reterr);
        if (r < 0) {
            return r;
        }
        pos += taken;
        rest = str_sub(text, pos, text.len);
        taken = literal_cut(a, rest, &literal);
        if (taken > 0) {
            items[count++] = (struct format_item){.op = FORMAT_LITERAL, .arg1 = literal};
        }
        pos += taken;
    }
    *ret = (struct format){.items = items, .count = count};
    return 0;
}

int format_parse(struct arena *a, struct str text, struct format *ret, struct error *reterr)
{
    return format_parse_with(a, false, text, ret, reterr);
}
