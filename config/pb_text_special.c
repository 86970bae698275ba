/* Well-known types whose JSON form is not an object of their fields. Main thread; no state. */

#include <string.h>

#include "config/pb_arena.h"
#include "config/pb_registry.h"
#include "config/pb_text_internal.h"
#include "proto/google/protobuf/any.pb-c.h"
#include "proto/google/protobuf/duration.pb-c.h"
#include "proto/google/protobuf/struct.pb-c.h"
#include "proto/google/protobuf/timestamp.pb-c.h"

/* --- times -------------------------------------------------------------------------------- */

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

    if (n->kind != TEXT_STRING || !str_ends(s, STR("s"))) {
        return pb_text_fail(r, n, "duration expected, such as \"1.5s\"");
    }
    s.len--;
    is_negative = str_starts(s, STR("-"));
    s = str_sub(s, is_negative, s.len);
    point = str_find_char(s, '.');
    if (parse_u64(point == STR_NPOS ? s : str_sub(s, 0, point), &seconds) != 0 ||
        seconds > DURATION_MAX_S ||
        (point != STR_NPOS && !read_fraction(str_sub(s, point + 1, s.len), &nanos))) {
        return pb_text_fail(r, n, "'%.*s' is not a duration", STR_ARG(n->scalar));
    }
    d->seconds = is_negative ? -(int64_t)seconds : (int64_t)seconds;
    d->nanos = is_negative ? -nanos : nanos;
    return 0;
}

/* Days since 1970-01-01; years begin in March, so that the leap day is a year's last. */
static int64_t days_since_epoch(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month > 2 ? year : year - 1;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return y * 365 + y / 4 - y / 100 + y / 400 + day_of_year - 719468;
}

/* Cuts `len` digits and then `sep` off `*s`. */
static bool take_digits(struct str *s, size_t len, struct str sep, int64_t *ret)
{
    uint64_t v;

    if (parse_u64(str_sub(*s, 0, len), &v) != 0 || !str_starts(str_sub(*s, len, s->len), sep)) {
        return false;
    }
    *s = str_sub(*s, len + sep.len, s->len);
    *ret = (int64_t)v;
    return true;
}

/* "Z" or "+01:30", as seconds to add. */
static bool take_zone(struct str s, int64_t *ret)
{
    bool is_east = str_starts(s, STR("+"));
    int64_t hours;
    int64_t minutes;

    if (str_eq(s, STR("Z"))) {
        *ret = 0;
        return true;
    }
    if (s.len != 6 || (!is_east && s.ptr[0] != '-')) {
        return false;
    }
    s = str_sub(s, 1, s.len);
    if (!take_digits(&s, 2, STR(":"), &hours) || !take_digits(&s, 2, STR(""), &minutes)) {
        return false;
    }
    *ret = (hours * 60 + minutes) * (is_east ? -60 : 60);
    return true;
}

static bool parse_timestamp(struct str s, Google__Protobuf__Timestamp *t)
{
    int64_t year;
    int64_t month;
    int64_t day;
    int64_t hour;
    int64_t minute;
    int64_t second;
    int64_t zone;
    int32_t nanos = 0;

    if (!take_digits(&s, 4, STR("-"), &year) || !take_digits(&s, 2, STR("-"), &month) ||
        !take_digits(&s, 2, STR("T"), &day) || !take_digits(&s, 2, STR(":"), &hour) ||
        !take_digits(&s, 2, STR(":"), &minute) || !take_digits(&s, 2, STR(""), &second) ||
        year < 1 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 ||
        second > 60) {
        return false;
    }
    if (str_starts(s, STR("."))) {
        size_t end = 1;

        while (end < s.len && s.ptr[end] >= '0' && s.ptr[end] <= '9') {
            end++;
        }
        if (!read_fraction(str_sub(s, 1, end), &nanos)) {
            return false;
        }
        s = str_sub(s, end, s.len);
    }
    if (!take_zone(s, &zone)) {
        return false;
    }
    t->seconds =
        days_since_epoch(year, month, day) * 86400 + hour * 3600 + minute * 60 + second + zone;
    t->nanos = nanos;
    return true;
}

/* RFC 3339: "2026-08-01T12:00:00.5Z". */
static int read_timestamp(struct pb_reader *r, const struct text_node *n, ProtobufCMessage *m)
{
    if (n->kind != TEXT_STRING || !parse_timestamp(n->scalar, (Google__Protobuf__Timestamp *)m)) {
        return pb_text_fail(r, n, "timestamp expected, such as \"2026-08-01T12:00:00Z\"");
    }
    return 0;
}

/* --- Struct ------------------------------------------------------------------------------- */

/* Recursion here is bounded by the depth of the text. */
static int read_struct_value(struct pb_reader *r, const struct text_node *n,
                             Google__Protobuf__Value *v);

/* A value of its own for a string, a list or a map. */
static char *struct_string(struct pb_reader *r, struct str s)
{
    return arena_strdup(r->arena, s.len > 0 ? s.ptr : "");
}

static int check_no_nul(struct pb_reader *r, const struct text_node *n, struct str s)
{
    return s.len > 0 && memchr(s.ptr, '\0', s.len) != NULL
               ? pb_text_fail(r, n, "string contains a NUL character")
               : 0;
}

static int read_list_value(struct pb_reader *r, const struct text_node *n,
                           Google__Protobuf__ListValue *l)
{
    struct pb_step step = {.up = r->path};

    if (n->kind != TEXT_LIST) {
        return pb_text_expected(r, n, "list");
    }
    l->values = ARENA_ARRAY(r->arena, Google__Protobuf__Value *, n->count + 1);
    l->n_values = n->count;
    r->path = &step;
    for (; step.index < n->count; step.index++) {
        Google__Protobuf__Value *v = ARENA_NEW(r->arena, Google__Protobuf__Value);

        google__protobuf__value__init(v);
        l->values[step.index] = v;
        if (read_struct_value(r, n->items[step.index], v) != 0) {
            return E_INVALID;
        }
    }
    r->path = step.up;
    return 0;
}

static int read_struct(struct pb_reader *r, const struct text_node *n, Google__Protobuf__Struct *s)
{
    struct pb_step step = {.up = r->path};

    if (n->kind != TEXT_MAP) {
        return pb_text_expected(r, n, "object");
    }
    s->fields = ARENA_ARRAY(r->arena, Google__Protobuf__Struct__FieldsEntry *, n->count + 1);
    s->n_fields = n->count;
    r->path = &step;
    for (size_t i = 0; i < n->count; i++) {
        Google__Protobuf__Struct__FieldsEntry *e =
            ARENA_NEW(r->arena, Google__Protobuf__Struct__FieldsEntry);

        step.key = n->members[i].key;
        google__protobuf__struct__fields_entry__init(e);
        e->key = struct_string(r, step.key);
        e->value = ARENA_NEW(r->arena, Google__Protobuf__Value);
        google__protobuf__value__init(e->value);
        s->fields[i] = e;
        if (check_no_nul(r, n->members[i].value, step.key) != 0 ||
            read_struct_value(r, n->members[i].value, e->value) != 0) {
            return E_INVALID;
        }
    }
    r->path = step.up;
    return 0;
}

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
                   : pb_text_fail(r, n, "%.*s is out of range", STR_ARG(n->scalar));
    case TEXT_STRING:
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
        v->string_value = struct_string(r, n->scalar);
        return check_no_nul(r, n, n->scalar);
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

/* Inside an Any, the JSON form of these stands under "value". */
static bool has_special_form(const char *type_name)
{
    struct str name = str_c(type_name);

    return str_starts(name, STR("google.protobuf.")) && !str_eq(name, STR("google.protobuf.Empty"));
}

static const struct text_node *find_member(const struct text_node *n, struct str key)
{
    for (size_t i = 0; i < n->count; i++) {
        if (str_eq(n->members[i].key, key)) {
            return n->members[i].value;
        }
    }
    return NULL;
}

static int read_special_in_any(struct pb_reader *r, const struct text_node *n, ProtobufCMessage *m)
{
    const struct text_node *value = find_member(n, STR("value"));

    if (n->count > (value != NULL ? 2u : 1u)) {
        return pb_text_fail(r, n, "an Any of %s has \"@type\" and \"value\" only",
                            m->descriptor->name);
    }
    return value != NULL ? pb_text_read_message(r, value, m) : 0;
}

/* {"@type": URL, fields...}, or {} for an empty one. A type that is not in the subset keeps its URL
 * alone: whoever wants the message says that it is not there. */
static int read_any(struct pb_reader *r, const struct text_node *n, ProtobufCMessage *m)
{
    Google__Protobuf__Any *any = (Google__Protobuf__Any *)m;
    const ProtobufCMessageDescriptor *d;
    const struct text_node *type;
    ProtobufCMessage *inner;
    size_t slash;
    int result;

    if (n->kind != TEXT_MAP) {
        return pb_text_expected(r, n, "object with \"@type\"");
    }
    type = find_member(n, STR("@type"));
    if (type == NULL) {
        return n->count == 0 ? 0 : pb_text_fail(r, n, "\"@type\" is missing");
    }
    slash = type->kind == TEXT_STRING ? str_rfind_char(type->scalar, '/') : STR_NPOS;
    if (slash == STR_NPOS || slash == 0 || check_no_nul(r, type, type->scalar) != 0) {
        return pb_text_fail(r, type, "\"@type\" must have a host, a '/' and a type name");
    }
    any->type_url = struct_string(r, type->scalar);
    d = pb_find_message(pb_type_name(type->scalar));
    if (d == NULL) {
        return pb_text_check_known_any(r, n, pb_type_name(type->scalar));
    }
    inner = pb_new(d, r->arena);
    result = has_special_form(d->name) ? read_special_in_any(r, n, inner)
                                       : pb_text_read_fields(r, n, inner, true);
    if (result == 0) {
        any->value.data = pb_pack(inner, r->arena, &any->value.len);
    }
    return result;
}

/* --- dispatch ----------------------------------------------------------------------------- */

static int read_wrapper(struct pb_reader *r, const struct text_node *n, ProtobufCMessage *m)
{
    const ProtobufCFieldDescriptor *f = &m->descriptor->fields[0];

    return pb_text_read_scalar(r, n, f, (char *)m + f->offset);
}

typedef int special_reader(struct pb_reader *r, const struct text_node *n, ProtobufCMessage *m);

static int read_struct_message(struct pb_reader *r, const struct text_node *n, ProtobufCMessage *m)
{
    return read_struct(r, n, (Google__Protobuf__Struct *)m);
}

static int read_value_message(struct pb_reader *r, const struct text_node *n, ProtobufCMessage *m)
{
    return read_struct_value(r, n, (Google__Protobuf__Value *)m);
}

static int read_list_message(struct pb_reader *r, const struct text_node *n, ProtobufCMessage *m)
{
    return read_list_value(r, n, (Google__Protobuf__ListValue *)m);
}

static special_reader *find_special_reader(struct str name, const struct text_node *n)
{
    static const struct {
        const char *name;
        special_reader *read;
        bool is_also_object; /* {seconds: 1} and {value: 5} are read as messages */
    } SPECIAL[] = {
        {"Any", read_any, false},
        {"Struct", read_struct_message, false},
        {"Value", read_value_message, false},
        {"ListValue", read_list_message, true},
        {"Duration", read_duration, true},
        {"Timestamp", read_timestamp, true},
        {"BoolValue", read_wrapper, true},
        {"BytesValue", read_wrapper, true},
        {"DoubleValue", read_wrapper, true},
        {"FloatValue", read_wrapper, true},
        {"Int32Value", read_wrapper, true},
        {"Int64Value", read_wrapper, true},
        {"StringValue", read_wrapper, true},
        {"UInt32Value", read_wrapper, true},
        {"UInt64Value", read_wrapper, true},
    };
    struct str package = STR("google.protobuf.");

    if (!str_starts(name, package)) {
        return NULL;
    }
    name = str_sub(name, package.len, name.len);
    for (size_t i = 0; i < ARRAY_LEN(SPECIAL); i++) {
        if (str_eq(name, str_c(SPECIAL[i].name))) {
            return SPECIAL[i].is_also_object && n->kind == TEXT_MAP ? NULL : SPECIAL[i].read;
        }
    }
    return NULL;
}

int pb_text_read_message(struct pb_reader *r, const struct text_node *n, ProtobufCMessage *m)
{
    special_reader *read = find_special_reader(str_c(m->descriptor->name), n);
    int result;

    if (r->depth == TEXT_DEPTH_MAX) {
        return pb_text_fail(r, n, "nested too deeply");
    }
    r->depth++;
    result = read != NULL ? read(r, n, m) : pb_text_read_fields(r, n, m, false);
    r->depth--;
    return result;
}
