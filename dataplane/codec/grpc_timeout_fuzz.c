/* grpc-timeout from strangers. What is read and written again means the same, rounded down. */

#include "dataplane/base/check.h"
#include "dataplane/codec/grpc_timeout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[GRPC_TIMEOUT_BYTES];
    uint64_t ms;
    uint64_t again;
    size_t len;

    if (!grpc_timeout_parse(str_n((const char *)data, size), &ms)) {
        return 0;
    }
    len = grpc_timeout_format(ms, text);
    CHECK(len > 1 && len <= GRPC_TIMEOUT_BYTES);
    CHECK(grpc_timeout_parse(str_n(text, len), &again));
    CHECK(again <= ms && ms - again < 60 * 60 * 1000);
    CHECK(ms > 99999999 || again == ms);
    return 0;
}
