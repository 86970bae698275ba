#ifndef CONFIG_MODEL_PATH_TRIE_H
#define CONFIG_MODEL_PATH_TRIE_H

/*
 * A compressed trie over strings: walks a text once and reports every key that is a prefix of it,
 * shortest first. The cost follows the text, not the number of keys. Immutable once built, in an
 * arena; any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/str.h"

struct path_trie;

/* `keys` are sorted (str_cmp) and unique; their bytes are borrowed for the life of the trie. A key
 * is known by its place in `keys`. NULL when there are none. */
const struct path_trie *path_trie_build(struct arena *a, const struct str *keys, size_t n);

enum trie_flags {
    TRIE_IGNORE_CASE = 1, /* ASCII; the keys are in lower case */
    TRIE_BACKWARDS = 2,   /* the text is read from its end; the keys were reversed */
};

struct trie_walk {
    const struct path_trie *trie;
    struct str text;
    int flags;
    size_t depth; /* bytes of text consumed; the length of the key just reported */
    uint32_t node;
    bool is_started;
};

/* `trie` may be NULL. */
void trie_walk_init(struct trie_walk *w, const struct path_trie *trie, struct str text, int flags);
/* The next key that is a prefix of the text, in w->depth its length; false at the end. */
bool trie_walk_next(struct trie_walk *w, uint32_t *ret_key);

#endif
