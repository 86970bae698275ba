#ifndef CONFIG_STORE_INTERNAL_H
#define CONFIG_STORE_INTERNAL_H

/* Shared by store.c (names and versions), warming.c (what may go out) and discovery.c (where
 * things come from). */

#include "config/parse/context.h"
#include "config/store.h"
#include "dataplane/event/timer.h"

struct slot_list {
    struct map by_key;
    struct slot **by_index;
    uint32_t count; /* numbers given so far */
    uint32_t cap;   /* length of by_index */
    uint32_t *free_indexes;
    uint32_t free_count;
    uint32_t free_cap;
};

struct config_store {
    struct config_store_params params;
    struct slot_resolver resolver; /* first-class member: parse contexts point to it */
    struct slot_list slots[PART_KIND_COUNT];
    struct list pending[PART_KIND_COUNT];  /* resources whose accepted != published */
    struct list removals[PART_KIND_COUNT]; /* resources to take out when nobody needs them */
    struct discovery_counters counters[PART_KIND_COUNT];
    struct loop_task commit_task;
    struct timer hold_timer;
    uint64_t version;
    bool is_started;
    bool are_clusters_ready; /* start-up has come to the listeners */
    bool is_open;            /* listeners may be published */
    bool is_cds_answered;
    bool is_lds_answered;
    struct discovery *discovery;
    struct snapshot_change *staged;
    size_t staged_count;
    size_t staged_cap;
};

/* store.c */
struct slot *store_slot_get(struct config_store *s, enum part_kind kind, struct str key);
/* NULL: there is none. */
struct slot *store_slot_find(const struct config_store *s, enum part_kind kind, struct str key);
struct slot *store_slot_at(const struct config_store *s, enum part_kind kind, uint32_t index);
void store_slot_unref(struct slot *slot);
/* Parses and accepts. `bytes` are the message's; equal bytes are recognised and cost nothing. */
int store_put(struct config_store *s, enum part_kind kind, struct str key, const uint8_t *bytes,
              size_t len, struct str version, bool is_static, struct error *reterr);
void store_reject(struct config_store *s, enum part_kind kind, struct str key, const uint8_t *bytes,
                  size_t len, struct str version, const char *details);
/* The control plane has withdrawn it: it goes when nothing published names it. */
void store_remove(struct config_store *s, struct resource *r);
void store_accept_part(struct config_store *s, struct slot *slot, const struct part *take_part);
/* Calls `fn` for every slot that the part (a listener: also its chains) names. */
void store_each_dep(struct config_store *s, const struct part *p,
                    void (*fn)(struct config_store *s, struct slot *slot, void *user), void *user);
/* Made when there is none yet. */
struct resource *store_resource_of(struct slot *slot);
/* Files that a secret names have changed: of the version that was accepted, or refused last.
 * `is_check`: perhaps they have; what is bad for the same reason as before is not told again. */
void store_read_again(struct config_store *s, struct slot *slot, bool is_refused, bool is_check);
void store_resource_free(struct config_store *s, struct resource *r);
/* Counts (delta +1 / -1) the part's names as used and subscribed. */
void store_use_deps(struct config_store *s, const struct part *p, int delta);

/* warming.c */
void store_commit_soon(struct config_store *s);
void store_warming_init(struct config_store *s);
void store_warming_done(struct config_store *s);
const char *store_dep_wait(const struct config_store *s, const struct resource *r,
                           const struct slot **ret_slot);

/* discovery.c */
void discovery_new(struct config_store *s);
void discovery_free(struct config_store *s);
void discovery_start(struct config_store *s, const struct config_source *cds,
                     const struct config_source *lds);
void discovery_listeners_start(struct config_store *s);
/* Remembers where the slot's resource comes from. `owner`: see subscription_stats_open. */
void discovery_set_source(struct config_store *s, struct slot *slot,
                          const struct config_source *source, struct str owner);
void discovery_forget_source(struct slot *slot);
/* Closes the sources that no slot has any more. */
void discovery_sweep(struct config_store *s);
void discovery_subscribe(struct config_store *s, struct slot *slot);
void discovery_unsubscribe(struct config_store *s, struct slot *slot);

/* resource_type.c */
struct resource_type {
    enum part_kind kind;
    const char *type_url; /* with the type.googleapis.com/ prefix */
    const ProtobufCMessageDescriptor *descriptor;
    size_t part_bytes;
    /* Reads `msg` into ctx->part (already allocated, named). */
    int (*parse)(struct parse_context *ctx, const ProtobufCMessage *msg,
                 const struct part *previous);
};
const struct resource_type *resource_type_of(enum part_kind kind);

#endif
