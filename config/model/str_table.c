/* The hash behind exact paths and exact domains: linear probing, at most half full. Any thread may
 * read; building is main's. Removes nothing. */

#include "config/model/str_table.h"

#include "dataplane/base/check.h"

#define ONES 0x0101010101010101ULL

/* Eight bytes at once: upper-case ASCII letters to lower case, all else as it is. */
static uint64_t lower8(uint64_t x)
{
    uint64_t low7 = x & (0x7f * ONES);
    uint64_t from_a = low7 + (0x80 - 'A') * ONES; /* top bit: >= 'A' */
    uint64_t past_z = low7 + (0x7f - 'Z') * ONES; /* top bit: > 'Z' */
    uint64_t is_upper = (from_a ^ past_z) & ~x & (0x80 * ONES);

    return x | is_upper >> 2; /* 0x80 >> 2 is the bit between the cases */
}

static uint64_t mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * 0x9e3779b97f4a7c15ULL;
    return h ^ h >> 32;
}

static uint64_t key_hash(const struct str_table *t, struct str key)
{
    uint64_t h = key.len;
    uint64_t x;
    size_t i;

    for (i = 0; i + sizeof(x) <= key.len; i += sizeof(x)) {
        memcpy(&x, key.ptr + i, sizeof(x));
        h = mix(h, t->ignores_case ? lower8(x) : x);
    }
    if (i < key.len) {
        x = 0;
        memcpy(&x, key.ptr + i, key.len - i);
        h = mix(h, t->ignores_case ? lower8(x) : x);
    }
    return mix(h, 0);
}

void str_table_init(struct str_table *t, struct arena *a, size_t count_max, bool ignores_case)
{
    size_t slots = 2;

    *t = (struct str_table){.ignores_case = ignores_case};
    if (count_max == 0) {
        return;
    }
    CHECK(count_max < UINT32_MAX / 4);
    while (slots < count_max * 2) {
        slots *= 2;
    }
    t->slots = ARENA_ARRAY(a, struct str_table_slot, slots);
    t->mask = slots - 1;
}

static bool slot_is(const struct str_table *t, const struct str_table_slot *s, struct str key,
                    uint32_t hash)
{
    struct str own = str_n(s->key, s->len);

    return s->hash == hash && (t->ignores_case ? str_eq_nocase(own, key) : str_eq(own, key));
}

/* The key's slot, or the empty one where it would go. */
static struct str_table_slot *table_slot(const struct str_table *t, struct str key, uint64_t hash)
{
    size_t i = hash & t->mask;

    while (t->slots[i].key != NULL && !slot_is(t, &t->slots[i], key, (uint32_t)(hash >> 32))) {
        i = (i + 1) & t->mask;
    }
    return &t->slots[i];
}

uint32_t str_table_add(struct str_table *t, struct str key, uint32_t value)
{
    uint64_t hash = key_hash(t, key);
    struct str_table_slot *s = table_slot(t, key, hash);

    if (s->key != NULL) {
        return s->value;
    }
    CHECK(key.len < UINT32_MAX && t->count < t->mask);
    s->key = key.ptr != NULL ? key.ptr : "";
    s->len = (uint32_t)key.len;
    s->hash = (uint32_t)(hash >> 32);
    s->value = value;
    t->count++;
    if (key.len > t->max_len) {
        t->max_len = key.len;
    }
    return value;
}

uint32_t str_table_find(const struct str_table *t, struct str key)
{
    const struct str_table_slot *s;

    if (t->count == 0 || key.len > t->max_len) {
        return STR_TABLE_NONE;
    }
    s = table_slot(t, key, key_hash(t, key));
    return s->key != NULL ? s->value : STR_TABLE_NONE;
}
