"""Starting, becoming ready, draining and ending; bootstraps that are refused."""

import signal
import socket
import subprocess
import threading

import pytest

from harness import config as c
from harness.client import Client, ConnectionEnded, request
from harness.proxy import Proxy, validate
from harness.upstream import Origin, Reply, hang
from harness.wait import wait_for


def small(origin, **more):
    return c.static_bootstrap([c.listener("l", c.hcm(c.simple_routes("r", "a")))], [c.cluster("a", origin.port)],
                              stats_flush_on_admin=True, **more)


@pytest.fixture
def origin():
    with Origin("a") as made:
        yield made


def test_ready_states_over_ads(flavour, delta, ads, origin):
    """503 until the clusters and then the listeners are there; until then the ports refuse."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    ads.reset("raw")
    with Proxy(flavour, c.ads_bootstrap(ads.port, delta=delta, stats_flush_on_admin=True), ready=False) as proxy:
        ads.wait_request("cds")
        assert proxy.ready_state() == (503, "PRE_INITIALIZING")
        proxy.wait_stat("server.state", 2)

        def send(kind, *resources):
            if delta:
                ads.send_delta(kind, resources, nonce=kind)
            else:
                ads.send_response(kind, list(resources), nonce=kind)

        send("cds", c.cluster("a", origin.port))
        ads.wait_request("lds")
        assert proxy.ready_state() == (503, "INITIALIZING")
        proxy.wait_stat("server.state", 3)
        send("lds", c.listener("l", c.hcm(rds="r"), port=port))
        ads.wait_request("rds")
        assert proxy.ready_state()[0] == 503
        with pytest.raises(ConnectionRefusedError):
            Client(("127.0.0.1", port))
        send("rds", c.simple_routes("r", "a"))
        proxy.wait_ready()
        assert proxy.ready_state() == (200, "LIVE")
        proxy.wait_stat("server.state", 0)
        with Client(("127.0.0.1", port)) as client:
            assert client.get("/").status == 200


def test_ready_with_empty_answers(flavour, delta, ads):
    """A control plane that has nothing yet: LIVE all the same."""
    ads.reset("raw")
    with Proxy(flavour, c.ads_bootstrap(ads.port, delta=delta), ready=False) as proxy:
        for kind in ("cds", "lds"):
            ads.wait_request(kind)
            if delta:
                ads.send_delta(kind, nonce=kind)
            else:
                ads.send_response(kind, [], nonce=kind)
        proxy.wait_ready()


def test_quitquitquit(flavour, origin):
    with Proxy(flavour, small(origin)) as proxy:
        assert proxy.admin("/quitquitquit", "POST").text == "OK\n"
        assert proxy.wait_exit(10) == 0


def test_quitquitquit_with_clients_at_the_admin_port(flavour, origin):
    """Scrapers keep their connections: those are closed, and nothing is made of it."""
    with Proxy(flavour, small(origin)) as proxy:
        clients = [Client(proxy.admin_address) for _ in range(4)]
        for client in clients[1:]:
            assert client.get("/ready").status == 200  # idle from here on; the first has never said a word
        assert clients[1].exchange(request("POST", "/quitquitquit")).status == 200
        assert proxy.wait_exit(10) == 0
        for client in clients:
            client.close()


def test_sigterm_without_traffic_ends_at_once(flavour, origin):
    with Proxy(flavour, small(origin)) as proxy:
        proxy.signal(signal.SIGTERM)
        assert proxy.wait_exit(5) == 0


def test_sigterm_drains(flavour, origin):
    """A request in flight is finished, new ones are still served and told to close, /ready says DRAINING; exit 0."""
    if flavour == "envoy":
        pytest.skip("Envoy exits at once on SIGTERM")
    gate = threading.Event()
    origin.next(Reply(gate=gate, body=b"finished"))
    with Proxy(flavour, small(origin)) as proxy:
        address = proxy.address()
        busy, idle = Client(address), Client(address)
        busy.send(request())
        origin.wait_requests(1)
        proxy.signal(signal.SIGTERM)
        wait_for(lambda: proxy.ready_state() == (503, "DRAINING"), "DRAINING", 5)
        proxy.wait_stat("server.state", 1)
        with Client(address) as late:
            response = late.get("/")
            assert response.status == 200
            assert response.header("connection") == "close"
        gate.set()
        response = busy.read_response()
        assert (response.status, response.body) == (200, b"finished")
        assert proxy.wait_exit(10) == 0
        busy.close()
        idle.close()


def test_second_sigterm_ends_at_once(flavour, origin):
    if flavour == "envoy":
        pytest.skip("Envoy exits on the first")
    origin.next(hang())
    with Proxy(flavour, small(origin)) as proxy:
        client = proxy.connect()
        client.send(request())
        origin.wait_requests(1)
        proxy.signal(signal.SIGTERM)
        wait_for(lambda: proxy.ready_state() == (503, "DRAINING"), "DRAINING", 5)
        proxy.signal(signal.SIGTERM)
        assert proxy.wait_exit(5) == 0
        client.close()


def test_drain_has_an_end(flavour, origin):
    if flavour == "envoy":
        pytest.skip("Envoy does not drain on SIGTERM")
    origin.next(hang())
    with Proxy(flavour, small(origin), args=["--drain-time-s", "1"]) as proxy:
        client = proxy.connect()
        client.send(request())
        origin.wait_requests(1)
        proxy.signal(signal.SIGTERM)
        assert proxy.wait_exit(10) == 0
        client.close()


def test_sigint_ends_at_once(flavour, origin):
    with Proxy(flavour, small(origin)) as proxy:
        proxy.signal(signal.SIGINT)
        assert proxy.wait_exit(5) == 0


def test_no_request_is_lost_on_sigterm(flavour, origin):
    """Clients with requests under way when the signal comes lose nothing: each is answered, and told to close.

    Who connects anew to a proxy that is about to be gone may find it gone, but never gets half an answer.
    """
    if flavour == "envoy":
        pytest.skip("Envoy does not drain on SIGTERM")
    failed = []
    signalled = threading.Event()
    with Proxy(flavour, small(origin), concurrency=2) as proxy:
        address = proxy.address()

        def ask():
            while True:
                was_late = signalled.is_set()
                try:
                    client = Client(address)
                except OSError as error:
                    if not was_late:
                        failed.append(error)
                    return
                try:
                    while True:
                        client.received = b""
                        client.send(request())
                        response = client.read_response()
                        if response.status != 200:
                            failed.append(response.status)
                        if response.header("connection") == "close":
                            break
                except (ConnectionEnded, OSError) as error:
                    if client.received or not was_late:
                        failed.append(error)
                finally:
                    client.close()

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        origin.wait_requests(100)
        signalled.set()
        proxy.signal(signal.SIGTERM)
        code = proxy.wait_exit(30)
        for thread in threads:
            thread.join()
        assert code == 0
    assert failed == []


# Bootstraps.


GOOD = {
    "empty": {},
    "admin only": {"admin": {"address": c.address()}},
    "static": c.static_bootstrap([c.listener("l", c.hcm(c.routes("r", c.vhost("v", ["*"]))))], [c.cluster("a")]),
    "camel case": {"node": {"id": "n", "cluster": "c"}, "staticResources": {"clusters": [
        {"name": "a", "connectTimeout": "0.25s", "loadAssignment": {"clusterName": "a"}}]}},
    "numbers as text": {"static_resources": {"clusters": [
        {"name": "a", "per_connection_buffer_limit_bytes": "32768", "type": 0}]}},
    "hcm without a router": c.static_bootstrap([c.listener("l", {"name": "h", "typed_config": {
        "@type": c.HCM, "stat_prefix": "x", "route_config": {"name": "r"}}})]),
    "tag that looks ahead": {"stats_config": {"stats_tags": [
        {"tag_name": "t", "regex": r"^listener(?=\.|[(]).*?\.http\.((.*?)\.)"}, {"tag_name": "u", "regex": "((?=a))"}]}},
    "listener twice": c.static_bootstrap([c.listener("l", c.hcm({"name": "r"})), c.listener("l")]),
    "duration forms": {"static_resources": {"clusters": [{"name": "a", "connect_timeout": "1.500000000s"}]}},
}
BAD = {
    "typo": ({"static_resource": {}}, "static_resource"),
    "typo deep inside": ({"static_resources": {"clusters": [{"name": "a", "conect_timeout": "1s"}]}}, "conect_timeout"),
    "wrong type": ({"static_resources": {"clusters": [{"name": ["a"]}]}}, "name"),
    "bad enum": ({"static_resources": {"clusters": [{"name": "a", "type": "STATICK"}]}}, "STATICK"),
    "bad duration": ({"static_resources": {"clusters": [{"name": "a", "connect_timeout": "5"}]}}, "5"),
    "number too big": ({"static_resources": {"clusters": [{
        "name": "a", "per_connection_buffer_limit_bytes": 4294967296}]}}, "4294967296"),
    "two of a oneof": (c.static_bootstrap([], [{"name": "a", "type": "STATIC", "cluster_type": {"name": "x"}}]), ""),
    "no cluster name": ({"static_resources": {"clusters": [{"name": ""}]}}, "ame"),
    "cluster twice": (c.static_bootstrap([], [c.cluster("a"), c.cluster("a")]), "a"),
    "listener without an address": ({"static_resources": {"listeners": [{"name": "l"}]}}, ""),
    "no filter chain": (c.static_bootstrap([c.listener("l")]), "l"),
    "unknown filter": (c.static_bootstrap([c.listener("l", {"name": "x", "typed_config": {
        "@type": "type.googleapis.com/no.such.Type"}})]), "no.such.Type"),
    "unknown cluster in a static route": (c.static_bootstrap(
        [c.listener("l", c.hcm(c.simple_routes("r", "nowhere")))]), "nowhere"),
    "hcm without routes": (c.static_bootstrap([c.listener("l", {"name": "h", "typed_config": {
        "@type": c.HCM, "stat_prefix": "x"}})]), ""),
    "router not last": (c.static_bootstrap([c.listener("l", c.hcm({"name": "r"}, filters=[
        {"name": "router", "typed_config": {"@type": c.ROUTER}}]))]), "router"),
    "bad regex": (c.static_bootstrap([c.listener("l", c.hcm(c.routes("r", c.vhost("v", ["*"], c.direct(
        {"safe_regex": {"regex": "a("}})))))]), "a("),
    "bad address": (c.static_bootstrap([], [c.cluster("a", c.endpoint(1, host="not-an-ip"))]), "not-an-ip"),
    "port out of range": (c.static_bootstrap([c.listener("l", c.hcm({"name": "r"}), port=65536)]), ""),
    "ads without a cluster": (c.ads_bootstrap(1, ads_config={
        "grpc_services": [{"envoy_grpc": {"cluster_name": "nowhere"}}]}), "nowhere"),
    "local cluster that is not there": ({"cluster_manager": {"local_cluster_name": "nowhere"}}, "nowhere"),
    "ads without a node": ({**c.ads_bootstrap(1), "node": {}}, "node"),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_bootstrap(flavour, name):
    code, output = validate(flavour, GOOD[name])
    assert code == 0, output


@pytest.mark.parametrize("name", BAD)
def test_bad_bootstrap(flavour, name):
    bootstrap, mentions = BAD[name]
    code, output = validate(flavour, bootstrap)
    assert code == 1, output
    assert mentions in output


@pytest.mark.parametrize("text, good", [
    ("node: {id: a, cluster: b}\nadmin:\n  address:\n    socket_address: {address: 127.0.0.1, port_value: 0}\n", True),
    ("", False), ("# nothing\n", False), ("{}", True), ("static_resources: null\n", True),
    ("[1, 2]", False), ("static_resources:\n\tclusters: []\n", False), ("a: b: c", False), ("{", False),
    ("static_resources: {clusters: 5}\n", False), ("\x00\x01", False),
    ("node: &x {id: a, cluster: b}\n", True),
], ids=str)
def test_text_of_a_bootstrap(flavour, text, good):
    code, output = validate(flavour, text)
    assert (code == 0) == good, output
    assert code in (0, 1)


@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_json_and_yaml(flavour, origin, suffix):
    with Proxy(flavour, small(origin), config_name=f"bootstrap.{suffix}") as proxy:
        with proxy.connect() as client:
            assert client.get("/").status == 200


def test_duplicate_key(flavour):
    """Envoy takes one of them; nuncio says which key is there twice."""
    code, output = validate(flavour, "node: {id: a, id: b, cluster: c}\n")
    if flavour == "envoy":
        assert code == 0
    else:
        assert code == 1
        assert "id" in output


def test_missing_file(flavour, origin):
    proxy = Proxy(flavour, small(origin))
    done = subprocess.run([str(proxy.binary), "-c", "/no/such/file.yaml", "--disable-hot-restart"],
                          capture_output=True, timeout=20, text=True)
    assert done.returncode == 1
    assert "/no/such/file.yaml" in done.stdout + done.stderr
