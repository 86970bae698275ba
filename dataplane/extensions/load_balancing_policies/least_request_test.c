/* The policies' messages, this one and its simpler neighbours, and what they parse to. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/model/cluster.h"
#include "config/parse/parse_support.h"

extern const struct extension load_balancing_policy_cluster_provided;
extern const struct extension load_balancing_policy_least_request;
extern const struct extension load_balancing_policy_random;
extern const struct extension load_balancing_policy_round_robin;

static int parse(struct parse_fixture *f, const struct extension *ext, const char *text,
                 const struct lb_config **ret)
{
    const ProtobufCMessage *m;
    const void *config = NULL;
    int r;

    parse_fixture_init(f, sizeof(struct cluster_config), PART_CLUSTER, "c");
    assert_int_equal(parse_fixture_message(f, ext->descriptor, str_c(text), &m), 0);
    r = ext->parse(&f->ctx, m, &config);
    *ret = config;
    return r;
}

static void least_request_defaults_are_envoys(void **state)
{
    const struct lb_config *c;
    struct parse_fixture f;

    (void)state;
    assert_int_equal(parse(&f, &load_balancing_policy_least_request, "{}", &c), 0);
    assert_int_equal(c->kind, LB_LEAST_REQUEST);
    assert_int_equal(c->choice_count, 2);
    assert_true(c->active_request_bias == 1.0);
    assert_false(c->locality_weighted);
    parse_fixture_done(&f);
}

static void least_request_is_read(void **state)
{
    const struct lb_config *c;
    struct parse_fixture f;

    (void)state;
    assert_int_equal(parse(&f, &load_balancing_policy_least_request,
                           "choice_count: 5\n"
                           "active_request_bias: {default_value: 0.5, runtime_key: k}\n"
                           "locality_lb_config: {locality_weighted_lb_config: {}}\n",
                           &c),
                     0);
    assert_int_equal(c->choice_count, 5);
    assert_true(c->active_request_bias == 0.5);
    assert_true(c->locality_weighted);
    parse_fixture_done(&f);
}

static void a_negative_bias_is_the_default(void **state)
{
    const struct lb_config *c;
    struct parse_fixture f;

    (void)state;
    assert_int_equal(parse(&f, &load_balancing_policy_least_request,
                           "active_request_bias: {default_value: -1, runtime_key: k}", &c),
                     0);
    assert_true(c->active_request_bias == 1.0);
    parse_fixture_done(&f);
}

static void one_choice_is_none(void **state)
{
    const struct lb_config *c;
    struct parse_fixture f;

    (void)state;
    assert_int_equal(parse(&f, &load_balancing_policy_least_request, "choice_count: 1", &c),
                     E_INVALID);
    assert_non_null(strstr(error_message(&f.err), "choice_count"));
    parse_fixture_done(&f);
}

static void neighbours_are_read(void **state)
{
    const struct lb_config *c;
    struct parse_fixture f;

    (void)state;
    assert_int_equal(parse(&f, &load_balancing_policy_round_robin,
                           "locality_lb_config: {locality_weighted_lb_config: {}}", &c),
                     0);
    assert_int_equal(c->kind, LB_ROUND_ROBIN);
    assert_true(c->locality_weighted);
    parse_fixture_done(&f);
    assert_int_equal(parse(&f, &load_balancing_policy_random, "{}", &c), 0);
    assert_int_equal(c->kind, LB_RANDOM);
    assert_false(c->locality_weighted);
    parse_fixture_done(&f);
    assert_int_equal(parse(&f, &load_balancing_policy_cluster_provided, "{}", &c), E_INVALID);
    parse_fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(least_request_defaults_are_envoys),
        cmocka_unit_test(least_request_is_read),
        cmocka_unit_test(a_negative_bias_is_the_default),
        cmocka_unit_test(one_choice_is_none),
        cmocka_unit_test(neighbours_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
