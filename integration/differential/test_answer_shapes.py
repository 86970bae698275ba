"""What an origin may answer: statuses, headers, framing, bodies, trailers, 1xx, and every way of breaking off."""

import pytest

from harness import config as c
from harness.differential import case, get, post
from harness.upstream import Raw, Reply, early_close, endless_headers, extra_bytes, garbage, interim_flood, reset, short_body
from harness.wide import NO_REPLAYS, log as wide_log

TRAILERS = {"enable_trailers": True}


def bootstrap(origins, log):
    def table(cluster):
        return c.routes("r", c.vhost("all", ["*"], c.route("/", cluster, name="rest")))

    def listener(name, cluster="a", **more):
        return c.listener(name, c.hcm(table(cluster), stat_prefix=name, access_log=[wide_log(log)], delayed_close_timeout="0.1s", **more))

    def cluster(name, **options):
        return c.cluster(name, origins["a"].port, typed_extension_protocol_options=c.http_options(
            explicit_http_config={"http_protocol_options": options}))

    return c.static_bootstrap(
        [listener("l"), listener("trailers", "trailers", http_protocol_options=TRAILERS),
         listener("pass", server_header_transformation="PASS_THROUGH"), listener("absent", server_header_transformation="APPEND_IF_ABSENT"),
         listener("named", server_name="custom"), listener("via", via="proxy"), listener("http10", http_protocol_options={"accept_http_10": True})],
        [cluster("a"), cluster("trailers", **TRAILERS)], layered_runtime=NO_REPLAYS)


LAX = {"status": 502, "flags": "UPE"}  # README, Differs from Envoy: HTTP/1 responses
CHUNKS_ARE_NOT_KEPT = ("log:wire_out", "stat:http.l.downstream_cx_tx_bytes_total")


def answers(name, action, data=None, **more):
    return case(name, data or get("/"), action=action, **more)


def raw(head, body=b"", then="keep"):
    """An answer of these lines."""
    return Raw("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body, then)


OK = "HTTP/1.1 200 OK"
HOW_FAR = ("log:up_wire_in", "log:up_head_in")  # of an answer that turned out to be none
STATUSES = [answers(f"{code} {reason}", Reply(code, reason=reason, body=b"" if code in (204, 304) else b"body")) for code, reason in (
    (200, "OK"), (200, "Fine"), (200, ""), (201, "Created"), (202, "Accepted"), (203, "x"), (204, "No Content"), (205, "Reset Content"),
    (206, "Partial"), (300, "x"), (301, "Moved"), (302, "Found"), (304, "Not Modified"), (307, "T"), (308, "P"), (400, "Bad Request"), (401, "U"),
    (403, "F"), (404, "Not Found"), (405, "M"), (408, "T"), (409, "C"), (413, "P"), (418, "Teapot"), (425, "E"), (429, "Too Many"), (431, "H"),
    (451, "L"), (499, "x"), (500, "Internal"), (501, "N"), (502, "Bad Gateway"), (503, "Unavailable"), (504, "Timeout"), (505, "V"), (599, "x"))]
STATUSES += [answers(f"status {line}", Raw(line.encode() + b"\r\ncontent-length: 1\r\n\r\nx", "close"), ignore=("log:up_wire_in", "log:up_head_in")) for line in (
    "HTTP/1.1 600 x", "HTTP/1.1 999 x", "HTTP/1.1 099 x", "HTTP/1.0 200 OK", "HTTP/1.1 200")]
HEADERS = [answers(name, Reply(headers=pairs, body=b"x")) for name, pairs in (
    ("upper case", {"X-Upper": "V"}), ("duplicates", [("x-a", "1"), ("x-b", "2"), ("x-a", "3")]), ("empty", {"x-a": ""}), ("two cookies", [("set-cookie", "a=1"), ("set-cookie", "b=2")]),
    ("connection: close", {"connection": "close"}), ("connection: keep-alive", {"connection": "keep-alive", "keep-alive": "timeout=5"}),
    ("connection: x-a", {"connection": "x-a", "x-a": "1"}), ("proxy-connection", {"proxy-connection": "close"}), ("te", {"te": "trailers"}),
    ("upgrade", {"upgrade": "h2c"}), ("connection: upgrade", {"connection": "upgrade", "upgrade": "h2c"}), ("date", {"date": "Sun, 06 Nov 1994 08:49:37 GMT"}),
    ("server", {"server": "origin/1"}), ("via", {"via": "1.1 x"}), ("location", {"location": "http://internal/x"}), ("vary", {"vary": "accept"}),
    ("etag", {"etag": '"x"'}), ("encoding", {"content-encoding": "gzip"}), ("obs-text", {"x-a": "caf\xe9"}), ("tab inside", {"x-a": "a\tb"}),
    ("40 headers", [(f"x-{i}", "v" * i) for i in range(40)]), ("a long one", {"x-a": "v" * 20000}), ("request id", {"x-request-id": "origin"}),
    ("service time", {"x-envoy-upstream-service-time": "99999"}), ("canary", {"x-envoy-upstream-canary": "true"}), ("overloaded", {"x-envoy-overloaded": "true"}),
    ("health check", {"x-envoy-upstream-healthchecked-cluster": "c"}), ("immediate", {"x-envoy-immediate-health-check-fail": "1"}),
    ("degraded", {"x-envoy-degraded": "1"}), ("ratelimited", {"x-envoy-ratelimited": "1"}), ("decorator", {"x-envoy-decorator-operation": "op"}),
    ("alt-svc", {"alt-svc": "h3"}), ("grpc-status", {"grpc-status": "5"}), ("trailer", {"trailer": "x-sum"}), ("content-type", {"content-type": "text/html; charset=utf-8"}),
    ("odd token", {"x!#$%&'*+.^`|~": "1"}), ("underscore", {"x_a": "1"}), ("status as a header", {"status": "500"}))]
HEADERS += [answers(f"{listener}: server {'given' if given else 'absent'}", Reply(headers={"server": "origin", "via": "1.0 o"} if given else {}, body=b"x"), listener=listener)
            for listener in ("pass", "absent", "named", "via") for given in (True, False)]
CHUNKS = Reply(chunks=[b"one", b"two", b"three"])
FRAMING = [
    answers("chunked", CHUNKS), answers("chunked, empty", Reply(chunks=[])), answers("length 0", Reply(body=b"")),
    answers("until close", Raw(f"{OK}\r\n\r\nto the end".encode(), "close")), answers("until close, empty", Raw(f"{OK}\r\n\r\n".encode(), "close")),
    answers("HTTP/1.0 until close", Raw(b"HTTP/1.0 200 OK\r\n\r\nto the end", "close")), answers("HTTP/1.0 with a length", raw(["HTTP/1.0 200 OK", "content-length: 2"], b"ab")),
    answers("HTTP/1.0 kept alive", raw(["HTTP/1.0 200 OK", "content-length: 2", "connection: keep-alive"], b"ab")),
    answers("trailers that nobody wants", Reply(chunks=[b"x"], trailers=[("x-sum", "1")]),
            ignore=("log:upstream_protocol",)),  # Envoy's is that of the connection's last answer
    answers("trailers", Reply(chunks=[b"x"], trailers=[("x-sum", "1"), ("x-two", "2")]), listener="trailers"),
    answers("trailers alone", Reply(chunks=[], trailers=[("x-sum", "1")]), listener="trailers"),
    answers("chunk extension", raw([OK, "transfer-encoding: chunked"], b"1;a=b\r\nx\r\n0\r\n\r\n")),
    answers("chunks to HTTP/1.0", CHUNKS, b"GET / HTTP/1.0\r\nHost: test\r\n\r\n", listener="http10"),
    answers("trailers to HTTP/1.0", Reply(chunks=[b"x"], trailers=[("x-sum", "1")]), b"GET / HTTP/1.0\r\nHost: test\r\n\r\n", listener="http10"),
    answers("a length to HTTP/1.0", Reply(body=b"x"), b"GET / HTTP/1.0\r\nHost: test\r\n\r\n", listener="http10"),
    answers("200 KB", Reply(body=b"y" * 200000)), answers("2 MB", Reply(body=b"y" * (2 << 20))), answers("200 KB in chunks", Reply(chunks=[b"z" * 20000] * 10), ignore=CHUNKS_ARE_NOT_KEPT),
    answers("two lengths alike", raw([OK, "content-length: 1", "content-length: 1"], b"x")), answers("two lengths", raw([OK, "content-length: 1", "content-length: 2"], b"x")),
    answers("a list of lengths", raw([OK, "content-length: 1, 1"], b"x")), answers("length of nonsense", raw([OK, "content-length: x"], b"x")),
    answers("length and chunked", raw([OK, "content-length: 1", "transfer-encoding: chunked"], b"1\r\nx\r\n0\r\n\r\n"), ignore=HOW_FAR),
    answers("gzip, chunked", raw([OK, "transfer-encoding: gzip, chunked"], b"1\r\nx\r\n0\r\n\r\n"), ignore=HOW_FAR), answers("gzip encoding", raw([OK, "transfer-encoding: gzip"], b"x", "close"), ignore=HOW_FAR),
    answers("identity", raw([OK, "transfer-encoding: identity"], b"x", "close"), ignore=HOW_FAR),
    answers("204 with a length", raw(["HTTP/1.1 204 No Content", "content-length: 0"])), answers("304 with a length", raw(["HTTP/1.1 304 Not Modified", "content-length: 10"])),
    answers("204 with chunks", raw(["HTTP/1.1 204 No Content", "transfer-encoding: chunked"], then="close")),
    answers("HEAD with a length", Reply(headers={"content-length": "10"}), get(method="HEAD")), answers("HEAD, chunked", Reply(headers={"transfer-encoding": "chunked"}), get(method="HEAD")),
    answers("HEAD without either", Reply(framing=False), get(method="HEAD")), answers("HEAD, 404", Reply(404, headers={"content-length": "7"}), get(method="HEAD")),
]
INTERIM = [answers(name, Reply(interim=pieces, body=b"x")) for name, pieces in (
    ("100", [b"HTTP/1.1 100 Continue\r\n\r\n"]), ("102", [b"HTTP/1.1 102 Processing\r\n\r\n"]), ("103", [b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"]),
    ("three 103", [b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"] * 3), ("199", [b"HTTP/1.1 199 Odd\r\n\r\n"]))]
INTERIM += [answers("101 unasked", raw(["HTTP/1.1 101 Switching Protocols", "connection: upgrade", "upgrade: x"]), differs=LAX)]
BROKEN = [
    answers("closes at once", early_close(), status=503), answers("resets at once", reset(), status=503), answers("garbage", garbage(), status=502, ignore=HOW_FAR),
    answers("half a status line", Raw(b"HTTP/1.1 20", "close")), answers("half a head", Raw(b"HTTP/1.1 200 OK\r\ncontent-le", "close")),
    answers("half a head, reset", Raw(b"HTTP/1.1 200 OK\r\ncontent-le", "reset")), answers("half a body", short_body()),
    answers("half a body, reset", Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n0123456789", "reset")),
    answers("half a chunk", Raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab", "close")),
    answers("no last chunk", Raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n", "close")),
    answers("a bad chunk", Raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nab\r\n", "close"), ignore=HOW_FAR),
    answers("more than it said", extra_bytes(), ignore=("log:up_wire_in", "stats")),  # whether it came with the answer
    answers("endless headers", endless_headers(), ignore=("stats", *HOW_FAR)), answers("endless 1xx", interim_flood(), differs=LAX),
    answers("a NUL in a header", raw([OK, "x-a: \0", "content-length: 1"], b"x"), ignore=HOW_FAR), answers("no colon", raw([OK, "x-a", "content-length: 1"], b"x"), ignore=HOW_FAR),
    answers("space before the colon", raw([OK, "x-a : 1", "content-length: 1"], b"x"), ignore=HOW_FAR), answers("HTTP/2.0", raw(["HTTP/2.0 200 OK", "content-length: 1"], b"x"), differs=LAX),
    answers("an SSH banner", Raw(b"SSH-2.0-OpenSSH\r\n", "close"), ignore=HOW_FAR), answers("POST, closes at once", early_close(), post("/", b"abc"), status=503),
    answers("POST, resets", reset(), post("/", b"abc"), status=503), answers("HEAD, closes at once", early_close(), get(method="HEAD")),
    answers("gRPC, closes at once", early_close(), post("/s/m", b"", headers={"content-type": "application/grpc"})),
    answers("gRPC, 503", Reply(503, body=b"x"), post("/s/m", b"", headers={"content-type": "application/grpc"})),
    answers("gRPC, trailers only", Reply(headers={"content-type": "application/grpc", "grpc-status": "7", "grpc-message": "no"}), post("/s/m", b"", headers={"content-type": "application/grpc"})),
    answers("an early answer", Reply(403, body=b"no", early=True), get(method="POST", headers={"content-length": "3"})),
    answers("an early answer and close", Reply(413, body=b"no", early=True, close=True), get(method="POST", headers={"content-length": "3"})),
]

CASES = [*STATUSES, *HEADERS, *FRAMING, *INTERIM, *BROKEN]


@pytest.mark.differential
@pytest.mark.parametrize("item", CASES, ids=lambda item: item.name)
def test_answer(wide, item):
    wide.run(item)
