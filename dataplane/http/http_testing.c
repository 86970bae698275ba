/* See http_testing.h. */

#include "dataplane/http/http_testing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataplane/stream_info/access_log.h"

/* --- fake filters ------------------------------------------------------------------------- */

static struct http_test *current;

static struct fake_filter *fake_of(struct http_filter *f)
{
    return (struct fake_filter *)(uintptr_t)f->config;
}

static void fake_log(struct http_filter *f, const char *event, const struct buf *data, bool end)
{
    struct strbuf *log = &current->log;

    strbuf_addf(log, "%s%s.%s", log->len > 0 ? " " : "", fake_of(f)->name, event);
    if (data != NULL) {
        strbuf_addf(log, "(%zu)", data->len);
    }
    if (end) {
        strbuf_add_char(log, '*');
    }
}

static enum filter_status fake_act(struct http_filter *f, const char *event,
                                   enum filter_status *script)
{
    struct fake_filter *fake = fake_of(f);
    enum filter_status status = *script;

    *script = FILTER_CONTINUE;
    if (fake->replies_in != NULL && strcmp(fake->replies_in, event) == 0) {
        fake->replies_in = NULL;
        http_filter_local_reply(f, 418, STR("teapot"), NULL, FLAG_FAULT_INJECTED, STR("fake"));
        return FILTER_STOP;
    }
    return status;
}

static enum filter_status fake_decode_headers(struct http_filter *f, struct header_map *h, bool end)
{
    fake_of(f)->filter = f;
    fake_of(f)->last_override = http_filter_override(f);
    fake_log(f, "dh", NULL, end);
    return fake_act(f, "dh", &fake_of(f)->on_decode_headers);
}

static enum filter_status fake_decode_data(struct http_filter *f, struct buf *data, bool end)
{
    fake_log(f, "dd", data, end);
    if (fake_of(f)->takes_data) {
        buf_reset(data);
    }
    return fake_act(f, "dd", &fake_of(f)->on_decode_data);
}

static enum filter_status fake_decode_trailers(struct http_filter *f, struct header_map *trailers)
{
    fake_log(f, "dt", NULL, false);
    return fake_act(f, "dt", &fake_of(f)->on_decode_trailers);
}

static enum filter_status fake_encode_1xx(struct http_filter *f, struct header_map *h)
{
    fake_log(f, "e1", NULL, false);
    return FILTER_CONTINUE;
}

static enum filter_status fake_encode_headers(struct http_filter *f, struct header_map *h, bool end)
{
    fake_log(f, "eh", NULL, end);
    return fake_act(f, "eh", &fake_of(f)->on_encode_headers);
}

static enum filter_status fake_encode_data(struct http_filter *f, struct buf *data, bool end)
{
    fake_log(f, "ed", data, end);
    if (fake_of(f)->takes_data) {
        buf_reset(data);
    }
    return fake_act(f, "ed", &fake_of(f)->on_encode_data);
}

static void fake_move_trailers(struct http_filter *f, struct header_map *trailers)
{
    struct buf data;

    buf_init(&data, &current->loop.bufs);
    buf_add_str(&data, str_c(fake_of(f)->trailers_become));
    http_filter_add_encoded_data(f, &data);
    header_for_each(h, trailers)
    {
        header_remove_entry(trailers, h);
    }
}

static enum filter_status fake_encode_trailers(struct http_filter *f, struct header_map *trailers)
{
    fake_log(f, "et", NULL, false);
    if (fake_of(f)->trailers_become != NULL) {
        fake_move_trailers(f, trailers);
    }
    return fake_act(f, "et", &fake_of(f)->on_encode_trailers);
}

static void fake_on_destroy(struct http_filter *f)
{
    fake_of(f)->destroyed++;
    if (fake_of(f)->filter == f) {
        fake_of(f)->filter = NULL;
    }
}

static const struct http_filter_type fake_type = {
    .ext = {.name = "fake", .category = EXT_HTTP_FILTER},
    .stream_size = 8,
    .decode_headers = fake_decode_headers,
    .decode_data = fake_decode_data,
    .decode_trailers = fake_decode_trailers,
    .encode_1xx = fake_encode_1xx,
    .encode_headers = fake_encode_headers,
    .encode_data = fake_encode_data,
    .encode_trailers = fake_encode_trailers,
    .on_destroy = fake_on_destroy,
};

/* --- the terminal filter ------------------------------------------------------------------ */

static void terminal_maybe_answer(bool end)
{
    if (end && current->answers_at_once &&
        current->terminal.filter->stream->response_headers == NULL) {
        http_test_respond(current, "200", "ok", true);
    }
}

static enum filter_status terminal_decode_headers(struct http_filter *f, struct header_map *h,
                                                  bool end)
{
    fake_of(f)->filter = f;
    fake_log(f, "dh", NULL, end);
    if (http_filter_answer_from_route(f, true) == ROUTE_ANSWER_NONE) {
        terminal_maybe_answer(end);
    }
    return FILTER_STOP;
}

static enum filter_status terminal_decode_data(struct http_filter *f, struct buf *data, bool end)
{
    fake_log(f, "dd", data, end);
    terminal_maybe_answer(end);
    return FILTER_STOP;
}

static enum filter_status terminal_decode_trailers(struct http_filter *f,
                                                   struct header_map *trailers)
{
    fake_log(f, "dt", NULL, false);
    terminal_maybe_answer(true);
    return FILTER_STOP;
}

static void terminal_on_watermark(struct http_filter *f, bool is_above)
{
    fake_log(f, is_above ? "above" : "below", NULL, false);
}

static const struct http_filter_type terminal_type = {
    .ext = {.name = "terminal", .category = EXT_HTTP_FILTER, .is_terminal = true},
    .decode_headers = terminal_decode_headers,
    .decode_data = terminal_decode_data,
    .decode_trailers = terminal_decode_trailers,
    .on_downstream_watermark = terminal_on_watermark,
    .on_destroy = fake_on_destroy,
};

void http_test_respond(struct http_test *t, const char *status, const char *body, bool end_stream)
{
    struct http_filter *f = t->terminal.filter;
    struct arena *a = http_filter_arena(f);
    struct header_map *h = arena_alloc(a, sizeof(*h));
    size_t len = strlen(body);

    header_map_init(h, a);
    header_add(h, HDR_STATUS, arena_str(a, str_c(status)));
    if (end_stream) {
        header_add(h, HDR_CONTENT_LENGTH, arena_printf(a, "%zu", len));
    }
    http_filter_respond_headers(f, h, end_stream && len == 0);
    if (len > 0 && t->terminal.filter == f) {
        http_test_respond_data(t, body, end_stream);
    }
}

void http_test_respond_data(struct http_test *t, const char *body, bool end_stream)
{
    struct buf data;

    buf_init(&data, &t->loop.bufs);
    buf_add_str(&data, str_c(body));
    http_filter_respond_data(t->terminal.filter, &data, end_stream);
    buf_reset(&data);
}

void http_test_respond_trailers(struct http_test *t, const char *name, const char *value)
{
    struct http_filter *f = t->terminal.filter;
    struct header_map *trailers = arena_alloc(http_filter_arena(f), sizeof(*trailers));

    header_map_init(trailers, http_filter_arena(f));
    header_add_name(trailers, str_c(name), str_c(value));
    http_filter_respond_trailers(f, trailers);
}

/* --- access log --------------------------------------------------------------------------- */

static void test_logger_log(struct thread_context *tc, const void *config,
                            const struct access_log_entry *e)
{
    struct strbuf *out = &current->access_log_text;

    strbuf_addf(out, "%s%d ", out->len > 0 ? "\n" : "", e->info->response_code);
    response_flags_format(e->info->flags, out);
    strbuf_addf(out, " %.*s %llu/%llu", STR_ARG(e->info->response_code_details),
                (unsigned long long)e->info->bytes_received,
                (unsigned long long)e->info->bytes_sent);
    assert_true(e->info->end_ns >= e->info->start_mono_ns);
}

static const struct access_logger_type test_logger = {
    .ext = {.name = "test", .category = EXT_ACCESS_LOGGER},
    .log = test_logger_log,
};

/* --- set-up ------------------------------------------------------------------------------- */

void http_test_set_routes(struct http_test *t, const struct route *routes, size_t count)
{
    struct route_config *table = part_new(sizeof(*table), PART_ROUTE_TABLE, STR("table"));
    struct arena *a = &table->part.arena;
    struct virtual_host *vh = ARENA_NEW(a, struct virtual_host);
    struct str *domain = ARENA_NEW(a, struct str);
    struct route *copy = arena_memdup(a, routes, count * sizeof(*routes));
    struct error why;

    for (size_t i = 0; i < count; i++) {
        copy[i].index = (uint32_t)i;
    }
    *domain = STR("*");
    vh->name = STR("vh");
    vh->domains = domain;
    vh->domain_count = 1;
    vh->routes = copy;
    vh->route_count = count;
    vh->index = route_index_build(&table->part, copy, count);
    table->name = STR("table");
    table->vhosts = vh;
    table->vhost_count = 1;
    error_init(&why);
    assert_int_equal(domain_index_build(&table->part, vh, 1, &table->domains, &why), 0);
    error_done(&why);
    if (t->table != NULL) {
        part_unref(&t->table->part);
    }
    t->table = table;
    t->config.inline_routes = table;
}

static void test_release(struct part_releaser *r, const struct part *p)
{
    part_unref(p);
}

void http_test_init(struct http_test *t, size_t filter_count)
{
    static const char *const names[] = {"a", "b", "c"};
    const struct route any = {.path_kind = PATH_MATCH_PREFIX,
                              .case_sensitive = true,
                              .path = STR("/"),
                              .name = STR("any"),
                              .action = ROUTE_FORWARD};

    memset(t, 0, sizeof(*t));
    current = t;
    assert_int_equal(loop_init(&t->loop, 0), 0);
    t->releaser.release = test_release;
    part_table_init(&t->parts, &t->releaser);
    t->thread.loop = &t->loop;
    t->thread.parts = &t->parts;
    t->stats = stat_store_new(1);
    t->scope = stat_scope_ref(t->stats, &(struct stat_scope_spec){
                                            .prefix = STR("http.test."),
                                            .tagged_prefix = STR("http."),
                                            .schema = &conn_manager_stat_schema,
                                        });
    for (size_t i = 0; i < filter_count; i++) {
        t->fakes[i].name = names[i];
        t->filters[i] = (struct http_filter_config){
            .type = &fake_type, .config = &t->fakes[i], .name = str_c(names[i])};
    }
    t->terminal.name = "t";
    t->filters[filter_count] = (struct http_filter_config){
        .type = &terminal_type, .config = &t->terminal, .name = STR("t")};
    t->access_log = (struct access_log){.ext = &test_logger.ext};
    t->config = (struct http_conn_manager_config){
        .stats = t->scope,
        .route_slot = SLOT_NONE,
        .filters = t->filters,
        .filter_count = filter_count + 1,
        .idle_timeout_ms = 3600000,
        .drain_timeout_ms = 5000,
        .delayed_close_timeout_ms = 1000,
        .request_headers_timeout_ms = 10000,
        .stream_idle_timeout_ms = 300000,
        .max_request_headers_bytes = 60 * 1024,
        .max_headers_count = 100,
        .server_name = STR("envoy"),
        .access_logs = {&t->access_log, 1},
    };
    http_test_set_routes(t, &any, 1);
    t->answers_at_once = true;
    t->client_fd = -1;
    strbuf_init(&t->received);
    strbuf_init(&t->log);
    strbuf_init(&t->access_log_text);
}

static void test_conn_on_data(struct conn *c, struct buf *in, bool end_stream)
{
    conn_manager_on_data(current->cm, in, end_stream);
}

static void test_conn_on_watermark(struct conn *c, bool is_above)
{
    conn_manager_on_watermark(current->cm, is_above);
}

static void test_conn_on_closed(struct conn *c, enum conn_close_cause cause)
{
    conn_manager_on_closed(current->cm, cause);
    current->cm = NULL;
    current->conn = NULL;
}

static const struct conn_ops test_conn_ops = {
    .on_data = test_conn_on_data,
    .on_watermark = test_conn_on_watermark,
    .on_closed = test_conn_on_closed,
};

void http_test_connect(struct http_test *t)
{
    struct address remote;
    struct address local;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(address_from_ip(STR("192.168.1.9"), 4321, &remote), 0);
    assert_int_equal(address_from_ip(STR("10.0.0.1"), 80, &local), 0);
    assert_int_equal(conn_accept(&t->loop, fds[0], true, &remote, &local, &t->conn), 0);
    t->conn->ops = &test_conn_ops;
    t->conn->remote = remote; /* the socket pair has none */
    t->conn->local = local;
    t->client_fd = fds[1];
    t->is_client_eof = false;
    t->cm = conn_manager_new(&t->config, &t->thread, t->conn, NULL, 1024);
    conn_read_start(t->conn);
}

void http_test_done(struct http_test *t)
{
    http_test_close_client(t);
    http_test_run(t);
    assert_null(t->cm);
    part_table_done(&t->parts);
    loop_done(&t->loop);
    part_unref(&t->table->part);
    stat_scope_unref(t->scope);
    stat_store_free(t->stats);
    strbuf_done(&t->received);
    strbuf_done(&t->log);
    strbuf_done(&t->access_log_text);
}

/* --- traffic ------------------------------------------------------------------------------ */

static void test_read_client(struct http_test *t)
{
    char bytes[65536];
    ssize_t n;

    while (t->client_fd >= 0 && (n = recv(t->client_fd, bytes, sizeof(bytes), 0)) >= 0) {
        if (n == 0) {
            t->is_client_eof = true;
            return;
        }
        strbuf_add(&t->received, bytes, (size_t)n);
    }
}

void http_test_run(struct http_test *t)
{
    /* A few turns: what one turn provokes is seen in the next. */
    for (int i = 0; i < 6; i++) {
        uv_run(&t->loop.uv, UV_RUN_NOWAIT);
    }
}

void http_test_send(struct http_test *t, const char *bytes)
{
    size_t len = strlen(bytes);

    assert_int_equal(send(t->client_fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
    http_test_run(t);
}

void http_test_close_client(struct http_test *t)
{
    if (t->client_fd >= 0) {
        close(t->client_fd);
        t->client_fd = -1;
    }
    http_test_run(t);
}

const char *http_test_receive(struct http_test *t)
{
    strbuf_reset(&t->received);
    http_test_run(t);
    test_read_client(t);
    strbuf_add(&t->received, "", 0);
    return t->received.ptr != NULL ? t->received.ptr : "";
}

const char *http_test_exchange(struct http_test *t, const char *bytes)
{
    http_test_send(t, bytes);
    return http_test_receive(t);
}

void http_test_pass_ms(struct http_test *t, uint64_t ms)
{
    /* The loop's own turns go by the real clock, so the wheel may be ahead of it. */
    if (t->loop.uv.time < t->loop.timers.now_ms) {
        t->loop.uv.time = t->loop.timers.now_ms;
    }
    t->loop.uv.time += ms;
    timer_wheel_advance(&t->loop.timers, loop_now_ms(&t->loop));
}

static const char *take_text(struct strbuf *b)
{
    static char text[8192];

    assert_true(b->len < sizeof(text));
    if (b->len > 0) {
        memcpy(text, b->ptr, b->len);
    }
    text[b->len] = '\0';
    strbuf_reset(b);
    return text;
}

const char *http_test_log(struct http_test *t)
{
    return take_text(&t->log);
}

const char *http_test_access_log(struct http_test *t)
{
    return take_text(&t->access_log_text);
}

uint64_t http_test_stat(struct http_test *t, enum conn_manager_stat stat)
{
    return stat_scope_value(t->scope, stat);
}

struct http_stream *http_test_stream(struct http_test *t)
{
    struct http_stream *s = list_first(&t->cm->streams, struct http_stream, node);

    assert_non_null(s);
    return s;
}
