/* Ranges by their bytes in a hash, one lookup per prefix length. No mutable state. */

#include "config/model/cidr_table.h"

#include <string.h>

#define CIDR_BITS_V4 32
#define CIDR_BITS_V6 128

/* No padding: a range's bytes are its key. */
_Static_assert(sizeof(struct cidr) == 18, "a range is hashed as it lies in memory");

static struct str key_of(const struct cidr *c)
{
    return str_n((const char *)c, sizeof(*c));
}

void cidr_table_init(struct cidr_table *t, struct arena *a, size_t count_max)
{
    memset(t, 0, sizeof(*t));
    t->keys = ARENA_ARRAY(a, struct cidr, count_max);
    str_table_init(&t->by_range, a, count_max, false);
}

static void note_length(struct cidr_table *t, const struct cidr *range)
{
    uint8_t *lengths = t->lengths[range->is_v6];
    size_t *count = &t->length_counts[range->is_v6];
    size_t i = 0;

    while (i < *count && lengths[i] > range->prefix_len) {
        i++;
    }
    if (i == *count || lengths[i] != range->prefix_len) {
        memmove(lengths + i + 1, lengths + i, *count - i);
        lengths[i] = range->prefix_len;
        (*count)++;
    }
}

uint32_t cidr_table_add(struct cidr_table *t, const struct cidr *range, uint32_t value)
{
    uint32_t there = str_table_find(&t->by_range, key_of(range));

    if (there != STR_TABLE_NONE) {
        return there;
    }
    t->keys[t->count] = *range;
    note_length(t, range);
    return str_table_add(&t->by_range, key_of(&t->keys[t->count++]), value);
}

/* The first `bits` of the address. */
static void range_of(const uint8_t *ip, size_t ip_bytes, uint8_t bits, struct cidr *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->is_v6 = ip_bytes == CIDR_BITS_V6 / 8;
    ret->prefix_len = bits;
    memcpy(ret->bytes, ip, bits / 8);
    if (bits % 8 != 0) {
        ret->bytes[bits / 8] = ip[bits / 8] & (uint8_t)(0xff << (8 - bits % 8));
    }
}

uint32_t cidr_table_next(const struct cidr_table *t, const struct address *a, size_t *position)
{
    bool is_v6 = a->sa.sa_family == AF_INET6;
    const uint8_t *ip =
        is_v6 ? (const uint8_t *)&a->in6.sin6_addr : (const uint8_t *)&a->in.sin_addr;

    while (address_is_ip(a) && *position < t->length_counts[is_v6]) {
        struct cidr range;
        uint32_t value;

        range_of(ip, (is_v6 ? CIDR_BITS_V6 : CIDR_BITS_V4) / 8, t->lengths[is_v6][*position],
                 &range);
        value = str_table_find(&t->by_range, key_of(&range));
        (*position)++;
        if (value != STR_TABLE_NONE) {
            return value;
        }
    }
    return CIDR_TABLE_NONE;
}
