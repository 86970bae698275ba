/* Values of metadata against matchers. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/model/value_matcher.h"
#include "dataplane/base/check.h"

static const struct value null_value = {.kind = VALUE_NULL};
static const struct value five = {.kind = VALUE_NUMBER, .number = 5};
static const struct value text = {.kind = VALUE_STRING, .string = {"text", 4}};
static const struct value yes = {.kind = VALUE_BOOL, .boolean = true};
static const struct value members[] = {
    {.kind = VALUE_NUMBER, .number = 5},
    {.kind = VALUE_STRING, .string = {"text", 4}},
};
static const struct value list = {.kind = VALUE_LIST, .items = members, .count = 2};
static const struct value *const values[] = {&null_value, &five, &text, &yes, &list, NULL};

/* `want`: a Y or N for each of `values`. */
static void expect(const struct value_matcher *m, const char *want)
{
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        if (value_matcher_matches(m, values[i]) != (want[i] == 'Y')) {
            fail_msg("kind %d: value %zu", m->kind, i);
        }
    }
}

static void test_kinds(void **state)
{
    static const struct value_matcher is_text = {
        .kind = VALUE_MATCH_STRING,
        .string = {.kind = STRING_MATCH_EXACT, .value = {"text", 4}},
    };
    static const struct value_matcher parts[] = {
        {.kind = VALUE_MATCH_NULL},
        {.kind = VALUE_MATCH_BOOL, .boolean = true},
    };

    expect(&(struct value_matcher){.kind = VALUE_MATCH_NULL}, "YNNNNN");
    expect(&(struct value_matcher){.kind = VALUE_MATCH_NUMBER, .number = 5}, "NYNNNN");
    expect(&(struct value_matcher){.kind = VALUE_MATCH_NUMBER, .number = 5.5}, "NNNNNN");
    expect(&(struct value_matcher){.kind = VALUE_MATCH_RANGE, .number = 5, .range_end = 6},
           "NYNNNN");
    expect(&(struct value_matcher){.kind = VALUE_MATCH_RANGE, .number = 4, .range_end = 5},
           "NNNNNN");
    expect(&is_text, "NNYNNN");
    expect(&(struct value_matcher){.kind = VALUE_MATCH_BOOL, .boolean = true}, "NNNYNN");
    expect(&(struct value_matcher){.kind = VALUE_MATCH_BOOL}, "NNNNNN");
    expect(&(struct value_matcher){.kind = VALUE_MATCH_PRESENT, .boolean = true}, "YYYYYN");
    expect(&(struct value_matcher){.kind = VALUE_MATCH_PRESENT}, "NNNNNN"); /* as Envoy: never */
    expect(&(struct value_matcher){.kind = VALUE_MATCH_LIST, .parts = &is_text, .part_count = 1},
           "NNNNYN");
    expect(&(struct value_matcher){.kind = VALUE_MATCH_OR, .parts = parts, .part_count = 2},
           "YNNYNN");
}

static void test_path(void **state)
{
    static const struct value_field inner[] = {{.name = {"b", 1}, .value = {.kind = VALUE_NULL}}};
    static const struct value_field outer[] = {
        {.name = {"a", 1}, .value = {.kind = VALUE_STRUCT, .fields = inner, .count = 1}}};
    static const struct value_field top[] = {
        {.name = {"ns", 2}, .value = {.kind = VALUE_STRUCT, .fields = outer, .count = 1}}};
    static const struct value metadata = {.kind = VALUE_STRUCT, .fields = top, .count = 1};
    static const struct str path[] = {{"a", 1}, {"b", 1}, {"c", 1}};
    struct metadata_matcher m = {.filter = STR("ns"), .path = path, .path_count = 2};

    assert_ptr_equal(metadata_matcher_find(&m, &metadata), &inner[0].value);
    m.path_count = 3; /* through what is no struct */
    assert_null(metadata_matcher_find(&m, &metadata));
    m.filter = STR("other");
    assert_null(metadata_matcher_find(&m, &metadata));
    assert_null(metadata_matcher_find(&m, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
