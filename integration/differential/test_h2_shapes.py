"""HTTP/2 requests: what the other tables compare of HTTP/1 (http/test_translation.py has the origins that speak HTTP/2)."""

import pytest

from harness import config as c
from harness.differential import case
from harness.translate import Ask
from harness.upstream import Reply, early_close, reset, short_body
from harness.wide import NO_REPLAYS, log as wide_log

LISTENERS = {
    "plain": {}, "auto": {"codec_type": "AUTO"}, "h2": {"codec_type": "HTTP2"}, "trailers": {"http_protocol_options": {"enable_trailers": True}},
    "normal": {"normalize_path": True, "merge_slashes": True}, "edge": {"use_remote_address": True}, "ports": {"strip_any_host_port": True},
    "small": {"max_request_headers_kb": 2}, "underscores": {"common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"}},
    "lenient": {"http2_protocol_options": {"override_stream_error_on_invalid_http_message": True}},
    "connect": {"upgrade_configs": [{"upgrade_type": "CONNECT"}], "http2_protocol_options": {"allow_connect": True}},
}


def bootstrap(origins, log):
    table = c.routes("r", c.vhost("b", ["b.test"], c.route("/", "b", name="to-b")), c.vhost("none", ["none.test"]),
                     c.vhost("all", ["*"], c.direct("/direct", 403, "no"), c.route("/redirect", redirect={"host_redirect": "new.test"}),
                             c.route("/rewrite", {"cluster": "a", "prefix_rewrite": "/new"}), c.route("/nobody", "nobody"),
                             c.route("/short", {"cluster": "a", "timeout": "0.1s"}), c.route("/", "a", name="rest")))
    listeners = [c.listener(name, c.hcm(table, stat_prefix=name, access_log=[wide_log(log)], **more)) for name, more in LISTENERS.items()]
    return c.static_bootstrap(listeners, [c.cluster("a", origins["a"].port), c.cluster("b", origins["b"].port), c.cluster("nobody")],
                              layered_runtime=NO_REPLAYS)


def h2(name, action=None, listener="plain", ignore=(), expect=None, **ask):
    return case(name, Ask(**ask), method=ask.get("method", "GET"), action=action, listener=listener, ignore=(*IGNORE, *ignore), **(expect or {}))


def header(name, *pairs, **more):
    return h2(name, headers=pairs, **more)


# Frames and their order are a matter of taste, and so is when a stream is over that ends its connection.
IGNORE = tuple(f"stat:http.{name}.downstream_cx_{what}" for name in LISTENERS
               for what in ("tx_bytes_total", "rx_bytes_total", "destroy_active_rq", "destroy_local_active_rq"))
READ_TOGETHER = ("log:received", "log:request_duration")  # with the head, or not yet
GRPC = (("content-type", "application/grpc"), ("te", "trailers"))
CASES = [
    *[h2(f"{listener}: plain", listener=listener) for listener in LISTENERS],
    *[h2(f"{m} without a body", method=m) for m in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PURGE", "FOO", "get")],
    *[h2(f"{m} with a body", method=m, body=b"hello") for m in ("GET", "POST", "PUT", "DELETE", "PATCH")],
    *[h2(f"path {p}", path=p) for p in ("/", "/a?b=c", "/a%20b", "/a//b", "/a/../b", "/a#b", "/%00", "/caf\xe9", "/a|b", "/" + "x" * 5000, "*", "a", "/direct", "/redirect/x?y",
                                        "/rewrite/x?y", "/nobody")],
    *[h2(f"normal: {p}", path=p, listener="normal") for p in ("/a/../direct", "/a//b", "/%2e%2e/direct", "/a\\..\\direct", "/a%2Fb")],
    *[h2(f"authority {a}", authority=a) for a in ("b.test", "B.TEST", "b.test:80", "none.test", "x:1", "[::1]:80")],
    *[h2(f"ports: {a}", authority=a, listener="ports") for a in ("b.test", "b.test:80", "none.test:1")],
    header("a header", ("x-a", "1")), header("twice", ("x-a", "1"), ("x-b", "2"), ("x-a", "3")), header("empty", ("x-a", "")), header("obs-text", ("x-a", "caf\xe9")),
    header("tab inside", ("x-a", "a\tb")), header("te", ("te", "trailers")), header("cookies", ("cookie", "a=1"), ("cookie", "b=2")), header("underscore", ("x_a", "1")),
    header("refused underscore", ("x_a", "1"), listener="underscores"), header("host beside authority", ("host", "test")), header("30 headers", *[(f"x-{i}", "v" * i) for i in range(30)]),
    header("a long header", ("x-a", "v" * 30000)), header("over a small size", ("x-a", "v" * 3000), listener="small"), header("forwarded", ("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https")),
    header("edge: forwarded", ("x-forwarded-for", "1.2.3.4"), ("x-envoy-retry-on", "5xx"), listener="edge"), header("request id", ("x-request-id", "mine")), header("priority", ("priority", "u=1, i")),
    header("traceparent", ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")), header("expect", ("expect", "100-continue"), method="POST", body=b"x"),
    h2("a body without length", method="POST", body=b"hello", length=False), h2("an empty body", method="POST", body=b"", empty_data=True), h2("64 KB", method="POST", body=b"x" * 65536),
    h2("300 KB", method="POST", body=b"y" * 300000), h2("trailers", method="POST", body=b"x", trailers=(("x-sum", "1"),)), h2("trailers on", method="POST", body=b"x", trailers=(("x-sum", "1"),), listener="trailers"),
    *[h2(f"answer {code}", Reply(code, body=b"" if code in (204, 304) else b"x")) for code in (200, 201, 204, 301, 304, 400, 404, 429, 500, 503)],
    h2("chunked answer", Reply(chunks=[b"one", b"two"])), h2("an answer without a body", Reply()), h2("answer with trailers", Reply(chunks=[b"x"], trailers=[("x-sum", "1")])),
    h2("answer with connection headers", Reply(headers={"connection": "keep-alive, x-a", "keep-alive": "timeout=5", "x-a": "1"}, body=b"x")), h2("answer and close", Reply(close=True, body=b"x")),
    h2("answer until close", Reply(framing=False, close=True, body=b"x")), h2("two set-cookies", Reply(headers=[("set-cookie", "a=1"), ("set-cookie", "b=2")], body=b"x")),
    h2("HEAD with a length", Reply(headers={"content-length": "10"}), method="HEAD"), h2("200 KB answer", Reply(body=b"z" * 200000)), h2("early hints", Reply(interim=[b"HTTP/1.1 103 X\r\nlink: </a>\r\n\r\n"], body=b"x")),
    h2("origin closes", early_close()), h2("origin resets", reset()), h2("half a body", short_body()), h2("POST, origin closes", early_close(), method="POST", body=b"x"),
    h2("nobody, HEAD", path="/nobody", method="HEAD"), h2("nobody, gRPC", path="/nobody", method="POST", headers=GRPC, body=b"\0\0\0\0\0", ignore=READ_TOGETHER), h2("direct, gRPC", path="/direct", method="POST", headers=GRPC),
    h2("gRPC to no gRPC", method="POST", headers=GRPC, body=b"\0\0\0\0\0"), h2("gRPC status in headers", Reply(headers={"content-type": "application/grpc", "grpc-status": "5"}), method="POST", headers=GRPC),
    h2("gRPC, 404", Reply(404, body=b"x"), method="POST", headers=GRPC), h2("no route to gRPC", authority="none.test", method="POST", headers=GRPC),
    h2("upper-case name", headers=(("X-Up", "1"),)), h2("connection", headers=(("connection", "close"),)), h2("te: gzip", headers=(("te", "gzip"),)), h2("LF in a value", headers=(("x-a", "a\nb"),)),
    h2("lenient: connection", headers=(("connection", "close"),), listener="lenient"), h2("no authority", authority=None), h2("empty path", path=""), h2("path with a space", path="/a b"),
    h2("scheme https", h2=[(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "test")]), h2("scheme ftp", h2=[(":method", "GET"), (":scheme", "ftp"), (":path", "/"), (":authority", "test")]),
    h2("CONNECT that is not allowed", method="CONNECT", h2=[(":method", "CONNECT"), (":authority", "test:80")]), h2("extended CONNECT that is not allowed", method="CONNECT", extra={":protocol": "websocket"}),
    h2("connect: no tunnel for GET", listener="connect"), h2("QUERY without a type", method="QUERY"), h2("QUERY", method="QUERY", headers=(("content-type", "x/y"),), body=b"q"),
]


@pytest.mark.differential
@pytest.mark.parametrize("item", CASES, ids=lambda item: item.name)
def test_h2(wide, item):
    wide.run(item)
