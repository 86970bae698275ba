"""What the route does to a request and its response: rewrites, redirects, direct responses, headers."""

import pytest

from harness import config as c
from harness.differential import case, get, post
from harness.upstream import Reply


def add(key, value, action=None, **more):
    out = {"header": {"key": key, "value": value}, **more}
    if action:
        out["append_action"] = action
    return out


def to(**action):
    return {"cluster": "a", **action}


REWRITES = c.vhost(
    "rewrites", ["rewrite.test"],
    c.route("/prefix/", to(prefix_rewrite="/new/")),
    c.route("/strip", to(prefix_rewrite="/")),
    c.route({"path": "/exact"}, to(prefix_rewrite="/other")),
    c.route({"path_separated_prefix": "/sep"}, to(prefix_rewrite="/parts")),
    c.route({"safe_regex": {"regex": "/whole/[a-z]+"}}, to(prefix_rewrite="/gone")),
    c.route("/regex/", to(regex_rewrite={"pattern": {"regex": "^/regex/([^/]+)/(.*)$"}, "substitution": "/\\2/\\1"})),
    c.route("/host-literal", to(host_rewrite_literal="rewritten.test")),
    c.route("/host-append", to(host_rewrite_literal="rewritten.test", append_x_forwarded_host=True)),
    c.route("/host-header", to(host_rewrite_header="x-new-host")),
)
REDIRECTS = c.vhost(
    "redirects", ["redirect.test", "redirect.test:8080"],
    c.route("/plain", redirect={}),
    c.route("/https", redirect={"https_redirect": True}),
    c.route("/host", redirect={"host_redirect": "other.test"}),
    c.route("/port", redirect={"port_redirect": 8443}),
    c.route("/path", redirect={"path_redirect": "/new/place"}),
    c.route("/query-path", redirect={"path_redirect": "/new?fixed=1"}),
    c.route("/prefix", redirect={"prefix_rewrite": "/re"}),
    c.route("/strip", redirect={"path_redirect": "/s", "strip_query": True}),
    c.route("/scheme", redirect={"scheme_redirect": "ftp"}),
    c.route("/302", redirect={"response_code": "FOUND", "path_redirect": "/x"}),
    c.route("/303", redirect={"response_code": "SEE_OTHER", "path_redirect": "/x"}),
    c.route("/307", redirect={"response_code": "TEMPORARY_REDIRECT", "path_redirect": "/x"}),
    c.route("/308", redirect={"response_code": "PERMANENT_REDIRECT", "path_redirect": "/x"}),
    c.route("/regex", redirect={"regex_rewrite": {"pattern": {"regex": "^/regex/(.*)$"}, "substitution": "/r/\\1"}}),
)
DIRECT = c.vhost(
    "direct", ["direct.test"],
    c.direct("/200", 200, "hello"), c.direct("/204", 204), c.direct("/301", 301), c.direct("/403", 403, "no"),
    c.direct("/503", 503, "down", response_headers_to_add=[add("x-why", "maintenance")]),
    c.direct("/typed", 200, "{}", response_headers_to_add=[
        add("content-type", "application/json", "OVERWRITE_IF_EXISTS_OR_ADD")]),
)
HEADERS = c.vhost(
    "headers", ["headers.test"],
    c.route("/request", to(), request_headers_to_add=[
        add("x-append", "new"), add("x-overwrite", "new", "OVERWRITE_IF_EXISTS_OR_ADD"),
        add("x-if-absent", "new", "ADD_IF_ABSENT"), add("x-if-present", "new", "OVERWRITE_IF_EXISTS"),
        add("x-old-append", "new", append=True), add("x-old-set", "new", append=False)],
        request_headers_to_remove=["x-gone", "x-gone-too"]),
    c.route("/response", to(), response_headers_to_add=[
        add("x-append", "new"), add("x-overwrite", "new", "OVERWRITE_IF_EXISTS_OR_ADD"),
        add("x-if-absent", "new", "ADD_IF_ABSENT"), add("x-if-present", "new", "OVERWRITE_IF_EXISTS")],
        response_headers_to_remove=["x-gone", "x-origin"]),
    c.route("/operators", to(), request_headers_to_add=[
        add("x-remote", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),
        add("x-local", "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%"),
        add("x-protocol", "%PROTOCOL%"), add("x-req", "%REQ(x-in)%"), add("x-req-alt", "%REQ(x-none?x-in)%"),
        add("x-req-cut", "%REQ(x-in):3%"), add("x-path", "%REQ(:PATH)%"), add("x-absent", "[%REQ(x-none)%]"),
        add("x-percent", "100%%"), add("x-route", "%ROUTE_NAME%"), add("x-cluster", "%UPSTREAM_CLUSTER%"),
        add("x-virtual", "%VIRTUAL_CLUSTER_NAME%"), add("x-mixed", "a-%PROTOCOL%-b")], name="the-route"),
    c.route("/answers", to(), response_headers_to_add=[
        add("x-code", "%RESPONSE_CODE%"), add("x-resp", "%RESP(x-origin)%"), add("x-flags", "%RESPONSE_FLAGS%"),
        add("x-details", "%RESPONSE_CODE_DETAILS%"), add("x-back", "%UPSTREAM_HOST%")]),
    c.route("/empty", to(), request_headers_to_add=[
        add("x-dropped", "%REQ(x-none)%"), add("x-kept", "%REQ(x-none)%", keep_empty_value=True)]),
    c.route("/levels", to(), request_headers_to_add=[add("x-level", "route")],
            response_headers_to_add=[add("x-level", "route")]),
    request_headers_to_add=[add("x-level", "vhost")], response_headers_to_add=[add("x-level", "vhost")],
    request_headers_to_remove=["x-vhost-gone"],
)


def bootstrap(origins, log):
    table = c.routes("r", REWRITES, REDIRECTS, DIRECT, HEADERS, request_headers_to_add=[add("x-level", "table")],
                     response_headers_to_add=[add("x-level", "table")], request_headers_to_remove=["x-table-gone"])
    first = c.routes("r2", c.vhost("v", ["*"], c.route("/", "a", request_headers_to_add=[add("x-level", "route")]),
                                   request_headers_to_add=[add("x-level", "vhost", "OVERWRITE_IF_EXISTS_OR_ADD")]),
                     request_headers_to_add=[add("x-level", "table", "OVERWRITE_IF_EXISTS_OR_ADD")],
                     most_specific_header_mutations_wins=True)
    return c.static_bootstrap(
        [c.listener("l", c.hcm(table, log=log)), c.listener("wins", c.hcm(first, stat_prefix="wins", log=log))],
        [c.cluster("a", origins["a"].port)])


def rewritten(target, wanted, name=None):
    return case(name or f"rewrite {target}", get(target, "rewrite.test"), status=200, target=wanted,
                upstream_headers={"x-envoy-original-path": target})


def redirected(target, location, status=301, host="redirect.test", **headers):
    return case(f"redirect {host}{target} {headers or ''}", get(target, host, headers), status=status, body=b"",
                headers={"location": location}, requests=0, details="direct_response")


CASES = [
    rewritten("/prefix/x", "/new/x"), rewritten("/prefix/x?q=1", "/new/x?q=1"), rewritten("/strip", "/"),
    rewritten("/strip/x", "//x"), rewritten("/stripped?a", "/ped?a"), rewritten("/exact", "/other"),
    rewritten("/exact?q", "/other?q"), rewritten("/sep", "/parts"), rewritten("/sep/x", "/parts/x"),
    rewritten("/whole/abc?q=1", "/gone?q=1"), rewritten("/regex/a/b", "/b/a"), rewritten("/regex/a/b/c?q=/regex/x/y", "/b/c/a?q=/regex/x/y"),
    case("a rewrite that leaves the path alone", get("/regex/a", "rewrite.test"), status=200, target="/regex/a"),
    case("host literal", get("/host-literal", "rewrite.test"), status=200, host="rewritten.test",
         upstream_headers={"x-forwarded-host": None}),
    case("host literal, the old one kept", get("/host-append", "rewrite.test"), status=200, host="rewritten.test",
         upstream_headers={"x-forwarded-host": "rewrite.test"}),
    case("host from a header", get("/host-header", "rewrite.test", {"x-new-host": "from-header.test"}), status=200,
         host="from-header.test"),
    case("host from a header that is not there", get("/host-header", "rewrite.test"), status=200),

    redirected("/plain", "http://redirect.test/plain"), redirected("/https/x?q=1", "https://redirect.test/https/x?q=1"),
    redirected("/https", "https://redirect.test:8080/https", host="redirect.test:8080"),
    redirected("/host/x", "http://other.test/host/x"), redirected("/port/x", "http://redirect.test:8443/port/x"),
    redirected("/port", "http://redirect.test:8443/port", host="redirect.test:8080"),
    redirected("/path?q=1", "http://redirect.test/new/place?q=1"),
    redirected("/query-path?q=1", "http://redirect.test/new?fixed=1"),
    redirected("/prefix/x?q=1", "http://redirect.test/re/x?q=1"), redirected("/strip?q=1", "http://redirect.test/s"),
    redirected("/scheme", "ftp://redirect.test/scheme"), redirected("/302", "http://redirect.test/x", 302),
    redirected("/303", "http://redirect.test/x", 303), redirected("/307", "http://redirect.test/x", 307),
    redirected("/308", "http://redirect.test/x", 308), redirected("/regex/a/b", "http://redirect.test/r/a/b"),
    case("redirect of a POST", post("/307", b"body", host="redirect.test"), status=307, requests=0),

    case("direct 200", get("/200", "direct.test"), status=200, body=b"hello", details="direct_response",
         headers={"content-type": "text/plain", "content-length": "5"}, requests=0),
    case("direct HEAD", get("/200", "direct.test", method="HEAD"), status=200, headers={"content-length": "5"}),
    case("direct 204", get("/204", "direct.test"), status=204, body=b""),
    case("direct 301", get("/301", "direct.test"), status=301, body=b""),
    case("direct 403", get("/403", "direct.test"), status=403, body=b"no"),
    case("direct 503 with a header", get("/503", "direct.test"), status=503, headers={"x-why": "maintenance"}),
    case("direct with its own type", get("/typed", "direct.test"), status=200,
         headers={"content-type": "application/json"}),
    case("direct to a POST with a body", post("/200", b"x" * 1000, host="direct.test"), status=200, body=b"hello"),

    case("request headers on a bare request", get("/request", "headers.test"), status=200,
         upstream_headers={"x-append": "new", "x-overwrite": "new", "x-if-absent": "new", "x-if-present": None,
                           "x-old-append": "new", "x-old-set": "new"}),
    case("request headers on a full one", get("/request", "headers.test", {
        "x-append": "old", "x-overwrite": "old", "x-if-absent": "old", "x-if-present": "old", "x-old-append": "old",
        "x-old-set": "old", "x-gone": "1", "X-Gone-Too": "1", "x-table-gone": "1", "x-vhost-gone": "1"}), status=200,
        upstream_headers={"x-append": "old,new", "x-overwrite": "new", "x-if-absent": "old", "x-if-present": "new",
                          "x-old-append": "old,new", "x-old-set": "new", "x-gone": None, "x-gone-too": None,
                          "x-table-gone": None, "x-vhost-gone": None}),
    case("response headers on a bare answer", get("/response", "headers.test"), status=200,
         headers={"x-append": "new", "x-overwrite": "new", "x-if-absent": "new", "x-if-present": None,
                  "x-origin": None}),
    case("response headers on a full one", get("/response", "headers.test"), status=200,
         action=Reply(headers={"x-append": "old", "x-overwrite": "old", "x-if-absent": "old", "x-if-present": "old",
                               "x-gone": "1"}),
         headers={"x-append": "old,new", "x-overwrite": "new", "x-if-absent": "old", "x-if-present": "new",
                  "x-gone": None}),
    case("operators", get("/operators?q=1", "headers.test", {"x-in": "incoming"}), status=200, upstream_headers={
        "x-remote": "127.0.0.1", "x-local": "127.0.0.1", "x-protocol": "HTTP/1.1", "x-req": "incoming",
        "x-req-alt": "incoming", "x-req-cut": "inc", "x-path": "/operators?q=1", "x-percent": "100%",
        "x-route": "the-route", "x-mixed": "a-HTTP/1.1-b"}),
    case("operators on the response", get("/answers", "headers.test"), status=200,
         headers={"x-code": "200", "x-resp": "a", "x-flags": "-", "x-details": "via_upstream"}),
    case("empty values", get("/empty", "headers.test"), status=200, upstream_headers={"x-dropped": None, "x-kept": ""}),
    case("levels", get("/levels", "headers.test"), status=200, upstream_headers={"x-level": "route,vhost,table"},
         headers={"x-level": "route,vhost,table"}),
    case("most specific wins", get("/levels", "headers.test"), listener="wins", status=200),
]


@pytest.mark.differential
@pytest.mark.parametrize("item", CASES, ids=lambda item: item.name)
def test_rewrite(duel, item):
    duel.run(item)
