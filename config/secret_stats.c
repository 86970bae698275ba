/* sds.<name>.*. Main thread. */

#include "config/secret_stats.h"

#include "config/store_internal.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/hash.h"
#include "dataplane/stats/stats.h"

static const struct stat_def defs[SDS_STAT_COUNT] = {
    [SDS_INIT_FETCH_TIMEOUT] = {"init_fetch_timeout", STAT_COUNTER},
    [SDS_KEY_ROTATION_FAILED] = {"key_rotation_failed", STAT_COUNTER},
    [SDS_UPDATE_ATTEMPT] = {"update_attempt", STAT_COUNTER},
    [SDS_UPDATE_FAILURE] = {"update_failure", STAT_COUNTER},
    [SDS_UPDATE_REJECTED] = {"update_rejected", STAT_COUNTER},
    [SDS_UPDATE_SUCCESS] = {"update_success", STAT_COUNTER},
    [SDS_UPDATE_TIME] = {"update_time", STAT_GAUGE},
    [SDS_VERSION] = {"version", STAT_GAUGE},
    [SDS_VERSION_TEXT] = {"version_text", STAT_TEXT},
};

static const struct stat_schema schema = {
    .defs = defs, .count = SDS_STAT_COUNT, .shown_untouched = true};

void secret_stats_open(struct slot *slot)
{
    struct stat_scope_spec spec = {.schema = &schema};
    struct strbuf prefix;

    if (slot->kind != PART_SECRET || slot->stats != NULL || slot->store->params.stats == NULL) {
        return;
    }
    strbuf_init(&prefix);
    strbuf_addf(&prefix, "sds.%.*s.", STR_ARG(slot->name));
    spec.prefix = strbuf_str(&prefix);
    spec.tagged_prefix = strbuf_str(&prefix);
    slot->stats = stat_scope_ref(slot->store->params.stats, &spec);
    strbuf_done(&prefix);
}

void secret_stats_close(struct slot *slot)
{
    if (slot->stats != NULL) {
        stat_scope_unref(slot->stats);
        slot->stats = NULL;
    }
}

void secret_stats_count(const struct slot *slot, enum secret_stat counter)
{
    if (slot->stats != NULL) {
        stat_inc(stat_scope_block(slot->stats, LOOP_MAIN_INDEX), counter);
    }
}

void secret_stats_success(const struct slot *slot, struct str version)
{
    struct stat_block *b;

    if (slot->stats != NULL) {
        b = stat_scope_block(slot->stats, LOOP_MAIN_INDEX);
        stat_inc(b, SDS_UPDATE_SUCCESS);
        stat_set(b, SDS_UPDATE_TIME, clock_wall_ns() / 1000000);
        stat_set(b, SDS_VERSION, hash_xx64(version, 0));
        stat_set_text(slot->stats, SDS_VERSION_TEXT, version);
    }
}
