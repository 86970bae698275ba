"""Answers that the proxy makes itself, as gRPC clients get them: trailers in the head, HTTP's status mapped to gRPC's.
Over HTTP/1 every byte is compared; over HTTP/2 a real gRPC client says what it makes of them."""

import grpc
import pytest

from harness import config as c
from harness import upstream as up
from harness.differential import LogFile, case, get
from harness.upstream import Raw, Refused
from harness.wait import wait_for

PLACES = {}
STATUSES = (200, 201, 204, 301, 400, 401, 403, 404, 408, 412, 413, 429, 431, 499, 500, 501, 502, 503, 504, 511)
GRPC_LOG = ("%GRPC_STATUS%|%GRPC_STATUS(CAMEL_STRING)%|%GRPC_STATUS(SNAKE_STRING)%|%GRPC_STATUS(NUMBER)%|"
            "%GRPC_STATUS_NUMBER%\n")
ODD = "50% ~tilde \t\r\nline \u00e4\u20ac\x7f\x1f \"quoted\" {x} a=b&c"


@pytest.fixture(scope="module", autouse=True)
def places():
    with Refused() as refused:
        PLACES.update(refused=refused.port)
        yield


def table():
    return c.routes(
        "r", c.vhost(
            "all", ["*"],
            *[c.direct(f"/status/{s}", s, f"says {s}") for s in STATUSES],
            c.direct("/bodyless", 503), c.direct("/odd", 503, ODD),
            c.direct("/own", 503, "own", response_headers_to_add=[
                {"header": {"key": "x-own", "value": "%RESPONSE_CODE%"}},
                {"header": {"key": "content-length", "value": "7"}},
                {"header": {"key": "grpc-status", "value": "5"}}]),
            c.route("/redirect", redirect={"path_redirect": "/elsewhere", "response_code": "FOUND"}),
            c.route("/unknown", "unknown"), c.route("/refused", "refused"), c.route("/empty", "empty"),
            c.route("/overflow", "overflow"),
            c.route("/timeout", {"cluster": "a", "timeout": "0.2s"}),
            c.route("/idle", {"cluster": "a", "timeout": "0s", "idle_timeout": "0.2s"}),
            c.route("/reset", "a")),
        validate_clusters=False)


def bootstrap(origins, log):
    none = {"thresholds": [{"max_pending_requests": 0}]}
    manager = c.hcm(table(), log=log, normalize_path=True, merge_slashes=True,
                    path_with_escaped_slashes_action="UNESCAPE_AND_REDIRECT")
    manager["typed_config"]["access_log"].append(c.access_log(f"{log}.grpc", GRPC_LOG))
    trailers = c.http_options(explicit_http_config={"http_protocol_options": {"enable_trailers": True}})
    return c.static_bootstrap(
        [c.listener("l", manager)],
        [c.cluster("a", origins["a"].port, typed_extension_protocol_options=trailers), c.cluster("refused", PLACES["refused"]), c.cluster("empty"),
         c.cluster("overflow", origins["a"].port, circuit_breakers=none)])


def call(target, method="POST", content_type="application/grpc"):
    body = b"\0\0\0\0\0" if method == "POST" else None
    return get(target, method=method, body=body, headers=[("content-type", content_type), ("te", "trailers")])


def replied(name, target, grpc_status, message=None, **more):
    """A reply in gRPC's form."""
    wanted = {"grpc-status": str(grpc_status), "content-type": "application/grpc"}
    if message is not None:
        wanted["grpc-message"] = message
    return case(name, call(target), status=200, body=b"", headers=wanted, **more)


# As Envoy maps them; whatever is not here is UNKNOWN.
MAPPED = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}
CASES = [
    *[replied(f"{s} of the route", f"/status/{s}", MAPPED.get(s, 2)) for s in STATUSES],
    replied("no body, no message", "/bodyless", 14),
    replied("what a message may not hold is escaped", "/odd", 14,
            "50%25 %7Etilde %09%0D%0Aline %C3%A4%E2%82%AC%7F%1F \"quoted\" {x} a=b&c"),
    replied("the route's headers are there, and decide", "/own", 5, "own", flags="-"),
    replied("redirect", "/redirect", 2, details="direct_response"),
    replied("no route", "/nowhere", 12, details="route_not_found", flags="NR"),
    replied("no cluster", "/unknown", 14, details="cluster_not_found", flags="NC"),
    replied("no host", "/empty", 14, "no healthy upstream", flags="UH"),
    replied("overflow", "/overflow", 14, flags="UO"),
    replied("refused", "/refused", 14, flags="UF"),
    replied("lost", "/reset", 14, flags="UC", action=up.early_close()),
    replied("garbage", "/reset", 14, flags="UPE", action=up.garbage()),
    replied("timeout", "/timeout", 14, "upstream request timeout", flags="UT", action=up.hang()),
    replied("idle", "/idle", 14, "stream timeout", flags="SI", action=up.hang()),
    replied("escaped slashes are no redirect", "/a%2fb", 13, details="path_normalization_failed"),
    case("a format", call("/empty", content_type="application/grpc+proto"), status=200,
         headers={"grpc-status": "14"}),
    case("parameters are too much", call("/empty", content_type="application/grpc;charset=x"), status=503),
    case("gRPC-Web is not gRPC", call("/empty", content_type="application/grpc-web"), status=503,
         headers={"grpc-status": None}),
    case("a blank behind it", call("/empty", content_type="application/grpc ")),
    case("capitals", call("/empty", content_type="Application/gRPC")),
    case("HEAD has no message", call("/empty", "HEAD"), status=200,
         headers={"grpc-status": "14", "grpc-message": None}),
    case("GET has one", call("/empty", "GET"), status=200, headers={"grpc-message": "no healthy upstream"}),
    case("after the head all that is left is to break off", call("/timeout"), status=200, complete=False, flags="UT",
         action=Raw(b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ncontent-length: 100\r\n\r\n012", "hang")),
]


@pytest.mark.differential
@pytest.mark.parametrize("item", CASES, ids=lambda item: item.name)
def test_reply(duel, item):
    duel.run(item)


def answer(status, how):
    """A whole gRPC answer over HTTP/1 with that status in the trailers or in the head."""
    field = b"" if status is None else b"grpc-status: " + status.encode() + b"\r\n"
    code = b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\n"
    if how == "head":
        return Raw(code + field + b"content-length: 0\r\n\r\n", "keep")
    return Raw(code + b"transfer-encoding: chunked\r\n\r\n0\r\n" + field + b"\r\n", "keep")


@pytest.mark.differential
@pytest.mark.parametrize("how", ["head", "trailers"])
@pytest.mark.parametrize("status", [None, "", *map(str, range(18)), "99", "-1", " 2 ", "1x", "007"])
def test_the_status_in_the_log(duel, status, how):
    lines = {}
    for flavour, _ in duel.each():
        log = LogFile(f"{duel.logs[flavour].path}.grpc")
        log.skip()
        duel.play(flavour, case("x", call("/reset"), action=answer(status, how)))
        wait_for(log.lines, "a line", 3.0)
        lines[flavour] = log.lines()
    assert len({tuple(found) for found in lines.values()}) == 1, lines


@pytest.mark.differential
def test_no_status_in_the_log_of_other_requests(duel):
    for flavour, _ in duel.each():
        log = LogFile(f"{duel.logs[flavour].path}.grpc")
        log.skip()
        duel.play(flavour, case("x", "/reset", action=answer("3", "head")))
        wait_for(log.lines, "a line", 3.0)
        assert log.lines() == ["-|-|-|-|-"], flavour


CALLS = {
    **{f"/status/{s}": (MAPPED.get(s, 2), f"says {s}") for s in (400, 401, 403, 404, 429, 500, 503, 504)},
    "/odd": (14, ODD), "/bodyless": (14, ""), "/nowhere": (12, ""), "/empty": (14, "no healthy upstream"),
    "/own": (5, "own"),
}


@pytest.mark.differential
@pytest.mark.parametrize("path", CALLS)
def test_what_a_grpc_client_sees(duel, path):
    for flavour, proxy in duel.each():
        (_, port), *_ = proxy.listeners()["l"]
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            with pytest.raises(grpc.RpcError) as error:
                channel.unary_unary(path)(b"", timeout=10)
        got = (error.value.code().value[0], error.value.details())
        assert got == CALLS[path], flavour
