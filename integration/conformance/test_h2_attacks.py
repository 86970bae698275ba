"""What hostile HTTP/2 clients do. Each attack ends, is counted by name, and leaves a neighbour on the same proxy alone.

Inbound floods end in GOAWAY ENHANCE_YOUR_CALM, outbound ones (the client reads nothing) in a close. Where Envoy answers
with another code or none the README says so; the counters are Envoy's.
"""

import random
import struct

import pytest

from harness import config as c
from harness import h2raw as h2
from harness.bystander import Bystander, unharmed
from harness.proxy import Proxy
from harness.upstream import Origin, Reply
from harness.wait import wait_for

BUFFER = 32768
BIG = b"x" * (10 << 20)


def bootstrap(origin):
    table = c.routes("r", c.vhost("all", ["*"], c.route("/", "a")))
    impatient = c.hcm(table, stat_prefix="impatient", stream_idle_timeout="6s", delayed_close_timeout="0.1s")
    lenient = c.hcm(table, stat_prefix="lenient", delayed_close_timeout="0.1s", http2_protocol_options={
        "override_stream_error_on_invalid_http_message": True, "allow_connect": True})
    return c.static_bootstrap(
        [c.listener("l", c.hcm(table, delayed_close_timeout="0.1s"), per_connection_buffer_limit_bytes=BUFFER),
         c.listener("impatient", impatient, per_connection_buffer_limit_bytes=BUFFER),
         c.listener("lenient", lenient)],
        [c.cluster("a", origin.port, per_connection_buffer_limit_bytes=BUFFER)])


class Neighbour(Bystander):
    """Behaves, over HTTP/2."""

    def connect(self, address):
        self.connection = h2.RawH2(address)
        self.stream = 1

    def exchange(self):
        self.connection.send(h2.headers(self.stream))
        answer = self.connection.response(self.stream)
        self.stream += 2
        # Its windows are as large as its few bytes need; only the connection's runs low, slowly.
        self.connection.send(h2.window_update(0, 1))
        return None if answer == (200, b"a", None) else answer

    def disconnect(self):
        self.connection.sock.close()


@pytest.fixture(scope="module")
def origin():
    with Origin("a") as made:
        made.on("/big", Reply(body=BIG))
        yield made


@pytest.fixture(scope="module")
def proxy(origin, flavours):
    if "nuncio" not in flavours:
        pytest.skip("holds nuncio alone")
    with Proxy("nuncio", bootstrap(origin)) as made:
        yield made


@pytest.fixture(autouse=True)
def bystander(proxy):
    """During each test: a neighbour that sees no error; afterwards: no file left open, memory as before."""
    with unharmed(proxy, Neighbour) as neighbour:
        yield neighbour


def open_raw(proxy, listener="l", **kwargs):
    return h2.RawH2(proxy.address(listener), **kwargs)


def flood(raw, pieces, limit=200_000):
    """Sends pieces until the proxy closes; what it said meanwhile. Fails when it never closes."""
    sent = 0
    for piece in pieces:
        if not raw.send(piece):
            break
        sent += 1
        if sent > limit:
            break
    return raw.rest(3.0)


def calmed(frames):
    return [f.code for f in frames if f.kind == h2.GOAWAY][-1:] == [h2.ENHANCE_YOUR_CALM]


def forever(make):
    stream = 1
    while stream < 2**31 - 1000:
        chunk = []
        for _ in range(100):
            chunk.append(make(stream))
            stream += 2
        yield b"".join(chunk)


# --- 11, 12: streams that are opened to be reset ------------------------------------------------------


def test_rapid_reset(proxy):
    before = proxy.stat("http.ingress.downstream_rq_too_many_premature_resets")
    cpu = proxy.cpu_ns()
    with open_raw(proxy) as raw:
        frames = flood(raw, forever(lambda s: h2.headers(s, h2.POST, end_stream=False) + h2.rst(s)))
        assert calmed(frames)
    assert proxy.stat("http.ingress.downstream_rq_too_many_premature_resets") == before + 1
    assert proxy.cpu_ns() - cpu < 3e9
    proxy.wait_stat("http.ingress.downstream_rq_active", lambda n: n <= 1)


@pytest.mark.parametrize("provoke", [
    lambda s: h2.window_update(s, 0),
    lambda s: h2.window_update(s, 2**31 - 1),
    lambda s: h2.frame(h2.PRIORITY, 0, s, struct.pack(">IB", s, 1)),
], ids=["window of zero", "window overflow", "depends on itself"])
def test_made_you_reset(proxy, provoke):
    with open_raw(proxy) as raw:
        frames = flood(raw, forever(lambda s: h2.headers(s, h2.POST, end_stream=False) + provoke(s)))
        assert [f for f in frames if f.kind == h2.GOAWAY] or raw.is_closed
    proxy.wait_stat("http.ingress.downstream_rq_active", lambda n: n <= 1)


# --- 13, 14: header blocks -----------------------------------------------------------------------------


def test_continuation_flood(proxy):
    peak = proxy.peak_kb()
    with open_raw(proxy) as raw:
        raw.send(h2.headers(1, end_headers=False))
        piece = h2.frame(h2.CONTINUATION, 0, 1, h2.literal("x-flood", "y" * 1000))
        frames = flood(raw, (piece for _ in range(100_000)))
        assert [f for f in frames if f.kind == h2.GOAWAY] or raw.is_closed
    if not proxy.is_sanitized:
        assert proxy.peak_kb() - peak < 4096
    assert proxy.stat("http2.header_overflow") > 0


def hpack_bomb(name, times):
    """One entry in the table, then a byte for each repetition."""
    entry = b"\x40" + h2.literal(name, "v" * 3000)[1:]
    return b"".join(h2.literal(n, v) for n, v in h2.GET) + entry + b"\xbe" * times


@pytest.mark.parametrize("name", ["x-bomb", "cookie"])
def test_hpack_bomb(proxy, name):
    before, peak = proxy.stat("http2.header_list_size_too_large"), proxy.peak_kb()
    with open_raw(proxy) as raw:
        raw.send(h2.frame(h2.HEADERS, h2.END_STREAM | h2.END_HEADERS, 1, hpack_bomb(name, 10_000)))
        assert raw.wait(h2.RST_STREAM, 1) is not None
        raw.send(h2.headers(3))
        assert raw.response(3)[0] == 200  # the connection goes on
    assert proxy.stat("http2.header_list_size_too_large") == before + 1
    if not proxy.is_sanitized:
        assert proxy.peak_kb() - peak < 4096


def test_many_cookies_pass(proxy, origin):
    fields = [*h2.GET[:3], (":path", "/cookies"), *(("cookie", f"c{i}={i}") for i in range(90)),
              *((f"x-{i}", "v") for i in range(15))]
    with open_raw(proxy) as raw:
        raw.send(h2.headers(1, fields))
        assert raw.response(1)[0] == 200
    seen = [r for r in origin.requests if r.target == "/cookies"][-1]
    assert seen.all("cookie") == ["; ".join(f"c{i}={i}" for i in range(90))]


# --- 15: frames that cost the sender nothing -----------------------------------------------------------


@pytest.mark.parametrize("counter, first, piece", [
    ("inbound_priority_frames_flood", b"", h2.frame(h2.PRIORITY, 0, 5, struct.pack(">IB", 0, 16))),
    ("inbound_window_update_frames_flood", b"", h2.window_update(0, 1)),
    ("inbound_empty_frames_flood", h2.headers(1, h2.POST, end_stream=False), h2.frame(h2.DATA, 0, 1)),
    ("inbound_empty_frames_flood", h2.headers(1, end_headers=False), h2.frame(h2.CONTINUATION, 0, 1)),
], ids=["priority", "window update", "empty data", "empty continuation"])
def test_inbound_flood(proxy, counter, first, piece):
    before = proxy.stat(f"http2.{counter}")
    with open_raw(proxy) as raw:
        raw.send(first)
        assert calmed(flood(raw, (piece * 50 for _ in range(2000))))
    assert proxy.stat(f"http2.{counter}") == before + 1


@pytest.mark.parametrize("piece", [
    h2.frame(h2.PING, 0, 0, b"12345678"), h2.frame(h2.SETTINGS),
], ids=["ping", "settings"])
def test_outbound_flood(proxy, piece):
    """The client asks and never reads: first the socket fills, then the answers are counted."""
    before = proxy.stat("http2.outbound_control_flood")
    with open_raw(proxy, receive_buffer=4096) as raw:
        for _ in range(20_000):
            if not raw.send(piece * 100, timeout=2.0):
                break
        proxy.wait_stat("http2.outbound_control_flood", before + 1)
    assert proxy.is_running()


# --- 16, 17: windows -------------------------------------------------------------------------------------


def test_a_window_that_never_opens(proxy):
    streams = 100
    memory = proxy.rss_kb()
    paused = proxy.stat("cluster.a.upstream_flow_control_paused_reading_total")
    idle = proxy.stat("http.impatient.downstream_rq_idle_timeout")
    with open_raw(proxy, "impatient", s4=0) as raw:
        path = (*h2.GET[:3], (":path", "/big"))
        raw.send(b"".join(h2.headers(2 * i + 1, path) for i in range(streams)))
        # On a busy machine the first may time out before the last are full.
        wait_for(lambda: proxy.stat("cluster.a.upstream_flow_control_paused_reading_total") - paused +
                 proxy.stat("http.impatient.downstream_rq_idle_timeout") - idle >= streams, "all are full", 20)
        if not proxy.is_sanitized:
            # A stream's buffer, what one read brings beyond it, and the origin connection's own.
            assert proxy.rss_kb() - memory < streams * (BUFFER * 4) / 1024 + 8192
        proxy.wait_stat("http.impatient.downstream_rq_idle_timeout", idle + streams, 20)
    proxy.wait_stat("cluster.a.upstream_cx_active", lambda n: n <= 2, 20)


@pytest.mark.parametrize("attack", [
    [h2.window_update(0, 2**31 - 1)] * 2,
    [h2.settings(s4=2**31)],
    [h2.headers(1, (*h2.GET[:3], (":path", "/big"))), h2.window_update(1, 2**30), h2.settings(s4=2**31 - 1)],
], ids=["connection", "setting", "setting over streams"])
def test_window_overflow(proxy, attack):
    with open_raw(proxy) as raw:
        raw.send(b"".join(attack))
        frames = raw.rest(3.0)
        codes = [f.code for f in frames if f.kind in (h2.GOAWAY, h2.RST_STREAM)]
        assert h2.FLOW_CONTROL_ERROR in codes


def test_initial_window_changes_mid_stream(proxy):
    """Below what was sent already: the window is negative, other streams are not stalled."""
    with open_raw(proxy) as raw:
        raw.send(h2.headers(1, (*h2.GET[:3], (":path", "/big"))))
        assert raw.wait(h2.DATA, 1) is not None
        raw.send(h2.settings(s4=0) + h2.window_update(0, 1 << 20) + h2.headers(3) + h2.window_update(3, 10))
        assert raw.response(3)[:2] == (200, b"a")


# --- 18, 19, 20: messages --------------------------------------------------------------------------------

BAD_FIELDS = {
    "CR in :path": (*h2.GET[:3], (":path", "/a\rb")),
    "LF in :path": (*h2.GET[:3], (":path", "/a\nhost: evil")),
    "NUL in :path": (*h2.GET[:3], (":path", "/a\0b")),
    "space in :path": (*h2.GET[:3], (":path", "/a b HTTP/1.1\r\n")),
    "CRLF in :method": ((":method", "GET / HTTP/1.1\r\nx: y"), *h2.GET[1:]),
    "space in :method": ((":method", "GET /x"), *h2.GET[1:]),
    "CRLF in :authority": (*h2.GET[:2], (":authority", "a\r\nx: y"), h2.GET[3]),
    "duplicate :path": (*h2.GET, (":path", "/b")),
    "no :path": h2.GET[:3],
    "empty :path": (*h2.GET[:3], (":path", "")),
    "no :method": h2.GET[1:],
    "pseudo-header after a field": (*h2.GET[:3], ("x-a", "b"), (":path", "/")),
    "unknown pseudo-header": (*h2.GET, (":weird", "x")),
    ":status in a request": (*h2.GET, (":status", "200")),
    "upper case": (*h2.GET, ("X-Upper", "1")),
    "transfer-encoding": (*h2.GET, ("transfer-encoding", "chunked")),
    "connection": (*h2.GET, ("connection", "x-a")),
    "keep-alive": (*h2.GET, ("keep-alive", "1")),
    "upgrade": (*h2.GET, ("upgrade", "websocket")),
    "te gzip": (*h2.GET, ("te", "gzip")),
    "CRLF in a value": (*h2.GET, ("x-a", "b\r\nx-smuggled: 1")),
    "CRLF in a name": (*h2.GET, ("x-a\r\nx-smuggled", "1")),
    "space in a name": (*h2.GET, ("x a", "1")),
    "colon in a name": (*h2.GET, ("x-a:b", "1")),
    "two content-lengths": (*h2.POST, ("content-length", "1"), ("content-length", "2")),
    "content-length that is none": (*h2.POST, ("content-length", "+1")),
}


@pytest.mark.parametrize("listener", ["l", "lenient"])
@pytest.mark.parametrize("name", BAD_FIELDS)
def test_bad_fields(proxy, origin, name, listener):
    """A stream error where the configuration says so, else the connection's; nothing reaches the origin."""
    heads, malformed = len([r for r in origin.requests if "smuggled" in str(r.raw)]), len(origin.malformed)
    with open_raw(proxy, listener) as raw:
        raw.send(h2.headers(1, BAD_FIELDS[name]))
        status, _, reset = raw.response(1)
        assert status in (None, 400, 404) and (status or reset is not None)
        raw.send(h2.headers(3))
        if listener == "lenient" and status is None:
            assert raw.response(3)[0] == 200
    assert len(origin.malformed) == malformed
    assert len([r for r in origin.requests if "smuggled" in str(r.raw)]) == heads


@pytest.mark.parametrize("pieces", [
    [h2.headers(1, (*h2.POST, ("content-length", "5")), False), h2.frame(h2.DATA, h2.END_STREAM, 1, b"four")],
    [h2.headers(1, (*h2.POST, ("content-length", "3")), False), h2.frame(h2.DATA, h2.END_STREAM, 1, b"four")],
    [h2.headers(1, h2.POST, False), h2.headers(1, (("x-t", "1"),), end_stream=False)],
    [h2.headers(1, h2.POST, False), h2.headers(1, ((":path", "/"),))],
    [h2.headers(1, h2.GET), h2.frame(h2.DATA, h2.END_STREAM, 1, b"more")],
    [h2.headers(1, h2.GET, end_stream=False), h2.frame(h2.DATA, h2.END_STREAM, 1, b"x"),
     h2.frame(h2.DATA, h2.END_STREAM, 1, b"more")],
], ids=["short", "long", "trailers without END_STREAM", "pseudo-header in trailers", "DATA after END_STREAM",
        "DATA after DATA"])
def test_broken_bodies(proxy, pieces):
    with open_raw(proxy, "lenient") as raw:
        raw.send(b"".join(pieces))
        frames = raw.rest(2.0)
        codes = {f.code for f in frames if f.kind in (h2.RST_STREAM, h2.GOAWAY)}
        assert codes & {h2.PROTOCOL_ERROR, h2.STREAM_CLOSED}


@pytest.mark.parametrize("fields", [
    ((":method", "CONNECT"), (":authority", "a:1")),
    ((":method", "CONNECT"),),
    ((":method", "CONNECT"), (":scheme", "http"), (":authority", "a"), (":path", "/")),
    ((":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", "a")),
    ((":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", "a"), (":path", "/")),
    ((":method", "GET"), (":protocol", "websocket"), (":scheme", "http"), (":authority", "a"), (":path", "/")),
], ids=["plain", "nothing else", "with a path", "extended without a path", "extended", "not CONNECT"])
@pytest.mark.parametrize("listener", ["l", "lenient"])
def test_connect_where_none_is_allowed(proxy, fields, listener):
    with open_raw(proxy, listener) as raw:
        raw.send(h2.headers(1, fields, end_stream=False))
        status, _, reset = raw.response(1)
        assert status in (400, 403, 404) or (status is None and reset is not None)


# --- noise -----------------------------------------------------------------------------------------------


def test_noise(proxy):
    """Random frames and random bytes: whatever it answers, it lives."""
    rng = random.Random(1)
    for _ in range(40):
        with open_raw(proxy) as raw:
            for _ in range(30):
                payload = rng.randbytes(rng.choice((0, 1, 4, 5, 8, 40)))
                piece = h2.frame(rng.randrange(12), rng.randrange(64), rng.choice((0, 1, 1, 3, 5, 2)), payload)
                if not raw.send(piece):
                    break
            raw.rest(0.05)
    assert proxy.ready_state()[0] == 200
