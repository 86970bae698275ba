"""common_http_protocol_options and the timeouts of connections, requests and streams: what is counted, what the client
is told, when its connection goes. Slow clients (faults.md, 8) and names with underscores (23) among it."""


import pytest

from harness import config as c
from harness import h2raw as h2
from harness import upstream as up
from harness.differential import case, get

COMMON = "common_http_protocol_options"
VARIANTS = {
    "plain": {},
    "reject": {COMMON: {"headers_with_underscores_action": "REJECT_REQUEST"}},
    "drop": {COMMON: {"headers_with_underscores_action": "DROP_HEADER"}},
    "few-headers": {COMMON: {"max_headers_count": 5}},
    "small-headers": {"max_request_headers_kb": 1},
    "two-requests": {COMMON: {"max_requests_per_connection": 2}, "drain_timeout": "0.2s"},
    "old-connections": {COMMON: {"max_connection_duration": "0.3s"}, "drain_timeout": "0.2s"},
    "old-safe": {COMMON: {"max_connection_duration": "0.3s"}, "drain_timeout": "0.1s",
                 "http1_safe_max_connection_duration": True},
    "idle": {COMMON: {"idle_timeout": "0.3s"}, "drain_timeout": "0.1s"},
    "short-stream": {COMMON: {"max_stream_duration": "0.3s"}},
    "late-head": {"request_headers_timeout": "0.3s"},
    "late-request": {"request_timeout": "0.3s"},
    "silent": {"stream_idle_timeout": "0.3s"},
    "old-client": {"http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "elder"}},
    "old-client-no-host": {"http_protocol_options": {"accept_http_10": True}},
}
UPSTREAM = {
    "kb": {"max_response_headers_kb": 1},
    "large": {"max_response_headers_kb": 200},
    "usual": {},
    "count": {"max_headers_count": 5},
    "underscores": {"headers_with_underscores_action": "REJECT_REQUEST"},
    "reqs": {"max_requests_per_connection": 1},
    "old": {"max_connection_duration": "0.2s"},
    "idle": {"idle_timeout": "0.2s"},
    "stream": {"max_stream_duration": "0.2s"},
}


def bootstrap(origins, log):
    table = c.routes("r", c.vhost("all", ["*"], c.route("/", {"cluster": "a", "timeout": "0s"})))
    more = {"delayed_close_timeout": "0.2s"}
    clusters = [c.cluster(name, origins["a"].port, typed_extension_protocol_options=c.http_options(
        explicit_http_config={"http_protocol_options": {}}, **{COMMON: options})) for name, options in UPSTREAM.items()]
    to_them = c.routes("clusters", c.vhost("all", ["*"], *(c.route("/" + name, name) for name in UPSTREAM)))
    unread = c.routes("unread", c.vhost(
        "all", ["*"], c.route("/patient", {"cluster": "a", "flush_timeout": "0s"}),
        c.route("/impatient", {"cluster": "a", "flush_timeout": "0.3s"}),
        c.route("/idle", {"cluster": "a", "idle_timeout": "0.3s"}), c.route("/", "a")))
    flushes = {"flush": {"stream_flush_timeout": "0.3s"}, "no-flush": {}, "flush-patient": {"stream_flush_timeout": "60s"}}
    return c.static_bootstrap(
        [*(c.listener(name, c.hcm(unread, stat_prefix=name, log=log, **options)) for name, options in flushes.items()),
         c.listener("clusters", c.hcm(to_them, stat_prefix="clusters", log=log)),
         *(c.listener(name, c.hcm(table, stat_prefix=name, log=log, **more, **options))
           for name, options in VARIANTS.items())],
        [c.cluster("a", origins["a"].port), *clusters])


def moved(duel, names, play):
    """What play(proxy, flavour) makes of the counters, and its result, of each proxy; must be one."""
    seen = {}
    for flavour, proxy in duel.each():
        before = {n: proxy.stat(n) or 0 for n in names}
        result = play(proxy, flavour)
        deltas = {n: (proxy.stat(n) or 0) - before[n] for n in names}
        seen[flavour] = (result, deltas)
    assert len({repr(s) for s in seen.values()}) == 1, seen
    return next(iter(seen.values()))


def counters(listener, *names):
    return [f"http.{listener}.{name}" for name in names]


# --- names with underscores -----------------------------------------------------------------------------------------

UNDERSCORED = {
    "one": [("x_role", "admin")],
    "beside": [("x-role", "user"), ("x_role", "admin")],
    "several": [("a_b", "1"), ("c_d", "2"), ("_e", "3")],
    "none": [("x-role", "user")],
}


@pytest.mark.differential
@pytest.mark.parametrize("fields", UNDERSCORED)
@pytest.mark.parametrize("listener", ["plain", "reject", "drop"])
def test_underscores(duel, listener, fields):
    names = ["http1.dropped_headers_with_underscores", "http1.requests_rejected_with_underscores_in_headers"]

    def play(proxy, flavour):
        outcome = duel.play(flavour, case("underscores", get(headers=UNDERSCORED[fields]), listener=listener))
        seen = [n for r in outcome.requests for n, _ in r.headers if n == "x-role" or "_" in n]
        return outcome.response.status, seen, outcome.log[0]["details"]

    (status, seen, _), counted = moved(duel, names, play)
    hostile = fields != "none"
    assert status == (400 if listener == "reject" and hostile else 200)
    if listener != "plain":
        assert not [n for n in seen if "_" in n]
    dropped = {"one": 1, "beside": 1, "several": 3, "none": 0}[fields]
    assert list(counted.values()) == [dropped if listener == "drop" else 0, int(hostile and listener == "reject")]


@pytest.mark.differential
@pytest.mark.parametrize("listener", ["plain", "reject", "drop"])
def test_underscores_over_http2(duel, listener):
    names = ["http2.dropped_headers_with_underscores", "http2.requests_rejected_with_underscores_in_headers"]

    def play(proxy, flavour):
        duel.forget()
        with h2.RawH2(proxy.address(listener)) as raw:
            raw.send(h2.headers(1, (*h2.GET, ("x_role", "admin"))))
            answer = raw.response(1)
        return answer[0], [n for r in duel.origins["a"].take() for n, _ in r.headers if "_" in n]

    moved(duel, names, play)


# --- sizes ----------------------------------------------------------------------------------------------------------

SIZES = [
    case("five headers", get(headers=[(f"x-{i}", "1") for i in range(4)]), listener="few-headers", status=200),
    case("six headers", get(headers=[(f"x-{i}", "1") for i in range(5)]), listener="few-headers", status=431),
    case("many headers", get(headers=[(f"x-{i}", "1") for i in range(90)]), listener="few-headers", status=431),
    case("small head", get(headers=[("x", "y" * 800)]), listener="small-headers", status=200),
    case("large head", get(headers=[("x", "y" * 1100)]), listener="small-headers", status=431),
    case("long target", get("/" + "y" * 1100), listener="small-headers", status=431),
]


@pytest.mark.differential
@pytest.mark.parametrize("item", SIZES, ids=lambda item: item.name)
def test_sizes(duel, item):
    item.ignore = ("log:sent", "log:received", "log:method", "log:path", "log:authority", "log:protocol")
    duel.run(item)


# --- connections ----------------------------------------------------------------------------------------------------

def exchange(client, *args):
    """The status, and whether the client is told that the connection ends."""
    response = client.get("/", *args)
    return response.status, response.header("connection")


@pytest.mark.differential
def test_requests_per_connection(duel):
    def play(proxy, _):
        with proxy.connect("two-requests") as client:
            got = exchange(client), exchange(client)
            return got, client.is_closed(3.0)

    got, counted = moved(duel, counters("two-requests", "downstream_cx_max_requests_reached",
                                        "downstream_rq_completed"), play)
    assert got == (((200, None), (200, "close")), True)
    assert list(counted.values()) == [1, 2]


@pytest.mark.differential
def test_requests_per_http2_connection(duel):
    def play(proxy, _):
        with h2.RawH2(proxy.address("two-requests")) as raw:
            raw.send(h2.headers(1))
            first = raw.response(1)[0]
            raw.send(h2.headers(3))
            second = raw.response(3)[0]
            return first, second, [f.kind for f in raw.rest(8.0) if f.kind == h2.GOAWAY] != []

    got, _ = moved(duel, counters("two-requests", "downstream_cx_max_requests_reached"), play)
    assert got == (200, 200, True)


@pytest.mark.differential
def test_an_old_connection_drains(duel):
    def play(proxy, _):
        before = proxy.stat("http.old-connections.downstream_cx_max_duration_reached")
        with proxy.connect("old-connections") as client:
            first = exchange(client)
            proxy.wait_stat("http.old-connections.downstream_cx_max_duration_reached", before + 1)
            return first, client.is_closed(5.0)  # after the drain time

    got, _ = moved(duel, counters("old-connections", "downstream_cx_max_duration_reached"), play)
    assert got == ((200, None), True)


@pytest.mark.differential
def test_an_old_connection_waits_for_a_response_to_say_so(duel):
    gauge = "http.old-safe.downstream_cx_http1_soft_drain"

    def play(proxy, _):
        with proxy.connect("old-safe") as client:
            first = exchange(client)
            proxy.wait_stat(gauge, 1)
            still_open = not client.is_closed(0.4)  # far beyond the drain time
            second = exchange(client)
            closed = client.is_closed(5.0)
        proxy.wait_stat(gauge, 0)
        return first, still_open, second, closed

    got, _ = moved(duel, counters("old-safe", "downstream_cx_max_duration_reached", "downstream_cx_drain_close"), play)
    assert got == ((200, None), True, (200, "close"), True)


@pytest.mark.differential
@pytest.mark.parametrize("used", [False, True], ids=["unused", "used"])
def test_idle_connections(duel, used):
    def play(proxy, _):
        with proxy.connect("idle") as client:
            got = exchange(client) if used else None
            return got, client.is_closed(5.0)

    got, counted = moved(duel, counters("idle", "downstream_cx_idle_timeout"), play)
    assert got[1] and list(counted.values()) == [1]


# --- requests -------------------------------------------------------------------------------------------------------

HEAD = b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\n"
LATE = {
    # listener: (what is sent, the status, what counts)
    "late-head": (HEAD[:20], 408, "downstream_rq_header_timeout"),
    "late-request": (HEAD + b"12345", 408, "downstream_rq_timeout"),
    "short-stream": (HEAD + b"12345", 408, "downstream_rq_max_duration_reached"),
    "silent": (HEAD + b"12345", 408, "downstream_rq_idle_timeout"),
}


@pytest.mark.differential
@pytest.mark.parametrize("listener", LATE)
def test_late_requests(duel, listener):
    data, status, counter = LATE[listener]

    def play(proxy, flavour):
        log = duel.logs[flavour]
        log.skip()
        with proxy.connect(listener) as client:
            client.send(data)
            response = client.read_response("POST")
            closed = client.is_closed(5.0)
        line = log.read(1)[0]
        return response.status, response.body, response.header("connection"), closed, line["flags"], line["details"]

    got, counted = moved(duel, counters(listener, counter), play)
    assert got[0] == status and list(counted.values()) == [1]


@pytest.mark.differential
@pytest.mark.parametrize("listener", ["short-stream", "silent"])
def test_late_responses(duel, listener):
    duel.run(case("late", get("/"), listener=listener, action=up.hang(), status=504,
                  flags="-" if listener == "short-stream" else "SI"))


# --- HTTP/1.0 -------------------------------------------------------------------------------------------------------

OLD = [
    case("1.0 without a host", b"GET /x HTTP/1.0\r\n\r\n", listener="old-client", status=200, host="elder"),
    case("1.0 with a host", b"GET /x HTTP/1.0\r\nhost: own\r\n\r\n", listener="old-client", status=200, host="own"),
    case("1.0 without any", b"GET /x HTTP/1.0\r\n\r\n", listener="old-client-no-host", status=400),
    case("1.1 without a host", b"GET /x HTTP/1.1\r\n\r\n", listener="old-client", status=400),
    case("1.0 refused", b"GET /x HTTP/1.0\r\nhost: own\r\n\r\n", listener="plain", status=426),
    case("1.0 kept", b"GET /x HTTP/1.0\r\nhost: own\r\nconnection: keep-alive\r\n\r\n", listener="old-client",
         status=200, closed=False),
]


@pytest.mark.differential
@pytest.mark.parametrize("item", OLD, ids=lambda item: item.name)
def test_http_10(duel, item):
    item.ignore = ("log:protocol", "log:sent", "log:method", "log:path")
    duel.run(item)


# --- the same options of a cluster ------------------------------------------------------------------------------------

SMALL = 1 << 10
RESPONSES = [
    # cluster, bytes of a header, how many, status
    ("kb", SMALL // 2, 1, 200), ("kb", SMALL + 500, 1, 502), ("large", 90_000, 1, 200), ("large", 300_000, 1, 502),
    ("usual", 70_000, 1, 200), ("usual", 90_000, 1, 502), ("count", 10, 2, 200), ("count", 10, 6, 502),
    ("underscores", 1, 1, 200),
]


@pytest.mark.differential
@pytest.mark.parametrize("cluster, size, count, status", RESPONSES)
def test_response_heads(duel, cluster, size, count, status):
    name = "x_y" if cluster == "underscores" else "x-y"  # names in responses are the upstream's business
    reply = up.Reply(headers=[(f"{name}-{i}", "y" * size) for i in range(count)])
    duel.run(case("response", get("/" + cluster), listener="clusters", action=reply, status=status))


@pytest.mark.differential
@pytest.mark.parametrize("cluster, counter, total", [
    ("reqs", "upstream_cx_max_requests", 1), ("old", "upstream_cx_max_duration_reached", 1),
    ("idle", "upstream_cx_idle_timeout", 1)])
def test_connections_to_the_upstream(duel, cluster, counter, total):
    for flavour, proxy in duel.each():
        duel.play(flavour, case("one", get("/" + cluster), listener="clusters"))
        proxy.wait_stat(f"cluster.{cluster}.{counter}", total)
        proxy.wait_stat(f"cluster.{cluster}.upstream_cx_active", 0)


@pytest.mark.differential
def test_a_stream_to_the_upstream_that_lasts(duel):
    duel.run(case("late", get("/stream"), listener="clusters", action=up.hang(), status=504, flags="UMSDR"))


# --- responses that the client does not read --------------------------------------------------------------------------

FLUSH = [("flush", "/", True), ("flush", "/patient", False), ("no-flush", "/", False), ("no-flush", "/impatient", True),
         ("no-flush", "/idle", False), ("flush-patient", "/idle", False)]


@pytest.mark.differential
@pytest.mark.parametrize("listener, target, reset", FLUSH, ids=[f"{n} {t}" for n, t, _ in FLUSH])
def test_a_response_that_is_not_read(duel, listener, target, reset):
    """Complete here, but the client's window is closed: how long that may last is the route's say, or the manager's."""

    def play(proxy, _):
        with h2.RawH2(proxy.address(listener), **{f"s{h2.INITIAL_WINDOW_SIZE}": 0}) as raw:
            raw.send(h2.headers(1, (*h2.GET[:3], (":path", target))))
            raw.wait(h2.HEADERS, 1)
            return (raw.wait(h2.RST_STREAM, 1, timeout=5.0 if reset else 0.7) is not None) == reset

    got, counted = moved(duel, ["http2.tx_flush_timeout"], play)
    assert got and list(counted.values()) == [int(reset)]
