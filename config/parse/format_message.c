/*
 * The messages that hold formats: text, JSON, and what a substitution format string chooses of
 * both. What formats mean is format.c's. Main thread.
 */

#include "config/parse/format.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/parse/check.h"
#include "config/parse/core.h"

int parse_format(struct parse_context *ctx, const char *field, struct str text, struct format *ret)
{
    struct error why;
    int r;

    error_init(&why);
    r = format_parse_with(parse_arena(ctx), ctx->has_req_without_query, text, ret, &why);
    if (r < 0) {
        (void)parse_fail(ctx, r, field, "%s", error_message(&why)); /* r is returned */
    }
    error_done(&why);
    return r;
}

static int parse_format_value(struct parse_context *ctx, const struct value *v,
                              struct format_json *ret);

/* As Envoy: the shorter of 1e+06 and 1000000, in as few digits as read back as the same number. */
static struct str format_number(struct arena *a, double v)
{
    char plain[400];
    char scientific[40];
    int digits = 0;
    size_t n;

    if (isnan(v) || isinf(v)) {
        return isnan(v) ? STR("\"NaN\"") : v > 0 ? STR("\"Infinity\"") : STR("\"-Infinity\"");
    }
    do {
        (void)snprintf(scientific, sizeof(scientific), "%.*e", digits, v);
    } while (strtod(scientific, NULL) != v && ++digits <= 17);
    digits = 0;
    do {
        n = (size_t)snprintf(plain, sizeof(plain), "%.*f", digits, v);
    } while (strtod(plain, NULL) != v && ++digits <= 30);
    return arena_str(a,
                     n <= strlen(scientific) && digits <= 30 ? str_n(plain, n) : str_c(scientific));
}

static int parse_format_children(struct parse_context *ctx, const struct value *v,
                                 struct format_json *ret)
{
    struct format_json *children = ARENA_ARRAY(parse_arena(ctx), struct format_json, v->count);

    for (size_t i = 0; i < v->count; i++) {
        const struct value *child = v->kind == VALUE_LIST ? &v->items[i] : &v->fields[i].value;
        int r;

        if (v->kind == VALUE_STRUCT) {
            children[i].key = v->fields[i].name;
        }
        r = parse_format_value(ctx, child, &children[i]);
        if (r < 0) {
            return r;
        }
    }
    ret->children = children;
    ret->count = v->count;
    return 0;
}

/* Depth was bounded when the message was unpacked. */
static int parse_format_value(struct parse_context *ctx, const struct value *v,
                              struct format_json *ret)
{
    switch (v->kind) {
    case VALUE_NULL:
        ret->kind = FORMAT_JSON_NULL;
        return 0;
    case VALUE_NUMBER:
        ret->kind = FORMAT_JSON_NUMBER;
        ret->number = format_number(parse_arena(ctx), v->number);
        return 0;
    case VALUE_BOOL:
        ret->kind = FORMAT_JSON_BOOL;
        ret->boolean = v->boolean;
        return 0;
    case VALUE_STRING:
        ret->kind = FORMAT_JSON_LEAF;
        return parse_format(ctx, NULL, v->string, &ret->leaf);
    case VALUE_STRUCT:
        ret->kind = FORMAT_JSON_OBJECT;
        return parse_format_children(ctx, v, ret);
    case VALUE_LIST:
        ret->kind = FORMAT_JSON_ARRAY;
        return parse_format_children(ctx, v, ret);
    }
    return 0;
}

int parse_format_json(struct parse_context *ctx, const Google__Protobuf__Struct *m,
                      struct format_json *ret)
{
    struct value v;

    parse_struct(ctx, m, &v); /* sorts the keys, as Envoy's output is sorted */
    *ret = (struct format_json){.kind = FORMAT_JSON_OBJECT};
    return parse_format_value(ctx, &v, ret);
}

static int parse_format_specifier(struct parse_context *ctx,
                                  const Envoy__Config__Core__V3__SubstitutionFormatString *m,
                                  struct substitution_format *ret)
{
    struct str text = STR_NONE;
    size_t at;
    int r;

    switch (m->format_case) {
    case ENVOY__CONFIG__CORE__V3__SUBSTITUTION_FORMAT_STRING__FORMAT_TEXT_FORMAT:
        return parse_format(ctx, "text_format", str_c(m->text_format), &ret->text);
    case ENVOY__CONFIG__CORE__V3__SUBSTITUTION_FORMAT_STRING__FORMAT_JSON_FORMAT:
        ret->is_json = true;
        at = path_push(ctx, "json_format");
        r = parse_format_json(ctx, m->json_format, &ret->json);
        break;
    case ENVOY__CONFIG__CORE__V3__SUBSTITUTION_FORMAT_STRING__FORMAT_TEXT_FORMAT_SOURCE:
        at = path_push(ctx, "text_format_source");
        r = parse_data_source(ctx, m->text_format_source, 0, &text);
        if (r == 0) {
            r = parse_format(ctx, NULL, text, &ret->text);
        }
        break;
    default:
        return parse_fail(ctx, E_INVALID, "format", "value is required");
    }
    path_pop(ctx, at);
    return r;
}

/* %METADATA()% is built in, so its extension adds nothing. */
int parse_formatters(struct parse_context *ctx, size_t n,
                     Envoy__Config__Core__V3__TypedExtensionConfig *const *m)
{
    for (size_t i = 0; i < n; i++) {
        const Envoy__Config__Core__V3__TypedExtensionConfig *f = m[i];
        struct str url = f->typed_config != NULL ? str_c(f->typed_config->type_url) : STR_NONE;

        if (str_ends(url,
                     STR("/envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery"))) {
            ctx->has_req_without_query = true;
        } else if (!str_ends(url, STR("/envoy.extensions.formatter.metadata.v3.Metadata"))) {
            return parse_fail(ctx, E_UNSUPPORTED, "formatters", "Formatter not found: %s", f->name);
        }
    }
    return 0;
}

int parse_substitution_format(struct parse_context *ctx,
                              const Envoy__Config__Core__V3__SubstitutionFormatString *m,
                              struct substitution_format *ret)
{
    int r;

    *ret = (struct substitution_format){.omit_empty_values = m->omit_empty_values};
    r = parse_check_header_text(ctx, "content_type", m->content_type);
    if (r == 0) {
        r = parse_formatters(ctx, m->n_formatters, m->formatters);
    }
    if (r < 0) {
        return r;
    }
    ret->content_type = parse_str(ctx, m->content_type);
    r = parse_format_specifier(ctx, m, ret);
    ctx->has_req_without_query = false;
    return r;
}

int parse_optional_format(struct parse_context *ctx, const char *field,
                          const Envoy__Config__Core__V3__SubstitutionFormatString *m,
                          const struct substitution_format **ret)
{
    struct substitution_format *format;
    size_t at;
    int r;

    if (m == NULL) {
        *ret = NULL;
        return 0;
    }
    format = ARENA_NEW(parse_arena(ctx), struct substitution_format);
    at = path_push(ctx, field);
    r = parse_substitution_format(ctx, m, format);
    path_pop(ctx, at);
    *ret = format;
    return r;
}
