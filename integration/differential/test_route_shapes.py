"""What a route table may do with a request: matches, redirects, direct responses, rewrites, header rules, cookies,
timeouts, clusters that are not there."""

import pytest

from harness import config as c
from harness.differential import case, get, post
from harness.upstream import BlackHole, Refused, Reply, hang
from harness.wide import log as wide_log

REGEX = {"google_re2": {}}


def add(name, value, action=None, empty=False):
    """A HeaderValueOption."""
    out = {"header": {"key": name, "value": value}}
    if action:
        out["append_action"] = action
    if empty:
        out["keep_empty_value"] = True
    return out


def regex(pattern):
    return {"regex": pattern}


def header_match(name, **how):
    return {"name": name, **how}


def by_header(path, name, **how):
    return c.route({"prefix": path, "headers": [header_match(name, **how)]}, "b", name=f"{path}-matched")


def by_query(path, name, **how):
    return c.route({"prefix": path, "query_parameters": [{"name": name, **how}]}, "b", name=f"{path}-matched")


ACTIONS = ("APPEND_IF_EXISTS_OR_ADD", "ADD_IF_ABSENT", "OVERWRITE_IF_EXISTS_OR_ADD", "OVERWRITE_IF_EXISTS")
REDIRECTS = {
    "host": {"host_redirect": "new.test"}, "path": {"path_redirect": "/new"}, "path-query": {"path_redirect": "/new?x=1"},
    "prefix": {"prefix_rewrite": "/new"}, "https": {"https_redirect": True}, "scheme": {"scheme_redirect": "ftp"},
    "port": {"port_redirect": 8443}, "port-80": {"port_redirect": 80}, "https-port": {"https_redirect": True, "port_redirect": 443},
    "strip": {"host_redirect": "new.test", "strip_query": True}, "302": {"host_redirect": "new.test", "response_code": "FOUND"},
    "303": {"host_redirect": "new.test", "response_code": "SEE_OTHER"}, "307": {"path_redirect": "/n", "response_code": "TEMPORARY_REDIRECT"},
    "308": {"path_redirect": "/n", "response_code": "PERMANENT_REDIRECT"},
    "regex": {"regex_rewrite": {"pattern": regex("^/redirect/regex/(.*)$"), "substitution": "/r/\\1"}},
    "all": {"host_redirect": "h.test", "https_redirect": True, "path_redirect": "/p", "port_redirect": 1234, "strip_query": True},
}
REWRITES = {
    "prefix": {"prefix_rewrite": "/new"}, "root": {"prefix_rewrite": "/"}, "slash": {"prefix_rewrite": "/new/"},
    "regex": {"regex_rewrite": {"pattern": regex("/(\\w+)/regex"), "substitution": "/\\1-x/"}},
    "regex-all": {"regex_rewrite": {"pattern": regex("e"), "substitution": "E"}},
    "regex-none": {"regex_rewrite": {"pattern": regex("zzz"), "substitution": "x"}},
    "host": {"host_rewrite_literal": "lit.test"}, "host-header": {"host_rewrite_header": "x-host"},
    "host-path": {"host_rewrite_path_regex": {"pattern": regex("^/rewrite/host-path/([^/]+).*$"), "substitution": "\\1"}},
    "host-xf": {"host_rewrite_literal": "lit.test", "append_x_forwarded_host": True},
    "template": {"prefix_rewrite": "/a?b=c"},
}
BODY = "%LOCAL_REPLY_BODY%|%RESPONSE_CODE%|%REQ(x-in)%|%RESP(x-direct)%|%RESPONSE_CODE_DETAILS%|%RESPONSE_FLAGS%|%ROUTE_NAME%"
FORMATTED = {  # status, body_format, body, more of the route
    "text": (200, {"text_format_source": {"inline_string": BODY}}, {"body": {"inline_string": "body"}}, {"name": "named"}),
    "typed": (404, {"text_format_source": {"inline_string": BODY}, "content_type": "text/html"}, {},
              {"response_headers_to_add": [{"header": {"key": "x-direct", "value": "yes"}}]}),
    "json": (200, {"json_format": {"in": "%REQ(x-in)%", "none": "%REQ(x-none)%", "body": "%LOCAL_REPLY_BODY%", "n": 5}, "omit_empty_values": True},
             {"body": {"inline_string": "b"}}, {}),
    "nothing": (200, {"text_format_source": {"inline_string": "%REQ(x-none)%"}, "omit_empty_values": True}, {"body": {"inline_string": "b"}}, {}),
    "moved": (301, {"text_format_source": {"inline_string": "moved"}}, {}, {}),
}
FORMATS = {
    "req": "%REQ(x-in)%", "none": "%REQ(x-none)%", "alt": "%REQ(x-none?x-in)%", "cut": "%REQ(x-in):2%", "method": "%REQ(:METHOD)%",
    "path": "%REQ(:PATH)%", "authority": "%REQ(:AUTHORITY)%", "host-header": "%REQ(x-none?HOST)%", "proto": "%PROTOCOL%", "percent": "100%%", "mixed": "a-%PROTOCOL%-b",
    "host": "%UPSTREAM_HOST%", "cluster": "%UPSTREAM_CLUSTER%", "remote": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "direct": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%", "local": "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%",
    "hostname-free": "literal", "route": "%ROUTE_NAME%", "code": "%RESPONSE_CODE%", "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%", "received": "%BYTES_RECEIVED%", "sent": "%BYTES_SENT%", "resp": "%RESP(x-origin)%",
    "status": "%RESP(:STATUS)%", "stream": "%STREAM_ID%", "scheme": "%REQ(:SCHEME)%", "vc": "%VIRTUAL_CLUSTER_NAME%",
    "sni": "%REQUESTED_SERVER_NAME%", "up-proto": "%UPSTREAM_PROTOCOL%", "meta": "%METADATA(ROUTE:test:key)%",
    "dyn": "%DYNAMIC_METADATA(x:y)%", "duration": "%GRPC_STATUS%",
}
NAMED = [("x-set", "new"), ("x-add", "more")]


def table():
    routes = [
        # Matches.
        c.route({"path": "/exact"}, "b", name="exact"), c.route({"path": "/exact-ci", "case_sensitive": False}, "b", name="exact-ci"),
        c.route({"prefix": "/prefix"}, "b", name="prefix"), c.route({"prefix": "/ci-prefix", "case_sensitive": False}, "b"),
        c.route({"path_separated_prefix": "/sep"}, "b", name="separated"),
        c.route({"safe_regex": regex("/re/[0-9]+")}, "b", name="regex"), c.route({"safe_regex": regex("/re.*/\\w{2}")}, "b", name="regex2"),
        by_header("/h/exact", "x-in", string_match={"exact": "v"}), by_header("/h/prefix", "x-in", string_match={"prefix": "v"}),
        by_header("/h/suffix", "x-in", string_match={"suffix": "v"}), by_header("/h/contains", "x-in", string_match={"contains": "v"}),
        by_header("/h/ci", "x-in", string_match={"exact": "V", "ignore_case": True}),
        by_header("/h/regex", "x-in", string_match={"safe_regex": regex("v+")}), by_header("/h/present", "x-in", present_match=True),
        by_header("/h/absent", "x-in", present_match=False), by_header("/h/not", "x-in", string_match={"exact": "v"}, invert_match=True),
        by_header("/h/range", "x-in", range_match={"start": -5, "end": 10}),
        by_header("/h/missing", "x-in", string_match={"exact": ""}, treat_missing_header_as_empty=True),
        by_header("/h/method", ":method", string_match={"exact": "PUT"}), by_header("/h/authority", ":authority", string_match={"suffix": ".b"}),
        by_header("/h/host", "host", string_match={"exact": "test"}),
        by_header("/h/path", ":path", string_match={"contains": "?x"}), by_header("/h/scheme", ":scheme", string_match={"exact": "http"}),
        by_query("/q/present", "k", present_match=True), by_query("/q/exact", "k", string_match={"exact": "v"}),
        by_query("/q/regex", "k", string_match={"safe_regex": regex("v+")}),
        c.route({"prefix": "/grpc", "grpc": {}}, "b", name="grpc"),
        c.route({"prefix": "/fraction/never", "runtime_fraction": {"default_value": {"numerator": 0}}}, "b"),
        c.route({"prefix": "/fraction/always", "runtime_fraction": {"default_value": {"numerator": 100}}}, "b"),
        # Answers without an origin.
        *[c.route({"prefix": f"/redirect/{name}"}, redirect=to) for name, to in REDIRECTS.items()],
        *[c.direct({"prefix": f"/direct/{code}"}, code, body) for code, body in (
            (200, "text"), (201, None), (204, None), (304, None), (301, "moved"), (404, "none"), (500, "x" * 3000), (599, ""))],
        c.direct({"prefix": "/direct/headers"}, 200, "{}", response_headers_to_add=[
            add("content-type", "application/json"), add("x-direct", "%REQ(x-in)%")]),
        *[c.route({"prefix": f"/formatted/{name}"}, direct_response={"status": status, "body_format": form, **body}, **more)
          for name, (status, form, body, more) in FORMATTED.items()],
        # Rewrites.
        *[c.route({"prefix": f"/rewrite/{name}"}, {"cluster": "a", **REWRITES[name]})
          for name in sorted(REWRITES, key=len, reverse=True)],
        c.route({"path": "/rewrite-exact"}, {"cluster": "a", "prefix_rewrite": "/new"}),
        c.route({"safe_regex": regex("/rewrite-re/.*")}, {"cluster": "a", "prefix_rewrite": "/new"}),
        c.route({"path_separated_prefix": "/rewrite-sep"}, {"cluster": "a", "prefix_rewrite": "/new"}),
        # Headers.
        *[c.route({"prefix": f"/action/{action}"}, "a", request_headers_to_add=[add(*pair, action) for pair in NAMED],
                  response_headers_to_add=[add(*pair, action) for pair in NAMED]) for action in ACTIONS],
        c.route({"prefix": "/remove"}, "a", request_headers_to_remove=["x-in", "user-agent"], response_headers_to_remove=["x-origin", "server"]),
        c.route({"prefix": "/empty"}, "a", request_headers_to_add=[add("x-dropped", "%REQ(x-none)%"), add("x-kept", "", empty=True)],
                response_headers_to_add=[add("x-dropped", ""), add("x-kept", "%REQ(x-none)%", empty=True)]),
        c.route({"prefix": "/add-xff"}, "a", request_headers_to_add=[add("x-forwarded-for", "9.9.9.9")]),
        *[c.route({"prefix": f"/format/{name}/"}, "a", name=f"f-{name}", metadata={"filter_metadata": {"test": {"key": "value"}}},
                  request_headers_to_add=[add("x-out", fmt)], response_headers_to_add=[add("x-out", fmt)])
          for name, fmt in FORMATS.items()],
        # Clusters.
        c.route({"prefix": "/cluster-host"}, {"cluster_header": "host"}),
        c.route({"prefix": "/cluster-header"}, {"cluster_header": "x-to"}),
        c.route({"prefix": "/weighted"}, {"weighted_clusters": {"clusters": [
            {"name": "a", "weight": 0}, {"name": "b", "weight": 1, "request_headers_to_add": [add("x-w", "b")],
                                         "response_headers_to_add": [add("x-wr", "b")], "response_headers_to_remove": ["x-origin"]}]}}),
        c.route({"prefix": "/own-host"}, {"weighted_clusters": {"clusters": [
            {"name": "b", "weight": 1, "host_rewrite_literal": "own.test", "request_headers_to_add": [add("x-w", "%REQ(:AUTHORITY)%")]}]}},
                request_headers_to_add=[add("x-r", "%REQ(HOST)%")]),
        c.route({"prefix": "/own-route-host"}, {"host_rewrite_literal": "lit.test", "append_x_forwarded_host": True, "weighted_clusters": {"clusters": [
            {"name": "b", "weight": 1, "host_rewrite_literal": "own.test"}]}}),
        c.route({"prefix": "/weighted-header"}, {"weighted_clusters": {"clusters": [
            {"name": "a", "weight": 1}, {"name": "b", "weight": 1}], "header_name": "x-pick"}}),
        c.route({"prefix": "/nobody"}, "nobody"), c.route({"prefix": "/refused"}, "refused"), c.route({"prefix": "/black"}, "black"),
        c.route({"prefix": "/not-found-404"}, {"cluster_header": "x-to", "cluster_not_found_response_code": "NOT_FOUND"}),
        c.route({"prefix": "/not-found-500"}, {"cluster_header": "x-to", "cluster_not_found_response_code": "INTERNAL_SERVER_ERROR"}),
        # Time.
        c.route({"prefix": "/timeout/short"}, {"cluster": "a", "timeout": "0.1s"}), c.route({"prefix": "/timeout/none"}, {"cluster": "a", "timeout": "0s"}),
        c.route({"prefix": "/timeout/idle"}, {"cluster": "a", "timeout": "0s", "idle_timeout": "0.1s"}),
        c.route({"prefix": "/timeout/stream"}, {"cluster": "a", "timeout": "0s", "max_stream_duration": {"max_stream_duration": "0.1s"}}),
        c.route({"prefix": "/limit-grpc"}, {"cluster": "a", "max_stream_duration": {"grpc_timeout_header_max": "5s"}}),
        # Cookies and hashes.
        c.route({"prefix": "/cookie"}, {"cluster": "a", "hash_policy": [{"cookie": {"name": "sticky", "ttl": "0s", "path": "/p"}}]}),
        c.route({"prefix": "/end"}, "a", name="end"),
    ]
    return c.routes(
        "r", c.vhost("all", ["*"], *routes, c.route({"prefix": "/plain"}, "a", name="rest")),
        c.vhost("star-suffix", ["*.suffix.test"], c.route("/", "b", name="suffix")),
        c.vhost("star-prefix", ["prefix.*"], c.route("/", "b", name="prefix-star")),
        c.vhost("longer", ["*.longer.suffix.test", "x.suffix.test"], c.route("/", "a", name="longer")),
        c.vhost("port", ["port.test:8080"], c.route("/", "b", name="with-port")), c.vhost("port2", ["port.test"], c.route("/", "a", name="no-port")),
        c.vhost("headers", ["headers.test"], c.route("/", "a", request_headers_to_add=[add("x-all", "route")],
                                                     response_headers_to_add=[add("x-all", "route")]),
                request_headers_to_add=[add("x-all", "vhost"), add("x-vhost", "1")], response_headers_to_add=[add("x-all", "vhost")],
                request_headers_to_remove=["x-gone"], response_headers_to_remove=["x-origin"]),
        c.vhost("tls", ["tls.test"], c.route("/", "a"), require_tls="ALL"), c.vhost("tls-ext", ["tls-ext.test"], c.route("/", "a"), require_tls="EXTERNAL_ONLY"),
        c.vhost("attempts", ["attempts.test"], c.route("/", "a"), include_request_attempt_count=True, include_attempt_count_in_response=True),
        c.vhost("empty", ["empty.test"]),
        request_headers_to_add=[add("x-all", "table")], response_headers_to_add=[add("x-all", "table")],
        request_headers_to_remove=["x-table-gone"], response_headers_to_remove=["x-internal"],
        internal_only_headers=["x-internal-only"])


def bootstrap(origins, log):
    if not hasattr(origins["a"], "nobody"):  # the same addresses for both, for as long as the origins live
        origins["a"].nobody = (BlackHole(), Refused())
    black, refused = origins["a"].nobody
    internal = {"cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}
    hcm = c.hcm(table(), stat_prefix="routes", access_log=[wide_log(log)], delayed_close_timeout="0.1s", internal_address_config=internal)
    specific = {**table(), "most_specific_header_mutations_wins": True}
    wins = c.hcm(specific, stat_prefix="specific", access_log=[wide_log(log)])
    return c.static_bootstrap(
        [c.listener("l", hcm), c.listener("specific", wins)],
        [c.cluster("a", origins["a"].port), c.cluster("b", origins["b"].port), c.cluster("nobody"), c.cluster("refused", refused.port),
         c.cluster("black", black.port, connect_timeout="0.1s")])


# Envoy counts all that a read has brought, wanted or not.
MANY = ("log:wire_in",)


def to(origin, target, **more):
    return case(f"{more.pop('name', '')}{target} to {origin}", get(target, headers=more.pop("headers", ()), method=more.pop("method", "GET"),
                                                                host=more.pop("host", "test")), origin=origin, **more)


IN = {"x-in": "value"}
MATCHES = [
    to("b", "/exact"), to("b", "/exact?q"), to(None, "/exact/"), to(None, "/EXACT"), to("b", "/EXACT-CI"), to("b", "/prefixed"), to("b", "/prefix?x"),
    to("b", "/CI-Prefix/x"), to("b", "/sep"), to("b", "/sep/x"), to("b", "/sep?x"), to(None, "/separate"), to("b", "/re/12"), to(None, "/re/12x"),
    to("b", "/re/12?x"), to("b", "/re/x/ab"), to(None, "/nothing"), to("a", "/end/../plain"),
    *[to("b" if hit else None, f"/h/{how}", name=f"{value!r} ", headers={} if value is None else {"x-in": value}) for how, value, hit in (
        ("exact", "v", True), ("exact", "vv", False), ("exact", None, False), ("prefix", "vx", True), ("prefix", "x", False), ("suffix", "xv", True),
        ("contains", "xvx", True), ("contains", "x", False), ("ci", "v", True), ("regex", "vvv", True), ("regex", "vx", False), ("present", "", True),
        ("present", None, False), ("absent", None, True), ("absent", "v", False), ("not", "x", True), ("not", "v", False), ("not", None, False),
        ("range", "-5", True), ("range", "9", True), ("range", "10", False), ("range", "x", False), ("range", "5x", False), ("range", "", False),
        ("missing", None, True), ("missing", "x", False))],
    case("two values that match joined", get("/h/exact", headers=[("x-in", "v"), ("x-in", "v")])),
    to("b", "/h/method", method="PUT"), to(None, "/h/method"), to("b", "/h/authority", host="a.b"), to("b", "/h/path?x"), to("b", "/h/scheme"),
    to("b", "/q/present?k"), to("b", "/q/present?k=1"), to(None, "/q/present"), to(None, "/q/present?kk"), to("b", "/q/exact?a=1&k=v"),
    to(None, "/q/exact?k=V"), case("first of two parameters", get("/q/exact?k=x&k=v")), case("encoded parameter", get("/q/exact?k=%76")),
    case("encoded name", get("/q/exact?%6b=v")), to("b", "/q/regex?k=vv"), case("parameter and fragment", get("/q/exact?k=v#x")),
    to("b", "/grpc", headers={"content-type": "application/grpc"}, action=Reply(headers={"content-type": "application/grpc", "grpc-status": "0"})),
    to(None, "/grpc"), to("b", "/grpc", name="proto ", headers={"content-type": "application/grpc+proto"}),
    case("grpc-web is no grpc", get("/grpc", headers={"content-type": "application/grpc-web"})),
    to(None, "/fraction/never"), to("b", "/fraction/always"),
]
DOMAINS = [case(f"domain {host}", get("/plain", host=host)) for host in (
    "x.suffix.test", "y.suffix.test", "a.longer.suffix.test", "suffix.test", ".suffix.test", "prefix.x", "prefix.", "prefix", "port.test", "port.test:8080",
    "port.test:80", "PORT.TEST", "Y.Suffix.Test", "y.suffix.test:1", "headers.test", "empty.test", "tls.test", "tls-ext.test", "attempts.test")]
DOMAINS += [
    case("tls with a port", get("/plain?q", host="tls.test:8080")), case("tls, POST", post("/plain", b"x", host="tls.test"), ignore=MANY),
    case("tls of another", get("/plain", host="tls.test", headers={"x-forwarded-proto": "https"})),
    case("attempts that fail", get("/", host="attempts.test"), action=Reply(503)),
    case("headers at every level", get("/", host="headers.test", headers={"x-all": "own", "x-gone": "1", "x-table-gone": "1"}),
         action=Reply(headers={"x-internal": "1", "x-all": "origin"})),
    case("headers at every level, most specific wins", get("/", host="headers.test", headers={"x-all": "own"}), listener="specific"),
    case("internal only", get("/plain", headers={"x-internal-only": "1"})),
]
REDIRECTED = [case(f"redirect {name} {rest}", get(f"/redirect/{name}{rest}", host=host)) for name in REDIRECTS for rest, host in (
    ("", "old.test"), ("/x?y=1", "old.test:8080"))]
REDIRECTED += [case("redirect POST", post("/redirect/307", b"abc"), ignore=MANY), case("redirect HEAD", get("/redirect/host", method="HEAD")),
               case("redirect an address", get("/redirect/port", host="[::1]:80")), case("redirect https to http port", get("/redirect/https", host="t:80")),
               case("redirect with a proto", get("/redirect/host", headers={"x-forwarded-proto": "https"}))]
DIRECT = [case(f"{method} direct {what}", get(f"/direct/{what}", method=method, headers=IN))
          for what in ("200", "201", "204", "304", "301", "404", "500", "599", "headers") for method in ("GET", "HEAD")]
DIRECT += [case(f"{method} formatted {name}", get(f"/formatted/{name}", method=method, headers=headers))
           for name in FORMATTED for method, headers in (("GET", IN), ("HEAD", {}), ("GET", {"content-type": "application/grpc"}))]
DIRECT += [case("direct to POST", post("/direct/200", b"x" * 100), ignore=MANY), case("direct to gRPC", get("/direct/404", headers={"content-type": "application/grpc"})),
           case("direct to 1.0", b"GET /direct/200 HTTP/1.0\r\nHost: test\r\n\r\n"), case("no route to gRPC", get("/nothing", headers={"content-type": "application/grpc"})),
           case("direct, then close", get("/direct/200", headers={"connection": "close"}))]
REWRITTEN = [case(f"rewrite {name} {rest}", get(f"/rewrite/{name}{rest}", headers={"x-host": "from-header.test"})) for name in REWRITES
             for rest in ("", "/x?y=1", "x")]
REWRITTEN += [case(f"rewrite {t}", get(t)) for t in ("/rewrite-exact", "/rewrite-exact?x", "/rewrite-re/x?y", "/rewrite-sep", "/rewrite-sep/x", "/rewrite/prefix//x")]
REWRITTEN += [case("host of no header", get("/rewrite/host-header")), case("host of the path", get("/rewrite/host-path/named.test/x?y")),
              case("host of an empty header", get("/rewrite/host-header", headers={"x-host": ""})),
              case("x-forwarded-host is appended", get("/rewrite/host-xf", headers={"x-forwarded-host": "first.test"}))]
OPERATIONS = [case(f"{action} {'with' if there else 'without'}", get(f"/action/{action}", headers={"x-set": "old", "x-add": "old"} if there else {}),
                   action=Reply(headers={"x-set": "old", "x-add": "old"} if there else {})) for action in ACTIONS for there in (True, False)]
OPERATIONS += [
    case("appended to two", get("/action/APPEND_IF_EXISTS_OR_ADD", headers=[("x-set", "1"), ("x-b", "2"), ("x-set", "3")])),
    case("overwrites two", get("/action/OVERWRITE_IF_EXISTS_OR_ADD", headers=[("x-set", "1"), ("x-set", "3")])),
    case("removed", get("/remove", headers={**IN, "user-agent": "u"})), case("empty values", get("/empty")), case("adds to forwarding", get("/add-xff")),
    case("adds to forwarding after one", get("/add-xff", headers={"x-forwarded-for": "1.1.1.1"})),
    *[case(f"format {name}", get(f"/format/{name}/", headers=IN)) for name in FORMATS],
    case("format of an origin's fault", get("/format/flags/"), action=Reply(503)),
]
CLUSTERS = [
    case("cluster header", get("/cluster-header", headers={"x-to": "b"}), origin="b"), case("no cluster header", get("/cluster-header")),
    case("empty cluster header", get("/cluster-header", headers={"x-to": ""})), case("unknown cluster", get("/cluster-header", headers={"x-to": "none"})),
    case("two cluster headers", get("/cluster-header", headers=[("x-to", "a"), ("x-to", "b")])),
    case("unknown cluster, 404", get("/not-found-404", headers={"x-to": "none"})), case("unknown cluster, 500", get("/not-found-500", headers={"x-to": "none"})),
    case("weighted", get("/weighted"), origin="b"), case("host is the authority", get("/h/host"), origin="b", route="/h/host-matched"),
    case("weighted, its own host", get("/own-host"), host="own.test", upstream_headers={"x-w": "test", "x-r": "own.test"}),
    case("weighted, and the route's host", get("/own-route-host"), host="lit.test", upstream_headers={"x-envoy-original-host": "own.test"}),
    case("a cluster named by the host", get("/cluster-host", host="b"), origin="b"), case("no hosts", get("/nobody")), case("no hosts, HEAD", get("/nobody", method="HEAD")),
    case("no hosts, gRPC", get("/nobody", headers={"content-type": "application/grpc"})), case("no hosts, POST", post("/nobody", b"x"), ignore=MANY),
    case("refused", get("/refused")), case("refused, gRPC", get("/refused", headers={"content-type": "application/grpc"})), case("refused, POST", post("/refused", b"abc")),
    case("black hole", get("/black")), case("alternative stat name", get("/plain", headers={"x-envoy-upstream-alt-stat-name": "alt"})),
]
INSIDE = {"x-forwarded-for": "10.0.0.1"}  # whose x-envoy-* headers count
TIMES = [
    case("timeout", get("/timeout/short"), action=hang(), status=504), case("timeout, POST", post("/timeout/short", b"abc"), action=hang(), status=504),
    case("timeout, gRPC", get("/timeout/short", headers={"content-type": "application/grpc"}), action=hang()),
    case("timeout, HEAD", get("/timeout/short", method="HEAD"), action=hang()), case("in time", get("/timeout/short")),
    case("no timeout", get("/timeout/none")), case("idle", get("/timeout/idle"), action=hang()), case("stream", get("/timeout/stream"), action=hang()),
    case("timeout of the request", get("/plain", headers={**INSIDE, "x-envoy-upstream-rq-timeout-ms": "100"}), action=hang(), status=504),
    case("timeout of a try", get("/plain", headers={**INSIDE, "x-envoy-upstream-rq-per-try-timeout-ms": "100"}), action=hang(), status=504),
    case("timeout of nonsense", get("/plain", headers={**INSIDE, "x-envoy-upstream-rq-timeout-ms": "soon"})),
    case("alternative answer", get("/timeout/short", headers={**INSIDE, "x-envoy-upstream-rq-timeout-alt-response": "1"}), action=hang()),
    case("grpc-timeout", get("/limit-grpc", headers={"content-type": "application/grpc", "grpc-timeout": "100m"}), action=hang()),
    case("grpc-timeout beyond the maximum", get("/limit-grpc", headers={"content-type": "application/grpc", "grpc-timeout": "100S"})),
    case("bad grpc-timeout", get("/limit-grpc", headers={"content-type": "application/grpc", "grpc-timeout": "x"})),
    case("a cookie is made", get("/cookie")), case("a cookie is kept", get("/cookie", headers={"cookie": "sticky=1"})),
]

CASES = [*MATCHES, *DOMAINS, *REDIRECTED, *DIRECT, *REWRITTEN, *OPERATIONS, *CLUSTERS, *TIMES]


@pytest.mark.differential
@pytest.mark.parametrize("item", CASES, ids=lambda item: item.name)
def test_route(wide, item):
    wide.run(item)
