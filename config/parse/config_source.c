/* Where a resource comes from: ADS, a file, or a stream of its own. Main thread. Opens nothing. */

#include <unistd.h>

#include "config/model/cluster.h"
#include "config/parse/check.h"
#include "config/parse/core.h"

#define INITIAL_FETCH_TIMEOUT_MS 15000

static int parse_initial_metadata(struct parse_context *ctx,
                                  const Envoy__Config__Core__V3__GrpcService *m,
                                  struct grpc_service_config *ret)
{
    struct initial_metadata *pairs =
        ARENA_ARRAY(parse_arena(ctx), struct initial_metadata, m->n_initial_metadata);

    for (size_t i = 0; i < m->n_initial_metadata; i++) {
        size_t at = path_push_index(ctx, "initial_metadata", i);
        const Envoy__Config__Core__V3__HeaderValue *h = m->initial_metadata[i];
        int r = parse_check_header_name(ctx, "key", h->key);

        if (r == 0) {
            r = parse_check_header_text(ctx, "value", h->value);
        }
        if (r < 0) {
            return r;
        }
        pairs[i].key = parse_lower(ctx, h->key);
        pairs[i].value = parse_str(ctx, h->value);
        path_pop(ctx, at);
    }
    ret->initial_metadata = pairs;
    ret->initial_metadata_count = m->n_initial_metadata;
    return 0;
}

int parse_grpc_service(struct parse_context *ctx, const Envoy__Config__Core__V3__GrpcService *m,
                       struct grpc_service_config *ret)
{
    size_t at;
    int r;

    switch (m->target_specifier_case) {
    case ENVOY__CONFIG__CORE__V3__GRPC_SERVICE__TARGET_SPECIFIER_ENVOY_GRPC:
        at = path_push(ctx, "envoy_grpc");
        r = parse_check_not_empty(ctx, "cluster_name", m->envoy_grpc->cluster_name);
        if (r == 0) {
            r = parse_check_header_text(ctx, "authority", m->envoy_grpc->authority);
        }
        ret->cluster_name = parse_str(ctx, m->envoy_grpc->cluster_name);
        ret->authority = parse_str(ctx, m->envoy_grpc->authority);
        break;
    case ENVOY__CONFIG__CORE__V3__GRPC_SERVICE__TARGET_SPECIFIER_GOOGLE_GRPC:
        at = path_push(ctx, "google_grpc");
        r = parse_check_not_empty(ctx, "target_uri", m->google_grpc->target_uri);
        if (r == 0) {
            r = parse_check_not_empty(ctx, "stat_prefix", m->google_grpc->stat_prefix);
        }
        ret->is_google_grpc = true;
        ret->cluster_name = parse_str(ctx, m->google_grpc->target_uri);
        break;
    default:
        return parse_fail(ctx, E_INVALID, "target_specifier", "value is required");
    }
    if (r < 0) {
        return r;
    }
    path_pop(ctx, at);
    r = parse_opt_ms(ctx, "timeout", m->timeout, DURATION_ANY, &ret->timeout);
    return r == 0 ? parse_initial_metadata(ctx, m, ret) : r;
}

static int parse_api_type(struct parse_context *ctx,
                          const Envoy__Config__Core__V3__ApiConfigSource *m, enum api_type *ret)
{
    switch (m->api_type) {
    case ENVOY__CONFIG__CORE__V3__API_CONFIG_SOURCE__API_TYPE__GRPC:
        *ret = API_GRPC;
        return 0;
    case ENVOY__CONFIG__CORE__V3__API_CONFIG_SOURCE__API_TYPE__DELTA_GRPC:
        *ret = API_DELTA_GRPC;
        return 0;
    case ENVOY__CONFIG__CORE__V3__API_CONFIG_SOURCE__API_TYPE__REST:
        return parse_fail(ctx, E_UNSUPPORTED, "api_type", "REST is not supported");
    case ENVOY__CONFIG__CORE__V3__API_CONFIG_SOURCE__API_TYPE__AGGREGATED_GRPC:
    case ENVOY__CONFIG__CORE__V3__API_CONFIG_SOURCE__API_TYPE__AGGREGATED_DELTA_GRPC:
        return parse_fail(ctx, E_UNSUPPORTED, "api_type",
                          "Unsupported config source AGGREGATED_*GRPC");
    default:
        return parse_fail(ctx, E_INVALID, "api_type",
                          "value must be one of the defined enum values and not "
                          "DEPRECATED_AND_UNAVAILABLE_DO_NOT_USE");
    }
}

int parse_api_config_source(struct parse_context *ctx,
                            const Envoy__Config__Core__V3__ApiConfigSource *m,
                            struct config_source *ret)
{
    size_t at;
    int r = parse_check_enum(ctx, "transport_api_version", (int)m->transport_api_version,
                             &envoy__config__core__v3__api_version__descriptor);

    if (r == 0) {
        r = parse_api_type(ctx, m, &ret->api_type);
    }
    if (r < 0) {
        return r;
    }
    if (m->transport_api_version == ENVOY__CONFIG__CORE__V3__API_VERSION__V2) {
        return parse_fail(ctx, E_INVALID, "transport_api_version",
                          "V2 xDS transport protocol version is deprecated");
    }
    if (m->n_cluster_names > 0) {
        return parse_fail(ctx, E_INVALID, "cluster_names",
                          "(DELTA_)GRPC must not have a cluster name specified");
    }
    if (m->n_grpc_services != 1) {
        return parse_fail(ctx, E_INVALID, "grpc_services",
                          "(DELTA_)GRPC must have a single gRPC service specified");
    }
    ret->kind = CONFIG_SOURCE_API;
    ret->set_node_on_first_message_only = m->set_node_on_first_message_only;
    at = path_push_index(ctx, "grpc_services", 0);
    r = parse_grpc_service(ctx, m->grpc_services[0], &ret->grpc);
    path_pop(ctx, at);
    return r;
}

/* As Envoy: the file must be there when it is first named. */
static int parse_path(struct parse_context *ctx, const char *path, struct config_source *ret)
{
    int r = parse_check_not_empty(ctx, "path", path);

    if (r == 0 && access(path, F_OK) != 0) {
        r = parse_fail(ctx, E_INVALID, "path",
                       "paths must refer to an existing path in the system: '%s' does not exist",
                       path);
    }
    ret->kind = CONFIG_SOURCE_PATH;
    ret->path = parse_str(ctx, path);
    return r;
}

static int parse_path_source(struct parse_context *ctx,
                             const Envoy__Config__Core__V3__PathConfigSource *m,
                             struct config_source *ret)
{
    int r = parse_path(ctx, m->path, ret);

    if (r < 0) {
        return r;
    }
    if (m->watched_directory != NULL) {
        size_t at = path_push(ctx, "watched_directory");

        r = parse_check_not_empty(ctx, "path", m->watched_directory->path);
        if (r < 0) {
            return r;
        }
        ret->watched_directory = parse_str(ctx, m->watched_directory->path);
        path_pop(ctx, at);
    }
    return 0;
}

static int parse_config_source_kind(struct parse_context *ctx,
                                    const Envoy__Config__Core__V3__ConfigSource *m,
                                    struct config_source *ret)
{
    size_t at;
    int r;

    switch (m->config_source_specifier_case) {
    case ENVOY__CONFIG__CORE__V3__CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER_ADS:
        ret->kind = CONFIG_SOURCE_ADS;
        return 0;
    case ENVOY__CONFIG__CORE__V3__CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER_PATH:
        return parse_path(ctx, m->path, ret);
    case ENVOY__CONFIG__CORE__V3__CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER_PATH_CONFIG_SOURCE:
        at = path_push(ctx, "path_config_source");
        r = parse_path_source(ctx, m->path_config_source, ret);
        break;
    case ENVOY__CONFIG__CORE__V3__CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER_API_CONFIG_SOURCE:
        at = path_push(ctx, "api_config_source");
        r = parse_api_config_source(ctx, m->api_config_source, ret);
        break;
    default: /* as Envoy, which has no subscription for `self` either */
        return parse_fail(ctx, E_INVALID, NULL,
                          "Missing config source specifier in "
                          "envoy.config.core.v3.ConfigSource");
    }
    path_pop(ctx, at);
    return r;
}

int parse_config_source(struct parse_context *ctx, const Envoy__Config__Core__V3__ConfigSource *m,
                        struct config_source *ret)
{
    int r = parse_check_enum(ctx, "resource_api_version", (int)m->resource_api_version,
                             &envoy__config__core__v3__api_version__descriptor);

    *ret = (struct config_source){.kind = CONFIG_SOURCE_NONE};
    if (r == 0) {
        r = parse_config_source_kind(ctx, m, ret);
    }
    return r < 0 ? r
                 : parse_ms_or(ctx, "initial_fetch_timeout", m->initial_fetch_timeout, DURATION_ANY,
                               INITIAL_FETCH_TIMEOUT_MS, &ret->initial_fetch_timeout_ms);
}
