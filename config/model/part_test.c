/* Parts, handles and tables: who counts, who frees, in which order. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/model/part_handle.h"
#include "config/model/snapshot.h"
#include "dataplane/base/xalloc.h"

struct thing {
    struct part part;
    int payload;
};

static int cleaned[4];
static int cleaned_count;

static void note_cleanup(void *object)
{
    cleaned[cleaned_count++] = *(int *)object;
}

static struct thing *thing_new(const char *name)
{
    return part_new(sizeof(struct thing), PART_CLUSTER, str_c(name));
}

static void test_part_lives_in_its_own_arena(void **state)
{
    struct thing *t = thing_new("x");

    assert_int_equal(t->part.refs, 1);
    assert_int_equal(t->part.slot, SLOT_NONE);
    assert_int_equal(t->part.kind, PART_CLUSTER);
    assert_true(str_eq(t->part.name, STR("x")));
    assert_int_equal(t->payload, 0);
    memset(arena_alloc(&t->part.arena, 10000), 1, 10000);
    part_unref(&t->part);
    part_unref(NULL);
}

static void test_cleanups_run_at_the_last_reference_newest_first(void **state)
{
    struct thing *t = thing_new("x");
    int one = 1;
    int two = 2;

    cleaned_count = 0;
    part_on_free(&t->part, note_cleanup, &one);
    part_on_free(&t->part, note_cleanup, &two);
    part_ref(&t->part);
    part_unref(&t->part);
    assert_int_equal(cleaned_count, 0);
    part_unref(&t->part);
    assert_int_equal(cleaned_count, 2);
    assert_int_equal(cleaned[0], 2);
    assert_int_equal(cleaned[1], 1);
}

static const struct part *released[8];
static int released_count;

static void note_release(struct part_releaser *r, const struct part *p)
{
    released[released_count++] = p;
}

static void test_table_replaces_and_releases(void **state)
{
    struct part_releaser releaser = {note_release};
    struct part_table table;
    struct thing *a = thing_new("a");
    struct thing *b = thing_new("b");
    struct part_handle *held;

    released_count = 0;
    part_table_init(&table, &releaser);
    assert_null(part_table_get(&table, PART_CLUSTER, 5));
    part_table_set(&table, PART_CLUSTER, 5, NULL);
    part_table_set(&table, PART_CLUSTER, 5, &a->part);
    part_table_set(&table, PART_CLUSTER, 1000, &b->part);
    held = part_table_get(&table, PART_CLUSTER, 5);
    assert_ptr_equal(held->part, &a->part);
    assert_null(part_table_get(&table, PART_LISTENER, 5));

    part_handle_ref(held);
    part_table_set(&table, PART_CLUSTER, 5, &b->part);
    assert_int_equal(released_count, 0); /* still pinned */
    part_handle_unref(held);
    assert_int_equal(released_count, 1);
    assert_ptr_equal(released[0], &a->part);

    part_table_set(&table, PART_CLUSTER, 5, NULL);
    assert_null(part_table_get(&table, PART_CLUSTER, 5));
    assert_int_equal(released_count, 2);
    part_table_done(&table);
    assert_int_equal(released_count, 3);
    part_handle_unref(NULL);
    part_unref(&a->part);
    part_unref(&b->part);
}

static void test_snapshot_gives_up_both_sides_of_a_change(void **state)
{
    struct thing *a = thing_new("a");
    struct thing *b = thing_new("b");
    struct snapshot *s = xcalloc(1, sizeof(*s));

    s->changes = xcalloc(2, sizeof(*s->changes));
    s->changes[0] = (struct snapshot_change){PART_CLUSTER, 0, NULL, &a->part};
    s->changes[1] = (struct snapshot_change){PART_CLUSTER, 1, &a->part, &b->part};
    s->change_count = 2;
    part_ref(&a->part);
    part_ref(&a->part);
    part_ref(&b->part);
    snapshot_free(s);
    snapshot_free(NULL);
    assert_int_equal(a->part.refs, 1);
    assert_int_equal(b->part.refs, 1);
    part_unref(&a->part);
    part_unref(&b->part);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_part_lives_in_its_own_arena),
        cmocka_unit_test(test_cleanups_run_at_the_last_reference_newest_first),
        cmocka_unit_test(test_table_replaces_and_releases),
        cmocka_unit_test(test_snapshot_gives_up_both_sides_of_a_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
