#ifndef DATAPLANE_BASE_HASH_H
#define DATAPLANE_BASE_HASH_H

/* xxHash, the function Envoy uses: XXH64 for stable hashes (ring, maglev), seeded for maps. */

#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/str.h"

/* Stable across processes. */
uint64_t hash_xx64(struct str s, uint64_t seed);
/* Seeded once per process against collision attacks; for in-memory tables only. */
uint64_t hash_map(struct str s);
/* Incremental stable hash of a configuration: order matters. */
uint64_t hash_mix(uint64_t h, const void *p, size_t len);

#endif
