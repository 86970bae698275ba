/* Random numbers that need not be secret: one generator per loop, seeded by the kernel. */

#include "dataplane/base/rand.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "dataplane/base/check.h"
#include "dataplane/base/clock.h"

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

/* splitmix64: spreads one word over a whole state. */
static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void rand_bytes(void *out, size_t len)
{
    uint8_t *p = out;

    while (len > 0) {
        ssize_t n = getrandom(p, len, 0);

        if (n > 0) {
            p += n;
            len -= (size_t)n;
        } else if (n < 0 && errno != EINTR) {
            break;
        }
    }
    if (len > 0) {
        /* A sandbox that forbids getrandom(2): time, process and address layout must do. */
        uint64_t state = clock_mono_ns() ^ rotl(clock_wall_ns(), 32) ^ (uint64_t)getpid() ^
                         (uint64_t)(uintptr_t)&state;

        while (len > 0) {
            *p++ = (uint8_t)(splitmix(&state) >> 56);
            len--;
        }
    }
}

void rng_seed(struct rng *r)
{
    rand_bytes(r->s, sizeof(r->s));
    if ((r->s[0] | r->s[1] | r->s[2] | r->s[3]) == 0) {
        rng_seed_with(r, 1); /* the all-zero state never moves */
    }
}

void rng_seed_with(struct rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        r->s[i] = splitmix(&seed);
    }
}

uint64_t rng_next(struct rng *r)
{
    uint64_t *s = r->s;
    uint64_t result = rotl(s[0] + s[3], 23) + s[0];
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

__extension__ typedef unsigned __int128 uint128;

static uint128 rng_product(struct rng *r, uint64_t n)
{
    return (uint128)rng_next(r) * n;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
    uint128 product;
    uint64_t low;

    CHECK(n > 0);
    /* The high half of a 64 x 64 product, rejecting the few low halves that would favour some
     * results (Lemire 2019). */
    product = rng_product(r, n);
    low = (uint64_t)product;
    if (NUNCIO_UNLIKELY(low < n)) {
        uint64_t threshold = -n % n;

        while (low < threshold) {
            product = rng_product(r, n);
            low = (uint64_t)product;
        }
    }
    return (uint64_t)(product >> 64);
}

double rng_unit(struct rng *r)
{
    return (double)(rng_next(r) >> 11) * 0x1.0p-53;
}

uint64_t rng_jittered(struct rng *r, uint64_t ms, double percent)
{
    double exact = (double)ms * percent / 100;
    uint64_t most = (uint64_t)exact;

    most += (double)most < exact ? 1 : 0;
    return ms + (most > 0 ? rng_below(r, most) : 0);
}

void rng_uuid4(struct rng *r, char out[UUID_BYTES])
{
    static const char hex[] = "0123456789abcdef";
    uint64_t words[2] = {rng_next(r), rng_next(r)};
    uint8_t bytes[16];
    char *p = out;

    memcpy(bytes, words, sizeof(bytes));
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *p++ = '-';
        }
        *p++ = hex[bytes[i] >> 4];
        *p++ = hex[bytes[i] & 15];
    }
}
