"""Clusters: endpoints and their health, load balancing, priorities and localities, limits, DNS."""

import collections
import threading

import pytest

from harness import config as c
from harness.client import Client, request
from harness.differential import case, get
from harness.proxy import Proxy
from harness.upstream import Origin, Reply, hang
from harness.wait import wait_for

ORIGINS = ("a", "b", "d")


def locality(zone, *members, weight=None, priority=None):
    out = {"locality": {"zone": zone}, "lb_endpoints": list(members)}
    if weight is not None:
        out["load_balancing_weight"] = weight
    if priority is not None:
        out["priority"] = priority
    return out


def limits(**thresholds):
    return {"circuit_breakers": {"thresholds": [thresholds]}}


def policy(name, **more):
    url = f"type.googleapis.com/envoy.extensions.load_balancing_policies.{name}.v3."
    url += "".join(part.capitalize() for part in name.split("_"))
    return {"load_balancing_policy": {"policies": [
        {"typed_extension_config": {"name": f"any-name-{name}", "typed_config": {"@type": url, **more}}}]}}


def make_clusters(o):
    a, b, d = (o[n].port for n in ORIGINS)
    return [
        c.cluster("two", a, b), c.cluster("weighted", c.endpoint(a, weight=1), c.endpoint(b, weight=3)),
        c.cluster("least", a, b, lb_policy="LEAST_REQUEST"), c.cluster("random", a, b),
        c.cluster("rr-typed", a, b, **policy("round_robin")), c.cluster("least-typed", a, b, **policy("least_request")),
        c.cluster("random-typed", a, b, **policy("random")),
        c.cluster("draining", c.endpoint(a, health="DRAINING"), c.endpoint(b)),
        c.cluster("unhealthy", c.endpoint(a, health="UNHEALTHY"), c.endpoint(b)),
        c.cluster("timeout", c.endpoint(a, health="TIMEOUT"), c.endpoint(b)),
        # Healthy ones take all as long as there are enough of them: half of all is, with a factor of two.
        {**c.cluster("degraded"), "load_assignment": c.endpoints(
            "degraded", c.endpoint(a, health="DEGRADED"), c.endpoint(b, health="HEALTHY"),
            policy={"overprovisioning_factor": 200})},
        c.cluster("all-unhealthy", c.endpoint(a, health="UNHEALTHY")),
        c.cluster("all-unhealthy-no-panic", c.endpoint(a, health="UNHEALTHY"),
                  common_lb_config={"healthy_panic_threshold": {}}),
        c.cluster("panic", c.endpoint(a, health="UNHEALTHY"), c.endpoint(b, health="UNHEALTHY"), c.endpoint(d)),
        c.cluster("priorities", localities=[locality("x", c.endpoint(a)), locality("x", c.endpoint(b), priority=1)]),
        c.cluster("failover", localities=[
            locality("x", c.endpoint(a, health="UNHEALTHY")), locality("x", c.endpoint(b), priority=1)],
            common_lb_config={"healthy_panic_threshold": {}}),
        c.cluster("localities", localities=[locality("x", c.endpoint(a), weight=1), locality("y", c.endpoint(b), weight=3)],
                  common_lb_config={"locality_weighted_lb_config": {}}),
        c.cluster("no-connections", a, **limits(max_connections=0)),
        c.cluster("one-request", a, **limits(max_requests=1)),
        c.cluster("one-pending", a, **limits(max_connections=1, max_pending_requests=1)),
        {**c.cluster("strict-dns", c.endpoint(a, host="localhost")), "type": "STRICT_DNS", "dns_lookup_family": "V4_ONLY"},
        {**c.cluster("logical-dns", c.endpoint(a, host="localhost")), "type": "LOGICAL_DNS",
         "dns_lookup_family": "V4_ONLY"},
        {**c.cluster("dns-nowhere", c.endpoint(a, host="nowhere.invalid")), "type": "STRICT_DNS",
         "dns_refresh_rate": "60s"},
        c.cluster("max-requests", a, typed_extension_protocol_options=c.http_options(
            explicit_http_config={"http_protocol_options": {}},
            common_http_protocol_options={"max_requests_per_connection": 2})),
        c.cluster("idle", a, typed_extension_protocol_options=c.http_options(
            explicit_http_config={"http_protocol_options": {}}, common_http_protocol_options={"idle_timeout": "0.2s"})),
    ]


def bootstrap(origins, log):
    made = make_clusters(origins)
    table = [c.route({"path": f"/{one['name']}"}, one["name"]) for one in made]
    return c.static_bootstrap(
        [c.listener("l", c.hcm(c.routes("r", c.vhost("all", ["*"], *table)), log=log))], made)


CASES = [
    case("draining is left out", "/draining", status=200, origin="b"),
    case("unhealthy is left out", "/unhealthy", status=200, origin="b"),
    case("timed-out health is left out", "/timeout", status=200, origin="b"),
    case("degraded waits behind healthy", "/degraded", status=200, origin="b"),
    case("all unhealthy, panic", "/all-unhealthy", status=200, origin="a"),
    case("all unhealthy, no panic", "/all-unhealthy-no-panic", status=503, flags="UH"),
    case("first priority", "/priorities", status=200, origin="a"),
    case("failover to the next priority", "/failover", status=200, origin="b"),
    case("no connections allowed", "/no-connections"),
    case("STRICT_DNS", "/strict-dns", status=200, origin="a"),
    case("LOGICAL_DNS", "/logical-dns", status=200, origin="a"),
    case("name that does not resolve", "/dns-nowhere", status=503, flags="UH"),
]


@pytest.mark.differential
@pytest.mark.parametrize("item", CASES, ids=lambda item: item.name)
def test_cluster(duel, item):
    duel.run(item)


def each(duel):
    for flavour, proxy in duel.each():
        duel.forget()
        yield flavour, proxy, duel.origins


def shares(proxy, path, count):
    with proxy.connect("l") as client:
        return collections.Counter(client.get(path).text for _ in range(count))


@pytest.mark.parametrize("path, share, slack", [
    ("/two", 0.5, 0.01), ("/rr-typed", 0.5, 0.01), ("/weighted", 0.75, 0.02), ("/random", 0.5, 0.12),
    ("/random-typed", 0.5, 0.12), ("/least", 0.5, 0.12), ("/least-typed", 0.5, 0.12), ("/localities", 0.75, 0.02),
])
def test_share_of_b(duel, path, share, slack):
    """Round robin is exact; random choices stay within five sigmas."""
    for flavour, proxy, _ in each(duel):
        seen = shares(proxy, path, 400)
        assert set(seen) == {"a", "b"}, f"{flavour}: {seen}"
        assert abs(seen["b"] / 400 - share) <= slack, f"{flavour}: {seen}"


def test_panic_uses_all(duel):
    for flavour, proxy, _ in each(duel):
        assert set(shares(proxy, "/panic", 60)) == {"a", "b", "d"}, flavour


def test_least_request_avoids_the_busy_one(duel):
    """With requests stuck on one endpoint, new ones prefer the other."""
    for flavour, proxy, origins in each(duel):
        gate = threading.Event()
        origins["a"].on("/least", Reply(body=b"a", gate=gate))
        held = []

        def send():
            client = proxy.connect("l")
            held.append(client)
            client.send(get("/least"))
            wait_for(lambda: sum(len(o.requests) for o in origins.values()) == len(held), "the request arrives")

        try:
            while len(origins["a"].requests) < 3:
                send()
            before = len(origins["a"].requests)
            for _ in range(20):
                send()
            # The choice is the better of two random picks: only when both fall on the busy one is it taken.
            busy = len(origins["a"].requests) - before
            assert busy <= 14, f"{flavour}: {busy} of 20 went to the busy endpoint"
        finally:
            gate.set()
            for client in held:
                client.close()


def test_max_requests_breaks(duel):
    for flavour, proxy, origins in each(duel):
        gate = threading.Event()
        origins["a"].on("/one-request", Reply(body=b"a", gate=gate))
        with proxy.connect("l") as first, proxy.connect("l") as second:
            first.send(get("/one-request"))
            origins["a"].wait_requests(1)
            refused = second.get("/one-request")
            assert refused.status == 503, flavour
            assert refused.header("x-envoy-overloaded") == "true", flavour
            assert b"overflow" in refused.body, flavour
            gate.set()
            assert first.read_response().status == 200, flavour
            assert second.get("/one-request").status == 200, flavour
        assert proxy.stat("cluster.one-request.upstream_rq_active_overflow") == 1, flavour


def test_max_pending_breaks(duel):
    """One connection, one request waiting for it, the third is refused."""
    for flavour, proxy, origins in each(duel):
        gate = threading.Event()
        origins["a"].on("/one-pending", Reply(body=b"a", gate=gate))
        with proxy.connect("l") as first, proxy.connect("l") as second, proxy.connect("l") as third:
            first.send(get("/one-pending"))
            origins["a"].wait_requests(1)
            second.send(get("/one-pending"))
            proxy.wait_stat("cluster.one-pending.upstream_rq_pending_active", 1)
            refused = third.get("/one-pending")
            assert (refused.status, refused.header("x-envoy-overloaded")) == (503, "true"), flavour
            gate.set()
            assert [first.read_response().status, second.read_response().status] == [200, 200], flavour
        assert len({r.connection for r in origins["a"].take()}) == 1, flavour
        assert proxy.stat("cluster.one-pending.upstream_cx_overflow") >= 1, flavour


def test_waiting_request_is_dropped_with_its_client(duel):
    for flavour, proxy, origins in each(duel):
        gate = threading.Event()
        origins["a"].on("/one-pending", Reply(body=b"a", gate=gate))
        with proxy.connect("l") as first:
            first.send(get("/one-pending"))
            origins["a"].wait_requests(1)
            second = proxy.connect("l")
            second.send(get("/one-pending"))
            proxy.wait_stat("cluster.one-pending.upstream_rq_pending_active", 1)
            second.close()
            proxy.wait_stat("cluster.one-pending.upstream_rq_pending_active", 0)
            gate.set()
            assert first.read_response().status == 200, flavour
        assert len(origins["a"].take()) == 1, flavour


def test_max_requests_per_upstream_connection(duel):
    for flavour, proxy, origins in each(duel):
        with proxy.connect("l") as client:
            for _ in range(6):
                assert client.get("/max-requests").status == 200, flavour
        counts = collections.Counter(r.connection for r in origins["a"].take())
        assert sorted(counts.values()) == [2, 2, 2], flavour


def test_idle_upstream_connection_is_closed(duel):
    for flavour, proxy, _ in each(duel):
        with proxy.connect("l") as client:
            assert client.get("/idle").status == 200, flavour
        proxy.wait_stat("cluster.idle.upstream_cx_active", 0, 5)
        assert proxy.stat("cluster.idle.upstream_cx_idle_timeout") == 1, flavour


def test_stats_of_a_cluster(duel):
    wanted = ("upstream_cx_total", "upstream_rq_total", "upstream_rq_completed", "upstream_rq_2xx", "upstream_rq_200",
              "membership_total", "membership_healthy")
    for flavour, proxy, _ in each(duel):
        before = {n: proxy.stat(f"cluster.priorities.{n}") for n in wanted}
        with proxy.connect("l") as client:
            assert client.get("/priorities").status == 200
        after = {n: proxy.stat(f"cluster.priorities.{n}") for n in wanted}
        for name in ("upstream_rq_total", "upstream_rq_completed", "upstream_rq_2xx", "upstream_rq_200"):
            assert after[name] == before[name] + 1, f"{flavour} {name}"
        assert (after["membership_total"], after["membership_healthy"]) == (2, 2), flavour


# Endpoints over EDS.


@pytest.fixture
def eds(flavour, delta, ads):
    with Origin("a") as a, Origin("b") as b:
        ads.set("cds", c.eds_cluster("c"))
        ads.set("eds", c.endpoints("c", a.port))
        ads.set("lds", c.listener("l", c.hcm(c.simple_routes("r", "c"))))
        with Proxy(flavour, c.ads_bootstrap(ads.port, delta=delta)) as proxy:
            yield proxy, ads, a, b


def push(ads, kind, *resources, **kwargs):
    mark = ads.mark()
    ads.set(kind, *resources, **kwargs)
    ads.wait_ack(kind, mark)


def test_endpoints_move(eds):
    proxy, ads, a, b = eds
    with proxy.connect() as client:
        assert client.get("/").text == "a"
        push(ads, "eds", c.endpoints("c", b.port))
        proxy.wait_stat("cluster.c.membership_change", 2)
        assert client.get("/").text == "b"
    a.wait_open(0)


def test_removed_endpoint_finishes_its_request(eds):
    proxy, ads, a, b = eds
    gate = threading.Event()
    a.next(Reply(gate=gate, body=b"finished"))
    with proxy.connect() as client:
        client.send(request())
        a.wait_requests(1)
        push(ads, "eds", c.endpoints("c", b.port))
        with proxy.connect() as other:
            assert other.get("/").text == "b"
        gate.set()
        assert client.read_response().body == b"finished"


def test_endpoints_go_away_altogether(eds):
    proxy, ads, a, _ = eds
    with proxy.connect() as client:
        push(ads, "eds", c.endpoints("c"))
        proxy.wait_stat("cluster.c.membership_total", 0)
        response = client.get("/")
        assert (response.status, response.body) == (503, b"no healthy upstream")
        push(ads, "eds", c.endpoints("c", a.port))
        proxy.wait_stat("cluster.c.membership_total", 1)
        assert client.get("/").text == "a"


def test_health_changes_over_eds(eds):
    proxy, ads, a, b = eds
    push(ads, "eds", c.endpoints("c", a.port, b.port))
    proxy.wait_stat("cluster.c.membership_total", 2)
    push(ads, "eds", c.endpoints("c", c.endpoint(a.port, health="UNHEALTHY"), b.port))
    proxy.wait_stat("cluster.c.membership_healthy", 1)
    with proxy.connect() as client:
        assert {client.get("/").text for _ in range(10)} == {"b"}


def test_unchanged_endpoints_keep_their_connections(eds):
    proxy, ads, a, b = eds
    with proxy.connect() as client:
        assert client.get("/").text == "a"
        push(ads, "eds", c.endpoints("c", a.port, c.endpoint(b.port, health="UNHEALTHY")))
        proxy.wait_stat("cluster.c.membership_total", 2)
        assert client.get("/").text == "a"
    assert len({r.connection for r in a.take()}) == 1


def test_changed_cluster_keeps_serving(eds):
    """Another connect timeout: the endpoints are the ones that were sent before; nobody sends them again."""
    proxy, ads, a, _ = eds
    stop = threading.Event()
    failed = []

    def ask():
        with Client(proxy.address()) as client:
            while not stop.is_set():
                response = client.get("/")
                if response.status != 200:
                    failed.append(response)

    thread = threading.Thread(target=ask)
    thread.start()
    for timeout in range(2, 8):
        ads.set("cds", c.eds_cluster("c", connect_timeout=f"{timeout}s"))
        ads.set("eds", c.endpoints("c", a.port, policy={"overprovisioning_factor": 140 + timeout}))
    ads.wait_ack("cds", timeout=20)
    stop.set()
    thread.join()
    assert failed == []


def test_request_in_flight_outlives_its_cluster(eds):
    proxy, ads, a, b = eds
    gate = threading.Event()
    a.next(Reply(gate=gate, body=b"finished"))
    with proxy.connect() as client:
        client.send(request())
        a.wait_requests(1)
        push(ads, "cds", c.cluster("other", b.port), replace=True)
        proxy.wait_stat("cluster_manager.cluster_removed", 1)
        gate.set()
        assert client.read_response().body == b"finished"


def test_hanging_requests_end_with_the_proxy(eds):
    """A proxy that is told to quit does not wait for an origin that never answers."""
    proxy, _, a, _ = eds
    a.next(hang())
    client = proxy.connect()
    client.send(request())
    a.wait_requests(1)
    proxy.admin("/quitquitquit", "POST")
    assert proxy.wait_exit(10) == 0
    client.close()
