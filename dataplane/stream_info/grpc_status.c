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
           (content_type.len == grpc.len || content_type.ptr[grpc.len] == '+' ||
            content_type.ptr[grpc.len] == ';');
}

uint64_t grpc_status_of_http(int http_status)
{
    switch (http_status) {
    case 200:
        return 0;
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

struct str grpc_status_name(uint64_t status, bool is_snake)
{
    if (status >= ARRAY_LEN(grpc_status_names)) {
        return STR_NONE;
    }
    return str_c(is_snake ? grpc_status_names[status].snake : grpc_status_names[status].camel);
}
