/* Names of extension categories, as Envoy's error messages and admin pages write them. */

#include "config/model/extension.h"

const char *extension_category_name(enum extension_category c)
{
    switch (c) {
    case EXT_NETWORK_FILTER:
        return "envoy.filters.network";
    case EXT_LISTENER_FILTER:
        return "envoy.filters.listener";
    case EXT_HTTP_FILTER:
        return "envoy.filters.http";
    case EXT_DOWNSTREAM_TRANSPORT_SOCKET:
        return "envoy.transport_sockets.downstream";
    case EXT_UPSTREAM_TRANSPORT_SOCKET:
        return "envoy.transport_sockets.upstream";
    case EXT_ACCESS_LOGGER:
        return "envoy.access_loggers";
    case EXT_CLUSTER_TYPE:
        return "envoy.clusters";
    case EXT_LOAD_BALANCING_POLICY:
        return "envoy.load_balancing_policies";
    case EXT_UPSTREAM_OPTIONS:
        return "envoy.upstream_options";
    case EXT_REQUEST_ID:
        return "envoy.request_id";
    case EXT_ORIGINAL_IP_DETECTION:
        return "envoy.http.original_ip_detection";
    case EXT_EARLY_HEADER_MUTATION:
        return "envoy.http.early_header_mutation";
    case EXT_DNS_RESOLVER:
        return "envoy.network.dns_resolver";
    case EXT_HEADER_FORMATTER:
        return "envoy.http.stateful_header_formatters";
    case EXT_STAT_SINK:
        return "envoy.stats_sinks";
    case EXT_RESOURCE_MONITOR:
        return "envoy.resource_monitors";
    case EXT_CATEGORY_COUNT:
        break;
    }
    return "unknown";
}
