/* Which transport socket match is an endpoint's. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/upstream/transport_match.h"

/* {name: "value"} as a struct value. */
#define LABEL(label_name, label_value)                                                             \
    ((struct value){.kind = VALUE_STRUCT,                                                          \
                    .fields = &(struct value_field){.name = STR(label_name),                       \
                                                    .value = {.kind = VALUE_STRING,                \
                                                              .string = STR(label_value)}},        \
                    .count = 1})

/* {"envoy.transport_socket_match": labels} */
#define METADATA(labels)                                                                           \
    (&(struct value){.kind = VALUE_STRUCT,                                                         \
                     .fields = &(struct value_field){.name = STR("envoy.transport_socket_match"),  \
                                                     .value = labels},                             \
                     .count = 1})

static const struct value nothing = {.kind = VALUE_STRUCT};

static struct str found(const struct transport_socket_match *matches, size_t count,
                        const struct value *endpoint, const struct value *locality)
{
    struct cluster_config c = {.transport_socket_matches = matches,
                               .transport_socket_match_count = count};
    const struct transport_socket_match *m = transport_match_find(&c, endpoint, locality);

    return m != NULL ? m->name : STR("default");
}

#define assert_found(want, ...)                                                                    \
    do {                                                                                           \
        struct str is_ = found(__VA_ARGS__);                                                       \
                                                                                                   \
        assert_int_equal(is_.len, sizeof(want) - 1);                                               \
        assert_memory_equal(is_.ptr, want, is_.len);                                               \
    } while (0)

static void without_matches_it_is_the_clusters(void **state)
{
    (void)state;
    assert_found("default", NULL, 0, METADATA(LABEL("tls", "on")), NULL);
}

static void the_first_that_is_met(void **state)
{
    struct value on = LABEL("tls", "on");
    struct value off = LABEL("tls", "off");
    const struct transport_socket_match m[] = {
        {.name = STR("off"), .match = &off},
        {.name = STR("on"), .match = &on},
        {.name = STR("on too"), .match = &on},
    };

    (void)state;
    assert_found("on", m, 3, METADATA(LABEL("tls", "on")), NULL);
    assert_found("off", m, 3, METADATA(LABEL("tls", "off")), METADATA(LABEL("tls", "on")));
    assert_found("default", m, 3, METADATA(LABEL("tls", "maybe")), NULL);
    assert_found("default", m, 3, METADATA(LABEL("other", "on")), NULL);
    assert_found("default", m, 3, NULL, NULL);
}

static void the_locality_speaks_for_endpoints_that_say_nothing(void **state)
{
    struct value on = LABEL("tls", "on");
    const struct transport_socket_match m[] = {{.name = STR("on"), .match = &on}};

    (void)state;
    assert_found("on", m, 1, NULL, METADATA(LABEL("tls", "on")));
    assert_found("on", m, 1, METADATA(LABEL("tls", "maybe")), METADATA(LABEL("tls", "on")));
}

/* As Envoy: what matches every endpoint is found before a locality is looked at. */
static void the_catch_all_comes_before_the_locality(void **state)
{
    struct value on = LABEL("tls", "on");
    const struct transport_socket_match m[] = {
        {.name = STR("on"), .match = &on},
        {.name = STR("all"), .match = &nothing},
    };

    (void)state;
    assert_found("on", m, 2, METADATA(LABEL("tls", "on")), NULL);
    assert_found("all", m, 2, NULL, METADATA(LABEL("tls", "on")));
    assert_found("all", m, 2, NULL, NULL);
}

static void all_pairs_are_wanted(void **state)
{
    const struct value_field two[] = {
        {.name = STR("a"), .value = {.kind = VALUE_NUMBER, .number = 1}},
        {.name = STR("b"), .value = {.kind = VALUE_BOOL, .boolean = true}},
    };
    const struct value_field other[] = {
        {.name = STR("a"), .value = {.kind = VALUE_NUMBER, .number = 1}},
        {.name = STR("b"), .value = {.kind = VALUE_STRING, .string = STR("true")}},
    };
    const struct value both = {.kind = VALUE_STRUCT, .fields = two, .count = 2};
    const struct value not_both = {.kind = VALUE_STRUCT, .fields = other, .count = 2};
    const struct value one = {.kind = VALUE_STRUCT, .fields = two, .count = 1};
    const struct transport_socket_match m[] = {{.name = STR("both"), .match = &both}};
    const struct transport_socket_match less[] = {{.name = STR("one"), .match = &one}};

    (void)state;
    assert_found("both", m, 1, METADATA(both), NULL);
    assert_found("default", m, 1, METADATA(not_both), NULL);
    assert_found("default", m, 1, METADATA(one), NULL);
    assert_found("one", less, 1, METADATA(both), NULL);
}

static void values_may_be_nested(void **state)
{
    const struct value items[] = {{.kind = VALUE_NUMBER, .number = 1}, {.kind = VALUE_NULL}};
    const struct value others[] = {{.kind = VALUE_NUMBER, .number = 1}, {.kind = VALUE_BOOL}};
    const struct value_field wanted[] = {
        {.name = STR("l"), .value = {.kind = VALUE_LIST, .items = items, .count = 2}}};
    const struct value_field shorter[] = {
        {.name = STR("l"), .value = {.kind = VALUE_LIST, .items = items, .count = 1}}};
    const struct value_field different[] = {
        {.name = STR("l"), .value = {.kind = VALUE_LIST, .items = others, .count = 2}}};
    const struct value list = {.kind = VALUE_STRUCT, .fields = wanted, .count = 1};
    const struct value_field outer[] = {{.name = STR("s"), .value = list}};
    const struct value deep = {.kind = VALUE_STRUCT, .fields = outer, .count = 1};
    const struct transport_socket_match m[] = {
        {.name = STR("list"), .match = &list},
        {.name = STR("deep"), .match = &deep},
    };

    (void)state;
    assert_found("list", m, 2, METADATA(list), NULL);
    assert_found("deep", m, 2, METADATA(deep), NULL);
    assert_found("default", m, 2,
                 METADATA(((struct value){.kind = VALUE_STRUCT, .fields = shorter, .count = 1})),
                 NULL);
    assert_found("default", m, 2,
                 METADATA(((struct value){.kind = VALUE_STRUCT, .fields = different, .count = 1})),
                 NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_matches_it_is_the_clusters),
        cmocka_unit_test(the_first_that_is_met),
        cmocka_unit_test(the_locality_speaks_for_endpoints_that_say_nothing),
        cmocka_unit_test(the_catch_all_comes_before_the_locality),
        cmocka_unit_test(all_pairs_are_wanted),
        cmocka_unit_test(values_may_be_nested),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
