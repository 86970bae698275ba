/* Connect's last message from arbitrary bytes, whole and in pieces: the division must not matter.
 * The first byte is the length of the pieces. */

#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/check.h"
#include "dataplane/codec/connect_end.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct connect_end whole = {.depth = 0};
    struct connect_end pieces = {.depth = 0};
    struct str rest;
    size_t step;

    if (size < 1) {
        return 0;
    }
    step = (size_t)data[0] + 1;
    rest = str_n((const char *)data + 1, size - 1);
    connect_end_feed(&whole, rest);
    while (rest.len > 0) {
        connect_end_feed(&pieces, str_sub(rest, 0, step));
        rest = str_sub(rest, step, rest.len);
    }
    CHECK(whole.state == pieces.state && whole.depth == pieces.depth &&
          whole.has_error == pieces.has_error);
    CHECK((whole.depth > 0) == (whole.state == CONNECT_END_INSIDE) ||
          whole.state == CONNECT_END_BAD);
    return 0;
}
