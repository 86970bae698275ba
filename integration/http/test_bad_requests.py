"""Requests that break the rules: refused as Envoy refuses them, and nothing of them ever reaches an origin.

The origin parses strictly; a request that it could not parse, or one that the client did not send, fails the test.
"""

import threading

import pytest

from harness import config as c
from harness.client import request
from harness.differential import case, get


def bootstrap(origins, log):
    table = c.routes("r", c.vhost("all", ["*"], c.route("/", "a")))
    return c.static_bootstrap(
        [c.listener("l", c.hcm(table, delayed_close_timeout="0.1s", log=log)),
         c.listener("small", c.hcm(table, delayed_close_timeout="0.1s", stat_prefix="small", log=log, max_request_headers_kb=1,
                                   common_http_protocol_options={"max_headers_count": 10})),
         c.listener("underscore-drop", c.hcm(table, delayed_close_timeout="0.1s", stat_prefix="drop", log=log, common_http_protocol_options={
             "headers_with_underscores_action": "DROP_HEADER"})),
         c.listener("underscore-reject", c.hcm(table, delayed_close_timeout="0.1s", stat_prefix="reject", log=log, common_http_protocol_options={
             "headers_with_underscores_action": "REJECT_REQUEST"})),
         c.listener("lenient", c.hcm(table, delayed_close_timeout="0.1s", stat_prefix="lenient", log=log,
                                     stream_error_on_invalid_http_message=True)),
         c.listener("overridden", c.hcm(table, delayed_close_timeout="0.1s", stat_prefix="overridden", log=log,
                                        stream_error_on_invalid_http_message=True, http_protocol_options={
             "override_stream_error_on_invalid_http_message": False}))],
        [c.cluster("a", origins["a"].port)])


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n"


def head(*lines):
    return b"POST / HTTP/1.1\r\nHost: t\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def refused(name, data, status=400, **want):
    """Refused before it reaches an origin, and the connection is closed."""
    # Whether a stream was already on its way to an origin when the error was found is a matter of how the bytes came.
    return case(name, data, **{"status": status, "requests": 0, "closed": True,
                               "ignore": ("log:upstream", "log:cluster"), **want})


def stricter(name, data, **envoy):
    """Envoy lets it pass; RFC 9112 does not, and neither does nuncio."""
    return case(name, data, differs={"status": 400, "requests": 0, "closed": True}, **envoy)


TE = b"Transfer-Encoding: chunked"
CHUNKED = b"0\r\n\r\n"
CASES = [
    # Framing.
    refused("length and chunked", head(b"Content-Length: 6", TE) + CHUNKED + SMUGGLED),
    refused("chunked and length", head(TE, b"Content-Length: 6") + CHUNKED + SMUGGLED),
    refused("two lengths that differ", head(b"Content-Length: 5", b"Content-Length: 6") + b"hello!"),
    refused("two lengths alike", head(b"Content-Length: 5", b"Content-Length: 5") + b"hello"),
    refused("list of lengths", head(b"Content-Length: 5, 5") + b"hello"),
    refused("empty length", head(b"Content-Length:")),
    refused("length with a sign", head(b"Content-Length: +5") + b"hello"),
    refused("negative length", head(b"Content-Length: -5") + b"hello"),
    refused("hexadecimal length", head(b"Content-Length: 0x5") + b"hello"),
    refused("length with an underscore", head(b"Content-Length: 5_0") + b"hello"),
    refused("length with a space inside", head(b"Content-Length: 1 0") + b"hello"),
    refused("length of 2^64", head(b"Content-Length: 18446744073709551616") + b"x"),
    refused("encoding that is not chunked", head(b"Transfer-Encoding: gzip") + b"x", status=501),
    refused("identity", head(b"Transfer-Encoding: identity") + b"x", status=501),
    refused("chunked twice", head(TE, TE) + CHUNKED, status=501),
    refused("chunked, identity", head(b"Transfer-Encoding: chunked, identity") + CHUNKED, status=501),
    refused("gzip, chunked", head(b"Transfer-Encoding: gzip, chunked") + CHUNKED, status=501),
    refused("chunked with a tail", head(b"Transfer-Encoding: chunkedx") + CHUNKED, status=501),
    refused("vertical tab before chunked", head(b"Transfer-Encoding: \x0bchunked") + CHUNKED),
    refused("space before the colon", head(b"Transfer-Encoding : chunked") + CHUNKED),
    refused("tab before the colon", head(b"Content-Length\t: 5") + b"hello"),
    refused("chunk size that is no number", head(TE) + b"zz\r\nab\r\n0\r\n\r\n"),
    refused("chunk size with a sign", head(TE) + b"+2\r\nab\r\n0\r\n\r\n"),
    refused("negative chunk size", head(TE) + b"-2\r\nab\r\n0\r\n\r\n"),
    refused("chunk size with 0x", head(TE) + b"0x2\r\nab\r\n0\r\n\r\n"),
    refused("chunk size with an underscore", head(TE) + b"0_2\r\nab\r\n0\r\n\r\n"),
    refused("chunk size overflow", head(TE) + b"fffffffffffffffff\r\nab\r\n0\r\n\r\n"),
    refused("empty chunk size", head(TE) + b"\r\nab\r\n0\r\n\r\n"),

    # Lines.
    stricter("obsolete folding", head(b"x-a: 1", b" folded")),
    stricter("bare CR in a value", head(b"x-a: 1\r2")),
    refused("NUL in a value", head(b"x-a: 1\x002")),
    refused("NUL in a name", head(b"x-\x00a: 1")),
    refused("space in a name", head(b"x a: 1")),
    refused("empty name", head(b": 1")),
    refused("line without a colon", head(b"x-a")),
    refused("bytes above 127 in a name", head(b"x-\xc3: 1")),
    refused("control character in a value", head(b"x-a: \x01")),
    refused("space before the first header", b"GET / HTTP/1.1\r\n Host: t\r\n\r\n"),
    refused("no target", b"GET HTTP/1.1\r\nHost: t\r\n\r\n"),
    stricter("two spaces", b"GET  / HTTP/1.1\r\nHost: t\r\n\r\n"),
    refused("space in the target", b"GET /a b HTTP/1.1\r\nHost: t\r\n\r\n"),
    refused("version 2.0", b"GET / HTTP/2.0\r\nHost: t\r\n\r\n", status=426),
    refused("version 1.2", b"GET / HTTP/1.2\r\nHost: t\r\n\r\n", status=426),
    refused("lower-case version", b"GET / http/1.1\r\nHost: t\r\n\r\n"),
    refused("no version", b"GET /\r\nHost: t\r\n\r\n", status=426),
    refused("lower-case method", b"get / HTTP/1.1\r\nHost: t\r\n\r\n"),
    refused("garbage", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", method="GET",
            ignore=("log:details",)),  # which of its faults is met first
    refused("a response", b"HTTP/1.1 200 OK\r\n\r\n", method="GET"),
    case("empty lines before the request", b"\r\n\r\nGET / HTTP/1.1\r\nHost: t\r\n\r\n", method="GET", status=200),
    stricter("bare LF", b"GET / HTTP/1.1\nHost: t\n\n"),
    stricter("bare LF in headers", b"GET / HTTP/1.1\r\nHost: t\nx-a: 1\r\n\r\n"),

    # Host and target.
    refused("no host", b"GET / HTTP/1.1\r\n\r\n"),
    case("empty host", b"GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    stricter("two hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    stricter("two hosts alike", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    case("host with userinfo", get("/", "user@t")), case("host with a slash", get("/", "t/x")),
    case("host with a space", get("/", "t x")), case("host with odd characters", get("/", "a_b{}|")),
    case("relative target", b"GET abc HTTP/1.1\r\nHost: t\r\n\r\n"),
    case("absolute form of another scheme", b"GET ftp://t/ HTTP/1.1\r\nHost: t\r\n\r\n"),
    case("absolute form without a host", b"GET http:///x HTTP/1.1\r\nHost: t\r\n\r\n"),
    case("absolute form with userinfo", b"GET http://u:p@t/x HTTP/1.1\r\nHost: t\r\n\r\n"),
    case("absolute form with a fragment", b"GET http://t/x#y HTTP/1.1\r\nHost: t\r\n\r\n"),
    case("asterisk for GET", b"GET * HTTP/1.1\r\nHost: t\r\n\r\n"),
    refused("NUL in the path", b"GET /\x00 HTTP/1.1\r\nHost: t\r\n\r\n"),
    refused("tab in the path", b"GET /a\tb HTTP/1.1\r\nHost: t\r\n\r\n"),
    case("encoded NUL in the path", get("/%00")),
    case("bad percent encoding", get("/%zz%")),
    case("backslash in the path", get("/a\\b")),
    case("DEL in the path", b"GET /\x7f HTTP/1.1\r\nHost: t\r\n\r\n"),

    # Sizes.
    refused("header of 100 KB", get("/", headers={"x-big": "a" * 100000}), status=431),
    refused("target of 100 KB", get("/" + "a" * 100000), status=431),
    refused("101 headers", get("/", headers=[(f"x-{i}", "1") for i in range(101)]), status=431),
    case("90 headers", get("/", headers=[(f"x-{i}", "1") for i in range(90)]), status=200),
    case("header of 50 KB", get("/", headers={"x-big": "a" * 50000}), status=200),
    refused("over a small limit", get("/", headers={"x-big": "a" * 1100}), listener="small", status=431),
    refused("over a small count", get("/", headers=[(f"x-{i}", "1") for i in range(11)]), listener="small", status=431),
    case("underscores pass", get("/", headers={"x_under": "1"}), status=200, upstream_headers={"x_under": "1"}),
    case("underscores dropped", get("/", headers={"x_under": "1", "x-dash": "2"}), listener="underscore-drop",
         status=200, upstream_headers={"x_under": None, "x-dash": "2"}),
    case("underscores refused", get("/", headers={"x_under": "1"}), listener="underscore-reject", status=400),

    # stream_error_on_invalid_http_message: what could be read costs its request, what could not the connection.
    case("no host, lenient", b"GET / HTTP/1.1\r\n\r\n", listener="lenient", status=400, requests=0, closed=False),
    refused("two lengths that differ, lenient", head(b"Content-Length: 5", b"Content-Length: 6") + b"hello!", listener="lenient"),
    refused("no host, overridden", b"GET / HTTP/1.1\r\n\r\n", listener="overridden"),

    # What names headers in Connection cannot remove what matters.
    case("connection names a header", get("/", headers={"Connection": "x-role", "x-role": "admin"}), status=200),
    case("connection names host", get("/", headers={"Connection": "host"}), status=400),
    case("connection names x-forwarded-for", get("/", headers={"Connection": "x-forwarded-for, close"}), status=400),
]


@pytest.mark.differential
@pytest.mark.parametrize("item", CASES, ids=lambda item: item.name)
def test_bad_request(duel, item):
    outcomes = duel.run(item)
    for flavour, outcome in outcomes.items():
        assert not any("smuggled" in seen.target for seen in outcome.requests), flavour


def test_a_bad_request_after_good_ones_ends_only_itself(duel):
    for flavour, proxy in duel.each():
        duel.forget()
        with proxy.connect("l") as client:
            client.send(get("/one") + get("/two") + head(b"Content-Length: 5", TE) + CHUNKED + SMUGGLED)
            assert [client.read_response().status for _ in range(3)] == [200, 200, 400], flavour
            assert client.is_closed(), flavour
        assert [r.target for r in duel.origins["a"].take()] == ["/one", "/two"], flavour


def test_bytes_after_connection_close_are_not_a_request(duel):
    for flavour, proxy in duel.each():
        duel.forget()
        with proxy.connect("l") as client:
            client.send(get("/one", headers={"Connection": "close"}) + SMUGGLED)
            assert client.read_response().status == 200, flavour
            assert client.is_closed(), flavour
        assert [r.target for r in duel.origins["a"].take()] == ["/one"], flavour


def test_bytes_after_an_upgrade_request_are_not_a_request(duel):
    for flavour, proxy in duel.each():
        duel.forget()
        with proxy.connect("l") as client:
            client.send(get("/one", headers={"Connection": "upgrade", "Upgrade": "websocket"}) + SMUGGLED)
            client.read_to_end() if client.read_response().header("connection") == "close" else None
        assert [r.target for r in duel.origins["a"].take() if r.target == "/one"] == [], flavour


def test_many_pipelined_requests_are_bounded(duel):
    """Thousands of requests in one go are answered in order and do not pile up in memory."""
    count = 3000
    for flavour, proxy in duel.each():
        duel.forget()
        with proxy.connect("l", timeout=60) as client:

            data = get("/p") * count
            writer = threading.Thread(target=client.send, args=(data,), daemon=True)
            before = proxy.rss_kb()
            writer.start()
            for _ in range(count):
                assert client.read_response().status == 200, flavour
            writer.join(10)
            assert proxy.is_sanitized or proxy.rss_kb() - before < 32 << 10, flavour


def test_request_in_two_halves_of_every_split(duel):
    """The parser does not care where the network cuts."""
    data = request("POST", "/split?x=1", headers={"Transfer-Encoding": "chunked", "X-A": "b c"}) + b"3\r\nabc\r\n0\r\n\r\n"
    for flavour, proxy in duel.each():
        duel.forget()
        with proxy.connect("l") as client:
            for cut in range(1, len(data)):
                client.send(data[:cut])
                client.send(data[cut:])
                assert client.read_response("POST").status == 200, f"{flavour} cut at {cut}"
        seen = duel.origins["a"].take()
        assert {(r.target, r.body, r.header("x-a")) for r in seen} == {("/split?x=1", b"abc", "b c")}, flavour
        assert len(seen) == len(data) - 1, flavour
