/*
 * Both HTTP/1 codecs on arbitrary bytes, whole and cut: what their user is told must be the same.
 * Then the server's view of what it understood goes through its encoder into a client's peer: the
 * message that leaves must be read by our own strict server as the one request that came.
 */

#include <stdint.h>

#include "dataplane/codec/h1_testing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed_in_steps(struct h1_tester *t, const uint8_t *data, size_t size, size_t step)
{
    size_t at = 0;
    int r = 0;

    while (at < size && r == 0) {
        size_t n = size - at < step ? size - at : step;

        r = h1_feed(t, data + at, n, false);
        at += n;
    }
    if (r == 0) {
        /* An unfinished line may be refused early or not; with its LF it must be. */
        r = h1_feed(t, "\n", 1, false);
    }
    if (r == 0) {
        (void)h1_feed(t, data, 0, true); /* whatever it makes of the FIN */
    }
}

/* Of the codecs of one input. */
static struct http1_options options;

static void set_options(uint8_t flags)
{
    options = (struct http1_options){
        .accept_http_10 = (flags & 1) != 0,
        .enable_trailers = (flags & 2) != 0,
        .allow_custom_methods = (flags & 8) != 0,
        .allow_chunked_length = (flags & 16) != 0,
        .ignores_absolute_url = (flags & 32) != 0,
        .header_key_format = (enum header_key_format)((flags >> 5) % 3),
        .header_case = {.forwards_reason_phrase = true},
    };
}

static void run(struct h1_tester *t, bool is_server, uint8_t flags, const uint8_t *data,
                size_t size, size_t step)
{
    const struct codec_limits l = {
        .max_headers_bytes = 4096,
        .max_headers_count = 30,
        .http1 = &options,
    };

    h1_tester_init(t, is_server, &l);
    if (is_server) {
        t->answers = true;
        t->answers_errors = (flags & 4) != 0;
    } else {
        h1_request(t, (flags & 4) != 0 ? "HEAD" : "GET");
    }
    feed_in_steps(t, data, size, step);
}

/* Sends what `from` understood of a request on, and reads it again. */
static void check_round_trip(struct h1_tester *from)
{
    const struct codec_limits l = {
        .max_headers_bytes = 1 << 20, .max_headers_count = 200, .http1 = &options};
    struct h1_tester to;
    struct h1_tester client;

    h1_tester_init(&client, false, &l);
    h1_tester_init(&to, true, &l);
    client.stream = client.codec->ops->new_stream(client.codec, &h1_stream_callbacks, &client,
                                                  &client.arena, &client.headers);
    (void)header_remove(&from->headers, HDR_CONTENT_LENGTH);
    (void)header_remove(&from->headers, HDR_UPGRADE);
    client.stream->ops->encode_headers(client.stream, &from->headers, true);
    while (buf_len(&client.out) > 0) {
        struct str front = buf_front(&client.out);

        CHECK(h1_feed(&to, front.ptr, front.len, false) == 0);
        buf_drain(&client.out, front.len);
    }
    CHECK(to.streams == 1 && to.stream != NULL);
    CHECK(str_eq(header_get(&to.headers, HDR_PATH), header_get(&from->headers, HDR_PATH)));
    CHECK(str_eq(header_get(&to.headers, HDR_METHOD), header_get(&from->headers, HDR_METHOD)));
    h1_tester_done(&client);
    h1_tester_done(&to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct h1_tester whole;
    struct h1_tester cut;
    bool is_server;

    if (size < 3) {
        return 0;
    }
    is_server = (data[0] & 1) == 0;
    set_options(data[0] >> 1);
    run(&whole, is_server, data[0] >> 1, data + 2, size - 2, size);
    run(&cut, is_server, data[0] >> 1, data + 2, size - 2, data[1] + 1U);
    CHECK(str_eq(strbuf_str(&whole.log), strbuf_str(&cut.log)));
    CHECK(whole.codec->ops->should_close(whole.codec) == cut.codec->ops->should_close(cut.codec));
    CHECK(buf_len(&whole.out) == buf_len(&cut.out));
    h1_tester_done(&whole);
    h1_tester_done(&cut);
    if (is_server) {
        /* One request, up to its head: what we pass on means what we understood. */
        run(&whole, true, data[0] >> 1, data + 2, 0, 1);
        whole.answers = false;
        if (h1_feed(&whole, data + 2, size - 2, false) == 0 && whole.stream != NULL &&
            str_starts(header_get(&whole.headers, HDR_PATH), STR("/"))) {
            check_round_trip(&whole);
        }
        h1_tester_done(&whole);
    }
    return 0;
}
