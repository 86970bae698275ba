/*
 * The proto3 JSON mapping onto protobuf-c structs, fields by descriptor. Main thread; the messages
 * live in an arena. Scalars are in pb_text_scalar.c, types with a JSON form of their own (Duration,
 * wrappers, Struct, Any) in pb_text_special.c.
 *
 * As lenient as protobuf's reader in the mode that Envoy uses: one value instead of a list, lists
 * in lists. Stricter in one thing: a key that is given twice is an error, not the last one's win.
 */

#include "config/pb_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/pb_arena.h"
#include "config/pb_field.h"
#include "config/pb_text_internal.h"
#include "proto/known_fields.h"

/* --- errors ------------------------------------------------------------------------------- */

static void add_path(struct strbuf *out, const struct pb_step *step)
{
    if (step == NULL) {
        return;
    }
    add_path(out, step->up);
    if (step->field != NULL) {
        strbuf_addf(out, "%s%s", step->up != NULL ? "." : "", step->field);
    } else if (step->key.ptr != NULL) {
        strbuf_addf(out, "[\"%.*s\"]", STR_ARG(step->key));
    } else {
        strbuf_addf(out, "[%zu]", step->index);
    }
}

int pb_text_fail(struct pb_reader *r, const struct text_node *at, const char *fmt, ...)
{
    struct strbuf line;
    char sentence[512];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(sentence, sizeof(sentence), fmt, ap); /* cut when too long */
    va_end(ap);
    strbuf_init(&line);
    if (r->options->file != NULL) {
        strbuf_addf(&line, "%s:", r->options->file);
    }
    if (at->line > 0) {
        strbuf_addf(&line, "%u:%u:", at->line, at->column);
    }
    if (line.len > 0) {
        strbuf_add_char(&line, ' ');
    }
    add_path(&line, r->path);
    strbuf_addf(&line, "%s%s", r->path != NULL ? ": " : "", sentence);
    (void)error_set(r->err, E_INVALID, "%.*s", STR_ARG(strbuf_str(&line)));
    strbuf_done(&line);
    return E_INVALID;
}

int pb_text_expected(struct pb_reader *r, const struct text_node *n, const char *what)
{
    return pb_text_fail(r, n, "%s expected, not %s", what, text_kind_name(n->kind));
}

/* --- values ------------------------------------------------------------------------------- */

static bool is_type(const ProtobufCFieldDescriptor *f, const char *full_name)
{
    return f->type == PROTOBUF_C_TYPE_MESSAGE &&
           strcmp(((const ProtobufCMessageDescriptor *)f->descriptor)->name, full_name) == 0;
}

/* One value of the field's type, written to `to`, which holds the default. Null leaves that. */
static int read_value(struct pb_reader *r, const struct text_node *n,
                      const ProtobufCFieldDescriptor *f, void *to)
{
    ProtobufCMessage *m;

    if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
        m = pb_new(f->descriptor, r->arena);
        *(ProtobufCMessage **)to = m;
        if (n->kind == TEXT_NULL && !is_type(f, "google.protobuf.Value")) {
            return 0;
        }
        return pb_text_read_message(r, n, m);
    }
    if (n->kind != TEXT_NULL) {
        return pb_text_read_scalar(r, n, f, to);
    }
    if (f->type == PROTOBUF_C_TYPE_STRING) {
        *(char **)to = arena_strdup(r->arena, "");
    }
    return 0;
}

static int read_map(struct pb_reader *r, const struct text_node *n,
                    const ProtobufCFieldDescriptor *f, ProtobufCMessage *m)
{
    const ProtobufCMessageDescriptor *entry = f->descriptor;
    struct pb_step step = {.up = r->path};
    ProtobufCMessage **entries;

    if (n->kind != TEXT_MAP) {
        return pb_text_expected(r, n, "object");
    }
    entries = ARENA_ARRAY(r->arena, ProtobufCMessage *, n->count + 1);
    r->path = &step;
    for (size_t i = 0; i < n->count; i++) {
        const struct text_member *member = &n->members[i];
        struct text_node key = {.kind = TEXT_STRING,
                                .line = member->line,
                                .column = member->column,
                                .scalar = member->key};

        step.key = member->key;
        entries[i] = pb_new(entry, r->arena);
        if (read_value(r, &key, &entry->fields[0], pb_at(entries[i], &entry->fields[0])) != 0 ||
            read_value(r, member->value, &entry->fields[1], pb_at(entries[i], &entry->fields[1])) !=
                0) {
            return E_INVALID;
        }
    }
    r->path = step.up;
    *pb_count(m, f) = n->count;
    *(ProtobufCMessage ***)pb_at(m, f) = entries;
    return 0;
}

/* Lists in lists are one list, except where the elements may be lists themselves. */
static bool can_flatten(const ProtobufCFieldDescriptor *f)
{
    return !is_type(f, "google.protobuf.Value") && !is_type(f, "google.protobuf.ListValue");
}

static size_t count_elements(const struct text_node *n, bool flatten)
{
    size_t count = 0;

    if (n->kind != TEXT_LIST) {
        return 1;
    }
    for (size_t i = 0; i < n->count; i++) {
        count += flatten ? count_elements(n->items[i], flatten) : 1;
    }
    return count;
}

struct element_reader {
    const ProtobufCFieldDescriptor *field;
    char *elements;
    size_t width;
    struct pb_step step; /* index of the next one */
};

static int read_elements(struct pb_reader *r, const struct text_node *n, struct element_reader *e)
{
    for (size_t i = 0; i < n->count; i++) {
        const struct text_node *item = n->items[i];
        int result;

        if (item->kind == TEXT_LIST && can_flatten(e->field)) {
            result = read_elements(r, item, e);
        } else {
            result = read_value(r, item, e->field, e->elements + e->step.index * e->width);
            e->step.index++;
        }
        if (result != 0) {
            return E_INVALID;
        }
    }
    return 0;
}

static int read_repeated(struct pb_reader *r, const struct text_node *n,
                         const ProtobufCFieldDescriptor *f, ProtobufCMessage *m)
{
    size_t count = count_elements(n, can_flatten(f));
    struct element_reader e = {
        .field = f, .width = pb_value_bytes(f->type), .step = {.up = r->path}};
    int result;

    e.elements = arena_calloc(r->arena, count + 1, e.width);
    *pb_count(m, f) = count;
    *pb_elements(m, f) = e.elements;
    if (n->kind != TEXT_LIST) {
        return read_value(r, n, f, e.elements); /* one value instead of a list of one */
    }
    r->path = &e.step;
    result = read_elements(r, n, &e);
    if (result == 0) {
        r->path = e.step.up;
    }
    return result;
}

/* --- fields ------------------------------------------------------------------------------- */

static int read_field(struct pb_reader *r, const struct text_node *n,
                      const ProtobufCFieldDescriptor *f, ProtobufCMessage *m)
{
    void *to = pb_at(m, f);

    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        return pb_field_is_map(f) ? read_map(r, n, f, m) : read_repeated(r, n, f, m);
    }
    if (pb_is_oneof(f)) {
        if (*pb_oneof_case(m, f) != 0) {
            return pb_text_fail(r, n, "another member of its oneof is set already");
        }
        *pb_oneof_case(m, f) = f->id;
        memset(to, 0, pb_value_bytes(f->type));
    }
    return read_value(r, n, f, to);
}

/* lowerCamelCase of a field's name: an underscore goes, the letter after it becomes upper case. */
static bool is_camel_case_of(const char *field, struct str name)
{
    bool is_word_start = false;
    size_t i = 0;

    for (; *field != '\0'; field++) {
        char c = *field;

        if (c == '_') {
            is_word_start = true;
            continue;
        }
        if (is_word_start && c >= 'a' && c <= 'z') {
            c = (char)(c - 'a' + 'A');
        }
        is_word_start = false;
        if (i == name.len || name.ptr[i] != c) {
            return false;
        }
        i++;
    }
    return i == name.len;
}

static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *d,
                                                  struct str name)
{
    for (unsigned i = 0; name.len > 0 && i < d->n_fields; i++) {
        const char *field = d->fields[i].name;

        if (field[0] == name.ptr[0] && /* the same in both spellings */
            (str_eq(str_c(field), name) || is_camel_case_of(field, name))) {
            return &d->fields[i];
        }
    }
    return NULL;
}

/* Whether this text sets a field, of which only the kind is known, to what it is anyway. */
static bool text_is_default(const struct text_node *n, const struct known_field *k)
{
    if (n->kind == TEXT_NULL) {
        return true;
    }
    if (n->kind == TEXT_LIST || (n->kind == TEXT_MAP && (k->flags & KNOWN_MAP) != 0)) {
        return n->count == 0;
    }
    if (k->kind == KNOWN_MESSAGE || k->oneof != 0 || (k->flags & KNOWN_REPEATED) != 0) {
        return false;
    }
    return (n->kind == TEXT_BOOL && !n->boolean) ||
           (n->kind != TEXT_BOOL && n->kind != TEXT_MAP &&
            (n->scalar.len == 0 || str_eq(n->scalar, STR("0"))));
}

static void keep_unknown(struct pb_reader *r, ProtobufCMessage *m, uint32_t number,
                         struct str content)
{
    ProtobufCMessageUnknownField *fields =
        ARENA_ARRAY(r->arena, ProtobufCMessageUnknownField, m->n_unknown_fields + 1);
    uint8_t *data = arena_alloc(r->arena, content.len + 1);

    CHECK(content.len < 128); /* one byte of length */
    data[0] = (uint8_t)content.len;
    if (content.len > 0) {
        memcpy(data + 1, content.ptr, content.len);
    }
    if (m->n_unknown_fields > 0) {
        memcpy(fields, m->unknown_fields, m->n_unknown_fields * sizeof(*fields));
    }
    fields[m->n_unknown_fields++] = (ProtobufCMessageUnknownField){
        number, PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, content.len + 1, data};
    m->unknown_fields = fields;
}

/* An official field that is not in the subset stays visible as an unknown field without its
 * contents, a key that nobody knows as one with its name. */
static int read_unknown(struct pb_reader *r, const struct text_member *member, ProtobufCMessage *m)
{
    const struct known_message *known = known_message_find(m->descriptor->name);
    const struct known_field *k =
        known != NULL ? known_field_by_name(known, member->key.ptr, member->key.len) : NULL;
    struct text_node at = {.line = member->line, .column = member->column};

    if (k != NULL) {
        if (!text_is_default(member->value, k)) {
            keep_unknown(r, m, k->number, STR_NONE);
        }
        return pb_text_check_known(r, member->value, k);
    }
    if (r->options->allow_unknown) {
        keep_unknown(r, m, PB_UNKNOWN_KEY, str_sub(member->key, 0, 127));
        return 0;
    }
    return pb_text_fail(r, &at, "no such field: '%.*s' in %s", STR_ARG(member->key),
                        m->descriptor->name);
}

static int read_member(struct pb_reader *r, const struct text_member *member, ProtobufCMessage *m,
                       uint64_t *seen)
{
    const ProtobufCFieldDescriptor *f = find_field(m->descriptor, member->key);
    struct pb_step step = {.up = r->path};
    size_t index;
    int result;

    if (f == NULL) {
        return read_unknown(r, member, m);
    }
    if (member->value->kind == TEXT_NULL && !is_type(f, "google.protobuf.Value")) {
        return 0; /* as absent */
    }
    index = (size_t)(f - m->descriptor->fields);
    step.field = f->name;
    r->path = &step;
    if ((seen[index / 64] & (uint64_t)1 << index % 64) != 0) {
        return pb_text_fail(r, member->value, "given twice");
    }
    seen[index / 64] |= (uint64_t)1 << index % 64;
    result = read_field(r, member->value, f, m);
    if (result == 0) {
        r->path = step.up;
    }
    return result;
}

int pb_text_read_fields(struct pb_reader *r, const struct text_node *n, ProtobufCMessage *m,
                        bool is_any)
{
    uint64_t seen[4] = {0}; /* of the fields by index: no message of the subset has 256 */

    CHECK(m->descriptor->n_fields <= sizeof(seen) * 8);
    if (n->kind != TEXT_MAP) {
        return pb_text_expected(r, n, "object");
    }
    for (size_t i = 0; i < n->count; i++) {
        if (is_any && str_eq(n->members[i].key, STR("@type"))) {
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
    struct pb_reader r = {.arena = a, .err = reterr, .options = o, .depth = o->depth};
    ProtobufCMessage *m = pb_new(d, a);
    int result = pb_text_read_message(&r, node, m);

    if (result == 0) {
        *ret_message = m;
    }
    return result;
}
