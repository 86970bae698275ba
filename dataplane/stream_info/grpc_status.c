/* gRPC's status codes. Any thread, no state. */

#include "dataplane/stream_info/grpc_status.h"

#include "dataplane/base/check.h"

struct grpc_status_names {
    const char *camel;
    const char *snake;
};

static const struct grpc_status_names grpc_status_names[] = {
    {"OK", "OK"},
    {"Canceled", "CANCELLED"},
    {"Unknown", "UNKNOWN"},
    {"InvalidArgument", "INVALID_ARGUMENT"},
    {"DeadlineExceeded", "DEADLINE_EXCEEDED"},
    {"NotFound", "NOT_FOUND"},
    {"AlreadyExists", "ALREADY_EXISTS"},
    {"PermissionDenied", "PERMISSION_DENIED"},
    {"ResourceExhausted", "RESOURCE_EXHAUSTED"},
    {"FailedPrecondition", "FAILED_PRECONDITION"},
    {"Aborted", "ABORTED"},
    {"OutOfRange", "OUT_OF_RANGE"},
    {"Unimplemented", "UNIMPLEMENTED"},
    {"Internal", "INTERNAL"},
    {"Unavailable", "UNAVAILABLE"},
    {"DataLoss", "DATA_LOSS"},
    {"Unauthenticated", "UNAUTHENTICATED"},
};

bool grpc_is_content_type(struct str content_type)
{
    const struct str grpc = STR("application/grpc");

    return str_starts(content_type, grpc) &&
           (content_type.len == grpc.len || content_type.ptr[grpc.len] == '+');
}

bool grpc_is_request(const struct header_map *h)
{
    return header_has(h, HDR_PATH) && grpc_is_content_type(header_get(h, HDR_CONTENT_TYPE));
}

bool grpc_is_response(const struct header_map *h, bool end_stream)
{
    if (end_stream) {
        return header_has(h, HDR_GRPC_STATUS);
    }
    return str_eq(header_get(h, HDR_STATUS), STR("200")) &&
           grpc_is_content_type(header_get(h, HDR_CONTENT_TYPE));
}

struct str grpc_message_encode(struct arena *a, struct str text)
{
    static const char digits[] = "0123456789ABCDEF";
    char *out = arena_alloc(a, text.len * 3);
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (c >= ' ' && c < '~' && c != '%') {
            out[len++] = (char)c;
        } else {
            out[len++] = '%';
            out[len++] = digits[c >> 4];
            out[len++] = digits[c & 15];
        }
    }
    return str_n(out, len);
}

uint64_t grpc_status_of_http(int http_status)
{
    switch (http_status) {
    case 400:
        return 13; /* internal */
    case 401:
        return 16; /* unauthenticated */
    case 403:
        return 7; /* permission denied */
    case 404:
        return 12; /* unimplemented */
    case 429:
    case 502:
    case 503:
    case 504:
        return 14; /* unavailable */
    default:
        return GRPC_STATUS_UNKNOWN;
    }
}

int grpc_status_to_http(uint64_t status)
{
    static const int http[] = {200, 499, 500, 400, 504, 404, 409, 403, 429,
                               400, 409, 400, 501, 500, 503, 500, 401};

    _Static_assert(ARRAY_LEN(http) == GRPC_STATUS_KNOWN_MAX + 1, "one for each");
    return status < ARRAY_LEN(http) ? http[status] : 500;
}

bool grpc_status_of(const struct header_map *h, uint64_t *ret_status)
{
    struct str text = header_get(h, HDR_GRPC_STATUS);
    uint64_t status;

    if (text.len == 0) {
        return false;
    }
    if (parse_u64(text, &status) != 0 || status > GRPC_STATUS_KNOWN_MAX) {
        status = GRPC_STATUS_INVALID;
    }
    *ret_status = status;
    return true;
}

struct str grpc_status_name(uint64_t status, bool is_snake)
{
    if (status >= ARRAY_LEN(grpc_status_names)) {
        return STR_NONE;
    }
    return str_c(is_snake ? grpc_status_names[status].snake : grpc_status_names[status].camel);
}
