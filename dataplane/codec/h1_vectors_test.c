/*
 * The tables integration/corpus/http1/{requests,responses}.tsv against the codecs: every vector
 * whole, cut in two at each byte, and byte by byte, with the same outcome.
 * integration/harness/h1_vectors.py says what the columns mean.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dataplane/codec/h1_testing.h"

#define CORPUS "integration/corpus/http1/"
#define COLUMNS_MAX 6

static const struct codec_limits limits = {.max_headers_bytes = 61440, .max_headers_count = 100};

static struct h1_tester t;
static struct strbuf outcome; /* steps, as in the table */
static struct strbuf body;    /* of the message that is open */
static bool has_head;
static bool has_ended; /* the response, well or not */

static void add_step(const char *what)
{
    strbuf_add_c(&outcome, outcome.len > 0 ? "; " : "");
    strbuf_add_c(&outcome, what);
}

static void add_body(void)
{
    strbuf_add_c(&outcome, " \"");
    strbuf_add(&outcome, body.ptr, body.len);
    strbuf_add_c(&outcome, "\"");
}

/* --- Requests --------------------------------------------------------------------------------- */

/* The request whose head is in t.headers is complete. */
static void request_done(void)
{
    struct str path = header_get(&t.headers, HDR_PATH);

    add_step("");
    strbuf_add_str(&outcome, header_get(&t.headers, HDR_METHOD));
    if (path.len > 0) {
        strbuf_add_c(&outcome, " ");
        strbuf_add_str(&outcome, path);
    }
    if (body.len > 0) {
        add_body();
    }
    strbuf_reset(&body);
    has_head = false;
}

static void request_on_headers(void *user, bool end_stream)
{
    has_head = true;
    if (end_stream) {
        request_done();
        h1_reply(&t, "200", true);
    }
}

static void take_body(struct buf *data)
{
    while (buf_len(data) > 0) {
        struct str front = buf_front(data);

        strbuf_add(&body, front.ptr, front.len);
        buf_drain(data, front.len);
    }
}

static void request_on_data(void *user, struct buf *data, bool end_stream)
{
    take_body(data);
    if (end_stream) {
        request_done();
        h1_reply(&t, "200", true);
    }
}

static void request_on_trailers(void *user, struct header_map *trailers)
{
    request_done();
    h1_reply(&t, "200", true);
}

static void on_reset(void *user, enum stream_reset_reason reason, struct str details)
{
    has_ended = true;
}

static const struct codec_stream_callbacks request_callbacks = {
    .on_headers = request_on_headers,
    .on_data = request_on_data,
    .on_trailers = request_on_trailers,
    .on_reset = on_reset,
};

static bool on_new_stream(void *owner, struct codec_stream *s)
{
    bool is_taken = h1_on_new_stream(owner, s);

    s->callbacks = &request_callbacks;
    return is_taken;
}

static void on_error(void *owner, const struct codec_error *e)
{
    char step[8];

    (void)snprintf(step, sizeof(step), "!%d", e->status);
    add_step(step);
    has_head = false;
    if (t.stream != NULL) {
        h1_reply(&t, "400", false);
    }
}

static void request_start(void)
{
    static struct codec_callbacks callbacks;

    callbacks = h1_owner_callbacks;
    callbacks.on_new_stream = on_new_stream;
    callbacks.on_error = on_error;
    h1_tester_init(&t, true, &limits);
    t.codec->ops->free(t.codec);
    t.codec = h1_server_codec_new(&callbacks, &t, &t.out, &limits);
}

/* What is still open at the end. */
static void request_end(void)
{
    bool is_refused = outcome.len > 0 && memchr(outcome.ptr, '!', outcome.len) != NULL;

    if (t.stream != NULL && has_head &&
        (str_eq(header_get(&t.headers, HDR_METHOD), STR("CONNECT")) ||
         header_has(&t.headers, HDR_UPGRADE))) {
        request_done(); /* a tunnel that waits for its answer */
    } else if (t.stream != NULL) {
        add_step("...");
    } else if (!is_refused && t.codec->ops->should_close(t.codec)) {
        add_step("close");
    }
}

/* --- Responses -------------------------------------------------------------------------------- */

static void response_done(const char *how)
{
    if (!has_ended) {
        has_ended = true;
        add_body();
        strbuf_add_c(&outcome, how);
    }
}

static void response_on_headers(void *user, bool end_stream)
{
    strbuf_add_str(&outcome, header_get(&t.headers, HDR_STATUS));
    has_head = true;
    if (end_stream) {
        response_done("");
    }
}

static void response_on_data(void *user, struct buf *data, bool end_stream)
{
    take_body(data);
    if (end_stream) {
        response_done("");
    }
}

static void response_on_trailers(void *user, struct header_map *trailers)
{
    response_done("");
}

static void response_on_reset(void *user, enum stream_reset_reason reason, struct str details)
{
    if (has_head) {
        response_done(" cut");
    } else {
        add_step(reason == RESET_PROTOCOL_ERROR ? "502 UPE" : "503 UC");
        has_ended = true;
    }
}

static const struct codec_stream_callbacks response_callbacks = {
    .on_headers = response_on_headers,
    .on_data = response_on_data,
    .on_trailers = response_on_trailers,
    .on_reset = response_on_reset,
};

static void response_start(const char *method)
{
    h1_tester_init(&t, false, &limits);
    h1_request(&t, method);
    t.stream->callbacks = &response_callbacks;
}

static void response_end(const char *then)
{
    bool has_failed;

    if (t.stream != NULL && strcmp(then, "keep") != 0) {
        int r = strcmp(then, "close") == 0 ? h1_feed(&t, "", 0, true) : E_CLOSED;

        if (r != 0 && t.stream != NULL) {
            t.codec->ops->connection_closed(t.codec, RESET_CONNECTION_TERMINATION);
        }
    }
    has_failed = str_ends(str_n(outcome.ptr, outcome.len), STR(" cut")) || !has_head;
    if (t.stream != NULL) {
        add_step("...");
    } else if (!has_failed) {
        strbuf_add_c(&outcome, t.codec->ops->is_reusable(t.codec) ? " keep" : " close");
    } else {
        assert_false(t.codec->ops->is_reusable(t.codec));
    }
}

/* --- The tables ------------------------------------------------------------------------------- */

struct vector {
    struct str want;
    struct str name;
    struct str in;
    char method[16]; /* of responses */
    char then[16];
};

/* Plays it in pieces that end at each of `cuts`. */
static void play(const struct vector *v, bool is_request, const size_t *cuts, size_t count)
{
    size_t at = 0;
    int r = 0;

    strbuf_truncate(&outcome, 0);
    strbuf_truncate(&body, 0);
    has_head = has_ended = false;
    if (is_request) {
        request_start();
    } else {
        response_start(v->method);
    }
    for (size_t i = 0; i < count && r == 0; i++) {
        r = h1_feed(&t, v->in.ptr + at, cuts[i] - at, false);
        at = cuts[i];
        if (!is_request && t.stream == NULL && buf_len(&t.in) > 0) {
            r = h1_feed(&t, "", 0, false);
        }
    }
    if (is_request) {
        request_end();
    } else {
        response_end(v->then);
    }
    strbuf_truncate(&t.log, 0);
    h1_tester_done(&t);
}

static void check_outcome(const struct vector *v, const char *how, size_t cut)
{
    if (!str_eq(str_n(outcome.ptr, outcome.len), v->want)) {
        fail_msg("%.*s, %s %zu\n got: %.*s\nwant: %.*s", STR_ARG(v->name), how, cut,
                 (int)outcome.len, outcome.ptr, STR_ARG(v->want));
    }
}

static void check_vector(const struct vector *v, bool is_request)
{
    size_t *cuts = calloc(v->in.len + 1, sizeof(*cuts));

    assert_non_null(cuts);
    cuts[0] = v->in.len;
    play(v, is_request, cuts, 1);
    check_outcome(v, "whole", 0);
    for (size_t cut = 1; cut < v->in.len; cut++) {
        cuts[0] = cut;
        cuts[1] = v->in.len;
        play(v, is_request, cuts, 2);
        check_outcome(v, "cut at", cut);
    }
    for (size_t i = 0; i < v->in.len; i++) {
        cuts[i] = i + 1;
    }
    play(v, is_request, cuts, v->in.len);
    check_outcome(v, "byte by byte", 1);
    free(cuts);
}

static unsigned hex_of(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static struct str unescape(struct arena *a, struct str s)
{
    char *out = arena_alloc(a, s.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (c == '\\') {
            c = s.ptr[++i];
            if (c == 'x') {
                c = (char)(hex_of(s.ptr[i + 1]) << 4 | hex_of(s.ptr[i + 2]));
                i += 2;
            } else {
                c = (char)(c == 'r' ? '\r' : c == 'n' ? '\n' : c == 't' ? '\t' : c);
            }
        }
        out[n++] = c;
    }
    return str_n(out, n);
}

/* What a proxy would answer by itself the codec hands out: "-404 GET /a" is "GET /a" here. */
static struct str codec_view(struct str want)
{
    return want.ptr[0] == '-' ? str_sub(want, 5, want.len) : want;
}

static void copy_word(char *to, size_t size, struct str s)
{
    assert_true(s.len < size);
    memcpy(to, s.ptr, s.len);
    to[s.len] = '\0';
}

static size_t run_table(const char *path, bool is_request)
{
    FILE *f = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;
    size_t count = 0;
    ssize_t len;

    assert_non_null(f);
    while ((len = getline(&line, &room, f)) > 0) {
        struct str rest = str_n(line, (size_t)len - 1);
        struct str columns[COLUMNS_MAX];
        struct vector v = {.then = "keep"};
        struct arena a;
        size_t n = 0;

        if (line[0] == '#') {
            continue;
        }
        while (n < COLUMNS_MAX && str_split(&rest, '\t', &columns[n])) {
            n++;
        }
        assert_int_equal(n, is_request ? 5 : 6);
        arena_init(&a, NULL);
        v.want = unescape(&a, codec_view(columns[0]));
        v.name = columns[2];
        v.in = unescape(&a, columns[n - 1]);
        if (!is_request) {
            struct str how = columns[4];
            struct str word;

            assert_true(str_split(&how, ' ', &word));
            copy_word(v.method, sizeof(v.method), word);
            copy_word(v.then, sizeof(v.then), how);
        }
        check_vector(&v, is_request);
        arena_done(&a);
        count++;
    }
    free(line);
    (void)fclose(f);
    return count;
}

static void requests(void **state)
{
    assert_true(run_table(CORPUS "requests.tsv", true) >= 300);
}

static void responses(void **state)
{
    assert_true(run_table(CORPUS "responses.tsv", false) >= 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests),
        cmocka_unit_test(responses),
    };
    int r;

    strbuf_init(&outcome);
    strbuf_init(&body);
    r = cmocka_run_group_tests(tests, NULL, NULL);
    strbuf_done(&outcome);
    strbuf_done(&body);
    return r;
}
