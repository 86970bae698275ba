"""HTTP/2 origins that reset streams, go away or talk nonsense: the local reply, its flag and details, and that a request
which the origin provably did not look at is sent once more (there nuncio differs from Envoy on purpose)."""

import random
import threading

import pytest

from harness import config as c
from harness import scripted_h2 as h2
from harness.client import ConnectionEnded, ProtocolError
from harness.differential import LogFile, case, check, describe, diff, get, post, view
from harness.proxy import Proxy
from harness.scripted_h2 import ScriptedH2

PLACES = {}


@pytest.fixture(scope="module", autouse=True)
def places():
    with ScriptedH2() as server:
        PLACES["h2"] = server
        yield


def bootstrap(origins, log):
    table = c.routes(
        "r", c.vhost("counting", ["counting"], c.route("/", "h2"), include_request_attempt_count=True,
                     include_attempt_count_in_response=True),
        c.vhost("all", ["*"], c.route("/timeout", {"cluster": "h2", "timeout": "0.2s"}), c.route("/", "h2")))
    return c.static_bootstrap(
        [c.listener("l", c.hcm(table, log=log))],
        [c.cluster("h2", PLACES["h2"].port, typed_extension_protocol_options=c.http_options(),
                   circuit_breakers={"thresholds": [{"max_retries": 2}]})])


OK = h2.headers({":status": "200", "content-length": "2"}), h2.data(b"ok", end=True)
HEAD = h2.headers({":status": "200"})
BEFORE = "upstream_reset_before_response_started"
AFTER = "upstream_reset_after_response_started"
REASON = b"upstream connect error or disconnect/reset before headers. reset reason: "


def odd(name, *answer, data=None, then=(), **want):
    """A case whose origin gives that answer, and to further requests those of `then`."""
    made = case(name, data or get("/x"), **want)
    made.script = [list(answer), *map(list, then)]
    return made


def raw(kind, flags, payload, on_connection=False):
    return lambda stream: h2.frame(kind, flags, 0 if on_connection else stream, payload)


CODES = ("NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
         "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
         "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED", "UNKNOWN")
REFUSED = h2.REFUSED_STREAM
CASES = [
    odd("an answer", *OK, status=200, body=b"ok", flags="-"),
    *[odd(f"reset with {name}", h2.rst(code), status=503, flags="UR", details=f"{BEFORE}{{remote_reset}}")
      for code, name in enumerate(CODES) if name not in ("PROTOCOL_ERROR", "REFUSED_STREAM", "CONNECT_ERROR")],
    odd("reset with CONNECT_ERROR", h2.rst(10), status=503, flags="UR",
        details=f"{BEFORE}{{remote_error_with_CONNECT_request}}"),
    odd("reset with PROTOCOL_ERROR", h2.rst(1), status=502, flags="UPE", details=f"{BEFORE}{{protocol_error}}"),
    *[odd(f"reset with {name} behind the head", HEAD, h2.rst(code), status=200, complete=False, closed=True)
      for code, name in enumerate(CODES)],
    odd("the connection closes", h2.close(), status=503, flags="UC", details=f"{BEFORE}{{connection_termination}}"),
    odd("the connection closes behind the head", HEAD, h2.data(b"half"), h2.close(), status=200, complete=False,
        flags="UC"),
    odd("goes away after this one", h2.goaway(2**31 - 1), *OK, status=200),
    odd("goes away, then closes", h2.goaway(2**31 - 1), h2.close(), status=503, flags="UC"),
    odd("goes away with an error", h2.goaway(2**31 - 1, h2.INTERNAL_ERROR), h2.close(), status=503, flags="UC"),
    odd("no status", h2.headers({"x-a": "b"}), *OK, status=502, flags="UPE"),
    odd("two statuses", raw(h2.HEADERS, h2.END_HEADERS, b"\x88\x88"), *OK, status=502, flags="UPE"),
    odd("a status that is no number", h2.headers({":status": "ok"}), *OK, status=502, flags="UPE"),
    odd("a header with capitals", h2.headers({":status": "200", "X-A": "b"}), *OK, status=502, flags="UPE"),
    odd("a connection header", h2.headers({":status": "200", "connection": "close"}), *OK, status=502, flags="UPE"),
    odd("a body before the head", h2.data(b"x"), *OK, status=502, flags="UPE"),
    odd("more than its length", h2.headers({":status": "200", "content-length": "1"}), h2.data(b"xx", end=True),
        status=200),
    odd("less than its length", h2.headers({":status": "200", "content-length": "3"}), h2.data(b"xx", end=True),
        status=200, complete=False, ignore=("body", "log:sent")),  # Envoy keeps back what has come
    odd("trailers that do not end it", HEAD, h2.headers({"x-t": "1"}), status=200, complete=False),
    odd("a frame on stream 0", raw(h2.DATA, 0, b"x", on_connection=True), status=502, flags="UPE"),
    odd("no block of HPACK", raw(h2.HEADERS, h2.END_HEADERS, b"\xff\xff\xff\xff\xff"), status=502, flags="UPE"),
    odd("interim, then reset", h2.headers({":status": "103", "link": "x"}), h2.rst(8), status=503),
    odd("interim, then refused", h2.headers({":status": "103", "link": "x"}), h2.rst(REFUSED), status=503, flags="UR"),
    odd("a timeout", data=get("/timeout"), status=504, flags="UT"),
    odd("trailers", HEAD, h2.data(b"ok"), h2.headers({"x-t": "1"}, end=True), status=200, body=b"ok"),
    odd("HEAD", h2.headers({":status": "200", "content-length": "2"}, end=True), data=get(method="HEAD"), status=200,
        headers={"content-length": "2"}, body=b""),
    odd("no content", h2.headers({":status": "204"}, end=True), status=204, body=b""),

    # Provably not processed. Envoy has no such rule, and no retry policy here.
    odd("refused once", h2.rst(REFUSED), then=[OK], status=503, flags="UR",
        details=f"{BEFORE}{{remote_refused_stream_reset}}", body=REASON + b"remote refused stream reset",
        differs={"status": 200, "body": b"ok", "flags": "-", "details": "via_upstream"}),
    odd("refused twice", h2.rst(REFUSED), then=[[h2.rst(REFUSED)]], status=503,
        differs={"flags": "UR,URX", "details": f"{BEFORE}{{remote_refused_stream_reset}}",
                 "body": REASON.replace(b"reset reason", b"retried and the latest reset reason") +
                 b"remote refused stream reset"}),
    odd("refused, then reset", h2.rst(REFUSED), then=[[h2.rst(8)]], status=503, flags="UR",
        differs={"details": f"{BEFORE}{{remote_reset}}"}),
    odd("goes away before this one", h2.goaway(0), then=[OK], status=503, flags="UR",
        differs={"status": 200, "body": b"ok", "flags": "-"}),
    odd("a body is sent again", h2.rst(REFUSED), then=[OK], data=post("/x", b"y" * 100000), status=503,
        differs={"status": 200, "body": b"ok"}),
    odd("up to 1 MiB", h2.rst(REFUSED), then=[OK], data=post("/x", b"y" * (1 << 20)), status=503,
        differs={"status": 200, "body": b"ok"}),
    odd("not more", h2.rst(REFUSED), then=[OK], data=post("/x", b"y" * ((1 << 20) + 1)), status=503, flags="UR"),
    odd("attempts are counted", h2.rst(REFUSED), then=[OK], data=get("/x", host="counting"), status=503,
        headers={"x-envoy-attempt-count": "1"}, differs={"status": 200, "headers": {"x-envoy-attempt-count": "2"}}),
]


@pytest.mark.differential
@pytest.mark.parametrize("item", CASES, ids=lambda item: item.name)
def test_odd_origin(duel, item):
    views = {}
    for flavour, _ in duel.each():
        PLACES["h2"].restart(item.script)
        outcome = duel.play(flavour, item)
        problems = check(outcome, duel.expected(flavour, item))
        assert not problems, f"{item.name} on {flavour}:\n  " + "\n  ".join(problems) + describe(outcome)
        views[flavour] = view(outcome, item.ignore)
    if len(views) > 1 and not item.differs:
        differences = diff(views["envoy"], views["nuncio"])
        assert not differences, f"{item.name}: envoy / nuncio\n  " + "\n  ".join(differences)


# What a replay costs and counts: nuncio alone.


def counted(proxy):
    names = ("", "_success", "_overflow", "_limit_exceeded")
    return [proxy.stat(f"cluster.h2.upstream_rq_retry{name}") for name in names]


@pytest.fixture
def one(tmp_path, flavours):
    """Starts nuncio; its access log is there as proxy.access_log."""
    if "nuncio" not in flavours:
        pytest.skip("nuncio's own")

    def start(**more):
        (tmp_path / "log").touch()
        proxy = Proxy("nuncio", {**bootstrap({}, tmp_path / "log"), **more})
        proxy.access_log = LogFile(tmp_path / "log")
        return proxy

    return start


def test_a_replay_is_counted(one):
    with one() as proxy, proxy.connect("l") as client:
        PLACES["h2"].restart([[h2.rst(REFUSED)], OK, [h2.rst(REFUSED)], [h2.rst(REFUSED)], OK])
        assert [client.get("/").status for _ in range(3)] == [200, 503, 200]
        assert counted(proxy) == [2, 1, 0, 1]


def test_streams_above_the_last_one_are_replayed_as_the_breaker_allows(one):
    """Four at once: the origin has looked at the first alone, and two retries are allowed at a time."""
    answer_first = [lambda stream, make=make: make(1) for make in OK]
    with one() as proxy:
        PLACES["h2"].restart([[], [], [], [h2.goaway(1), *answer_first], OK, OK])
        clients = [proxy.connect("l") for _ in range(4)]
        for number, client in enumerate(clients):
            client.send(get("/"))
            if number < 3:
                proxy.wait_stat("cluster.h2.upstream_rq_active", number + 1)
        got = [client.read_response() for client in clients]
        for client in clients:
            client.close()
        assert got[0].status == 200
        assert sorted(r.status for r in got) == [200, 200, 200, 503]
        assert counted(proxy) == [2, 2, 1, 0]
        assert [line["flags"] for line in proxy.access_log.read(4) if line["code"] == "503"] == ["UR,UO"]
        assert proxy.stat("cluster.h2.upstream_rq_total") == 6


def test_the_replay_can_be_switched_off(one):
    off = {"layers": [{"name": "static", "static_layer": {"nuncio.replay_unprocessed_streams": False}}]}
    with one(layered_runtime=off) as proxy, proxy.connect("l") as client:
        PLACES["h2"].restart([[h2.rst(REFUSED)], OK])
        assert client.get("/").status == 503
        assert counted(proxy) == [0, 0, 0, 0]


def test_an_origin_of_many_moods(one):
    """Refusals, resets, GOAWAYs and closes at random, bodies under way: every request is answered, and nothing stays."""
    moods = random.Random(7)
    answers = [OK] * 6 + [[h2.rst(REFUSED)]] * 4 + [[h2.rst(8)], [h2.goaway(0)], [h2.goaway(2**31 - 1), *OK],
                                                   [h2.close()], [HEAD, h2.rst(REFUSED)], [HEAD, h2.close()]]

    class Moody(list):
        def pop(self, _):
            return moods.choice(answers)

    def work(proxy, number, seen):
        sizes = random.Random(number)
        for _ in range(40):
            body = b"x" * sizes.choice((0, 1, 1000, 20000, 200000))
            with proxy.connect("l") as client:
                try:
                    seen.append(client.exchange(post("/x", body)).status)
                except (ConnectionEnded, ProtocolError):
                    seen.append(0)  # the answer had begun

    with one() as proxy:
        PLACES["h2"].restart([])
        PLACES["h2"].answers = Moody()
        seen = []
        workers = [threading.Thread(target=work, args=(proxy, n, seen)) for n in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        assert len(seen) == 320 and set(seen) <= {0, 200, 502, 503}, sorted(set(seen))
        assert seen.count(200) > 100
        assert counted(proxy)[0] > 20
        proxy.wait_stat("cluster.h2.upstream_rq_active", 0)
        proxy.wait_stat("cluster.h2.circuit_breakers.default.rq_retry_open", 0)
        proxy.wait_stat("http.ingress.downstream_rq_active", 0)
