"""Http1ProtocolOptions, downstream and upstream: what each lets through and how it spells names, as Envoy.

The names of fields are compared as they stand on the wire, at the client and at the origin.
"""

import pytest

from harness import config as c
from harness.client import chunked, request
from harness.differential import case, get
from harness.upstream import Raw, Reply

PRESERVE_CASE = "type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig"
PROPER = {"header_key_format": {"proper_case_words": {}}}


def preserve(**more):
    return {"header_key_format": {"stateful_formatter": {
        "name": "preserve_case", "typed_config": {"@type": PRESERVE_CASE, **more}}}}


UPSTREAM = {
    "a": {},
    "proper": PROPER,
    "preserve": preserve(),
    "reason": preserve(forward_reason_phrase=True),
    "preserve-proper": preserve(formatter_type_on_envoy_headers="PROPER_CASE"),
    "full": {"send_fully_qualified_url": True},
    "lengths": {"allow_chunked_length": True},
    "trailers": {**PROPER, "enable_trailers": True},
    "trailers-kept": {**preserve(), "enable_trailers": True},
}
DOWNSTREAM = {
    "l": {},
    "proper": PROPER,
    "preserve": preserve(),
    "preserve-proper": preserve(formatter_type_on_envoy_headers="PROPER_CASE"),
    "no-absolute": {"allow_absolute_url": False},
    "lengths": {"allow_chunked_length": True},
    "methods": {"allow_custom_methods": True},
    "ignore": {"ignore_http_11_upgrade": [{"exact": "websocket", "ignore_case": True}, {"prefix": "my"}]},
    "trailers": {**PROPER, "enable_trailers": True},
    "trailers-kept": {**preserve(), "enable_trailers": True},
}


def bootstrap(origins, log):
    table = c.routes("r", c.vhost("all", ["*"], *(
        c.route({"prefix": "/", "headers": [{"name": "x-to", "string_match": {"exact": name}}]}, name)
        for name in UPSTREAM if name != "a"), c.direct({"path": "/direct"}, 200, "hi"), c.route("/", "a")))
    return c.static_bootstrap(
        [c.listener(name, c.hcm(table, delayed_close_timeout="0.1s", stat_prefix=name, log=log,
                                upgrade_configs=[{"upgrade_type": "websocket"}], http_protocol_options=options))
         for name, options in DOWNSTREAM.items()],
        [c.cluster(name, origins["a"].port, typed_extension_protocol_options=c.http_options(
            explicit_http_config={"http_protocol_options": options})) for name, options in UPSTREAM.items()])


def at(listener, name, data, **want):
    return case(f"{listener}: {name}", data, listener=listener, **{"status": 200, **want})


def to(cluster, name, data=None, listener="l", headers=(), **want):
    data = data or get("/p?q=1", headers=[("x-to", cluster), *headers])
    return case(f"{listener} to {cluster}: {name}", data, listener=listener, **{"status": 200, **want})


MIXED = [("X-MiXeD", "a"), ("x-mixed", "b"), ("ETag", "c"), ("x-1a_b", "d")]
HOST = b"Host: t\r\n"
TE = b"Transfer-Encoding: chunked\r\n"
BODY = b"3\r\nabc\r\n0\r\n\r\n"
POST_LENGTH_TE = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 99\r\n" + TE + b"\r\n" + BODY
WEBSOCKET = {"Connection": "Upgrade, x-b", "Upgrade": "WebSocket", "x-b": "1"}


def mixed_answer(**more):
    return Reply(headers=[("X-Answer", "1"), ("x-ANSWER", "2"), ("sErVeR", "o")], body=b"hello", **more)


CASES = [
    # Spelling: X-Like-This.
    at("proper", "answer", "/", action=mixed_answer()),
    at("proper", "chunked answer, close", get("/", headers={"Connection": "close"}), action=mixed_answer(chunks=[b"x"])),
    at("proper", "local reply", "/direct", body=b"hi"),
    at("proper", "request is left alone", get("/", headers=MIXED)),
    at("proper", "refused", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", status=400, requests=0),
    at("proper", "continue", request("POST", "/", headers={"Expect": "100-continue", "Content-Length": "3"}) + b"abc"),
    to("proper", "request", headers=MIXED),
    to("proper", "chunked request", request("POST", "/", headers=[("x-to", "proper"), ("Transfer-Encoding", "chunked")])
       + chunked(b"abc"), upstream_body=b"abc"),
    to("proper", "request without a body", get("/", method="POST", headers=[("x-to", "proper")])),
    to("proper", "both", listener="proper", headers=MIXED, action=mixed_answer()),
    # As it came.
    at("preserve", "request", get("/", headers=MIXED)),
    at("preserve", "answer is left alone", "/", action=mixed_answer()),
    at("preserve", "fields that are set again", get("/", headers=[
        ("X-Request-ID", "00000000-0000-4000-8000-000000000000"), ("X-Forwarded-PROTO", "https"), ("User-AGENT", "u")]),
        ignore=("upstream_header:x-request-id",)),
    at("preserve", "chunked request", b"POST / HTTP/1.1\r\nHOST: t\r\ntransfer-ENCODING: chunked\r\n\r\n" + BODY,
       upstream_body=b"abc"),
    at("preserve", "length", b"POST / HTTP/1.1\r\nhOST: t\r\ncontent-LENGTH: 3\r\n\r\nabc", upstream_body=b"abc"),
    at("preserve-proper", "others", get("/", headers=MIXED)),
    at("preserve-proper", "chunked request", b"POST / HTTP/1.1\r\nHost: t\r\ntransfer-ENCODING: chunked\r\n\r\n" + BODY),
    to("preserve", "answer", action=mixed_answer()),
    to("preserve", "chunked answer", action=mixed_answer(chunks=[b"x", b"y"])),
    to("preserve", "request is left alone", headers=MIXED),
    to("preserve", "both, and the listener proper", listener="proper", headers=MIXED, action=mixed_answer()),
    to("preserve", "both", listener="preserve", headers=MIXED, action=mixed_answer()),
    to("preserve", "reason is not kept", action=mixed_answer(reason="Fine By Me"), reason="OK"),
    to("preserve-proper", "answer", action=mixed_answer()),
    to("reason", "kept", action=mixed_answer(reason="Fine By Me"), reason="Fine By Me"),
    to("reason", "of an unknown status", action=mixed_answer(status=299, reason="Odd One"), status=299, reason="Odd One"),
    to("reason", "none", action=Raw(b"HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n", "keep")),
    to("reason", "of early hints and what follows", action=mixed_answer(
        reason="Then", interim=[b"HTTP/1.1 103 Hints First\r\nLink: </a>\r\n\r\n"])),
    to("reason", "not over a local reply", action=Raw(b"HTTP/1.1 200 Fine\r\nbad header\r\n\r\n", "close"), status=502,
       reason="Bad Gateway"),
    # Trailers.
    at("trailers", "of answers", get("/", headers=[("x-to", "trailers")]),
       action=Reply(chunks=[b"x"], trailers=[("x-trailer-ONE", "1")])),
    at("trailers", "of requests", request("POST", "/", headers=[("x-to", "trailers"), ("Transfer-Encoding", "chunked")])
       + chunked(b"ab", trailers=[("x-trailer-ONE", "1")])),
    at("trailers-kept", "of answers", get("/", headers=[("x-to", "trailers-kept")]),
       action=Reply(chunks=[b"x"], trailers=[("x-trailer-ONE", "1")])),
    at("trailers-kept", "of requests", request("POST", "/", headers=[("x-to", "trailers-kept"), ("Transfer-Encoding", "chunked")])
       + chunked(b"ab", trailers=[("x-trailer-ONE", "1")])),
    # Targets.
    to("full", "path and query", upstream_headers={"host": "test"}, target="http://test/p?q=1"),
    to("full", "asterisk-free options", get("/", method="OPTIONS", headers=[("x-to", "full")])),
    to("full", "absolute form in", b"GET https://abs.test:81/p HTTP/1.1\r\nHost: x\r\nx-to: full\r\n\r\n"),
    at("no-absolute", "absolute form", b"GET http://abs.test/p HTTP/1.1\r\nHost: t\r\n\r\n", status=404, requests=0),
    at("no-absolute", "userinfo", b"GET http://u@abs.test/p HTTP/1.1\r\nHost: t\r\n\r\n", status=404, requests=0),
    at("no-absolute", "other scheme", b"GET ftp://abs.test/p HTTP/1.1\r\nHost: t\r\n\r\n", status=404, requests=0),
    at("no-absolute", "relative", b"GET abc HTTP/1.1\r\nHost: t\r\n\r\n", status=400, requests=0),
    at("no-absolute", "asterisk", b"GET * HTTP/1.1\r\nHost: t\r\n\r\n", status=404, requests=0),
    at("no-absolute", "path", "/p"),
    # Framing. RFC 9112, 6.1 wants the connection closed after such a message; Envoy goes on.
    at("lengths", "chunked counts", POST_LENGTH_TE, upstream_body=b"abc", upstream_headers={"content-length": None},
       closed=False, differs={"closed": True}),
    at("lengths", "length first or last", b"POST / HTTP/1.1\r\n" + HOST + TE + b"Content-Length: 1\r\n\r\n" + BODY,
       upstream_body=b"abc", closed=False, differs={"closed": True}),
    at("lengths", "chunked must be it", b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nTransfer-Encoding: gzip\r\n\r\nabc",
       status=400, requests=0, closed=True),
    at("lengths", "length must be one", b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +3\r\n" + TE + b"\r\n" + BODY,
       differs={"status": 400, "requests": 0, "closed": True}),
    at("l", "without it", POST_LENGTH_TE, status=400, requests=0, closed=True),
    to("lengths", "of an answer", action=Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n" + TE + b"\r\n" + BODY, "keep"),
       body=b"abc"),
    to("a", "of an answer, without it", action=Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n" + TE + b"\r\n" + BODY, "keep"),
       status=502),
    # Methods.
    at("methods", "any", get("/", method="BREW"), upstream_method="BREW"),
    at("methods", "lower case", get("/", method="get"), upstream_method="get"),
    at("methods", "token characters", get("/", method="A!#$%&'*+-.^_`|~9z")),
    at("methods", "no token", get("/", method="B(EW"), status=400, requests=0, closed=True),
    at("methods", "long", get("/", method="M" * 200)),
    at("methods", "with a body", request("BREW", "/", body=b"tea"), upstream_body=b"tea"),
    at("methods", "HEAD is still HEAD", get("/", method="HEAD"), action=Reply(body=b"12345"), body=b"", method="HEAD"),
    # Upgrades.
    at("ignore", "websocket", get("/", headers=WEBSOCKET)),
    at("ignore", "by prefix", get("/", headers={"Connection": "upgrade", "Upgrade": "myown"})),
    at("ignore", "others are still upgrades", get("/", headers={"Connection": "upgrade", "Upgrade": "other"}), status=403),
    at("ignore", "with a body", request("POST", "/", headers={"Connection": "upgrade", "Upgrade": "myown"}, body=b"abc"),
       upstream_body=b"abc"),
]


@pytest.mark.differential
@pytest.mark.parametrize("item", CASES, ids=lambda item: item.name)
def test_option(duel, item):
    duel.run(item)
