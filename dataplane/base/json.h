#ifndef DATAPLANE_BASE_JSON_H
#define DATAPLANE_BASE_JSON_H

/* Streaming JSON writer into a strbuf: commas, escaping (RFC 8259) and optional indentation. */

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/base/str.h"

#define JSON_DEPTH_MAX 120

struct json_writer {
    struct strbuf *out;
    int depth;
    bool pretty; /* one space of indentation per level, as Envoy's admin prints */
    bool after_key;
    bool has_member[JSON_DEPTH_MAX];
};

void json_init(struct json_writer *w, struct strbuf *out, bool pretty);
void json_object_begin(struct json_writer *w);
void json_object_end(struct json_writer *w);
void json_array_begin(struct json_writer *w);
void json_array_end(struct json_writer *w);
void json_key(struct json_writer *w, struct str key);
void json_str(struct json_writer *w, struct str s); /* invalid UTF-8 becomes U+FFFD */
void json_u64(struct json_writer *w, uint64_t v);
void json_i64(struct json_writer *w, int64_t v);
void json_double(struct json_writer *w, double v);
void json_bool(struct json_writer *w, bool v);
void json_null(struct json_writer *w);
/* A key and its value. */
void json_member_str(struct json_writer *w, const char *key, struct str value);
void json_member_u64(struct json_writer *w, const char *key, uint64_t value);
void json_member_bool(struct json_writer *w, const char *key, bool value);
/* RFC 3339, UTC, with milliseconds. */
void json_member_time(struct json_writer *w, const char *key, uint64_t wall_ns);
/* Already valid JSON. */
void json_raw(struct json_writer *w, struct str s);
/* The quoted, escaped form alone. */
void json_escape(struct strbuf *out, struct str s);

#endif
