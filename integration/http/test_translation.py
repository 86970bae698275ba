"""HTTP/1 and HTTP/2 in all four combinations: what a client is told and what an origin is asked is what Envoy makes of it.

Every shape of request and answer below goes through nuncio and Envoy with the same bootstrap. What the client gets
(status, headers, body, trailers, 1xx, how it ended), what the origin sees and the access-log line are compared in full;
the expectations beside a shape are what makes it worth having, and the only judge when there is no oracle.
"""

import re
from dataclasses import dataclass, field

import pytest

from harness import config as c
from harness.differential import BROKEN, Duel, Outcome, diff, view
from harness.h2peer import H2Origin
from harness.translate import Answer, Ask, ErrorCodes, ask_h1, ask_h2
from harness.upstream import Origin, Raw
from harness.wait import WaitTimeout, wait_for

FRONTS = {"h1": ask_h1, "h2": ask_h2}
BACKS = ("h1", "h2")
TRAILERS = {"http_protocol_options": {"enable_trailers": True}}
STREAM_ERRORS = {"override_stream_error_on_invalid_http_message": True}
# The listeners, one to each origin: kind -> what is set in the connection manager.
KINDS = {
    "plain": {},
    "trailers": TRAILERS,
    "continue": {"proxy_100_continue": True},
    "lenient": {"stream_error_on_invalid_http_message": True, "http2_protocol_options": STREAM_ERRORS},
}


def bootstrap(origins, log):
    def cluster(name, back, h1=None, h2=None):
        own = {"explicit_http_config": {"http_protocol_options": h1 or {}} if back == "h1" else
               {"http2_protocol_options": h2 or {}}}
        return c.cluster(name, origins[back].port, typed_extension_protocol_options=c.http_options(**own))

    listeners, clusters = [], []
    for back in BACKS:
        clusters += [cluster(f"{back}-plain", back), cluster(f"{back}-trailers", back, h1={"enable_trailers": True}),
                     cluster(f"{back}-lenient", back, h1=STREAM_ERRORS, h2=STREAM_ERRORS)]
        for kind, more in KINDS.items():
            to = f"{back}-{kind if kind in ('trailers', 'lenient') else 'plain'}"
            table = c.routes(kind, c.vhost("all", ["*"], c.route("/", to)))
            listeners.append(c.listener(f"{back}-{kind}", c.hcm(table, log=log, delayed_close_timeout="0.1s", **more)))
    return c.static_bootstrap(listeners, clusters)


@dataclass
class Shape:
    """A request, its answer, and what must come of them. gets: status, headers, body, trailers, interim, reset of the
    client; sees: method, target, headers, body, trailers of the origin (None: it sees no request), with a front and
    back in front of a key ("h2>h1 reset") where they matter."""

    name: str
    ask: Ask
    answer: object
    fronts: tuple = ("h1", "h2")
    backs: tuple = ("h1", "h2")
    kind: str = "plain"
    gets: dict = field(default_factory=dict)
    sees: object = field(default_factory=dict)
    ignore: tuple = ()
    differs: str = ""  # why nuncio is not compared: only gets and sees are checked


def shape(name, ask=None, answer=None, **more):
    return Shape(name, ask or Ask(), answer or Answer(body=b"hello"), **more)


def header(*pairs, **more):
    """A GET with these headers."""
    return Ask(headers=pairs, **more)


def raw_h2(*fields):
    return Ask(h2=[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "test"), *fields])


ONLY_H1 = {"fronts": ("h1",)}
ONLY_H2 = {"fronts": ("h2",)}
LONG = "v" * 40000
MEGABYTE = bytes(range(256)) * 4096
OK = {"status": 200}
# How far a request had come when its end turned out to be wrong.
RACING = ("log:received", "log:upstream", "log:upstream_protocol", "upstream resets")
GRPC = (("content-type", "application/grpc"), ("te", "trailers"))

NAMES = [
    shape("plain", gets={**OK, "body": b"hello"}, sees={"method": "GET", "target": "/"}),
    shape("query", Ask(path="/a/b?c=d&e=%20"), sees={"target": "/a/b?c=d&e=%20"}),
    shape("authority with port", Ask(authority="test:8080"), sees={"host": "test:8080"}),
    shape("authority in upper case", Ask(authority="TEST.Example"), sees={"host": "TEST.Example"}),
    shape("host beside the same authority", header(("host", "test")), **ONLY_H2, sees={"host": "test"}),
    shape("host beside another authority", header(("host", "other")), **ONLY_H2),
    shape("host without authority", header(("host", "other"), authority=None), **ONLY_H2),
    shape("neither host nor authority", Ask(authority=None), **ONLY_H2),
    shape("absolute form", Ask(h1=b"GET http://other/x HTTP/1.1\r\nHost: test\r\n\r\n"), **ONLY_H1, sees={"host": "other"}),
    shape("OPTIONS *", Ask(method="OPTIONS", path="*")),
    shape("TRACE", Ask(method="TRACE")),
    shape("unknown method", Ask(method="PURGE"), sees={"method": "PURGE"}),
    shape("te: trailers", header(("te", "trailers"))),
    shape("te: gzip", header(("te", "gzip")), **ONLY_H1),
    shape("te: trailers named by connection", header(("te", "trailers"), ("connection", "te")), **ONLY_H1),
    shape("te: several", header(("te", "trailers, deflate;q=0.5")), **ONLY_H1),
    shape("connection: close", header(("connection", "close")), **ONLY_H1, gets=OK),
    shape("connection: keep-alive", header(("connection", "keep-alive"), ("keep-alive", "timeout=5")), **ONLY_H1),
    shape("connection names a header", header(("connection", "x-hop"), ("x-hop", "1"), ("x-other", "2")), **ONLY_H1),
    shape("proxy-connection", header(("proxy-connection", "keep-alive")), **ONLY_H1),
    shape("upgrade that is not configured", header(("connection", "upgrade"), ("upgrade", "websocket")), **ONLY_H1),
    shape("upgrade: h2c", header(("connection", "upgrade, http2-settings"), ("upgrade", "h2c"),
                                 ("http2-settings", "AAMAAABkAAQCAAAAAAIAAAAA")), **ONLY_H1),
    shape("one cookie header", header(("cookie", "a=1; b=2")), sees={"headers": {"cookie": "a=1; b=2"}}),
    shape("cookie crumbs", header(("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")),
          sees={"headers": {"cookie": "a=1; b=2; c=3"}}, **ONLY_H2),
    shape("two cookie headers", header(("cookie", "a=1"), ("cookie", "b=2")), **ONLY_H1),
    shape("crumbs between others", header(("cookie", "a=1"), ("x-a", "1"), ("cookie", "b=2"), ("x-b", "2")), **ONLY_H2),
    shape("90 cookies", header(*[("cookie", f"c{i}={i}") for i in range(90)], *[(f"x-{i}", "1") for i in range(15)]),
          **ONLY_H2, gets=OK, differs="crumbs are one header, as in Envoy before and after 1.40.0 (envoy#45483)"),
    shape("duplicates", header(("x-dup", "1"), ("x-mid", "m"), ("x-dup", "2"))),
    shape("header case", header(("X-Mixed-Case", "Value")), **ONLY_H1, sees={"headers": {"x-mixed-case": "Value"}}),
    shape("empty value", header(("x-empty", ""))),
    shape("value with obs-text", header(("x-text", "caf\xe9"))),
    shape("value with tab", header(("x-text", "a\tb"))),
    shape("long value", header(("x-long", LONG)), gets=OK, sees={"headers": {"x-long": LONG}}),
    shape("header list too long", header(("x-long", "v" * 70000)), sees=None),
    shape("header list too long, in small ones", header(*[(f"x-{i}", "v" * 1000) for i in range(70)]), sees=None),
    shape("too many headers", header(*[(f"x-{i}", "1") for i in range(120)]), sees=None),
    shape("100 headers with the pseudo ones", header(*[(f"x-{i}", "1") for i in range(95)]), gets=OK),
    shape("forwarded and trace headers", header(("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https"),
                                                ("x-request-id", "mine"), ("via", "1.1 x"))),
    shape("x-envoy headers", header(("x-envoy-upstream-rq-timeout-ms", "900"), ("x-envoy-max-retries", "1"))),
    shape("trailer announced", header(("trailer", "x-sum"))),
    shape("underscore", header(("x_under", "1"))),
]

FORBIDDEN = [
    shape("connection", raw_h2(("connection", "close"))),
    shape("connection: keep-alive", raw_h2(("connection", "keep-alive"))),
    shape("transfer-encoding", raw_h2(("transfer-encoding", "chunked"))),
    shape("keep-alive", raw_h2(("keep-alive", "timeout=5"))),
    shape("proxy-connection", raw_h2(("proxy-connection", "close"))),
    shape("upgrade", raw_h2(("upgrade", "websocket"))),
    shape("te: gzip", raw_h2(("te", "gzip"))),
    shape("te: trailers, gzip", raw_h2(("te", "trailers, gzip"))),
    shape("te: Trailers", raw_h2(("te", "Trailers")), gets=OK, differs="names of codings have no case (RFC 9110, 10.1.4)"),
    shape("upper-case name", raw_h2(("X-Upper", "1"))),
    shape("space in a name", raw_h2(("x upper", "1"))),
    shape("colon in a name", raw_h2(("x:y", "1"))),
    shape("empty name", raw_h2(("", "1"))),
    shape("LF in a value", raw_h2(("x-a", "1\nx-b: 2"))),
    shape("CR in a value", raw_h2(("x-a", "1\rx-b: 2"))),
    shape("NUL in a value", raw_h2(("x-a", "1\0"))),
    shape("leading space", raw_h2(("x-a", " 1"))),
    shape("trailing space", raw_h2(("x-a", "1 "))),
    shape("unknown pseudo-header", raw_h2((":custom", "1"))),
    shape("pseudo-header of responses", raw_h2((":status", "200"))),
    shape("duplicate :path", raw_h2((":path", "/b"))),
    shape("pseudo-header after a header", Ask(h2=[(":method", "GET"), (":scheme", "http"), ("x-a", "1"), (":path", "/"),
                                                  (":authority", "test")])),
    shape("no :method", Ask(h2=[(":scheme", "http"), (":path", "/"), (":authority", "test")])),
    shape("no :scheme", Ask(h2=[(":method", "GET"), (":path", "/"), (":authority", "test")])),
    shape("no :path", Ask(h2=[(":method", "GET"), (":scheme", "http"), (":authority", "test")])),
    shape("empty :path", Ask(path="")),
    shape(":path without a slash", Ask(path="x")),
    shape(":path with a space", Ask(path="/a b")),
    shape(":path with LF", Ask(path="/a\nb")),
    shape(":path with a fragment", Ask(path="/a#b")),
    shape(":path in absolute form", Ask(path="http://other/x")),
    shape(":path with high bytes", Ask(path="/caf\xe9")),
    shape(":method with a space", Ask(method="GET /x HTTP/1.1")),
    shape(":method in lower case", Ask(method="get")),
    shape("empty :method", Ask(method="")),
    shape(":authority with a space", Ask(authority="te st")),
    shape(":authority with userinfo", Ask(authority="user@test")),
    shape(":authority with a slash", Ask(authority="test/x")),
    shape("empty :authority", Ask(authority="")),
    shape(":scheme https", Ask(h2=[(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "test")])),
    shape(":scheme ftp", Ask(h2=[(":method", "GET"), (":scheme", "ftp"), (":path", "/"), (":authority", "test")])),
    shape("CONNECT", Ask(h2=[(":method", "CONNECT"), (":authority", "test:80")])),
    shape("CONNECT with :path", Ask(method="CONNECT")),
    shape("extended CONNECT that is not allowed", Ask(method="CONNECT", extra={":protocol": "websocket"})),
    shape(":protocol on GET", Ask(extra={":protocol": "websocket"})),
    shape("content-length that is no number", raw_h2(("content-length", "abc"))),
    shape("two content-lengths", raw_h2(("content-length", "1"), ("content-length", "2"))),
    shape("content-length without a body", raw_h2(("content-length", "5"))),
    shape("body longer than content-length", Ask(method="POST", body=b"0123456789", length=5), ignore=RACING),
    shape("body shorter than content-length", Ask(method="POST", body=b"01234", length=10), ignore=RACING),
    shape("connection in trailers", Ask(method="POST", body=b"x", trailers=(("connection", "close"),)), ignore=RACING),
    shape("pseudo-header in trailers", Ask(method="POST", body=b"x", trailers=((":path", "/"),)), ignore=RACING),
    shape("upper case in trailers", Ask(method="POST", body=b"x", trailers=(("X-Up", "1"),)), ignore=RACING),
]

for one in FORBIDDEN:
    one.fronts = ("h2",)

BODIES = [
    shape("POST", Ask(method="POST", body=b"0123456789"), gets=OK, sees={"body": b"0123456789"}),
    shape("POST without length", Ask(method="POST", body=b"0123456789", length=False), gets=OK, sees={"body": b"0123456789"}),
    shape("POST, empty, with length", Ask(method="POST", body=b""), gets=OK),
    shape("POST, empty, without length", Ask(method="POST", body=b"", length=False), gets=OK),
    shape("POST without a body", Ask(method="POST"), gets=OK),
    # The end may come with the head, in one read, or after it.
    shape("POST, ended by an empty DATA", Ask(method="POST", empty_data=True), **ONLY_H2, gets=OK,
          ignore=("upstream[0] framing", "upstream_header:transfer-encoding", "upstream_header:content-length")),
    # An HTTP/1 origin may answer before the empty frame has come.
    shape("POST with length 0, ended by an empty DATA", Ask(method="POST", body=b"", empty_data=True), **ONLY_H2,
          ignore=("header:x-envoy-upstream-service-time", "upstream resets")),
    shape("GET with a body", Ask(body=b"0123456789"), gets=OK, sees={"body": b"0123456789"}),
    shape("GET with a body without length", Ask(body=b"0123456789", length=False), gets=OK, sees={"body": b"0123456789"}),
    shape("HEAD with a body", Ask(method="HEAD", body=b"0123456789")),
    shape("large both ways", Ask(method="PUT", body=MEGABYTE), Answer(body=MEGABYTE),
          gets={"body": MEGABYTE}, sees={"body": MEGABYTE}),
    shape("large both ways without length", Ask(method="PUT", body=MEGABYTE, length=False), Answer(body=MEGABYTE, length=False),
          gets={"body": MEGABYTE}, sees={"body": MEGABYTE}),
    shape("answer without length", answer=Answer(body=b"hello", length=False), gets={**OK, "body": b"hello"}),
    shape("empty answer", answer=Answer(), gets={**OK, "body": b""}),
    shape("empty answer without length", answer=Answer(length=False), gets={**OK, "body": b""}),
    shape("answer until the connection closes", answer=Raw(b"HTTP/1.1 200 OK\r\nx-a: 1\r\n\r\nhello"), backs=("h1",),
          gets={**OK, "body": b"hello"}),
    shape("answer of HTTP/1.0", answer=Raw(b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello"), backs=("h1",),
          gets={**OK, "body": b"hello"}),
    shape("204", answer=Answer(204), gets={"status": 204, "body": b""}),
    shape("204 with length 0", answer=Answer(204, (("content-length", "0"),)), gets={"status": 204}),
    shape("204 with length", answer=Answer(204, (("content-length", "5"),))),
    shape("304", answer=Answer(304, (("etag", '"x"'),)), gets={"status": 304, "headers": {"etag": '"x"'}}),
    shape("304 with length", answer=Answer(304, (("content-length", "5"),)), gets={"status": 304}),
    shape("HEAD", Ask(method="HEAD"), gets={**OK, "body": b"", "headers": {"content-length": "5"}}),
    shape("HEAD without length", Ask(method="HEAD"), Answer(body=b"hello", length=False), gets={**OK, "body": b""}),
    shape("HEAD answered 204", Ask(method="HEAD"), Answer(204), gets={"status": 204}),
    shape("205 with a body", answer=Answer(205, body=b"hello")),
    shape("status 599", answer=Answer(599, body=b"x"), gets={"status": 599}),
    shape("status 299", answer=Answer(299, body=b"x"), gets={"status": 299}),
    shape("answer's length too large", answer=Answer(body=b"hello", length=10, stop="end", then="close"), backs=("h1",)),
    shape("answer's length too large, ended", answer=Answer(body=b"hello", length=10), backs=("h2",), ignore=("body", "log:sent")),
    shape("answer's length too small", answer=Answer(body=b"hello", length=3), backs=("h2",)),
]

HEADERS_BACK = [
    shape("duplicates", answer=Answer(headers=(("x-dup", "1"), ("x-mid", "m"), ("x-dup", "2")))),
    shape("set-cookie", answer=Answer(headers=(("set-cookie", "a=1; Path=/"), ("set-cookie", "b=2"), ("set-cookie", "c=3"))),
          gets={"headers": {"set-cookie": "a=1; Path=/,b=2,c=3"}}),
    shape("case", answer=Answer(headers=(("X-Mixed", "V"), ("Set-Cookie", "A=1"))), backs=("h1",), gets={"headers": {"x-mixed": "V"}}),
    shape("long value", answer=Answer(headers=(("x-long", LONG),)), gets={"headers": {"x-long": LONG}}),
    shape("list too long", answer=Answer(headers=(("x-long", "v" * 100000),)), gets={"status": 502}),
    shape("too many", answer=Answer(headers=tuple((f"x-{i}", "1") for i in range(120)))),
    shape("connection: close", answer=Answer(headers=(("connection", "close"),), body=b"hello"), backs=("h1",),
          gets={"headers": {"connection": None}}),
    shape("keep-alive", answer=Answer(headers=(("connection", "keep-alive"), ("keep-alive", "timeout=5"))), backs=("h1",)),
    shape("connection names a header", answer=Answer(headers=(("connection", "x-hop"), ("x-hop", "1"))), backs=("h1",)),
    shape("proxy-connection", answer=Answer(headers=(("proxy-connection", "keep-alive"),)), backs=("h1",)),
    shape("upgrade offered", answer=Answer(headers=(("connection", "upgrade"), ("upgrade", "h2c"))), backs=("h1",)),
    shape("connection over HTTP/2", answer=Answer(headers=(("connection", "close"),)), backs=("h2",)),
    shape("transfer-encoding over HTTP/2", answer=Answer(headers=(("transfer-encoding", "chunked"),)), backs=("h2",)),
    shape("keep-alive over HTTP/2", answer=Answer(headers=(("keep-alive", "timeout=5"),)), backs=("h2",)),
    shape("upper case over HTTP/2", answer=Answer(headers=(("X-Upper", "1"),)), backs=("h2",)),
    shape("space in a name over HTTP/2", answer=Answer(headers=(("x upper", "1"),)), backs=("h2",)),
    shape("LF in a value over HTTP/2", answer=Answer(headers=(("x-a", "1\nx-b: 2"),)), backs=("h2",)),
    shape("NUL in a value over HTTP/2", answer=Answer(headers=(("x-a", "1\0"),)), backs=("h2",)),
    shape("pseudo-header after a header", answer=Answer(headers=((":path", "/"),)), backs=("h2",)),
    shape("two statuses", answer=Answer(headers=((":status", "201"),)), backs=("h2",)),
    shape("te", answer=Answer(headers=(("te", "trailers"),))),
    shape("obs-text", answer=Answer(headers=(("x-text", "caf\xe9"),))),
    shape("server, date and via", answer=Answer(headers=(("server", "mine"), ("date", "Thu, 01 Jan 1970 00:00:00 GMT"), ("via", "x")))),
    shape("x-envoy headers", answer=Answer(headers=(("x-envoy-upstream-service-time", "7"), ("x-envoy-overloaded", "true")))),
]

NOT_IN_TRAILERS = {"differs": "framing and routing fields never pass in trailers"}
TRAILING = [
    shape(f"{name}, {kind}", ask, answer, kind=kind, **more)
    for kind in ("plain", "trailers")
    for name, ask, answer, more in [
        ("of the answer", Ask(), Answer(body=b"hello", trailers=(("x-sum", "1"), ("x-more", "2"))), {"gets": OK}),
        ("of the answer, te: trailers", header(("te", "trailers")), Answer(body=b"hello", trailers=(("x-sum", "1"),)), {}),
        ("of an empty answer", Ask(), Answer(trailers=(("x-sum", "1"),)), {"gets": OK}),
        ("of the answer to HEAD", Ask(method="HEAD"), Answer(body=b"hello", length=False), {}),
        ("of the answer, forbidden", Ask(), Answer(body=b"x", trailers=(("content-length", "5"), ("x-sum", "1"))), NOT_IN_TRAILERS),
        ("of the answer, te and host", Ask(), Answer(body=b"x", trailers=(("te", "trailers"), ("host", "x"))), NOT_IN_TRAILERS),
        ("of the answer, connection", Ask(), Answer(body=b"x", trailers=(("connection", "close"),)), NOT_IN_TRAILERS),
        ("of the answer, transfer-encoding", Ask(), Answer(body=b"x", trailers=(("transfer-encoding", "chunked"),)), NOT_IN_TRAILERS),
        ("of the answer, duplicates", Ask(), Answer(body=b"x", trailers=(("x-a", "1"), ("x-a", "2"))), {}),
        ("of the request", Ask(method="POST", body=b"hello", trailers=(("x-sum", "1"), ("x-more", "2"))), None, {"gets": OK}),
        ("of an empty request", Ask(method="POST", trailers=(("x-sum", "1"),)), None, {"gets": OK}),
        ("of the request, forbidden", Ask(method="POST", body=b"x", trailers=(("content-length", "5"), ("x-sum", "1"))), None, NOT_IN_TRAILERS),
        ("of the request, host", Ask(method="POST", body=b"x", trailers=(("host", "evil"), ("x-sum", "1"))), None, NOT_IN_TRAILERS),
        ("of the request, transfer-encoding", Ask(method="POST", body=b"x", trailers=(("transfer-encoding", "chunked"),)), None, NOT_IN_TRAILERS),
        ("both ways", Ask(method="POST", body=b"x", trailers=(("x-up", "1"),)), Answer(body=b"y", trailers=(("x-down", "1"),)),
         {"gets": OK}),
    ]
]

INTERIM = [
    shape("103", answer=Answer(interim=((103, (("link", "</a>"),)),), body=b"hello"), gets={**OK, "body": b"hello"}),
    shape("two 103", answer=Answer(interim=((103, (("link", "</a>"),)), (103, (("link", "</b>"),))), body=b"hello"), gets=OK),
    shape("102", answer=Answer(interim=((102, ()),), body=b"hello"), gets=OK),
    shape("100 that nobody asked for", answer=Answer(interim=((100, ()),), body=b"hello"), gets=OK),
    shape("100, proxied", answer=Answer(interim=((100, ()),), body=b"hello"), kind="continue", gets=OK),
    shape("103, proxied", answer=Answer(interim=((103, (("link", "</a>"),)),), body=b"hello"), kind="continue", gets=OK),
    shape("100-continue", Ask(method="POST", headers=(("expect", "100-continue"),), body=b"0123456789", waits=True),
          gets={**OK, "interim": [100]}, sees={"body": b"0123456789", "headers": {"expect": None}}),
    shape("100-continue, proxied", Ask(method="POST", headers=(("expect", "100-continue"),), body=b"0123456789", waits=True),
          Answer(interim=((100, ()),), body=b"hello", early=True, waits=True), kind="continue", gets=OK, backs=("h2",)),
    shape("100-continue, proxied to HTTP/1", Ask(method="POST", headers=(("expect", "100-continue"),), body=b"0123456789", waits=True),
          kind="continue", gets=OK, backs=("h1",)),
    shape("100-continue without a body", Ask(headers=(("expect", "100-continue"),)), gets=OK),
    shape("another expectation", Ask(headers=(("expect", "miracles"),))),
    shape("101 that nobody asked for", answer=Raw(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
          backs=("h1",), gets={"status": 502}, differs="it would end the response for a client that does not know of it"),
    shape("101 over HTTP/2", answer=Answer(101), backs=("h2",), differs="Envoy passes it on and never ends the stream"),
]

EARLY = [
    shape("answer before the body ends", Ask(method="POST", body=b"0123456789", length=100, ends=False),
          Answer(body=b"early", early=True), gets={**OK, "body": b"early"}, ignore=("log:received",), **ONLY_H2),
    shape("answer before the chunked body ends", Ask(method="POST", body=b"0123456789", length=False, ends=False),
          Answer(body=b"early", early=True), gets={**OK, "body": b"early"}, ignore=("log:received",)),
    shape("error before the body ends", Ask(method="POST", body=b"0123456789", length=False, ends=False),
          Answer(413, body=b"too much", early=True), gets={"status": 413}, ignore=("log:received",)),
    shape("error before a large body ends", Ask(method="POST", body=MEGABYTE, length=False, ends=False),
          Answer(413, body=b"too much", early=True, stop="end", then="close"), backs=("h1",), ignore=("log:received",),
          gets={"status": 413}, **ONLY_H2),
    shape("NO_ERROR after an early answer", Ask(method="POST", body=b"0123456789", length=False, ends=False),
          Answer(body=b"early", early=True, stop="end", code=ErrorCodes.NO_ERROR), backs=("h2",),
          ignore=("log:received", "upstream resets")),
    shape("NO_ERROR instead of the early answer's end", Ask(method="POST", body=b"0123456789", length=False, ends=False),
          Answer(body=b"early", length=10, early=True, stop="body", code=ErrorCodes.NO_ERROR), backs=("h2",),
          ignore=("log:received", "body", "log:sent")),
]

STOPS = [
    shape(f"origin stops at {stop} by {then}", answer=Answer(body=b"0123456789", stop=stop, then=then),
          ignore=("body",) if stop == "body" else ())
    for stop in ("none", "head", "body") for then in ("reset", "close")
] + [
    shape(f"origin stops within chunks at {stop}", answer=Answer(body=b"0123456789", stop=stop, length=False, then="close"),
          ignore=("body",))
    for stop in ("head", "body")
] + [
    shape(f"{code.name} before the answer", answer=Answer(stop="none", code=code), backs=("h2",))
    for code in (ErrorCodes.NO_ERROR, ErrorCodes.PROTOCOL_ERROR, ErrorCodes.CANCEL, ErrorCodes.ENHANCE_YOUR_CALM,
                 ErrorCodes.HTTP_1_1_REQUIRED, ErrorCodes.INADEQUATE_SECURITY)
] + [
    shape(f"{code.name} within the answer", answer=Answer(body=b"0123456789", stop="body", code=code), backs=("h2",), ignore=("body",))
    for code in (ErrorCodes.NO_ERROR, ErrorCodes.PROTOCOL_ERROR, ErrorCodes.CANCEL, ErrorCodes.REFUSED_STREAM)
] + [
    shape("stopped before the body is here", Ask(method="POST", body=b"x", length=False, ends=False),
          Answer(stop="none", early=True), ignore=("upstream[0] body", "log:received")),
    shape("REFUSED_STREAM", answer=Answer(stop="none", code=ErrorCodes.REFUSED_STREAM), backs=("h2",), gets=OK,
          differs="replayed once, as the origin provably did not look at it"),
    shape("GOAWAY after the answer", answer=Answer(body=b"hello", goaway="all"), backs=("h2",), gets=OK),
    shape("gRPC, origin resets", Ask(method="POST", headers=GRPC, body=b"\0\0\0\0\0"), Answer(stop="none")),
    shape("gRPC, origin closes", Ask(method="POST", headers=GRPC, body=b"\0\0\0\0\0"), Answer(stop="none", then="close")),
    shape("gRPC, 404 of the origin", Ask(method="POST", headers=GRPC, body=b"\0\0\0\0\0"), Answer(404, body=b"no")),
    shape("gRPC, ordinary", Ask(method="POST", headers=GRPC, body=b"\0\0\0\0\0"),
          Answer(200, (("content-type", "application/grpc"),), b"\0\0\0\0\0", (("grpc-status", "3"), ("grpc-message", "no%20way")))),
    shape("gRPC, trailers only", Ask(method="POST", headers=GRPC, body=b"\0\0\0\0\0"),
          Answer(200, (("content-type", "application/grpc"), ("grpc-status", "5")), length=False)),
    shape("client resets before the answer", Ask(method="POST", body=b"x", length=False, break_at="head")),
    shape("client resets within the answer", Ask(break_at="response"), Answer(body=b"0123456789", stop="head", then="hang")),
]

LENIENT = [
    shape(f"{one.name}, only the stream", one.ask, one.answer, fronts=one.fronts, backs=one.backs, kind="lenient", ignore=one.ignore)
    for one in FORBIDDEN + HEADERS_BACK
    if one.name in ("connection", "transfer-encoding", "upper-case name", "LF in a value", "no :path", "duplicate :path",
                    "two content-lengths", "body longer than content-length", "connection over HTTP/2", "upper case over HTTP/2",
                    "transfer-encoding over HTTP/2", "LF in a value over HTTP/2", "connection in trailers")
]

GROUPS = {"names": NAMES, "forbidden": FORBIDDEN, "bodies": BODIES, "headers back": HEADERS_BACK, "trailers": TRAILING,
          "interim": INTERIM, "early": EARLY, "stops": STOPS, "lenient": LENIENT}

MATRIX = [
    pytest.param(one, front, back, id=f"{group}: {one.name} {front}>{back}")
    for group, shapes in GROUPS.items() for one in shapes for front in one.fronts for back in one.backs
]


class Matrix(Duel):
    """A Duel whose origins and clients speak either HTTP."""

    def translate(self, flavour, one, front, back):
        proxy = self.proxies[flavour]
        self.forget()
        origin = self.origins[back]
        origin.next(one.answer)
        log = self.logs[flavour]
        log.skip()
        response = FRONTS[front](proxy.address(f"{back}-{one.kind}"), one.ask, origin)
        lines = log.read(1, timeout=1.0)
        seen = self.settled(origin)
        ports = {port: f"<{name}>" for name, [(_, port), *_] in proxy.listeners().items()}
        return Outcome(response, seen, lines, None, list(origin.malformed), ports)

    @staticmethod
    def settled(origin):
        """The requests it saw, each whole or broken off."""
        requests = origin.take()
        try:
            wait_for(lambda: all(r.complete or getattr(r, "reset", "h1") for r in requests), "an end", 0.5)
        except WaitTimeout:
            pass
        return requests


@pytest.fixture(scope="module")
def matrix(flavours, tmp_path_factory):
    origins = {"h1": Origin("h1"), "h2": H2Origin("h2", Answer(body=b"hello"))}
    origins["h1"].default = Answer(body=b"hello")
    with Matrix(flavours, bootstrap, workdir=tmp_path_factory.mktemp("matrix"), origins=origins) as made:
        yield made


def full_view(outcome, ignore):
    """view() and what only HTTP/2 has."""
    whole = Outcome(outcome.response, [r for r in outcome.requests if r.complete], outcome.log, None, outcome.malformed, outcome.ports)
    out = view(whole, ignore) if outcome.response is not None else {"log": [{k: v for k, v in line.items() if k not in ("upstream", "upstream_protocol")} for line in outcome.log]}
    response = outcome.response
    if hasattr(response, "reset"):
        # Before it closes a connection over a broken message, nuncio says why: GOAWAY, and RST_STREAM where it can.
        out["client end"] = "connection closed" if response.closed and not response.complete else (response.reset, response.goaway)
    if response is not None and not isinstance(response, BROKEN):
        out["interim headers"] = [(r.status, [p for p in r.headers if p[0] != "date"]) for r in response.interim]
    out["upstream resets"] = [r.reset for r in outcome.requests if getattr(r, "reset", None)]
    for index, request in enumerate(r for r in outcome.requests if r.complete):
        if pseudo := getattr(request, "pseudo", None):
            out[f"upstream[{index}] pseudo"] = pseudo
    for name in ignore:
        out.pop(name, None)
    return out


def smuggled(outcome):
    """Names that got through in trailers and must not."""
    for message in [outcome.response, *outcome.requests]:
        for name, _ in getattr(message, "trailers", ()):
            if name in ("content-length", "transfer-encoding", "connection", "host"):
                yield name


def wrong(one, outcome):
    """What is not as the shape says."""
    problems = [f"{name} passed in trailers" for name in smuggled(outcome)] if one.differs else []
    response = outcome.response
    if one.gets and (response is None or isinstance(response, BROKEN)):
        return [f"no response: {response}"]

    def compare(what, wanted, got):
        if wanted != got:
            problems.append(f"{what}: wanted {wanted!r:.300}, got {got!r:.300}")

    for key, wanted in one.gets.items():
        if key == "headers":
            for name, value in wanted.items():
                compare(f"header {name}", value, response.header(name))
        elif key == "interim":
            compare(key, wanted, [r.status for r in response.interim])
        else:
            compare(key, wanted, getattr(response, key))
    if one.sees is None:
        compare("requests", 0, len(outcome.requests))
        return problems
    if one.sees and not outcome.requests:
        return [*problems, "the origin saw nothing"]
    for key, wanted in one.sees.items():
        seen = outcome.requests[-1]
        if key == "headers":
            for name, value in wanted.items():
                joined = "; ".join(seen.all(name)) or None if name == "cookie" else seen.header(name)
                compare(f"upstream {name}", value, joined)
        elif key == "host":
            compare(key, wanted, (getattr(seen, "pseudo", None) or {}).get(":authority", seen.header("host")))
        else:
            compare(f"upstream {key}", wanted, getattr(seen, key))
    return problems


@pytest.mark.differential
@pytest.mark.parametrize(("one", "front", "back"), MATRIX)
def test_translation(matrix, one, front, back):
    views = {}
    for flavour, proxy in matrix.each():
        outcome = matrix.translate(flavour, one, front, back)
        assert proxy.is_running(), f"{flavour} is gone: {proxy.log[-3000:]}"
        assert not outcome.malformed, outcome.malformed
        if not (one.differs and flavour == "envoy"):
            problems = wrong(one, outcome)
            assert not problems, f"{flavour}: " + "; ".join(problems) + f"\n{full_view(outcome, ())}"
        views[flavour] = full_view(outcome, one.ignore)
    if len(views) > 1 and not one.differs:
        found = [re.sub(r"(.{300}).*", r"\1...", line) for line in diff(views["envoy"], views["nuncio"])]
        assert not found, "envoy / nuncio\n  " + "\n  ".join(found)
