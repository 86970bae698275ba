/* Runtime layers. As Envoy: nested structs spell the parts of a key, and of two layers the later
 * wins. Main thread. */

#include "config/parse/runtime.h"

#include "config/parse/check.h"

typedef Envoy__Config__Bootstrap__V3__RuntimeLayer Layer;

/* As Envoy: also as text, in any case. */
static int read_switch(struct parse_context *ctx, const char *key, const Google__Protobuf__Value *v,
                       bool *ret)
{
    if (v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE) {
        *ret = v->bool_value;
        return 0;
    }
    if (v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE) {
        *ret = str_eq_nocase(str_c(v->string_value), STR("true"));
        if (*ret || str_eq_nocase(str_c(v->string_value), STR("false"))) {
            return 0;
        }
    }
    return parse_fail(ctx, E_INVALID, key, "value must be true or false");
}

static int read_entry(struct parse_context *ctx, const Layer *layer, const char *key,
                      const Google__Protobuf__Value *v, struct runtime *ret)
{
    if (v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE ||
        v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE ||
        v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND__NOT_SET) {
        return parse_fail(ctx, E_INVALID, NULL, "Invalid runtime entry value for %s", key);
    }
    if (str_eq(str_c(key), STR("nuncio.replay_unprocessed_streams"))) {
        return read_switch(ctx, key, v, &ret->replays_unprocessed_streams);
    }
    return parse_report_unsupported(ctx, &layer->base, key);
}

/* Depth was bounded when the message was unpacked. */
static int read_struct(struct parse_context *ctx, const Layer *layer, const char *prefix,
                       const Google__Protobuf__Struct *m, struct runtime *ret)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < m->n_fields; i++) {
        const Google__Protobuf__Value *v = m->fields[i]->value;
        const char *key = arena_printf(parse_arena(ctx), "%s%s%s", prefix,
                                       prefix[0] != '\0' ? "." : "", m->fields[i]->key)
                              .ptr;

        if (v == NULL) {
            continue;
        }
        r = v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE
                ? read_struct(ctx, layer, key, v->struct_value, ret)
                : read_entry(ctx, layer, key, v, ret);
    }
    return r;
}

static int read_layer(struct parse_context *ctx, const Layer *m, struct runtime *ret)
{
    size_t at;
    int r = parse_check_not_empty(ctx, "name", m->name);

    if (r < 0) {
        return r;
    }
    if (m->layer_specifier_case !=
        ENVOY__CONFIG__BOOTSTRAP__V3__RUNTIME_LAYER__LAYER_SPECIFIER_STATIC_LAYER) {
        /* Another kind of layer is an unknown field here, and has been reported. */
        return m->base.n_unknown_fields > 0
                   ? 0
                   : parse_fail(ctx, E_INVALID, "layer_specifier", "value is required");
    }
    at = path_push(ctx, "static_layer");
    r = read_struct(ctx, m, "", m->static_layer, ret);
    path_pop(ctx, at);
    return r;
}

static int check_name_is_new(struct parse_context *ctx,
                             const Envoy__Config__Bootstrap__V3__LayeredRuntime *m, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (str_eq(str_c(m->layers[i]->name), str_c(m->layers[n]->name))) {
            return parse_fail(ctx, E_INVALID, "name", "Duplicate layer name: %s",
                              m->layers[n]->name);
        }
    }
    return 0;
}

int parse_layered_runtime(struct parse_context *ctx,
                          const Envoy__Config__Bootstrap__V3__LayeredRuntime *m,
                          struct runtime *ret)
{
    *ret = (struct runtime){.replays_unprocessed_streams = true};
    for (size_t i = 0; m != NULL && i < m->n_layers; i++) {
        size_t at = path_push_index(ctx, "layers", i);
        int r = read_layer(ctx, m->layers[i], ret);

        if (r == 0) {
            r = check_name_is_new(ctx, m, i);
        }
        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    return 0;
}
