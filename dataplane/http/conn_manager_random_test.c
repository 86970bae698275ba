/*
 * Everything at once, at random: requests in pieces, filters that stop, buffer and answer, late
 * continuations, responses, resets, timeouts, clients that go. Whatever happens, every stream is
 * logged once, every filter destroyed once, nothing is left over; under the sanitizers also:
 * nothing is touched after its end.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/socket.h>

#include "dataplane/http/filter_chain.h"
#include "dataplane/http/http_testing.h"

#define ROUNDS 1000
#define STEPS 100

static struct http_test t;
static struct rng rng;

static bool one_in(uint64_t n)
{
    return rng_below(&rng, n) == 0;
}

static enum filter_status random_status(void)
{
    return one_in(5) ? (enum filter_status)rng_below(&rng, 3) : FILTER_CONTINUE;
}

static void script_filters(void)
{
    static const char *const events[] = {"dh", "dd", "dt", "eh", "ed", "et"};

    for (size_t i = 0; i < t.config.filter_count - 1; i++) {
        struct fake_filter *fake = &t.fakes[i];

        fake->on_decode_headers = random_status();
        fake->on_decode_data = random_status();
        fake->on_decode_trailers = random_status();
        fake->on_encode_headers = random_status();
        fake->on_encode_data = random_status();
        fake->on_encode_trailers = random_status();
        fake->replies_in = one_in(30) ? events[rng_below(&rng, 6)] : NULL;
    }
}

/* What the client has begun to send. */
static enum { BETWEEN, IN_LENGTH, IN_CHUNKS } sending;

static const char *next_request(void)
{
    static const char *const requests[] = {
        "GET / HTTP/1.1\r\nhost: h\r\n\r\n",
        "GET /1 HTTP/1.1\r\nhost: h\r\n\r\nGET /2 HTTP/1.1\r\nhost: h\r\n\r\n",
        "HEAD /x HTTP/1.1\r\nhost: h\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhe",
        "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n",
    };
    size_t i = rng_below(&rng, ARRAY_LEN(requests));

    sending = i == 4 ? IN_LENGTH : i == 5 ? IN_CHUNKS : BETWEEN;
    return requests[i];
}

static const char *next_piece(void)
{
    static const char *const odd[] = {
        "GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\nhost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nho",
        "CONNECT h:1 HTTP/1.1\r\nhost: h:1\r\n\r\n",
        "nonsense\r\n\r\n",
    };

    if (sending == IN_CHUNKS) {
        if (one_in(2)) {
            return "5\r\nhello\r\n";
        }
        sending = BETWEEN;
        return one_in(2) ? "0\r\n\r\n" : "0\r\nx-t: 1\r\n\r\n";
    }
    if (sending == IN_LENGTH) {
        sending = BETWEEN;
        return "llo";
    }
    return one_in(15) ? odd[rng_below(&rng, ARRAY_LEN(odd))] : next_request();
}

static void send_some(void)
{
    const char *piece = next_piece();

    if (t.client_fd >= 0) {
        ssize_t n = send(t.client_fd, piece, strlen(piece), MSG_NOSIGNAL);

        (void)n; /* a connection that is gone takes nothing */
    }
    http_test_run(&t);
}

static void respond_some(void)
{
    static char big[3000];
    struct http_filter *f = t.terminal.filter;

    if (f == NULL) {
        return;
    }
    memset(big, 'x', sizeof(big) - 1);
    if (f->stream->response_headers == NULL) {
        http_test_respond(&t, one_in(5) ? "204" : "200",
                          one_in(3)   ? ""
                          : one_in(4) ? big
                                      : "body",
                          one_in(2));
    } else if (one_in(6)) {
        struct header_map *trailers = arena_alloc(http_filter_arena(f), sizeof(*trailers));

        header_map_init(trailers, http_filter_arena(f));
        header_add_name(trailers, STR("x-t"), STR("1"));
        http_filter_respond_trailers(f, trailers);
    } else {
        http_test_respond_data(&t, one_in(4) ? big : "more", one_in(3));
    }
}

static void continue_some(void)
{
    struct fake_filter *fake = &t.fakes[rng_below(&rng, t.config.filter_count - 1)];

    if (fake->filter == NULL) {
        return;
    }
    if (one_in(2)) {
        http_filter_continue_decoding(fake->filter);
    } else {
        http_filter_continue_encoding(fake->filter);
    }
}

static void step(void)
{
    struct http_filter *f = t.terminal.filter;

    switch (rng_below(&rng, 12)) {
    case 0:
    case 1:
    case 2:
    case 3:
        send_some();
        break;
    case 4:
    case 5:
        respond_some();
        break;
    case 6:
    case 7:
        continue_some();
        break;
    case 8:
        script_filters();
        break;
    case 9:
        if (f != NULL && one_in(4)) {
            http_filter_reset_stream(f, FLAG_UPSTREAM_CONNECTION_TERMINATION, STR("x"));
        } else if (f != NULL && one_in(4)) {
            http_filter_local_reply(f, 503, STR("busy"), NULL, FLAG_UPSTREAM_OVERFLOW, STR("y"));
        }
        break;
    case 10:
        if (one_in(8)) {
            http_test_pass_ms(&t, rng_below(&rng, 1200));
        }
        break;
    default:
        if (one_in(20)) {
            http_test_close_client(&t);
        } else {
            (void)http_test_receive(&t);
        }
    }
    http_test_run(&t);
}

static size_t count_lines(struct strbuf *b)
{
    size_t n = b->len > 0 ? 1 : 0;

    for (size_t i = 0; i < b->len; i++) {
        n += b->ptr[i] == '\n' ? 1 : 0;
    }
    return n;
}

static void run_round(uint64_t seed)
{
    uint64_t streams;

    rng_seed_with(&rng, seed);
    http_test_init(&t, 2);
    t.answers_at_once = one_in(2);
    t.config.http1.accept_http_10 = true;
    t.config.http1.enable_trailers = true;
    t.config.proxy_100_continue = one_in(2);
    t.config.stream_idle_timeout_ms = 500;
    t.config.request_headers_timeout_ms = 300;
    t.config.idle_timeout_ms = one_in(2) ? 1000 : 0;
    t.config.max_requests_per_connection = one_in(4) ? 3 : 0;
    http_test_connect(&t);
    sending = BETWEEN;
    script_filters();
    for (int i = 0; i < STEPS; i++) {
        if (t.cm == NULL) {
            http_test_close_client(&t);
            http_test_connect(&t);
            sending = BETWEEN;
        }
        step();
    }
    http_test_close_client(&t);
    http_test_run(&t);
    http_test_pass_ms(&t, 10000);
    http_test_run(&t);
    assert_null(t.cm);
    streams = http_test_stat(&t, CM_RQ_TOTAL);
    assert_int_equal(http_test_stat(&t, CM_RQ_ACTIVE), 0);
    assert_int_equal(http_test_stat(&t, CM_CX_ACTIVE), 0);
    assert_int_equal(http_test_stat(&t, CM_CX_TOTAL), http_test_stat(&t, CM_CX_DESTROY));
    assert_int_equal(count_lines(&t.access_log_text), streams);
    /* A stream that ends with its head unread has no filters. */
    assert_true((uint64_t)t.terminal.destroyed <= streams);
    assert_int_equal(t.terminal.destroyed, t.fakes[0].destroyed);
    assert_int_equal(t.loop.bufs.live_blocks, t.loop.read_block != NULL ? 1 : 0);
    http_test_done(&t);
}

static void test_random(void **state)
{
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        run_round(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
