/* What of stream_info is counted. The rest is plain data that its writers set. */

#include "dataplane/stream_info/stream_info.h"

#include "dataplane/tls/info.h"

void stream_info_set_upstream_tls(struct stream_info *si, struct tls_info *tls)
{
    if (tls != NULL) {
        tls_info_ref(tls);
    }
    tls_info_unref(si->upstream_tls);
    si->upstream_tls = tls;
}
