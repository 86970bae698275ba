#ifndef DATAPLANE_CODEC_HEADER_MAP_H
#define DATAPLANE_CODEC_HEADER_MAP_H

/*
 * Headers of one message: an array of (name, value) in arrival order, in the stream's arena. Names
 * are lower case; well-known ones carry a small id, and the map remembers where each id first
 * stands, so that a lookup is an array read. Pseudo-headers (:method, :path, ...) are entries as
 * in HTTP/2 whatever the wire protocol was, and always come first. A removed entry keeps its
 * place with id HDR_REMOVED, so indexes stay valid during a walk.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/str.h"

struct header_case; /* codec/header_case.h */

/* X(enumerator, "name"). 0 is "unknown"; pseudo-headers come first, else the order is free. After a
 * change run dataplane/codec/header_hash_gen.py. */
#define HEADER_LIST(X)                                                                             \
    X(HDR_METHOD, ":method")                                                                       \
    X(HDR_PATH, ":path")                                                                           \
    X(HDR_AUTHORITY, ":authority")                                                                 \
    X(HDR_SCHEME, ":scheme")                                                                       \
    X(HDR_STATUS, ":status")                                                                       \
    X(HDR_PROTOCOL, ":protocol")                                                                   \
    X(HDR_HOST, "host")                                                                            \
    X(HDR_ACCEPT, "accept")                                                                        \
    X(HDR_ACCEPT_ENCODING, "accept-encoding")                                                      \
    X(HDR_AUTHORIZATION, "authorization")                                                          \
    X(HDR_CACHE_CONTROL, "cache-control")                                                          \
    X(HDR_CONNECTION, "connection")                                                                \
    X(HDR_CONTENT_LENGTH, "content-length")                                                        \
    X(HDR_CONTENT_TYPE, "content-type")                                                            \
    X(HDR_COOKIE, "cookie")                                                                        \
    X(HDR_DATE, "date")                                                                            \
    X(HDR_EXPECT, "expect")                                                                        \
    X(HDR_GRPC_STATUS, "grpc-status")                                                              \
    X(HDR_GRPC_MESSAGE, "grpc-message")                                                            \
    X(HDR_GRPC_TIMEOUT, "grpc-timeout")                                                            \
    X(HDR_KEEP_ALIVE, "keep-alive")                                                                \
    X(HDR_LOCATION, "location")                                                                    \
    X(HDR_ORIGIN, "origin")                                                                        \
    X(HDR_PROXY_CONNECTION, "proxy-connection")                                                    \
    X(HDR_REFERER, "referer")                                                                      \
    X(HDR_SERVER, "server")                                                                        \
    X(HDR_SET_COOKIE, "set-cookie")                                                                \
    X(HDR_TE, "te")                                                                                \
    X(HDR_TRAILER, "trailer")                                                                      \
    X(HDR_TRANSFER_ENCODING, "transfer-encoding")                                                  \
    X(HDR_UPGRADE, "upgrade")                                                                      \
    X(HDR_USER_AGENT, "user-agent")                                                                \
    X(HDR_VIA, "via")                                                                              \
    X(HDR_X_ENVOY_ATTEMPT_COUNT, "x-envoy-attempt-count")                                          \
    X(HDR_X_ENVOY_CLUSTER, "x-envoy-cluster")                                                      \
    X(HDR_X_ENVOY_DECORATOR_OPERATION, "x-envoy-decorator-operation")                              \
    X(HDR_X_ENVOY_DOWNSTREAM_SERVICE_CLUSTER, "x-envoy-downstream-service-cluster")                \
    X(HDR_X_ENVOY_DOWNSTREAM_SERVICE_NODE, "x-envoy-downstream-service-node")                      \
    X(HDR_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS, "x-envoy-expected-rq-timeout-ms")                        \
    X(HDR_X_ENVOY_EXTERNAL_ADDRESS, "x-envoy-external-address")                                    \
    X(HDR_X_ENVOY_FORCE_TRACE, "x-envoy-force-trace")                                              \
    X(HDR_X_ENVOY_HEDGE_ON_PER_TRY_TIMEOUT, "x-envoy-hedge-on-per-try-timeout")                    \
    X(HDR_X_ENVOY_IMMEDIATE_HEALTH_CHECK_FAIL, "x-envoy-immediate-health-check-fail")              \
    X(HDR_X_ENVOY_INTERNAL, "x-envoy-internal")                                                    \
    X(HDR_X_ENVOY_IP_TAGS, "x-envoy-ip-tags")                                                      \
    X(HDR_X_ENVOY_IS_TIMEOUT_RETRY, "x-envoy-is-timeout-retry")                                    \
    X(HDR_X_ENVOY_MAX_RETRIES, "x-envoy-max-retries")                                              \
    X(HDR_X_ENVOY_ORIGINAL_HOST, "x-envoy-original-host")                                          \
    X(HDR_X_ENVOY_ORIGINAL_PATH, "x-envoy-original-path")                                          \
    X(HDR_X_ENVOY_ORIGINAL_URL, "x-envoy-original-url")                                            \
    X(HDR_X_ENVOY_OVERLOADED, "x-envoy-overloaded")                                                \
    X(HDR_X_ENVOY_RETRIABLE_HEADER_NAMES, "x-envoy-retriable-header-names")                        \
    X(HDR_X_ENVOY_RETRIABLE_STATUS_CODES, "x-envoy-retriable-status-codes")                        \
    X(HDR_X_ENVOY_RETRY_GRPC_ON, "x-envoy-retry-grpc-on")                                          \
    X(HDR_X_ENVOY_RETRY_ON, "x-envoy-retry-on")                                                    \
    X(HDR_X_ENVOY_UPSTREAM_ALT_STAT_NAME, "x-envoy-upstream-alt-stat-name")                        \
    X(HDR_X_ENVOY_UPSTREAM_CANARY, "x-envoy-upstream-canary")                                      \
    X(HDR_X_ENVOY_UPSTREAM_RQ_PER_TRY_TIMEOUT_MS, "x-envoy-upstream-rq-per-try-timeout-ms")        \
    X(HDR_X_ENVOY_UPSTREAM_RQ_TIMEOUT_ALT_RESPONSE, "x-envoy-upstream-rq-timeout-alt-response")    \
    X(HDR_X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS, "x-envoy-upstream-rq-timeout-ms")                        \
    X(HDR_X_ENVOY_UPSTREAM_SERVICE_TIME, "x-envoy-upstream-service-time")                          \
    X(HDR_X_ENVOY_UPSTREAM_STREAM_DURATION_MS, "x-envoy-upstream-stream-duration-ms")              \
    X(HDR_X_FORWARDED_CLIENT_CERT, "x-forwarded-client-cert")                                      \
    X(HDR_X_FORWARDED_FOR, "x-forwarded-for")                                                      \
    X(HDR_X_FORWARDED_HOST, "x-forwarded-host")                                                    \
    X(HDR_X_FORWARDED_PORT, "x-forwarded-port")                                                    \
    X(HDR_X_FORWARDED_PROTO, "x-forwarded-proto")                                                  \
    X(HDR_X_REQUEST_ID, "x-request-id")

enum header_id {
    HDR_UNKNOWN = 0,
#define HEADER_ENUM(id, name) id,
    HEADER_LIST(HEADER_ENUM)
#undef HEADER_ENUM
        HDR_COUNT,
    HDR_REMOVED = 0xffff
};

static inline bool header_id_is_pseudo(enum header_id id)
{
    return id >= HDR_METHOD && id <= HDR_PROTOCOL;
}

struct header {
    struct str name;
    struct str value;
    uint16_t id;
    /* Parsed from HTTP/1 and untouched since: "name: value CR LF" stands as such in the arena, so
     * that an HTTP/1 encoder may copy the line as a whole. Whoever makes `name` or `value` point
     * into the same line again must clear it; pointing elsewhere needs nothing. */
    bool is_wire_line;
};

struct header_map {
    struct arena *arena;
    struct header *items;
    uint32_t count; /* including removed ones */
    uint32_t cap;
    uint32_t byte_size;       /* names and values of live entries */
    uint8_t first[HDR_COUNT]; /* index + 1 of the first live entry, 0: none; 255: look for it */
    /* Set by whoever makes a value of what a peer says elsewhere (a certificate's names, SNI) and
     * finds it invalid: before the map is sent, header_find_invalid. Codecs refuse such values. */
    bool has_invalid_value;
    /* How its sender spelled the names; NULL: nobody asked. Only an HTTP/1 encoder looks. */
    const struct header_case *header_case;
};

/* No control characters but HTAB (RFC 9110, 5.5). */
bool header_value_is_valid(struct str value);

void header_map_init(struct header_map *m, struct arena *a);
/* The id of a lower-case name (perfect hash), HDR_UNKNOWN when it has none. */
enum header_id header_id_of(struct str lower_name);
struct str header_name(enum header_id id);

/* First value; `ptr` NULL when absent. */
struct str header_get(const struct header_map *m, enum header_id id);
struct header *header_find(const struct header_map *m, enum header_id id);
/* By the name that a configuration gives: "host" also finds :authority, which is where a request's
 * Host header stands whatever the protocol (as Envoy). What changes a map takes names as they are.
 */
struct header *header_find_name(const struct header_map *m, struct str lower_name);
/* The first with an invalid value; NULL, at once, when nobody has set has_invalid_value. */
struct header *header_find_invalid(const struct header_map *m);
/* Next live entry with the same name after `h`, or NULL. */
struct header *header_next_same(const struct header_map *m, const struct header *h);
static inline bool header_has(const struct header_map *m, enum header_id id)
{
    return m->first[id] != 0;
}

/* Room for `count` entries in all, so that a parser adds without growing. */
void header_map_reserve(struct header_map *m, uint32_t count);
/* Appends an entry, a pseudo-header to the other pseudo-headers (pointers to entries are then no
 * longer valid). Bytes are borrowed: they must live as long as the arena. */
void header_add(struct header_map *m, enum header_id id, struct str value);
void header_add_name(struct header_map *m, struct str lower_name, struct str value);
/* For parsers: appends at the end, `id` being that of `lower_name`. */
struct header *header_push(struct header_map *m, enum header_id id, struct str lower_name,
                           struct str value);
/* Replaces the first and removes the others, or adds. */
void header_set(struct header_map *m, enum header_id id, struct str value);
void header_set_name(struct header_map *m, struct str lower_name, struct str value);
/* Joins with a comma onto the first, or adds (x-forwarded-for). */
void header_append_value(struct header_map *m, enum header_id id, struct str value);
/* Returns how many were removed. */
size_t header_remove(struct header_map *m, enum header_id id);
size_t header_remove_name(struct header_map *m, struct str lower_name);
void header_remove_entry(struct header_map *m, struct header *h);
/* All values of a name joined by "," in the arena (Envoy's header matching); NULL ptr if absent. */
struct str header_joined(const struct header_map *m, struct str lower_name);
/* A copy whose strings live in `a`. */
void header_map_copy(struct header_map *to, const struct header_map *from, struct arena *a);

#define header_for_each(h, m)                                                                      \
    for (struct header *h = (m)->items, *h##_end = (m)->count > 0 ? h + (m)->count : h;            \
         h != h##_end; h++)                                                                        \
        if (h->id != HDR_REMOVED)

#endif
