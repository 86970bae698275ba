#ifndef CONFIG_STORE_WORLD_H
#define CONFIG_STORE_WORLD_H

/*
 * For tests: a store with everything around it that a process has. Configuration comes from
 * fake_ads, time is the test's (sim_loop), and the one "worker" is a table of published parts that
 * checks each version as it arrives.
 *
 * Resources are written as short words, and what is published is read in the same words:
 *
 *     cluster    name[@service][#seconds][!]   EDS; #: connect_timeout; !: invalid
 *                name$port                     STATIC
 *     endpoints  name=port[,port]...[!]        name alone: no endpoints
 *     routes     name=cluster[,cluster]...[#n][!]
 *     listener   name=table[,table]...[#n][!]  a filter chain each
 *     secret     name=text                     only read: of the certificate or the CA
 *
 * where #n is some difference that nothing refers to. Lists are separated by spaces.
 */

#include "config/store.h"
#include "config/store_internal.h"
#include "dataplane/event/loop.h"
#include "xds/fake_ads.h"
#include "xds/sim_loop.h"

#define WORLD_SLOTS 128
#define WORLD_PREPARED 64

struct world {
    struct loop loop;
    struct fake_ads *ads;
    struct xds_client *xds;
    struct config_store *store;
    bool is_delta;
    const char *eds_timeout; /* initial_fetch_timeout of what clusters and listeners name */
    const char *rds_timeout;
    unsigned versions;
    unsigned nonces;
    struct strbuf text; /* of the last world_text */
    /* The worker. */
    const struct part *published[PART_KIND_COUNT][WORLD_SLOTS];
    bool is_expired[WORLD_SLOTS]; /* clusters taken out although they were named: time was up */
    unsigned publications;
    size_t last_change_count;
    bool is_initialized;
    bool keeps_snapshots; /* as if the workers had not applied them yet */
    bool is_strict;       /* from here on nothing may be published without what it names */
    struct snapshot *kept[WORLD_SLOTS];
    size_t kept_count;
    /* The listener manager. */
    const char *unbindable; /* name of the listener whose address is taken */
    const struct listener_config *prepared[WORLD_PREPARED];
    size_t prepared_count;
    struct extension_registry registry;
    const struct extension *extensions[32];
};

/* A store that is not started: static resources may be put. */
void world_init(struct world *w, bool is_delta);
/* CDS and LDS over ADS, connected. */
void world_start(struct world *w);
void world_done(struct world *w);

void world_put_static(struct world *w, enum part_kind kind, const char *word);
void world_turn(struct world *w);
void world_advance(struct world *w, uint64_t ms);
/* Serialized; in the arena. Names the resource too, when `ret_name` is given. */
struct str world_message(struct world *w, enum part_kind kind, struct str word, struct arena *a,
                         struct str *ret_name);
/* The same from YAML or JSON, without a world; aborts when it is no such message. */
struct str message_from_yaml(enum part_kind kind, struct str yaml, struct arena *a);
/* The server's next response of that type: in SotW these resources are all there is; in delta they
 * are new or changed, and "-name" is removed. A new version and nonce each time. */
void world_respond(struct world *w, enum part_kind kind, const char *words);
/* Exactly these resources, for what the words cannot say. */
void world_respond_with(struct world *w, enum part_kind kind, const struct fake_resource *resources,
                        size_t count);

/* What is published of a kind, in words, by name. */
const char *world_text(struct world *w, enum part_kind kind);
#define assert_published(w, kind, words) assert_string_equal(world_text((w), (kind)), (words))
/* What a resource waits for; "" when nothing. */
const char *world_waits(struct world *w, enum part_kind kind, const char *name);
/* The next request of this kind not looked at yet (others are dropped), as fake_request_text; NULL:
 * none. */
const char *world_request(struct world *w, enum part_kind kind);
/* The workers have applied everything. */
void world_reclaim(struct world *w);

#endif
