/* Messages of another process, as they come: never more is read than is there. */

#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/check.h"
#include "dataplane/server/hot_restart_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct hot_restart_received m;

    if (hot_restart_parse(data, size, &m) == 0) {
        CHECK(m.m.data_len <= HOT_RESTART_DATA_MAX);
        CHECK(m.m.kind > 0 && m.m.kind < HOT_RESTART_KIND_END);
    }
    return 0;
}
