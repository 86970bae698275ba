/* What of stream_info is counted. The rest is plain data that its writers set. */

#include "dataplane/stream_info/stream_info.h"

#include "dataplane/base/arena.h"
#include "dataplane/tls/info.h"

void stream_info_set_upstream_tls(struct stream_info *si, struct tls_info *tls)
{
    if (tls != NULL) {
        tls_info_ref(tls);
    }
    tls_info_unref(si->upstream_tls);
    si->upstream_tls = tls;
}

void stream_info_next_attempt(struct stream_info *si, struct arena *a)
{
    struct upstream_attempt *old;

    if (!address_is_set(&si->upstream_remote)) {
        return;
    }
    if (si->keeps_attempts) {
        old = ARENA_NEW(a, struct upstream_attempt);
        old->next = si->earlier_attempts;
        old->remote = si->upstream_remote;
        old->host_name = si->upstream_host_name;
        old->connection_id = si->upstream_connection_id;
        si->earlier_attempts = old;
    }
    si->upstream_connection_id = 0;
    si->upstream_host_metadata = NULL;
}
