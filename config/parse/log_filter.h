#ifndef CONFIG_PARSE_LOG_FILTER_H
#define CONFIG_PARSE_LOG_FILTER_H

/* Access log filters, and lists of access loggers with theirs. Main thread. */

#include "config/model/access_log.h"
#include "config/parse/context.h"
#include "proto/envoy/config/accesslog/v3/accesslog.pb-c.h"

/* The caller has pushed the filter's path. */
int parse_log_filter(struct parse_context *ctx,
                     const Envoy__Config__Accesslog__V3__AccessLogFilter *m,
                     struct log_filter *ret) MUST_CHECK;

/* `field` is the repeated field's name. */
int parse_access_logs(struct parse_context *ctx, const char *field, size_t n,
                      Envoy__Config__Accesslog__V3__AccessLog *const *m,
                      struct access_logs *ret) MUST_CHECK;

#endif
