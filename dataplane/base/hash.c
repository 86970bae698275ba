/* The only user of xxHash. Any thread. */

#include "dataplane/base/hash.h"

#include <stdatomic.h>

#include "dataplane/base/check.h"
#include "dataplane/base/rand.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* 0 until first use; the same value from then on. */
static _Atomic uint64_t map_seed;

static uint64_t map_seed_make(void)
{
    uint64_t expected = 0;
    uint64_t seed;

    rand_bytes(&seed, sizeof(seed));
    seed |= 1;
    if (!atomic_compare_exchange_strong(&map_seed, &expected, seed)) {
        seed = expected; /* another thread was first */
    }
    return seed;
}

uint64_t hash_xx64(struct str s, uint64_t seed)
{
    return XXH64(s.ptr, s.len, seed);
}

uint64_t hash_map(struct str s)
{
    uint64_t seed = atomic_load_explicit(&map_seed, memory_order_relaxed);

    if (NUNCIO_UNLIKELY(seed == 0)) {
        seed = map_seed_make();
    }
    return XXH3_64bits_withSeed(s.ptr, s.len, seed);
}

uint64_t hash_mix(uint64_t h, const void *p, size_t len)
{
    return XXH64(p, len, h);
}
