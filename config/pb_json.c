/* The proto3 JSON mapping, writing side. Main thread; no state. */

#include "config/pb_json.h"

#include <math.h>
#include <string.h>

#include "config/pb_registry.h"
#include "config/pb_unpack.h"
#include "dataplane/base/clock.h"
#include "proto/google/protobuf/any.pb-c.h"
#include "proto/google/protobuf/duration.pb-c.h"
#include "proto/google/protobuf/struct.pb-c.h"
#include "proto/google/protobuf/timestamp.pb-c.h"

static void write_message(struct json_writer *w, const ProtobufCMessage *m);
static void write_fields(struct json_writer *w, const ProtobufCMessage *m);

/* --- scalars ------------------------------------------------------------------------------ */

static void write_base64(struct json_writer *w, const uint8_t *p, size_t len)
{
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct strbuf out;

    strbuf_init(&out);
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                     (left > 2 ? p[i + 2] : 0);

        strbuf_add_char(&out, DIGITS[v >> 18]);
        strbuf_add_char(&out, DIGITS[v >> 12 & 63]);
        strbuf_add_char(&out, left > 1 ? DIGITS[v >> 6 & 63] : '=');
        strbuf_add_char(&out, left > 2 ? DIGITS[v & 63] : '=');
    }
    json_str(w, strbuf_str(&out));
    strbuf_done(&out);
}

static void write_i64_text(struct json_writer *w, int64_t v)
{
    struct strbuf out;

    strbuf_init(&out);
    strbuf_addf(&out, "%lld", (long long)v);
    json_str(w, strbuf_str(&out));
    strbuf_done(&out);
}

static void write_double(struct json_writer *w, double v)
{
    if (isnan(v)) {
        json_str(w, STR("NaN"));
    } else if (isinf(v)) {
        json_str(w, v > 0 ? STR("Infinity") : STR("-Infinity"));
    } else {
        json_double(w, v);
    }
}

static void write_enum(struct json_writer *w, const ProtobufCEnumDescriptor *d, int v)
{
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(d, v);

    if (value != NULL) {
        json_str(w, str_c(value->name));
    } else {
        json_i64(w, v);
    }
}

static void write_value(struct json_writer *w, const ProtobufCFieldDescriptor *f, const void *at)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        json_i64(w, *(const int32_t *)at);
        break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        json_u64(w, *(const uint32_t *)at);
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        write_i64_text(w, *(const int64_t *)at);
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64: {
        char digits[U64_DIGITS];

        json_str(w, str_n(digits, format_u64(*(const uint64_t *)at, digits)));
        break;
    }
    case PROTOBUF_C_TYPE_FLOAT:
        write_double(w, (double)*(const float *)at);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        write_double(w, *(const double *)at);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        json_bool(w, *(const protobuf_c_boolean *)at != 0);
        break;
    case PROTOBUF_C_TYPE_ENUM:
        write_enum(w, f->descriptor, *(const int *)at);
        break;
    case PROTOBUF_C_TYPE_STRING:
        json_str(w, str_c(*(char *const *)at));
        break;
    case PROTOBUF_C_TYPE_BYTES:
        write_base64(w, ((const ProtobufCBinaryData *)at)->data,
                     ((const ProtobufCBinaryData *)at)->len);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        write_message(w, *(ProtobufCMessage *const *)at);
        break;
    }
}

/* Bytes from one repeated element to the next. */
static size_t element_bytes(ProtobufCType t)
{
    switch (t) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    default:
        return 4;
    }
}

/* --- special types ------------------------------------------------------------------------ */

/* "1s", "0.250s": 0, 3, 6 or 9 digits. */
static void write_duration(struct json_writer *w, const Google__Protobuf__Duration *d)
{
    int64_t seconds = d->seconds < 0 ? -d->seconds : d->seconds;
    int32_t nanos = d->nanos < 0 ? -d->nanos : d->nanos;
    struct strbuf out;

    strbuf_init(&out);
    strbuf_addf(&out, "%s%lld", d->seconds < 0 || d->nanos < 0 ? "-" : "", (long long)seconds);
    if (nanos % 1000000 == 0 && nanos > 0) {
        strbuf_addf(&out, ".%03d", nanos / 1000000);
    } else if (nanos % 1000 == 0 && nanos > 0) {
        strbuf_addf(&out, ".%06d", nanos / 1000);
    } else if (nanos > 0) {
        strbuf_addf(&out, ".%09d", nanos);
    }
    strbuf_add_char(&out, 's');
    json_str(w, strbuf_str(&out));
    strbuf_done(&out);
}

static void write_timestamp(struct json_writer *w, const Google__Protobuf__Timestamp *t)
{
    char iso[CLOCK_ISO_MS_BYTES];

    clock_iso_ms((uint64_t)t->seconds * 1000000000 + (uint64_t)t->nanos, iso);
    json_str(w, str_n(iso, sizeof(iso)));
}

static void write_struct(struct json_writer *w, const Google__Protobuf__Struct *s);

static void write_struct_value(struct json_writer *w, const Google__Protobuf__Value *v)
{
    switch (v != NULL ? v->kind_case : GOOGLE__PROTOBUF__VALUE__KIND__NOT_SET) {
    case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
        json_bool(w, v->bool_value != 0);
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
        write_double(w, v->number_value);
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
        json_str(w, str_c(v->string_value));
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
        write_struct(w, v->struct_value);
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
        json_array_begin(w);
        for (size_t i = 0; i < v->list_value->n_values; i++) {
            write_struct_value(w, v->list_value->values[i]);
        }
        json_array_end(w);
        break;
    default:
        json_null(w);
        break;
    }
}

static void write_struct(struct json_writer *w, const Google__Protobuf__Struct *s)
{
    json_object_begin(w);
    for (size_t i = 0; i < s->n_fields; i++) {
        json_key(w, str_c(s->fields[i]->key));
        write_struct_value(w, s->fields[i]->value);
    }
    json_object_end(w);
}

static bool has_special_form(const char *name)
{
    return strncmp(name, "google.protobuf.", 16) == 0 && strcmp(name, "google.protobuf.Empty") != 0;
}

void pb_json_any(struct json_writer *w, struct str type_url, const uint8_t *bytes, size_t len)
{
    const ProtobufCMessageDescriptor *d = pb_find_message(pb_type_name(type_url));
    ProtobufCMessage *m = NULL;
    struct arena arena;
    struct error err;

    arena_init(&arena, NULL);
    error_init(&err);
    json_object_begin(w);
    json_key(w, STR("@type"));
    json_str(w, type_url);
    if (d == NULL || pb_unpack(d, bytes, len, &arena, &m, &err) != 0) {
        json_key(w, STR("value")); /* a type that is not here: its bytes */
        write_base64(w, bytes, len);
    } else if (has_special_form(d->name)) {
        json_key(w, STR("value"));
        write_message(w, m);
    } else {
        write_fields(w, m);
    }
    json_object_end(w);
    error_done(&err);
    arena_done(&arena);
}

/* --- messages ----------------------------------------------------------------------------- */

static bool entry_is_map(const ProtobufCFieldDescriptor *f)
{
    const ProtobufCMessageDescriptor *d = f->descriptor;

    return f->type == PROTOBUF_C_TYPE_MESSAGE && d->n_fields == 2 &&
           str_ends(str_c(d->name), STR("Entry")) && strcmp(d->fields[0].name, "key") == 0;
}

static void write_repeated(struct json_writer *w, const ProtobufCFieldDescriptor *f,
                           const ProtobufCMessage *m)
{
    size_t n = *(const size_t *)(const void *)((const char *)m + f->quantifier_offset);
    const char *items = *(const char *const *)(const void *)((const char *)m + f->offset);
    size_t width =
        f->type == PROTOBUF_C_TYPE_BOOL ? sizeof(protobuf_c_boolean) : element_bytes(f->type);
    const ProtobufCMessageDescriptor *d = f->descriptor;

    if (n == 0) {
        return;
    }
    json_key(w, str_c(f->name));
    if (!entry_is_map(f)) {
        json_array_begin(w);
        for (size_t i = 0; i < n; i++) {
            write_value(w, f, items + i * width);
        }
        json_array_end(w);
        return;
    }
    json_object_begin(w);
    for (size_t i = 0; i < n; i++) {
        const char *entry = ((const char *const *)(const void *)items)[i];

        json_key(w, str_c(*(char *const *)(const void *)(entry + d->fields[0].offset)));
        write_value(w, &d->fields[1], entry + d->fields[1].offset);
    }
    json_object_end(w);
}

static bool scalar_is_default(const ProtobufCFieldDescriptor *f, const void *at)
{
    static const char ZEROS[16];

    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        return *(char *const *)at == NULL || (*(char *const *)at)[0] == '\0';
    case PROTOBUF_C_TYPE_BYTES:
        return ((const ProtobufCBinaryData *)at)->len == 0;
    case PROTOBUF_C_TYPE_MESSAGE:
        return *(ProtobufCMessage *const *)at == NULL;
    case PROTOBUF_C_TYPE_BOOL:
        return *(const protobuf_c_boolean *)at == 0;
    default:
        return memcmp(at, ZEROS, element_bytes(f->type)) == 0;
    }
}

static void write_fields(struct json_writer *w, const ProtobufCMessage *m)
{
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        const void *at = (const char *)m + f->offset;

        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            write_repeated(w, f, m);
            continue;
        }
        if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
            if (*(const uint32_t *)(const void *)((const char *)m + f->quantifier_offset) !=
                f->id) {
                continue;
            }
        } else if (scalar_is_default(f, at)) {
            continue;
        }
        json_key(w, str_c(f->name));
        write_value(w, f, at);
    }
}

static bool is_wrapper(const char *name)
{
    return str_ends(str_c(name), STR("Value"));
}

static void write_special(struct json_writer *w, const ProtobufCMessage *m)
{
    const char *name = m->descriptor->name;

    if (strcmp(name, "google.protobuf.Any") == 0) {
        const Google__Protobuf__Any *any = (const Google__Protobuf__Any *)m;

        pb_json_any(w, str_c(any->type_url), any->value.data, any->value.len);
    } else if (strcmp(name, "google.protobuf.Duration") == 0) {
        write_duration(w, (const Google__Protobuf__Duration *)m);
    } else if (strcmp(name, "google.protobuf.Timestamp") == 0) {
        write_timestamp(w, (const Google__Protobuf__Timestamp *)m);
    } else if (strcmp(name, "google.protobuf.Struct") == 0) {
        write_struct(w, (const Google__Protobuf__Struct *)m);
    } else if (strcmp(name, "google.protobuf.Value") == 0) {
        write_struct_value(w, (const Google__Protobuf__Value *)m);
    } else if (strcmp(name, "google.protobuf.ListValue") != 0 && is_wrapper(name)) {
        write_value(w, &m->descriptor->fields[0],
                    (const char *)m + m->descriptor->fields[0].offset);
    } else {
        json_object_begin(w);
        write_fields(w, m);
        json_object_end(w);
    }
}

static void write_message(struct json_writer *w, const ProtobufCMessage *m)
{
    if (has_special_form(m->descriptor->name)) {
        write_special(w, m);
        return;
    }
    json_object_begin(w);
    write_fields(w, m);
    json_object_end(w);
}

void pb_json(struct json_writer *w, const ProtobufCMessage *m)
{
    write_message(w, m);
}

void pb_json_bytes(struct json_writer *w, const ProtobufCMessageDescriptor *d, const uint8_t *bytes,
                   size_t len)
{
    ProtobufCMessage *m = NULL;
    struct arena arena;
    struct error err;

    arena_init(&arena, NULL);
    error_init(&err);
    if (pb_unpack(d, bytes, len, &arena, &m, &err) == 0) {
        write_message(w, m);
    } else {
        json_object_begin(w);
        json_object_end(w);
    }
    error_done(&err);
    arena_done(&arena);
}
