/* Connect's end-of-stream message. Any thread; no I/O, no state but the caller's. */

#include "dataplane/codec/connect_end.h"

#define DEPTH_MAX 100

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void feed_string(struct connect_end *e, char c)
{
    const struct str error = STR("error");
    bool is_first_level = e->depth == 1 && e->is_at_key;

    if (e->is_escaped) {
        e->is_escaped = false;
        e->is_error_key = false;
    } else if (c == '\\') {
        e->is_escaped = true;
    } else if (c == '"') {
        e->is_in_string = false;
        if (is_first_level && e->is_error_key && e->key_bytes == error.len) {
            e->has_error = true;
        }
    } else if (e->key_bytes < error.len && error.ptr[e->key_bytes] == c) {
        e->key_bytes++;
    } else {
        e->is_error_key = false;
    }
}

static void feed_structure(struct connect_end *e, char c)
{
    switch (c) {
    case '"':
        e->is_in_string = true;
        e->is_error_key = true;
        e->key_bytes = 0;
        break;
    case '{':
    case '[':
        if (++e->depth > DEPTH_MAX) {
            e->state = CONNECT_END_BAD;
        }
        break;
    case '}':
    case ']':
        if (--e->depth == 0) {
            e->state = CONNECT_END_WHOLE;
        }
        break;
    case ':':
        e->is_at_key = e->is_at_key && e->depth > 1;
        break;
    case ',':
        e->is_at_key = e->is_at_key || e->depth == 1;
        break;
    default:
        break;
    }
}

void connect_end_feed(struct connect_end *e, struct str bytes)
{
    for (size_t i = 0; i < bytes.len && e->state != CONNECT_END_BAD; i++) {
        char c = bytes.ptr[i];

        if (e->is_in_string) {
            feed_string(e, c);
        } else if (e->state == CONNECT_END_INSIDE) {
            feed_structure(e, c);
        } else if (is_space(c)) {
            continue;
        } else if (c == '{' && e->state == CONNECT_END_BEFORE) {
            e->state = CONNECT_END_INSIDE;
            e->depth = 1;
            e->is_at_key = true;
        } else {
            e->state = CONNECT_END_BAD;
        }
    }
}
