/* Paths that are shown, and paths that do not fit. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/field_mask.h"
#include "dataplane/base/check.h"

#define ELEMENT "envoy.admin.v3.ClustersConfigDump.StaticCluster"
#define CLUSTER "envoy.config.cluster.v3.Cluster"

static struct field_mask mask(const char *text)
{
    struct field_mask m;

    assert_true(field_mask_parse(str_c(text), &m));
    return m;
}

static void test_entering(void **state)
{
    struct field_mask m = mask("a.b,a.c.d,,e,e.f,long_name");
    struct field_mask inner;
    struct field_mask innermost;

    (void)state;
    assert_int_equal(m.count, 5);
    assert_true(field_mask_enter(&m, "a", &inner));
    assert_int_equal(inner.count, 2);
    assert_true(str_eq(inner.paths[1], STR("c.d")));
    assert_true(field_mask_enter(&inner, "b", &innermost));
    assert_int_equal(innermost.count, 0);
    assert_true(field_mask_enter(&m, "e", &inner));
    assert_int_equal(inner.count, 0); /* the whole of it wins */
    assert_false(field_mask_enter(&m, "long", &inner));
    assert_false(field_mask_enter(&m, "b", &inner));
    assert_true(field_mask_enter(NULL, "b", &inner));
    m = mask("");
    assert_true(field_mask_enter(&m, "b", &inner));
}

static void test_too_many_paths(void **state)
{
    struct field_mask m;
    char text[2 * FIELD_MASK_PATHS_MAX + 2];

    (void)state;
    for (size_t i = 0; i < sizeof(text); i += 2) {
        text[i] = 'a';
        text[i + 1] = ',';
    }
    assert_true(field_mask_parse(str_n(text, (size_t)2 * FIELD_MASK_PATHS_MAX), &m));
    assert_false(field_mask_parse(str_n(text, sizeof(text)), &m));
}

static void test_validity(void **state)
{
    static const struct {
        const char *paths;
        const char *message;
        const char *any;
        bool is_valid;
    } rows[] = {
        {"bootstrap.node.id", "envoy.admin.v3.BootstrapConfigDump", NULL, true},
        {"bootstrap.node.nope", "envoy.admin.v3.BootstrapConfigDump", NULL, false},
        {"bootstrap.node.userAgentName", "envoy.admin.v3.BootstrapConfigDump", NULL, false},
        {"bootstrap,last_updated", "envoy.admin.v3.BootstrapConfigDump", NULL, true},
        {"bootstrap,nope", "envoy.admin.v3.BootstrapConfigDump", NULL, false},
        {"bootstrap.static_resources.clusters", "envoy.admin.v3.BootstrapConfigDump", NULL, true},
        {"bootstrap.static_resources.clusters.name", "envoy.admin.v3.BootstrapConfigDump", NULL,
         false},
        {"static_clusters.cluster", "envoy.admin.v3.ClustersConfigDump", NULL, false},
        {"cluster.name", ELEMENT, CLUSTER, true},
        {"cluster.load_assignment.cluster_name,last_updated", ELEMENT, CLUSTER, true},
        {"cluster.nope", ELEMENT, CLUSTER, false},
        {"cluster.name", ELEMENT, NULL, false},
        {"cluster.name.x", ELEMENT, CLUSTER, false},
        {".", ELEMENT, CLUSTER, false},
        {"cluster.", ELEMENT, CLUSTER, false},
        {"cluster", "envoy.no.Such", CLUSTER, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct field_mask m = mask(rows[i].paths);

        assert_int_equal(field_mask_is_valid(&m, rows[i].message, rows[i].any), rows[i].is_valid);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entering),
        cmocka_unit_test(test_too_many_paths),
        cmocka_unit_test(test_validity),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
