/* See subscription_stats.h. */

#include "config/subscription_stats.h"

#include <stdlib.h>

#include "config/store_internal.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/hash.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/stats/stats.h"

/* clang-format off */
#define SUBSCRIPTION_STAT_DEFS                                                                     \
    [SUBSCRIPTION_INIT_FETCH_TIMEOUT] = {"init_fetch_timeout", STAT_COUNTER},                      \
    [SUBSCRIPTION_UPDATE_ATTEMPT] = {"update_attempt", STAT_COUNTER},                              \
    [SUBSCRIPTION_UPDATE_FAILURE] = {"update_failure", STAT_COUNTER},                              \
    [SUBSCRIPTION_UPDATE_REJECTED] = {"update_rejected", STAT_COUNTER},                            \
    [SUBSCRIPTION_UPDATE_SUCCESS] = {"update_success", STAT_COUNTER},                              \
    [SUBSCRIPTION_UPDATE_TIME] = {"update_time", STAT_GAUGE},                                      \
    [SUBSCRIPTION_VERSION] = {"version", STAT_GAUGE},                                              \
    [SUBSCRIPTION_VERSION_TEXT] = {"version_text", STAT_TEXT}
/* clang-format on */

static const struct stat_def secret_defs[SDS_STAT_COUNT] = {
    SUBSCRIPTION_STAT_DEFS,
    [SDS_KEY_ROTATION_FAILED] = {"key_rotation_failed", STAT_COUNTER},
};

static const struct stat_def route_defs[RDS_STAT_COUNT] = {
    SUBSCRIPTION_STAT_DEFS,
    [RDS_CONFIG_RELOAD] = {"config_reload", STAT_COUNTER},
    [RDS_CONFIG_RELOAD_TIME_MS] = {"config_reload_time_ms", STAT_GAUGE},
};

static const struct stat_schema secret_schema = {
    .defs = secret_defs, .count = SDS_STAT_COUNT, .shown_untouched = true};
static const struct stat_schema route_schema = {
    .defs = route_defs, .count = RDS_STAT_COUNT, .shown_untouched = true};

/* Of endpoints. */
struct subscription_counts {
    uint32_t counts[SUBSCRIPTION_UPDATE_SUCCESS + 1];
    uint64_t succeeded_wall_ms;
};

static void open_secret(struct slot *slot, struct strbuf *prefix)
{
    struct stat_scope_spec spec = {
        .tagged_prefix = STR("sds."),
        .tags = {{STR("envoy.xds_resource_name"), slot->name}},
        .tag_count = 1,
        .schema = &secret_schema,
    };

    strbuf_addf(prefix, "sds.%.*s.", STR_ARG(slot->name));
    spec.prefix = strbuf_str(prefix);
    slot->stats = stat_scope_ref(slot->store->params.stats, &spec);
}

static void open_route_table(struct slot *slot, struct str owner, struct strbuf *prefix)
{
    struct stat_scope_spec spec = {
        .tagged_prefix = STR("http.rds."),
        .tags = {{STR("envoy.http_conn_manager_prefix"), owner},
                 {STR("envoy.rds_route_config"), slot->name}},
        .tag_count = 2,
        .schema = &route_schema,
    };

    strbuf_addf(prefix, "http.%.*s.rds.%.*s.", STR_ARG(owner), STR_ARG(slot->name));
    spec.prefix = strbuf_str(prefix);
    slot->stats = stat_scope_ref(slot->store->params.stats, &spec);
}

void subscription_stats_open(struct slot *slot, struct str owner)
{
    struct strbuf prefix;

    if (slot->kind == PART_ENDPOINTS || slot->stats != NULL || slot->store->params.stats == NULL) {
        return;
    }
    strbuf_init(&prefix);
    if (slot->kind == PART_SECRET) {
        open_secret(slot, &prefix);
    } else if (slot->kind == PART_ROUTE_TABLE) {
        open_route_table(slot, owner, &prefix);
    }
    strbuf_done(&prefix);
}

void subscription_stats_close(struct slot *slot)
{
    if (slot->kind == PART_ENDPOINTS) {
        free(slot->counts);
        slot->counts = NULL;
    } else if (slot->stats != NULL) {
        stat_scope_unref(slot->stats);
        slot->stats = NULL;
    }
}

static struct subscription_counts *slot_counts(struct slot *slot)
{
    if (slot->counts == NULL) {
        slot->counts = xcalloc(1, sizeof(*slot->counts));
    }
    return slot->counts;
}

void subscription_stats_count(struct slot *slot, enum subscription_stat counter)
{
    if (slot->kind == PART_ENDPOINTS) {
        CHECK(counter <= SUBSCRIPTION_UPDATE_SUCCESS);
        slot_counts(slot)->counts[counter]++;
    } else if (slot->stats != NULL) {
        stat_inc(stat_scope_block(slot->stats, LOOP_MAIN_INDEX), counter);
    }
}

void subscription_stats_success(struct slot *slot, struct str version, bool is_changed)
{
    uint64_t now_ms = clock_wall_ns() / 1000000;
    struct stat_block *b;

    subscription_stats_count(slot, SUBSCRIPTION_UPDATE_SUCCESS);
    if (slot->kind == PART_ENDPOINTS) {
        slot_counts(slot)->succeeded_wall_ms = now_ms;
    } else if (slot->stats != NULL) {
        b = stat_scope_block(slot->stats, LOOP_MAIN_INDEX);
        stat_set(b, SUBSCRIPTION_UPDATE_TIME, now_ms);
        stat_set(b, SUBSCRIPTION_VERSION, hash_xx64(version, 0));
        stat_set_text(slot->stats, SUBSCRIPTION_VERSION_TEXT, version);
        if (slot->kind == PART_ROUTE_TABLE && is_changed) {
            stat_inc(b, RDS_CONFIG_RELOAD);
            stat_set(b, RDS_CONFIG_RELOAD_TIME_MS, now_ms);
        }
    }
}

bool config_store_endpoint_updates(const struct config_store *s, uint32_t slot,
                                   struct endpoint_updates *ret)
{
    const struct slot *e = store_slot_at(s, PART_ENDPOINTS, slot);
    const struct subscription_counts *c = e != NULL ? e->counts : NULL;

    if (c == NULL) {
        return false;
    }
    *ret = (struct endpoint_updates){
        .init_fetch_timeouts = c->counts[SUBSCRIPTION_INIT_FETCH_TIMEOUT],
        .attempts = c->counts[SUBSCRIPTION_UPDATE_ATTEMPT],
        .failures = c->counts[SUBSCRIPTION_UPDATE_FAILURE],
        .rejections = c->counts[SUBSCRIPTION_UPDATE_REJECTED],
        .successes = c->counts[SUBSCRIPTION_UPDATE_SUCCESS],
        .succeeded_wall_ms = c->succeeded_wall_ms,
        .version = str_c(e->resource != NULL ? e->resource->version : NULL),
    };
    return true;
}
