/* Config sources, data sources, metadata, durations. Refusals are mostly in verdicts_test.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/model/route.h"
#include "config/parse/check.h"
#include "config/parse/core.h"
#include "config/parse/parse_support.h"

#define assert_str(s, text) assert_true(str_eq((s), str_c(text)))

static const ProtobufCMessage *message(struct parse_fixture *f, const ProtobufCMessageDescriptor *d,
                                       const char *yaml)
{
    const ProtobufCMessage *m;

    parse_fixture_init(f, sizeof(struct route_config), PART_ROUTE_TABLE, "x");
    if (parse_fixture_message(f, d, str_c(yaml), &m) < 0) {
        fail_msg("%s", error_message(&f->err));
    }
    return m;
}

static int source(struct parse_fixture *f, const char *yaml, struct config_source *ret)
{
    return parse_config_source(&f->ctx,
                               (const Envoy__Config__Core__V3__ConfigSource *)message(
                                   f, &envoy__config__core__v3__config_source__descriptor, yaml),
                               ret);
}

static void test_config_sources(void **state)
{
    struct parse_fixture f;
    struct config_source s;

    assert_int_equal(source(&f, "{ads: {}}", &s), 0);
    assert_int_equal(s.kind, CONFIG_SOURCE_ADS);
    assert_int_equal(s.initial_fetch_timeout_ms, 15000);
    parse_fixture_done(&f);

    assert_int_equal(source(&f,
                            "{path_config_source: {path: /, watched_directory: {path: /d}},"
                            " initial_fetch_timeout: 0s}",
                            &s),
                     0);
    assert_int_equal(s.kind, CONFIG_SOURCE_PATH);
    assert_str(s.path, "/");
    assert_str(s.watched_directory, "/d");
    assert_int_equal(s.initial_fetch_timeout_ms, 0);
    parse_fixture_done(&f);

    assert_int_equal(
        source(&f,
               "{api_config_source: {api_type: DELTA_GRPC, transport_api_version: V3,"
               " set_node_on_first_message_only: true, grpc_services: [{envoy_grpc:"
               " {cluster_name: x, authority: a}, timeout: 2s, initial_metadata: [{key: K,"
               " value: v}]}]}}",
               &s),
        0);
    assert_int_equal(s.kind, CONFIG_SOURCE_API);
    assert_int_equal(s.api_type, API_DELTA_GRPC);
    assert_true(s.set_node_on_first_message_only);
    assert_str(s.grpc.cluster_name, "x");
    assert_str(s.grpc.authority, "a");
    assert_int_equal(s.grpc.timeout.ms, 2000);
    assert_int_equal(s.grpc.initial_metadata_count, 1);
    assert_str(s.grpc.initial_metadata[0].key, "k");
    parse_fixture_done(&f);

    assert_int_equal(source(&f,
                            "{api_config_source: {api_type: GRPC, grpc_services: [{google_grpc:"
                            " {target_uri: 'h:1', stat_prefix: p}}]}}",
                            &s),
                     0);
    assert_true(s.grpc.is_google_grpc);
    assert_str(s.grpc.cluster_name, "h:1");
    parse_fixture_done(&f);
}

static int data(struct parse_fixture *f, const char *yaml, size_t max, struct str *ret)
{
    return parse_data_source(&f->ctx,
                             (const Envoy__Config__Core__V3__DataSource *)message(
                                 f, &envoy__config__core__v3__data_source__descriptor, yaml),
                             max, ret);
}

static void test_data_sources(void **state)
{
    char path[] = "/tmp/nuncio_core_test_XXXXXX";
    int fd = mkstemp(path);
    struct parse_fixture f;
    struct strbuf yaml;
    struct str s;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "content", 7), 7);
    close(fd);
    strbuf_init(&yaml);
    strbuf_addf(&yaml, "{filename: %s}", path);
    assert_int_equal(data(&f, yaml.ptr, 7, &s), 0);
    assert_str(s, "content");
    parse_fixture_done(&f);
    assert_int_equal(data(&f, yaml.ptr, 6, &s), E_LIMIT);
    parse_fixture_done(&f);
    strbuf_done(&yaml);
    unlink(path);

    assert_int_equal(setenv("NUNCIO_CORE_TEST", "env", 1), 0);
    assert_int_equal(data(&f, "{environment_variable: NUNCIO_CORE_TEST}", 0, &s), 0);
    assert_str(s, "env");
    parse_fixture_done(&f);
    assert_int_equal(data(&f, "{inline_bytes: AAE=}", 2, &s), 0);
    assert_int_equal(s.len, 2);
    parse_fixture_done(&f);
}

/* On the wire a key may stand twice; readers take the last. */
static void test_of_equal_keys_the_last_counts(void **state)
{
    struct parse_fixture f;
    Google__Protobuf__Value first = GOOGLE__PROTOBUF__VALUE__INIT;
    Google__Protobuf__Value second = GOOGLE__PROTOBUF__VALUE__INIT;
    Google__Protobuf__Struct__FieldsEntry entries[3] = {
        GOOGLE__PROTOBUF__STRUCT__FIELDS_ENTRY__INIT,
        GOOGLE__PROTOBUF__STRUCT__FIELDS_ENTRY__INIT,
        GOOGLE__PROTOBUF__STRUCT__FIELDS_ENTRY__INIT,
    };
    Google__Protobuf__Struct__FieldsEntry *list[3] = {&entries[0], &entries[1], &entries[2]};
    Google__Protobuf__Struct s = GOOGLE__PROTOBUF__STRUCT__INIT;
    char keys[3][2] = {"b", "a", "b"};
    struct value v;

    first.kind_case = second.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
    first.number_value = 1;
    second.number_value = 2;
    for (int i = 0; i < 3; i++) {
        entries[i].key = keys[i];
        entries[i].value = i < 2 ? &first : &second;
    }
    s.n_fields = 3;
    s.fields = list;
    parse_fixture_init(&f, sizeof(struct route_config), PART_ROUTE_TABLE, "x");
    parse_struct(&f.ctx, &s, &v);
    assert_int_equal(v.count, 2);
    assert_true(value_get(&v, STR("b"))->number == 2);
    assert_true(value_get(&v, STR("a"))->number == 1);
    assert_null(value_get(&v, STR("c")));
    parse_fixture_done(&f);
}

static int duration(int64_t seconds, int32_t nanos, enum duration_rule rule, struct opt_ms *ret)
{
    Google__Protobuf__Duration d = GOOGLE__PROTOBUF__DURATION__INIT;
    struct parse_fixture f;
    int r;

    d.seconds = seconds;
    d.nanos = nanos;
    parse_fixture_init(&f, sizeof(struct route_config), PART_ROUTE_TABLE, "x");
    r = parse_opt_ms(&f.ctx, "field", &d, rule, ret);
    parse_fixture_done(&f);
    return r;
}

static void test_durations(void **state)
{
    struct opt_ms ms;

    assert_int_equal(duration(1, 1999999, DURATION_ANY, &ms), 0);
    assert_int_equal(ms.ms, 1001); /* rounded down */
    assert_int_equal(duration(0, 0, DURATION_ANY, &ms), 0);
    assert_true(ms.is_set);
    assert_int_equal(duration(0, 0, DURATION_GT_ZERO, &ms), E_INVALID);
    assert_int_equal(duration(0, 1, DURATION_GT_ZERO, &ms), 0);
    assert_int_equal(duration(0, 1000000, DURATION_GT_1MS, &ms), E_INVALID);
    assert_int_equal(duration(0, 1000001, DURATION_GT_1MS, &ms), 0);
    assert_int_equal(duration(0, 999999, DURATION_GTE_1MS, &ms), E_INVALID);
    assert_int_equal(duration(0, 1000000, DURATION_GTE_1MS, &ms), 0);
    assert_int_equal(duration(-1, 0, DURATION_ANY, &ms), E_INVALID);
    assert_int_equal(duration(0, -1, DURATION_ANY, &ms), E_INVALID);
    assert_int_equal(duration(0, 1000000000, DURATION_ANY, &ms), E_INVALID);
    assert_int_equal(duration(9223372036, 0, DURATION_ANY, &ms), 0);
    assert_int_equal(duration(9223372037, 0, DURATION_ANY, &ms), E_INVALID);
}

static void test_absent_is_not_zero(void **state)
{
    struct parse_fixture f;
    struct opt_ms ms;
    uint64_t or_ms;

    parse_fixture_init(&f, sizeof(struct route_config), PART_ROUTE_TABLE, "x");
    assert_int_equal(parse_opt_ms(&f.ctx, "field", NULL, DURATION_GT_ZERO, &ms), 0);
    assert_false(ms.is_set);
    assert_int_equal(parse_ms_or(&f.ctx, "field", NULL, DURATION_GT_ZERO, 7, &or_ms), 0);
    assert_int_equal(or_ms, 7);
    assert_false(parse_opt_u32(NULL).is_set);
    assert_int_equal(parse_u32_or(NULL, 3), 3);
    assert_true(parse_bool_or(NULL, true));
    parse_fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_sources),
        cmocka_unit_test(test_data_sources),
        cmocka_unit_test(test_of_equal_keys_the_last_counts),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_absent_is_not_zero),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
