"""HTTP/1 messages through the proxy: framing, bodies, keep-alive, 100-continue, pipelining, request targets."""

import threading

import pytest

from harness import config as c
from harness.client import ConnectionEnded, chunked, request
from harness.differential import case, get, post
from harness.upstream import Raw, Reply, hang


def bootstrap(origins, log):
    table = c.routes("r", c.vhost("all", ["*"], c.route("/", "a")))
    return c.static_bootstrap(
        [c.listener("l", c.hcm(table, delayed_close_timeout="0.1s", log=log)),
         c.listener("old", c.hcm(table, delayed_close_timeout="0.1s", stat_prefix="old", log=log, http_protocol_options={
             "accept_http_10": True, "default_host_for_http_10": "default.test"})),
         c.listener("trailers", c.hcm(table, delayed_close_timeout="0.1s", stat_prefix="trailers", log=log, http_protocol_options={
             "enable_trailers": True}))],
        [c.cluster("a", origins["a"].port), c.cluster("none")])


def sent(name, data, **want):
    return case(name, data, **{"status": 200, **want})


BIG = bytes(range(256)) * 1024  # 256 KiB
CASES = [
    # Request bodies.
    sent("empty body with a length", post("/", b""), upstream_body=b""),
    sent("body", post("/", b"0123456789"), upstream_body=b"0123456789", upstream_headers={"content-length": "10"}),
    sent("big body", post("/", BIG), upstream_body=BIG),
    sent("GET with a body", get("/", body=b"abc"), upstream_body=b"abc"),
    sent("chunked body", request("POST", "/", headers={"Transfer-Encoding": "chunked"}) + chunked(b"ab", b"cde"),
         upstream_body=b"abcde", upstream_headers={"transfer-encoding": "chunked", "content-length": None}),
    sent("chunk extension", request("POST", "/", headers={"Transfer-Encoding": "chunked"})
         + b"3;a=b\r\nabc\r\n0\r\n\r\n", upstream_body=b"abc"),
    sent("request trailers are dropped", request("POST", "/", headers={"Transfer-Encoding": "chunked"})
         + chunked(b"ab", trailers=[("x-trailer", "1")]), upstream_body=b"ab"),
    sent("request trailers pass when enabled", request("POST", "/", headers={"Transfer-Encoding": "chunked"})
         + chunked(b"ab", trailers=[("x-trailer", "1")]), upstream_body=b"ab", listener="trailers"),
    sent("DELETE without a body", get("/", method="DELETE"), upstream_body=b""),
    sent("PUT without a length", get("/", method="PUT"), upstream_body=b""),
    sent("method that HTTP does not know", get("/", method="BREW"), status=400, closed=True),
    sent("PATCH", get("/", method="PATCH"), upstream_method="PATCH"),
    sent("PROPFIND", get("/", method="PROPFIND"), upstream_method="PROPFIND"),
    sent("OPTIONS *", b"OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n", status=404),

    # Responses.
    sent("length", "/", action=Reply(body=b"12345"), body=b"12345", headers={"content-length": "5"}),
    sent("big answer", "/", action=Reply(body=BIG), body=BIG),
    sent("chunked", "/", action=Reply(chunks=[b"a" * 10, b"b" * 20]), body=b"a" * 10 + b"b" * 20, framing="chunked"),
    sent("until close", "/", action=Raw(b"HTTP/1.1 200 OK\r\n\r\nrest", "close"), body=b"rest", framing="chunked"),
    sent("HTTP/1.0 answer", "/", action=Raw(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi", "close"), body=b"hi"),
    sent("answer with trailers", "/", action=Reply(chunks=[b"x"], trailers=[("x-t", "1")]), body=b"x"),
    sent("answer with trailers when enabled", "/", action=Reply(chunks=[b"x"], trailers=[("x-t", "1")]), body=b"x",
         listener="trailers"),
    sent("204", "/", action=Reply(204), status=204, body=b"", headers={"content-length": None}),
    sent("304 with a length", "/", action=Reply(304, {"content-length": "10", "etag": "x"}), status=304, body=b""),
    sent("304 without", "/", action=Reply(304, {"etag": "x"}), status=304, body=b""),
    sent("204 with a length", "/", action=Raw(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", "keep"),
         status=204),
    sent("HEAD with a length", get("/", method="HEAD"), action=Reply(body=b"12345"), body=b"",
         headers={"content-length": "5"}),
    sent("HEAD chunked", get("/", method="HEAD"), action=Reply(chunks=[b"x"]), body=b""),
    sent("HEAD without either", get("/", method="HEAD"), action=Raw(b"HTTP/1.1 200 OK\r\n\r\n", "keep"), body=b""),
    sent("reason phrase", "/", action=Raw(b"HTTP/1.1 200 Fine By Me\r\ncontent-length: 0\r\n\r\n", "keep")),
    sent("no reason phrase", "/", action=Raw(b"HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n", "keep")),
    sent("unknown status", "/", action=Reply(299, reason="Odd"), status=299),
    sent("status 598", "/", action=Reply(598, reason="Odd"), status=598),
    sent("repeated headers", "/", action=Reply(headers=[("x-r", "1"), ("x-r", "2"), ("set-cookie", "a=1"),
                                                       ("set-cookie", "b=2")]), headers={"set-cookie": "a=1,b=2"}),
    sent("header case is lowered", "/", action=Reply(headers={"X-MiXed": "Value"}), headers={"x-mixed": "Value"}),
    sent("empty header", "/", action=Reply(headers={"x-empty": ""}), headers={"x-empty": ""}),
    sent("early hints are dropped", "/", action=Reply(interim=[b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"])),
    sent("102 is dropped", "/", action=Reply(interim=[b"HTTP/1.1 102 Processing\r\n\r\n"])),
    sent("origin closes after the answer", "/", action=Reply(close=True), headers={"connection": None}),
    sent("hop-by-hop answer headers", "/", action=Reply(headers={
        "keep-alive": "timeout=5", "proxy-connection": "keep-alive", "upgrade": "h2c", "te": "x"})),
    sent("own server header", "/", action=Reply(headers={"server": "origin"}), headers={"server": "envoy"}),
    sent("own date header", "/", action=Reply(headers={"date": "Thu, 01 Jan 1970 00:00:00 GMT"}), ignore=()),

    # Request headers and targets.
    sent("request header case", get("/", headers={"X-MiXed": "Value"}), upstream_headers={"x-mixed": "Value"}),
    sent("whitespace around a value", b"GET / HTTP/1.1\r\nHost: t\r\nx-a: \t v v \t\r\n\r\n",
         upstream_headers={"x-a": "v v"}),
    sent("repeated request headers", get("/", headers=[("x-r", "1"), ("x-r", "2")]), upstream_headers={"x-r": "1,2"}),
    sent("cookies", get("/", headers=[("cookie", "a=1"), ("cookie", "b=2")])),
    sent("hop-by-hop request headers", get("/", headers={
        "Keep-Alive": "timeout=5", "Proxy-Connection": "keep-alive", "TE": "gzip", "Connection": "x-named",
        "x-named": "1"})),
    sent("te: trailers", get("/", headers={"TE": "trailers"})),
    sent("upgrade that is not configured", get("/", headers={"Connection": "Upgrade", "Upgrade": "websocket"}),
         status=403),
    sent("h2c upgrade", get("/", headers={"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c",
                                          "HTTP2-Settings": "AAMAAABkAAQAAP__"})),
    sent("absolute form", b"GET http://abs.test/p?q=1 HTTP/1.1\r\nHost: other.test\r\n\r\n", target="/p?q=1",
         host="abs.test"),
    sent("absolute form, https", b"GET https://abs.test/p HTTP/1.1\r\nHost: abs.test\r\n\r\n", target="/p"),
    sent("absolute form with a port and no path", b"GET http://abs.test:81 HTTP/1.1\r\nHost: x\r\n\r\n", target="/",
         host="abs.test:81"),
    sent("query only", b"GET /?a=b&c HTTP/1.1\r\nHost: t\r\n\r\n", target="/?a=b&c"),
    sent("odd characters stay", get("/a%20b/%C3%A9/;p=1/(x)'*!$,=:@~"), target="/a%20b/%C3%A9/;p=1/(x)'*!$,=:@~"),
    sent("bytes above 127 in the path", b"GET /\xc3\xa9 HTTP/1.1\r\nHost: t\r\n\r\n", status=400),
    sent("bytes above 127 in a value", b"GET / HTTP/1.1\r\nHost: t\r\nx-u: \xc3\xa9\r\n\r\n"),
    sent("dots stay without normalisation", get("/a/../b/./c//d"), target="/a/../b/./c//d"),
    sent("connection: close", get("/", headers={"Connection": "close"}), headers={"connection": "close"}, closed=True),
    sent("HTTP/1.0 refused", get("/", version="HTTP/1.0"), status=426, closed=True),
    sent("HTTP/1.0 accepted", get("/", version="HTTP/1.0"), listener="old", closed=True),
    sent("HTTP/1.0 keep-alive", get("/", version="HTTP/1.0", headers={"Connection": "keep-alive"}), listener="old",
         closed=False),
    sent("HTTP/1.0 without a host", get("/", host=None, version="HTTP/1.0"), listener="old", host="default.test"),
    sent("HTTP/1.0 chunked answer", get("/", version="HTTP/1.0"), action=Reply(chunks=[b"ab"]), listener="old"),
    sent("CONNECT", b"CONNECT t:443 HTTP/1.1\r\nHost: t:443\r\n\r\n", status=404, requests=0),
    sent("expect something else", get("/", headers={"Expect": "the-unexpected"})),
]


@pytest.mark.differential
@pytest.mark.parametrize("item", CASES, ids=lambda item: item.name)
def test_message(duel, item):
    duel.run(item)


# Exchanges that are more than one request and one answer. Each runs on every proxy in turn.


@pytest.fixture
def each(duel):
    """(flavour, proxy, origin) of every proxy, the origin wiped before each."""
    def play():
        for flavour, proxy in duel.each():
            duel.forget()
            yield flavour, proxy, duel.origins["a"]
    return play


def test_keep_alive_and_upstream_reuse(each):
    for flavour, proxy, origin in each():
        with proxy.connect("l") as client:
            for number in range(5):
                assert client.get(f"/{number}").status == 200, flavour
        seen = origin.take()
        assert [r.target for r in seen] == [f"/{n}" for n in range(5)], flavour
        assert len({r.connection for r in seen}) == 1, f"{flavour} used several upstream connections"


def test_pipelined_requests_are_answered_in_order(each):
    for flavour, proxy, origin in each():
        with proxy.connect("l") as client:
            client.send(b"".join(request("GET", f"/{n}") for n in range(20)))
            for number in range(20):
                origin.default = Reply(body=b"a", headers={"x-origin": "a"})
                assert client.read_response().status == 200, f"{flavour} {number}"
        assert [r.target for r in origin.take()] == [f"/{n}" for n in range(20)], flavour


def test_pipelined_posts_keep_their_bodies(each):
    for flavour, proxy, origin in each():
        with proxy.connect("l") as client:
            client.send(b"".join(post(f"/{n}", b"%d" % n * n) for n in range(10)))
            for _ in range(10):
                assert client.read_response("POST").status == 200, flavour
        assert [r.body for r in origin.take()] == [b"%d" % n * n for n in range(10)], flavour


def test_request_in_single_bytes(each):
    for flavour, proxy, origin in each():
        data = post("/slow?x=1", b"body", headers={"x-a": "b"})
        with proxy.connect("l") as client:
            for index in range(len(data)):
                client.send(data[index:index + 1])
            assert client.read_response("POST").status == 200, flavour
        (seen,) = origin.take()
        assert (seen.target, seen.body, seen.header("x-a")) == ("/slow?x=1", b"body", "b"), flavour


def test_continue_is_answered_by_the_proxy(each):
    for flavour, proxy, origin in each():
        with proxy.connect("l") as client:
            client.send(request("POST", "/", headers={"Expect": "100-continue", "Content-Length": "4"}))
            assert client.read_interim().status == 100, flavour
            client.send(b"body")
            response = client.read_response("POST")
            assert response.status == 200, flavour
        (seen,) = origin.take()
        assert seen.body == b"body", flavour
        assert seen.header("expect") is None, flavour


def test_body_streams_before_it_is_whole(each):
    """The origin sees the first part of the body while the client holds the second back."""
    for flavour, proxy, origin in each():
        origin.next(Reply(early=True, body=b"early"))
        with proxy.connect("l") as client:
            client.send(request("POST", "/", headers={"Content-Length": "10"}) + b"01234")
            origin.wait_requests(1)
            response = client.read_response("POST")
            assert response.body == b"early", flavour


def test_answer_streams_before_it_is_whole(each):
    for flavour, proxy, origin in each():
        gate = threading.Event()

        class Halves:
            def run(self, conn, request):
                conn.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n01234")
                assert gate.wait(10)
                conn.send(b"56789")
                return True

        origin.next(Halves())
        with proxy.connect("l") as client:
            client.send(get("/"))
            seen = b""
            while not seen.endswith(b"01234"):
                seen += client.read_some()
            gate.set()
            while not seen.endswith(b"56789"):
                seen += client.read_some()


def test_slow_reader_stops_the_origin(each):
    """A client that does not read must not make the proxy hold the whole answer."""
    size = 64 << 20
    for flavour, proxy, origin in each():
        sent_bytes = []
        blocked = threading.Event()

        class Flood:
            def run(self, conn, request):
                conn.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
                piece = b"x" * 65536
                conn.sock.settimeout(0.5)
                total = 0
                try:
                    while total < size:
                        total += conn.sock.send(piece)
                        sent_bytes[:] = [total]
                except TimeoutError:
                    pass
                blocked.set()
                return False

        origin.next(Flood())
        before = proxy.rss_kb()
        with proxy.connect("l") as client:
            client.send(get("/"))
            assert blocked.wait(20), flavour
            # Sockets hold a few MB on both sides; the proxy's own share is its buffer limit.
            assert sent_bytes[0] < size / 2, f"{flavour} took {sent_bytes[0]} bytes"
            assert proxy.is_sanitized or proxy.rss_kb() - before < 16 << 10, f"{flavour} grew by {proxy.rss_kb() - before} KB"


def test_client_goes_away_before_the_answer(each):
    for flavour, proxy, origin in each():
        origin.next(hang())
        client = proxy.connect("l")
        client.send(get("/"))
        origin.wait_requests(1)
        client.reset()
        origin.wait_open(0)
        proxy.wait_stat("cluster.a.upstream_rq_active", 0)


def test_client_goes_away_inside_its_body(each):
    for flavour, proxy, origin in each():
        with proxy.connect("l") as client:
            client.send(request("POST", "/", headers={"Content-Length": "100"}) + b"only this")
            proxy.wait_stat("cluster.a.upstream_rq_active", 1)
        proxy.wait_stat("cluster.a.upstream_rq_active", 0)
        with proxy.connect("l") as client:
            assert client.get("/").status == 200, flavour
        assert [r for r in origin.take() if r.complete and r.method == "POST"] == [], flavour


def test_half_close_after_a_request(each):
    for flavour, proxy, origin in each():
        outcome = None
        with proxy.connect("l") as client:
            client.send(get("/"))
            client.half_close()
            try:
                outcome = client.read_response().status
            except ConnectionEnded:
                outcome = "ended"
        assert outcome in (200, "ended"), flavour


def test_answer_before_the_body_has_come(each):
    """A direct 413-like early answer: the client's body that still comes is not read as a request."""
    for flavour, proxy, origin in each():
        origin.on("/early", Reply(413, reason="Too Large", early=True, close=True))
        with proxy.connect("l") as client:
            client.send(request("POST", "/early", headers={"Content-Length": "50000"}) + b"x" * 100)
            assert client.read_response("POST").status == 413, flavour
            try:
                client.send(b"GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n".ljust(49900))
            except ConnectionError:
                pass
        assert not any("smuggled" in r.target for r in origin.take()), flavour
