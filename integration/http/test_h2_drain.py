"""HTTP/2 connections when the process drains: told to go at once, served until the last goodbye, closed when idle."""

import signal
import struct
import threading

import pytest

from harness import config as c
from harness import h2raw as h2
from harness.proxy import Proxy
from harness.upstream import Origin, Reply

HIGHEST = 2**31 - 1


def bootstrap(origin):
    table = c.routes("r", c.vhost("all", ["*"], c.route("/", "a")))
    return c.static_bootstrap([c.listener("l", c.hcm(table, drain_timeout="0.5s", delayed_close_timeout="0.1s"))],
                              [c.cluster("a", origin.port)])


def last_stream(goaway):
    return struct.unpack(">I", goaway.payload[:4])[0]


@pytest.fixture
def origin():
    with Origin("a") as made:
        yield made


@pytest.fixture
def proxy(origin, flavours):
    if "nuncio" not in flavours:
        pytest.skip("Envoy exits at once")
    with Proxy("nuncio", bootstrap(origin), args=["--drain-time-s", "20"]) as made:
        yield made


def test_idle_connections_are_told_at_once_and_closed(proxy):
    with h2.RawH2(proxy.address()) as raw:
        raw.send(h2.headers(1))
        assert raw.response(1)[0] == 200
        proxy.signal(signal.SIGTERM)
        first = raw.wait(h2.GOAWAY)
        assert (last_stream(first), first.code) == (HIGHEST, h2.NO_ERROR)
        raw.send(h2.headers(3))  # it was on its way
        assert raw.response(3)[0] == 200
        final = raw.wait(h2.GOAWAY)
        assert (last_stream(final), final.code) == (3, h2.NO_ERROR)
        assert raw.rest() == [] and raw.is_closed
        assert proxy.wait_exit() == 0


def test_open_streams_finish(proxy, origin):
    gate = threading.Event()
    origin.on("/slow", Reply(body=b"late", gate=gate))
    with h2.RawH2(proxy.address()) as raw:
        raw.send(h2.headers(1, (*h2.GET[:3], (":path", "/slow"))))
        origin.wait_requests(1)
        proxy.signal(signal.SIGTERM)
        assert last_stream(raw.wait(h2.GOAWAY)) == HIGHEST
        assert last_stream(raw.wait(h2.GOAWAY)) == 1
        raw.send(h2.headers(3))  # too late: not looked at, so it may go elsewhere
        gate.set()
        assert raw.response(1) == (200, b"late", None)
        assert raw.rest() == [] and raw.is_closed
        assert proxy.wait_exit() == 0


def test_what_is_left_in_the_end_is_closed(origin, flavours):
    if "nuncio" not in flavours:
        pytest.skip("Envoy exits at once")
    gate = threading.Event()
    origin.on("/stuck", Reply(gate=gate))
    with Proxy("nuncio", bootstrap(origin), args=["--drain-time-s", "1"]) as proxy, h2.RawH2(proxy.address()) as raw:
        raw.send(h2.headers(1, (*h2.GET[:3], (":path", "/stuck"))))
        origin.wait_requests(1)
        proxy.signal(signal.SIGTERM)
        frames = raw.rest(10)
        assert raw.is_closed and len([f for f in frames if f.kind == h2.GOAWAY]) == 2
        assert proxy.wait_exit() == 0
        gate.set()
