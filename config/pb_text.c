/*
 * The proto3 JSON mapping onto protobuf-c structs. Main thread; the messages live in an arena.
 * Special types (Duration, wrappers, Struct, Any) are in pb_text_special.c.
 */

#include "config/pb_text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/pb_arena.h"
#include "config/pb_text_internal.h"
#include "dataplane/base/xalloc.h"
#include "proto/known_fields.h"

int pb_text_fail(struct pb_reader *r, const struct text_node *at, const char *fmt, ...)
{
    struct strbuf line;
    char sentence[512];
    va_list ap;
    int code;

    va_start(ap, fmt);
    vsnprintf(sentence, sizeof(sentence), fmt, ap);
    va_end(ap);
    strbuf_init(&line);
    if (r->options->file != NULL) {
        strbuf_addf(&line, "%s:", r->options->file);
    }
    if (at != NULL && at->line > 0) {
        strbuf_addf(&line, "%u:%u: ", at->line, at->column);
    } else if (line.len > 0) {
        strbuf_add_char(&line, ' ');
    }
    if (r->path_len > 0) {
        strbuf_addf(&line, "%.*s: ", (int)r->path_len, r->path);
    }
    code = error_set(r->err, E_INVALID, "%.*s%s", STR_ARG(strbuf_str(&line)), sentence);
    strbuf_done(&line);
    return code;
}

size_t pb_text_push(struct pb_reader *r, struct str name)
{
    size_t at = r->path_len;
    int n =
        snprintf(r->path + at, sizeof(r->path) - at, "%s%.*s", at > 0 ? "." : "", STR_ARG(name));

    r->path_len = n < 0 || at + (size_t)n >= sizeof(r->path) ? sizeof(r->path) - 1 : at + (size_t)n;
    return at;
}

static size_t path_push_item(struct pb_reader *r, size_t index)
{
    size_t at = r->path_len;
    int n = snprintf(r->path + at, sizeof(r->path) - at, "[%zu]", index);

    r->path_len = n < 0 || at + (size_t)n >= sizeof(r->path) ? sizeof(r->path) - 1 : at + (size_t)n;
    return at;
}

/* --- scalars ------------------------------------------------------------------------------ */

static int expected(struct pb_reader *r, const struct text_node *n, const char *what)
{
    return pb_text_fail(r, n, "%s expected, not %s", what, text_kind_name(n->kind));
}

/* Integers may be written 5, "5", 5.0 or 5e0. */
static int read_integer(struct pb_reader *r, const struct text_node *n, int64_t min, uint64_t max,
                        uint64_t *ret)
{
    int64_t i;
    uint64_t u;
    double d;

    if (n->kind != TEXT_NUMBER && n->kind != TEXT_STRING) {
        return expected(r, n, "number");
    }
    if (parse_u64(n->scalar, &u) == 0) {
        if (u > max) {
            return pb_text_fail(r, n, "%.*s is out of range", STR_ARG(n->scalar));
        }
        *ret = u;
        return 0;
    }
    if (parse_i64(n->scalar, &i) == 0) {
        if (i < min) {
            return pb_text_fail(r, n, "%.*s is out of range", STR_ARG(n->scalar));
        }
        *ret = (uint64_t)i;
        return 0;
    }
    if (parse_double(n->scalar, &d) != 0 || d != floor(d)) {
        return pb_text_fail(r, n, "'%.*s' is no integer", STR_ARG(n->scalar));
    }
    if (d < (double)min || d > (double)max || fabs(d) > 9007199254740992.0) {
        return pb_text_fail(r, n, "%.*s is out of range", STR_ARG(n->scalar));
    }
    *ret = d < 0 ? (uint64_t)(int64_t)d : (uint64_t)d;
    return 0;
}

static int read_double(struct pb_reader *r, const struct text_node *n, double *ret)
{
    if (n->kind == TEXT_STRING && str_eq(n->scalar, STR("NaN"))) {
        *ret = (double)NAN;
        return 0;
    }
    if (n->kind == TEXT_STRING && str_eq(n->scalar, STR("Infinity"))) {
        *ret = (double)INFINITY;
        return 0;
    }
    if (n->kind == TEXT_STRING && str_eq(n->scalar, STR("-Infinity"))) {
        *ret = -(double)INFINITY;
        return 0;
    }
    if (n->kind != TEXT_NUMBER && n->kind != TEXT_STRING) {
        return expected(r, n, "number");
    }
    if (parse_double(n->scalar, ret) != 0) {
        return pb_text_fail(r, n, "'%.*s' is no number", STR_ARG(n->scalar));
    }
    return 0;
}

static int read_enum(struct pb_reader *r, const struct text_node *n,
                     const ProtobufCEnumDescriptor *d, int *ret)
{
    uint64_t number;

    if (n->kind == TEXT_STRING) {
        char *name = xstrndup(n->scalar.ptr, n->scalar.len);
        const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value_by_name(d, name);

        free(name);
        if (v == NULL) {
            return pb_text_fail(r, n, "invalid value '%.*s' for enum %s", STR_ARG(n->scalar),
                                d->name);
        }
        *ret = v->value;
        return 0;
    }
    if (read_integer(r, n, INT32_MIN, INT32_MAX, &number) != 0) {
        return E_INVALID;
    }
    *ret = (int)number;
    return 0;
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

/* Standard and URL-safe alphabet, padding optional. */
static int read_bytes(struct pb_reader *r, const struct text_node *n, ProtobufCBinaryData *ret)
{
    struct str s = n->scalar;
    uint32_t acc = 0;
    int bits = 0;

    if (n->kind != TEXT_STRING) {
        return expected(r, n, "base64 string");
    }
    while (s.len > 0 && s.ptr[s.len - 1] == '=') {
        s.len--;
    }
    ret->data = arena_alloc(r->arena, s.len + 1);
    ret->len = 0;
    for (size_t i = 0; i < s.len; i++) {
        int d = base64_digit(s.ptr[i]);

        if (d < 0) {
            return pb_text_fail(r, n, "invalid base64");
        }
        acc = acc << 6 | (uint32_t)d;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            ret->data[ret->len++] = (uint8_t)(acc >> bits);
        }
    }
    return s.len % 4 == 1 ? pb_text_fail(r, n, "invalid base64") : 0;
}

static int read_message_value(struct pb_reader *r, const struct text_node *n,
                              const ProtobufCMessageDescriptor *d, ProtobufCMessage **ret)
{
    *ret = pb_new(d, r->arena);
    if (++r->depth > TEXT_DEPTH_MAX) {
        return pb_text_fail(r, n, "nested too deeply");
    }
    if (pb_text_read_message(r, n, *ret) != 0) {
        return E_INVALID;
    }
    r->depth--;
    return 0;
}

/* One value of the field's type, written to `to`. */
static int read_value(struct pb_reader *r, const struct text_node *n,
                      const ProtobufCFieldDescriptor *f, void *to)
{
    uint64_t number;
    double d;
    int r32;

    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        r32 = read_integer(r, n, INT32_MIN, INT32_MAX, &number);
        *(int32_t *)to = (int32_t)number;
        return r32;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        r32 = read_integer(r, n, 0, UINT32_MAX, &number);
        *(uint32_t *)to = (uint32_t)number;
        return r32;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        r32 = read_integer(r, n, INT64_MIN, INT64_MAX, &number);
        *(int64_t *)to = (int64_t)number;
        return r32;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return read_integer(r, n, 0, UINT64_MAX, to);
    case PROTOBUF_C_TYPE_FLOAT:
        r32 = read_double(r, n, &d);
        *(float *)to = (float)d;
        return r32;
    case PROTOBUF_C_TYPE_DOUBLE:
        return read_double(r, n, to);
    case PROTOBUF_C_TYPE_BOOL:
        if (n->kind != TEXT_BOOL) {
            return expected(r, n, "bool");
        }
        *(protobuf_c_boolean *)to = n->boolean;
        return 0;
    case PROTOBUF_C_TYPE_ENUM:
        return read_enum(r, n, f->descriptor, to);
    case PROTOBUF_C_TYPE_STRING:
        if (n->kind != TEXT_STRING) {
            return expected(r, n, "string");
        }
        if (n->scalar.len > 0 && memchr(n->scalar.ptr, '\0', n->scalar.len) != NULL) {
            return pb_text_fail(r, n, "string contains a NUL character");
        }
        *(char **)to = (char *)(uintptr_t)arena_str(r->arena, n->scalar).ptr;
        return 0;
    case PROTOBUF_C_TYPE_BYTES:
        return read_bytes(r, n, to);
    case PROTOBUF_C_TYPE_MESSAGE:
        return read_message_value(r, n, f->descriptor, to);
    }
    return E_INVALID;
}

static size_t value_bytes(ProtobufCType t)
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
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    default:
        return 4;
    }
}

/* --- fields ------------------------------------------------------------------------------- */

/* protobuf-c has no map type: a map field is repeated XEntry{key, value}. */
static bool field_is_map(const ProtobufCFieldDescriptor *f)
{
    const ProtobufCMessageDescriptor *d = f->descriptor;

    return f->label == PROTOBUF_C_LABEL_REPEATED && f->type == PROTOBUF_C_TYPE_MESSAGE &&
           d->n_fields == 2 && str_ends(str_c(d->name), STR("Entry")) &&
           strcmp(d->fields[0].name, "key") == 0 && strcmp(d->fields[1].name, "value") == 0;
}

static int read_map(struct pb_reader *r, const struct text_node *n,
                    const ProtobufCFieldDescriptor *f, ProtobufCMessage *m)
{
    const ProtobufCMessageDescriptor *entry = f->descriptor;
    ProtobufCMessage **entries;

    if (n->kind != TEXT_MAP) {
        return expected(r, n, "object");
    }
    entries = ARENA_ARRAY(r->arena, ProtobufCMessage *, n->count + 1);
    for (size_t i = 0; i < n->count; i++) {
        struct text_node key = {.kind = TEXT_STRING,
                                .line = n->members[i].line,
                                .column = n->members[i].column,
                                .scalar = n->members[i].key};
        size_t at = pb_text_push(r, key.scalar);

        entries[i] = pb_new(entry, r->arena);
        if (read_value(r, &key, &entry->fields[0], (char *)entries[i] + entry->fields[0].offset) !=
                0 ||
            read_value(r, n->members[i].value, &entry->fields[1],
                       (char *)entries[i] + entry->fields[1].offset) != 0) {
            return E_INVALID;
        }
        r->path_len = at;
    }
    *(size_t *)(void *)((char *)m + f->quantifier_offset) = n->count;
    *(ProtobufCMessage ***)(void *)((char *)m + f->offset) = entries;
    return 0;
}

static int read_repeated(struct pb_reader *r, const struct text_node *n,
                         const ProtobufCFieldDescriptor *f, ProtobufCMessage *m)
{
    size_t width = value_bytes(f->type);
    char *items;

    if (field_is_map(f)) {
        return read_map(r, n, f, m);
    }
    if (n->kind != TEXT_LIST) {
        return expected(r, n, "list");
    }
    items = arena_calloc(r->arena, n->count + 1, width);
    for (size_t i = 0; i < n->count; i++) {
        size_t at = path_push_item(r, i);

        if (n->items[i]->kind == TEXT_NULL) {
            return expected(r, n->items[i], "value");
        }
        if (read_value(r, n->items[i], f, items + i * width) != 0) {
            return E_INVALID;
        }
        r->path_len = at;
    }
    *(size_t *)(void *)((char *)m + f->quantifier_offset) = n->count;
    *(void **)(void *)((char *)m + f->offset) = items;
    return 0;
}

static int read_field(struct pb_reader *r, const struct text_node *n,
                      const ProtobufCFieldDescriptor *f, ProtobufCMessage *m)
{
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        return read_repeated(r, n, f, m);
    }
    if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        uint32_t *which = (void *)((char *)m + f->quantifier_offset);

        if (*which != 0) {
            return pb_text_fail(r, n, "another member of its oneof is set already");
        }
        *which = f->id;
    }
    return read_value(r, n, f, (char *)m + f->offset);
}

/* Both spellings: max_requests and maxRequests. */
static bool name_matches(const char *snake, struct str name)
{
    size_t i = 0;

    for (const char *p = snake; *p != '\0'; p++, i++) {
        char want = *p;

        if (want == '_' && p[1] != '\0') {
            want = *++p;
            want = want >= 'a' && want <= 'z' ? (char)(want - 'a' + 'A') : want;
        }
        if (i >= name.len || name.ptr[i] != want) {
            return false;
        }
    }
    return i == name.len;
}

static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *d,
                                                  struct str name)
{
    for (unsigned i = 0; i < d->n_fields; i++) {
        if (str_eq(str_c(d->fields[i].name), name) || name_matches(d->fields[i].name, name)) {
            return &d->fields[i];
        }
    }
    return NULL;
}

static bool text_is_default(const struct text_node *n, const struct known_field *k)
{
    if (n->kind == TEXT_LIST || (n->kind == TEXT_MAP && (k->flags & KNOWN_MAP) != 0)) {
        return n->count == 0;
    }
    if (k->kind == KNOWN_MESSAGE || k->oneof != 0) {
        return false;
    }
    return (n->kind == TEXT_BOOL && !n->boolean) ||
           (n->kind != TEXT_BOOL && n->kind != TEXT_MAP &&
            (n->scalar.len == 0 || str_eq(n->scalar, STR("0"))));
}

/* An official field that is not in the subset stays visible as an unknown field without its
 * contents. */
static void keep_unsupported(struct pb_reader *r, ProtobufCMessage *m, const struct known_field *k)
{
    ProtobufCMessageUnknownField *fields =
        ARENA_ARRAY(r->arena, ProtobufCMessageUnknownField, m->n_unknown_fields + 1);

    if (m->n_unknown_fields > 0) {
        memcpy(fields, m->unknown_fields, m->n_unknown_fields * sizeof(*fields));
    }
    fields[m->n_unknown_fields].tag = k->number;
    fields[m->n_unknown_fields].wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
    fields[m->n_unknown_fields].len = 1;
    fields[m->n_unknown_fields].data = arena_calloc(r->arena, 1, 1); /* length 0 */
    m->unknown_fields = fields;
    m->n_unknown_fields++;
}

static int read_unknown(struct pb_reader *r, const struct text_member *member, ProtobufCMessage *m)
{
    const struct known_message *known = known_message_find(m->descriptor->name);
    const struct known_field *k =
        known != NULL ? known_field_by_name(known, member->key.ptr, member->key.len) : NULL;
    struct text_node at = {.line = member->line, .column = member->column};

    if (k != NULL) {
        if (!text_is_default(member->value, k)) {
            keep_unsupported(r, m, k);
        }
        return 0;
    }
    if (r->options->allow_unknown) {
        return 0;
    }
    return pb_text_fail(r, &at, "no such field: '%.*s' in %s", STR_ARG(member->key),
                        m->descriptor->name);
}

static int read_member(struct pb_reader *r, const struct text_member *member, ProtobufCMessage *m,
                       uint64_t *seen)
{
    const ProtobufCFieldDescriptor *f = find_field(m->descriptor, member->key);
    const struct text_node *n = member->value;
    size_t index;
    size_t at;

    if (n->kind == TEXT_NULL && (f == NULL || f->type != PROTOBUF_C_TYPE_MESSAGE ||
                                 strcmp(((const ProtobufCMessageDescriptor *)f->descriptor)->name,
                                        "google.protobuf.Value") != 0)) {
        return f == NULL ? read_unknown(r, member, m) : 0; /* as absent */
    }
    if (f == NULL) {
        return read_unknown(r, member, m);
    }
    index = (size_t)(f - m->descriptor->fields);
    at = pb_text_push(r, str_c(f->name));
    if ((seen[index / 64] & (uint64_t)1 << index % 64) != 0) {
        return pb_text_fail(r, n, "given twice");
    }
    seen[index / 64] |= (uint64_t)1 << index % 64;
    if (read_field(r, n, f, m) != 0) {
        return E_INVALID;
    }
    r->path_len = at;
    return 0;
}

int pb_text_read_fields(struct pb_reader *r, const struct text_node *n, ProtobufCMessage *m,
                        struct str skip_key)
{
    uint64_t seen[4] = {0}; /* of the fields by index: no message of the subset has 256 */

    CHECK(m->descriptor->n_fields <= sizeof(seen) * 8);
    if (n->kind != TEXT_MAP) {
        return expected(r, n, "object");
    }
    for (size_t i = 0; i < n->count; i++) {
        if (skip_key.len > 0 && str_eq(n->members[i].key, skip_key)) {
            continue;
        }
        if (read_member(r, &n->members[i], m, seen) != 0) {
            return E_INVALID;
        }
    }
    return 0;
}

int pb_from_text(const struct text_node *node, const ProtobufCMessageDescriptor *d,
                 const struct pb_text_options *o, struct arena *a, ProtobufCMessage **ret_message,
                 struct error *reterr)
{
    struct pb_reader *r = xcalloc(1, sizeof(*r));
    ProtobufCMessage *m = pb_new(d, a);
    int result = 0;

    r->arena = a;
    r->err = reterr;
    r->options = o;
    if (node->kind != TEXT_NULL) {
        result = pb_text_read_message(r, node, m);
    }
    free(r);
    if (result == 0) {
        *ret_message = m;
    }
    return result;
}
