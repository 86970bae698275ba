/* Headers to add (with their formats) and to remove. Main thread. */

#include "config/parse/header_ops.h"

#include "config/parse/check.h"
#include "config/parse/core.h"
#include "config/parse/format.h"

#define HEADER_OPS_MAX 1000
#define HEADER_VALUE_MAX_BYTES 16384

static bool is_modifiable(struct str lower_name)
{
    return !str_starts(lower_name, STR(":")) && !str_eq(lower_name, STR("host"));
}

static int parse_append_action(struct parse_context *ctx,
                               const Envoy__Config__Core__V3__HeaderValueOption *m,
                               enum header_append_action *ret)
{
    int r = parse_check_enum(
        ctx, "append_action", (int)m->append_action,
        &envoy__config__core__v3__header_value_option__header_append_action__descriptor);

    if (r < 0) {
        return r;
    }
    switch (m->append_action) {
    case ENVOY__CONFIG__CORE__V3__HEADER_VALUE_OPTION__HEADER_APPEND_ACTION__ADD_IF_ABSENT:
        *ret = HEADER_ADD_IF_ABSENT;
        break;
    case ENVOY__CONFIG__CORE__V3__HEADER_VALUE_OPTION__HEADER_APPEND_ACTION__OVERWRITE_IF_EXISTS_OR_ADD:
        *ret = HEADER_OVERWRITE_IF_EXISTS_OR_ADD;
        break;
    case ENVOY__CONFIG__CORE__V3__HEADER_VALUE_OPTION__HEADER_APPEND_ACTION__OVERWRITE_IF_EXISTS:
        *ret = HEADER_OVERWRITE_IF_EXISTS;
        break;
    default:
        *ret = HEADER_APPEND_IF_EXISTS_OR_ADD;
        break;
    }
    if (m->append == NULL) {
        return 0;
    }
    if (*ret != HEADER_APPEND_IF_EXISTS_OR_ADD) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "Both append and append_action are set and it's not allowed");
    }
    if (!m->append->value) {
        *ret = HEADER_OVERWRITE_IF_EXISTS_OR_ADD;
    }
    return 0;
}

static int parse_header_add(struct parse_context *ctx,
                            const Envoy__Config__Core__V3__HeaderValueOption *m,
                            struct header_add *ret)
{
    const Envoy__Config__Core__V3__HeaderValue *h = m->header;
    size_t at;
    int r = parse_check_present(ctx, "header", h);

    if (r < 0) {
        return r;
    }
    at = path_push(ctx, "header");
    r = parse_check_header_name(ctx, "key", h->key);
    if (r == 0) {
        r = parse_check_max_bytes(ctx, "value", h->value, HEADER_VALUE_MAX_BYTES);
    }
    if (r == 0) {
        r = parse_check_header_text(ctx, "value", h->value);
    }
    if (r < 0) {
        return r;
    }
    ret->name = parse_lower(ctx, h->key);
    if (!is_modifiable(ret->name)) {
        return parse_fail(ctx, E_INVALID, "key", ":-prefixed or host headers may not be modified");
    }
    r = parse_format(ctx, "value", str_c(h->value), &ret->value);
    if (r < 0) {
        return r;
    }
    path_pop(ctx, at);
    ret->keep_empty_value = m->keep_empty_value;
    return parse_append_action(ctx, m, &ret->action);
}

static int parse_header_remove(struct parse_context *ctx, const struct header_ops_fields *f,
                               size_t i, struct str *ret)
{
    int r = parse_check_header_text(ctx, f->remove_field, f->remove[i]);

    if (r == 0 && !f->remove_may_be_empty) {
        r = parse_check_not_empty(ctx, f->remove_field, f->remove[i]);
    }
    if (r < 0) {
        return r;
    }
    *ret = parse_lower(ctx, f->remove[i]);
    if (!is_modifiable(*ret)) {
        return parse_fail(ctx, E_INVALID, f->remove_field,
                          ":-prefixed or host headers may not be removed");
    }
    return 0;
}

int parse_header_ops(struct parse_context *ctx, const struct header_ops_fields *f,
                     struct header_ops *ret)
{
    struct header_add *add = NULL;
    struct str *remove = NULL;

    if (f->add_count > HEADER_OPS_MAX) {
        return parse_fail(ctx, E_INVALID, f->add_field,
                          "value must contain no more than 1000 item(s)");
    }
    if (f->add_count > 0) {
        add = ARENA_ARRAY(parse_arena(ctx), struct header_add, f->add_count);
    }
    for (size_t i = 0; i < f->add_count; i++) {
        size_t at = path_push_index(ctx, f->add_field, i);
        int r = parse_header_add(ctx, f->add[i], &add[i]);

        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    if (f->remove_count > 0) {
        remove = ARENA_ARRAY(parse_arena(ctx), struct str, f->remove_count);
    }
    for (size_t i = 0; i < f->remove_count; i++) {
        int r = parse_header_remove(ctx, f, i, &remove[i]);

        if (r < 0) {
            return r;
        }
    }
    *ret = (struct header_ops){add, f->add_count, remove, f->remove_count};
    return 0;
}
