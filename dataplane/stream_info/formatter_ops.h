#ifndef DATAPLANE_STREAM_INFO_FORMATTER_OPS_H
#define DATAPLANE_STREAM_INFO_FORMATTER_OPS_H

/* One operator of a format, evaluated: shared by formatter.c (how it is printed) and
 * formatter_ops.c (what it is). */

#include "config/model/format.h"
#include "dataplane/stream_info/access_log.h"

struct thread_context;

struct format_source {
    const struct access_log_entry *entry;
    const struct thread_context *thread; /* NULL allowed: no host name then */
};

enum formatted_kind {
    FORMATTED_NONE,
    FORMATTED_STRING,
    FORMATTED_U64,
    FORMATTED_NEGATIVE, /* minus u64 */
    FORMATTED_VALUE
};

#define FORMATTED_SCRATCH 1024

struct formatted {
    enum formatted_kind kind;
    bool is_scratch; /* `string` points into `scratch`, else it lives as long as the stream */
    struct str string;
    uint64_t u64;
    const struct value *value;
    struct str value_text; /* FORMATTED_VALUE in text; ptr NULL: as its JSON */
    char scratch[FORMATTED_SCRATCH];
};

/* Not for FORMAT_LITERAL and FORMAT_COALESCE. Fills `out`; never allocates. */
void format_item_eval(const struct format_item *item, const struct format_source *src,
                      struct formatted *out);

/* What is not there stays FORMATTED_NONE. An empty optional is not there: Envoy's optional strings.
 * set_scratch: the first `len` bytes of `scratch`. */
void formatted_set_string(struct formatted *out, struct str s);
void formatted_set_optional(struct formatted *out, struct str s);
void formatted_set_scratch(struct formatted *out, size_t len);
void formatted_set_u64(struct formatted *out, uint64_t v);

/* Of the request's head (formatter_request.c) and of the hosts that were tried
 * (formatter_attempts.c). False when the operator is none of these. */
bool format_request(const struct format_item *item, const struct access_log_entry *e,
                    struct formatted *out);
bool format_attempts(const struct format_item *item, const struct stream_info *si,
                     struct formatted *out);

/* FORMAT_DOWNSTREAM_TLS, FORMAT_UPSTREAM_TLS and FORMAT_DOWNSTREAM_HANDSHAKE_DURATION; `out` is
 * FORMATTED_NONE before. */
void format_tls(const struct format_item *item, const struct stream_info *si,
                struct formatted *out);

/* strftime in UTC, or in the zone of this machine, with Envoy's extensions: %s and %f with a width
 * (%3f milliseconds), %E3S, %E*S. Writes at most `cap` bytes, returns how many. */
size_t format_time(struct str format, uint64_t wall_ns, bool is_local, char *out, size_t cap);

#endif
