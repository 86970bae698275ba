#ifndef DATAPLANE_EXTENSIONS_ACCESS_LOGGERS_GRPC_ENTRY_H
#define DATAPLANE_EXTENSIONS_ACCESS_LOGGERS_GRPC_ENTRY_H

/* Entries of envoy.data.accesslog.v3, written as Envoy fills them. The stream's thread. */

#include "dataplane/stream_info/access_log.h"

struct grpc_log_headers {
    const struct str *names; /* lower case */
    size_t count;
};

struct grpc_log_fields {
    struct grpc_log_headers request_headers;
    struct grpc_log_headers response_headers;
    struct grpc_log_headers response_trailers;
    const struct str *filter_state;
    size_t filter_state_count;
};

/* The content of an HTTPAccessLogEntry, and of a TCPAccessLogEntry. */
void grpc_log_write_http(const struct grpc_log_fields *f, const struct access_log_entry *e,
                         struct strbuf *out);
void grpc_log_write_tcp(const struct grpc_log_fields *f, const struct access_log_entry *e,
                        struct strbuf *out);

#endif
