"""gRPC for HTTP/1.1 clients: trailers become headers, protobuf bodies get their head, as Envoy does it."""

import pytest

from harness import config as c
from harness.client import chunked
from harness.differential import case, check, get, post
from harness.grpc_frames import GRPC, answer, cluster, frame, grpc_http1_bridge
from harness.upstream import Raw, Reply

ORIGINS = ("a", "b")
PROTOBUF = "application/x-protobuf"
MESSAGE = frame(b"hello")
BUFFER = 32768


def bootstrap(origins, log):
    is_grpc = [{"name": "content-type", "string_match": {"exact": GRPC}}]
    table = c.routes("r", c.vhost("all", ["*"], c.route({"prefix": "/by-type", "headers": is_grpc}, "b"),
                                  c.route("/", "a")))

    def listener(name, **fields):
        hcm = c.hcm(table, filters=[grpc_http1_bridge(**fields)], log=log, http_protocol_options={"enable_trailers": True})
        return c.listener(name, hcm, per_connection_buffer_limit_bytes=BUFFER)

    return c.static_bootstrap(
        [listener("plain"), listener("upgrade", upgrade_protobuf_to_grpc=True),
         listener("cut", ignore_query_parameters=True),
         listener("both", upgrade_protobuf_to_grpc=True, ignore_query_parameters=True)],
        [cluster(name, origin.port) for name, origin in origins.items()])


def call(body=MESSAGE, content_type=GRPC, target="/pkg.Svc/Meth", headers=(), **kwargs):
    return post(target, body, headers=[("content-type", content_type), *headers], **kwargs)


def call_chunked(*pieces, content_type=PROTOBUF, trailers=()):
    return call(None, content_type, headers=[("transfer-encoding", "chunked")]) + chunked(*pieces, trailers=trailers)


OK = answer(b"abc")

CASES = [
    # The response.
    case("good answer", call(), action=OK, status=200, body=frame(b"abc"), framing="length",
         headers={"grpc-status": "0", "content-length": "8", "content-type": GRPC}, upstream_body=MESSAGE),
    case("failed call", call(), action=answer(b"abc", status="5", message="not%20here"), status=503, body=frame(b"abc"),
         headers={"grpc-status": "5", "grpc-message": "not%20here"}),
    case("no message", call(), action=answer(status="12"), status=503, body=b"",
         headers={"grpc-status": "12", "content-length": "0"}),
    case("odd status", call(), action=answer(status="x"), status=503, headers={"grpc-status": "x"}),
    case("status of zeros", call(), action=answer(status="00"), status=200, headers={"grpc-status": "00"}),
    case("no status", call(), action=answer(b"abc", status=None, trailers=[("x-y", "z")]), status=200,
         headers={"grpc-status": None, "content-length": "8"}),
    case("several messages", call(), action=answer(b"abc", b"", b"de"), status=200,
         body=frame(b"abc") + frame(b"") + frame(b"de")),
    case("no trailers", call(), action=Reply(headers={"content-type": GRPC}, body=frame(b"abc")), status=200,
         body=frame(b"abc"), headers={"grpc-status": None}),
    case("trailers only", call(), action=Reply(headers={"content-type": GRPC, "grpc-status": "7"}), status=200,
         headers={"grpc-status": "7"}),
    case("error page", call(), action=Reply(500, body=b"oh", reason="x"), status=500, body=b"oh"),
    case("status in head and trailers", call(), action=answer(b"abc", status="3", headers=[("grpc-status", "1")]),
         status=503, headers={"grpc-status": "3"}),
    case("cut off", call(), action=Raw(b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\n"
                                       b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", "close")),
    # A whole answer must fit.
    case("too long", call(), action=answer(b"x" * 4 * BUFFER), status=200, details="response_payload_too_large",
         headers={"grpc-status": "2"}, ignore=("log:sent", "log:upstream_protocol")),
    case("not gRPC", call(content_type="application/json"), action=OK, status=200, framing="chunked",
         trailers=[("grpc-status", "0")]),
    case("gRPC with a suffix", call(content_type=GRPC + "+json"), action=OK, framing="length"),
    case("gRPC with parameters", call(content_type=GRPC + ";a=b"), action=OK, framing="chunked"),
    case("HTTP/1.0", call(version="HTTP/1.0", headers=[("connection", "keep-alive")]), action=OK,
         ignore=("closed",)),
    case("get", get("/x"), status=200, body=b"a"),
    # Protobuf becomes gRPC.
    case("protobuf stays without the option", call(b"hello", PROTOBUF), action=Reply(body=b"x"), body=b"x",
         upstream_body=b"hello", upstream_headers={"content-type": PROTOBUF}),
    case("protobuf", call(b"hello", PROTOBUF), listener="upgrade", action=OK, status=200, body=b"abc",
         upstream_body=MESSAGE, upstream_headers={"content-type": GRPC, "content-length": None},
         headers={"content-length": "3", "grpc-status": "0"}),
    case("protobuf in chunks", call_chunked(b"hel", b"lo"), listener="upgrade", action=OK, status=200, body=b"abc",
         upstream_body=MESSAGE),
    case("long protobuf", call(b"y" * 20000, PROTOBUF), listener="upgrade", action=answer(b"z" * 20000), body=b"z" * 20000,
         upstream_body=frame(b"y" * 20000)),
    case("no body", call(b"", PROTOBUF), listener="upgrade", action=OK, upstream_body=b"", body=b"abc"),
    case("first message alone loses its head", call(b"hello", PROTOBUF), listener="upgrade", action=answer(b"abc", b"de"),
         body=b"abc" + frame(b"de")),
    case("protobuf, failed call", call(b"hello", PROTOBUF), listener="upgrade", action=answer(status="5"), status=503,
         headers={"grpc-status": "5"}),
    case("protobuf with parameters", call(b"hello", PROTOBUF + "; a=b"), listener="upgrade", action=Reply(body=b"x"),
         upstream_body=b"hello", upstream_headers={"content-type": PROTOBUF + "; a=b"}),
    case("gRPC on the way", call(), listener="upgrade", action=OK, body=frame(b"abc"), upstream_body=MESSAGE),
    case("the route is found anew", call(b"hello", PROTOBUF, target="/by-type"), listener="upgrade", origin="b",
         action=OK),
    case("the route, gRPC itself", call(target="/by-type"), listener="upgrade", origin="b", action=OK),
    # Query parameters.
    case("query stays", call(target="/s/m?a=b"), action=OK, target="/s/m?a=b"),
    case("query goes", call(target="/s/m?a=b?c"), listener="cut", action=OK, target="/s/m"),
    case("query of others stays", call(content_type="x/y", target="/s/m?a"), listener="cut", action=OK, target="/s/m?a"),
    case("query of upgraded goes", call(b"hello", PROTOBUF, target="/s/m?"), listener="both", action=OK, target="/s/m",
         upstream_body=MESSAGE),
]


@pytest.mark.differential
@pytest.mark.parametrize("item", CASES, ids=lambda item: item.name)
def test_grpc_http1_bridge(duel, item):
    duel.run(item)


NUNCIO_ALONE = [
    # Envoy stops reading at its buffer's limit and never answers.
    case("protobuf that does not fit", call(b"y" * 3 * BUFFER, PROTOBUF), listener="upgrade", status=413,
         details="request_payload_too_large"),
    # Envoy takes five bytes off and leaves the length as it was, so that the client waits for ever.
    case("protobuf, no trailers", call(b"hello", PROTOBUF), listener="upgrade",
         action=Reply(headers={"content-type": GRPC}, body=frame(b"abc")), status=200, body=b"abc",
         headers={"content-length": "3"}),
    case("protobuf, error page", call(b"hello", PROTOBUF), listener="upgrade",
         action=Reply(500, body=b"an error page", reason="x"), status=500, body=b"an error page"),
    case("protobuf, error page in chunks", call(b"hello", PROTOBUF), listener="upgrade",
         action=Reply(500, chunks=[b"an", b" error page"], reason="x"), status=500, body=b"an error page"),
]


@pytest.mark.parametrize("item", NUNCIO_ALONE, ids=lambda item: item.name)
def test_where_envoy_never_ends(duel, item):
    if "nuncio" in duel.proxies:
        problems = check(duel.play("nuncio", item), item.expect)
        assert not problems, problems


def test_protobuf_with_trailers_gets_its_head_too(duel):
    """A difference: Envoy forwards the bare body."""
    for flavour, _ in duel.each():
        outcome = duel.play(flavour, case("trailers", call_chunked(b"hello", trailers=[("x", "y")]), listener="upgrade",
                                          action=OK))
        assert outcome.requests[-1].body == (MESSAGE if flavour == "nuncio" else b"hello")
