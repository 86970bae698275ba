/* Which limit bounds which resource, and what it is. The counting is inline in the header. Any
 * thread. */

#include "dataplane/upstream/circuit_breaker.h"

#include "dataplane/base/str.h"
#include "dataplane/runtime/runtime.h"

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

const char *breaker_limit_name(enum breaker_resource r)
{
    static const char *const names[BREAKER_RESOURCE_COUNT] = {
        [BREAKER_CONNECTIONS] = "max_connections",
        [BREAKER_PENDING] = "max_pending_requests",
        [BREAKER_REQUESTS] = "max_requests",
        [BREAKER_RETRIES] = "max_retries",
    };

    return names[r];
}

static uint32_t runtime_limit(const struct thread_context *t, struct str cluster,
                              enum routing_priority p, enum breaker_resource r, uint32_t otherwise)
{
    struct strbuf key;
    uint64_t limit;

    strbuf_init(&key);
    strbuf_addf(&key, "circuit_breakers.%.*s.%s.%s", STR_ARG(cluster),
                p == PRIORITY_HIGH ? "high" : "default", breaker_limit_name(r));
    limit = runtime_get_u64(t, strbuf_str(&key), otherwise);
    strbuf_done(&key);
    return limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX;
}

uint32_t breaker_limit_now(const struct thread_context *t, const struct cluster_config *c,
                           enum routing_priority p, enum breaker_resource r)
{
    uint32_t configured = breaker_limit(&c->breakers[p], r);

    return NUNCIO_UNLIKELY(runtime_limits_clusters(t)) ? runtime_limit(t, c->name, p, r, configured)
                                                       : configured;
}
