/* The trie reports every key that the text begins with, shortest first. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "config/model/path_trie.h"
#include "dataplane/base/rand.h"

#define KEYS 300

static int key_cmp(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static struct str random_text(struct rng *r, const char *letters, char *out, size_t max)
{
    size_t len = rng_below(r, max);

    for (size_t i = 0; i < len; i++) {
        out[i] = letters[rng_below(r, strlen(letters))];
    }
    return str_n(out, len);
}

static size_t random_keys(struct rng *r, struct arena *a, struct str *keys)
{
    size_t n = rng_below(r, KEYS);
    size_t unique = 0;

    for (size_t i = 0; i < n; i++) {
        char text[16];

        keys[i] = arena_str(a, random_text(r, "ab/", text, 12));
    }
    qsort(keys, n, sizeof(*keys), key_cmp);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || !str_eq(keys[i], keys[i - 1])) {
            keys[unique++] = keys[i];
        }
    }
    return unique;
}

/* The text as the walk reads it. */
static bool begins_with(struct str text, struct str key, int flags)
{
    if (key.len > text.len) {
        return false;
    }
    for (size_t i = 0; i < key.len; i++) {
        char c = text.ptr[(flags & TRIE_BACKWARDS) != 0 ? text.len - 1 - i : i];

        if (((flags & TRIE_IGNORE_CASE) != 0 ? ascii_lower(c) : c) != key.ptr[i]) {
            return false;
        }
    }
    return true;
}

static void test_agrees_with_a_walk_over_the_keys(void **state)
{
    static struct str keys[KEYS];
    struct rng r;

    rng_seed_with(&r, 21);
    for (int round = 0; round < 400; round++) {
        struct arena a;
        const struct path_trie *t;
        size_t n;

        arena_init(&a, NULL);
        n = random_keys(&r, &a, keys);
        t = path_trie_build(&a, keys, n);
        for (int i = 0; i < 100; i++) {
            int flags = (int)rng_below(&r, 4);
            char buffer[24];
            struct str text = random_text(&r, "abAB/", buffer, 20);
            struct trie_walk w;
            uint32_t key;
            size_t last = 0;
            size_t found = 0;
            size_t expected = 0;

            trie_walk_init(&w, t, text, flags);
            while (trie_walk_next(&w, &key)) {
                assert_true(begins_with(text, keys[key], flags));
                assert_int_equal(w.depth, keys[key].len);
                assert_true(found == 0 || w.depth > last);
                last = w.depth;
                found++;
            }
            assert_false(trie_walk_next(&w, &key)); /* stays at its end */
            for (size_t k = 0; k < n; k++) {
                expected += begins_with(text, keys[k], flags);
            }
            assert_int_equal(found, expected);
        }
        arena_done(&a);
    }
}

static void test_all_bytes_may_branch(void **state)
{
    static struct str keys[256];
    static char bytes[256];
    const struct path_trie *t;
    struct arena a;

    arena_init(&a, NULL);
    for (int i = 0; i < 256; i++) {
        bytes[i] = (char)i;
        keys[i] = str_n(&bytes[i], 1);
    }
    t = path_trie_build(&a, keys, 256);
    for (uint32_t i = 0; i < 256; i++) {
        struct trie_walk w;
        uint32_t key;

        trie_walk_init(&w, t, keys[i], 0);
        assert_true(trie_walk_next(&w, &key));
        assert_int_equal(key, i);
        assert_false(trie_walk_next(&w, &key));
    }
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agrees_with_a_walk_over_the_keys),
        cmocka_unit_test(test_all_bytes_may_branch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
