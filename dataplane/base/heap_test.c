/* The min-heap: what comes out is sorted, whatever was updated or removed in between. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/check.h"
#include "dataplane/base/heap.h"
#include "dataplane/base/rand.h"

#define NODES 200

struct item {
    struct heap_node node;
    uint64_t key;
};

static struct item *item_of(struct heap_node *n)
{
    return container_of(n, struct item, node);
}

static bool item_less(const struct heap_node *a, const struct heap_node *b)
{
    return container_of(a, struct item, node)->key < container_of(b, struct item, node)->key;
}

static void test_random_order_comes_out_sorted(void **state)
{
    static struct item items[NODES];
    struct rng r;
    struct heap h;

    rng_seed_with(&r, 3);
    heap_init(&h, item_less);
    assert_null(heap_min(&h));
    for (int i = 0; i < NODES; i++) {
        items[i].node.index = HEAP_NONE;
    }
    for (int step = 0; step < 50000; step++) {
        struct item *it = &items[rng_below(&r, NODES)];
        uint64_t least = UINT64_MAX;
        size_t count = 0;

        if (it->node.index == HEAP_NONE) {
            it->key = rng_below(&r, 1000);
            heap_insert(&h, &it->node);
        } else if (rng_below(&r, 2) == 0) {
            it->key = rng_below(&r, 1000);
            heap_update(&h, &it->node);
        } else {
            heap_remove(&h, &it->node);
            assert_true(it->node.index == HEAP_NONE);
        }
        for (int i = 0; i < NODES; i++) {
            if (items[i].node.index != HEAP_NONE) {
                count++;
                least = items[i].key < least ? items[i].key : least;
            }
        }
        assert_int_equal(h.count, count);
        if (count > 0) {
            assert_int_equal(item_of(heap_min(&h))->key, least);
        }
    }
    for (uint64_t last = 0; h.count > 0;) {
        struct item *it = item_of(heap_min(&h));

        assert_true(it->key >= last);
        last = it->key;
        heap_remove(&h, &it->node);
    }
    heap_insert(&h, &items[0].node);
    heap_done(&h);
    assert_true(items[0].node.index == HEAP_NONE);
    heap_done(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_order_comes_out_sorted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
