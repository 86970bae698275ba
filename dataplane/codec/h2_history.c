/*
 * The last streams of a server's connection and how they ended, so that a frame which comes after
 * its stream is told from one that merely crossed our RST_STREAM on the way (RFC 9113, 5.1).
 * nghttp2, told to keep no closed streams, ignores both. A connection's thread.
 */

#include "dataplane/codec/h2_internal.h"

static struct h2_past *slot_of(struct h2_conn *h, uint32_t id)
{
    return &h->history[(id / 2) % H2_HISTORY];
}

void h2_history_open(struct h2_conn *h, uint32_t id)
{
    *slot_of(h, id) = (struct h2_past){.id = id, .end = H2_PAST_OPEN};
    h->last_id = id;
}

void h2_history_end(struct h2_conn *h, uint32_t id, enum h2_past_end end)
{
    struct h2_past *past = slot_of(h, id);

    if (past->id == id) {
        past->end = (uint8_t)end;
    }
}

/* Whether the stream is one that the ring would know, had it ever been opened. */
static bool is_recent(const struct h2_conn *h, uint32_t id)
{
    return id <= h->last_id && h->last_id - id < 2 * H2_HISTORY;
}

bool h2_history_check(struct h2_conn *h, uint32_t id)
{
    const struct h2_past *past = slot_of(h, id);

    if (!h->is_server || id % 2 == 0 || !is_recent(h, id)) {
        return true;
    }
    if (past->id != id) { /* 5.1.1: skipped, and thereby closed */
        h2_fail(h, NGHTTP2_PROTOCOL_ERROR, STR("http2.protocol_error"));
        return false;
    }
    switch ((enum h2_past_end)past->end) {
    case H2_PAST_OPEN:
    case H2_PAST_RESET:
        break;
    case H2_PAST_PEER_RESET:
        (void)nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, (int32_t)id,
                                        NGHTTP2_STREAM_CLOSED); /* out of memory only */
        break;
    case H2_PAST_COMPLETE:
        h2_fail(h, NGHTTP2_STREAM_CLOSED, STR("http2.protocol_error"));
        return false;
    }
    return true;
}

size_t h2_history_scan(struct h2_conn *h, const uint8_t *bytes, size_t len, uint32_t *ret_id)
{
    struct h2_scan *scan = &h->scan;
    size_t at = 0;

    *ret_id = 0;
    while (h->is_server && at < len) {
        if (scan->skip > 0) {
            size_t n = scan->skip < len - at ? scan->skip : len - at;

            scan->skip -= (uint32_t)n;
            at += n;
            continue;
        }
        scan->head[scan->head_len++] = bytes[at++];
        if (scan->head_len < H2_FRAME_HEAD_BYTES) {
            continue;
        }
        scan->head_len = 0;
        scan->skip = (uint32_t)scan->head[0] << 16 | (uint32_t)scan->head[1] << 8 | scan->head[2];
        if (scan->head[3] == NGHTTP2_DATA) {
            *ret_id = ((uint32_t)scan->head[5] << 24 | (uint32_t)scan->head[6] << 16 |
                       (uint32_t)scan->head[7] << 8 | scan->head[8]) &
                      INT32_MAX;
            return at - 1; /* the head is not whole for nghttp2: it has seen what came before */
        }
    }
    return len;
}
