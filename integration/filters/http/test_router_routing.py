"""Which route takes a request: virtual hosts, path, header and query matchers, their order, weighted clusters."""

import collections

import pytest

from harness import config as c
from harness.client import request
from harness.differential import case, get

ORIGINS = ("a", "b")


def tagged(name, match, **more):
    """A route that answers with its own name."""
    return c.direct(match, 200, name, name=name, **more)


def header(name, **how):
    return {"prefix": "/h", "headers": [{"name": name, **how}]}


def query(name, **how):
    return {"prefix": "/q", "query_parameters": [{"name": name, **how}]}


PATHS = c.vhost(
    "paths", ["paths.test"],
    tagged("exact", {"path": "/exact"}),
    tagged("exact-slash", {"path": "/exact/"}),
    tagged("exact-nocase", {"path": "/NoCase", "case_sensitive": False}),
    tagged("prefix-long", {"prefix": "/api/v1/"}),
    tagged("prefix-short", {"prefix": "/api"}),
    tagged("prefix-nocase", {"prefix": "/Mixed", "case_sensitive": False}),
    tagged("separated", {"path_separated_prefix": "/sep"}),
    tagged("regex", {"safe_regex": {"regex": "/re/[a-z]+/[0-9]{2}"}}),
    tagged("regex-dot", {"safe_regex": {"regex": "/dot/.*\\.js"}}),
    tagged("shadowed", {"path": "/api/v1/x"}),
)
# First match wins, whatever is more specific.
ORDER = c.vhost(
    "order", ["order.test"],
    tagged("first-prefix", {"prefix": "/a"}),
    tagged("later-exact", {"path": "/a/b"}),
    tagged("conditional", {"prefix": "/c", "headers": [{"name": "x-c", "present_match": True}]}),
    tagged("regex-before", {"safe_regex": {"regex": "/c/.*"}}),
    tagged("prefix-after", {"prefix": "/c/"}),
    tagged("exact-last", {"path": "/c"}),
    tagged("rest", {"prefix": "/"}),
)
HEADERS = c.vhost(
    "headers", ["headers.test"],
    tagged("exact", header("x-a", string_match={"exact": "one"})),
    tagged("exact-old", header("x-a", exact_match="old")),
    tagged("prefix", header("x-a", string_match={"prefix": "pre"})),
    tagged("suffix", header("x-a", string_match={"suffix": "suf"})),
    tagged("contains", header("x-a", string_match={"contains": "mid"})),
    tagged("ignore-case", header("x-a", string_match={"exact": "FOLD", "ignore_case": True})),
    tagged("regex", header("x-a", string_match={"safe_regex": {"regex": "[0-9]+"}})),
    tagged("range", header("x-n", range_match={"start": -5, "end": 10})),
    tagged("present", header("x-p", present_match=True)),
    tagged("absent", {"prefix": "/h/absent", "headers": [{"name": "x-q", "present_match": False}]}),
    tagged("invert", {"prefix": "/h/invert", "headers": [
        {"name": "x-i", "string_match": {"exact": "no"}, "invert_match": True}]}),
    tagged("missing-empty", {"prefix": "/h/empty", "headers": [
        {"name": "x-e", "string_match": {"exact": ""}, "treat_missing_header_as_empty": True}]}),
    tagged("both", {"prefix": "/h/both", "headers": [
        {"name": "x-1", "string_match": {"exact": "1"}}, {"name": "x-2", "string_match": {"exact": "2"}}]}),
    tagged("method", {"prefix": "/h/m", "headers": [{"name": ":method", "string_match": {"exact": "PUT"}}]}),
    tagged("authority", {"prefix": "/h/au", "headers": [
        {"name": ":authority", "string_match": {"prefix": "headers"}}]}),
    tagged("none", {"prefix": "/h"}),
)
QUERY = c.vhost(
    "query", ["query.test"],
    tagged("exact", query("a", string_match={"exact": "1"})),
    tagged("prefix", query("a", string_match={"prefix": "p"})),
    tagged("regex", query("a", string_match={"safe_regex": {"regex": "[x-z]+"}})),
    tagged("present", query("b", present_match=True)),
    tagged("none", {"prefix": "/q"}),
)
WEIGHTED = c.vhost(
    "weighted", ["weighted.test"],
    c.route("/even", {"weighted_clusters": {"clusters": [
        {"name": "a", "weight": 50}, {"name": "b", "weight": 50}]}}),
    c.route("/zero", {"weighted_clusters": {"clusters": [{"name": "a", "weight": 0}, {"name": "b", "weight": 1}]}}),
    c.route("/uneven", {"weighted_clusters": {"clusters": [{"name": "a", "weight": 1}, {"name": "b", "weight": 3}]}}),
    c.route("/headers", {"weighted_clusters": {"clusters": [{
        "name": "b", "weight": 1,
        "request_headers_to_add": [{"header": {"key": "x-weighted", "value": "yes"}}],
        "response_headers_to_add": [{"header": {"key": "x-from", "value": "b"}}],
        "response_headers_to_remove": ["x-origin"]}]}}),
)
DOMAINS = [
    c.vhost("host-exact", ["exact.example.com", "with-port.example.com:8443"], tagged("host-exact", "/")),
    c.vhost("host-suffix", ["*.example.com", "*-dash.example.org"], tagged("host-suffix", "/")),
    c.vhost("host-suffix-long", ["*.long.example.com"], tagged("host-suffix-long", "/")),
    c.vhost("host-prefix", ["front.*"], tagged("host-prefix", "/")),
    c.vhost("host-prefix-long", ["front.end.*"], tagged("host-prefix-long", "/")),
    c.vhost("host-rest", ["*"], tagged("host-rest", {"prefix": "/any"})),
]


def bootstrap(origins, log):
    table = c.routes("r", PATHS, ORDER, HEADERS, QUERY, WEIGHTED, *DOMAINS)
    ignoring = c.routes("r2", c.vhost("p", ["port.test"], tagged("port", "/")), ignore_port_in_host_matching=True)
    return c.static_bootstrap(
        [c.listener("l", c.hcm(table, log=log)),
         c.listener("ports", c.hcm(ignoring, stat_prefix="ports", log=log))],
        [c.cluster(n, o.port) for n, o in origins.items()])


def path(target, route):
    """A path case: the route that must take it; None: no route does."""
    if route is None:
        return case(f"path {target} -> 404", get(target, "paths.test"), status=404, flags="NR",
                    details="route_not_found", body=b"")
    return case(f"path {target} -> {route}", get(target, "paths.test"), status=200, body=route.encode(), route=route,
                details="direct_response")


def taken(host, target, route, **headers):
    fields = {k.replace("_", "-"): v for k, v in headers.items()}
    return case(f"{host}{target} {fields or ''} -> {route}", get(target, host, fields), status=200,
                body=route.encode(), route=route)


def domain(host, route):
    return case(f"domain {host} -> {route}", get("/any", host), status=200, body=route.encode())


CASES = [
    path("/exact", "exact"), path("/exact?q=1", "exact"), path("/exact/", "exact-slash"), path("/exact/x", None),
    path("/Exact", None), path("/nocase", "exact-nocase"), path("/NOCASE?x", "exact-nocase"),
    path("/api/v1/", "prefix-long"), path("/api/v1/x", "prefix-long"), path("/api/v1", "prefix-short"),
    path("/apix", "prefix-short"), path("/API", None), path("/mixedcase", "prefix-nocase"),
    path("/sep", "separated"), path("/sep/", "separated"), path("/sep/x", "separated"), path("/sep?x=/y", "separated"),
    path("/separate", None), path("/re/abc/12", "regex"), path("/re/abc/123", None), path("/re/abc/12?x", "regex"),
    path("/re/ABC/12", None), path("/dot/a/b.js", "regex-dot"), path("/dot/b.js?v=1", "regex-dot"),
    path("/dot/b.jsx", None), path("/", None), path("/exact%2f", None), path("/api/%2e%2e/exact", "prefix-short"),
    path("//exact", None),
    case("fragment", get("/exact#frag", "paths.test"), status=400, details="path_normalization_failed", closed=True),

    taken("order.test", "/a/b", "first-prefix"), taken("order.test", "/c/x", "conditional", x_c="1"),
    taken("order.test", "/c/x", "regex-before"), taken("order.test", "/c", "exact-last"),
    taken("order.test", "/cx", "rest"), taken("order.test", "/z", "rest"),

    taken("headers.test", "/h", "exact", x_a="one"), taken("headers.test", "/h", "exact-old", x_a="old"),
    taken("headers.test", "/h", "prefix", x_a="prefix"), taken("headers.test", "/h", "suffix", x_a="a-suf"),
    taken("headers.test", "/h", "contains", x_a="a-mid-b"), taken("headers.test", "/h", "ignore-case", x_a="fOLd"),
    taken("headers.test", "/h", "regex", x_a="123"), taken("headers.test", "/h", "none", x_a="123a"),
    taken("headers.test", "/h", "none", x_a="ONE"), taken("headers.test", "/h", "range", x_n="-5"),
    taken("headers.test", "/h", "range", x_n="9"), taken("headers.test", "/h", "none", x_n="10"),
    taken("headers.test", "/h", "none", x_n="9x"), taken("headers.test", "/h", "present", x_p=""),
    taken("headers.test", "/h/absent", "absent"), taken("headers.test", "/h/absent", "none", x_q="1"),
    taken("headers.test", "/h/invert", "none"), taken("headers.test", "/h/invert", "invert", x_i="yes"),
    taken("headers.test", "/h/invert", "none", x_i="no"),
    taken("headers.test", "/h/empty", "missing-empty"), taken("headers.test", "/h/empty", "none", x_e="1"),
    taken("headers.test", "/h/both", "both", x_1="1", x_2="2"), taken("headers.test", "/h/both", "none", x_1="1"),
    taken("headers.test", "/h/au", "authority"),
    case("method matcher", get("/h/m", "headers.test", method="PUT"), status=200, body=b"method"),
    case("repeated header is joined", get("/h", "headers.test", [("x-a", "one"), ("x-a", "two")]), status=200),
    case("header name in another case", get("/h", "headers.test", {"X-A": "one"}), status=200, body=b"exact"),

    taken("query.test", "/q?a=1", "exact"), taken("query.test", "/q?z=0&a=1", "exact"),
    taken("query.test", "/q?a=12", "none"), taken("query.test", "/q?a=pq", "prefix"),
    taken("query.test", "/q?a=xyz", "regex"), taken("query.test", "/q?b", "present"),
    taken("query.test", "/q?b=", "present"), taken("query.test", "/q?c=b", "none"),
    taken("query.test", "/q?a=1&a=2", "exact"), taken("query.test", "/q?a=2&a=1", "none"),
    taken("query.test", "/q?a=%31", "none"), taken("query.test", "/q?A=1", "none"),

    domain("exact.example.com", "host-exact"), domain("EXACT.example.COM", "host-exact"),
    domain("exact.example.com:80", "host-rest"), domain("with-port.example.com:8443", "host-exact"),
    domain("x.example.com", "host-suffix"), domain("a.b.example.com", "host-suffix"),
    domain("x-dash.example.org", "host-suffix"), domain("example.com", "host-rest"),
    domain("x.long.example.com", "host-suffix-long"), domain(".example.com", "host-rest"),
    domain("front.x", "host-prefix"), domain("front.end.x", "host-prefix-long"), domain("front.", "host-rest"),
    domain("nothing.like.it", "host-rest"),
    case("no route in the default virtual host", get("/none", "nothing.like.it"), status=404, flags="NR"),
    case("port ignored", get("/", "port.test:1234"), listener="ports", status=200, body=b"port"),
    case("port ignored, none given", get("/", "port.test"), listener="ports", status=200, body=b"port"),
    case("no virtual host", get("/", "other.test"), listener="ports", status=404, details="route_not_found"),

    case("weight zero", get("/zero", "weighted.test"), status=200, origin="b"),
    case("headers of a weighted cluster", get("/headers", "weighted.test"), status=200, origin="b",
         upstream_headers={"x-weighted": "yes"}, headers={"x-from": "b", "x-origin": None}),
]


@pytest.mark.differential
@pytest.mark.parametrize("item", CASES, ids=lambda item: item.name)
def test_route(duel, item):
    duel.run(item)


@pytest.mark.parametrize("target, share", [("/even", 0.5), ("/uneven", 0.75)])
def test_weights_are_kept(duel, target, share):
    count = 600
    for flavour, proxy in duel.each():
        duel.forget()
        seen = collections.Counter()
        with proxy.connect("l") as client:
            for _ in range(count):
                seen[client.exchange(request("GET", target, "weighted.test")).text] += 1
        # Five sigmas of a binomial with 600 trials are 0.1.
        assert abs(seen["b"] / count - share) < 0.1, f"{flavour}: {seen}"
