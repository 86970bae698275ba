/*
 * How much work a peer may cause for nothing: frames received that carry nothing, and frames of
 * ours that it does not read. The rules and the limits are Envoy's. A connection's thread.
 *
 * Outbound frames are counted while they lie in the connection's output. The output is a queue of
 * bytes that the socket empties, so a ring of marks (byte position, frames up to it) says how many
 * are left; a mark covers up to MARK_FRAMES frames and is taken off when its last byte is gone.
 */

#include <stdlib.h>

#include "dataplane/base/xalloc.h"
#include "dataplane/codec/h2_internal.h"

#define MARK_FRAMES 32
#define MARKS_FIRST 4

static bool flood_fail(struct h2_conn *h, enum h2_stat stat, struct str details)
{
    h2_count(h, stat);
    h2_fail(h, NGHTTP2_ENHANCE_YOUR_CALM, details);
    return false;
}

/* --- inbound ---------------------------------------------------------------------------------- */

static bool is_empty(const nghttp2_frame_hd *hd, size_t padding)
{
    return hd->length <= padding && (hd->flags & NGHTTP2_FLAG_END_STREAM) == 0;
}

bool h2_flood_received(struct h2_conn *h, const nghttp2_frame_hd *hd, size_t padding)
{
    const struct http2_options *o = h->options;
    struct h2_flood *f = &h->flood;

    switch (hd->type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_CONTINUATION:
    case NGHTTP2_DATA:
        f->empty_frames = is_empty(hd, padding) ? f->empty_frames + 1 : 0;
        if (f->empty_frames > o->max_consecutive_inbound_empty_frames) {
            return flood_fail(h, H2_INBOUND_EMPTY_FRAMES_FLOOD,
                              STR("http2.inbound_empty_frames_flood"));
        }
        break;
    case NGHTTP2_PRIORITY:
        f->priority_frames++;
        if (f->priority_frames >
            (uint64_t)o->max_inbound_priority_frames_per_stream * (1 + f->opened_streams)) {
            return flood_fail(h, H2_INBOUND_PRIORITY_FRAMES_FLOOD,
                              STR("http2.inbound_priority_frames_flood"));
        }
        break;
    case NGHTTP2_WINDOW_UPDATE:
        f->window_update_frames++;
        if (f->window_update_frames >
            5 + 2 * (f->opened_streams +
                     (uint64_t)o->max_inbound_window_update_frames_per_data_frame *
                         f->data_frames_sent)) {
            return flood_fail(h, H2_INBOUND_WINDOW_UPDATE_FRAMES_FLOOD,
                              STR("http2.inbound_window_update_frames_flood"));
        }
        break;
    default:
        break;
    }
    return true;
}

/* --- outbound --------------------------------------------------------------------------------- */

static struct h2_mark *mark_at(struct h2_flood *f, uint32_t i)
{
    return &f->marks[(f->mark_first + i) % f->mark_cap];
}

static void marks_grow(struct h2_flood *f)
{
    uint32_t cap = f->mark_cap > 0 ? f->mark_cap * 2 : MARKS_FIRST;
    struct h2_mark *marks = xcalloc(cap, sizeof(*marks));

    for (uint32_t i = 0; i < f->mark_count; i++) {
        marks[i] = *mark_at(f, i);
    }
    free(f->marks);
    f->marks = marks;
    f->mark_cap = cap;
    f->mark_first = 0;
}

/* What the socket has taken is off the account. */
static void marks_settle(struct h2_flood *f, uint64_t sent_bytes)
{
    while (f->mark_count > 0 && mark_at(f, 0)->end <= sent_bytes) {
        f->outbound_frames -= mark_at(f, 0)->frames;
        f->outbound_control_frames -= mark_at(f, 0)->control_frames;
        f->mark_first = (f->mark_first + 1) % f->mark_cap;
        f->mark_count--;
    }
}

static void marks_add(struct h2_flood *f, bool is_control)
{
    struct h2_mark *last = f->mark_count > 0 ? mark_at(f, f->mark_count - 1) : NULL;

    if (last == NULL || last->frames >= MARK_FRAMES) {
        if (f->mark_count == f->mark_cap) {
            marks_grow(f);
        }
        last = mark_at(f, f->mark_count++);
        *last = (struct h2_mark){0};
    }
    last->end = f->queued_bytes;
    last->frames++;
    last->control_frames += is_control;
    f->outbound_frames++;
    f->outbound_control_frames += is_control;
}

bool h2_flood_queued(struct h2_conn *h, size_t bytes, bool is_control)
{
    struct h2_flood *f = &h->flood;
    uint32_t frames = f->outbound_frames;
    uint32_t control_frames = f->outbound_control_frames;

    marks_settle(f, f->queued_bytes - buf_len(h->base.out));
    f->queued_bytes += bytes;
    marks_add(f, is_control);
    h2_gauge(h, H2_OUTBOUND_FRAMES_ACTIVE, (int64_t)f->outbound_frames - frames);
    h2_gauge(h, H2_OUTBOUND_CONTROL_FRAMES_ACTIVE,
             (int64_t)f->outbound_control_frames - control_frames);
    if (f->outbound_frames > h->options->max_outbound_frames) {
        h->is_outbound_flood = true;
        return flood_fail(h, H2_OUTBOUND_FLOOD, STR("http2.outbound_frames_flood"));
    }
    if (f->outbound_control_frames > h->options->max_outbound_control_frames) {
        h->is_outbound_flood = true;
        return flood_fail(h, H2_OUTBOUND_CONTROL_FLOOD, STR("http2.outbound_frames_flood"));
    }
    return true;
}

void h2_flood_done(struct h2_conn *h)
{
    struct h2_flood *f = &h->flood;

    h2_gauge(h, H2_OUTBOUND_FRAMES_ACTIVE, -(int64_t)f->outbound_frames);
    h2_gauge(h, H2_OUTBOUND_CONTROL_FRAMES_ACTIVE, -(int64_t)f->outbound_control_frames);
    free(f->marks);
    f->marks = NULL;
}
