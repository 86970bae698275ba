/* The extension table as configuration sees it. Main thread. Holds no table of its own. */

#include "config/parse/extension.h"

#include <string.h>

#include "config/any.h"
#include "config/parse/check.h"
#include "dataplane/base/map.h"
#include "proto/envoy/config/route/v3/route_components.pb-c.h"

/* --- the table ------------------------------------------------------------------------------ */

static bool descriptor_is(const ProtobufCMessageDescriptor *d, struct str type_name)
{
    return d != NULL && str_eq(str_c(d->name), type_name);
}

const struct extension *extension_find(const struct extension_registry *r,
                                       enum extension_category category, struct str type_name)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct extension *e = r->extensions[i];

        if (e->category == category && descriptor_is(e->descriptor, type_name)) {
            return e;
        }
    }
    return NULL;
}

const struct extension *extension_find_override(const struct extension_registry *r,
                                                enum extension_category category,
                                                struct str type_name)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct extension *e = r->extensions[i];

        if (e->category == category && descriptor_is(e->override_descriptor, type_name)) {
            return e;
        }
    }
    return NULL;
}

/* --- one extension -------------------------------------------------------------------------- */

static int parse_unknown_extension(struct parse_context *ctx, const char *name,
                                   struct str type_name)
{
    return parse_fail(ctx, E_UNSUPPORTED, NULL,
                      "Didn't find a registered implementation for '%s' with type URL: '%.*s'",
                      name, STR_ARG(type_name));
}

typedef int extension_parse_fn(struct parse_context *ctx, const ProtobufCMessage *msg,
                               const void **ret_config);

/* Unpacks and hands over; the path of the Any has been pushed. */
static int parse_any(struct parse_context *ctx, const Google__Protobuf__Any *any,
                     const ProtobufCMessageDescriptor *d, extension_parse_fn *parse,
                     const void **ret_config)
{
    struct arena scratch;
    ProtobufCMessage *msg = NULL;
    int r;

    arena_init(&scratch, NULL);
    r = any_unpack(ctx, any, d, &scratch, &msg);
    if (r == 0 && parse != NULL) {
        r = parse(ctx, msg, ret_config);
    }
    arena_done(&scratch);
    return r;
}

bool parse_extension_is_known(const struct parse_context *ctx, enum extension_category category,
                              const Google__Protobuf__Any *any)
{
    return any != NULL && extension_find(ctx->registry, category, any_type_name(any)) != NULL;
}

int parse_extension(struct parse_context *ctx, enum extension_category category, const char *name,
                    const char *field, const Google__Protobuf__Any *any, struct filter_config *ret)
{
    struct str type_name = any != NULL ? any_type_name(any) : STR_NONE;
    const struct extension *ext = extension_find(ctx->registry, category, type_name);
    size_t at;
    int r;

    if (ext == NULL) {
        return parse_unknown_extension(ctx, name, type_name);
    }
    ret->name = parse_str(ctx, name);
    ret->ext = ext;
    at = path_push(ctx, field);
    r = parse_any(ctx, any, ext->descriptor, ext->parse, &ret->config);
    path_pop(ctx, at);
    return r;
}

int parse_typed_extension(struct parse_context *ctx, enum extension_category category,
                          const Envoy__Config__Core__V3__TypedExtensionConfig *m,
                          struct filter_config *ret)
{
    int r = parse_check_not_empty(ctx, "name", m->name);

    if (r == 0) {
        r = parse_check_present(ctx, "typed_config", m->typed_config);
    }
    return r == 0 ? parse_extension(ctx, category, m->name, "typed_config", m->typed_config, ret)
                  : r;
}

int parse_transport_socket(struct parse_context *ctx, enum extension_category category,
                           const Envoy__Config__Core__V3__TransportSocket *m,
                           const struct extension **ret_ext, const void **ret_config)
{
    struct filter_config c = {.name = STR_NONE};
    bool is_typed;
    size_t at;
    int r;

    *ret_ext = NULL;
    *ret_config = NULL;
    if (m == NULL) {
        return 0;
    }
    at = path_push(ctx, "transport_socket");
    is_typed =
        m->config_type_case == ENVOY__CONFIG__CORE__V3__TRANSPORT_SOCKET__CONFIG_TYPE_TYPED_CONFIG;
    r = parse_check_not_empty(ctx, "name", m->name);
    if (r == 0) {
        r = parse_extension(ctx, category, m->name, "typed_config",
                            is_typed ? m->typed_config : NULL, &c);
    }
    path_pop(ctx, at);
    if (r == 0) {
        *ret_ext = c.ext;
        *ret_config = c.config;
    }
    return r;
}

/* --- per-route configuration ---------------------------------------------------------------- */

/* An optional one of a type that is not there leaves `ret` as it was. */
static int parse_override(struct parse_context *ctx, const char *filter_name,
                          const Google__Protobuf__Any *any, bool is_optional,
                          struct filter_override *ret)
{
    struct str type_name = any != NULL ? any_type_name(any) : STR_NONE;
    const struct extension *ext =
        extension_find_override(ctx->registry, EXT_HTTP_FILTER, type_name);

    if (ext != NULL) {
        ret->ext = ext;
        return parse_any(ctx, any, ext->override_descriptor, ext->parse_override, &ret->config);
    }
    if (extension_find(ctx->registry, EXT_HTTP_FILTER, type_name) != NULL) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "The filter %s doesn't support virtual host or route specific "
                          "configurations",
                          filter_name);
    }
    return is_optional ? 0 : parse_unknown_extension(ctx, filter_name, type_name);
}

static int parse_wrapped_override(struct parse_context *ctx, const char *filter_name,
                                  const Envoy__Config__Route__V3__FilterConfig *m,
                                  struct filter_override *ret)
{
    size_t at;
    int r;

    if (m->disabled) {
        ret->disabled = true;
        return 0;
    }
    if (m->config == NULL) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "Empty route/virtual host per filter configuration for %s filter",
                          filter_name);
    }
    if (m->config->type_url[0] == '\0') {
        ret->is_enabled_only = true;
        return 0;
    }
    at = path_push(ctx, "config");
    r = parse_override(ctx, filter_name, m->config, m->is_optional, ret);
    path_pop(ctx, at);
    return r;
}

static int parse_map_override(struct parse_context *ctx, const char *filter_name,
                              const Google__Protobuf__Any *any, struct filter_override *ret)
{
    const ProtobufCMessageDescriptor *wrapper =
        &envoy__config__route__v3__filter_config__descriptor;
    struct arena scratch;
    ProtobufCMessage *msg = NULL;
    int r;

    ret->filter_name = parse_str(ctx, filter_name);
    if (any == NULL || !str_eq(any_type_name(any), str_c(wrapper->name))) {
        return parse_override(ctx, filter_name, any, false, ret);
    }
    arena_init(&scratch, NULL);
    r = any_unpack(ctx, any, wrapper, &scratch, &msg);
    if (r == 0) {
        r = parse_wrapped_override(ctx, filter_name,
                                   (const Envoy__Config__Route__V3__FilterConfig *)msg, ret);
    }
    arena_done(&scratch);
    return r;
}

/* Key and value of a map<string, Any> entry: every such entry type has them as its two fields. */
static void map_entry_read(const ProtobufCMessage *entry, const char **ret_key,
                           const Google__Protobuf__Any **ret_value)
{
    const ProtobufCFieldDescriptor *fields = entry->descriptor->fields;

    CHECK(entry->descriptor->n_fields == 2);
    memcpy(ret_key, (const char *)entry + fields[0].offset, sizeof(*ret_key));
    memcpy(ret_value, (const char *)entry + fields[1].offset, sizeof(*ret_value));
}

/* Says something: not an optional one of an unknown type, which counts as not written. */
static bool override_is_set(const struct filter_override *o)
{
    return o->ext != NULL || o->disabled || o->is_enabled_only;
}

int parse_filter_overrides(struct parse_context *ctx, size_t n, ProtobufCMessage *const *entries,
                           struct filter_overrides *ret)
{
    struct filter_override *items;
    struct map seen;
    size_t count = 0;
    int r = 0;

    if (n == 0) {
        return 0;
    }
    items = ARENA_ARRAY(parse_arena(ctx), struct filter_override, n);
    map_init(&seen);
    for (size_t i = n; r == 0 && i-- > 0;) { /* of equal keys the last one counts: met first */
        const Google__Protobuf__Any *any;
        const char *key;
        size_t at;

        map_entry_read(entries[i], &key, &any);
        if (map_put(&seen, str_c(key), entries[i]) != NULL) {
            continue;
        }
        at = path_push_key(ctx, "typed_per_filter_config", key);
        r = parse_map_override(ctx, key, any, &items[count]);
        path_pop(ctx, at);
        count += r == 0 && override_is_set(&items[count]);
    }
    map_done(&seen);
    if (r == 0) {
        *ret = (struct filter_overrides){items, count};
    }
    return r;
}
