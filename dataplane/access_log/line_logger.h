#ifndef DATAPLANE_ACCESS_LOG_LINE_LOGGER_H
#define DATAPLANE_ACCESS_LOG_LINE_LOGGER_H

/* A logger that writes lines to a file: what the file, stdout and stderr access loggers share. */

#include "config/model/format.h"
#include "dataplane/access_log/hub.h"
#include "dataplane/stream_info/access_log.h"

struct line_logger {
    struct substitution_format format;
    struct access_log_file *file; /* NULL: nobody logs (tests of parsers) */
};

/* Envoy's default, a line with its end. */
extern const char line_logger_default_format[];

void line_logger_log(struct thread_context *t, const void *config,
                     const struct access_log_entry *e);

#endif
