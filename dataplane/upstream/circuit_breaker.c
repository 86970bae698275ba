/* Which limit bounds which resource. The counting is inline in the header. Any thread. */

#include "dataplane/upstream/circuit_breaker.h"

uint32_t breaker_limit(const struct circuit_breaker_limits *l, enum breaker_resource r)
{
    switch (r) {
    case BREAKER_CONNECTIONS:
        return l->max_connections;
    case BREAKER_PENDING:
        return l->max_pending_requests;
    case BREAKER_REQUESTS:
        return l->max_requests;
    case BREAKER_RETRIES:
        return l->max_retries;
    case BREAKER_RESOURCE_COUNT:
        break;
    }
    CHECK(false);
    return 0;
}
