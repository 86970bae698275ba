/* Matching and lookup in the model's small values. Any thread: all of it is immutable. */

#include "config/model/core.h"

#include <stdlib.h>

bool string_matcher_matches(const struct string_matcher *m, struct str s)
{
    switch (m->kind) {
    case STRING_MATCH_EXACT:
        return m->ignore_case ? str_eq_nocase(s, m->value) : str_eq(s, m->value);
    case STRING_MATCH_PREFIX:
        return m->ignore_case ? str_starts_nocase(s, m->value) : str_starts(s, m->value);
    case STRING_MATCH_SUFFIX:
        return m->ignore_case ? str_ends_nocase(s, m->value) : str_ends(s, m->value);
    case STRING_MATCH_CONTAINS:
        return m->ignore_case ? str_contains_nocase(s, m->value)
                              : str_find(s, m->value) != STR_NPOS;
    case STRING_MATCH_REGEX:
        return regex_full_match(m->regex, s);
    }
    return false;
}

static int value_field_cmp(const void *key, const void *field)
{
    return str_cmp(*(const struct str *)key, ((const struct value_field *)field)->name);
}

const struct value *value_get(const struct value *v, struct str name)
{
    const struct value_field *f;

    if (v == NULL || v->kind != VALUE_STRUCT || v->count == 0) {
        return NULL;
    }
    f = bsearch(&name, v->fields, v->count, sizeof(*v->fields), value_field_cmp);
    return f != NULL ? &f->value : NULL;
}

/* The flood limits are Envoy's; the windows are ours: small until a stream proves fast. */
struct http2_options http2_options_defaults(bool is_server)
{
    return (struct http2_options){
        .hpack_table_size = 4096,
        .max_concurrent_streams =
            is_server ? HTTP2_MAX_CONCURRENT_STREAMS_SERVER : HTTP2_MAX_CONCURRENT_STREAMS_CLIENT,
        .initial_stream_window_size = HTTP2_STREAM_WINDOW_START,
        .initial_connection_window_size = HTTP2_CONNECTION_WINDOW,
        .grows_stream_windows = true,
        .max_outbound_frames = 10000,
        .max_outbound_control_frames = 1000,
        .max_consecutive_inbound_empty_frames = 1,
        .max_inbound_priority_frames_per_stream = 100,
        .max_inbound_window_update_frames_per_data_frame = 10,
        .keepalive = {.interval_jitter = 15},
    };
}
