"""Connections and requests that take too long on the client's side, and limits on connections."""

import threading
import time

import pytest

from harness import config as c
from harness.client import ConnectionEnded, request
from harness.differential import LogFile
from harness.proxy import Proxy
from harness.upstream import Origin, Raw, Reply, hang

LISTENERS = {
    "headers": {"request_headers_timeout": "0.3s"},
    "request": {"request_timeout": "0.3s"},
    "stream": {"stream_idle_timeout": "0.3s"},
    "idle": {"common_http_protocol_options": {"idle_timeout": "0.3s"}, "drain_timeout": "0.1s"},
    "duration": {"common_http_protocol_options": {"max_connection_duration": "0.5s"}, "drain_timeout": "0.2s"},
    "requests": {"common_http_protocol_options": {"max_requests_per_connection": 3}},
    "stream-duration": {"common_http_protocol_options": {"max_stream_duration": "0.3s"}},
}


@pytest.fixture(scope="module")
def running(flavour, tmp_path_factory):
    place = tmp_path_factory.mktemp(f"timeouts-{flavour}")
    logs = {name: place / f"{name}.log" for name in LISTENERS}
    for path in logs.values():
        path.touch()
    table = c.simple_routes("r", "a")
    with Origin("a") as origin:
        listeners = [c.listener(name, c.hcm(table, stat_prefix=name, log=logs[name], delayed_close_timeout="0.1s", **options))
                     for name, options in LISTENERS.items()]
        listeners.append(c.listener("raw", c.hcm(table, stat_prefix="raw")))
        with Proxy(flavour, c.static_bootstrap(listeners, [c.cluster("a", origin.port)])) as proxy:
            proxy.wait_listener("raw")
            yield proxy, origin, {name: LogFile(path) for name, path in logs.items()}


@pytest.fixture
def proxy(running):
    running[1].forget()
    for log in running[2].values():
        log.skip()
    return running[0]


@pytest.fixture
def origin(running):
    return running[1]


@pytest.fixture
def logs(running):
    """{listener: its access log}"""
    return running[2]


def timed(wait, least, most):
    """The result of wait(), which has to take that many seconds."""
    started = time.monotonic()
    result = wait()
    took = time.monotonic() - started
    assert least <= took <= most, f"took {took:.3f} s, not {least} to {most}"
    return result


def test_request_headers_timeout(proxy, logs):
    with proxy.connect("headers") as client:
        client.send(b"GET / HTTP/1.1\r\nHost: t\r\nx-slow: ")
        response = timed(client.read_response, 0.25, 0.6)
        assert response.status == 408
        assert response.header("connection") == "close"
        assert client.is_closed()
    (line,) = logs["headers"].read(1)
    assert line["details"] == "request_header_timeout"


def test_request_headers_timeout_does_not_count_idle_time(proxy):
    with proxy.connect("headers") as client:
        assert client.get("/").status == 200
        assert client.is_silent(0.5)
        assert client.get("/").status == 200


def test_request_timeout(proxy, logs):
    with proxy.connect("request") as client:
        client.send(request("POST", "/", headers={"Content-Length": "10"}) + b"123")
        response = timed(lambda: client.read_response("POST"), 0.25, 0.6)
        assert (response.status, response.body) == (408, b"request timeout")
    (line,) = logs["request"].read(1)
    assert line["details"] == "request_overall_timeout"


def test_stream_idle_timeout_before_the_answer(proxy, origin, logs):
    origin.next(hang())
    with proxy.connect("stream") as client:
        client.send(request("GET", "/"))
        response = timed(client.read_response, 0.25, 0.6)
        assert (response.status, response.body) == (504, b"stream timeout")
    (line,) = logs["stream"].read(1)
    assert (line["flags"], line["details"]) == ("SI", "stream_idle_timeout")


def test_stream_idle_timeout_inside_the_answer(proxy, origin, logs):
    origin.next(Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345", "hang"))
    with proxy.connect("stream") as client:
        client.send(request("GET", "/"))
        response = timed(client.read_response, 0.25, 0.6)
        assert (response.complete, response.body) == (False, b"12345")
    (line,) = logs["stream"].read(1)
    assert line["flags"] == "SI"


def test_idle_timeout(proxy):
    with proxy.connect("idle") as client:
        assert client.get("/").status == 200
        assert timed(client.is_closed, 0.25, 0.7)
    proxy.wait_stat("http.idle.downstream_cx_idle_timeout", 1)


def test_idle_timeout_of_a_connection_that_never_asked(proxy):
    with proxy.connect("idle") as client:
        assert timed(client.is_closed, 0.25, 0.7)


def test_idle_timeout_does_not_end_a_request(proxy, origin):
    gate = threading.Event()
    origin.next(Reply(gate=gate, body=b"late"))
    with proxy.connect("idle") as client:
        client.send(request("GET", "/"))
        assert client.is_silent(0.6)
        gate.set()
        assert client.read_response().body == b"late"


def test_max_connection_duration(proxy):
    with proxy.connect("duration") as client:
        started = time.monotonic()
        seen = 0
        while time.monotonic() - started < 5:
            try:
                response = client.get("/")
            except (ConnectionEnded, ConnectionError):
                break
            seen += 1
            assert response.status == 200
            if response.header("connection") == "close":
                assert client.is_closed()
                break
        assert seen > 1
        assert 0.4 <= time.monotonic() - started <= 1.5


def test_max_requests_per_connection(proxy):
    with proxy.connect("requests") as client:
        closes = [client.get("/").header("connection") for _ in range(3)]
        assert closes == [None, None, "close"]
        assert client.is_closed()


def test_max_stream_duration(proxy, origin, logs):
    origin.next(hang())
    with proxy.connect("stream-duration") as client:
        client.send(request("GET", "/"))
        response = timed(client.read_response, 0.25, 0.6)
        assert response.status == 504
    (line,) = logs["stream-duration"].read(1)
    assert line["details"] == "max_duration_timeout"


def test_slow_clients_do_not_disturb_others(proxy):
    """200 connections that never finish their headers, and one that works."""
    slow = []
    try:
        for _ in range(200):
            client = proxy.connect("raw")
            client.send(b"GET / HTTP/1.1\r\nHost: t\r\nx-")
            slow.append(client)
        with proxy.connect("raw") as good:
            for _ in range(50):
                assert timed(lambda: good.get("/").status, 0, 1.0) == 200
    finally:
        for client in slow:
            client.close()
    proxy.wait_stat("http.raw.downstream_cx_active", lambda n: n <= 1)
