/* Access log filters and the loggers they stand before. Main thread. */

#include "config/parse/log_filter.h"

#include "config/model/response_flag.h"
#include "config/parse/check.h"
#include "config/parse/core.h"
#include "config/parse/extension.h"
#include "config/parse/matcher.h"
#include "config/parse/value_matcher.h"

typedef Envoy__Config__Accesslog__V3__AccessLogFilter AccessLogFilter;

/* --- comparisons ---------------------------------------------------------------------------- */

static int parse_comparison(struct parse_context *ctx,
                            const Envoy__Config__Accesslog__V3__ComparisonFilter *m,
                            struct log_filter *ret)
{
    size_t at;
    int r = parse_check_present(ctx, "comparison", m);

    if (r < 0) {
        return r;
    }
    at = path_push(ctx, "comparison");
    r = parse_check_enum(ctx, "op", (int)m->op,
                         &envoy__config__accesslog__v3__comparison_filter__op__descriptor);
    if (r == 0) {
        r = parse_check_present(ctx, "value", m->value);
    }
    path_pop(ctx, at);
    if (r == 0) {
        ret->op = (enum log_filter_op)m->op;
        ret->value = m->value->default_value;
        ret->runtime_key = parse_str(ctx, m->value->runtime_key);
    }
    return r;
}

/* --- sets ----------------------------------------------------------------------------------- */

static bool flag_find(struct str short_name, uint64_t *ret_bit)
{
    static const char *const names[FLAG_COUNT] = {
#define FLAG_NAME(id, short_name, long_name) short_name,
        RESPONSE_FLAG_LIST(FLAG_NAME)
#undef FLAG_NAME
    };

    for (size_t i = 0; i < FLAG_COUNT; i++) {
        if (str_eq(str_c(names[i]), short_name)) {
            *ret_bit = (uint64_t)1 << i;
            return true;
        }
    }
    return false;
}

static int parse_flags(struct parse_context *ctx,
                       const Envoy__Config__Accesslog__V3__ResponseFlagFilter *m,
                       struct log_filter *ret)
{
    for (size_t i = 0; i < m->n_flags; i++) {
        uint64_t bit;

        if (!flag_find(str_c(m->flags[i]), &bit)) {
            size_t at = path_push_index(ctx, "flags", i);
            int r = parse_fail(ctx, E_INVALID, NULL, "value must be in list of response flags");

            path_pop(ctx, at);
            return r;
        }
        ret->set |= bit;
    }
    return 0;
}

/* Of a repeated enum whose numbers are small. */
static int parse_enum_set(struct parse_context *ctx, const char *field, size_t n, const int *values,
                          const ProtobufCEnumDescriptor *d, uint64_t *ret_set)
{
    for (size_t i = 0; i < n; i++) {
        size_t at = path_push_index(ctx, field, i);
        int r = parse_check_enum(ctx, NULL, values[i], d);

        path_pop(ctx, at);
        if (r < 0) {
            return r;
        }
        *ret_set |= (uint64_t)1 << values[i];
    }
    return 0;
}

static int parse_grpc_statuses(struct parse_context *ctx,
                               const Envoy__Config__Accesslog__V3__GrpcStatusFilter *m,
                               struct log_filter *ret)
{
    ret->exclude = m->exclude;
    return parse_enum_set(ctx, "statuses", m->n_statuses, (const int *)m->statuses,
                          &envoy__config__accesslog__v3__grpc_status_filter__status__descriptor,
                          &ret->set);
}

static int parse_log_types(struct parse_context *ctx,
                           const Envoy__Config__Accesslog__V3__LogTypeFilter *m,
                           struct log_filter *ret)
{
    ret->exclude = m->exclude;
    return parse_enum_set(ctx, "types", m->n_types, (const int *)m->types,
                          &envoy__data__accesslog__v3__access_log_type__descriptor, &ret->set);
}

/* --- the rest ------------------------------------------------------------------------------- */

static int parse_sampling(struct parse_context *ctx,
                          const Envoy__Config__Accesslog__V3__RuntimeFilter *m,
                          struct log_filter *ret)
{
    size_t at;
    int r = parse_check_not_empty(ctx, "runtime_key", m->runtime_key);

    ret->runtime_key = parse_str(ctx, m->runtime_key);
    ret->is_independent = m->use_independent_randomness;
    ret->fraction = (struct fraction){.numerator = 0, .denominator = 100};
    if (r < 0 || m->percent_sampled == NULL) {
        return r;
    }
    at = path_push(ctx, "percent_sampled");
    r = parse_fraction(ctx, m->percent_sampled, &ret->fraction);
    path_pop(ctx, at);
    return r;
}

static int parse_header_filter(struct parse_context *ctx,
                               const Envoy__Config__Accesslog__V3__HeaderFilter *m,
                               struct log_filter *ret)
{
    struct header_matcher *matcher = ARENA_NEW(parse_arena(ctx), struct header_matcher);
    size_t at;
    int r = parse_check_present(ctx, "header", m->header);

    if (r < 0) {
        return r;
    }
    at = path_push(ctx, "header");
    r = parse_header_matcher(ctx, m->header, matcher);
    path_pop(ctx, at);
    ret->header = matcher;
    return r;
}

static int parse_metadata_filter(struct parse_context *ctx,
                                 const Envoy__Config__Accesslog__V3__MetadataFilter *m,
                                 struct log_filter *ret)
{
    size_t at;
    int r;

    ret->matches_absent = parse_bool_or(m->match_if_key_not_found, true);
    ret->has_metadata = m->matcher != NULL;
    if (m->matcher == NULL) {
        return 0;
    }
    at = path_push(ctx, "matcher");
    r = parse_metadata_matcher(ctx, m->matcher, &ret->metadata);
    path_pop(ctx, at);
    return r;
}

static int parse_parts(struct parse_context *ctx, size_t n, AccessLogFilter *const *m,
                       struct log_filter *ret)
{
    struct log_filter *parts = ARENA_ARRAY(parse_arena(ctx), struct log_filter, n);

    if (n < 2) {
        return parse_fail(ctx, E_INVALID, "filters", "value must contain at least 2 item(s)");
    }
    for (size_t i = 0; i < n; i++) {
        size_t at = path_push_index(ctx, "filters", i);
        int r = parse_log_filter(ctx, m[i], &parts[i]);

        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    ret->parts = parts;
    ret->part_count = n;
    return 0;
}

typedef int filter_parse_fn(struct parse_context *ctx, const AccessLogFilter *m,
                            struct log_filter *ret);

static int filter_parse_status(struct parse_context *ctx, const AccessLogFilter *m,
                               struct log_filter *ret)
{
    return parse_comparison(ctx, m->status_code_filter->comparison, ret);
}

static int filter_parse_duration(struct parse_context *ctx, const AccessLogFilter *m,
                                 struct log_filter *ret)
{
    return parse_comparison(ctx, m->duration_filter->comparison, ret);
}

static int filter_parse_runtime(struct parse_context *ctx, const AccessLogFilter *m,
                                struct log_filter *ret)
{
    return parse_sampling(ctx, m->runtime_filter, ret);
}

static int filter_parse_and(struct parse_context *ctx, const AccessLogFilter *m,
                            struct log_filter *ret)
{
    return parse_parts(ctx, m->and_filter->n_filters, m->and_filter->filters, ret);
}

static int filter_parse_or(struct parse_context *ctx, const AccessLogFilter *m,
                           struct log_filter *ret)
{
    return parse_parts(ctx, m->or_filter->n_filters, m->or_filter->filters, ret);
}

static int filter_parse_header(struct parse_context *ctx, const AccessLogFilter *m,
                               struct log_filter *ret)
{
    return parse_header_filter(ctx, m->header_filter, ret);
}

static int filter_parse_flags(struct parse_context *ctx, const AccessLogFilter *m,
                              struct log_filter *ret)
{
    return parse_flags(ctx, m->response_flag_filter, ret);
}

static int filter_parse_grpc(struct parse_context *ctx, const AccessLogFilter *m,
                             struct log_filter *ret)
{
    return parse_grpc_statuses(ctx, m->grpc_status_filter, ret);
}

static int filter_parse_metadata(struct parse_context *ctx, const AccessLogFilter *m,
                                 struct log_filter *ret)
{
    return parse_metadata_filter(ctx, m->metadata_filter, ret);
}

static int filter_parse_types(struct parse_context *ctx, const AccessLogFilter *m,
                              struct log_filter *ret)
{
    return parse_log_types(ctx, m->log_type_filter, ret);
}

/* By the oneof's field; NULL `parse`: it has no settings. */
static const struct {
    const char *field;
    filter_parse_fn *parse;
    enum log_filter_kind kind;
} filter_kinds[] = {
#define FILTER(name) ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_##name
    [FILTER(STATUS_CODE_FILTER)] = {"status_code_filter", filter_parse_status,
                                    LOG_FILTER_STATUS_CODE},
    [FILTER(DURATION_FILTER)] = {"duration_filter", filter_parse_duration, LOG_FILTER_DURATION},
    [FILTER(NOT_HEALTH_CHECK_FILTER)] = {"not_health_check_filter", NULL,
                                         LOG_FILTER_NOT_HEALTH_CHECK},
    [FILTER(TRACEABLE_FILTER)] = {"traceable_filter", NULL, LOG_FILTER_TRACEABLE},
    [FILTER(RUNTIME_FILTER)] = {"runtime_filter", filter_parse_runtime, LOG_FILTER_RUNTIME},
    [FILTER(AND_FILTER)] = {"and_filter", filter_parse_and, LOG_FILTER_AND},
    [FILTER(OR_FILTER)] = {"or_filter", filter_parse_or, LOG_FILTER_OR},
    [FILTER(HEADER_FILTER)] = {"header_filter", filter_parse_header, LOG_FILTER_HEADER},
    [FILTER(RESPONSE_FLAG_FILTER)] = {"response_flag_filter", filter_parse_flags,
                                      LOG_FILTER_RESPONSE_FLAG},
    [FILTER(GRPC_STATUS_FILTER)] = {"grpc_status_filter", filter_parse_grpc,
                                    LOG_FILTER_GRPC_STATUS},
    [FILTER(METADATA_FILTER)] = {"metadata_filter", filter_parse_metadata, LOG_FILTER_METADATA},
    [FILTER(LOG_TYPE_FILTER)] = {"log_type_filter", filter_parse_types, LOG_FILTER_LOG_TYPE},
#undef FILTER
};

/* Depth was bounded when the message was unpacked. */
int parse_log_filter(struct parse_context *ctx, const AccessLogFilter *m, struct log_filter *ret)
{
    size_t kind = (size_t)m->filter_specifier_case;
    size_t at;
    int r = 0;

    if (kind >= ARRAY_LEN(filter_kinds) || filter_kinds[kind].field == NULL) {
        return parse_fail(ctx, E_INVALID, "filter_specifier", "value is required");
    }
    ret->kind = filter_kinds[kind].kind;
    if (filter_kinds[kind].parse != NULL) {
        at = path_push(ctx, filter_kinds[kind].field);
        r = filter_kinds[kind].parse(ctx, m, ret);
        path_pop(ctx, at);
    }
    return r;
}

/* --- loggers -------------------------------------------------------------------------------- */

static int parse_access_log(struct parse_context *ctx,
                            const Envoy__Config__Accesslog__V3__AccessLog *m,
                            struct access_log *ret)
{
    bool is_typed =
        m->config_type_case == ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG__CONFIG_TYPE_TYPED_CONFIG;
    struct filter_config logger = {.name = STR_NONE};
    int r = parse_extension(ctx, EXT_ACCESS_LOGGER, m->name, "typed_config",
                            is_typed ? m->typed_config : NULL, &logger);

    ret->ext = logger.ext;
    ret->config = logger.config;
    if (r == 0 && m->filter != NULL) {
        struct log_filter *filter = ARENA_NEW(parse_arena(ctx), struct log_filter);
        size_t at = path_push(ctx, "filter");

        r = parse_log_filter(ctx, m->filter, filter);
        path_pop(ctx, at);
        ret->filter = filter;
    }
    return r;
}

int parse_access_logs(struct parse_context *ctx, const char *field, size_t n,
                      Envoy__Config__Accesslog__V3__AccessLog *const *m, struct access_logs *ret)
{
    struct access_log *logs;

    if (n == 0) {
        return 0;
    }
    logs = ARENA_ARRAY(parse_arena(ctx), struct access_log, n);
    for (size_t i = 0; i < n; i++) {
        size_t at = path_push_index(ctx, field, i);
        int r = parse_access_log(ctx, m[i], &logs[i]);

        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    *ret = (struct access_logs){logs, n};
    return 0;
}
