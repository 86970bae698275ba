/* Well-known types whose JSON form is not an object of their fields. Main thread. */

#include <string.h>

#include "config/pb_arena.h"
#include "config/pb_registry.h"
#include "config/pb_text_internal.h"
#include "proto/google/protobuf/any.pb-c.h"
#include "proto/google/protobuf/duration.pb-c.h"
#include "proto/google/protobuf/struct.pb-c.h"
#include "proto/google/protobuf/timestamp.pb-c.h"

#define DURATION_MAX_S 315576000000 /* 10,000 years, as protobuf says */

/* Digits after the point as nanoseconds; false when there are none, or more than nine. */
static bool read_fraction(struct str digits, int32_t *ret_nanos)
{
    int32_t nanos = 0;

    if (digits.len == 0 || digits.len > 9) {
        return false;
    }
    for (size_t i = 0; i < 9; i++) {
        char c = i < digits.len ? digits.ptr[i] : '0';

        if (c < '0' || c > '9') {
            return false;
        }
        nanos = nanos * 10 + (c - '0');
    }
    *ret_nanos = nanos;
    return true;
}

/* "1.5s", "-0.25s". */
static int read_duration(struct pb_reader *r, const struct text_node *n, ProtobufCMessage *m)
{
    Google__Protobuf__Duration *d = (Google__Protobuf__Duration *)m;
    struct str s = n->scalar;
    bool is_negative;
    size_t point;
    uint64_t seconds;
    int32_t nanos = 0;

    if (n->kind != TEXT_STRING || s.len < 2 || s.ptr[s.len - 1] != 's') {
        return pb_text_fail(r, n, "duration expected, such as \"1.5s\"");
    }
    s.len--;
    is_negative = s.ptr[0] == '-';
    s = str_sub(s, is_negative, s.len);
    point = str_find_char(s, '.');
    if (parse_u64(point == STR_NPOS ? s : str_sub(s, 0, point), &seconds) != 0 ||
        seconds > DURATION_MAX_S ||
        (point != STR_NPOS && !read_fraction(str_sub(s, point + 1, s.len), &nanos))) {
        return pb_text_fail(r, n, "'%.*s' is no duration", STR_ARG(n->scalar));
    }
    d->seconds = is_negative ? -(int64_t)seconds : (int64_t)seconds;
    d->nanos = is_negative ? -nanos : nanos;
    return 0;
}

static int64_t days_from_civil(int64_t y, unsigned month, unsigned day)
{
    int64_t era;
    unsigned yoe;
    unsigned doy;

    y -= month <= 2;
    era = (y >= 0 ? y : y - 399) / 400;
    yoe = (unsigned)(y - era * 400);
    doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + (int64_t)(yoe * 365 + yoe / 4 - yoe / 100 + doy) - 719468;
}

static bool read_digits(struct str s, size_t at, size_t len, unsigned *ret)
{
    uint64_t v;

    if (parse_u64(str_sub(s, at, at + len), &v) != 0) {
        return false;
    }
    *ret = (unsigned)v;
    return true;
}

/* RFC 3339 in UTC: "2026-08-01T12:00:00.5Z". */
static int read_timestamp(struct pb_reader *r, const struct text_node *n, ProtobufCMessage *m)
{
    Google__Protobuf__Timestamp *t = (Google__Protobuf__Timestamp *)m;
    struct str s = n->scalar;
    unsigned f[6];
    int32_t nanos = 0;
    bool ok = n->kind == TEXT_STRING && s.len >= 20 && s.ptr[s.len - 1] == 'Z' && s.ptr[4] == '-' &&
              s.ptr[7] == '-' && s.ptr[10] == 'T' && s.ptr[13] == ':' && s.ptr[16] == ':';

    ok = ok && read_digits(s, 0, 4, &f[0]) && read_digits(s, 5, 2, &f[1]) &&
         read_digits(s, 8, 2, &f[2]) && read_digits(s, 11, 2, &f[3]) &&
         read_digits(s, 14, 2, &f[4]) && read_digits(s, 17, 2, &f[5]);
    if (ok && s.len > 20) {
        ok = s.ptr[19] == '.' && read_fraction(str_sub(s, 20, s.len - 1), &nanos);
    }
    if (!ok || f[1] < 1 || f[1] > 12 || f[2] < 1 || f[2] > 31 || f[3] > 23 || f[4] > 59 ||
        f[5] > 59) {
        return pb_text_fail(r, n, "timestamp expected, such as \"2026-08-01T12:00:00Z\"");
    }
    t->seconds = days_from_civil(f[0], f[1], f[2]) * 86400 + f[3] * 3600 + f[4] * 60 + f[5];
    t->nanos = nanos;
    return 0;
}

/* --- Struct ------------------------------------------------------------------------------- */

static int read_struct_value(struct pb_reader *r, const struct text_node *n,
                             Google__Protobuf__Value *v);

static int read_list_value(struct pb_reader *r, const struct text_node *n,
                           Google__Protobuf__ListValue *l)
{
    if (n->kind != TEXT_LIST) {
        return pb_text_fail(r, n, "list expected");
    }
    l->values = ARENA_ARRAY(r->arena, Google__Protobuf__Value *, n->count + 1);
    for (size_t i = 0; i < n->count; i++) {
        l->values[i] = ARENA_NEW(r->arena, Google__Protobuf__Value);
        google__protobuf__value__init(l->values[i]);
        if (read_struct_value(r, n->items[i], l->values[i]) != 0) {
            return E_INVALID;
        }
    }
    l->n_values = n->count;
    return 0;
}

static int read_struct(struct pb_reader *r, const struct text_node *n, Google__Protobuf__Struct *s)
{
    if (n->kind != TEXT_MAP) {
        return pb_text_fail(r, n, "object expected");
    }
    s->fields = ARENA_ARRAY(r->arena, Google__Protobuf__Struct__FieldsEntry *, n->count + 1);
    for (size_t i = 0; i < n->count; i++) {
        Google__Protobuf__Struct__FieldsEntry *e =
            ARENA_NEW(r->arena, Google__Protobuf__Struct__FieldsEntry);

        google__protobuf__struct__fields_entry__init(e);
        e->key = (char *)(uintptr_t)arena_str(r->arena, n->members[i].key).ptr;
        e->value = ARENA_NEW(r->arena, Google__Protobuf__Value);
        google__protobuf__value__init(e->value);
        if (read_struct_value(r, n->members[i].value, e->value) != 0) {
            return E_INVALID;
        }
        s->fields[i] = e;
    }
    s->n_fields = n->count;
    return 0;
}

/* Depth was bounded when the text was read. */
static int read_struct_value(struct pb_reader *r, const struct text_node *n,
                             Google__Protobuf__Value *v)
{
    switch (n->kind) {
    case TEXT_NULL:
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE;
        return 0;
    case TEXT_BOOL:
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
        v->bool_value = n->boolean;
        return 0;
    case TEXT_NUMBER:
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
        return parse_double(n->scalar, &v->number_value) == 0
                   ? 0
                   : pb_text_fail(r, n, "number out of range");
    case TEXT_STRING:
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
        v->string_value = (char *)(uintptr_t)arena_str(r->arena, n->scalar).ptr;
        return 0;
    case TEXT_LIST:
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
        v->list_value = ARENA_NEW(r->arena, Google__Protobuf__ListValue);
        google__protobuf__list_value__init(v->list_value);
        return read_list_value(r, n, v->list_value);
    case TEXT_MAP:
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
        v->struct_value = ARENA_NEW(r->arena, Google__Protobuf__Struct);
        google__protobuf__struct__init(v->struct_value);
        return read_struct(r, n, v->struct_value);
    }
    return E_INVALID;
}

/* --- Any ---------------------------------------------------------------------------------- */

static bool has_special_form(const char *type_name)
{
    struct str name = str_c(type_name);

    return str_starts(name, STR("google.protobuf.")) && !str_eq(name, STR("google.protobuf.Empty"));
}

/* {"@type": URL, fields...}. A type that is not in the subset keeps its URL alone: whoever wants
 * the message says that it is not there. */
static int read_any(struct pb_reader *r, const struct text_node *n, ProtobufCMessage *m)
{
    Google__Protobuf__Any *any = (Google__Protobuf__Any *)m;
    const struct text_node *type = NULL;
    const struct text_node *value = NULL;
    const ProtobufCMessageDescriptor *d;
    ProtobufCMessage *inner;
    int result;

    if (n->kind != TEXT_MAP) {
        return pb_text_fail(r, n, "object with \"@type\" expected");
    }
    for (size_t i = 0; i < n->count; i++) {
        if (str_eq(n->members[i].key, STR("@type"))) {
            type = n->members[i].value;
        } else if (str_eq(n->members[i].key, STR("value"))) {
            value = n->members[i].value;
        }
    }
    if (type == NULL) {
        return n->count == 0 ? 0 : pb_text_fail(r, n, "\"@type\" is missing");
    }
    if (type->kind != TEXT_STRING || str_find_char(type->scalar, '/') == STR_NPOS) {
        return pb_text_fail(r, type, "invalid type URL");
    }
    any->type_url = (char *)(uintptr_t)arena_str(r->arena, type->scalar).ptr;
    d = pb_find_message(pb_type_name(type->scalar));
    if (d == NULL) {
        return 0;
    }
    inner = pb_new(d, r->arena);
    if (++r->depth > TEXT_DEPTH_MAX) {
        return pb_text_fail(r, n, "nested too deeply");
    }
    if (has_special_form(d->name)) {
        result = value != NULL ? pb_text_read_message(r, value, inner)
                               : pb_text_fail(r, n, "\"value\" is missing");
    } else {
        result = pb_text_read_fields(r, n, inner, STR("@type"));
    }
    r->depth--;
    if (result == 0) {
        any->value.data = pb_pack(inner, r->arena, &any->value.len);
    }
    return result;
}

/* --- dispatch ----------------------------------------------------------------------------- */

/* BoolValue and the like: the JSON form is the value's. */
static bool is_wrapper(struct str name)
{
    return str_ends(name, STR("Value")) && !str_eq(name, STR("google.protobuf.Value")) &&
           !str_eq(name, STR("google.protobuf.ListValue")) &&
           !str_eq(name, STR("google.protobuf.NullValue"));
}

static int read_wrapper(struct pb_reader *r, const struct text_node *n, ProtobufCMessage *m)
{
    struct text_member member = {STR("value"), n->line, n->column, n};
    struct text_node object = {
        .kind = TEXT_MAP, .line = n->line, .column = n->column, .members = &member, .count = 1};
    size_t at = r->path_len;
    int result;

    result = pb_text_read_fields(r, &object, m, STR_NONE);
    if (result == 0) {
        r->path_len = at;
    }
    return result;
}

int pb_text_read_message(struct pb_reader *r, const struct text_node *n, ProtobufCMessage *m)
{
    struct str name = str_c(m->descriptor->name);

    if (!str_starts(name, STR("google.protobuf."))) {
        return pb_text_read_fields(r, n, m, STR_NONE);
    }
    if (str_eq(name, STR("google.protobuf.Any"))) {
        return read_any(r, n, m);
    }
    if (str_eq(name, STR("google.protobuf.Duration"))) {
        return read_duration(r, n, m);
    }
    if (str_eq(name, STR("google.protobuf.Timestamp"))) {
        return read_timestamp(r, n, m);
    }
    if (str_eq(name, STR("google.protobuf.Struct"))) {
        return read_struct(r, n, (Google__Protobuf__Struct *)m);
    }
    if (str_eq(name, STR("google.protobuf.Value"))) {
        return read_struct_value(r, n, (Google__Protobuf__Value *)m);
    }
    if (str_eq(name, STR("google.protobuf.ListValue"))) {
        return read_list_value(r, n, (Google__Protobuf__ListValue *)m);
    }
    if (is_wrapper(name)) {
        return read_wrapper(r, n, m);
    }
    return pb_text_read_fields(r, n, m, STR_NONE);
}
