"""What the connection manager's options make of a request: forwarding headers, ids, paths, hosts, local replies."""

import pytest

from harness import config as c
from harness.differential import case, get, post
from harness.upstream import Reply, early_close
from harness.wide import NO_REPLAYS, log as wide_log

XFF = "type.googleapis.com/envoy.extensions.http.original_ip_detection.xff.v3.XffConfig"
CUSTOM = "type.googleapis.com/envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig"
UUID_ID = "type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"


def detect(type_url, **config):
    return {"original_ip_detection_extensions": [{"name": "detect", "typed_config": {"@type": type_url, **config}}]}


def cidr(prefix, bits):
    return {"address_prefix": prefix, "prefix_len": bits}


def status_is(value, op="EQ"):
    return {"status_code_filter": {"comparison": {"op": op, "value": {"default_value": value, "runtime_key": "none"}}}}


LOCAL_REPLY = {"mappers": [
    {"filter": status_is(404), "status_code": 410, "body": {"inline_string": "gone"},
     "headers_to_add": [{"header": {"key": "x-mapped", "value": "%RESPONSE_CODE%"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]},
    {"filter": {"response_flag_filter": {"flags": ["UC", "UF"]}}, "body_format_override": {
        "json_format": {"code": "%RESPONSE_CODE%", "flags": "%RESPONSE_FLAGS%", "body": "%LOCAL_REPLY_BODY%", "path": "%REQ(:PATH)%"}}},
    {"filter": {"and_filter": {"filters": [status_is(500, "GE"), {"header_filter": {"header": {"name": "x-map", "present_match": True}}}]}}, "status_code": 599}],
    "body_format": {"text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%: %RESPONSE_CODE% %PROTOCOL%\n"}, "content_type": "text/x-own"}}

ADDRESS = {  # listeners that see clients' addresses in some way
    "inner": {}, "edge": {"use_remote_address": True}, "hop": {"use_remote_address": True, "xff_num_trusted_hops": 1},
    "inner-hop": {"xff_num_trusted_hops": 1}, "inner-hop2": {"xff_num_trusted_hops": 2}, "skip": {"use_remote_address": True, "skip_xff_append": True},
    "internal": {"use_remote_address": True, "internal_address_config": {"cidr_ranges": [cidr("127.0.0.0", 8)]}},
    "external": {"use_remote_address": True, "internal_address_config": {"cidr_ranges": [cidr("10.0.0.0", 8)]}},
    "mapped": {"use_remote_address": True, "represent_ipv4_remote_address_as_ipv4_mapped_ipv6": True},
    "xff": detect(XFF, xff_num_trusted_hops=1), "xff-cidrs": detect(XFF, xff_trusted_cidrs={"cidrs": [cidr("127.0.0.1", 32), cidr("10.0.0.0", 8)]}),
    "custom": detect(CUSTOM, header_name="x-client-ip"), "custom-trust": detect(CUSTOM, header_name="x-client-ip", allow_extension_to_set_address_as_trusted=True),
    "custom-403": detect(CUSTOM, header_name="x-client-ip", reject_with_status={"code": "Forbidden"}),
}
IDS = {
    "id": {}, "id-edge": {"use_remote_address": True}, "id-none": {"generate_request_id": False}, "id-kept": {"use_remote_address": True, "preserve_external_request_id": True},
    "id-back": {"always_set_request_id_in_response": True},
    "id-plain": {"request_id_extension": {"typed_config": {"@type": UUID_ID, "pack_trace_reason": False, "use_request_id_for_trace_sampling": False}}},
}
PATHS = {
    "raw": {}, "normal": {"normalize_path": True}, "merge": {"merge_slashes": True}, "both": {"normalize_path": True, "merge_slashes": True},
    "esc-reject": {"path_with_escaped_slashes_action": "REJECT_REQUEST"}, "esc-redirect": {"path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT"},
    "esc-forward": {"path_with_escaped_slashes_action": "UNESCAPE_AND_FORWARD", "normalize_path": True}, "esc-keep": {"path_with_escaped_slashes_action": "KEEP_UNCHANGED"},
}
HOSTS = {"any-port": {"strip_any_host_port": True}, "own-port": {"strip_matching_host_port": True}, "dot": {"strip_trailing_host_dot": True},
         "dot-port": {"strip_trailing_host_dot": True, "strip_any_host_port": True}}
OTHER = {
    "scheme": {"scheme_header_transformation": {"scheme_to_overwrite": "https"}}, "via": {"via": "nuncio-test"},
    "server-pass": {"server_header_transformation": "PASS_THROUGH"}, "local": {"local_reply_config": LOCAL_REPLY},
    "once": {"common_http_protocol_options": {"max_requests_per_connection": 1}}, "one": {"max_request_headers_kb": 1},
    "quiet": {"http_filters": [{"name": "router", "typed_config": {"@type": c.ROUTER, "suppress_envoy_headers": True}}]},
    "no-stats": {"http_filters": [{"name": "router", "typed_config": {"@type": c.ROUTER, "dynamic_stats": False}}]},
    "strict": {"http_filters": [{"name": "router", "typed_config": {"@type": c.ROUTER, "strict_check_headers": [
        "x-envoy-upstream-rq-timeout-ms", "x-envoy-max-retries", "x-envoy-retry-on"]}}]},
    "respect": {"http_filters": [{"name": "router", "typed_config": {"@type": c.ROUTER, "respect_expected_rq_timeout": True}}]},
    "flush": {"flush_access_log_on_new_request": True},
}
LISTENERS = {**ADDRESS, **IDS, **PATHS, **HOSTS, **OTHER}


def bootstrap(origins, log):
    table = c.routes("r", c.vhost("all", ["*"], c.route({"prefix": "/private"}, "b", name="private"), c.direct({"prefix": "/teapot"}, 418, "short and stout"),
                                  c.route({"prefix": "/nobody"}, "nobody"), c.route({"prefix": "/"}, "a", name="rest")), c.vhost("none", ["none.test"]),
                     c.vhost("named", ["named.test"], c.route("/", "b", name="named")))
    listeners = []
    for name, options in LISTENERS.items():
        made = c.hcm(table, stat_prefix=name, access_log=[wide_log(log)], delayed_close_timeout="0.1s", **{k: v for k, v in options.items() if k != "http_filters"})
        if "http_filters" in options:
            made["typed_config"]["http_filters"] = options["http_filters"]
        listeners.append(c.listener(name, made))
    return c.static_bootstrap(listeners, [c.cluster("a", origins["a"].port), c.cluster("b", origins["b"].port), c.cluster("nobody")],
        layered_runtime=NO_REPLAYS)


def on(listener, name, target="/", headers=(), **more):
    data = more.pop("data", None) or get(target, more.pop("host", "test"), headers)
    return case(f"{listener}: {name}", data, listener=listener, **more)


FORWARDED = {
    "nothing": {}, "one": {"x-forwarded-for": "1.2.3.4"}, "private": {"x-forwarded-for": "10.0.0.7"}, "two": {"x-forwarded-for": "1.2.3.4, 10.0.0.5"},
    "three": {"x-forwarded-for": "1.1.1.1,2.2.2.2, 10.1.1.1"}, "nonsense": {"x-forwarded-for": "unknown"}, "v6": {"x-forwarded-for": "2001:db8::1"},
    "with a port": {"x-forwarded-for": "1.2.3.4:99"}, "proto": {"x-forwarded-proto": "https"}, "bad proto": {"x-forwarded-proto": "gopher"},
    "own": {"x-client-ip": "7.7.7.7", "x-forwarded-for": "1.2.3.4"}, "bad own": {"x-client-ip": "x"}, "loopback": {"x-forwarded-for": "127.0.0.1"},
    "host and port": {"x-forwarded-host": "h", "x-forwarded-port": "1"}, "internal": {"x-envoy-internal": "true", "x-envoy-external-address": "1.1.1.1"},
    "x-envoy": {"x-envoy-retry-on": "5xx", "x-envoy-upstream-rq-timeout-ms": "500", "x-envoy-decorator-operation": "o", "x-envoy-ip-tags": "t", "x-envoy-peer-metadata": "m"},
    "cert": {"x-forwarded-client-cert": "Hash=abc"},
}
IDENTIFIERS = {"no id": {}, "an id": {"x-request-id": "f47ac10b-58cc-4372-a567-0e02b2c3d479"}, "an odd id": {"x-request-id": "mine"}, "an empty id": {"x-request-id": ""},
               "traced": {"x-client-trace-id": "t"}, "forced": {"x-envoy-force-trace": "true"}}
TARGETS = ("/a/../private/x", "/a/./b", "/a//b///c", "//private", "/private%2fx", "/a%2F..%2Fprivate", "/a%5Cb", "/a\\b", "/a/%2e%2e/private", "/%2E%2e/private", "/a/..;/private",
           "/private;x", "/a?x=/../y", "/a/..?x", "/../../x", "/a/b/..", "/%00", "/%7Ex", "/a%20b", "/a#/../b", "/.", "/..%2f..", "/a/..%5c..")
NAMES = ("named.test", "named.test:80", "named.test:443", "named.test.", "named.test.:80", "named.test:", "none.test", "[::1]:80", "test:8080", "NAMED.test")

# Envoy's refusal already knows the route if the client says x-forwarded-proto.
KNOWS = ("log:cluster", "log:route")
CASES = [on(l, name, headers=h, ignore=KNOWS if l == "custom-403" else ()) for l in ADDRESS for name, h in FORWARDED.items()]
CASES += [on(l, name, headers=h) for l in IDS for name, h in IDENTIFIERS.items()]
CASES += [on(l, t, t) for l in PATHS for t in TARGETS]
CASES += [on(l, n, host=n) for l in HOSTS for n in NAMES]
CASES += [
    on("scheme", "plain"), on("scheme", "given", headers={"x-forwarded-proto": "http"}), on("scheme", "absolute", data=b"GET http://test/ HTTP/1.1\r\nHost: t\r\n\r\n"),
    on("via", "none"), on("via", "appended", headers={"via": "1.0 x"}, action=Reply(headers={"via": "1.1 y"})), on("via", "local", "/teapot"),
    on("server-pass", "absent"), on("server-pass", "given", action=Reply(headers={"server": "o"})), on("server-pass", "local", "/teapot"),
    on("local", "404", "/", host="none.test"), on("local", "teapot", "/teapot"), on("local", "UC", "/x", action=early_close()), on("local", "nobody", "/nobody"),
    on("local", "nobody mapped", "/nobody", {"x-map": "1"}), on("local", "gRPC", "/nobody", {"content-type": "application/grpc"}), on("local", "HEAD", data=get("/teapot", method="HEAD")),
    on("local", "400", data=b"GET / HTTP/1.1\r\n\r\n"), on("local", "a bad line", data=b"BAD\r\n\r\n"), on("local", "origin's 404", action=Reply(404, body=b"own")),
    on("local", "431", headers={"x-big": "v" * 70000}),
    on("once", "closes"), on("once", "POST closes", data=post("/", b"abc")), on("one", "fits", headers={"x-a": "v" * 500}), on("one", "does not", headers={"x-a": "v" * 1500}),
    on("quiet", "plain"), on("quiet", "nobody", "/nobody"), on("quiet", "timeout", headers={"x-envoy-upstream-rq-timeout-ms": "900"}),
    on("no-stats", "plain"), on("no-stats", "nobody", "/nobody"), on("flush", "plain", log=2),
    on("strict", "good", headers={"x-envoy-upstream-rq-timeout-ms": "900", "x-envoy-retry-on": "5xx"}), on("strict", "bad timeout", headers={"x-envoy-upstream-rq-timeout-ms": "x"}),
    on("strict", "bad retries", headers={"x-envoy-max-retries": "x"}), on("strict", "bad condition", headers={"x-envoy-retry-on": "sometimes"}),
    on("respect", "expected", headers={"x-envoy-expected-rq-timeout-ms": "700"}), on("respect", "both", headers={"x-envoy-expected-rq-timeout-ms": "700", "x-envoy-upstream-rq-timeout-ms": "900"}),
]


@pytest.mark.differential
@pytest.mark.parametrize("item", CASES, ids=lambda item: item.name)
def test_edge(wide, item):
    wide.run(item)
