"""What hostile HTTP/1 clients and origins do (faults.md 1 to 4, 6, 7, 9, 10 and 31): each is refused and counted by name,
leaves nothing behind, and a bystander on the same proxy sees none of it.

What becomes of each message is in the vectors; here they come in numbers.
"""

import socket
import threading

import pytest

from harness import config as c
from harness.bystander import unharmed
from harness.client import ConnectionEnded, ProtocolError, request
from harness.differential import get
from harness.h1_vectors import load, steps
from harness.proxy import Proxy
from harness.upstream import Origin, Raw, endless_headers, interim_flood
from harness.wait import wait_for

REFUSED = [v for v in load("requests.tsv") if steps(v.strict)[-1].ends]
BROKEN = [v for v in load("responses.tsv") if not v.strict.endswith("keep")]


def bootstrap(origin):
    table = c.routes("r", c.vhost("all", ["*"], c.direct({"path": "/direct"}, 200, "hi", response_headers_to_add=[
        {"header": {"key": "x-n", "value": "%REQ(x-n)%"}}]), c.route("/", "a")))
    return c.static_bootstrap(
        [c.listener("l", c.hcm(table, delayed_close_timeout="0.1s"), per_connection_buffer_limit_bytes=32768),
         c.listener("impatient", c.hcm(table, stat_prefix="impatient", stream_idle_timeout="0.5s", delayed_close_timeout="0.1s"))],
        # Connections to the origin that are left over close by themselves, so that files can be counted.
        [c.cluster("a", origin.port, typed_extension_protocol_options=c.http_options(
            common_http_protocol_options={"idle_timeout": "1s"}, explicit_http_config={"http_protocol_options": {}}))])


@pytest.fixture(scope="module")
def origin():
    with Origin("a") as made:
        yield made


@pytest.fixture(scope="module")
def proxy(origin, flavours):
    if "nuncio" not in flavours:
        pytest.skip("holds nuncio alone")
    with Proxy("nuncio", bootstrap(origin)) as made:
        yield made


@pytest.fixture(autouse=True)
def bystander(proxy, origin):
    origin.forget()
    with unharmed(proxy) as made:
        yield made
    assert not origin.malformed


def seen(origin):
    """Requests that reached the origin, but for the bystander's."""
    return [r for r in origin.requests if r.target != "/bystander"]


# --- 1 to 4, 6: requests that are none --------------------------------------------------------------------


def test_refused_requests_are_counted_and_leave_nothing(proxy, origin):
    before = proxy.stats()
    refused = 0
    for _ in range(2):
        for vector in REFUSED:
            with proxy.connect("l", timeout=10) as client:
                client.send(vector.data)
                refused += 1
                for step in steps(vector.strict):
                    assert client.read_response(step.request[0] if step.request else "GET").status == step.status, vector.name
                # Gone without waiting for the end: as attackers do.
    whole = [r for r in seen(origin) if r.complete]
    assert not [r for r in whole if "smuggled" in r.target or "evil" in r.target or "pwned" in r.target]
    assert len(whole) == 2 * sum(step.kind == "request" for v in REFUSED for step in steps(v.strict))
    proxy.wait_stat("http.ingress.downstream_cx_protocol_error", lambda n: n == before.get(
        "http.ingress.downstream_cx_protocol_error", 0) + refused)
    proxy.wait_stat("http.ingress.downstream_rq_active", lambda n: n <= 1)


# --- 7: sizes ---------------------------------------------------------------------------------------------


def endless(first, piece, total):
    yield first
    for _ in range(total // len(piece)):
        yield piece


@pytest.mark.parametrize("first, piece", [
    (b"GET / HTTP/1.1\r\nHost: t\r\nx-big: ", b"a" * 4096),
    (b"GET / HTTP/1.1\r\nHost: t\r\n", b"x-many: 1\r\n" * 256),
    (b"GET /", b"a" * 4096),
    (b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"x-trailer: 1\r\n" * 256),
], ids=["one line", "many lines", "target", "trailers"])
def test_heads_of_a_megabyte(proxy, first, piece):
    """Refused at the limit, however they come; twenty at a time take twenty times the limit, no more."""
    before, peak = proxy.stat("http.ingress.downstream_cx_protocol_error"), proxy.peak_kb()
    clients = [proxy.connect("l", timeout=10) for _ in range(20)]
    for client in clients:
        try:
            for data in endless(first, piece, 1 << 20):
                client.send(data)
        except ConnectionError:
            pass
    for client in clients:
        try:
            assert client.read_response().status == 431
        except (ConnectionEnded, ConnectionError):
            pass  # its reset overtook the answer
        client.close()
    proxy.wait_stat("http.ingress.downstream_cx_protocol_error", lambda n: n == before + 20)
    if not proxy.is_sanitized:
        assert proxy.peak_kb() - peak < 20 * 2 * 60 + 2048


def test_chunk_extensions_without_end(proxy):
    before = proxy.stat("http.ingress.downstream_cx_protocol_error")
    with proxy.connect("l") as client:
        client.send(b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5;a=")
        try:
            for _ in range(16):
                client.send(b"b" * 4096)
        except ConnectionError:
            pass
        try:
            assert client.read_response().status == 400
        except (ConnectionEnded, ConnectionError):
            pass
    proxy.wait_stat("http.ingress.downstream_cx_protocol_error", lambda n: n == before + 1)


# --- 9: pipelining ----------------------------------------------------------------------------------------


def test_a_hundred_thousand_pipelined_requests(proxy):
    """In order; and while nobody reads, requests wait in the client's socket, not here."""
    count = 100_000
    pad = b"p" * 200  # so that it is more than the sockets in between hold
    data = b"".join(b"GET /direct HTTP/1.1\r\nHost: t\r\nx-n: %d\r\nx-pad: %s\r\n\r\n" % (n, pad) for n in range(count))
    with proxy.connect("l", timeout=60) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        memory = proxy.rss_kb()
        client.sock.settimeout(0.5)
        sent = 0
        try:
            while sent < len(data):
                sent += client.sock.send(data[sent:sent + 65536])
        except TimeoutError:
            pass
        answered = proxy.stat("http.ingress.downstream_rq_total")
        assert sent < len(data), "never stopped reading"
        assert proxy.is_sanitized or proxy.rss_kb() - memory < 4096
        client.sock.settimeout(60)
        writer = threading.Thread(target=client.send, args=(data[sent:],), daemon=True)
        writer.start()
        for number in range(count):
            response = client.read_response()
            assert (response.status, response.header("x-n")) == (200, str(number))
        writer.join(10)
    assert proxy.stat("http.ingress.downstream_rq_total") > answered


# --- 10: bodies that do not come, or that nobody asked for ------------------------------------------------


def test_a_body_that_was_announced_and_never_comes(proxy, origin):
    before = proxy.stat("http.impatient.downstream_rq_idle_timeout")
    clients = [proxy.connect("impatient", timeout=20) for _ in range(20)]
    for client in clients:
        client.send(request("POST", "/", headers={"Expect": "100-continue", "Content-Length": "1000"}))
    for client in clients:
        assert client.read_interim().status == 100
    for client in clients:
        assert client.read_response("POST").status == 408
        assert client.is_closed(10)
        client.close()
    assert proxy.stat("http.impatient.downstream_rq_idle_timeout") == before + 20
    proxy.wait_stat("cluster.a.upstream_rq_active", lambda n: n <= 1)
    assert not [r for r in seen(origin) if r.complete]


# --- 31: origins ------------------------------------------------------------------------------------------


def test_broken_responses_are_counted_and_their_connections_never_used_again(proxy, origin):
    bad = [v for v in BROKEN if v.strict.endswith(("UPE", "cut"))]
    before = proxy.stats()
    for vector in bad:
        origin.on("/broken", Raw(vector.data, vector.then))
        with proxy.connect("l", timeout=10) as client:
            client.send(get("/broken", method=vector.method))
            try:
                assert client.read_response(vector.method).status in (200, 502), vector.name
            except (ConnectionEnded, ProtocolError) as error:
                assert vector.strict.endswith("cut"), (vector.name, error)
        broken = [r.connection for r in origin.requests if r.target == "/broken"][-1]
        with proxy.connect("l", timeout=10) as client:
            answer = client.exchange(get("/after"))
            assert (answer.status, answer.body) == (200, b"a"), vector.name
        assert [r.connection for r in origin.requests if r.target == "/after"][-1] != broken, vector.name
    after = proxy.stats()
    refused = [v for v in bad if v.then == "keep"]
    name = "cluster.a.upstream_cx_protocol_error"
    assert after[name] - before.get(name, 0) >= len(refused)
    proxy.wait_stat("cluster.a.upstream_rq_active", lambda n: n <= 1)


@pytest.mark.parametrize("action, status", [(endless_headers(), 502), (interim_flood(), 502)], ids=["headers", "interim"])
def test_an_origin_without_end(proxy, origin, action, status):
    before, peak = proxy.stat("cluster.a.upstream_cx_protocol_error"), proxy.peak_kb()
    origin.on("/endless", action)
    for _ in range(5):
        with proxy.connect("l", timeout=10) as client:
            assert client.exchange(get("/endless")).status == status
    assert proxy.stat("cluster.a.upstream_cx_protocol_error") == before + 5
    wait_for(lambda: proxy.stat("cluster.a.upstream_cx_active") <= 1, "its connections are closed")
    if not proxy.is_sanitized:
        assert proxy.peak_kb() - peak < 2048
