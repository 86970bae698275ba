#ifndef DATAPLANE_STREAM_INFO_ACCESS_LOG_H
#define DATAPLANE_STREAM_INFO_ACCESS_LOG_H

/* The vtable of an access logger: below http, so that streams and connections log alike. */

#include "config/model/access_log.h"
#include "dataplane/stream_info/stream_info.h"

struct thread_context;

struct access_log_entry {
    const struct stream_info *info;
    const struct header_map *request_headers;   /* NULL for TCP */
    const struct header_map *response_headers;  /* NULL when none was sent */
    const struct header_map *response_trailers; /* NULL when there were none */
    enum access_log_type type;
};

struct access_logger_type {
    struct extension ext;
    void (*log)(struct thread_context *t, const void *config, const struct access_log_entry *e);
};

/* Tells each logger whose filter lets the entry pass. The stream's thread. */
void access_logs_write(const struct access_logs *logs, struct thread_context *t,
                       const struct access_log_entry *e);

/* "DownstreamEnd" */
struct str access_log_type_name(enum access_log_type type);

#endif
