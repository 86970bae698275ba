"""What a client may send: methods, targets, hosts, headers, framing, versions, several requests on a connection."""

import pytest

from harness import config as c
from harness.client import chunked, request
from harness.differential import case, get, post
from harness.upstream import Reply
from harness.wide import log as wide_log

LISTENERS = {
    "plain": {},
    "http10": {"http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "default.test"}},
    "trailers": {"http_protocol_options": {"enable_trailers": True}},
    "ws": {"upgrade_configs": [{"upgrade_type": "websocket"}]},
    "connect": {"upgrade_configs": [{"upgrade_type": "CONNECT"}]},
    "continue": {"proxy_100_continue": True},
    "absolute": {"http_protocol_options": {"allow_absolute_url": True}},
    "relative": {"http_protocol_options": {"allow_absolute_url": False}},
    "lenient": {"stream_error_on_invalid_http_message": True},
    "small": {"max_request_headers_kb": 2, "common_http_protocol_options": {"max_headers_count": 12}},
    "no-underscores": {"common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"}},
    "drop-underscores": {"common_http_protocol_options": {"headers_with_underscores_action": "DROP_HEADER"}},
    "two-requests": {"common_http_protocol_options": {"max_requests_per_connection": 2}},
    "proper": {"http_protocol_options": {"header_key_format": {"proper_case_words": {}}}},
}


def bootstrap(origins, log):
    table = c.routes("r", c.vhost("b", ["b.test", "*.b.test"], c.route("/", "b", name="to-b")),
                     c.vhost("all", ["*"],
                             c.route({"connect_matcher": {}}, {"cluster": "a", "upgrade_configs": [
                                 {"upgrade_type": "CONNECT", "connect_config": {}}]}, name="tunnel"),
                             c.route("/", "a", name="rest")))
    listeners = [c.listener(name, c.hcm(table, stat_prefix=name, access_log=[wide_log(log)], delayed_close_timeout="0.1s", **more))
                 for name, more in LISTENERS.items()]
    return c.static_bootstrap(listeners, [c.cluster("a", origins["a"].port), c.cluster("b", origins["b"].port)])


def raw(*lines, body=b""):
    return b"".join(line.encode("latin-1") + b"\r\n" for line in lines) + b"\r\n" + body


def several(*requests, apart=False):
    """Requests on one connection, in one write unless apart: all responses."""
    def run(client):
        out = []
        if not apart:
            client.send(b"".join(requests))
        for data in requests:
            if apart:
                client.send(data)
            out.append(client.read_response(data.lstrip(b"\r\n").split(b" ", 1)[0].decode()))
        return out
    return run


def pieces(*parts):
    """One request in several writes; the proxy may see them as one or as several."""
    def run(client):
        for part in parts:
            client.send(part)
        return [client.read_response(parts[0].split(b" ", 1)[0].decode())]
    return run


def after_continue(head, body):
    """The body only once 100 Continue is there."""
    def run(client):
        client.send(head)
        interim = client.read_interim()
        client.send(body)
        response = client.read_response("POST")
        response.interim.insert(0, interim)
        return [response]
    return run


def tunnel(head, sent, method="GET"):
    """Opens a tunnel, sends bytes through it, reads what comes until the origin ends it."""
    def run(client):
        client.send(head)
        response = client.read_response(method)
        if response.status in (101, 200):
            client.send(sent)
            response.body = client.read_to_end()
        return [response]
    return run


# Envoy counts all that a read has brought for the first request in it.
MANY = ("log:wire_in",)


def headers(name, pairs, **more):
    return case(name, get("/", headers=pairs), **more)


METHODS = [case(f"{m} without a body", get("/m", method=m)) for m in (
    "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "PROPFIND", "MKCOL", "REPORT", "M-SEARCH", "PURGE",
    "LINK", "SOURCE", "QUERY", "FOO", "X", "GET2", "A" * 60)]
METHODS += [case(f"{m} with a body", get("/m", method=m, body=b"body of it")) for m in (
    "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "FOO")]
METHODS += [case("a method in lower case", get(method="post"), status=400), case("a mixed one", get(method="Get"), status=400)]

TARGETS = [case(f"target {t}", get(t)) for t in (
    "/", "/a", "/a/", "/a//b", "//a", "///", "/a/./b", "/a/../b", "/../a", "/..", "/.", "/a/..", "/a;p=1", "/a;/../b", "/a?b", "/a?",
    "/?", "/a?b?c", "/a?b=c&d=e", "/a?b=/../c", "/a%20b", "/a%2Fb", "/a%2fb", "/a%5Cb", "/%2e%2e/a", "/a%00b", "/%", "/%z", "/%4",
    "/a%25b", "/a:b", "/a@b", "/a,b", "/a!$&'()*+=", "/a~-_.", "/a|b", "/a^b", "/a`b", "/a{b}", "/a<b>", '/a"b', "/a\\b", "/[a]",
    "/a#b", "/a#", "/#", "/caf\xe9", "/\xc3\xa9", "/" + "x" * 8000, "*", "a", "a/b", "?a", "#", "http:", "http:/x", "/http://x/y")]
TARGETS += [case("OPTIONS *", get("*", method="OPTIONS")), case("HEAD *", get("*", method="HEAD"), status=400, differs={"closed": True}),
            case("OPTIONS in absolute form", get("http://b.test", method="OPTIONS"))]

ABSOLUTE = [case(f"{listener}: {t}", get(t, host="host.test"), listener=listener) for listener in ("plain", "absolute", "relative")
            for t in ("http://b.test/x?y", "http://b.test", "http://b.test:80/x", "HTTP://b.test/x", "https://b.test/x",
                      "http://b.test?x", "http://[::1]/x", "ws://b.test/x")]

HOSTS = [case(f"host {h!r}", get("/", host=h)) for h in (
    "test", "TEST", "b.test", "B.Test", "x.b.test", "b.test:80", "b.test:8080", "b.test.", "test:", "test:x", "test:99999", "[::1]", "[::1]:80",
    "::1", "127.0.0.1", "127.0.0.1:80", "a b", "a,b", "a_b", "a%20b", "a/b", "a?b", "a@b", "a#b", "*", ".", "-", "\xe9", "", "x" * 300)]
HOSTS += [case("no host", raw("GET / HTTP/1.1"), status=400), case("no host, lenient", raw("GET / HTTP/1.1"), listener="lenient"),
          case("host with spaces around", raw("GET / HTTP/1.1", "Host:   b.test  "), status=200),
          case("host at the end", raw("GET / HTTP/1.1", "x-a: 1", "HOST: b.test"), origin="b")]

HEADERS = [
    headers("upper case", {"X-UPPER": "V"}, upstream_headers={"x-upper": "V"}),
    headers("duplicates", [("x-a", "1"), ("x-b", "2"), ("x-a", "3")]),
    headers("list", {"x-a": "1, 2,3"}), headers("empty", {"x-a": ""}), headers("only spaces", {"x-a": "   "}),
    headers("tabs around", {"x-a": "\tv\t"}), headers("tab inside", {"x-a": "a\tb"}), headers("obs-text", {"x-a": "caf\xe9"}),
    headers("quotes", {"x-a": '"a, b"'}), headers("odd token", {"x!#$%&'*+.^`|~-a": "1"}), headers("digits", {"123": "4"}),
    headers("underscore", {"x_a": "1"}), headers("refused underscore", {"x_a": "1"}, listener="no-underscores"),
    headers("dropped underscore", {"x_a": "1", "x-b": "2"}, listener="drop-underscores"),
    headers("connection: close", {"connection": "close"}), headers("connection: Close", {"connection": "Close"}),
    headers("connection: keep-alive", {"connection": "keep-alive"}),
    headers("connection: close, x-a", {"connection": "close, x-a", "x-a": "1"}),
    headers("connection: x-a", {"connection": "x-a", "x-a": "1"}), headers("connection: ,", {"connection": ","}),
    headers("connection names content-length", {"connection": "content-length"}),
    headers("connection names host", {"connection": "host"}, status=400, ignore=("log:request_headers_bytes",)), headers("connection names itself", {"connection": "connection"}),
    headers("connection twice", [("connection", "x-a"), ("connection", "x-b"), ("x-a", "1"), ("x-b", "2")]),
    headers("connection names forwarding", {"connection": "x-forwarded-for", "x-forwarded-for": "1.2.3.4"}),
    headers("connection names proto", {"connection": "x-forwarded-proto"}),
    headers("connection names te", {"connection": "te", "te": "trailers"}),
    headers("keep-alive", {"keep-alive": "timeout=5"}), headers("proxy-connection", {"proxy-connection": "keep-alive"}),
    headers("proxy-connection: close", {"proxy-connection": "close"}),
    headers("te: trailers", {"te": "trailers"}), headers("te: gzip", {"te": "gzip"}), headers("te: two", {"te": "gzip, trailers"}),
    headers("trailer", {"trailer": "x-sum"}), headers("upgrade", {"upgrade": "foo"}),
    headers("connection: upgrade alone", {"connection": "upgrade"}),
    headers("upgrade not offered", {"connection": "upgrade", "upgrade": "foo"}),
    headers("h2c", {"connection": "upgrade, http2-settings", "upgrade": "h2c", "http2-settings": "AAMAAABkAAQCAAAAAAIAAAAA"}),
    headers("HTTP2-Settings alone", {"http2-settings": "AAMAAABkAAQCAAAAAAIAAAAA"}),
    headers("cookie", {"cookie": "a=1; b=2"}), headers("two cookies", [("cookie", "a=1"), ("cookie", "b=2")]),
    headers("odd cookie", {"cookie": "a;;=;b"}), headers("authorization", {"authorization": "Bearer x"}),
    headers("proxy-authorization", {"proxy-authorization": "Basic x"}), headers("range", {"range": "bytes=0-1"}),
    headers("accept-encoding", {"accept-encoding": "gzip"}), headers("referer", {"referer": "http://x/y?z"}),
    headers("user-agent", {"user-agent": "an agent of some length"}), headers("date", {"date": "yesterday"}),
    headers("x-forwarded-host", {"x-forwarded-host": "other"}), headers("x-forwarded-port", {"x-forwarded-port": "81"}),
    headers("forwarded", {"forwarded": "for=1.2.3.4"}), headers("x-real-ip", {"x-real-ip": "1.2.3.4"}),
    headers("x-request-id", {"x-request-id": "mine"}), headers("empty x-request-id", {"x-request-id": ""}),
    headers("traceparent", {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}),
    headers("x-client-trace-id", {"x-client-trace-id": "t"}), headers("x-b3", {"x-b3-traceid": "463ac35c9f6413ad"}),
    headers("content-length: 0", {"content-length": "0"}), headers("content-length: 00", {"content-length": "00"}),
    headers("content-type", {"content-type": "text/plain"}), headers("grpc content-type", {"content-type": "application/grpc"}),
    headers("grpc-timeout", {"grpc-timeout": "1S"}), headers("x-envoy-internal", {"x-envoy-internal": "true"}),
    headers("x-envoy-original-path", {"x-envoy-original-path": "/mine"}),
    headers("x-envoy-original-host", {"x-envoy-original-host": "mine"}),
    headers("x-envoy-downstream-service-cluster", {"x-envoy-downstream-service-cluster": "c"}),
    headers("x-envoy-force-trace", {"x-envoy-force-trace": "1"}), headers("x-envoy-ip-tags", {"x-envoy-ip-tags": "1"}),
    headers("x-envoy-retry-on", {"x-envoy-retry-on": "5xx", "x-envoy-max-retries": "0"}),
    headers("x-envoy-hedge", {"x-envoy-hedge-on-per-try-timeout": "true"}),
    headers("x-envoy-attempt-count", {"x-envoy-attempt-count": "7"}), headers("x-envoy-is-timeout-retry", {"x-envoy-is-timeout-retry": "1"}),
    headers("x-envoy-expected", {"x-envoy-expected-rq-timeout-ms": "5"}),
    headers("x-envoy-upstream-service-time", {"x-envoy-upstream-service-time": "5"}),
    headers("x-envoy-decorator-operation", {"x-envoy-decorator-operation": "op"}),
    headers("x-envoy-upstream-alt-stat-name", {"x-envoy-upstream-alt-stat-name": "alt"}),
    headers("x-envoy-upstream-canary", {"x-envoy-upstream-canary": "true"}),
    headers("x-envoy-external-address", {"x-envoy-external-address": "1.2.3.4"}),
    headers("x-envoy-degraded", {"x-envoy-degraded": "1"}), headers("x-envoy-peer-metadata", {"x-envoy-peer-metadata": "x"}),
    headers("x-envoy-unknown", {"x-envoy-unknown": "1"}),
    headers("30 headers", [(f"x-{i}", "v" * i) for i in range(30)]), headers("one of 8 KB", {"x-a": "v" * 8192}),
    headers("one of 59 KB", {"x-a": "v" * 59 * 1024}), headers("one of 61 KB", {"x-a": "v" * 61 * 1024}, status=431),
    headers("at the count", [(f"x-{i}", "v") for i in range(98)]), headers("over the count", [(f"x-{i}", "v") for i in range(101)]),
    headers("over a small size", {"x-a": "v" * 2100}, listener="small"), headers("over a small count", [(f"x-{i}", "v") for i in range(14)], listener="small"),
    headers("proper case", {"x-a": "1"}, listener="proper"),
    case("a long target over a small size", get("/" + "x" * 2100), listener="small"),
]

FRAMING = [
    case("length", post("/", b"hello"), upstream_body=b"hello"), case("empty body", post("/", b""), status=200),
    case("POST without length", get(method="POST"), status=200),
    case("chunked", get(method="POST", headers={"transfer-encoding": "chunked"}) + chunked(b"he", b"llo"), upstream_body=b"hello"),
    case("chunked, empty", get(method="POST", headers={"transfer-encoding": "chunked"}) + chunked(), status=200),
    case("Chunked", get(method="POST", headers={"transfer-encoding": "Chunked"}) + chunked(b"x"), status=200),
    case("chunked GET", get(headers={"transfer-encoding": "chunked"}) + chunked(b"x"), upstream_body=b"x"),
    case("chunk extension", get(method="POST", headers={"transfer-encoding": "chunked"}) + b"1;a=b\r\nx\r\n0\r\n\r\n", upstream_body=b"x"),
    case("chunk sizes with zeros", get(method="POST", headers={"transfer-encoding": "chunked"}) + b"0001\r\nx\r\n000\r\n\r\n"),
    case("chunk sizes in upper case", get(method="POST", headers={"transfer-encoding": "chunked"}) + b"A\r\n0123456789\r\n0\r\n\r\n"),
    case("trailers off", get(method="POST", headers={"transfer-encoding": "chunked"}) + chunked(b"x", trailers=[("x-sum", "1")])),
    case("trailers on", get(method="POST", headers={"transfer-encoding": "chunked"}) + chunked(b"x", trailers=[("x-sum", "1")]), listener="trailers"),
    case("identity", get(method="POST", headers={"transfer-encoding": "identity"}), status=501),
    case("gzip, chunked", get(method="POST", headers={"transfer-encoding": "gzip, chunked"}) + chunked(b"x"), status=501),
    case("length and chunked", get(method="POST", headers={"content-length": "5", "transfer-encoding": "chunked"}) + chunked(b"x"), status=400),
    case("two lengths", get(method="POST", headers=[("content-length", "1"), ("content-length", "1")]) + b"x", status=400),
    case("64 KB", post("/", b"x" * 65536), status=200), case("1 MB", post("/", b"x" * (1 << 20)), status=200),
    case("1 MB in chunks", get(method="PUT", headers={"transfer-encoding": "chunked"}) + chunked(*[b"y" * 65536] * 16), status=200,
         ignore=("log:up_wire_out", "stat:cluster.a.upstream_cx_tx_bytes_total")),  # chunks are not kept
    case("head in pieces", pieces(b"GET / HT", b"TP/1.1\r\nHo", b"st: test\r", b"\n\r", b"\n")),
    case("body in pieces", pieces(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhe", b"llo"), upstream_body=b"hello"),
    case("chunks in pieces", pieces(b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5", b"\r\nhe", b"llo\r", b"\n0\r\n\r", b"\n"),
         ignore=("log:up_wire_out", "stat:cluster.a.upstream_cx_tx_bytes_total")),  # one chunk or two
    case("empty lines first", pieces(b"\r\n\r\n", get()), method="GET", ignore=MANY),
]

# An error reply to HEAD has no body here, and HTTP/0.9 is none of the versions spoken.
VERSION_DIFFERS = {("plain", "1.0 HEAD"): {"closed": True}, ("http10", "0.9"): {"status": 426, "requests": 0, "closed": True}}
VERSIONS = [case(f"{listener}: {name}", data, listener=listener, differs=VERSION_DIFFERS.get((listener, name)))
            for listener in ("plain", "http10") for name, data in (
    ("1.0", raw("GET /v HTTP/1.0", "Host: test")), ("1.0 without host", raw("GET /v HTTP/1.0")),
    ("1.0 with keep-alive", raw("GET /v HTTP/1.0", "Host: test", "Connection: keep-alive")),
    ("1.0 with close", raw("GET /v HTTP/1.0", "Host: test", "Connection: close")),
    ("1.0 HEAD", raw("HEAD /v HTTP/1.0", "Host: test")),
    ("1.0 POST", raw("POST /v HTTP/1.0", "Host: test", "Content-Length: 2", body=b"ab")),
    ("1.0 POST without length", raw("POST /v HTTP/1.0", "Host: test")),
    ("1.0 chunked", raw("POST /v HTTP/1.0", "Host: test", "Transfer-Encoding: chunked", body=chunked(b"x"))),
    ("0.9", b"GET /v\r\n\r\n"), ("1.2", raw("GET /v HTTP/1.2", "Host: test")), ("2.0", raw("GET /v HTTP/2.0", "Host: test")),
    ("1.10", raw("GET /v HTTP/1.10", "Host: test")), ("HTTP", raw("GET /v HTTP", "Host: test")), ("XTTP", raw("GET /v XTTP/1.1", "Host: test")),
)]
CHUNKED_REPLY = Reply(chunks=[b"one", b"two"])
VERSIONS += [case("http10: chunked answer", raw("GET / HTTP/1.0", "Host: test"), listener="http10", action=CHUNKED_REPLY),
             case("http10: chunked answer, keep-alive", raw("GET / HTTP/1.0", "Host: test", "Connection: keep-alive"), listener="http10",
                  action=CHUNKED_REPLY)]

CONNECTIONS = [
    case("two requests apart", several(get("/1"), get("/2"), apart=True), requests=2),
    case("two pipelined", several(get("/1"), get("/2")), requests=2, ignore=MANY),
    case("ten pipelined", several(*[get(f"/{i}") for i in range(10)]), requests=10, ignore=MANY),
    case("pipelined with bodies", several(post("/1", b"a"), post("/2", b"bc"), get("/3")), requests=3, ignore=MANY),
    case("pipelined, the first closes", several(get("/1", headers={"connection": "close"})) , requests=1),
    case("pipelined to two origins", several(get("/1"), get("/2", host="b.test"), get("/3")), requests=3, ignore=MANY),
    case("pipelined HEAD", several(get("/1", method="HEAD"), get("/2")), requests=2, ignore=MANY),
    case("two of two", several(get("/1"), get("/2"), apart=True), listener="two-requests"),
    case("an empty line between", several(get("/1"), b"\r\n" + get("/2"), apart=True), ignore=MANY),
    case("1.0 kept alive", several(*[raw("GET / HTTP/1.0", "Host: test", "Connection: keep-alive")] * 2, apart=True), listener="http10"),
    case("a bad one after a good one", several(get("/1"), b"BAD\r\n\r\n", apart=True)),
    case("404 does not close", several(get("/1", host="b.test"), get("/2"), apart=True)),
]

EXPECT = [
    case("continue", after_continue(get(method="POST", headers={"expect": "100-continue", "content-length": "3"}), b"abc"), upstream_body=b"abc"),
    case("continue, not waited for", get(method="POST", headers={"expect": "100-continue", "content-length": "3"}) + b"abc", upstream_body=b"abc"),
    case("Continue in upper case", get(method="POST", headers={"expect": "100-Continue", "content-length": "3"}) + b"abc"),
    case("continue without a body", get(headers={"expect": "100-continue"})),
    case("another expectation", get(headers={"expect": "the-unexpected"})),
    case("continue through", after_continue(get(method="POST", headers={"expect": "100-continue", "content-length": "3"}), b"abc"),
         listener="continue", upstream_body=b"abc"),
    case("continue, HTTP/1.0", raw("POST / HTTP/1.0", "Host: test", "Expect: 100-continue", "Content-Length: 3", body=b"abc"), listener="http10",
         differs={"interim": []}),  # RFC 9110, 10.1.1
]

SWITCH = Reply(101, {"connection": "upgrade", "upgrade": "websocket"}, reason="Switching Protocols", framing=False, close=False)
UPGRADE = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-version": "13"}
TUNNELS = [
    case("websocket not configured", get(headers=UPGRADE), status=403),
    case("websocket refused by the origin", get(headers=UPGRADE), listener="ws", action=Reply(403, body=b"no"), status=403),
    case("websocket answered 200", get(headers=UPGRADE), listener="ws", status=200, ignore=("stats", "log:up_wire_in")),
    case("websocket in upper case", get(headers={**UPGRADE, "upgrade": "WebSocket"}), listener="ws", action=Reply(400), status=400),
    case("another upgrade", get(headers={**UPGRADE, "upgrade": "other"}), listener="ws"),
    case("upgrade without connection", get(headers={"upgrade": "websocket"}), listener="ws"),
    case("upgrade on POST", post("/", b"abc", headers=UPGRADE), listener="ws", action=Reply(400), ignore=("log:received", "log:wire_in")),
    case("CONNECT not configured", b"CONNECT test:80 HTTP/1.1\r\nHost: test:80\r\n\r\n"),
    case("CONNECT without a port", b"CONNECT test HTTP/1.1\r\nHost: test\r\n\r\n"),
    case("CONNECT with a path", b"CONNECT /x HTTP/1.1\r\nHost: test\r\n\r\n"),
    case("CONNECT with a length", b"CONNECT test:80 HTTP/1.1\r\nHost: test:80\r\nContent-Length: 3\r\n\r\nabc", ignore=MANY),
    case("CONNECT through", tunnel(b"CONNECT test:80 HTTP/1.1\r\nHost: test:80\r\n\r\n", get("/inside", headers={"connection": "close"}), "CONNECT"),
         listener="connect", action=Reply(close=True, body=b"inner")),
]

CASES = [*METHODS, *TARGETS, *ABSOLUTE, *HOSTS, *HEADERS, *FRAMING, *VERSIONS, *CONNECTIONS, *EXPECT, *TUNNELS]


@pytest.mark.differential
@pytest.mark.parametrize("item", CASES, ids=lambda item: item.name)
def test_request(wide, item):
    wide.run(item)
