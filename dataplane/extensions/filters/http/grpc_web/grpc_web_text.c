/* gRPC-Web's text form. Worker threads; no I/O, no state but the caller's. */

#include "dataplane/extensions/filters/http/grpc_web/grpc_web_text.h"

#define STEP_BYTES 6144 /* whose text fits into one reservation */

_Static_assert(BASE64_ENCODED_BYTES(STEP_BYTES + 2) + 4 <= BUF_RESERVE_MAX, "or reserve fails");

static void buf_replace(struct buf *data, struct buf *take_by)
{
    buf_reset(data);
    buf_move(data, take_by);
}

int grpc_web_text_decode(struct base64_decoder *d, struct buf *data)
{
    struct buf out;

    buf_init(&out, data->pool);
    d->is_padded = false;
    for (const struct buf_seg *s = data->head; s != NULL; s = s->next) {
        struct str rest = str_n((const char *)s->data, s->len);

        while (rest.len > 0) {
            struct str step = str_sub(rest, 0, STEP_BYTES);
            uint8_t *to = buf_reserve(&out, BASE64_DECODED_MAX(step.len + 3));
            size_t n = 0;
            int r = base64_decode_some(d, step, to, &n);

            buf_commit(&out, n);
            if (r < 0) {
                buf_reset(&out);
                return r;
            }
            rest = str_sub(rest, step.len, rest.len);
        }
    }
    buf_replace(data, &out);
    return 0;
}

static void encode_run(struct grpc_web_text_encoder *e, struct str run, struct buf *out)
{
    uint64_t completed = e->frames.completed;
    char *to = (char *)buf_reserve(out, BASE64_ENCODED_BYTES(run.len + 2) + 4);
    size_t n = base64_encode_some(&e->base64, run, to);

    grpc_frame_counter_feed(&e->frames, run);
    if (e->frames.completed != completed) {
        n += base64_encode_end(&e->base64, to + n);
    }
    buf_commit(out, n);
}

void grpc_web_text_encode(struct grpc_web_text_encoder *e, struct buf *data, bool end_stream)
{
    struct buf out;

    buf_init(&out, data->pool);
    for (const struct buf_seg *s = data->head; s != NULL; s = s->next) {
        struct str rest = str_n((const char *)s->data, s->len);

        while (rest.len > 0) {
            struct str step = str_sub(rest, 0, STEP_BYTES);
            struct str run = str_sub(step, 0, grpc_frame_counter_run(&e->frames, step.len));

            encode_run(e, run, &out);
            rest = str_sub(rest, run.len, rest.len);
        }
    }
    if (end_stream) {
        char last[4];

        buf_add(&out, last, base64_encode_end(&e->base64, last));
    }
    buf_replace(data, &out);
}
