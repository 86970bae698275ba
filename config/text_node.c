/* What YAML and JSON have in common. Any thread; no state. */

#include "config/text_node.h"

#include <stdlib.h>

#include "dataplane/base/xalloc.h"

#define FEW_MEMBERS 16

const char *text_kind_name(enum text_kind k)
{
    static const char *const NAMES[] = {"null", "bool", "number", "string", "list", "object"};

    return NAMES[k];
}

static int compare_members(const void *a, const void *b)
{
    const struct text_member *x = *(const struct text_member *const *)a;
    const struct text_member *y = *(const struct text_member *const *)b;
    int order = str_cmp(x->key, y->key);

    return order != 0 ? order : x < y ? -1 : x > y;
}

static const struct text_member *find_among_few(const struct text_node *map)
{
    for (size_t i = 1; i < map->count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (str_eq(map->members[i].key, map->members[k].key)) {
                return &map->members[i];
            }
        }
    }
    return NULL;
}

const struct text_member *text_find_duplicate(const struct text_node *map)
{
    const struct text_member **sorted;
    const struct text_member *found = NULL;

    if (map->count <= FEW_MEMBERS) {
        return find_among_few(map);
    }
    sorted = xreallocarray(NULL, map->count, sizeof(*sorted));
    for (size_t i = 0; i < map->count; i++) {
        sorted[i] = &map->members[i];
    }
    qsort((void *)sorted, map->count, sizeof(*sorted), compare_members);
    for (size_t i = 1; i < map->count && found == NULL; i++) {
        found = str_eq(sorted[i - 1]->key, sorted[i]->key) ? sorted[i] : NULL;
    }
    free((void *)sorted);
    return found;
}
