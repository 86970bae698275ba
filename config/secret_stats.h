#ifndef CONFIG_SECRET_STATS_H
#define CONFIG_SECRET_STATS_H

/* What Envoy counts of each discovered secret, "sds.<name>.*"; those of one name from several
 * sources share it, as there. Main thread. */

#include "dataplane/base/str.h"

struct slot;

enum secret_stat {
    SDS_INIT_FETCH_TIMEOUT,
    SDS_KEY_ROTATION_FAILED, /* files that it names have changed and could not be used */
    SDS_UPDATE_ATTEMPT,
    SDS_UPDATE_FAILURE,
    SDS_UPDATE_REJECTED,
    SDS_UPDATE_SUCCESS,
    SDS_UPDATE_TIME, /* of the last good one */
    SDS_VERSION,
    SDS_VERSION_TEXT,
    SDS_STAT_COUNT
};

/* Nothing happens for slots of other kinds, and where nobody counts. */
void secret_stats_open(struct slot *slot);
void secret_stats_close(struct slot *slot);
void secret_stats_count(const struct slot *slot, enum secret_stat counter);
void secret_stats_success(const struct slot *slot, struct str version);

#endif
