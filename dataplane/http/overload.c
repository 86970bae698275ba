/* Overload actions and load shed points of HTTP connections. See overload.h. */

#include "dataplane/http/overload.h"

#include "dataplane/codec/codec.h"
#include "dataplane/event/loop.h"
#include "dataplane/http/conn_manager.h"
#include "dataplane/http/local_reply.h"
#include "dataplane/http/stream.h"
#include "dataplane/http/stream_internal.h"
#include "dataplane/net/listener.h"
#include "dataplane/runtime/overload.h"

const struct overload *conn_manager_overload(const struct conn_manager *cm)
{
    return cm->lc != NULL ? cm->lc->overload : NULL;
}

static bool conn_manager_sheds(struct conn_manager *cm, enum overload_point p)
{
    return overload_sheds(cm->thread, conn_manager_overload(cm), p);
}

/* --- timeouts ----------------------------------------------------------------------------- */

static uint64_t due(const struct conn_manager *cm, enum scaled_timer timer, uint64_t deadline_ms,
                    uint64_t timeout_ms)
{
    return deadline_ms == NO_DEADLINE
               ? NO_DEADLINE
               : deadline_ms - overload_cut_ms(conn_manager_overload(cm), timer, timeout_ms);
}

uint64_t conn_manager_idle_due(const struct conn_manager *cm)
{
    return due(cm, SCALED_CONNECTION_IDLE, cm->idle_deadline_ms, cm->config->idle_timeout_ms);
}

uint64_t conn_manager_duration_due(const struct conn_manager *cm)
{
    return due(cm, SCALED_CONNECTION_MAX, cm->duration_deadline_ms,
               cm->config->max_connection_duration_ms);
}

uint64_t stream_idle_due(const struct http_stream *s)
{
    return due(s->cm, s->response == RESPONSE_COMPLETE ? SCALED_STREAM_FLUSH : SCALED_STREAM_IDLE,
               s->idle_deadline_ms, s->idle_timeout_ms);
}

void conn_manager_on_timeouts_scaled(struct conn_manager *cm)
{
    struct http_stream *s;

    list_for_each (s, &cm->streams, struct http_stream, node) {
        conn_manager_watch_deadline(cm, stream_idle_due(s));
    }
    conn_manager_watch_deadline(cm, conn_manager_duration_due(cm));
    if (list_is_empty(&cm->streams)) {
        conn_manager_watch_deadline(cm, conn_manager_idle_due(cm));
    }
}

/* --- memory ------------------------------------------------------------------------------- */

/* HTTP/1 has one stream at a time: what waits on the connection is its own. */
static uint64_t stream_held_bytes(const struct http_stream *s)
{
    const struct conn *c = s->cm->conn;

    if (s->codec == NULL || s->codec->ops->held_bytes == NULL) {
        return conn_unwritten(c) + c->in.len;
    }
    return s->codec->ops->held_bytes(s->codec);
}

static struct http_stream *conn_manager_find_large(struct conn_manager *cm, uint64_t min_bytes)
{
    struct http_stream *s;

    list_for_each (s, &cm->streams, struct http_stream, node) {
        if (stream_held_bytes(s) >= min_bytes) {
            return s;
        }
    }
    return NULL;
}

size_t conn_manager_reset_streams(struct conn_manager *cm, uint64_t min_bytes, size_t most)
{
    struct http_stream *s;
    size_t n = 0;

    while (n < most && !cm->is_closed && (s = conn_manager_find_large(cm, min_bytes)) != NULL) {
        bool is_http1 = conn_manager_is_http1(cm);

        stream_info_set_flag(&s->info, FLAG_OVERLOAD_MANAGER);
        s->info.response_code_details = STR("overload");
        stream_reset(s);
        n++;
        if (is_http1) {
            conn_close(cm->conn, CONN_CLOSE_RESET); /* what is unwritten is what it is about */
            break;
        }
    }
    return n;
}

/* --- requests and connections ------------------------------------------------------------- */

bool stream_is_shed(struct http_stream *s)
{
    struct conn_manager *cm = s->cm;
    struct header_map extra;

    if (!conn_manager_sheds(cm, LOAD_SHED_HCM_DECODE_HEADERS) &&
        !conn_manager_sheds(cm, OVERLOAD_STOP_ACCEPTING_REQUESTS)) {
        return false;
    }
    conn_manager_count(cm, CM_RQ_OVERLOAD_CLOSE); /* as Envoy: without a flag in the log */
    header_map_init(&extra, &s->arena);
    if (cm->config->append_local_overload) {
        header_add_name(&extra, STR("x-envoy-local-overloaded"), STR("true"));
    }
    stream_local_reply(s, &(struct local_reply){
                              .status = 503,
                              .body = STR("envoy overloaded"),
                              .details = STR("overload"),
                              .extra = &extra,
                          });
    return true;
}

void conn_manager_check_keepalive(struct conn_manager *cm)
{
    if (cm->drain_state != DRAIN_NONE || !conn_manager_sheds(cm, OVERLOAD_DISABLE_HTTP_KEEPALIVE)) {
        return;
    }
    conn_manager_count(cm, CM_CX_OVERLOAD_DISABLE_KEEPALIVE);
    conn_manager_start_drain(cm);
}

static void conn_manager_shed(struct conn_manager *cm)
{
    struct http_stream *s;

    conn_manager_count(cm, CM_RQ_OVERLOAD_CLOSE);
    list_for_each (s, &cm->streams, struct http_stream, node) {
        stream_info_set_flag(&s->info, FLAG_OVERLOAD_MANAGER);
    }
    conn_close(cm->conn, CONN_CLOSE_FLUSH);
}

bool conn_manager_sheds_input(struct conn_manager *cm)
{
    bool is_http1 = conn_manager_is_http1(cm);

    if (conn_manager_overload(cm) == NULL) {
        return false;
    }
    if (cm->codec == NULL ? conn_manager_sheds(cm, LOAD_SHED_HCM_ONDATA_CREATING_CODEC)
                          : is_http1 && conn_manager_sheds(cm, LOAD_SHED_H1_ABORT_DISPATCH)) {
        conn_manager_shed(cm);
        return true;
    }
    if (!is_http1 && conn_manager_sheds(cm, LOAD_SHED_H2_GO_AWAY_AND_CLOSE)) {
        conn_manager_set_closing(cm);
        conn_manager_shed(cm);
        return true;
    }
    if (!is_http1 && conn_manager_sheds(cm, LOAD_SHED_H2_GO_AWAY_ON_DISPATCH)) {
        conn_manager_set_closing(cm);
    }
    return false;
}
