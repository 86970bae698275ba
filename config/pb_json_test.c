/* Messages as JSON: what text alone cannot set up. The mapping itself is in pb_text_test.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/pb_arena.h"
#include "config/pb_json.h"
#include "dataplane/base/arena.h"
#include "proto/google/protobuf/any.pb-c.h"
#include "proto/google/protobuf/duration.pb-c.h"
#include "proto/google/protobuf/struct.pb-c.h"
#include "proto/google/protobuf/timestamp.pb-c.h"

static void assert_json(const ProtobufCMessage *m, const char *want)
{
    struct json_writer w;
    struct strbuf out;

    strbuf_init(&out);
    json_init(&w, &out, false);
    pb_json(&w, m);
    assert_string_equal(out.ptr, want);
    strbuf_done(&out);
}

static void assert_duration(int64_t seconds, int32_t nanos, const char *want)
{
    Google__Protobuf__Duration d = GOOGLE__PROTOBUF__DURATION__INIT;

    d.seconds = seconds;
    d.nanos = nanos;
    assert_json(&d.base, want);
}

static void assert_timestamp(int64_t seconds, int32_t nanos, const char *want)
{
    Google__Protobuf__Timestamp t = GOOGLE__PROTOBUF__TIMESTAMP__INIT;

    t.seconds = seconds;
    t.nanos = nanos;
    assert_json(&t.base, want);
}

static void test_times_that_only_the_wire_can_say(void **state)
{
    assert_duration(INT64_MIN, INT32_MIN, "\"-9223372036854775808.147483648s\"");
    assert_duration(0, -1000, "\"-0.000001s\"");
    assert_duration(1, 2000000000, "\"1s\"");
    assert_timestamp(INT64_MAX, 0, "null");
    assert_timestamp(INT64_MIN, 0, "null");
    assert_timestamp(253402300799, 0, "\"9999-12-31T23:59:59Z\"");
    assert_timestamp(253402300800, 0, "null");
    assert_timestamp(0, 1000000, "\"1970-01-01T00:00:00.001Z\"");
}

static void test_an_unset_value_is_null(void **state)
{
    Google__Protobuf__Value v = GOOGLE__PROTOBUF__VALUE__INIT;

    assert_json(&v.base, "null");
}

/* Bytes of a type that is not known may hold a key. */
static void test_an_unknown_type_shows_no_bytes(void **state)
{
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
    uint8_t secret[] = "BEGIN PRIVATE KEY";

    any.type_url = (char *)(uintptr_t) "type.googleapis.com/some.Secret";
    any.value = (ProtobufCBinaryData){sizeof(secret), secret};
    assert_json(&any.base, "{\"@type\":\"type.googleapis.com/some.Secret\"}");
}

static void test_malformed_bytes(void **state)
{
    struct json_writer w;
    struct strbuf out;

    strbuf_init(&out);
    json_init(&w, &out, false);
    pb_json_bytes(&w, &google__protobuf__duration__descriptor, (const uint8_t *)"\x08", 1, NULL);
    assert_string_equal(out.ptr, "{}");
    strbuf_reset(&out);
    json_init(&w, &out, false);
    pb_json_any(&w, STR("x/google.protobuf.Duration"), (const uint8_t *)"\x08", 1, NULL);
    assert_string_equal(out.ptr, "{\"@type\":\"x/google.protobuf.Duration\"}");
    strbuf_done(&out);
}

/* Any in Any in Any ... is not bounded by the depth of any one message. */
static void test_nesting_is_bounded(void **state)
{
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
    struct json_writer w;
    struct arena arena;
    struct strbuf out;

    arena_init(&arena, NULL);
    any.type_url = (char *)(uintptr_t) "x/google.protobuf.Any";
    for (int i = 0; i < 1000; i++) {
        any.value.data = pb_pack(&any.base, &arena, &any.value.len);
    }
    strbuf_init(&out);
    json_init(&w, &out, true);
    pb_json(&w, &any.base);
    assert_true(str_find(strbuf_str(&out), STR("\"...\"")) != STR_NPOS);
    strbuf_done(&out);
    arena_done(&arena);
}

static void test_a_struct_as_deep_as_the_wire_allows(void **state)
{
    Google__Protobuf__ListValue lists[33];
    Google__Protobuf__Value values[33];
    Google__Protobuf__Value *elements[33];
    struct json_writer w;
    struct strbuf out;

    for (size_t i = 0; i < 33; i++) {
        google__protobuf__list_value__init(&lists[i]);
        google__protobuf__value__init(&values[i]);
        elements[i] = &values[i];
        lists[i].n_values = 1;
        lists[i].values = &elements[i];
        if (i > 0) {
            values[i - 1].kind_case = GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
            values[i - 1].list_value = &lists[i];
        }
    }
    strbuf_init(&out);
    json_init(&w, &out, false);
    pb_json(&w, &lists[0].base);
    assert_int_equal(out.len, 33 + strlen("null") + 33);
    strbuf_done(&out);
}

/* --- secrets ------------------------------------------------------------------------------ */

/* A message by the name of the official one: a number, a text, and messages of the same type. */
struct certificate {
    ProtobufCMessage base;
    int32_t number;
    char *text;
    ProtobufCBinaryData bytes;
    struct certificate *private_key;
    struct certificate *chain;
};

extern const ProtobufCMessageDescriptor certificate_descriptor;

#define FIELD(id, name, type, d)                                                                   \
    {                                                                                              \
#name, id, PROTOBUF_C_LABEL_NONE, PROTOBUF_C_TYPE_##type, 0,                               \
            offsetof(struct certificate, name), d, NULL, 0, 0, NULL, NULL                          \
    }

static const ProtobufCFieldDescriptor certificate_fields[] = {
    FIELD(1, number, INT32, NULL),
    FIELD(2, text, STRING, NULL),
    FIELD(3, bytes, BYTES, NULL),
    FIELD(4, private_key, MESSAGE, &certificate_descriptor),
    FIELD(5, chain, MESSAGE, &certificate_descriptor),
};
static const ProtobufCIntRange certificate_ranges[] = {{1, 0}, {0, 5}};

const ProtobufCMessageDescriptor certificate_descriptor = {
    PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
    "envoy.extensions.transport_sockets.tls.v3.TlsCertificate",
    "TlsCertificate",
    "TlsCertificate",
    "test",
    sizeof(struct certificate),
    5,
    certificate_fields,
    NULL,
    1,
    certificate_ranges,
    NULL,
    NULL,
    NULL,
    NULL,
};

static struct certificate certificate_of(const char *text)
{
    return (struct certificate){
        .base = PROTOBUF_C_MESSAGE_INIT(&certificate_descriptor),
        .number = 5,
        .text = (char *)(uintptr_t)text,
        .bytes = {3, (uint8_t *)(uintptr_t) "abc"},
    };
}

static void test_secrets_are_redacted(void **state)
{
    struct certificate deep = certificate_of("deep");
    struct certificate key = certificate_of("key");
    struct certificate chain = certificate_of("chain");
    struct certificate top = certificate_of("top");

    key.chain = &deep;
    top.private_key = &key;
    top.chain = &chain;
    assert_json(&top.base,
                "{\"number\":5,\"text\":\"top\",\"bytes\":\"YWJj\","
                "\"private_key\":{\"text\":\"[redacted]\",\"bytes\":\"W3JlZGFjdGVkXQ==\","
                "\"chain\":{\"text\":\"[redacted]\",\"bytes\":\"W3JlZGFjdGVkXQ==\"}},"
                "\"chain\":{\"number\":5,\"text\":\"chain\",\"bytes\":\"YWJj\"}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times_that_only_the_wire_can_say),
        cmocka_unit_test(test_an_unset_value_is_null),
        cmocka_unit_test(test_an_unknown_type_shows_no_bytes),
        cmocka_unit_test(test_malformed_bytes),
        cmocka_unit_test(test_nesting_is_bounded),
        cmocka_unit_test(test_a_struct_as_deep_as_the_wire_allows),
        cmocka_unit_test(test_secrets_are_redacted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
