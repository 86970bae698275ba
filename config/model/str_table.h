#ifndef CONFIG_MODEL_STR_TABLE_H
#define CONFIG_MODEL_STR_TABLE_H

/*
 * A hash from strings to numbers, filled once and then only read, by any thread. It lives in an
 * arena and is sized for its content when it is made. Keys are borrowed. Its hash is not seeded:
 * the keys come from configuration, a client can only ask for them.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/str.h"

#define STR_TABLE_NONE UINT32_MAX

struct str_table_slot {
    const char *key; /* NULL: empty */
    uint32_t len;
    uint32_t hash; /* upper half: what the position does not tell */
    uint32_t value;
};

struct str_table {
    struct str_table_slot *slots;
    size_t mask; /* slots - 1, a power of two less one */
    size_t count;
    size_t max_len;    /* of the keys: longer ones need no hash */
    bool ignores_case; /* ASCII */
};

/* Room for `count_max` keys. */
void str_table_init(struct str_table *t, struct arena *a, size_t count_max, bool ignores_case);
/* The value that stands there already (nothing changes), or `value`, now added. Keys are at most
 * UINT32_MAX bytes, values not STR_TABLE_NONE. */
uint32_t str_table_add(struct str_table *t, struct str key, uint32_t value);
/* STR_TABLE_NONE when absent. */
uint32_t str_table_find(const struct str_table *t, struct str key);

#endif
