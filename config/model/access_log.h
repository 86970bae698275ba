#ifndef CONFIG_MODEL_ACCESS_LOG_H
#define CONFIG_MODEL_ACCESS_LOG_H

/* The access loggers of a listener, a connection manager, a router or a proxy. Immutable. */

#include "config/model/extension.h"
#include "config/model/log_filter.h"

struct access_log {
    const struct extension *ext; /* an access_logger_type's */
    const void *config;
    const struct log_filter *filter; /* NULL: everything */
};

struct access_logs {
    const struct access_log *logs;
    size_t count;
};

#endif
