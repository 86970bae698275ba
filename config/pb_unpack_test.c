/* The wire format: what is read, what is refused, what is bounded. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/pb_arena.h"
#include "config/pb_field.h"
#include "config/pb_unpack.h"
#include "dataplane/base/str.h"
#include "proto/envoy/config/bootstrap/v3/bootstrap.pb-c.h"
#include "proto/envoy/config/cluster/v3/cluster.pb-c.h"
#include "proto/envoy/config/core/v3/address.pb-c.h"
#include "proto/envoy/config/route/v3/route_components.pb-c.h"
#include "proto/google/protobuf/struct.pb-c.h"

/* --- a message with the kinds of fields that the subset lacks ------------------------------- */

struct sample {
    ProtobufCMessage base;
    int32_t sint32;
    int64_t sint64;
    uint32_t fixed32;
    int64_t sfixed64;
    float real;
    double number;
    protobuf_c_boolean flag;
    int32_t int32;
    size_t n_list;
    int32_t *list;
    size_t n_reals;
    double *reals;
    struct sample *child;
};

extern const ProtobufCMessageDescriptor sample_descriptor;

static void sample_init(struct sample *s)
{
    *s = (struct sample){.base = PROTOBUF_C_MESSAGE_INIT(&sample_descriptor)};
}

#define SINGLE(id, name, type, member)                                                             \
    {                                                                                              \
        name, id, PROTOBUF_C_LABEL_NONE, PROTOBUF_C_TYPE_##type, 0,                                \
            offsetof(struct sample, member), NULL, NULL, 0, 0, NULL, NULL                          \
    }
#define REPEATED(id, name, type, member)                                                           \
    {                                                                                              \
        name, id, PROTOBUF_C_LABEL_REPEATED, PROTOBUF_C_TYPE_##type,                               \
            offsetof(struct sample, n_##member), offsetof(struct sample, member), NULL, NULL, 0,   \
            0, NULL, NULL                                                                          \
    }

static const ProtobufCFieldDescriptor sample_fields[] = {
    SINGLE(1, "sint32", SINT32, sint32),
    SINGLE(2, "sint64", SINT64, sint64),
    SINGLE(3, "fixed32", FIXED32, fixed32),
    SINGLE(4, "sfixed64", SFIXED64, sfixed64),
    SINGLE(5, "real", FLOAT, real),
    SINGLE(6, "number", DOUBLE, number),
    SINGLE(7, "flag", BOOL, flag),
    SINGLE(8, "int32", INT32, int32),
    REPEATED(9, "list", SINT32, list),
    REPEATED(10, "reals", DOUBLE, reals),
    {"child", 11, PROTOBUF_C_LABEL_NONE, PROTOBUF_C_TYPE_MESSAGE, 0, offsetof(struct sample, child),
     &sample_descriptor, NULL, 0, 0, NULL, NULL},
};
static const ProtobufCIntRange sample_ranges[] = {{1, 0}, {0, 11}};

const ProtobufCMessageDescriptor sample_descriptor = {
    PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
    "test.Sample",
    "Sample",
    "Sample",
    "test",
    sizeof(struct sample),
    11,
    sample_fields,
    NULL,
    1,
    sample_ranges,
    (ProtobufCMessageInit)sample_init,
    NULL,
    NULL,
    NULL,
};

/* --- fixture ------------------------------------------------------------------------------ */

static struct arena arena;
static struct error err;

static int setup(void **state)
{
    arena_init(&arena, NULL);
    error_init(&err);
    return 0;
}

static int teardown(void **state)
{
    arena_done(&arena);
    error_done(&err);
    return 0;
}

static void *unpack(const ProtobufCMessageDescriptor *d, const void *bytes, size_t len)
{
    ProtobufCMessage *m = NULL;

    assert_int_equal(pb_unpack(d, bytes, len, &arena, &m, &err), 0);
    return m;
}

#define UNPACK(d, bytes) unpack((d), (bytes), sizeof(bytes) - 1)

static void assert_refused(const ProtobufCMessageDescriptor *d, const void *bytes, size_t len,
                           int code, const char *message)
{
    ProtobufCMessage *m = NULL;

    assert_int_equal(pb_unpack(d, bytes, len, &arena, &m, &err), code);
    assert_string_equal(error_message(&err), message);
    assert_null(m);
    error_done(&err);
}

/* Field `number` holding `content`. */
static void add_field(struct strbuf *b, unsigned number, struct str content)
{
    strbuf_add_char(b, (char)(number << 3 | 2));
    for (size_t len = content.len;; len >>= 7) {
        strbuf_add_char(b, (char)((len & 0x7f) | (len > 0x7f ? 0x80 : 0)));
        if (len <= 0x7f) {
            break;
        }
    }
    strbuf_add_str(b, content);
}

/* --- what is read ------------------------------------------------------------------------- */

static void test_every_kind_of_number(void **state)
{
    const struct sample *s =
        UNPACK(&sample_descriptor, "\x08\x03"                             /* sint32 -2 */
                                   "\x10\x80\x01"                         /* sint64 64 */
                                   "\x1d\x01\x02\x03\x04"                 /* fixed32 */
                                   "\x21\xff\xff\xff\xff\xff\xff\xff\xff" /* sfixed64 -1 */
                                   "\x2d\x00\x00\xc0\x3f"                 /* float 1.5 */
                                   "\x31\x00\x00\x00\x00\x00\x00\x04\xc0" /* double -2.5 */
                                   "\x38\x80\x02"                         /* bool 256 */
                                   "\x40\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" /* int32 -1 */);

    assert_int_equal(s->sint32, -2);
    assert_int_equal(s->sint64, 64);
    assert_int_equal(s->fixed32, 0x04030201);
    assert_int_equal(s->sfixed64, -1);
    assert_true(s->real == 1.5f);
    assert_true(s->number == -2.5);
    assert_int_equal(s->flag, 1);
    assert_int_equal(s->int32, -1);
}

static void test_nothing_is_the_default(void **state)
{
    const Envoy__Config__Core__V3__SocketAddress *m =
        unpack(&envoy__config__core__v3__socket_address__descriptor, NULL, 0);

    assert_string_equal(m->address, "");
    assert_int_equal(m->port_specifier_case, 0);
}

static void test_the_last_value_of_a_single_field_counts(void **state)
{
    const struct sample *s = UNPACK(&sample_descriptor, "\x40\x05\x40\x06");

    assert_int_equal(s->int32, 6);
}

static void test_packed_and_not_packed_are_the_same(void **state)
{
    const struct sample *s = UNPACK(&sample_descriptor, "\x48\x02"             /* 1 */
                                                        "\x4a\x03\x04\x06\x01" /* 2 3 -1 */
                                                        "\x4a\x00"
                                                        "\x48\x08" /* 4 */);
    const int32_t want[] = {1, 2, 3, -1, 4};

    assert_int_equal(s->n_list, 5);
    assert_memory_equal(s->list, want, sizeof(want));
    assert_refused(&sample_descriptor, "\x4a\x02\x02\x80", 4, E_INVALID,
                   "list: malformed or truncated protobuf");
    assert_refused(&sample_descriptor, "\x52\x07zzzzzzz", 9, E_INVALID,
                   "reals: malformed or truncated protobuf");
}

static void test_unknown_fields_are_kept(void **state)
{
    const struct sample *s = UNPACK(&sample_descriptor, "\xa0\x06\x07"   /* 100: varint */
                                                        "\xaa\x06\x02hi" /* 101: bytes */
                                                        "\xb5\x06\x01\x02\x03\x04");

    assert_int_equal(s->base.n_unknown_fields, 3);
    assert_int_equal(s->base.unknown_fields[0].tag, 100);
    assert_int_equal(s->base.unknown_fields[1].tag, 101);
    assert_int_equal(s->base.unknown_fields[1].len, 3);
    assert_memory_equal(s->base.unknown_fields[1].data, "\x02hi", 3);
    assert_int_equal(s->base.unknown_fields[2].wire_type, PROTOBUF_C_WIRE_TYPE_32BIT);
    assert_int_equal(s->base.unknown_fields[2].len, 4);
}

/* As C++ protobuf: the field keeps its default. */
static void test_a_wrong_wire_type_makes_an_unknown_field(void **state)
{
    const struct sample *s =
        UNPACK(&sample_descriptor, "\x42\x01x" /* int32 as bytes */
                                   "\x5d\x01\x02\x03\x04" /* child as fixed */);

    assert_int_equal(s->int32, 0);
    assert_null(s->child);
    assert_int_equal(s->base.n_unknown_fields, 2);
}

/* --- pieces that merge -------------------------------------------------------------------- */

static void test_a_message_in_two_pieces_merges(void **state)
{
    struct strbuf b;
    const struct sample *s;

    strbuf_init(&b);
    add_field(&b, 11, STR("\x40\x05\x08\x04\x48\x02\xa0\x06\x01"));
    add_field(&b, 11, STR("\x40\x06\x48\x04\xa0\x06\x02"));
    s = unpack(&sample_descriptor, b.ptr, b.len);
    assert_int_equal(s->child->int32, 6);  /* the later one */
    assert_int_equal(s->child->sint32, 2); /* only in the first piece */
    assert_int_equal(s->child->n_list, 2);
    assert_int_equal(s->child->list[0], 1);
    assert_int_equal(s->child->list[1], 2);
    assert_int_equal(s->child->base.n_unknown_fields, 2);
    strbuf_done(&b);
}

/* protobuf-c fails here. */
static void test_merging_with_an_unset_oneof(void **state)
{
    struct strbuf b;
    const Envoy__Config__Core__V3__Address *m;

    strbuf_init(&b);
    add_field(&b, 1,
              STR("\x12\x03"
                  "1.1"));
    add_field(&b, 1, STR("\x18\x50"));
    m = unpack(&envoy__config__core__v3__address__descriptor, b.ptr, b.len);
    assert_string_equal(m->socket_address->address, "1.1");
    assert_int_equal(m->socket_address->port_value, 80);
    strbuf_done(&b);
}

static void test_of_a_oneof_the_last_member_counts(void **state)
{
    const Google__Protobuf__Value *v =
        UNPACK(&google__protobuf__value__descriptor, "\x11\x01\x02\x03\x04\x05\x06\x07\x08"
                                                     "\x1a\x01x");

    assert_int_equal(v->kind_case, GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE);
    assert_string_equal(v->string_value, "x");
    v = UNPACK(&google__protobuf__value__descriptor, "\x1a\x01x\x2a\x00"); /* then a struct */
    assert_int_equal(v->kind_case, GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE);
    assert_int_equal(v->struct_value->n_fields, 0);
}

/* --- maps --------------------------------------------------------------------------------- */

static void test_of_equal_map_keys_the_last_counts(void **state)
{
    const Google__Protobuf__Struct *s =
        UNPACK(&google__protobuf__struct__descriptor, "\x0a\x07\x0a\x01k\x12\x02\x20\x00"
                                                      "\x0a\x07\x0a\x01z\x12\x02\x20\x01"
                                                      "\x0a\x07\x0a\x01k\x12\x02\x20\x01");

    assert_int_equal(s->n_fields, 2);
    assert_string_equal(s->fields[0]->key, "z");
    assert_string_equal(s->fields[1]->key, "k");
    assert_true(s->fields[1]->value->bool_value);
}

static void test_an_entry_may_lack_its_key_or_value(void **state)
{
    const Envoy__Config__Route__V3__Route *r =
        UNPACK(&envoy__config__route__v3__route__descriptor, "\x6a\x03\x0a\x01k"
                                                             "\x6a\x00");

    assert_int_equal(r->n_typed_per_filter_config, 2);
    assert_string_equal(r->typed_per_filter_config[0]->key, "k");
    assert_string_equal(r->typed_per_filter_config[0]->value->type_url, "");
    assert_string_equal(r->typed_per_filter_config[1]->key, "");
    assert_non_null(r->typed_per_filter_config[1]->value);
}

static void test_what_is_a_map(void **state)
{
    const ProtobufCMessageDescriptor *route = &envoy__config__route__v3__route__descriptor;
    const ProtobufCMessageDescriptor *host = &envoy__config__route__v3__virtual_host__descriptor;

    assert_true(pb_field_is_map(
        protobuf_c_message_descriptor_get_field_by_name(route, "typed_per_filter_config")));
    assert_false(pb_field_is_map(
        protobuf_c_message_descriptor_get_field_by_name(host, "request_headers_to_add")));
    assert_false(pb_field_is_map(protobuf_c_message_descriptor_get_field_by_name(host, "domains")));
}

/* --- what is refused ---------------------------------------------------------------------- */

static void test_malformed(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } CASES[] = {
        {"\x08", 1},                                              /* no value */
        {"\x08\x80", 2},                                          /* half a varint */
        {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12}, /* a varint too long */
        {"\x1d\x01\x02\x03", 4},                                  /* three quarters */
        {"\x21\x01\x02\x03", 4},                                  /* three eighths */
        {"\x5a", 1},                                              /* no length */
        {"\x5a\x01", 2},                                          /* beyond the end */
        {"\x5a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},     /* far beyond */
        {"\x5a\x02\x40", 3},                                      /* inner beyond outer */
        {"\x80", 1},                                              /* half a tag */
        {"\xaa\x06\x05zz", 5},                                    /* unknown, beyond the end */
        {"\x00\x01", 2},                                          /* field 0 */
        {"\xf8\xff\xff\xff\xff\x01\x01", 7},                      /* field number too large */
        {"\x0b\x0c", 2},                                          /* a group */
        {"\xa3\x06\xa4\x06", 4},                                  /* an unknown group */
        {"\x0e", 1},                                              /* wire type 6 */
        {"\x0f", 1},                                              /* wire type 7 */
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        ProtobufCMessage *m = NULL;

        assert_int_equal(pb_unpack(&sample_descriptor, (const uint8_t *)CASES[i].bytes,
                                   CASES[i].len, &arena, &m, &err),
                         E_INVALID);
        assert_non_null(strstr(error_message(&err), "malformed or truncated protobuf"));
        error_done(&err);
    }
    assert_refused(&sample_descriptor, "\x5a\x04\x5a\x02\x40\x80", 6, E_INVALID,
                   "child.child.int32: malformed or truncated protobuf");
}

static void test_an_inner_message_cannot_reach_beyond_its_end(void **state)
{
    /* The tag of `int32` is the last byte of the child; its value would be the parent's. */
    assert_refused(&sample_descriptor, "\x5a\x01\x40\x05", 4, E_INVALID,
                   "child.int32: malformed or truncated protobuf");
}

static void test_strings(void **state)
{
    const ProtobufCMessageDescriptor *d = &envoy__config__cluster__v3__cluster__descriptor;

    assert_refused(d, "\x0a\x03x\0y", 5, E_INVALID, "name: string contains a NUL byte");
    assert_refused(d, "\x0a\x02\xc3\x28", 4, E_INVALID, "name: string is not valid UTF-8");
    assert_refused(d, "\x0a\x03\xed\xa0\x80", 5, E_INVALID, "name: string is not valid UTF-8");
    assert_string_equal(
        ((const Envoy__Config__Cluster__V3__Cluster *)unpack(d, "\x0a\x02\xc3\xa9", 4))->name,
        "\xc3\xa9");
}

static void test_errors_say_where(void **state)
{
    struct strbuf route;
    struct strbuf host;

    strbuf_init(&route);
    strbuf_init(&host);
    add_field(&route, 1, STR("\x0a\x01\xff")); /* match.prefix */
    add_field(&host, 3, STR(""));
    add_field(&host, 3, strbuf_str(&route));
    assert_refused(&envoy__config__route__v3__virtual_host__descriptor, host.ptr, host.len,
                   E_INVALID, "routes[1].match.prefix: string is not valid UTF-8");
    strbuf_done(&route);
    strbuf_done(&host);
}

/* --- bounds ------------------------------------------------------------------------------- */

/* `levels` samples, each the child of the one before. */
static void nest(struct strbuf *b, int levels)
{
    strbuf_init(b);
    for (int i = 1; i < levels; i++) {
        struct strbuf outer;

        strbuf_init(&outer);
        add_field(&outer, 11, strbuf_str(b));
        strbuf_done(b);
        *b = outer;
    }
}

static void test_depth(void **state)
{
    ProtobufCMessage *m = NULL;
    struct strbuf b;

    nest(&b, PB_DEPTH_MAX);
    (void)unpack(&sample_descriptor, b.ptr, b.len);
    assert_int_equal(
        pb_unpack_at(&sample_descriptor, (const uint8_t *)b.ptr, b.len, 1, &arena, &m, &err),
        E_LIMIT);
    error_done(&err);
    assert_int_equal(pb_unpack_at(&sample_descriptor, NULL, 0, PB_DEPTH_MAX, &arena, &m, &err),
                     E_LIMIT);
    error_done(&err);
    strbuf_done(&b);
    nest(&b, PB_DEPTH_MAX + 1);
    assert_int_equal(pb_unpack(&sample_descriptor, (const uint8_t *)b.ptr, b.len, &arena, &m, &err),
                     E_LIMIT);
    assert_non_null(strstr(error_message(&err), "child.child: nested too deeply"));
    strbuf_done(&b);
}

/* Fifty-eight kilobytes of nesting overflow protobuf-c's stack. */
static void test_very_deep_nesting(void **state)
{
    ProtobufCMessage *m = NULL;
    struct strbuf b;

    nest(&b, 8000);
    assert_int_equal(pb_unpack(&sample_descriptor, (const uint8_t *)b.ptr, b.len, &arena, &m, &err),
                     E_LIMIT);
    strbuf_done(&b);
}

/* Two bytes of wire make an empty cluster of hundreds. */
static void test_memory(void **state)
{
    ProtobufCMessage *m = NULL;
    struct strbuf resources;
    struct strbuf b;
    size_t wire = 1 << 20;

    strbuf_init(&resources);
    strbuf_init(&b);
    for (size_t i = 0; i < wire / 2; i++) {
        strbuf_add(&resources, "\x12\x00", 2);
    }
    add_field(&b, 2, strbuf_str(&resources));
    assert_int_equal(pb_unpack(&envoy__config__bootstrap__v3__bootstrap__descriptor,
                               (const uint8_t *)b.ptr, b.len, &arena, &m, &err),
                     E_LIMIT);
    assert_non_null(strstr(error_message(&err), "message would take too much memory"));
    assert_true(arena.total_bytes < wire * (PB_AMPLIFICATION_MAX + 1) + PB_ALLOCATION_MIN * 2);
    strbuf_done(&resources);
    strbuf_done(&b);
}

/* Merging copies nothing twice: with protobuf-c this is quadratic in memory. */
static void test_many_pieces_of_one_message(void **state)
{
    const struct sample *s;
    struct strbuf b;
    size_t n = 200000;

    strbuf_init(&b);
    for (size_t i = 0; i < n; i++) {
        add_field(&b, 11, STR("\x48\x02"));
    }
    s = unpack(&sample_descriptor, b.ptr, b.len);
    assert_int_equal(s->child->n_list, n);
    assert_true(arena.total_bytes < 10u << 20);
    strbuf_done(&b);
}

static void test_many_equal_map_keys(void **state)
{
    const Google__Protobuf__Struct *s;
    struct strbuf b;

    strbuf_init(&b);
    for (int i = 0; i < 50000; i++) {
        add_field(&b, 1, STR("\x0a\x01k\x12\x02\x20\x01"));
    }
    s = unpack(&google__protobuf__struct__descriptor, b.ptr, b.len);
    assert_int_equal(s->n_fields, 1);
    strbuf_done(&b);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_every_kind_of_number),
        TEST(test_nothing_is_the_default),
        TEST(test_the_last_value_of_a_single_field_counts),
        TEST(test_packed_and_not_packed_are_the_same),
        TEST(test_unknown_fields_are_kept),
        TEST(test_a_wrong_wire_type_makes_an_unknown_field),
        TEST(test_a_message_in_two_pieces_merges),
        TEST(test_merging_with_an_unset_oneof),
        TEST(test_of_a_oneof_the_last_member_counts),
        TEST(test_of_equal_map_keys_the_last_counts),
        TEST(test_an_entry_may_lack_its_key_or_value),
        TEST(test_what_is_a_map),
        TEST(test_malformed),
        TEST(test_an_inner_message_cannot_reach_beyond_its_end),
        TEST(test_strings),
        TEST(test_errors_say_where),
        TEST(test_depth),
        TEST(test_very_deep_nesting),
        TEST(test_memory),
        TEST(test_many_pieces_of_one_message),
        TEST(test_many_equal_map_keys),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
