/* Any and TypedStruct. Main thread. */

#include "config/any.h"

#include "config/pb_registry.h"
#include "config/pb_text.h"
#include "config/pb_unpack.h"
#include "proto/udpa/type/v1/typed_struct.pb-c.h"

static bool is_typed_struct(struct str type_name)
{
    return str_eq(type_name, STR("udpa.type.v1.TypedStruct")) ||
           str_eq(type_name, STR("xds.type.v3.TypedStruct"));
}

/* type_url is field 1 of both TypedStructs: found without unpacking. */
static struct str typed_struct_type_url(ProtobufCBinaryData value)
{
    const uint8_t *p = value.data;
    const uint8_t *end = p + value.len;

    while (p < end) {
        uint8_t tag = *p++;
        size_t len = 0;
        unsigned shift = 0;

        if ((tag & 7) != 2) {
            break;
        }
        do {
            if (p == end || shift > 28) {
                return STR_NONE;
            }
            len |= (size_t)(*p & 0x7f) << shift;
            shift += 7;
        } while ((*p++ & 0x80) != 0);
        if (len > (size_t)(end - p)) {
            break;
        }
        if (tag >> 3 == 1) {
            return str_n((const char *)p, len);
        }
        p += len;
    }
    return STR_NONE;
}

struct str any_type_name(const Google__Protobuf__Any *any)
{
    struct str name = pb_type_name(str_c(any->type_url));

    return is_typed_struct(name) ? pb_type_name(typed_struct_type_url(any->value)) : name;
}

/* --- Struct to text nodes ----------------------------------------------------------------- */

static const struct text_node *node_of_value(struct arena *a, const Google__Protobuf__Value *v);

static const struct text_node *node_of_struct(struct arena *a, const Google__Protobuf__Struct *s)
{
    struct text_node *n = ARENA_NEW(a, struct text_node);
    struct text_member *members = ARENA_ARRAY(a, struct text_member, s->n_fields + 1);

    n->kind = TEXT_MAP;
    n->members = members;
    n->count = s->n_fields;
    for (size_t i = 0; i < s->n_fields; i++) {
        members[i].key = str_c(s->fields[i]->key);
        members[i].value = node_of_value(a, s->fields[i]->value);
    }
    return n;
}

static const struct text_node *node_of_list(struct arena *a, const Google__Protobuf__ListValue *l)
{
    struct text_node *n = ARENA_NEW(a, struct text_node);
    const struct text_node **items =
        (const struct text_node **)arena_calloc(a, l->n_values + 1, sizeof(struct text_node *));

    n->kind = TEXT_LIST;
    n->items = items;
    n->count = l->n_values;
    for (size_t i = 0; i < l->n_values; i++) {
        items[i] = node_of_value(a, l->values[i]);
    }
    return n;
}

static const struct text_node *node_of_value(struct arena *a, const Google__Protobuf__Value *v)
{
    struct text_node *n;

    if (v != NULL && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE) {
        return node_of_struct(a, v->struct_value);
    }
    if (v != NULL && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE) {
        return node_of_list(a, v->list_value);
    }
    n = ARENA_NEW(a, struct text_node);
    switch (v != NULL ? v->kind_case : GOOGLE__PROTOBUF__VALUE__KIND__NOT_SET) {
    case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
        n->kind = TEXT_STRING;
        n->scalar = str_c(v->string_value);
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
        n->kind = TEXT_BOOL;
        n->boolean = v->bool_value;
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
        n->kind = TEXT_NUMBER;
        n->scalar = arena_printf(a, "%.17g", v->number_value);
        break;
    default:
        n->kind = TEXT_NULL;
        break;
    }
    return n;
}

static int unpack_typed_struct(struct parse_context *ctx, const Google__Protobuf__Any *any,
                               const ProtobufCMessageDescriptor *d, struct arena *scratch,
                               ProtobufCMessage **ret_message)
{
    static const Google__Protobuf__Struct nothing = GOOGLE__PROTOBUF__STRUCT__INIT;
    struct pb_text_options options = {.allow_unknown = !ctx->rejects_unknown, .depth = ctx->depth};
    const Udpa__Type__V1__TypedStruct *ts;
    ProtobufCMessage *m = NULL;
    struct error err;
    int r;

    /* Both TypedStructs have the same fields: one layout reads either. */
    error_init(&err);
    r = pb_unpack_at(&udpa__type__v1__typed_struct__descriptor, any->value.data, any->value.len,
                     ctx->depth, scratch, &m, &err);
    if (r == 0) {
        ts = (const Udpa__Type__V1__TypedStruct *)m;
        r = pb_from_text(node_of_struct(scratch, ts->value != NULL ? ts->value : &nothing), d,
                         &options, scratch, ret_message, &err);
    }
    if (r != 0) {
        r = parse_fail(ctx, r, NULL, "%s", error_message(&err));
    }
    error_done(&err);
    return r;
}

int any_unpack(struct parse_context *ctx, const Google__Protobuf__Any *any,
               const ProtobufCMessageDescriptor *d, struct arena *scratch,
               ProtobufCMessage **ret_message)
{
    struct error err;
    int r;

    ctx->depth++;
    if (is_typed_struct(pb_type_name(str_c(any->type_url)))) {
        r = unpack_typed_struct(ctx, any, d, scratch, ret_message);
    } else {
        error_init(&err);
        r = pb_unpack_at(d, any->value.data, any->value.len, ctx->depth, scratch, ret_message,
                         &err);
        if (r != 0) {
            r = parse_fail(ctx, r, NULL, "%s", error_message(&err));
        }
        error_done(&err);
    }
    if (r == 0) {
        r = parse_check_tree(ctx, *ret_message);
    }
    ctx->depth--;
    return r;
}
