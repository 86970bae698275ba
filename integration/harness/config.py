"""Builders for the resources tests use, as plain dicts in proto3 JSON. Keyword arguments go in as further fields."""

HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
FILE_LOG = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
HTTP_OPTIONS = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
ENDPOINTS = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
RUNTIME = "type.googleapis.com/envoy.service.runtime.v3.Runtime"

# What the differential tests compare of the access log, one JSON-free line a request.
LOG_FORMAT = (
    "%RESPONSE_CODE%|%RESPONSE_FLAGS%|%RESPONSE_CODE_DETAILS%|%BYTES_RECEIVED%|%BYTES_SENT%|"
    "%UPSTREAM_CLUSTER%|%ROUTE_NAME%|%REQ(:METHOD)%|%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%|%PROTOCOL%|"
    "%REQ(:AUTHORITY)%|%UPSTREAM_HOST%|%UPSTREAM_PROTOCOL%|%GRPC_STATUS%\n"
)
LOG_FIELDS = ("code", "flags", "details", "received", "sent", "cluster", "route", "method", "path",
              "protocol", "authority", "upstream", "upstream_protocol", "grpc_status")


def address(port=0, host="127.0.0.1"):
    return {"socket_address": {"address": host, "port_value": port}}


def endpoint(port, host="127.0.0.1", weight=None, health=None, **more):
    entry = {"endpoint": {"address": address(port, host)}, **more}
    if weight is not None:
        entry["load_balancing_weight"] = weight
    if health is not None:
        entry["health_status"] = health
    return entry


def endpoints(name, *members, localities=None, **more):
    """A ClusterLoadAssignment. members: ports or endpoint() dicts, in one locality."""
    if localities is None:
        made = [endpoint(m) if isinstance(m, int) else m for m in members]
        localities = [{"lb_endpoints": made}] if made else []
    return {"cluster_name": name, "endpoints": localities, **more}


def cluster(name, *members, connect_timeout="1s", localities=None, **more):
    """A STATIC cluster."""
    return {
        "name": name, "type": "STATIC", "connect_timeout": connect_timeout,
        "load_assignment": endpoints(name, *members, localities=localities), **more,
    }


def eds_cluster(name, service_name=None, connect_timeout="1s", **more):
    """A cluster whose endpoints come over ADS."""
    eds = {"eds_config": {"ads": {}, "resource_api_version": "V3"}}
    if service_name:
        eds["service_name"] = service_name
    return {"name": name, "type": "EDS", "connect_timeout": connect_timeout,
            "eds_cluster_config": eds, **more}


def route(match, to=None, **more):
    """A route. match: a dict, or a string taken as prefix. to: a cluster name or a RouteAction dict."""
    if isinstance(match, str):
        match = {"prefix": match}
    out = {"match": match, **more}
    if to is not None:
        out["route"] = {"cluster": to} if isinstance(to, str) else to
    return out


def direct(match, status=200, body=None, **more):
    """A route with a direct response."""
    response = {"status": status}
    if body is not None:
        response["body"] = {"inline_string": body}
    return route(match, direct_response=response, **more)


def vhost(name, domains, *routes, **more):
    return {"name": name, "domains": list(domains), "routes": list(routes), **more}


def routes(name, *vhosts, **more):
    return {"name": name, "virtual_hosts": list(vhosts), **more}


def simple_routes(name, cluster_name, **more):
    return routes(name, vhost("all", ["*"], route("/", cluster_name)), **more)


def access_log(path, fmt=LOG_FORMAT):
    config = {"@type": FILE_LOG, "path": str(path)}
    if fmt is not None:
        config["log_format"] = {"text_format_source": {"inline_string": fmt}}
    return {"name": "file", "typed_config": config}


def hcm(route_config=None, rds=None, stat_prefix="ingress", filters=(), log=None, **more):
    """The http_connection_manager network filter, with inline routes or a name to get over ADS."""
    config = {"@type": HCM, "stat_prefix": stat_prefix}
    if rds is not None:
        config["rds"] = {"route_config_name": rds,
                         "config_source": {"ads": {}, "resource_api_version": "V3"}}
    else:
        config["route_config"] = route_config
    config["http_filters"] = [*filters, {"name": "router", "typed_config": {"@type": ROUTER}}]
    if log is not None:
        config["access_log"] = [access_log(log)]
    config.update(more)
    return {"name": "hcm", "typed_config": config}


def chain(*network_filters, match=None, **more):
    out = {"filters": list(network_filters), **more}
    if match is not None:
        out["filter_chain_match"] = match
    return out


def listener(name, *chains, port=0, host="127.0.0.1", **more):
    """A listener. chains: filter chains, or network filters that make one chain each."""
    made = [c if "filters" in c else chain(c) for c in chains]
    return {"name": name, "address": address(port, host), "filter_chains": made, **more}


def static_bootstrap(listeners, clusters=(), **more):
    return {"node": {"id": "test-node", "cluster": "test-cluster"},
            "static_resources": {"listeners": list(listeners), "clusters": list(clusters)}, **more}


def http_options(**explicit):
    """typed_extension_protocol_options for a cluster that speaks HTTP/2, or with the given options."""
    options = explicit or {"explicit_http_config": {"http2_protocol_options": {}}}
    return {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {"@type": HTTP_OPTIONS, **options}}


def ads_cluster(port, name="ads", host="127.0.0.1", **more):
    return cluster(name, endpoint(port, host), typed_extension_protocol_options=http_options(), **more)


def ads_bootstrap(port, delta=False, static_clusters=(), ads_config=None, node=None, **more):
    """CDS and LDS over one aggregated stream."""
    api = {
        "api_type": "DELTA_GRPC" if delta else "GRPC", "transport_api_version": "V3",
        "set_node_on_first_message_only": True,
        "grpc_services": [{"envoy_grpc": {"cluster_name": "ads"}}], **(ads_config or {}),
    }
    source = {"ads": {}, "resource_api_version": "V3"}
    return {
        "node": {"id": "test-node", "cluster": "test-cluster", **(node or {})},
        "dynamic_resources": {"ads_config": api, "cds_config": source, "lds_config": source},
        "static_resources": {"clusters": [ads_cluster(port), *static_clusters]}, **more,
    }


# TLS. Certificates come from harness/certs.py.

DOWNSTREAM_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
UPSTREAM_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
RAW_BUFFER = "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
SPIFFE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig"
TLS_INSPECTOR = "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
TCP_PROXY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"


def text_source(text):
    """A DataSource of text; a dict is taken as one already."""
    return text if isinstance(text, dict) else {"inline_string": text}


def trust(ca=None, san=None, **more):
    """A CertificateValidationContext. ca: what to trust, as PEM or an Authority. san: a list of (type, exact value) or
    SubjectAltNameMatcher dicts."""
    out = dict(more)
    if ca is not None:
        out["trusted_ca"] = text_source(getattr(ca, "ca_pem", ca))
    if san is not None:
        out["match_typed_subject_alt_names"] = [
            s if isinstance(s, dict) else {"san_type": s[0], "matcher": {"exact": s[1]}} for s in san]
    return out


def common_tls(certificates=(), validation=None, alpn=(), params=None, **more):
    """A CommonTlsContext. certificates: Issued, or TlsCertificate dicts; validation: of trust(); params: tls_params."""
    out = dict(more)
    if certificates:
        out["tls_certificates"] = [
            made if isinstance(made, dict) else made.tls_certificate() for made in certificates]
    if validation is not None:
        out["validation_context"] = validation
    if alpn:
        out["alpn_protocols"] = list(alpn)
    if params:
        out["tls_params"] = params
    return out


def downstream_tls(*certificates, validation=None, alpn=(), params=None, common=None, **more):
    """The transport_socket of a filter chain. common: further fields of its CommonTlsContext; more: of the context."""
    made = common_tls(certificates, validation, alpn, params, **(common or {}))
    return {"name": "tls", "typed_config": {"@type": DOWNSTREAM_TLS, "common_tls_context": made, **more}}


def upstream_tls(*certificates, validation=None, alpn=(), params=None, common=None, **more):
    """The transport_socket of a cluster."""
    made = common_tls(certificates, validation, alpn, params, **(common or {}))
    return {"name": "tls", "typed_config": {"@type": UPSTREAM_TLS, "common_tls_context": made, **more}}


def tls_secret(name, issued, **more):
    """A Secret with a certificate and its key."""
    return {"name": name, "tls_certificate": issued.tls_certificate(**more)}


def trust_secret(name, validation):
    """A Secret with a validation context, of trust()."""
    return {"name": name, "validation_context": validation}


def sds(name, source=None):
    """An SdsSecretConfig: a static secret, or one of a ConfigSource ("ads" for the aggregated stream)."""
    out = {"name": name}
    if source == "ads":
        source = {"ads": {}, "resource_api_version": "V3"}
    if source is not None:
        out["sds_config"] = source
    return out


def tls_inspector(**more):
    return {"name": "tls_inspector", "typed_config": {"@type": TLS_INSPECTOR, **more}}


def tcp_proxy(cluster_name=None, stat_prefix="tcp", log=None, **more):
    """The tcp_proxy network filter. log: (path, format) or a path."""
    config = {"@type": TCP_PROXY, "stat_prefix": stat_prefix, **more}
    if cluster_name is not None:
        config["cluster"] = cluster_name
    if log is not None:
        config["access_log"] = [access_log(*log) if isinstance(log, tuple) else access_log(log)]
    return {"name": "tcp_proxy", "typed_config": config}
