/*
 * The table of extensions: one declaration and one line each. Found at run time by category and
 * type URL; the order means nothing.
 */

#include "dataplane/extensions/registry.h"

#include "config/model/stat_sink.h"
#include "dataplane/base/check.h"
#include "dataplane/http/client_address.h"
#include "dataplane/http/early_mutation.h"
#include "dataplane/http/filter.h"
#include "dataplane/net/listener_filter.h"
#include "dataplane/net/network_filter.h"
#include "dataplane/net/transport_socket.h"
#include "dataplane/overload/resource_monitor.h"
#include "dataplane/stream_info/access_log.h"

extern const struct access_logger_type access_logger_file;
extern const struct access_logger_type access_logger_http_grpc;
extern const struct access_logger_type access_logger_open_telemetry;
extern const struct access_logger_type access_logger_stderr;
extern const struct access_logger_type access_logger_stdout;
extern const struct access_logger_type access_logger_tcp_grpc;
extern const struct early_mutation_type early_header_mutation_header_mutation;
extern const struct extension cluster_dns;
extern const struct extension dns_resolver_cares;
extern const struct extension header_formatter_preserve_case;
extern const struct extension load_balancing_policy_cluster_provided;
extern const struct extension load_balancing_policy_least_request;
extern const struct extension load_balancing_policy_random;
extern const struct extension load_balancing_policy_round_robin;
extern const struct extension request_id_uuid;
extern const struct extension upstream_options_http;
extern const struct http_filter_type http_filter_alpn;
extern const struct http_filter_type http_filter_grpc_http1_bridge;
extern const struct http_filter_type http_filter_grpc_stats;
extern const struct http_filter_type http_filter_grpc_web;
extern const struct http_filter_type http_filter_router;
extern const struct ip_detector_type original_ip_detection_custom_header;
extern const struct ip_detector_type original_ip_detection_xff;
extern const struct listener_filter_type listener_filter_http_inspector;
extern const struct listener_filter_type listener_filter_original_dst;
extern const struct listener_filter_type listener_filter_proxy_protocol;
extern const struct listener_filter_type listener_filter_tls_inspector;
extern const struct network_filter_type network_filter_connection_limit;
extern const struct network_filter_type network_filter_http_connection_manager;
extern const struct network_filter_type network_filter_sni_cluster;
extern const struct network_filter_type network_filter_tcp_proxy;
extern const struct stat_sink_type stat_sink_dog_statsd;
extern const struct stat_sink_type stat_sink_graphite_statsd;
extern const struct stat_sink_type stat_sink_metrics_service;
extern const struct stat_sink_type stat_sink_statsd;
extern const struct resource_monitor_type resource_monitor_cgroup_memory;
extern const struct resource_monitor_type resource_monitor_cpu_utilization;
extern const struct resource_monitor_type resource_monitor_downstream_connections;
extern const struct resource_monitor_type resource_monitor_fixed_heap;
extern const struct resource_monitor_type resource_monitor_injected_resource;
extern const struct transport_socket transport_socket_proxy_protocol;
extern const struct transport_socket transport_socket_raw_buffer_downstream;
extern const struct transport_socket transport_socket_raw_buffer_upstream;
extern const struct transport_socket transport_socket_tls_downstream;
extern const struct transport_socket transport_socket_tls_upstream;

static const struct extension *const extensions[] = {
    &access_logger_file.ext,
    &access_logger_http_grpc.ext,
    &access_logger_open_telemetry.ext,
    &access_logger_stderr.ext,
    &access_logger_stdout.ext,
    &access_logger_tcp_grpc.ext,
    &cluster_dns,
    &dns_resolver_cares,
    &header_formatter_preserve_case,
    &early_header_mutation_header_mutation.ext,
    &http_filter_alpn.ext,
    &http_filter_grpc_http1_bridge.ext,
    &http_filter_grpc_stats.ext,
    &http_filter_grpc_web.ext,
    &http_filter_router.ext,
    &load_balancing_policy_cluster_provided,
    &load_balancing_policy_least_request,
    &load_balancing_policy_random,
    &load_balancing_policy_round_robin,
    &listener_filter_http_inspector.ext,
    &listener_filter_original_dst.ext,
    &listener_filter_proxy_protocol.ext,
    &listener_filter_tls_inspector.ext,
    &network_filter_connection_limit.ext,
    &network_filter_http_connection_manager.ext,
    &network_filter_sni_cluster.ext,
    &network_filter_tcp_proxy.ext,
    &original_ip_detection_custom_header.ext,
    &original_ip_detection_xff.ext,
    &request_id_uuid,
    &stat_sink_dog_statsd.ext,
    &stat_sink_graphite_statsd.ext,
    &stat_sink_metrics_service.ext,
    &stat_sink_statsd.ext,
    &resource_monitor_cgroup_memory.ext,
    &resource_monitor_cpu_utilization.ext,
    &resource_monitor_downstream_connections.ext,
    &resource_monitor_fixed_heap.ext,
    &resource_monitor_injected_resource.ext,
    &transport_socket_proxy_protocol.ext,
    &transport_socket_raw_buffer_downstream.ext,
    &transport_socket_raw_buffer_upstream.ext,
    &transport_socket_tls_downstream.ext,
    &transport_socket_tls_upstream.ext,
    &upstream_options_http,
};

const struct extension_registry extension_registry = {extensions, ARRAY_LEN(extensions)};
