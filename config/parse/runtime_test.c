/* Layers of runtime keys, good and bad, and what they switch. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/parse/parse_support.h"
#include "config/parse/runtime.h"

static int parse(struct parse_fixture *f, const char *text, struct runtime *ret)
{
    const ProtobufCMessage *m;

    parse_fixture_init(f, sizeof(struct part), PART_SECRET, "bootstrap");
    assert_int_equal(
        parse_fixture_message(f, &envoy__config__bootstrap__v3__layered_runtime__descriptor,
                              str_c(text), &m),
        0);
    return parse_layered_runtime(&f->ctx, (const void *)m, ret);
}

static void the_last_layer_wins(void **state)
{
    static const struct {
        const char *text;
        bool replays;
    } rows[] = {
        {"{}", true},
        {"layers: [{name: a, static_layer: {nuncio.replay_unprocessed_streams: false}}]", false},
        {"layers: [{name: a, static_layer: {nuncio: {replay_unprocessed_streams: false}}}]", false},
        {"layers: [{name: a, static_layer: {nuncio.replay_unprocessed_streams: 'False'}}]", false},
        {"layers: [{name: a, static_layer: {nuncio.replay_unprocessed_streams: false}}, "
         "{name: b, static_layer: {nuncio.replay_unprocessed_streams: 'true'}}]",
         true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct parse_fixture f;
        struct runtime runtime;

        assert_int_equal(parse(&f, rows[i].text, &runtime), 0);
        assert_int_equal(runtime.replays_unprocessed_streams, rows[i].replays);
        assert_int_equal(f.ctx.unsupported_count, 0);
        parse_fixture_done(&f);
    }
}

static void other_keys_and_layers_are_reported(void **state)
{
    struct parse_fixture f;
    struct runtime runtime;

    (void)state;
    assert_int_equal(parse(&f,
                           "layers: [{name: a, static_layer: {re2: {max_program_size: 5}}}, "
                           "{name: b, admin_layer: {}}]",
                           &runtime),
                     0);
    assert_true(runtime.replays_unprocessed_streams);
    assert_int_equal(f.ctx.unsupported_count, 2);
    assert_true(
        str_eq(f.ctx.unsupported->path, STR("layers[0].static_layer.re2.max_program_size")));
    assert_true(str_eq(f.ctx.unsupported->next->path, STR("layers[1].admin_layer")));
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
        {"layers: [{name: a, static_layer: {nuncio.replay_unprocessed_streams: 1}}]",
         "layers[0].static_layer.nuncio.replay_unprocessed_streams: value must be true or false"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct parse_fixture f;
        struct runtime runtime;

        assert_int_equal(parse(&f, rows[i].text, &runtime), E_INVALID);
        assert_string_equal(error_message(&f.err), rows[i].error);
        parse_fixture_done(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_layer_wins),
        cmocka_unit_test(other_keys_and_layers_are_reported),
        cmocka_unit_test(bad_layers_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
