/* Formats an entry into the thread's buffer of a file. The stream's thread; keeps nothing. */

#include "dataplane/access_log/line_logger.h"

#include "dataplane/stream_info/formatter.h"

const char line_logger_default_format[] =
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" "
    "%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% "
    "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" "
    "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n";

void line_logger_log(struct thread_context *t, const void *config, const struct access_log_entry *e)
{
    const struct line_logger *l = config;
    struct strbuf *out;

    if (l->file == NULL) {
        return;
    }
    out = access_log_file_begin(l->file, t);
    if (l->format.is_json) {
        formatter_json(&l->format.json, e, t, l->format.omit_empty_values, out);
    } else {
        formatter_text(&l->format.text, e, t, l->format.omit_empty_values, out);
    }
    access_log_file_end(l->file, t);
}
