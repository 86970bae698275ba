"""The control-plane stream: what is asked, acknowledged and refused; reconnects; what is applied and when."""

import time

import pytest

from harness import config as c
from harness.client import Client
from harness.proxy import Proxy
from harness.upstream import Origin
from harness.wait import wait_for


@pytest.fixture
def origin():
    with Origin("a") as made:
        yield made


@pytest.fixture
def start(flavour, delta, ads):
    """start(**bootstrap arguments) runs a proxy on the management server."""
    running = []

    def run(ready=True, args=(), **kwargs):
        proxy = Proxy(flavour, c.ads_bootstrap(ads.port, delta=delta, **kwargs), ready=ready, args=args)
        running.append(proxy)
        return proxy.start()

    yield run
    for proxy in running:
        proxy.stop()


def direct_routes(name, body):
    return c.routes(name, c.vhost("all", ["*"], c.direct("/", 200, body)))


def serve(ads, origin):
    """A listener over RDS to a cluster over EDS."""
    ads.set("cds", c.eds_cluster("c"))
    ads.set("eds", c.endpoints("c", origin.port))
    ads.set("rds", c.simple_routes("r", "c"))
    ads.set("lds", c.listener("l", c.hcm(rds="r")))


def status(proxy, target="/"):
    with proxy.connect("l") as client:
        return client.get(target).status


def text(proxy, target="/"):
    with proxy.connect("l") as client:
        return client.get(target).text


# Asking.


def test_first_requests(start, ads, delta, origin):
    serve(ads, origin)
    start()
    first = ads.wait_request("cds")
    node = first["node"]
    assert (node["id"], node["cluster"], node["user_agent_name"]) == ("test-node", "test-cluster", "envoy")
    assert node["user_agent_build_version"]["version"]
    assert not first.get("version") and not first.get("nonce")
    # The wildcard is asked for by naming nothing (or, newer, "*").
    assert (first.get("names") or first.get("subscribe") or ["*"]) == ["*"]
    rest = [e for e in ads.log() if e["kind"] == "request" and e["seq"] > first["seq"]]
    assert not any("node" in e for e in rest), "set_node_on_first_message_only"
    (opened,) = [e for e in ads.log() if e["kind"] == "open"]
    name = "DeltaAggregatedResources" if delta else "StreamAggregatedResources"
    assert opened["method"] == f"/envoy.service.discovery.v3.AggregatedDiscoveryService/{name}"
    assert opened["metadata"][":authority"] == ["ads"]


def test_node_flags_win(start, ads):
    ads.set("cds", c.cluster("c"))
    start(ready=False, args=["--service-node", "flag-node", "--service-cluster", "flag-cluster",
                             "--service-zone", "flag-zone"])
    node = ads.wait_request("cds")["node"]
    assert (node["id"], node["cluster"], node["locality"]["zone"]) == ("flag-node", "flag-cluster", "flag-zone")


def test_node_metadata_and_initial_metadata(start, ads):
    ads.set("cds", c.cluster("c"))
    start(ready=False, node={"metadata": {"ROLE": "edge", "n": 1, "list": ["a", {"b": True}]},
                             "locality": {"region": "r", "zone": "z"}},
          ads_config={"grpc_services": [{"envoy_grpc": {"cluster_name": "ads"},
                                         "initial_metadata": [{"key": "x-token", "value": "secret"}]}]})
    node = ads.wait_request("cds")["node"]
    assert node["metadata"] == {"ROLE": "edge", "n": 1, "list": ["a", {"b": True}]}
    assert node["locality"] == {"region": "r", "zone": "z"}
    (opened,) = [e for e in ads.log() if e["kind"] == "open"]
    assert opened["metadata"]["x-token"] == ["secret"]


def test_lds_is_asked_for_after_cds(start, ads, origin):
    """Listeners are fetched once the clusters are there, so that a first request finds its cluster."""
    serve(ads, origin)
    start()
    order = [e["type_url"] for e in ads.log() if e["kind"] == "request"]
    assert order.index(c.CLUSTER) < order.index(c.LISTENER)
    assert status_of_first_request_is_good(ads)


def status_of_first_request_is_good(ads):
    return all(not e.get("error") for e in ads.log() if e["kind"] == "request")


def test_named_subscriptions_follow_use(start, ads, delta, origin):
    ads.set("cds", c.eds_cluster("c1"), c.eds_cluster("c2", service_name="other-name"))
    ads.set("eds", c.endpoints("c1", origin.port), c.endpoints("other-name", origin.port))
    ads.set("lds", c.listener("l", c.hcm(rds="r")))
    ads.set("rds", c.simple_routes("r", "c1"))
    start()
    if delta:
        asked = {n for e in ads.requests("eds") for n in e.get("subscribe") or []}
    else:
        asked = set(ads.requests("eds")[-1]["names"])
    assert asked == {"c1", "other-name"}
    mark = ads.mark()
    ads.set("cds", remove=["c2"])
    if delta:
        ads.wait_request("eds", lambda e: e.get("unsubscribe") == ["other-name"], "an unsubscribe", mark)
    else:
        ads.wait_request("eds", lambda e: e.get("names") == ["c1"], "the shorter list", mark)


def test_acks_carry_version_and_nonce(start, ads, delta, origin):
    serve(ads, origin)
    start()
    for kind in ("cds", "eds", "lds", "rds"):
        ack = ads.wait_ack(kind)
        (response,) = ads.responses(kind)
        assert ack["nonce"] == response["nonce"]
        if not delta:
            assert ack["version"] == response["version"]


# Refusing.


BAD_CLUSTER = {"name": "bad", "type": "STATIC", "connect_timeout": "1s", "lb_policy": "CLUSTER_PROVIDED"}


def test_one_bad_cluster_does_not_block_the_good(start, ads, origin):
    serve(ads, origin)
    proxy = start()
    mark = ads.mark()
    ads.set("cds", BAD_CLUSTER, c.cluster("good", origin.port))
    nack = ads.wait_nack("cds", mark)
    assert "bad" in nack["error"]
    assert "good" not in nack["error"].replace("good and", "")
    assert nack["code"] != 0
    proxy.wait_stat("cluster.good.membership_total", 1)
    assert status(proxy) == 200
    assert proxy.stat("cluster_manager.cds.update_rejected") >= 1


def test_nack_keeps_the_last_good_version(start, ads, delta, origin):
    serve(ads, origin)
    proxy = start()
    good = ads.wait_ack("rds")
    mark = ads.mark()
    ads.set("rds", c.routes("r", c.vhost("v", ["*"], c.direct("/", 200, "x")), c.vhost("v", ["*"])))
    nack = ads.wait_nack("rds", mark)
    assert "r" in nack["error"]
    if not delta:
        assert nack.get("version") == good.get("version")
    assert status(proxy) == 200
    mark = ads.mark()
    ads.set("rds", direct_routes("r", "fixed"))
    ads.wait_ack("rds", mark)
    wait_for(lambda: text(proxy) == "fixed", "the good table")


@pytest.mark.parametrize("kind, bad", [
    ("cds", {"name": "", "type": "STATIC", "connect_timeout": "1s"}),
    ("cds", {"name": "x", "type": "STATIC", "connect_timeout": "-1s"}),
    ("cds", {"name": "x", "type": "EDS", "connect_timeout": "1s"}),
    ("rds", c.routes("r", c.vhost("", ["*"]))),
    ("rds", c.routes("r", c.vhost("v", []))),
    ("rds", c.routes("r", c.vhost("v", ["*"], {"match": {"prefix": "/"}}))),
    ("rds", c.routes("r", c.vhost("v", ["*"], c.route({}, "c")))),
    ("rds", c.routes("r", c.vhost("v", ["*"], c.route({"safe_regex": {"regex": "("}}, "c")))),
    ("rds", c.routes("r", c.vhost("v", ["*"]), c.vhost("w", ["*"]))),
    ("rds", c.routes("r", c.vhost("v", ["*"], c.direct("/", 99)))),
    ("rds", c.routes("r", c.vhost("v", ["*"], c.route("/", {"weighted_clusters": {"clusters": [
        {"name": "c", "weight": 0}]}})))),
    ("eds", c.endpoints("c", localities=[{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {
        "address": "not-an-ip", "port_value": 1}}}}]}])),
    ("eds", c.endpoints("c", localities=[{"lb_endpoints": [{"endpoint": {}}]}])),
    ("eds", c.endpoints("c", c.endpoint(1), localities=[
        {"priority": 129, "lb_endpoints": [c.endpoint(1)]}])),
], ids=lambda value: value if isinstance(value, str) else "")
def test_invalid_resource_is_refused(start, ads, origin, kind, bad):
    serve(ads, origin)
    proxy = start()
    ads.wait_ack("rds")
    mark = ads.mark()
    ads.set(kind, bad)
    assert ads.wait_nack(kind, mark)["error"]
    assert status(proxy) == 200


def raw(start, ads, **kwargs):
    """A proxy on a server that answers nothing by itself; the first CDS request is there."""
    ads.reset("raw")
    proxy = start(ready=False, **kwargs)
    ads.wait_request("cds")
    return proxy


def send(ads, delta, kind, resources, nonce, version="1"):
    if delta:
        ads.send_delta(kind, resources, nonce=nonce, version=version)
    else:
        ads.send_response(kind, resources, nonce=nonce, version=version)


def answered(ads, nonce):
    return ads.wait_event(lambda e: e["kind"] == "request" and e.get("nonce") == nonce, f"an answer to {nonce}")


def test_garbage_on_the_stream(start, ads, delta, flavour):
    """Bytes that are no protobuf end the stream at most; the proxy connects again."""
    proxy = raw(start, ads)
    mark = ads.mark()
    ads.send_bytes(b"\xff\xff\xff\xff\x00garbage" * 10)
    ads.wait_request("cds", since=mark, what="a new start", timeout=15)
    send(ads, delta, "cds", [c.cluster("c")], "after")
    assert not answered(ads, "after").get("error")
    assert proxy.is_running()


def test_unknown_type_url(start, ads, delta):
    """A response for a type that nobody asked for is ignored, and does no harm."""
    proxy = raw(start, ads)
    if delta:
        ads.send_delta("type.googleapis.com/google.protobuf.Struct", nonce="odd")
    else:
        ads.send_response("type.googleapis.com/google.protobuf.Struct", [], nonce="odd")
    send(ads, delta, "cds", [c.cluster("c")], "good")
    assert not answered(ads, "good").get("error")
    assert proxy.is_running()


def length(data):
    """How long that is, as a varint."""
    size, out = len(data), bytearray()
    while size > 127:
        out.append(size & 127 | 128)
        size >>= 7
    out.append(size)
    return bytes(out)


def field(number, data):
    """A length-delimited field on the wire."""
    return bytes([number << 3 | 2]) + length(data) + data


def response_bytes(delta, url, value, nonce, name="x"):
    """A whole response with one resource of those bytes."""
    holder = field(1, url.encode()) + field(2, value)
    if delta:
        inner = field(3, name.encode()) + field(1, b"1") + field(2, holder)
        return field(1, b"1") + field(2, inner) + field(4, url.encode()) + field(5, nonce.encode())
    return field(1, b"1") + field(2, holder) + field(4, url.encode()) + field(5, nonce.encode())


def nested(depth):
    """A field 1 inside a field 1 inside ...: deeper than any parser should follow."""
    out = b""
    for _ in range(depth):
        out = field(1, out)
    return out


@pytest.mark.parametrize("value, has_name", [
    (b"\xff\xff\xff", False), (b"\x0a\x05ab", False), (b"\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", False),
    (b"\x0a\x01x\xe2\x01\x02\xff\xfe", True), (b"\x0a\x01x\x1a" + length(nested(5000)) + nested(5000), True),
], ids=["no field", "cut short", "endless varint", "bad UTF-8", "deep nesting"])
def test_undecodable_resource(start, ads, delta, flavour, value, has_name):
    proxy = raw(start, ads)
    send(ads, delta, "cds", [c.cluster("kept")], "first")
    assert not answered(ads, "first").get("error")
    proxy.wait_stat("cluster_manager.active_clusters", 2)
    ads.send_bytes(response_bytes(delta, c.CLUSTER, value, "bad"))
    assert answered(ads, "bad").get("error")
    # A response with a member that cannot even be named removes nothing.
    if not has_name or delta or flavour == "envoy":
        assert proxy.stat("cluster_manager.active_clusters") == 2
    send(ads, delta, "cds", [c.cluster("kept"), c.cluster("more")], "good", "2")
    assert not answered(ads, "good").get("error")
    proxy.wait_stat("cluster_manager.active_clusters", 3)


def test_resource_of_another_type(start, ads, delta):
    raw(start, ads)
    ads.send_bytes(response_bytes(delta, c.CLUSTER, b"", "empty"))
    assert answered(ads, "empty").get("error")


def test_stale_and_odd_nonces(start, ads, delta):
    """Each response is answered with its own nonce, whatever it looks like."""
    raw(start, ads)
    for nonce in ("n1", "n1", "", "a" * 1000, "\u00e9"):
        send(ads, delta, "cds", [c.cluster("c")], nonce, nonce[:5])
    for nonce in ("a" * 1000, "\u00e9"):
        answered(ads, nonce)


# Coming back.


def test_last_good_state_serves_while_the_server_is_gone(start, ads, origin):
    serve(ads, origin)
    proxy = start()
    assert status(proxy) == 200
    ads.kill()
    with proxy.connect("l") as client:
        for _ in range(50):
            assert client.get("/").status == 200
    proxy.wait_stat("control_plane.connected_state", 0)
    assert status(proxy) == 200


def test_reconnect_asks_for_everything_again(start, ads, delta, origin):
    serve(ads, origin)
    proxy = start()
    assert status(proxy) == 200
    mark = ads.mark()
    ads.kill()
    ads.restart()
    again = {kind: ads.wait_request(kind, since=mark, timeout=20) for kind in ("cds", "eds", "lds", "rds")}
    assert "node" in ads.wait_event(lambda e: e["kind"] == "request", "a request", mark)
    if delta:
        assert set(again["cds"]["initial_versions"]) == {"c"}
        assert set(again["eds"]["initial_versions"]) == {"c"}
        assert set(again["lds"]["initial_versions"]) == {"l"}
        assert again["rds"]["subscribe"] == ["r"]
    else:
        assert again["eds"]["names"] == ["c"]
        assert again["rds"]["names"] == ["r"]
        assert again["cds"]["version"]
        assert not again["cds"].get("nonce")
    mark = ads.mark()
    ads.set("rds", direct_routes("r", "after"))
    ads.wait_ack("rds", mark)
    wait_for(lambda: text(proxy) == "after", "the update after the reconnect")


def test_what_was_removed_meanwhile_goes(start, ads, origin):
    serve(ads, origin)
    ads.set("cds", c.cluster("doomed", origin.port))
    proxy = start()
    proxy.wait_stat("cluster.doomed.membership_total", 1)
    mark = ads.mark()
    ads.kill()
    ads.set("cds", remove=["doomed"])
    ads.restart()
    ads.wait_request("cds", since=mark, timeout=20)
    proxy.wait_stat("cluster_manager.cluster_removed", lambda n: n >= 1)
    assert status(proxy) == 200


def test_server_that_is_not_there_at_first(start, ads, origin):
    serve(ads, origin)
    ads.kill()
    proxy = start(ready=False)
    proxy.wait_stat("cluster.ads.upstream_cx_connect_fail", lambda n: n >= 1, 20)
    ads.restart()
    proxy.wait_ready(40)
    assert status(proxy) == 200


def test_server_that_accepts_and_is_silent(start, ads, origin):
    """Half open: the admin port works, and once the server speaks, everything comes."""
    serve(ads, origin)
    ads.kill()
    ads.hang()
    proxy = start(ready=False)
    ads.wait_event(lambda e: e["kind"] == "accept", "a connection")
    assert proxy.ready_state()[0] == 503
    ads.kill()
    ads.restart()
    proxy.wait_ready(40)
    assert status(proxy) == 200


def test_backoff_between_attempts(start, ads, flavour):
    """A server that ends each stream at once is not stormed."""
    ads.set("cds", c.cluster("c"))
    start(ready=False)
    ends = 0
    started = time.monotonic()
    seen = 0
    while time.monotonic() - started < 3:
        for event in ads.log(seen, 100):
            seen = event["seq"] + 1
            if event["kind"] == "open":
                ads.end_streams(14)
                ends += 1
    assert ends >= 1
    assert ends <= 20, f"{ends} attempts within 3 s"


@pytest.mark.parametrize("code", [0, 7, 14, 16])
def test_stream_ended_by_the_server(start, ads, origin, code):
    serve(ads, origin)
    proxy = start()
    mark = ads.mark()
    ads.end_streams(code)
    ads.wait_request("cds", since=mark, timeout=20)
    assert status(proxy) == 200


# What is applied, and when.


def test_listener_waits_for_its_routes(start, ads, origin):
    ads.set("cds", c.eds_cluster("c"))
    ads.set("eds", c.endpoints("c", origin.port))
    ads.set("lds", c.listener("l", c.hcm(rds="r")))
    proxy = start(ready=False)
    ads.wait_request("rds", lambda e: "r" in ((e.get("names") or []) + (e.get("subscribe") or [])))
    ads.wait_ack("lds")
    assert proxy.ready_state()[0] == 503
    ads.set("rds", c.simple_routes("r", "c"))
    proxy.wait_ready()
    assert status(proxy) == 200


def test_old_table_serves_until_the_new_one_is_there(start, ads, origin):
    serve(ads, origin)
    proxy = start()
    mark = ads.mark()
    ads.set("lds", c.listener("l", c.hcm(rds="r2")))
    ads.wait_request("rds", lambda e: "r2" in ((e.get("names") or []) + (e.get("subscribe") or [])), since=mark)
    for _ in range(10):
        assert text(proxy) == "a"
    ads.set("rds", direct_routes("r2", "new table"))
    wait_for(lambda: text(proxy) == "new table", "the new table")


def test_initial_fetch_timeout(start, ads, origin):
    """Routes that never come hold the listener for as long as the source says; then it answers 404."""
    ads.set("cds", c.cluster("c", origin.port))
    hcm = c.hcm(rds="never")
    hcm["typed_config"]["rds"]["config_source"]["initial_fetch_timeout"] = "0.5s"
    ads.set("lds", c.listener("l", hcm))
    proxy = start(ready=False)
    proxy.wait_ready(10)
    assert status(proxy) == 404


def test_initial_fetch_timeout_of_zero_waits_for_ever(start, ads, origin):
    ads.set("cds", c.cluster("c", origin.port))
    hcm = c.hcm(rds="never")
    hcm["typed_config"]["rds"]["config_source"]["initial_fetch_timeout"] = "0s"
    ads.set("lds", c.listener("l", hcm), c.listener("other", c.hcm(direct_routes("i", "inline"))))
    proxy = start(ready=False)
    ads.wait_ack("lds")
    with pytest.raises(AssertionError):
        proxy.wait_ready(1.0)
    assert "INITIALIZING" in proxy.ready_state()[1]


def test_endpoints_that_never_come(start, ads):
    ads.set("cds", c.eds_cluster("c"))
    ads.set("rds", c.simple_routes("r", "c"))
    ads.set("lds", c.listener("l", c.hcm(rds="r")))
    cluster = c.eds_cluster("c")
    cluster["eds_cluster_config"]["eds_config"]["initial_fetch_timeout"] = "0.5s"
    ads.set("cds", cluster)
    proxy = start(ready=False)
    proxy.wait_ready(10)
    with proxy.connect("l") as client:
        response = client.get("/")
        assert (response.status, response.body) == (503, b"no healthy upstream")


def test_removed_route_table_stays_in_use(start, ads, delta, origin):
    """Only CDS and LDS remove; a table that the server takes away serves on."""
    serve(ads, origin)
    proxy = start()
    ads.set("rds", remove=["r"])
    ads.set("cds", c.cluster("marker", origin.port))
    proxy.wait_stat("cluster.marker.membership_total", 1)
    assert status(proxy) == 200


def test_removed_endpoints_stay_in_use(start, ads, origin):
    serve(ads, origin)
    proxy = start()
    ads.set("eds", remove=["c"])
    ads.set("cds", c.cluster("marker", origin.port))
    proxy.wait_stat("cluster.marker.membership_total", 1)
    assert status(proxy) == 200


def test_unknown_cluster_in_a_route_is_no_refusal(start, ads, origin):
    """Over xDS an unknown cluster is legal: 503 NC at most, until it is there."""
    serve(ads, origin)
    proxy = start()
    mark = ads.mark()
    ads.set("rds", c.routes("r", c.vhost("all", ["*"], c.route("/late", "late"), c.route("/", "c"))))
    ads.wait_ack("rds", mark)
    assert status(proxy) == 200
    ads.set("cds", c.cluster("late", origin.port))
    proxy.wait_stat("cluster.late.membership_total", 1)
    wait_for(lambda: status(proxy, "/late") == 200, "the late cluster is routed to")


def test_routes_before_their_cluster_lose_nothing(start, ads, origin, flavour):
    """The table that names a cluster comes first: nuncio holds it until the cluster is there; Envoy answers 503."""
    serve(ads, origin)
    proxy = start()
    with proxy.connect("l") as client:
        assert client.get("/").status == 200
        mark = ads.mark()
        ads.set("rds", c.simple_routes("r", "next"))
        ads.wait_ack("rds", mark)
        seen = {client.get("/").status for _ in range(20)}
        ads.set("cds", c.cluster("next", origin.port))
        proxy.wait_stat("cluster.next.membership_total", 1)
        wait_for(lambda: client.get("/").status == 200, "the next cluster")
        seen_after = {client.get("/").status for _ in range(20)}
    assert seen_after == {200}
    if flavour == "nuncio":
        assert seen == {200}


def test_cluster_that_never_comes(start, ads, origin, flavour):
    """nuncio's hold has an end (1 s): then the table is published as Envoy would have."""
    serve(ads, origin)
    proxy = start()
    mark = ads.mark()
    ads.set("rds", c.routes("r", c.vhost("all", ["*"], c.route("/never", "never"), c.direct("/", 200, "rest"))))
    ads.wait_ack("rds", mark)
    wait_for(lambda: text(proxy) == "rest", "the table is published", 5)
    assert status(proxy, "/never") == 503


def test_cluster_removed_before_its_route(start, ads, origin, flavour):
    """Nothing is lost if the removal comes first."""
    serve(ads, origin)
    ads.set("cds", c.cluster("next", origin.port))
    proxy = start()
    proxy.wait_stat("cluster.next.membership_total", 1)
    with proxy.connect("l") as client:
        assert client.get("/").status == 200
        mark = ads.mark()
        ads.set("cds", remove=["c"])
        ads.wait_ack("cds", mark)
        seen = {client.get("/").status for _ in range(20)}
        ads.set("rds", c.simple_routes("r", "next"))
        wait_for(lambda: client.get("/").status == 200, "the route follows")
    if flavour == "nuncio":
        assert seen == {200}


def test_same_endpoints_for_a_changed_cluster(start, ads, origin, flavour):
    """Endpoints are known by name: a changed cluster uses what was sent before."""
    serve(ads, origin)
    proxy = start()
    mark = ads.mark()
    ads.set("cds", c.eds_cluster("c", connect_timeout="3s"))
    if flavour == "nuncio":
        ads.wait_ack("cds", mark)
        proxy.wait_stat("cluster_manager.cluster_modified", 1)
    assert status(proxy) == 200


def test_many_routes_and_clusters(start, ads, origin):
    """A response of some size arrives whole."""
    count = 2000
    ads.set("cds", *(c.cluster(f"c{i}", origin.port) for i in range(count)))
    ads.set("rds", c.routes("r", c.vhost("all", ["*"], *(c.route(f"/{i}/", f"c{i}") for i in range(count)))))
    ads.set("lds", c.listener("l", c.hcm(rds="r")))
    proxy = start(ready=False)
    proxy.wait_ready(60)
    assert status(proxy, f"/{count - 1}/x") == 200
    assert status(proxy, "/none") == 404


def test_snapshot_cache(start, ads, origin):
    """go-control-plane's own ADS cache, as most control planes use it, through three versions."""
    ads.reset("snapshot")

    def push(version, body):
        ads.snapshot(version, cds=[c.eds_cluster("c")], eds=[c.endpoints("c", origin.port)],
                     rds=[c.routes("r", c.vhost("all", ["*"], c.direct("/v", 200, body), c.route("/", "c")))],
                     lds=[c.listener("l", c.hcm(rds="r"))])

    push("1", "one")
    proxy = start()
    assert (text(proxy), text(proxy, "/v")) == ("a", "one")
    for version, body in (("2", "two"), ("3", "three")):
        push(version, body)
        wait_for(lambda: text(proxy, "/v") == body, f"version {version}")
    assert not any(e.get("error") for e in ads.log() if e["kind"] == "request")


def test_clusters_come_and_go_without_a_trace(start, ads, origin):
    """Pushed and removed again: memory is back near where it was."""
    serve(ads, origin)
    proxy = start()

    def cycle(generation):
        names = [f"g{generation}-{i}" for i in range(500)]
        ads.set("cds", *(c.cluster(n, origin.port) for n in names))
        proxy.wait_stat("cluster_manager.active_clusters", 502, 30)
        ads.set("cds", remove=names)
        proxy.wait_stat("cluster_manager.active_clusters", 2, 30)

    cycle(0)
    cycle(1)
    before = proxy.rss_kb()
    for generation in range(2, 6):
        cycle(generation)
    assert proxy.is_sanitized or proxy.rss_kb() <= before * 1.25 + 2048


def test_client_traffic_during_updates(start, ads, origin):
    """A connection that stays sees every version in order, and never a failure."""
    serve(ads, origin)
    proxy = start()
    with Client(proxy.address("l")) as client:
        seen = []
        for number in range(20):
            ads.set("rds", direct_routes("r", str(number)))
            for _ in range(5):
                response = client.get("/")
                assert response.status == 200
                if response.text != "a":
                    seen.append(int(response.text))
        wait_for(lambda: client.get("/").text == "19", "the last version")
    assert seen == sorted(seen)
