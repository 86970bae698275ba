"""Origins that misbehave, and addresses that do not answer: the local reply, its flag and details, and that a
connection which went wrong is never used again."""

import threading
import time

import pytest

from harness import config as c
from harness import upstream as up
from harness.client import ConnectionEnded
from harness.differential import case, get, post
from harness.proxy import Proxy
from harness.upstream import BlackHole, Origin, Raw, RawOrigin, Refused, Reply

PLACES = {}


@pytest.fixture(scope="module", autouse=True)
def places():
    """Addresses that refuse, hang, or accept and close; they must be there before the bootstrap is made."""
    with Refused() as refused, BlackHole() as hole, RawOrigin(lambda sock: None) as slammed:
        PLACES.update(refused=refused.port, hole=hole.port, slammed=slammed.port)
        yield


def bootstrap(origins, log):
    def timeout(seconds, **more):
        return {"cluster": "a", "timeout": f"{seconds}s", **more}

    table = c.routes(
        "r", c.vhost(
            "all", ["*"],
            c.route("/refused", "refused"), c.route("/hole", "hole"), c.route("/slammed", "slammed"),
            c.route("/empty", "empty"), c.route("/unknown", "unknown"),
            c.route("/missing-404", {"cluster": "unknown", "cluster_not_found_response_code": "NOT_FOUND"}),
            c.route("/missing-500", {"cluster": "unknown", "cluster_not_found_response_code": "INTERNAL_SERVER_ERROR"}),
            c.route("/unhealthy", "unhealthy"),
            c.route("/timeout", timeout(0.2)), c.route("/no-timeout", timeout(0)),
            c.route("/idle", timeout(0, idle_timeout="0.2s")), c.route("/", "a")), validate_clusters=False)
    return c.static_bootstrap(
        [c.listener("l", c.hcm(table, log=log, delayed_close_timeout="0.1s"))],
        [c.cluster("a", origins["a"].port), c.cluster("refused", PLACES["refused"]),
         c.cluster("hole", PLACES["hole"], connect_timeout="0.25s"), c.cluster("slammed", PLACES["slammed"]),
         c.cluster("empty"), c.cluster("unhealthy", c.endpoint(origins["a"].port, health="UNHEALTHY"))])


def broken(name, action, status=502, **want):
    return case(name, get("/x"), action=action, status=status, **want)


RESET = "upstream_reset_before_response_started"
CASES = [
    case("connection refused", "/refused", status=503, flags="UF",
         body=lambda b: b.startswith(b"upstream connect error or disconnect/reset before headers. reset reason: "
                                     b"remote connection failure")),
    case("connect timeout", "/hole", status=503, flags="UF", body=lambda b: b"connection timeout" in b),
    case("closed after accept", "/slammed", status=503, flags="UC"),
    case("no endpoints", "/empty", status=503, flags="UH", details="no_healthy_upstream", body=b"no healthy upstream"),
    case("no healthy endpoint", "/unhealthy"),
    case("unknown cluster", "/unknown", status=503, flags="NC", details="cluster_not_found", body=b""),
    case("unknown cluster as 404", "/missing-404", status=404, flags="NC"),
    case("unknown cluster as 500", "/missing-500", status=500, flags="NC"),
    case("POST to refused", post("/refused", b"x" * 10000), status=503, flags="UF"),

    broken("close without an answer", up.early_close(), 503, flags="UC", details=lambda d: d.startswith(RESET)),
    broken("reset without an answer", up.reset(), 503, flags="UC"),
    broken("garbage", up.garbage(), 502, flags="UPE"),
    broken("half a status line", Raw(b"HTTP/1.1 2", "close"), 502, flags="UPE"),
    broken("half a head", Raw(b"HTTP/1.1 200 OK\r\nx-a: 1\r\n", "close"), 502, flags="UPE"),
    broken("endless headers", up.endless_headers(), 502),
    broken("length and chunked", Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n"
                                     b"1\r\nx\r\n0\r\n\r\n", "close"), 502, flags="UPE"),
    broken("bad length", Raw(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", "close"), 502, flags="UPE"),
    broken("two lengths", Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx", "close"), 502),
    broken("unknown transfer-encoding", Raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n", "close"), 502),
    broken("NUL in a header", Raw(b"HTTP/1.1 200 OK\r\nx-a: \x00\r\ncontent-length: 0\r\n\r\n", "keep"), 502),
    # Envoy hands these on as they are; they are no HTTP.
    case("status 99", "/x", action=Raw(b"HTTP/1.1 99 Odd\r\ncontent-length: 0\r\n\r\n", "close"),
         differs={"status": 502, "flags": "UPE"}),
    case("status 1000", "/x", action=Raw(b"HTTP/1.1 1000 Odd\r\ncontent-length: 0\r\n\r\n", "close"),
         differs={"status": 502, "flags": "UPE"}),
    # Envoy hands it on; what follows is then no HTTP at all.
    case("unasked 101", "/x", status=101, differs={"status": 502},
         action=Raw(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", "close")),
    broken("100 that nobody asked for", Raw(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"
                                            b"content-length: 0\r\n\r\n", "keep"), 200),
    broken("many headers", Reply(headers=[(f"x-{i}", "1") for i in range(99)]), 200),
    broken("too many headers", Reply(headers=[(f"x-{i}", "1") for i in range(150)]), 502),
    broken("a header of 50 KB", Reply(headers={"x-big": "a" * 50000}), 200),

    # The answer has begun: all that is left is to break off.
    broken("body shorter than its length", up.short_body(), 200, complete=False, flags="UPE", closed=True),
    broken("chunked body that breaks off", Raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
                                               "close"), 200, complete=False, closed=True, flags="UPE"),
    broken("chunk size that is no number", Raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
                                               "close"), 200, complete=False, closed=True, flags="UPE"),
    broken("reset inside the body", Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n0123456789", "reset"), 200,
           complete=False, ignore=("body", "log:sent")),

    case("route timeout", get("/timeout"), action=up.hang(), status=504, flags="UT",
         details="response_timeout", body=b"upstream request timeout"),
    case("timeout of a HEAD", get("/timeout", method="HEAD"), action=up.hang(), status=504, flags="UT", body=b""),
    case("timeout inside the body", get("/timeout"), complete=False, closed=True, flags="UT",
         action=Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n0123456789", "hang"), status=200),
    case("stream idle timeout of the route", get("/idle"), action=up.hang(), status=504, flags="SI",
         details="stream_idle_timeout"),
]


@pytest.mark.differential
@pytest.mark.parametrize("item", CASES, ids=lambda item: item.name)
def test_fault(duel, item):
    duel.run(item)


def each(duel):
    for flavour, proxy in duel.each():
        duel.forget()
        yield flavour, proxy, duel.origins["a"]


def quickest(proxy, target, status):
    """Seconds until the answer: the best of a few, for the machine has other things to do."""
    taken = []
    with proxy.connect("l") as client:
        client.get("/")
        for _ in range(4):
            started = time.monotonic()
            assert client.get(target).status == status
            taken.append(time.monotonic() - started)
    return min(taken)


def test_timeouts_are_kept_to_the_millisecond(duel):
    for flavour, proxy, origin in each(duel):
        origin.on("/timeout", up.hang())
        assert 0.19 <= quickest(proxy, "/timeout", 504) <= 0.35, flavour
        assert 0.24 <= quickest(proxy, "/hole", 503) <= 0.4, flavour


def test_bytes_after_an_answer_poison_nothing(duel):
    for flavour, proxy, origin in each(duel):
        origin.next(up.extra_bytes())
        with proxy.connect("l") as client:
            assert client.get("/1").body == b"ok", flavour
            for number in range(2, 6):
                response = client.get(f"/{number}")
                assert (response.status, response.body) == (200, b"a"), f"{flavour} served {response.body!r}"
        seen = origin.take()
        assert len({r.connection for r in seen}) == 2, f"{flavour} used a poisoned connection again"


def test_a_dirty_answer_to_head_poisons_nothing(duel):
    """An origin that sends a body after HEAD, 204 or 304 leaves bytes that are no answer."""
    for flavour, proxy, origin in each(duel):
        dirty = [Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nxxxxx", "keep"),
                 Raw(b"HTTP/1.1 204 No Content\r\n\r\nxxxxx", "keep"),
                 Raw(b"HTTP/1.1 304 Not Modified\r\n\r\nxxxxx", "keep")]
        for action, method, status in zip(dirty, ("HEAD", "GET", "GET"), (200, 204, 304)):
            origin.next(action)
            with proxy.connect("l") as client:
                assert client.get("/", method=method).status == status, flavour
                after = client.get("/clean")
                assert (after.status, after.body) == (200, b"a"), f"{flavour} after {method}/{status}: {after}"


def test_idle_connection_that_the_origin_closed_is_not_used(duel):
    for flavour, proxy, origin in each(duel):
        with proxy.connect("l") as client:
            assert client.get("/").status == 200
            origin.drop_connections()
            proxy.wait_stat("cluster.a.upstream_cx_active", 0)
            assert client.get("/").status == 200, flavour


def test_an_interim_flood_is_bounded(duel):
    for flavour, proxy, origin in each(duel):
        origin.next(up.interim_flood())
        before = proxy.rss_kb()
        with proxy.connect("l") as client:
            assert client.get("/").status in (200, 502, 503), flavour
            assert client.get("/after").status == 200, flavour
        assert proxy.is_sanitized or proxy.rss_kb() - before < 16 << 10, flavour


def test_origin_that_answers_early_and_stops_reading(duel):
    """The answer comes through; what the client still sends is not wanted any more."""
    for flavour, proxy, origin in each(duel):
        origin.next(Reply(200, early=True, close=True, body=b"early"))
        with proxy.connect("l") as client:
            client.send(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
            assert client.read_response("POST").body == b"early", flavour


def test_no_timeout_waits(duel):
    for flavour, proxy, origin in each(duel):
        gate = threading.Event()
        origin.next(Reply(gate=gate, body=b"late"))
        with proxy.connect("l") as client:
            client.send(get("/no-timeout"))
            origin.wait_requests(1)
            assert client.is_silent(0.4), flavour
            gate.set()
            assert client.read_response().body == b"late", flavour


def test_origin_comes_back(duel):
    """An address that refused is tried again for the next request."""
    for flavour, _ in duel.each():
        place = Refused()
        table = c.simple_routes("r", "back")
        with Proxy(flavour, c.static_bootstrap([c.listener("l", c.hcm(table))], [c.cluster("back", place.port)])) as proxy:
            with proxy.connect("l") as client:
                assert client.get("/").status == 503, flavour
                place.close()
                with Origin("back", port=place.port):
                    assert client.get("/").status == 200, flavour


def test_abort_of_the_client_is_seen_upstream(duel):
    for flavour, proxy, origin in each(duel):
        origin.next(up.hang())
        client = proxy.connect("l")
        client.send(get("/"))
        origin.wait_requests(1)
        assert origin.open_connections >= 1
        client.close()
        try:
            client.read_to_end()
        except (ConnectionEnded, OSError):
            pass
        proxy.wait_stat("cluster.a.upstream_rq_active", 0)
        assert proxy.stat("http.ingress.downstream_rq_rx_reset") + proxy.stat(
            "http.ingress.downstream_cx_destroy_remote_active_rq") > 0, flavour
