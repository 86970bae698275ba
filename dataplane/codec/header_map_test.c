/* The header map: ids, order, lookups, removal, joining; far more entries than `first` can name. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/codec/header_map.h"

struct fixture {
    struct arena arena;
    struct header_map map;
};

static int set_up(void **state)
{
    static struct fixture f;

    arena_init(&f.arena, NULL);
    header_map_init(&f.map, &f.arena);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    arena_done(&f->arena);
    return 0;
}

static void assert_value(struct str got, const char *want)
{
    if (want == NULL) {
        assert_null(got.ptr);
        return;
    }
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.ptr, want, got.len);
}

/* "name=value;" of all live entries. */
static void assert_entries(const struct header_map *m, const char *want)
{
    struct strbuf b;
    uint32_t bytes = 0;

    strbuf_init(&b);
    header_for_each(h, m)
    {
        strbuf_addf(&b, "%.*s=%.*s;", STR_ARG(h->name), STR_ARG(h->value));
        bytes += (uint32_t)(h->name.len + h->value.len);
    }
    assert_string_equal(b.ptr != NULL ? b.ptr : "", want);
    assert_int_equal(m->byte_size, bytes);
    strbuf_done(&b);
}

static void every_known_name_is_found(void **state)
{
    for (int id = 1; id < HDR_COUNT; id++) {
        assert_int_equal(header_id_of(header_name((enum header_id)id)), id);
    }
}

static void unknown_names_are_unknown(void **state)
{
    static const char *const unknown[] = {
        "",    "x",       "hos",    "hosts", "Host",     "x-requesT-id",
        "tee", "cookies", "xookie", "dat",   "x-envoy-", "dates"};

    for (size_t i = 0; i < ARRAY_LEN(unknown); i++) {
        assert_int_equal(header_id_of(str_c(unknown[i])), HDR_UNKNOWN);
    }
    /* One byte changed in each known name. */
    for (int id = 1; id < HDR_COUNT; id++) {
        struct str name = header_name((enum header_id)id);
        char copy[64];

        for (size_t at = 0; at < name.len; at++) {
            memcpy(copy, name.ptr, name.len);
            copy[at] = '%';
            assert_int_equal(header_id_of(str_n(copy, name.len)), HDR_UNKNOWN);
        }
    }
}

static void pseudo_headers_stay_in_front(void **state)
{
    struct fixture *f = *state;

    header_add(&f->map, HDR_METHOD, STR("GET"));
    header_add_name(&f->map, STR("x-a"), STR("1"));
    header_add(&f->map, HDR_ACCEPT, STR("*"));
    header_add_name(&f->map, STR(":path"), STR("/"));
    header_add(&f->map, HDR_AUTHORITY, STR("a"));
    assert_entries(&f->map, ":method=GET;:path=/;:authority=a;x-a=1;accept=*;");
    assert_value(header_get(&f->map, HDR_ACCEPT), "*");
    (void)header_remove(&f->map, HDR_PATH);
    header_add(&f->map, HDR_SCHEME, STR("http"));
    assert_entries(&f->map, ":method=GET;:scheme=http;:authority=a;x-a=1;accept=*;");
    assert_value(header_get(&f->map, HDR_PATH), NULL);
}

static void set_replaces_the_first_and_drops_the_others(void **state)
{
    struct fixture *f = *state;

    header_add(&f->map, HDR_COOKIE, STR("a"));
    header_add(&f->map, HDR_ACCEPT, STR("b"));
    header_add(&f->map, HDR_COOKIE, STR("c"));
    header_add_name(&f->map, STR("x-a"), STR("1"));
    header_add_name(&f->map, STR("x-a"), STR("2"));
    header_set(&f->map, HDR_COOKIE, STR("d"));
    header_set_name(&f->map, STR("x-a"), STR("3"));
    header_set(&f->map, HDR_DATE, STR("now"));
    header_set_name(&f->map, STR("x-b"), STR(""));
    assert_entries(&f->map, "cookie=d;accept=b;x-a=3;date=now;x-b=;");
}

static void removal_finds_the_next_of_the_name(void **state)
{
    struct fixture *f = *state;

    header_add(&f->map, HDR_VIA, STR("1"));
    header_add(&f->map, HDR_VIA, STR("2"));
    header_add(&f->map, HDR_VIA, STR("3"));
    header_remove_entry(&f->map, header_find(&f->map, HDR_VIA));
    assert_value(header_get(&f->map, HDR_VIA), "2");
    header_remove_entry(&f->map, header_next_same(&f->map, header_find(&f->map, HDR_VIA)));
    assert_entries(&f->map, "via=2;");
    assert_int_equal(header_remove(&f->map, HDR_VIA), 1);
    assert_int_equal(header_remove(&f->map, HDR_VIA), 0);
    assert_false(header_has(&f->map, HDR_VIA));
    assert_int_equal(header_remove_name(&f->map, STR("x-none")), 0);
    assert_entries(&f->map, "");
}

static void joining_and_appending(void **state)
{
    struct fixture *f = *state;

    assert_value(header_joined(&f->map, STR("accept")), NULL);
    header_add(&f->map, HDR_ACCEPT, STR("a"));
    assert_value(header_joined(&f->map, STR("accept")), "a");
    header_add(&f->map, HDR_ACCEPT, STR(""));
    header_add(&f->map, HDR_ACCEPT, STR("b"));
    assert_value(header_joined(&f->map, STR("accept")), "a,,b");
    header_add_name(&f->map, STR("x-a"), STR_NONE);
    assert_value(header_joined(&f->map, STR("x-a")), "");
    header_append_value(&f->map, HDR_X_FORWARDED_FOR, STR("1.1.1.1"));
    header_append_value(&f->map, HDR_X_FORWARDED_FOR, STR("2.2.2.2"));
    assert_value(header_get(&f->map, HDR_X_FORWARDED_FOR), "1.1.1.1,2.2.2.2");
    header_set(&f->map, HDR_X_FORWARDED_FOR, STR(""));
    header_append_value(&f->map, HDR_X_FORWARDED_FOR, STR("3.3.3.3"));
    assert_value(header_get(&f->map, HDR_X_FORWARDED_FOR), "3.3.3.3");
}

static void entries_beyond_what_the_index_can_name(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 300; i++) {
        header_add_name(&f->map, STR("x"), STR("y"));
    }
    header_add(&f->map, HDR_DATE, STR("1"));
    header_add(&f->map, HDR_DATE, STR("2"));
    assert_value(header_get(&f->map, HDR_DATE), "1");
    header_remove_entry(&f->map, header_find(&f->map, HDR_DATE));
    assert_value(header_get(&f->map, HDR_DATE), "2");
    header_remove_entry(&f->map, header_find(&f->map, HDR_DATE));
    assert_value(header_get(&f->map, HDR_DATE), NULL);
    assert_int_equal(header_remove_name(&f->map, STR("x")), 300);
    assert_entries(&f->map, "");
}

static void a_copy_stands_alone(void **state)
{
    struct fixture *f = *state;
    struct arena other;
    struct header_map copy;
    char value[] = "abc";

    arena_init(&other, NULL);
    header_add(&f->map, HDR_STATUS, STR("200"));
    header_add_name(&f->map, STR("x-gone"), STR("1"));
    header_add_name(&f->map, STR("x-a"), str_n(value, 3));
    (void)header_remove_name(&f->map, STR("x-gone"));
    header_map_copy(&copy, &f->map, &other);
    value[0] = 'X';
    assert_entries(&copy, ":status=200;x-a=abc;");
    arena_done(&other);
}

static void values_that_no_header_may_have(void **state)
{
    struct header_map *map = &((struct fixture *)*state)->map;
    struct header_map copy;

    assert_true(header_value_is_valid(STR("")));
    assert_true(header_value_is_valid(STR("a\tb \x80\xff~")));
    for (int c = 0; c < 0x20; c++) {
        char text[] = {'a', (char)c, 'b'};

        assert_int_equal(header_value_is_valid(str_n(text, sizeof(text))), c == '\t');
    }
    assert_false(header_value_is_valid(STR("\x7f")));
    header_add(map, HDR_HOST, STR("h"));
    header_add_name(map, STR("x-bad"), STR("a\r\nb"));
    assert_null(header_find_invalid(map)); /* nobody has said that one might be there */
    map->has_invalid_value = true;
    assert_true(str_eq(header_find_invalid(map)->name, STR("x-bad")));
    header_map_copy(&copy, map, map->arena);
    assert_non_null(header_find_invalid(&copy));
    header_remove_entry(map, header_find_invalid(map));
    assert_null(header_find_invalid(map));
}

static void the_host_of_a_request_is_its_authority(void **state)
{
    struct fixture *f = *state;

    assert_null(header_find_name(&f->map, STR("host")));
    header_add(&f->map, HDR_AUTHORITY, STR("a.test"));
    assert_value(header_find_name(&f->map, STR("host"))->value, "a.test");
    assert_value(header_joined(&f->map, STR("host")), "a.test");
    assert_null(header_find_name(&f->map, STR("hos")));
    assert_int_equal(header_remove_name(&f->map, STR("host")), 0);
    assert_entries(&f->map, ":authority=a.test;");
    header_add(&f->map, HDR_HOST, STR("own"));
    assert_value(header_find_name(&f->map, STR("host"))->value, "own");
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(every_known_name_is_found),
        CASE(unknown_names_are_unknown),
        CASE(pseudo_headers_stay_in_front),
        CASE(set_replaces_the_first_and_drops_the_others),
        CASE(removal_finds_the_next_of_the_name),
        CASE(joining_and_appending),
        CASE(entries_beyond_what_the_index_can_name),
        CASE(a_copy_stands_alone),
        CASE(values_that_no_header_may_have),
        CASE(the_host_of_a_request_is_its_authority),
    };
#undef CASE
    return cmocka_run_group_tests(tests, NULL, NULL);
}
