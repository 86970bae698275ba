#ifndef DATAPLANE_RUNTIME_RUNTIME_H
#define DATAPLANE_RUNTIME_RUNTIME_H

/*
 * Runtime values: what the bootstrap's layered_runtime, a directory of files and the admin page
 * /runtime_modify say under free names, of which the last layer wins. A `struct runtime` is one
 * state of all of them, immutable; main makes a new one when a layer changes (layers.h) and each
 * thread takes it between two callbacks. Who reads a value names its key in the configuration
 * (runtime_key) or in the code, with what holds without it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/map.h"
#include "dataplane/base/rand.h"
#include "dataplane/base/str.h"
#include "dataplane/runtime/thread_context.h"

/* A value as text, and as whatever the text can be read as. */
struct runtime_value {
    struct str text;
    bool is_bool; /* "true", "false", and every whole number */
    bool boolean;
    bool is_number;
    double number;
    bool is_uint; /* a number that is whole and not negative */
    uint64_t uint;
    bool is_fraction; /* "numerator: 3, denominator: MILLION", in any of YAML's and JSON's ways */
    uint32_t numerator;
    uint32_t denominator; /* 100, 10000 or 1000000 */
};

/* Reads `text` in all the ways above. The text stays the caller's. */
void runtime_value_read(struct str text, struct runtime_value *ret);

struct runtime_entry {
    struct str key;
    struct runtime_value value;
};

/* One layer: entries of distinct keys, in a state sorted by them. */
struct runtime_layer {
    struct str name;
    const struct runtime_entry *entries;
    size_t count;
};

struct runtime {
    /* nuncio.replay_unprocessed_streams, true unless a layer says false: a request that its
     * upstream provably did not process is sent once more without a retry policy. */
    bool replays_unprocessed_streams;
    /* nuncio.replay_raced_requests, likewise: one whose kept HTTP/1 connection was closed before
     * one byte of response, if none of it was written or its method is idempotent. */
    bool replays_raced_requests;
    /* Some key begins with "circuit_breakers.": else nobody need make one up and look for it. */
    bool limits_clusters;
    struct map values; /* key -> struct runtime_value of the last layer that has it */
    const struct runtime_layer *layers;
    size_t layer_count;
    struct arena arena; /* holds all of it but the map's table */
};

/* Copies the layers. */
struct runtime *runtime_new(const struct runtime_layer *layers, size_t count);
void runtime_free(struct runtime *r);
/* Of a state's layer; empty when it has no such key. */
struct str runtime_layer_text(const struct runtime_layer *l, struct str key);

/* Any thread, with its own context. A thread without runtime (tests) has the defaults; so has an
 * empty key. NULL when no layer has the key. */
const struct runtime_value *runtime_get(const struct thread_context *t, struct str key);
/* As Envoy: a value that is there, but of another kind, counts as not there. */
bool runtime_get_bool(const struct thread_context *t, struct str key, bool otherwise);
uint64_t runtime_get_u64(const struct thread_context *t, struct str key, uint64_t otherwise);
double runtime_get_double(const struct thread_context *t, struct str key, double otherwise);
/* Whether the random number is in the fraction that the key gives; a whole number is a
 * percentage. Without either, in `numerator` of `denominator`. */
bool runtime_feature_enabled(const struct thread_context *t, struct str key, uint64_t numerator,
                             uint64_t denominator, uint64_t random);

/* Any thread. */
static inline bool runtime_replays_unprocessed_streams(const struct thread_context *t)
{
    return t->runtime == NULL || t->runtime->replays_unprocessed_streams;
}

static inline bool runtime_replays_raced_requests(const struct thread_context *t)
{
    return t->runtime == NULL || t->runtime->replays_raced_requests;
}

static inline bool runtime_limits_clusters(const struct thread_context *t)
{
    return t->runtime != NULL && t->runtime->limits_clusters;
}

/* Whether this request is among `numerator` of `denominator` (100, 10000 or 1000000). As Envoy: a
 * numerator beyond the denominator means always. Takes no random number where none is needed. */
static inline bool runtime_fraction_enabled(struct rng *rng, uint64_t numerator,
                                            uint64_t denominator)
{
    if (numerator == 0) {
        return false;
    }
    return numerator >= denominator || rng_below(rng, denominator) < numerator;
}

#endif
