#ifndef CONFIG_MODEL_CIDR_TABLE_H
#define CONFIG_MODEL_CIDR_TABLE_H

/*
 * Which of many address ranges hold an address, the narrowest first: a hash lookup for each prefix
 * length that occurs. Immutable once built, in an arena; any thread.
 */

#include <stddef.h>
#include <stdint.h>

#include "config/model/str_table.h"
#include "dataplane/base/address.h"
#include "dataplane/base/arena.h"

#define CIDR_TABLE_NONE STR_TABLE_NONE

struct cidr_table {
    struct cidr *keys; /* what the hash borrows */
    size_t count;
    struct str_table by_range;
    uint8_t lengths[2][129]; /* that occur, longest first; IPv4, IPv6 */
    size_t length_counts[2];
};

/* Room for `count_max` ranges. */
void cidr_table_init(struct cidr_table *t, struct arena *a, size_t count_max);
/* The value that stands there already (nothing changes), or `value`, now added. */
uint32_t cidr_table_add(struct cidr_table *t, const struct cidr *range, uint32_t value);
/* The value of the narrowest range that holds `a`, then with the same `position` (0 first) of the
 * next wider one; CIDR_TABLE_NONE at the end. */
uint32_t cidr_table_next(const struct cidr_table *t, const struct address *a, size_t *position);

#endif
