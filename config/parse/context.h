#ifndef CONFIG_PARSE_CONTEXT_H
#define CONFIG_PARSE_CONTEXT_H

/*
 * What every parser (core and extensions) works with while one resource is turned from protobuf
 * into the model: the arena of the part being built, the path to the current field, the first
 * error, the report of unsupported fields, and the names the resource refers to. Main thread.
 */

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model/cluster.h"
#include "config/model/core.h"
#include "config/model/extension.h"
#include "config/model/part.h"
#include "config/model/tls.h"
#include "dataplane/base/error.h"
#include "dataplane/base/str.h"

struct access_log_hub; /* dataplane/access_log/hub.h */
struct stat_store;     /* dataplane/stats/stats.h */

/* Path to the field being read, as text: "filter_chains[0].filters[1].typed_config". */
#define FIELD_PATH_MAX 1024

struct field_path {
    char text[FIELD_PATH_MAX];
    size_t len;
};

/* A field that a real Envoy knows and nuncio does not implement, or that nobody knows. */
struct unsupported_field {
    struct unsupported_field *next;
    struct str path;    /* "route_config.virtual_hosts[0].routes[2].route.retry_policy" */
    struct str message; /* full message name */
};

/* Gives slots to names; implemented by config/store.c. The slot is held by the part through its
 * deps until the part is freed. */
struct slot_resolver {
    uint32_t (*slot)(struct slot_resolver *r, enum part_kind kind, struct str name);
    /* Whether a resource of that name was accepted. NULL: cannot tell. */
    bool (*has)(struct slot_resolver *r, enum part_kind kind, struct str name);
    /* What is in a slot: the version that was accepted last. NULL: cannot tell. */
    const struct part *(*accepted)(struct slot_resolver *r, enum part_kind kind, uint32_t slot);
    /* A part inside of the one being parsed (a filter chain) has its deps now: holds their slots
     * until that part is freed. Also called when parsing it failed. NULL: nothing to hold. */
    void (*hold)(struct slot_resolver *r, struct part *inner);
};

/* Another named resource that an accepted part makes nuncio subscribe to (RDS, EDS, SDS). */
struct subscription_ref {
    enum part_kind kind;
    struct str name;
    const struct config_source *source;
    struct str owner; /* stat prefix of what names it; none where its series do not tell */
};

struct parse_context {
    struct part *part; /* being built; owns everything allocated */
    const struct extension_registry *registry;
    struct slot_resolver *slots;
    struct error *err; /* first error, with its path */
    struct field_path path;
    struct unsupported_field *unsupported; /* list, in the part's arena */
    size_t unsupported_count;
    bool is_static; /* bootstrap: validate_clusters etc. as Envoy */
    bool is_strict; /* --strict: unsupported fields refuse */
    /* What nobody knows refuses, as in Envoy: in a bootstrap, unless --allow-unknown-static-fields;
     * elsewhere with --reject-unknown-dynamic-fields. */
    bool rejects_unknown;
    int depth; /* one budget through Any and TypedStruct */
    /* Collected dependencies and subscriptions, growing arrays on the heap until finished. */
    struct part_dep *deps;
    size_t dep_count;
    size_t dep_cap;
    struct subscription_ref *subscriptions;
    size_t subscription_count;
    size_t subscription_cap;
    /* Directories whose files were read, each once: what a discovered secret has watched. In the
     * part's arena. */
    struct str *watched;
    size_t watched_count;
    size_t watched_cap;
    /* Makes certificates and CAs of what was read; handed in by server/, NULL in unit tests: the
     * built members are NULL then. */
    const struct tls_builder *tls;
    /* Where extensions make what counts (stat_scope_ref; freed by a part cleanup) and what writes
     * access logs; handed in by server/, NULL in unit tests: nobody counts, nobody logs. */
    struct stat_store *stats;
    struct access_log_hub *access_logs;
    /* This machine's address as text, for x-forwarded-for of loopback peers; lives as long as any
     * part. Empty in unit tests. */
    struct str local_ip;
    /* While a secret is parsed: what it is wanted for, and what was read. */
    enum secret_kind secret_kind;
    const struct secret_file *files;
    /* While a format is parsed whose `formatters` say so: %REQ_WITHOUT_QUERY()% is there. */
    bool has_req_without_query;
    /* While a listener is parsed: its name in stats ("127.0.0.1_80" or its stat_prefix). */
    struct str listener_stat_name;
    /* While a cluster is parsed: likewise (its name or alt_stat_name). */
    struct str cluster_stat_name;
};

void parse_context_init(struct parse_context *ctx, struct part *part,
                        const struct extension_registry *registry, struct slot_resolver *slots,
                        struct error *err);
/* Hands collected deps to the part (copied into its arena) and frees the rest. */
void parse_context_finish(struct parse_context *ctx);

static inline struct arena *parse_arena(struct parse_context *ctx)
{
    return &ctx->part->arena;
}

/* Path handling: push returns the old length, which pop restores.
 *   size_t at = path_push(ctx, "routes", i);  ...  path_pop(ctx, at);            */
size_t path_push(struct parse_context *ctx, const char *field);
size_t path_push_index(struct parse_context *ctx, const char *field, size_t index);
/* A map's entry: field["key"]. */
size_t path_push_key(struct parse_context *ctx, const char *field, const char *key);
void path_pop(struct parse_context *ctx, size_t at);

/* Sets "<path>.<field>: <sentence>" (field may be NULL) and returns `code`. */
int parse_fail(struct parse_context *ctx, int code, const char *field, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* Reports every unknown field left in `msg` and the messages in it: unsupported by name from
 * proto/known_fields, or by number what Envoy does not know either. Narrowing fields, with --strict
 * all that Envoy knows, and with rejects_unknown all that it does not are errors. Call once per
 * message before reading it. */
int parse_check_tree(struct parse_context *ctx, const ProtobufCMessage *msg) MUST_CHECK;

/* The same for one field of `m`, the message at the current path, that is implemented for other
 * values than this one. */
int parse_report_unsupported(struct parse_context *ctx, const ProtobufCMessage *m,
                             const char *field) MUST_CHECK;

/* The slot of a name this part refers to (cluster, route table, ...); recorded as a dependency. */
uint32_t parse_slot(struct parse_context *ctx, enum part_kind kind, struct str name);
/* Whether that name is there already, for what Envoy refuses in a static bootstrap. True when the
 * resolver cannot tell. */
bool parse_has(const struct parse_context *ctx, enum part_kind kind, struct str name);
/* What stands in a slot while this parse lasts: accepted, not perhaps published. NULL when there is
 * nothing or the resolver cannot tell. */
const struct part *parse_accepted(const struct parse_context *ctx, enum part_kind kind,
                                  uint32_t slot);
/* And where it comes from, when that is a discovery subscription of its own. `owner` as in struct
 * subscription_ref. */
void parse_subscribe(struct parse_context *ctx, enum part_kind kind, struct str name,
                     const struct config_source *source, struct str owner);

/* The directory is to be watched for the part's sake. */
void parse_watch(struct parse_context *ctx, struct str directory);

/* protobuf-c strings into the arena. */
struct str parse_str(struct parse_context *ctx, const char *s);
struct str parse_bytes(struct parse_context *ctx, ProtobufCBinaryData b);

#endif
