/* Runtime layers. As Envoy: nested structs spell the parts of a key, a struct with a numerator or
 * a denominator is a fraction. Main thread. */

#include "config/parse/runtime.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/parse/check.h"
#include "config/parse/core.h"
#include "dataplane/base/map.h"

typedef Envoy__Config__Bootstrap__V3__RuntimeLayer Layer;

/* Free names are anybody's, these are Envoy's own switches. Of them nuncio has only the limit of a
 * listener's connections. */
static const struct str ENVOY_PREFIXES[] = {
    {"envoy.", 6},
    {"re2.", 4},
};

struct layer_reader {
    struct parse_context *ctx;
    const ProtobufCMessage *message; /* that holds the values */
    struct runtime_entry *entries;
    size_t count;
    size_t cap;
    struct map keys; /* read so far */
};

static bool is_envoys_own(struct str key)
{
    if (str_starts(key, STR("envoy.resource_limits.listener.")) &&
        str_ends(key, STR(".connection_limit"))) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(ENVOY_PREFIXES); i++) {
        if (str_starts(key, ENVOY_PREFIXES[i])) {
            return true;
        }
    }
    return false;
}

/* The shortest digits that read back as the number; exponents where that is shorter still, except
 * for whole numbers beyond 32 bits, which stay whole (as Envoy's reader leaves them). */
static struct str number_text(struct parse_context *ctx, double v)
{
    char exponent[40];
    char fixed[64];
    int digits = 0;
    int len;

    if (v == floor(v) && fabs(v) > INT32_MAX && fabs(v) < 9007199254740992.0) {
        return arena_printf(parse_arena(ctx), "%.0f", v);
    }
    do {
        (void)snprintf(exponent, sizeof(exponent), "%.*e", digits++, v);
    } while (digits < 17 && strtod(exponent, NULL) != v);
    if (fabs(v) >= 1e17 || (v != 0 && fabs(v) < 1e-17)) {
        return arena_str(parse_arena(ctx), str_c(exponent));
    }
    for (int decimals = 0; decimals < 20; decimals++) {
        len = snprintf(fixed, sizeof(fixed), "%.*f", decimals, v);
        if (strtod(fixed, NULL) == v && len <= (int)str_c(exponent).len) {
            return arena_str(parse_arena(ctx), str_c(fixed));
        }
    }
    return arena_str(parse_arena(ctx), str_c(exponent));
}

static int add_entry(struct layer_reader *lr, struct str key, struct str text, bool is_struct)
{
    struct runtime_entry *e;

    if (map_get(&lr->keys, key) != NULL) {
        return 0; /* as Envoy: the first of equal keys */
    }
    if (lr->count == lr->cap) {
        struct runtime_entry *more;

        lr->cap = lr->cap > 0 ? lr->cap * 2 : 16;
        more = ARENA_ARRAY(parse_arena(lr->ctx), struct runtime_entry, lr->cap);
        if (lr->count > 0) {
            memcpy(more, lr->entries, lr->count * sizeof(*more));
        }
        lr->entries = more;
    }
    e = &lr->entries[lr->count++];
    e->key = key;
    runtime_value_read(text, &e->value);
    e->value.is_fraction &= is_struct; /* as Envoy: in files text may be a fraction, not here */
    (void)map_put(&lr->keys, key, lr); /* any pointer: a set */
    return is_envoys_own(key) ? parse_report_unsupported(lr->ctx, lr->message, key.ptr) : 0;
}

static const Google__Protobuf__Value *find_field(const Google__Protobuf__Struct *m, struct str name)
{
    for (size_t i = 0; i < m->n_fields; i++) {
        if (str_eq(str_c(m->fields[i]->key), name)) {
            return m->fields[i]->value;
        }
    }
    return NULL;
}

static struct str fraction_member(struct layer_reader *lr, const Google__Protobuf__Value *v)
{
    if (v != NULL && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE) {
        return arena_printf(parse_arena(lr->ctx), "%.0f", v->number_value);
    }
    return v != NULL && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE
               ? parse_str(lr->ctx, v->string_value)
               : STR_NONE;
}

/* Written as JSON, which runtime_value_read understands. */
static struct str fraction_text(struct layer_reader *lr, const Google__Protobuf__Struct *m)
{
    struct str numerator = fraction_member(lr, find_field(m, STR("numerator")));
    struct str denominator = fraction_member(lr, find_field(m, STR("denominator")));
    struct arena *a = parse_arena(lr->ctx);

    if (denominator.len == 0) {
        return arena_printf(a, "{\"numerator\":%.*s}", STR_ARG(numerator));
    }
    return arena_printf(a, "{\"numerator\":%.*s,\"denominator\":\"%.*s\"}",
                        STR_ARG(numerator.len > 0 ? numerator : STR("0")), STR_ARG(denominator));
}

static bool is_leaf(const Google__Protobuf__Struct *m)
{
    return m->n_fields == 0 || find_field(m, STR("numerator")) != NULL ||
           find_field(m, STR("denominator")) != NULL;
}

static int read_struct(struct layer_reader *lr, struct str prefix,
                       const Google__Protobuf__Struct *m);

static int read_value(struct layer_reader *lr, struct str key, const Google__Protobuf__Value *v)
{
    switch (v->kind_case) {
    case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
        return add_entry(lr, key, parse_str(lr->ctx, v->string_value), false);
    case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
        return add_entry(lr, key, v->bool_value ? STR("true") : STR("false"), false);
    case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
        return add_entry(lr, key, number_text(lr->ctx, v->number_value), false);
    case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
        if (v->struct_value->n_fields == 0) {
            return add_entry(lr, key, STR("{}"), true);
        }
        return is_leaf(v->struct_value)
                   ? add_entry(lr, key, fraction_text(lr, v->struct_value), true)
                   : read_struct(lr, key, v->struct_value);
    default:
        return parse_fail(lr->ctx, E_INVALID, NULL, "Invalid runtime entry value for %.*s",
                          STR_ARG(key));
    }
}

/* Depth was bounded when the message was unpacked. */
static int read_struct(struct layer_reader *lr, struct str prefix,
                       const Google__Protobuf__Struct *m)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < m->n_fields; i++) {
        struct str key = arena_printf(parse_arena(lr->ctx), "%.*s%s%s", STR_ARG(prefix),
                                      prefix.len > 0 ? "." : "", m->fields[i]->key);

        if (m->fields[i]->value != NULL) {
            r = read_value(lr, key, m->fields[i]->value);
        }
    }
    return r;
}

/* The values in field `field` of `m`. */
static int read_entries(struct parse_context *ctx, const ProtobufCMessage *m, const char *field,
                        const Google__Protobuf__Struct *values,
                        const struct runtime_entry **ret_entries, size_t *ret_count)
{
    struct layer_reader lr = {.ctx = ctx, .message = m};
    size_t at = path_push(ctx, field);
    int r = 0;

    map_init(&lr.keys);
    if (values != NULL) {
        r = read_struct(&lr, STR(""), values);
    }
    map_done(&lr.keys);
    path_pop(ctx, at);
    *ret_entries = lr.entries;
    *ret_count = lr.count;
    return r;
}

int parse_runtime_resource(struct parse_context *ctx, const Envoy__Service__Runtime__V3__Runtime *m,
                           const struct runtime_entry **ret_entries, size_t *ret_count)
{
    return read_entries(ctx, &m->base, "layer", m->layer, ret_entries, ret_count);
}

static int read_rtds(struct parse_context *ctx,
                     const Envoy__Config__Bootstrap__V3__RuntimeLayer__RtdsLayer *m,
                     struct runtime_layer_config *ret)
{
    struct config_source *source = ARENA_NEW(parse_arena(ctx), struct config_source);
    size_t at = path_push(ctx, "rtds_layer");
    size_t inner = path_push(ctx, "rtds_config");
    static const Envoy__Config__Core__V3__ConfigSource none =
        ENVOY__CONFIG__CORE__V3__CONFIG_SOURCE__INIT;
    int r = parse_config_source(ctx, m->rtds_config != NULL ? m->rtds_config : &none, source);

    path_pop(ctx, inner);
    path_pop(ctx, at);
    ret->kind = RUNTIME_LAYER_RTDS;
    ret->resource_name = parse_str(ctx, m->name);
    ret->source = source;
    return r;
}

static int read_layer(struct parse_context *ctx, const Layer *m, struct runtime_layer_config *ret)
{
    int r = parse_check_not_empty(ctx, "name", m->name);

    if (r < 0) {
        return r;
    }
    ret->name = parse_str(ctx, m->name);
    switch (m->layer_specifier_case) {
    case ENVOY__CONFIG__BOOTSTRAP__V3__RUNTIME_LAYER__LAYER_SPECIFIER_STATIC_LAYER:
        ret->kind = RUNTIME_LAYER_STATIC;
        return read_entries(ctx, &m->base, "static_layer", m->static_layer, &ret->entries,
                            &ret->entry_count);
    case ENVOY__CONFIG__BOOTSTRAP__V3__RUNTIME_LAYER__LAYER_SPECIFIER_ADMIN_LAYER:
        ret->kind = RUNTIME_LAYER_ADMIN;
        return 0;
    case ENVOY__CONFIG__BOOTSTRAP__V3__RUNTIME_LAYER__LAYER_SPECIFIER_DISK_LAYER:
        ret->kind = RUNTIME_LAYER_DISK;
        ret->symlink_root = parse_str(ctx, m->disk_layer->symlink_root);
        ret->subdirectory = parse_str(ctx, m->disk_layer->subdirectory);
        ret->append_service_cluster = m->disk_layer->append_service_cluster;
        return 0;
    case ENVOY__CONFIG__BOOTSTRAP__V3__RUNTIME_LAYER__LAYER_SPECIFIER_RTDS_LAYER:
        return read_rtds(ctx, m->rtds_layer, ret);
    default:
        return parse_fail(ctx, E_INVALID, "layer_specifier", "value is required");
    }
}

static int check_against_earlier(struct parse_context *ctx,
                                 const Envoy__Config__Bootstrap__V3__LayeredRuntime *m, size_t n)
{
    const Layer *last = m->layers[n];

    for (size_t i = 0; i < n; i++) {
        if (str_eq(str_c(m->layers[i]->name), str_c(last->name))) {
            return parse_fail(ctx, E_INVALID, "name", "Duplicate layer name: %s", last->name);
        }
        if (last->layer_specifier_case ==
                ENVOY__CONFIG__BOOTSTRAP__V3__RUNTIME_LAYER__LAYER_SPECIFIER_ADMIN_LAYER &&
            m->layers[i]->layer_specifier_case == last->layer_specifier_case) {
            return parse_fail(ctx, E_INVALID, NULL,
                              "Too many admin layers specified in LayeredRuntime, at most one may "
                              "be specified");
        }
    }
    return 0;
}

int parse_layered_runtime(struct parse_context *ctx,
                          const Envoy__Config__Bootstrap__V3__LayeredRuntime *m,
                          struct runtime_config *ret)
{
    struct runtime_layer_config *layers =
        ARENA_ARRAY(parse_arena(ctx), struct runtime_layer_config, m != NULL ? m->n_layers + 1 : 1);

    *ret = (struct runtime_config){.layers = layers};
    if (m != NULL && m->n_layers == 0) { /* as Envoy */
        layers[0] = (struct runtime_layer_config){.name = STR(""), .kind = RUNTIME_LAYER_ADMIN};
        ret->count = 1;
    }
    for (size_t i = 0; m != NULL && i < m->n_layers; i++) {
        size_t at = path_push_index(ctx, "layers", i);
        int r = read_layer(ctx, m->layers[i], &layers[ret->count++]);

        if (r == 0) {
            r = check_against_earlier(ctx, m, i);
        }
        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    return 0;
}
