/* See xds_source.h. */

#include "config/xds_source.h"

static struct xds_metadata *copy_metadata(const struct grpc_service_config *c, struct arena *a)
{
    struct xds_metadata *copy = ARENA_ARRAY(a, struct xds_metadata, c->initial_metadata_count + 1);

    for (size_t i = 0; i < c->initial_metadata_count; i++) {
        copy[i].key = arena_str(a, c->initial_metadata[i].key);
        copy[i].value = arena_str(a, c->initial_metadata[i].value);
    }
    return copy;
}

struct xds_source xds_source_from(const struct config_source *c, struct arena *a)
{
    if (c->kind == CONFIG_SOURCE_ADS) {
        /* There is one, whatever else a config source says. */
        return (struct xds_source){.kind = XDS_SOURCE_ADS,
                                   .initial_fetch_timeout_ms = c->initial_fetch_timeout_ms};
    }
    return (struct xds_source){
        .kind = c->kind == CONFIG_SOURCE_PATH ? XDS_SOURCE_PATH : XDS_SOURCE_GRPC,
        .path = arena_str(a, c->path),
        .watched_directory = arena_str(a, c->watched_directory),
        .is_delta = c->api_type == API_DELTA_GRPC,
        .cluster_name = arena_str(a, c->grpc.cluster_name),
        .authority = arena_str(a, c->grpc.authority),
        .initial_metadata = copy_metadata(&c->grpc, a),
        .initial_metadata_count = c->grpc.initial_metadata_count,
        .set_node_on_first_message_only = c->set_node_on_first_message_only,
        .initial_fetch_timeout_ms = c->initial_fetch_timeout_ms,
    };
}

static bool metadata_eq(const struct xds_source *a, const struct xds_source *b)
{
    bool is_equal = a->initial_metadata_count == b->initial_metadata_count;

    for (size_t i = 0; is_equal && i < a->initial_metadata_count; i++) {
        is_equal = str_eq(a->initial_metadata[i].key, b->initial_metadata[i].key) &&
                   str_eq(a->initial_metadata[i].value, b->initial_metadata[i].value);
    }
    return is_equal;
}

bool xds_source_eq(const struct xds_source *a, const struct xds_source *b)
{
    return a->kind == b->kind && a->is_delta == b->is_delta && str_eq(a->path, b->path) &&
           str_eq(a->watched_directory, b->watched_directory) &&
           str_eq(a->cluster_name, b->cluster_name) && str_eq(a->authority, b->authority) &&
           a->set_node_on_first_message_only == b->set_node_on_first_message_only &&
           metadata_eq(a, b);
}
