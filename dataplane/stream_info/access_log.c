/* Hands entries to loggers. Owns nothing; the stream's thread. */

#include "dataplane/stream_info/access_log.h"

#include "dataplane/stream_info/log_filter.h"

void access_logs_write(const struct access_logs *logs, struct thread_context *t,
                       const struct access_log_entry *e)
{
    for (size_t i = 0; i < logs->count; i++) {
        const struct access_log *log = &logs->logs[i];

        if (log->filter == NULL || log_filter_matches(log->filter, e, t)) {
            ((const struct access_logger_type *)log->ext)->log(t, log->config, e);
        }
    }
}

struct str access_log_type_name(enum access_log_type type)
{
    static const char *const names[] = {
#define ACCESS_LOG_TYPE_NAME(id, name) name,
        ACCESS_LOG_TYPE_LIST(ACCESS_LOG_TYPE_NAME)
#undef ACCESS_LOG_TYPE_NAME
    };

    return str_c(names[type]);
}
