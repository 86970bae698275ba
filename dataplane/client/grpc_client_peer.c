/*
 * A program around the gRPC client, for integration/client/: commands come in as lines, what the
 * calls are told goes out as lines, so that a test can put a real server on the other side. Text
 * is in hex where it may hold blanks ("-": empty).
 *
 *   cluster PORT...                       puts the cluster "c" (HTTP/2) with these hosts
 *   start ID PATH [TIMEOUT_MS [MAX]]      a streaming call        -> ID head, message, above, close
 *   unary ID PATH BYTES [TIMEOUT_MS [MAX]]                        -> ID message, close
 *   send ID HEX · fill ID BYTES COUNT     one message; COUNT of them, stopping when it is above
 *   finish ID · cancel ID · pause ID · resume ID
 *   stat NAME                                                     -> stat NAME VALUE
 *   blocks                                                        -> stat blocks LIVE
 *   quit
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/client/grpc_client.h"
#include "dataplane/upstream/testing.h"

#define CALLS_MAX 4096
#define WORDS_MAX 16
#define INPUT_MAX (1024 * 1024)

struct call {
    struct grpc_client_call *call; /* NULL: not started, or over */
    unsigned id;
};

static struct upstream_testing u;
static struct call calls[CALLS_MAX];
static char line[INPUT_MAX];
static size_t line_len;
static bool is_quitting;

static void die(const char *what)
{
    (void)fprintf(stderr, "grpc_client_peer: %s\n", what);
    exit(2);
}

static void print_hex(struct str s)
{
    if (s.len == 0) {
        (void)fputs(" -", stdout);
        return;
    }
    (void)fputc(' ', stdout);
    for (size_t i = 0; i < s.len; i++) {
        (void)printf("%02x", (unsigned)(uint8_t)s.ptr[i]);
    }
}

/* --- what calls are told -------------------------------------------------------------------------
 */

static void on_headers(void *user, const struct header_map *h)
{
    const struct call *c = user;
    struct header *own = header_find_name(h, STR("x-server"));

    (void)printf("%u head", c->id);
    print_hex(own != NULL ? own->value : STR(""));
    (void)putchar('\n');
}

/* Length, first byte, last byte: enough to tell a torn message from a whole one. */
static void on_message(void *user, struct buf *message)
{
    const struct call *c = user;
    uint8_t ends[2] = {0, 0};
    size_t len = buf_len(message);

    (void)buf_copy_out(message, 0, &ends[0], 1);
    (void)buf_copy_out(message, len > 0 ? len - 1 : 0, &ends[1], 1);
    (void)printf("%u message %zu %u %u\n", c->id, len, ends[0], ends[1]);
}

static void on_watermark(void *user, bool is_above)
{
    const struct call *c = user;

    (void)printf("%u %s\n", c->id, is_above ? "above" : "below");
}

static void on_close(void *user, const struct grpc_client_result *r)
{
    struct call *c = user;
    const struct header *own =
        r->trailers != NULL ? header_find_name(r->trailers, STR("x-trailer")) : NULL;

    c->call = NULL;
    (void)printf("%u close %d", c->id, (int)r->code);
    print_hex(r->message);
    print_hex(r->details);
    print_hex(own != NULL ? own->value : STR(""));
    (void)putchar('\n');
}

static void on_unary(void *user, const struct grpc_client_result *r, struct buf *response)
{
    if (response != NULL) {
        on_message(user, response);
    }
    on_close(user, r);
}

static const struct grpc_client_ops call_ops = {
    .on_headers = on_headers,
    .on_message = on_message,
    .on_close = on_close,
    .on_watermark = on_watermark,
};

/* --- commands ------------------------------------------------------------------------------------
 */

struct words {
    struct str word[WORDS_MAX];
    size_t count;
};

static uint64_t number(const struct words *w, size_t i)
{
    uint64_t v = 0;

    if (i < w->count && parse_u64(w->word[i], &v) != 0) {
        die("not a number");
    }
    return v;
}

static struct call *call_of(const struct words *w)
{
    uint64_t id = number(w, 1);

    if (w->count < 2 || id >= CALLS_MAX) {
        die("no such call");
    }
    calls[id].id = (unsigned)id;
    return &calls[id];
}

static struct grpc_client_target target_of(const struct words *w, size_t first)
{
    struct grpc_client_target t = {.cluster = {STR("c"), SLOT_NONE}};

    t.timeout = (struct opt_ms){number(w, first) > 0, number(w, first)};
    t.max_message_bytes = (uint32_t)number(w, first + 1);
    return t;
}

static void fill_message(struct buf *message, size_t len)
{
    char block[4096];

    memset(block, 'x', sizeof(block));
    buf_init(message, &u.loop.bufs);
    while (len > 0) {
        size_t n = len < sizeof(block) ? len : sizeof(block);

        buf_add(message, block, n);
        len -= n;
    }
}

static void do_cluster(const struct words *w)
{
    struct cluster_config *c = testing_cluster("c", 0);
    struct testing_endpoint endpoints[WORDS_MAX] = {{0}};

    c->http_protocol = UPSTREAM_HTTP2;
    c->http2 = http2_options_defaults(false);
    c->per_connection_buffer_limit_bytes = 1024 * 1024;
    c->breakers[PRIORITY_DEFAULT].max_requests = CALLS_MAX;
    c->breakers[PRIORITY_DEFAULT].max_pending_requests = CALLS_MAX;
    for (size_t i = 1; i < w->count; i++) {
        endpoints[i - 1].port = (uint16_t)number(w, i);
    }
    upstream_testing_put_endpoints(&u, 0, testing_endpoints(endpoints, w->count - 1));
    upstream_testing_put_cluster(&u, 0, c);
}

static void do_start(const struct words *w)
{
    struct call *c = call_of(w);
    struct grpc_client_target target = target_of(w, 3);

    c->call = grpc_client_start(&u.thread, &target, w->word[2], &call_ops, c);
}

static void do_unary(const struct words *w)
{
    struct call *c = call_of(w);
    struct grpc_client_target target = target_of(w, 4);
    struct buf message;

    fill_message(&message, number(w, 3));
    c->call = grpc_client_unary(&u.thread, &target, w->word[2], &message, on_unary, c);
}

static void do_send(const struct words *w)
{
    struct call *c = call_of(w);
    struct str hex = w->count > 2 ? w->word[2] : STR("");
    struct buf message;

    buf_init(&message, &u.loop.bufs);
    for (size_t i = 0; i + 1 < hex.len; i += 2) {
        uint64_t v;

        if (parse_u64_hex(str_sub(hex, i, i + 2), &v) != 0) {
            die("not hex");
        }
        buf_add(&message, &(uint8_t){(uint8_t)v}, 1);
    }
    if (c->call != NULL) {
        grpc_client_send(c->call, &message, false);
    }
    buf_reset(&message);
}

static void do_fill(const struct words *w)
{
    struct call *c = call_of(w);
    uint64_t sent = 0;

    while (sent < number(w, 3) && c->call != NULL && !grpc_client_is_above(c->call)) {
        struct buf message;

        fill_message(&message, number(w, 2));
        grpc_client_send(c->call, &message, false);
        sent++;
    }
    (void)printf("%u filled %llu\n", c->id, (unsigned long long)sent);
}

static void do_finish(const struct words *w)
{
    struct call *c = call_of(w);

    if (c->call != NULL) {
        grpc_client_finish(c->call);
    }
}

static void do_cancel(const struct words *w)
{
    struct call *c = call_of(w);

    if (c->call != NULL) {
        grpc_client_cancel(c->call);
        c->call = NULL;
    }
    (void)printf("%u cancelled\n", c->id);
}

static void do_pause(const struct words *w)
{
    struct call *c = call_of(w);

    if (c->call != NULL) {
        grpc_client_pause(c->call, str_eq(w->word[0], STR("pause")));
    }
}

static void do_stat(const struct words *w)
{
    char name[128];

    (void)snprintf(name, sizeof(name), "%.*s", STR_ARG(w->word[1]));
    (void)printf("stat %s %llu\n", name, (unsigned long long)upstream_testing_stat(&u, name));
}

static void do_blocks(const struct words *w)
{
    (void)w;
    (void)printf("stat blocks %zu\n", u.loop.bufs.live_blocks);
}

static void do_quit(const struct words *w)
{
    (void)w;
    is_quitting = true;
}

static const struct {
    const char *word;
    size_t min_words;
    void (*run)(const struct words *w);
} commands[] = {
    {"cluster", 2, do_cluster}, {"start", 3, do_start},   {"unary", 4, do_unary},
    {"send", 2, do_send},       {"fill", 4, do_fill},     {"finish", 2, do_finish},
    {"cancel", 2, do_cancel},   {"pause", 2, do_pause},   {"resume", 2, do_pause},
    {"stat", 2, do_stat},       {"blocks", 1, do_blocks}, {"quit", 1, do_quit},
};

static void run_line(struct str text)
{
    struct words w = {.count = 0};

    while (w.count < WORDS_MAX && str_split(&text, ' ', &w.word[w.count])) {
        w.count++;
    }
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (w.count >= commands[i].min_words && str_eq(w.word[0], str_c(commands[i].word))) {
            commands[i].run(&w);
            return;
        }
    }
    die("no such command");
}

static void on_input(uv_poll_t *poll, int status, int events)
{
    ssize_t n = read(STDIN_FILENO, line + line_len, sizeof(line) - line_len);
    struct str rest;
    struct str one;

    (void)poll;
    (void)status;
    (void)events;
    if (n <= 0) {
        is_quitting = n == 0 || (errno != EAGAIN && errno != EINTR);
        return;
    }
    line_len += (size_t)n;
    rest = str_n(line, line_len);
    while (!is_quitting && str_find_char(rest, '\n') != STR_NPOS) {
        (void)str_split(&rest, '\n', &one);
        run_line(one);
    }
    line_len = rest.len;
    memmove(line, rest.ptr, rest.len);
}

int main(void)
{
    uv_poll_t input;

    upstream_testing_init(&u);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    CHECK(uv_poll_init(&u.loop.uv, &input, STDIN_FILENO) == 0);
    CHECK(uv_poll_start(&input, UV_READABLE, on_input) == 0);
    while (!is_quitting) {
        upstream_testing_turn(&u);
    }
    for (size_t i = 0; i < CALLS_MAX; i++) {
        if (calls[i].call != NULL) {
            grpc_client_cancel(calls[i].call);
        }
    }
    uv_close((uv_handle_t *)&input, NULL);
    upstream_testing_done(&u); /* under ASan: nothing is left */
    return 0;
}
