#ifndef CONFIG_STORE_H
#define CONFIG_STORE_H

/*
 * Every named resource nuncio holds: the newest good version (accepted), the one that workers have
 * (published), what was refused last and why. Parsing happens on the way in; warming.c decides
 * what may be published; snapshot changes go out through config_store_ops.publish. Main thread.
 *
 * Life of a resource: received -> parsed (or refused; the last good one stays) -> accepted, its
 * names subscribed -> held until what it needs is there -> published -> replaced or removed.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model/cluster.h"
#include "config/model/extension.h"
#include "config/model/listener.h"
#include "config/model/part.h"
#include "config/model/snapshot.h"
#include "dataplane/base/error.h"
#include "dataplane/base/list.h"
#include "dataplane/base/map.h"
#include "dataplane/event/loop.h"
#include "xds/subscription.h"

struct config_store;
struct parse_context;
struct secret_files;
struct stat_scope;
struct subscription_counts;

/* What the store asks of its owner (server/). NULL members are skipped. */
struct config_store_ops {
    /* A new version: `take` is the receiver's; snapshot_free it when every thread has applied it.
     */
    void (*publish)(void *ctx, struct snapshot *take);
    /* A listener was validated: bind what it needs. An error refuses it (the NACK text). Called
     * again for the same part never. */
    int (*listener_prepare)(void *ctx, const struct listener_config *l,
                            const struct listener_config *before, struct error *reterr);
    /* That prepared listener will not be published, or is not any more. */
    void (*listener_discard)(void *ctx, const struct listener_config *l);
    /* A cluster whose endpoints the owner provides (DNS) was accepted, or is gone. The answer is
     * config_store_put_endpoints. */
    void (*cluster_start)(void *ctx, const struct cluster_config *c);
    void (*cluster_stop)(void *ctx, const struct cluster_config *c);
    /* The first clusters are there and warm: listeners are asked for now. Once. */
    void (*clusters_ready)(void *ctx);
    /* Everything that start-up waits for is there (or timed out): listeners open now. */
    void (*initialized)(void *ctx);
    void *ctx;
};

struct config_store_params {
    struct loop *loop;
    const struct extension_registry *registry;
    /* What extensions use while they are parsed; NULL in tests. */
    struct stat_store *stats;
    struct access_log_hub *access_logs;
    const struct tls_builder *tls; /* config/model/tls.h */
    struct str local_ip;           /* lives as long as any part */
    struct xds_client *xds;        /* NULL: static configuration only */
    bool is_strict;
    bool allows_unknown_static;       /* fields that nobody knows: refused in a bootstrap, */
    bool rejects_unknown_dynamic;     /* reported elsewhere, unless this is set, */
    bool ignores_unknown_dynamic;     /* or this: then they are neither counted nor logged */
    uint64_t missing_cluster_hold_ms; /* 1000 */
    uint64_t removed_cluster_hold_ms; /* 15000 */
    struct config_store_ops ops;
};

struct config_store *config_store_new(const struct config_store_params *p);
/* Closes every subscription; nothing is received or published afterwards. Before the xds client
 * closes. */
void config_store_stop(struct config_store *s);
void config_store_free(struct config_store *s);

/* A static resource of the bootstrap. E_* with reterr naming the place inside the resource. */
int config_store_put_static(struct config_store *s, enum part_kind kind,
                            const struct ProtobufCMessage *msg, struct error *reterr) MUST_CHECK;
/* Bootstrap dynamic_resources; NULL: none. Call once, after the static resources; starts
 * the initialisation sequence: clusters, then listeners, then ops.initialized. */
void config_store_start(struct config_store *s, const struct config_source *cds,
                        const struct config_source *lds);
/* From DNS: the endpoint set of a cluster (its endpoints_slot), replaced whole. */
void config_store_put_endpoints(struct config_store *s, uint32_t slot, struct endpoint_set *take);
/* DNS failed for the first time: stop waiting for it. */
void config_store_give_up(struct config_store *s, enum part_kind kind, uint32_t slot);
bool config_store_is_initialized(const struct config_store *s);
/* Whether a good version was ever accepted. Secrets are known by their keys. */
bool config_store_has(const struct config_store *s, enum part_kind kind, struct str key);
/* Whether the control plane has withdrawn it (it may still be in service). */
bool config_store_is_removed(const struct config_store *s, enum part_kind kind, struct str name);
bool config_store_has_cds_response(const struct config_store *s);

/* --- for admin and tests ------------------------------------------------------------------- */

enum resource_state {
    RESOURCE_LIVE,     /* published, nothing newer */
    RESOURCE_WARMING,  /* a newer (or first) version is held */
    RESOURCE_REMOVING, /* gone from the control plane, still named by a published route */
    RESOURCE_REFUSED,  /* no good version ever */
};

struct resource_rejection {
    char *details;
    char *version;
    uint64_t wall_ns;
    uint8_t *bytes; /* the refused message, for /config_dump's error_state */
    size_t len;
    bool is_of_files; /* the accepted message, whose files have changed */
};

/* What is being parsed just now: a new version, or one whose files have changed. */
enum resource_reading { READING_NEW, READING_ACCEPTED_AGAIN, READING_REFUSED_AGAIN };

/* One stored resource, readable by admin. */
struct resource {
    struct slot *slot;
    const struct part *accepted;  /* newest good version, maybe equal to published */
    const struct part *published; /* NULL: none */
    uint8_t *bytes;               /* of `accepted`, as received (the message, not the Any) */
    size_t len;
    char *version;
    uint64_t updated_wall_ns;
    struct resource_rejection *rejection; /* NULL: the last attempt was good */
    struct unsupported_report *unsupported;
    uint64_t held_since_ms; /* 0: not held */
    uint64_t removed_at_ms; /* 0: not removed */
    uint64_t seen_generation;
    bool is_static;
    enum resource_reading reading;
    struct secret_files *files; /* secret_files.h; NULL: none are watched */
    struct secret_files *refused_files;
    struct list pending_node;
    struct list removal_node;
};

/* A name with its stable number. */
struct slot {
    struct config_store *store;
    enum part_kind kind;
    uint32_t index;
    struct str key;       /* the name, and more where that is not enough: parse/secret_key.h */
    struct str name;      /* the beginning of the key */
    uint32_t refs;        /* live parts that mention it, plus the resource in it */
    uint32_t users;       /* accepted or published parts that mention it */
    uint32_t subscribers; /* those of them whose resource was not withdrawn */
    uint64_t missing_since_ms;
    bool is_given_up;
    struct resource *resource;
    struct discovery_source *source; /* where it is subscribed; NULL: not by name */
    uint64_t fetch_timeout_ms;       /* of the newest mention */
    bool is_subscribed;
    union {                                 /* subscription_stats.h */
        struct stat_scope *stats;           /* NULL: not counted */
        struct subscription_counts *counts; /* of endpoints; NULL: none yet */
    };
};

struct unsupported_report {
    char **paths; /* "path (message)" */
    size_t count;
};

enum resource_state resource_state_of(const struct resource *r);
/* What a held resource waits for, one line; empty when it waits for nothing. */
void resource_waits_for(const struct resource *r, struct strbuf *out);

typedef void resource_visit_fn(void *user, const struct resource *r);
/* In name order. */
void config_store_visit(const struct config_store *s, enum part_kind kind, resource_visit_fn *visit,
                        void *user);
uint64_t config_store_version(const struct config_store *s);

/* Counters per type, under Envoy's names, read by server/ into the stats. */
struct discovery_counters {
    uint64_t update_attempt;
    uint64_t update_success;
    uint64_t update_rejected;
    uint64_t update_failure;
    uint64_t init_fetch_timeout;
    uint64_t added;
    uint64_t modified;
    uint64_t removed;
    uint64_t in_place_updated; /* listeners: only filter chains changed */
    uint64_t ignored_removals; /* EDS, RDS, SDS */
    uint64_t config_reload;
    uint64_t update_time_ms; /* wall clock of the last good update */
    struct str version;      /* of the last good update */
    uint64_t unsupported_fields;
};
/* What has become of asking for the endpoints in the slot; false: they are not asked for. */
bool config_store_endpoint_updates(const struct config_store *s, uint32_t slot,
                                   struct endpoint_updates *ret);
const struct discovery_counters *config_store_counters(const struct config_store *s,
                                                       enum part_kind kind);

#endif
