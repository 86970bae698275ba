/* Names of the codecs' enums. */

#include "dataplane/codec/codec.h"

const char *http_protocol_name(enum http_protocol p)
{
    switch (p) {
    case HTTP_10:
        return "HTTP/1.0";
    case HTTP_11:
        return "HTTP/1.1";
    case HTTP_2:
        return "HTTP/2";
    case HTTP_3:
        return "HTTP/3";
    }
    return "";
}

/* As in Envoy's response_code_details and local reply bodies ("reset reason: ..."). */
const char *stream_reset_reason_name(enum stream_reset_reason r)
{
    switch (r) {
    case RESET_LOCAL:
        return "local reset";
    case RESET_REMOTE:
        return "remote reset";
    case RESET_REMOTE_REFUSED:
        return "remote refused stream reset";
    case RESET_LOCAL_CONNECTION_FAILURE:
        return "local connection failure";
    case RESET_REMOTE_CONNECTION_FAILURE:
        return "remote connection failure";
    case RESET_CONNECTION_TIMEOUT:
        return "connection timeout";
    case RESET_CONNECTION_TERMINATION:
        return "connection termination";
    case RESET_OVERFLOW:
        return "overflow";
    case RESET_PROTOCOL_ERROR:
        return "protocol error";
    case RESET_CONNECT_ERROR:
        return "remote error with CONNECT request";
    case RESET_NO_ERROR:
        return "no error";
    }
    return "";
}

struct str stream_reset_details(enum stream_reset_reason r, bool is_response_started,
                                struct str transport, struct arena *a)
{
    struct str s = arena_printf(
        a, "upstream_reset_%s_response_started{%s%s%.*s}", is_response_started ? "after" : "before",
        stream_reset_reason_name(r), transport.len > 0 ? "|" : "", STR_ARG(transport));
    char *text = (char *)(uintptr_t)s.ptr; /* just written */

    for (size_t i = 0; i < s.len; i++) {
        if (text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n') {
            text[i] = '_';
        }
    }
    return s;
}
