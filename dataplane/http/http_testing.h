#ifndef DATAPLANE_HTTP_HTTP_TESTING_H
#define DATAPLANE_HTTP_HTTP_TESTING_H

/*
 * For tests: a connection manager on one end of a socket pair, with scripted filters and a route
 * table made by hand. One thread, no ports, no sleeping: time passes when the test says so.
 */

#include "config/model/part.h"
#include "config/model/route_index.h"
#include "dataplane/event/loop.h"
#include "dataplane/http/conn_manager.h"
#include "dataplane/http/filter.h"
#include "dataplane/http/stream.h"
#include "dataplane/runtime/thread_context.h"

#define FAKE_FILTERS 3

/* What a fake filter does and what was done to it. Statuses are returned once each; after that
 * they are FILTER_CONTINUE. */
struct fake_filter {
    const char *name; /* one letter, as in the log */
    enum filter_status on_decode_headers;
    enum filter_status on_decode_data;
    enum filter_status on_decode_trailers;
    enum filter_status on_encode_headers;
    enum filter_status on_encode_data;
    enum filter_status on_encode_trailers;
    /* Sends a local reply of 418 in that callback ("dh", "dd", "dt", "eh", "ed", "et"). */
    const char *replies_in;
    bool takes_data; /* out of every piece of either body */
    /* In encode_trailers: adds this as more body, and empties the trailers. NULL: neither. */
    const char *trailers_become;
    struct http_filter *filter; /* of the newest stream */
    int destroyed;
    const void *last_override; /* at decode_headers */
};

struct http_test {
    struct loop loop;
    struct thread_context thread;
    struct part_table parts;
    struct part_releaser releaser;
    struct stat_store *stats;
    struct stat_scope *scope;
    struct route_config *table;
    struct http_conn_manager_config config;
    struct http_filter_config filters[FAKE_FILTERS + 1];
    struct fake_filter fakes[FAKE_FILTERS]; /* a, b, c */
    struct fake_filter terminal;            /* t: logs the request and answers when told to */
    bool answers_at_once;                   /* 200 "ok" at the end of the request */
    struct access_log access_log;
    struct conn *conn;
    struct conn_manager *cm; /* NULL once closed */
    int client_fd;
    bool is_client_eof; /* the proxy's FIN was read */
    struct strbuf received;
    struct strbuf log;             /* "a.dh b.dh t.dh t.dd(5)* ..." */
    struct strbuf access_log_text; /* "code flags details received/sent" per stream */
};

/* A table of one virtual host "*" with `routes`, copied. */
void http_test_set_routes(struct http_test *t, const struct route *routes, size_t count);
/* `filter_count` of a, b, c before the terminal one; one route, prefix "/". No connection yet: the
 * configuration may still be changed. */
void http_test_init(struct http_test *t, size_t filter_count);
void http_test_connect(struct http_test *t);
void http_test_done(struct http_test *t);

void http_test_run(struct http_test *t);
void http_test_send(struct http_test *t, const char *bytes);
void http_test_close_client(struct http_test *t);
/* What has come since the last call, as a string that lives until the next. */
const char *http_test_receive(struct http_test *t);
/* Sends, runs, receives. */
const char *http_test_exchange(struct http_test *t, const char *bytes);
void http_test_pass_ms(struct http_test *t, uint64_t ms);
/* The log since the last call. */
const char *http_test_log(struct http_test *t);
const char *http_test_access_log(struct http_test *t);
uint64_t http_test_stat(struct http_test *t, enum conn_manager_stat stat);
/* The terminal filter answers. */
void http_test_respond(struct http_test *t, const char *status, const char *body, bool end_stream);
void http_test_respond_data(struct http_test *t, const char *body, bool end_stream);
/* Of one field; ends the response. */
void http_test_respond_trailers(struct http_test *t, const char *name, const char *value);
struct http_stream *http_test_stream(struct http_test *t);

#endif
