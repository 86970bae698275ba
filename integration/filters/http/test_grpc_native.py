"""The gRPC filters between a real gRPC client and a real gRPC server, over HTTP/2 and out of HTTP/1."""

import base64

import grpc
import pytest

from harness import config as c
from harness.differential import post
from harness.grpc_frames import GRPC, frame, grpc_http1_bridge, grpc_stats, grpc_stats_of, grpc_web, text, trailers_frame
from harness.grpc_native import Caller, Server
from harness.h2peer import H2Client
from harness.proxy import Proxy
from harness.wait import wait_for


def bootstrap(port):
    table = c.simple_routes("r", "a")
    filters = [grpc_http1_bridge(upgrade_protobuf_to_grpc=True), grpc_web(),
               grpc_stats(stats_for_all_methods=True, enable_upstream_stats=True)]
    return c.static_bootstrap(
        [c.listener("l", c.hcm(table, filters=filters))],
        [c.cluster("a", port, typed_extension_protocol_options=c.http_options())])


@pytest.fixture(scope="module")
def server():
    with Server() as made:
        yield made


@pytest.fixture(scope="module")
def proxy(flavour, server):
    with Proxy(flavour, bootstrap(server.port)) as made:
        yield made


@pytest.fixture
def caller(proxy):
    with Caller(proxy.address("l")) as made:
        yield made


def moved(proxy, before, expected):
    """Waits until the series have moved by exactly that: a call ends at the client before it does in the proxy."""
    got = {}

    def there():
        got.clear()
        got.update({n: v - before.get(n, 0) for n, v in grpc_stats_of(proxy).items() if v != before.get(n, 0)})
        return got == expected

    wait_for(there, lambda: f"{expected}, it is {got}", 10)


def series(method, family="grpc", **counts):
    return {f"cluster.a.{family}.pkg.Svc.{method}.{name.lstrip('_')}": n for name, n in counts.items()}


def test_unary(proxy, caller):
    before = grpc_stats_of(proxy)
    assert caller.unary("Echo", b"hello") == b"hello"
    assert caller.unary("Echo", b"") == b""
    big = b"x" * 1000000
    assert caller.unary("Echo", big) == big
    moved(proxy, before, series("Echo", _0=3, success=3, total=3, request_message_count=3, response_message_count=3))


def test_streams(proxy, caller):
    before = grpc_stats_of(proxy)
    assert caller.server_stream("Split", b"abc") == [b"a", b"b", b"c"]
    assert caller.client_stream("Join", [b"a", b"", b"bc"]) == b"abc"
    assert caller.both_stream("Each", [b"a"] * 50) == [b"a"] * 50
    moved(proxy, before, {
        **series("Split", _0=1, success=1, total=1, request_message_count=1, response_message_count=3),
        **series("Join", _0=1, success=1, total=1, request_message_count=3, response_message_count=1),
        **series("Each", _0=1, success=1, total=1, request_message_count=50, response_message_count=50)})


def test_failures(proxy, caller):
    before = grpc_stats_of(proxy)
    assert caller.status("Fail", "nö".encode()) == (grpc.StatusCode.NOT_FOUND, "nö")
    assert caller.status("Nothing", b"")[0] == grpc.StatusCode.UNIMPLEMENTED
    moved(proxy, before, {
        **series("Fail", _5=1, failure=1, total=1, request_message_count=1),
        **series("Nothing", _12=1, failure=1, total=1, request_message_count=1)})


def test_metadata(caller):
    _, call = caller.with_call("Meta", b"x", metadata=[("x-a", "1"), ("x-bin", b"\0\xff")])
    assert dict(call.trailing_metadata()) == {"x-a": "1", "x-bin": b"\0\xff"}


def test_upstream_time(proxy, caller):
    caller.unary("Echo", b"x")

    def counted():
        lines = proxy.admin("/stats/prometheus").text.splitlines()
        found = [line for line in lines if line.startswith("envoy_cluster_grpc_Echo_upstream_rq_time_count{")]
        return found and float(found[0].rsplit(" ", 1)[1]) > 0

    wait_for(counted, "the histogram has a value", 15)


def web_call(proxy, method, body, content_type="application/grpc-web", accept=None):
    headers = [("content-type", content_type)] + ([("accept", accept)] if accept else [])
    with proxy.connect("l") as client:
        return client.exchange(post(f"/pkg.Svc/{method}", body, headers=headers))


@pytest.mark.parametrize("is_text", [False, True], ids=["binary", "text"])
def test_grpc_web(proxy, is_text):
    """A browser's client, over HTTP/1.1."""
    before = grpc_stats_of(proxy)
    kind = "application/grpc-web-text" if is_text else "application/grpc-web"
    body = frame(b"hello")
    answer = web_call(proxy, "Echo", base64.b64encode(body) if is_text else body, kind, kind)
    assert answer.status == 200 and answer.header("content-type") == kind + "+proto"
    got = answer.body
    if is_text:
        assert got.startswith(text(body))
        got = body + base64.b64decode(got[len(text(body)):])
    assert got.startswith(body)
    said = got[len(body) + 5:].decode().split("\r\n")
    assert "grpc-status:0" in said and got[len(body)] == 0x80
    moved(proxy, before, {
        **series("Echo", _0=1, success=1, total=1, request_message_count=1, response_message_count=1),
        **series("Echo", "grpc-web", _0=1, success=1, total=1)})


@pytest.mark.parametrize("is_text", [False, True], ids=["binary", "text"])
def test_grpc_web_over_http2(proxy, is_text):
    """As browsers do: the body ends the stream, there are no trailers behind it."""
    kind = "application/grpc-web-text" if is_text else "application/grpc-web"
    body = frame(b"hello")
    with H2Client(proxy.address("l")) as client:
        stream = client.start([(":method", "POST"), (":scheme", "http"), (":authority", "test"), (":path", "/pkg.Svc/Echo"),
                               ("content-type", kind), ("accept", kind)])
        client.data(stream, base64.b64encode(body) if is_text else body, end=True)
        answer = client.finish(stream)
    assert (answer.status, answer.trailers, answer.reset) == (200, [], None)
    assert answer.header("content-type") == kind + "+proto"
    expected = body + trailers_frame("grpc-status:0", "grpc-message:")
    shorter = body + trailers_frame("grpc-status:0")  # depends on the version of the server
    if is_text:
        expected, shorter = text(body, expected[len(body):]), text(body, shorter[len(body):])
    assert answer.body in (expected, shorter)


def test_protobuf_over_http2_is_framed_by_the_client(proxy):
    """The bridge leaves HTTP/2 alone, but for the type of content that it was told to upgrade."""
    with H2Client(proxy.address("l")) as client:
        stream = client.start([(":method", "POST"), (":scheme", "http"), (":authority", "test"), (":path", "/pkg.Svc/Echo"),
                               ("content-type", "application/x-protobuf"), ("te", "trailers")])
        client.data(stream, frame(b"hello"), end=True)
        answer = client.finish(stream)
    assert answer.status == 200 and answer.body == frame(b"hello")
    assert ("grpc-status", "0") in answer.trailers


def test_grpc_web_failure(proxy):
    """grpcio answers a method that is not there with trailers alone; gRPC-Web has them as headers then."""
    answer = web_call(proxy, "Nothing", frame(b""))
    assert answer.status == 200 and answer.header("grpc-status") == "12" and answer.body == b""
    answer = web_call(proxy, "Fail", frame(b"gone"))
    assert answer.status == 200
    assert answer.header("grpc-status") == "5" or trailers_frame("grpc-status:5")[5:-2] in answer.body


def test_bridge(proxy):
    """curl and a protobuf."""
    with proxy.connect("l") as client:
        answer = client.exchange(post("/pkg.Svc/Echo", frame(b"hello"), headers=[("content-type", GRPC), ("te", "trailers")]))
        assert (answer.status, answer.header("grpc-status"), answer.body) == (200, "0", frame(b"hello"))
        answer = client.exchange(post("/pkg.Svc/Echo", b"hello", headers=[
            ("content-type", "application/x-protobuf"), ("te", "trailers")]))
        assert (answer.status, answer.header("grpc-status"), answer.body) == (200, "0", b"hello")
        assert answer.header("content-length") == "5"
        answer = client.exchange(post("/pkg.Svc/Fail", frame(b"gone"), headers=[("content-type", GRPC), ("te", "trailers")]))
        assert answer.header("grpc-status") == "5" and answer.header("grpc-message") == "gone"
