/* Which listener a restored destination leads to. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/server/listener_table.h"

/* Only told apart, never looked into. */
static char names[4];

static struct worker_listener *listener(size_t i)
{
    return (struct worker_listener *)(void *)&names[i];
}

static struct address ip(const char *text, uint16_t port)
{
    struct address a;

    assert_int_equal(address_from_ip(str_c(text), port, &a), 0);
    return a;
}

static struct listener_config at(const struct address *a)
{
    return (struct listener_config){.addresses = a, .address_count = 1};
}

static struct worker_listener *find(const struct listener_table *t, const char *text, uint16_t port)
{
    struct address a = ip(text, port);

    return listener_table_find(t, &a);
}

static void exact_then_every_address(void **state)
{
    const struct address exact = ip("10.0.0.1", 80);
    const struct address every = ip("0.0.0.0", 80);
    const struct address every6 = ip("::", 80);
    struct listener_config configs[] = {at(&exact), at(&every), at(&every6)};
    struct listener_table t;
    struct address path;

    listener_table_init(&t);
    for (size_t i = 0; i < 3; i++) {
        listener_table_add(&t, &configs[i], listener(i));
    }
    assert_ptr_equal(find(&t, "10.0.0.1", 80), listener(0));
    assert_ptr_equal(find(&t, "10.0.0.2", 80), listener(1));
    assert_ptr_equal(find(&t, "2001:db8::1", 80), listener(2));
    assert_null(find(&t, "10.0.0.1", 81));
    assert_int_equal(address_from_path(STR("/s"), &path), 0);
    assert_null(listener_table_find(&t, &path));
    listener_table_remove(&t, &configs[0], listener(0));
    assert_ptr_equal(find(&t, "10.0.0.1", 80), listener(1));
    listener_table_done(&t);
}

static void a_later_listener_takes_the_address(void **state)
{
    const struct address a = ip("10.0.0.1", 80);
    const struct listener_config config = at(&a);
    struct listener_table t;

    listener_table_init(&t);
    listener_table_add(&t, &config, listener(0));
    listener_table_add(&t, &config, listener(1));
    listener_table_remove(&t, &config, listener(0)); /* it is no longer there */
    assert_ptr_equal(find(&t, "10.0.0.1", 80), listener(1));
    listener_table_done(&t);
}

static void both_families(void **state)
{
    const struct address every6 = ip("::", 80);
    struct listener_config config = at(&every6);
    struct listener_table t;

    listener_table_init(&t);
    listener_table_add(&t, &config, listener(0));
    assert_null(find(&t, "10.0.0.1", 80));
    listener_table_remove(&t, &config, listener(0));
    config.ipv4_compat = true;
    listener_table_add(&t, &config, listener(0));
    assert_ptr_equal(find(&t, "10.0.0.1", 80), listener(0));
    listener_table_remove(&t, &config, listener(0));
    assert_null(find(&t, "10.0.0.1", 80));
    listener_table_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_then_every_address),
        cmocka_unit_test(a_later_listener_takes_the_address),
        cmocka_unit_test(both_families),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
