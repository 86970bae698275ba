#ifndef CONFIG_SUBSCRIPTION_STATS_H
#define CONFIG_SUBSCRIPTION_STATS_H

/*
 * What Envoy counts of each resource that is asked for by name: "sds.<name>.*" of secrets,
 * "http.<prefix>.rds.<name>.*" of route tables, "cluster.<name>.*" of endpoints. Those of one name
 * from several sources share it, as there. Of endpoints, which may be many, only numbers are kept
 * here: who knows the clusters names them when somebody looks. Main thread.
 */

#include "config/model/cluster.h"
#include "dataplane/base/str.h"

struct config_store;
struct slot;

enum subscription_stat {
    SUBSCRIPTION_INIT_FETCH_TIMEOUT,
    SUBSCRIPTION_UPDATE_ATTEMPT,
    SUBSCRIPTION_UPDATE_FAILURE,
    SUBSCRIPTION_UPDATE_REJECTED,
    SUBSCRIPTION_UPDATE_SUCCESS,
    SUBSCRIPTION_UPDATE_TIME, /* of the last good one */
    SUBSCRIPTION_VERSION,
    SUBSCRIPTION_VERSION_TEXT,
    SUBSCRIPTION_STAT_COUNT,
    /* Secrets only: files that it names have changed and could not be used. */
    SDS_KEY_ROTATION_FAILED = SUBSCRIPTION_STAT_COUNT,
    SDS_STAT_COUNT,
    /* Route tables only: it differs from the one before. */
    RDS_CONFIG_RELOAD = SUBSCRIPTION_STAT_COUNT,
    RDS_CONFIG_RELOAD_TIME_MS,
    RDS_STAT_COUNT,
};

/* `owner`: the stat prefix of what names it first; of route tables. Nothing happens for slots of
 * other kinds, and where nobody counts. */
void subscription_stats_open(struct slot *slot, struct str owner);
void subscription_stats_close(struct slot *slot);
void subscription_stats_count(struct slot *slot, enum subscription_stat counter);
/* `is_changed`: it is not what was there before. */
void subscription_stats_success(struct slot *slot, struct str version, bool is_changed);

#endif
