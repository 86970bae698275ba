/*
 * How a connection is made: its session's options, our SETTINGS and window. A connection's
 * thread.
 */

#include "dataplane/codec/h2_internal.h"

#include "dataplane/base/xalloc.h"

#define FIRST_WINDOW NGHTTP2_INITIAL_WINDOW_SIZE
#define FRAME_BYTES (16 * 1024)
#define CONTINUATIONS_MIN 8

static nghttp2_option *make_options(const struct http2_options *o, uint32_t max_headers_bytes)
{
    nghttp2_option *options = NULL;
    int r = nghttp2_option_new(&options);

    CHECK(r == 0); /* out of memory */
    nghttp2_option_set_no_auto_window_update(options, 1);
    nghttp2_option_set_no_closed_streams(options, 1);
    /* As Envoy: blanks around a value are stripped elsewhere, not refused. */
    nghttp2_option_set_no_rfc9113_leading_and_trailing_ws_validation(options, 1);
    /* Ours decide (h2_flood.c, and the connection manager for resets): these never speak first. */
    nghttp2_option_set_max_outbound_ack(options, 10000);
    nghttp2_option_set_stream_reset_rate_limit(options, UINT32_MAX, UINT32_MAX);
    nghttp2_option_set_max_send_header_block_length(options, 0x2000000);
    /* CVE-2024-27919: as many as our bound needs in whole frames, and some that are small. */
    nghttp2_option_set_max_continuations(options,
                                         CONTINUATIONS_MIN + max_headers_bytes / FRAME_BYTES);
    /* A client's pool keeps to the peer's limit by itself, once it is known. */
    nghttp2_option_set_peer_max_concurrent_streams(options, INT32_MAX);
    if (o->hpack_table_size != NGHTTP2_DEFAULT_HEADER_TABLE_SIZE) {
        nghttp2_option_set_max_deflate_dynamic_table_size(options, o->hpack_table_size);
    }
    return options;
}

static void submit_settings(struct h2_conn *h)
{
    const struct http2_options *o = h->options;
    nghttp2_settings_entry entries[4 + HTTP2_CUSTOM_SETTINGS_MAX] = {
        {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, o->hpack_table_size},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, o->initial_stream_window_size},
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, o->max_concurrent_streams},
        h->is_server
            ? (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, o->allow_connect}
            : (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
    };
    size_t n = 4;
    int r;

    for (size_t i = 0; i < o->custom_setting_count; i++) {
        entries[n++] =
            (nghttp2_settings_entry){o->custom_settings[i].id, o->custom_settings[i].value};
    }
    r = nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, entries, n);
    CHECK(r == 0); /* the configuration was checked */
    if (o->initial_connection_window_size > FIRST_WINDOW) {
        (void)nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
                                                    (int32_t)o->initial_connection_window_size);
    }
}

struct codec *h2_codec_new(const struct h2_role *role, const struct codec_callbacks *callbacks,
                           void *owner, struct buf *out, const struct codec_limits *limits)
{
    struct h2_conn *h = xcalloc(1, sizeof(*h));
    nghttp2_session_callbacks *cb = h2_callbacks_new();
    nghttp2_option *options;
    int r;

    CHECK(limits->http2 != NULL);
    h->base.ops = role->ops;
    h->stream_ops = role->stream_ops;
    h->base.callbacks = callbacks;
    h->base.owner = owner;
    h->base.out = out;
    h->base.limits = *limits;
    h->magic = H2_CONN_MAGIC;
    h->is_server = role->is_server;
    h->options = limits->http2;
    list_init(&h->streams);
    list_init(&h->ready);
    list_init(&h->closed);
    list_init(&h->measured);
    list_init(&h->dead);
    options = make_options(h->options, limits->max_headers_bytes);
    r = h->is_server ? nghttp2_session_server_new2(&h->session, cb, h, options)
                     : nghttp2_session_client_new2(&h->session, cb, h, options);
    CHECK(r == 0); /* out of memory */
    nghttp2_option_del(options);
    nghttp2_session_callbacks_del(cb);
    submit_settings(h);
    h->scan.skip = h->is_server ? NGHTTP2_CLIENT_MAGIC_LEN : 0;
    h2_enter(h);
    h2_leave(h);
    return &h->base;
}
