#ifndef DATAPLANE_BASE_RAND_H
#define DATAPLANE_BASE_RAND_H

/* getrandom-seeded xoshiro256++ for load balancing, jitter and ids; not for secrets. */

#include <stddef.h>
#include <stdint.h>

/* From getrandom(2). For seeds; any thread. */
void rand_bytes(void *out, size_t len);

struct rng {
    uint64_t s[4];
};

void rng_seed(struct rng *r);                     /* from getrandom(2) */
void rng_seed_with(struct rng *r, uint64_t seed); /* for tests */
uint64_t rng_next(struct rng *r);
/* Uniform in [0, n), n > 0, no modulo bias. */
uint64_t rng_below(struct rng *r, uint64_t n);
double rng_unit(struct rng *r); /* [0, 1) */
/* `ms` and up to `percent` (0 to 100) of it more. */
uint64_t rng_jittered(struct rng *r, uint64_t ms, double percent);
/* Random (version 4) UUID, 36 bytes, no terminator. */
#define UUID_BYTES 36
void rng_uuid4(struct rng *r, char out[UUID_BYTES]);

#endif
