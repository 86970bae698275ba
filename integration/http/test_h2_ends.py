"""How downstream HTTP/2 connections and tunnels end, and what the log and the counters say of it, as Envoy: clients that
answer no PING, that are calmed, that go away; heads that are too large; a tunnel whose far side ends first."""

import threading

import pytest

from harness import config as c
from harness import h2raw as h2
from harness.differential import LogFile
from harness.proxy import Proxy
from harness.upstream import Origin, RawOrigin, Reply

SLOW = (*h2.GET[:3], (":path", "/slow"))
IMPATIENT = {"http2_protocol_options": {"connection_keepalive": {"interval": "0.2s", "timeout": "0.2s"}}}
TUNNELS = {"http2_protocol_options": {"allow_connect": True}}
BRIEF = {"common_http_protocol_options": {"idle_timeout": "0.2s"}, "drain_timeout": "0.2s"}


@pytest.fixture(scope="module")
def origin():
    gate = threading.Event()
    with Origin("a") as made:
        made.on("/slow", Reply(gate=gate))
        yield made
        gate.set()


def greet(sock):
    sock.sendall(b"hello")


@pytest.fixture
def proxy(flavour, origin, tmp_path):
    (tmp_path / "log").touch()
    tunnel = {"cluster": "far", "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]}
    table = c.routes("r", c.vhost("all", ["*"], c.route({"connect_matcher": {}}, tunnel), c.route("/", "a")))
    listeners = [c.listener(name, c.hcm(table, log=tmp_path / "log", delayed_close_timeout="0.1s", **more))
                 for name, more in (("l", TUNNELS), ("impatient", IMPATIENT), ("brief", BRIEF))]
    with RawOrigin(greet) as far, Proxy(flavour, c.static_bootstrap(
            listeners, [c.cluster("a", origin.port), c.cluster("far", far.port)])) as made:
        made.access_log = LogFile(tmp_path / "log")
        yield made


def ended(proxy, **more):
    """The one line of the log, and the counters of connections that ended with requests."""
    [line] = proxy.access_log.read(1)
    counts = {name: proxy.stat(f"http.ingress.downstream_{name}")
              for name in ("cx_destroy_active_rq", "cx_destroy_local_active_rq", "cx_destroy_remote_active_rq")}
    return (line["flags"], line["details"], [n for n, v in counts.items() if v])


def goaways(frames):
    return [f.code for f in frames if f.kind == h2.GOAWAY]


def test_a_ping_without_an_answer(proxy):
    with h2.RawH2(proxy.address("impatient")) as raw:
        raw.send(h2.headers(1, SLOW))
        raw.rest(3)
        assert raw.is_closed
        assert ended(proxy) == ("DC", "downstream_local_disconnect(http2_ping_timeout)",
                                ["cx_destroy_active_rq", "cx_destroy_remote_active_rq"])


def test_a_client_that_leaves(proxy):
    with h2.RawH2(proxy.address("l")) as raw:
        raw.send(h2.headers(1, SLOW))
        proxy.wait_stat("http.ingress.downstream_rq_active", 1)
    assert ended(proxy) == ("DC", "downstream_remote_disconnect", ["cx_destroy_active_rq", "cx_destroy_remote_active_rq"])


def test_a_client_that_is_calmed(proxy):
    """Its open request is not at fault, and it is told once."""
    with h2.RawH2(proxy.address("l")) as raw:
        raw.send(h2.headers(1, SLOW))
        proxy.wait_stat("http.ingress.downstream_rq_active", 1)
        raw.send(b"".join(h2.headers(3 + 2 * n, SLOW) + h2.rst(3 + 2 * n) for n in range(600)))
        told = goaways(raw.rest(3))
        assert raw.is_closed and told == ([] if proxy.flavour == "envoy" else [h2.ENHANCE_YOUR_CALM])
    lines = [(line["flags"], line["details"]) for line in proxy.access_log.read(200)]
    assert ("-", "too_many_premature_resets") in lines and not [d for _, d in lines if "protocol" in d]
    assert proxy.stat("http.ingress.downstream_rq_too_many_premature_resets") == 1
    assert proxy.stat("http.ingress.downstream_cx_protocol_error") == 1


def test_a_client_that_wants_no_pushes(proxy):
    """Its GOAWAY is about streams of ours: while one of its own is open, it may open others. Then nuncio closes; Envoy keeps
    a connection on which nothing is answered any more."""
    with h2.RawH2(proxy.address("l")) as raw:
        raw.send(h2.headers(1, SLOW) + h2.frame(h2.GOAWAY, 0, 0, bytes(8)))
        proxy.wait_stat("http.ingress.downstream_rq_active", 1)
        raw.send(h2.headers(3))
        assert raw.response(3)[0] == 200
        raw.send(h2.rst(1))
        assert goaways(raw.rest(0.5)) == ([] if proxy.flavour == "envoy" else [0])
        assert raw.is_closed == (proxy.flavour == "nuncio")


def test_a_client_that_goes_away_idle(proxy):
    with h2.RawH2(proxy.address("l")) as raw:
        raw.send(h2.headers(1))
        assert raw.response(1)[0] == 200
        raw.send(h2.frame(h2.GOAWAY, 0, 0, bytes(8)))
        raw.rest(0.5)
        assert raw.is_closed == (proxy.flavour == "nuncio")


def test_the_notice_of_a_drain_is_not_counted(proxy):
    with h2.RawH2(proxy.address("brief")) as raw:
        raw.send(h2.headers(1))
        assert goaways(raw.rest(3)) == [0, 0] and raw.is_closed
    assert proxy.stat("http2.goaway_sent") == 1


@pytest.mark.parametrize(("size", "count", "counter"), [(9000, 10, "header_list_size_too_large"), (1, 120, "header_overflow")])
def test_heads_too_large(proxy, size, count, counter):
    with h2.RawH2(proxy.address("l")) as raw:
        pieces = [h2.block([(f"x-{n}", "v" * size)]) for n in range(count)]
        raw.send(h2.frame(h2.HEADERS, h2.END_STREAM, 1, h2.block(h2.GET) + pieces[0]) +
                 b"".join(h2.frame(h2.CONTINUATION, 0, 1, piece) for piece in pieces[1:6]) +
                 h2.frame(h2.CONTINUATION, h2.END_HEADERS, 1, b"".join(pieces[6:10] if size > 1 else pieces[6:])))
        raw.wait(h2.RST_STREAM, 1)
    assert {n: proxy.stat(f"http2.{n}") for n in ("header_list_size_too_large", "header_overflow")} == {
        "header_list_size_too_large": 0, "header_overflow": 0, counter: 1}


@pytest.mark.parametrize("version", [1, 2])
def test_a_tunnel_that_its_far_side_ends(proxy, version):
    """Its request is never complete: the response came before, and the rest is given up."""
    if version == 2:
        with h2.RawH2(proxy.address("l")) as raw:
            raw.send(h2.headers(1, ((":method", "CONNECT"), (":authority", "far:1")), end_stream=False))
            assert raw.response(1) == (200, b"hello", None)
            raw.wait(h2.RST_STREAM, 1)
    else:
        with proxy.connect("l") as client:
            client.send(b"CONNECT far:1 HTTP/1.1\r\nhost: far:1\r\n\r\n")
            assert client.read_to_end().endswith(b"hello")
    counts = {n: proxy.stat(f"http.ingress.downstream_rq_{n}") for n in ("response_before_rq_complete", "rx_reset", "tx_reset")}
    assert counts == {"response_before_rq_complete": 1, "rx_reset": 1, "tx_reset": 0}
