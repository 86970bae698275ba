/*
 * Text of official fields that are not in the subset: it is not kept, but what no Envoy would take
 * is refused here too: a list where a message belongs, a field that does not exist. Any thread.
 */

#include "config/pb_arena.h"
#include "config/pb_registry.h"
#include "config/pb_text_internal.h"
#include "config/text_node.h"
#include "proto/known_fields.h"

static int check_fields(struct pb_reader *r, const struct text_node *n,
                        const struct known_message *m, bool is_any);

static ProtobufCType scalar_type(const struct known_field *k)
{
    static const ProtobufCType TYPES[] = {
        [KNOWN_DOUBLE] = PROTOBUF_C_TYPE_DOUBLE,     [KNOWN_FLOAT] = PROTOBUF_C_TYPE_FLOAT,
        [KNOWN_INT32] = PROTOBUF_C_TYPE_INT32,       [KNOWN_INT64] = PROTOBUF_C_TYPE_INT64,
        [KNOWN_UINT32] = PROTOBUF_C_TYPE_UINT32,     [KNOWN_UINT64] = PROTOBUF_C_TYPE_UINT64,
        [KNOWN_SINT32] = PROTOBUF_C_TYPE_SINT32,     [KNOWN_SINT64] = PROTOBUF_C_TYPE_SINT64,
        [KNOWN_FIXED32] = PROTOBUF_C_TYPE_FIXED32,   [KNOWN_FIXED64] = PROTOBUF_C_TYPE_FIXED64,
        [KNOWN_SFIXED32] = PROTOBUF_C_TYPE_SFIXED32, [KNOWN_SFIXED64] = PROTOBUF_C_TYPE_SFIXED64,
        [KNOWN_BOOL] = PROTOBUF_C_TYPE_BOOL,         [KNOWN_STRING] = PROTOBUF_C_TYPE_STRING,
        [KNOWN_BYTES] = PROTOBUF_C_TYPE_BYTES,
    };

    return TYPES[k->kind];
}

static int check_scalar(struct pb_reader *r, const struct text_node *n, const struct known_field *k)
{
    ProtobufCFieldDescriptor f = {0};
    union {
        uint64_t number;
        double fraction;
        char *text;
        ProtobufCBinaryData bytes;
    } to;

    if (k->kind == KNOWN_ENUM) { /* its names are not known */
        return n->kind == TEXT_STRING || n->kind == TEXT_NUMBER ? 0
                                                                : pb_text_expected(r, n, "enum");
    }
    f.type = scalar_type(k);
    return pb_text_read_scalar(r, n, &f, &to);
}

static int check_message(struct pb_reader *r, const struct text_node *n,
                         const struct known_message *m)
{
    const char *name = known_message_name(m);
    const ProtobufCMessageDescriptor *d = pb_find_message(str_c(name));

    if (d == NULL && str_starts(str_c(name), STR("google.protobuf."))) {
        return 0; /* a form of its own (FieldMask) */
    }
    return d != NULL ? pb_text_read_message(r, n, pb_new(d, r->arena))
                     : check_fields(r, n, m, false);
}

static int check_value(struct pb_reader *r, const struct text_node *n, const struct known_field *k)
{
    if (n->kind == TEXT_NULL) {
        return 0;
    }
    return k->kind == KNOWN_MESSAGE ? check_message(r, n, known_field_message(k))
                                    : check_scalar(r, n, k);
}

static int check_entries(struct pb_reader *r, const struct text_node *n,
                         const struct known_field *k)
{
    struct pb_step step = {.up = r->path};
    int result = 0;

    if (n->kind != TEXT_MAP) {
        return pb_text_expected(r, n, "object");
    }
    r->path = &step;
    for (size_t i = 0; i < n->count && result == 0; i++) {
        step.key = n->members[i].key;
        result = check_value(r, n->members[i].value, k);
    }
    r->path = step.up;
    return result;
}

static int check_elements(struct pb_reader *r, const struct text_node *n,
                          const struct known_field *k)
{
    struct pb_step step = {.up = r->path};
    int result = 0;

    if (n->kind != TEXT_LIST) {
        return check_value(r, n, k); /* one value instead of a list of one */
    }
    r->path = &step;
    for (size_t i = 0; i < n->count && result == 0; i++) {
        step.index = i;
        result = n->items[i]->kind == TEXT_LIST ? check_elements(r, n->items[i], k)
                                                : check_value(r, n->items[i], k);
    }
    r->path = step.up;
    return result;
}

int pb_text_check_known(struct pb_reader *r, const struct text_node *n, const struct known_field *k)
{
    struct pb_step step = {.up = r->path, .field = known_field_name(k)};
    int result;

    if (n->kind == TEXT_NULL) {
        return 0;
    }
    r->path = &step;
    if ((k->flags & KNOWN_MAP) != 0) {
        result = check_entries(r, n, k);
    } else if ((k->flags & KNOWN_REPEATED) != 0) {
        result = check_elements(r, n, k);
    } else {
        result = check_value(r, n, k);
    }
    r->path = step.up;
    return result;
}

static int check_fields(struct pb_reader *r, const struct text_node *n,
                        const struct known_message *m, bool is_any)
{
    int result = 0;

    if (n->kind != TEXT_MAP) {
        return pb_text_expected(r, n, "object");
    }
    for (size_t i = 0; i < n->count && result == 0; i++) {
        const struct text_member *member = &n->members[i];
        const struct known_field *k = known_field_by_name(m, member->key.ptr, member->key.len);
        struct text_node at = {.line = member->line, .column = member->column};

        if (is_any && str_eq(member->key, STR("@type"))) {
            continue;
        }
        if (k != NULL) {
            result = pb_text_check_known(r, member->value, k);
        } else if (!r->options->allow_unknown) {
            result = pb_text_fail(r, &at, "no such field: '%.*s' in %s", STR_ARG(member->key),
                                  known_message_name(m));
        }
    }
    return result;
}

int pb_text_check_known_any(struct pb_reader *r, const struct text_node *n, struct str type_name)
{
    const struct known_message *m = known_message_find(arena_str(r->arena, type_name).ptr);

    return m != NULL ? check_fields(r, n, m, true) : 0;
}
