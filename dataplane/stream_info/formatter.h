#ifndef DATAPLANE_STREAM_INFO_FORMATTER_H
#define DATAPLANE_STREAM_INFO_FORMATTER_H

/* Evaluates parsed substitution formats (config/model/format.h) with Envoy's results. */

#include "config/model/format.h"
#include "dataplane/stream_info/access_log.h"

struct thread_context;

/* Missing values print as "-" (or nothing when omit_empty). */
void formatter_text(const struct format *f, const struct access_log_entry *e,
                    struct thread_context *t, bool omit_empty, struct strbuf *out);
/* One line of JSON, typed as Envoy types it (numbers stay numbers, absent is null or omitted). */
void formatter_json(const struct format_json *f, const struct access_log_entry *e,
                    struct thread_context *t, bool omit_empty, struct strbuf *out);
/* For header values: the result lives in `a`; false when the whole value is empty. */
bool formatter_header(const struct format *f, const struct access_log_entry *e,
                      struct thread_context *t, struct arena *a, struct str *ret_value);

#endif
