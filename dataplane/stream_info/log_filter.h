#ifndef DATAPLANE_STREAM_INFO_LOG_FILTER_H
#define DATAPLANE_STREAM_INFO_LOG_FILTER_H

/* Evaluates log filters (config/model/log_filter.h) as Envoy does. The stream's thread. */

#include "config/model/log_filter.h"
#include "dataplane/stream_info/access_log.h"

struct thread_context;

bool log_filter_matches(const struct log_filter *f, const struct access_log_entry *e,
                        struct thread_context *t);

#endif
