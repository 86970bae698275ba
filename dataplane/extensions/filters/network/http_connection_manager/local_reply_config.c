/* local_reply_config: what becomes of responses that this proxy makes itself. Main thread. */

#include "config/parse/check.h"
#include "config/parse/core.h"
#include "config/parse/format.h"
#include "config/parse/header_ops.h"
#include "config/parse/log_filter.h"
#include "dataplane/extensions/filters/network/http_connection_manager/hcm_config.h"

#define STATUS_MIN 200
#define STATUS_LIMIT 600

static int parse_mapper_filter(struct parse_context *ctx, const HCM(ResponseMapper) * m,
                               struct local_reply_mapper *ret)
{
    int r = parse_check_present(ctx, "filter", m->filter);
    size_t at;

    if (r < 0) {
        return r;
    }
    at = path_push(ctx, "filter");
    r = parse_log_filter(ctx, m->filter, &ret->filter);
    path_pop(ctx, at);
    return r;
}

static int parse_mapper_body(struct parse_context *ctx, const HCM(ResponseMapper) * m,
                             struct local_reply_mapper *ret)
{
    size_t at;
    int r;

    if (m->body == NULL) {
        return 0;
    }
    at = path_push(ctx, "body");
    r = parse_data_source(ctx, m->body, 0, &ret->body);
    path_pop(ctx, at);
    ret->has_body = true;
    return r;
}

static int parse_mapper(struct parse_context *ctx, const HCM(ResponseMapper) * m,
                        struct local_reply_mapper *ret)
{
    int r = parse_mapper_filter(ctx, m, ret);

    if (r == 0 && m->status_code != NULL) {
        ret->status = (int)m->status_code->value;
        if (m->status_code->value < STATUS_MIN || m->status_code->value >= STATUS_LIMIT) {
            r = parse_fail(ctx, E_INVALID, "status_code", "value must be inside range [%d, %d)",
                           STATUS_MIN, STATUS_LIMIT);
        }
    }
    if (r == 0) {
        r = parse_mapper_body(ctx, m, ret);
    }
    if (r == 0) {
        r = parse_optional_format(ctx, "body_format_override", m->body_format_override,
                                  &ret->format);
    }
    if (r < 0) {
        return r;
    }
    return parse_header_ops(ctx,
                            &(struct header_ops_fields){
                                .add_field = "headers_to_add",
                                .add_count = m->n_headers_to_add,
                                .add = m->headers_to_add,
                            },
                            &ret->headers);
}

static int parse_local_reply(struct parse_context *ctx, const HCM(LocalReplyConfig) * m,
                             struct local_reply_config *ret)
{
    struct local_reply_mapper *mappers =
        ARENA_ARRAY(parse_arena(ctx), struct local_reply_mapper, m->n_mappers);

    for (size_t i = 0; i < m->n_mappers; i++) {
        size_t at = path_push_index(ctx, "mappers", i);
        int r = parse_mapper(ctx, m->mappers[i], &mappers[i]);

        if (r < 0) {
            return r;
        }
        path_pop(ctx, at);
    }
    ret->mappers = mappers;
    ret->mapper_count = m->n_mappers;
    return parse_optional_format(ctx, "body_format", m->body_format, &ret->format);
}

int hcm_parse_local_reply(struct parse_context *ctx, const hcm_message *m,
                          struct http_conn_manager_config *c)
{
    size_t at;
    int r;

    if (m->local_reply_config == NULL) {
        return 0;
    }
    at = path_push(ctx, "local_reply_config");
    r = parse_local_reply(ctx, m->local_reply_config, &c->local_reply);
    path_pop(ctx, at);
    return r;
}
