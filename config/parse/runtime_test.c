/* Layers of runtime keys, good and bad. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/parse/parse_support.h"
#include "config/parse/runtime.h"

static int parse(struct parse_fixture *f, const char *text, struct runtime_config *ret)
{
    const ProtobufCMessage *m;

    parse_fixture_init(f, sizeof(struct part), PART_SECRET, "bootstrap");
    assert_int_equal(
        parse_fixture_message(f, &envoy__config__bootstrap__v3__layered_runtime__descriptor,
                              str_c(text), &m),
        0);
    return parse_layered_runtime(&f->ctx, (const void *)m, ret);
}

static struct str text_of(const struct runtime_layer_config *l, const char *key)
{
    for (size_t i = 0; i < l->entry_count; i++) {
        if (str_eq(l->entries[i].key, str_c(key))) {
            return l->entries[i].value.text;
        }
    }
    return STR("(none)");
}

static void a_static_layer_spells_keys_with_structs(void **state)
{
    static const struct {
        const char *key;
        const char *text;
    } rows[] = {
        {"a.b.c", "1"},
        {"a.t", "true"},
        {"a.s", "text"},
        {"n.whole", "1e+08"}, /* as Envoy: the shorter form */
        {"n.large", "3000000000"},
        {"n.half", "1.5"},
        {"n.exact", "123456789.5"},
        {"n.huge", "1e+20"},
        {"n.minus", "-3"},
        {"f", "{\"numerator\":3,\"denominator\":\"MILLION\"}"},
        {"g", "{\"numerator\":4}"},
        {"e", "{}"},
    };
    struct parse_fixture f;
    struct runtime_config runtime;

    (void)state;
    assert_int_equal(
        parse(&f,
              "layers: [{name: a, static_layer: {a: {b: {c: 1}, t: true, s: text}, a.t: false, "
              "n: {whole: 100000000, large: 3000000000, half: 1.5, exact: 123456789.5, "
              "huge: 1e+20, minus: -3}, f: {numerator: 3, denominator: MILLION}, "
              "g: {numerator: 4}, e: {}}}]",
              &runtime),
        0);
    assert_int_equal(runtime.count, 1);
    assert_int_equal(runtime.layers[0].entry_count, ARRAY_LEN(rows));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_string_equal(text_of(&runtime.layers[0], rows[i].key).ptr, rows[i].text);
    }
    assert_int_equal(f.ctx.unsupported_count, 0);
    parse_fixture_done(&f);
}

static void layers_keep_their_order(void **state)
{
    struct parse_fixture f;
    struct runtime_config runtime;

    (void)state;
    assert_int_equal(parse(&f,
                           "layers: [{name: a, admin_layer: {}}, {name: b, disk_layer: "
                           "{symlink_root: /r/cur, subdirectory: s, append_service_cluster: "
                           "true}}, {name: c, static_layer: {}}]",
                           &runtime),
                     0);
    assert_int_equal(runtime.count, 3);
    assert_int_equal(runtime.layers[0].kind, RUNTIME_LAYER_ADMIN);
    assert_int_equal(runtime.layers[1].kind, RUNTIME_LAYER_DISK);
    assert_true(str_eq(runtime.layers[1].symlink_root, STR("/r/cur")));
    assert_true(str_eq(runtime.layers[1].subdirectory, STR("s")));
    assert_true(runtime.layers[1].append_service_cluster);
    assert_int_equal(runtime.layers[2].kind, RUNTIME_LAYER_STATIC);
    parse_fixture_done(&f);
}

static void envoys_own_switches_are_reported(void **state)
{
    struct parse_fixture f;
    struct runtime_config runtime;

    (void)state;
    assert_int_equal(
        parse(&f, "layers: [{name: a, static_layer: {re2: {max_program_size: 5}, mine: 1}}]",
              &runtime),
        0);
    assert_int_equal(runtime.count, 1);
    assert_int_equal(f.ctx.unsupported_count, 1);
    assert_true(
        str_eq(f.ctx.unsupported->path, STR("layers[0].static_layer.re2.max_program_size")));
    parse_fixture_done(&f);
}

static void a_layer_that_is_discovered(void **state)
{
    struct parse_fixture f;
    struct runtime_config runtime;

    (void)state;
    assert_int_equal(parse(&f,
                           "layers: [{name: a, rtds_layer: {name: r, rtds_config: {ads: {}, "
                           "initial_fetch_timeout: 2s}}}]",
                           &runtime),
                     0);
    assert_int_equal(runtime.count, 1);
    assert_int_equal(runtime.layers[0].kind, RUNTIME_LAYER_RTDS);
    assert_true(str_eq(runtime.layers[0].resource_name, STR("r")));
    assert_int_equal(runtime.layers[0].source->kind, CONFIG_SOURCE_ADS);
    assert_int_equal(runtime.layers[0].source->initial_fetch_timeout_ms, 2000);
    parse_fixture_done(&f);
}

static void bad_layers_are_refused(void **state)
{
    static const struct {
        const char *text;
        const char *error;
    } rows[] = {
        {"layers: [{static_layer: {}}]", "layers[0].name: value length must be at least 1 "
                                         "characters"},
        {"layers: [{name: a}]", "layers[0].layer_specifier: value is required"},
        {"layers: [{name: a, static_layer: {}}, {name: a, static_layer: {}}]",
         "layers[1].name: Duplicate layer name: a"},
        {"layers: [{name: a, static_layer: {x: null}}]",
         "layers[0].static_layer: Invalid runtime entry value for x"},
        {"layers: [{name: a, static_layer: {x: {y: [1]}}}]",
         "layers[0].static_layer: Invalid runtime entry value for x.y"},
        {"layers: [{name: a, admin_layer: {}}, {name: b, admin_layer: {}}]",
         "layers[1]: Too many admin layers specified in LayeredRuntime, at most one may be "
         "specified"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct parse_fixture f;
        struct runtime_config runtime;

        assert_int_equal(parse(&f, rows[i].text, &runtime), E_INVALID);
        assert_string_equal(error_message(&f.err), rows[i].error);
        parse_fixture_done(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_static_layer_spells_keys_with_structs),
        cmocka_unit_test(layers_keep_their_order),
        cmocka_unit_test(envoys_own_switches_are_reported),
        cmocka_unit_test(a_layer_that_is_discovered),
        cmocka_unit_test(bad_layers_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
