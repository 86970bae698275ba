/* Admin query parameters. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/admin_endpoint.h"
#include "dataplane/base/check.h"

static void test_param_lookup(void **state)
{
    const struct admin_param params[] = {
        {STR("usedonly"), STR("")}, {STR("filter"), STR("x")}, {STR("filter"), STR("y")}};
    const struct admin_request rq = {.params = params, .param_count = ARRAY_LEN(params)};
    const struct str *v = admin_param(&rq, STR("usedonly"));

    assert_non_null(v);
    assert_non_null(v->ptr);
    assert_int_equal(v->len, 0);
    assert_true(str_eq(*admin_param(&rq, STR("filter")), STR("x"))); /* the first one */
    assert_null(admin_param(&rq, STR("format")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_param_lookup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
