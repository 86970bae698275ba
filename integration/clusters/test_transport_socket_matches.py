"""Which of transport_socket_matches an endpoint's connections speak through, and that no connection outlives what it
was configured by."""

import pytest

from harness import config as c
from harness.alpn_origin import AlpnOrigin
from harness.certs import Authority
from harness.client import Client, request
from harness.proxy import Proxy
from harness.tls import context
from harness.wait import wait_for

ROOT = Authority("root")
NAMESPACE = "envoy.transport_socket_match"
RAW = {"name": "envoy.transport_sockets.raw_buffer",
       "typed_config": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"}}


def tls(sni, **more):
    return c.upstream_tls(validation=c.trust(ROOT), sni=sni, **more)


def match(name, socket=None, **labels):
    return {"name": name, "match": labels, "transport_socket": socket or tls(f"{name}.example")}


def labelled(**labels):
    return {"filter_metadata": {NAMESPACE: labels}} if labels else {}


ON, OFF, ALL = match("on", tls="on"), match("off", tls="off"), match("all")
TWO = match("two", tls="on", tier="gold")
NESTED = match("nested", a={"b": [1, "x", None, True]})
SAME = match("on", tls=1)  # shares its name, and so its counter, with ON

# name: (matches, the endpoint's labels, its locality's, the match that is found)
CASES = {
    "none": ([], {"tls": "on"}, {}, "default"),
    "endpoint": ([OFF, ON], {"tls": "on"}, {}, "on"),
    "endpoint-more": ([OFF, ON], {"tls": "on", "x": "y"}, {}, "on"),
    "endpoint-other": ([OFF, ON], {"tls": "maybe"}, {}, "default"),
    "endpoint-none": ([OFF, ON], {}, {}, "default"),
    "first": ([ON, ALL], {"tls": "on"}, {}, "on"),
    "first-all": ([ALL, ON], {"tls": "on"}, {}, "all"),
    "all": ([ON, ALL], {}, {}, "all"),
    "locality": ([OFF, ON], {}, {"tls": "on"}, "on"),
    "endpoint-over-locality": ([OFF, ON], {"tls": "off"}, {"tls": "on"}, "off"),
    "endpoint-misses": ([ON], {"tls": "maybe"}, {"tls": "on"}, "on"),
    "all-before-locality": ([ON, ALL], {}, {"tls": "on"}, "all"),
    "two": ([TWO, ON], {"tls": "on", "tier": "gold"}, {}, "two"),
    "two-one": ([TWO, ON], {"tls": "on"}, {}, "on"),
    "two-apart": ([TWO], {"tls": "on"}, {"tier": "gold"}, "default"),
    "nested": ([NESTED], {"a": {"b": [1, "x", None, True]}}, {}, "nested"),
    "nested-not": ([NESTED], {"a": {"b": [1, "x", None, False]}}, {}, "default"),
    "nested-order": ([NESTED], {"a": {"b": ["x", 1, None, True]}}, {}, "default"),
    "number": ([SAME], {"tls": 1}, {}, "on"),
    "number-text": ([SAME], {"tls": "1"}, {}, "default"),
    "bool-text": ([match("flag", tls=True)], {"tls": "true"}, {}, "default"),
    "bool": ([match("flag", tls=True)], {"tls": True}, {}, "flag"),
}


def cluster_of(name, port, matches, endpoint_labels, locality_labels, **more):
    endpoint = c.endpoint(port)
    endpoint["metadata"] = labelled(**endpoint_labels)
    locality = {"locality": {"zone": "z"}, "lb_endpoints": [endpoint], "metadata": labelled(**locality_labels)}
    made = c.cluster(name, localities=[locality], transport_socket=tls("default.example"), **more)
    if matches:
        made["transport_socket_matches"] = matches
    return made


def make_origin():
    return AlpnOrigin("origin", context(server=True, certificate=ROOT.leaf("origin"), alpn=["h2", "http/1.1"]))


@pytest.fixture(scope="module")
def shared_origin():
    with make_origin() as made:
        yield made


@pytest.fixture
def origin():
    with make_origin() as made:
        yield made


@pytest.fixture(scope="module")
def proxies(flavours, shared_origin):
    table = c.routes("r", c.vhost("all", ["*"], *(c.route({"path": f"/{name}"}, name) for name in CASES)))
    clusters = [cluster_of(name, shared_origin.port, *case[:3]) for name, case in CASES.items()]
    made = {}
    try:
        for flavour in flavours:
            made[flavour] = Proxy(flavour, c.static_bootstrap([c.listener("l", c.hcm(table))], clusters)).start()
        yield made
    finally:
        for proxy in made.values():
            proxy.stop()


@pytest.mark.differential
@pytest.mark.parametrize("name", CASES)
def test_match(proxies, shared_origin, name):
    found = CASES[name][3]
    for flavour, proxy in proxies.items():
        shared_origin.forget()
        with Client(proxy.address()) as client:
            assert client.exchange(request("GET", f"/{name}", "a.example")).status == 200
        assert [hello.sni for hello in shared_origin.hellos] == [f"{found}.example"], flavour
        counts = proxy.stats(f"?filter=^cluster\\.{name}\\..*total_match_count")
        assert {k: v for k, v in counts.items() if v} == {f"cluster.{name}.{found}.total_match_count": 1}, flavour


# Changes.


class Live:
    """A proxy that gets its cluster over ADS; the endpoints are the cluster's own."""

    def __init__(self, flavour, ads, origin):
        self.ads = ads
        self.origin = origin
        bootstrap = c.ads_bootstrap(ads.port)
        bootstrap["dynamic_resources"].pop("lds_config", None)
        bootstrap["static_resources"]["listeners"] = [c.listener("l", c.hcm(c.simple_routes("r", "k", validate_clusters=False)))]
        self.proxy = Proxy(flavour, bootstrap, ready=False)

    def push(self, cluster):
        since = self.ads.mark()
        self.ads.set("cds", cluster)
        self.ads.wait_ack("cds", since)

    def ask(self):
        """The ClientHello of the connection that was made for it; None: it went over one that was there."""
        self.origin.hellos = []
        with Client(self.proxy.address()) as client:
            assert client.exchange(request("GET", "/", "a.example")).status == 200
        assert len(self.origin.hellos) <= 1
        return self.origin.hellos[0] if self.origin.hellos else None


@pytest.fixture
def live(flavour, ads, origin):
    side = Live(flavour, ads, origin)
    yield side
    side.proxy.stop()


BASE = ([ON, OFF], {"tls": "on"}, {})
CHANGES = {
    # what changes, and the SNI of the connection that serves afterwards
    "context": (lambda port: cluster_of("k", port, [match("on", tls("new.example"), tls="on"), OFF], *BASE[1:]), "new.example"),
    "labels": (lambda port: cluster_of("k", port, BASE[0], {"tls": "off"}, {}), "off.example"),
    "matches": (lambda port: cluster_of("k", port, [OFF], {"tls": "on"}, {}), "default.example"),
    "bind": (lambda port: cluster_of("k", port, *BASE, upstream_bind_config={
        "source_address": {"address": "127.0.0.2", "port_value": 0}}), "on.example"),
    "protocol": (lambda port: cluster_of("k", port, *BASE, typed_extension_protocol_options=c.http_options()), "on.example"),
    "idle": (lambda port: cluster_of("k", port, *BASE, typed_extension_protocol_options=c.http_options(
        common_http_protocol_options={"idle_timeout": "77s"}, explicit_http_config={"http_protocol_options": {}})), "on.example"),
}
SAME_CONNECTIONS = {
    "lb": lambda port: cluster_of("k", port, *BASE, lb_policy="RANDOM"),
    "timeout": lambda port: cluster_of("k", port, *BASE, connect_timeout="7s"),
    "other-match": lambda port: cluster_of("k", port, [ON, match("off", tls("else.example"), tls="off")], *BASE[1:]),
}


def start(live):
    live.ads.set("cds", cluster_of("k", live.origin.port, *BASE))
    live.proxy.start()
    live.proxy.wait_ready()
    assert live.ask().sni == "on.example"
    assert live.ask() is None


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_cluster_has_new_connections(live, name):
    make, sni = CHANGES[name]
    start(live)
    live.push(make(live.origin.port))
    asked = live.ask()
    assert asked is not None and asked.sni == sni
    live.origin.wait_open(1)  # the old one was closed


@pytest.mark.parametrize("name", SAME_CONNECTIONS)
def test_what_does_not_concern_connections_leaves_them(live, name):
    """Envoy makes new ones at every change of a cluster."""
    start(live)
    live.push(SAME_CONNECTIONS[name](live.origin.port))
    asked = live.ask()
    if live.proxy.flavour == "nuncio":
        assert asked is None


def test_endpoints_that_change_their_labels(flavour, ads, origin):
    """Over EDS: the connection of before serves nobody any more (in Envoy it does)."""
    def endpoints(label):
        endpoint = c.endpoint(origin.port)
        endpoint["metadata"] = labelled(tls=label)
        return c.endpoints("k", endpoint)

    if flavour != "nuncio":
        pytest.skip("Envoy keeps the connection")
    side = Live(flavour, ads, origin)
    try:
        ads.set("cds", c.eds_cluster("k", transport_socket=tls("default.example"), transport_socket_matches=[ON, OFF]))
        ads.set("eds", endpoints("on"))
        side.proxy.start()
        side.proxy.wait_ready()
        assert side.ask().sni == "on.example"
        since = ads.mark()
        ads.set("eds", endpoints("off"))
        ads.wait_ack("eds", since)
        assert side.ask().sni == "off.example"
        origin.wait_open(1)
        counts = side.proxy.stats("?filter=total_match_count")
        assert counts["cluster.k.on.total_match_count"] == 1 and counts["cluster.k.off.total_match_count"] == 1
    finally:
        side.proxy.stop()


def test_a_session_is_resumed_where_it_was_made(flavours, origin):
    """max_session_keys: how many sessions are kept; 1 unless set, 0 for none. Compared with Envoy."""
    keys = {"one": None, "zero": 0, "three": 3}
    seen = {}
    for flavour in flavours:
        clusters = [c.cluster(name, origin.port, transport_socket=tls(
            "a.example", **({} if count is None else {"max_session_keys": count})), max_requests_per_connection=1)
            for name, count in keys.items()]
        table = c.routes("r", c.vhost("all", ["*"], *(c.route({"path": f"/{name}"}, name) for name in keys)))
        with Proxy(flavour, c.static_bootstrap([c.listener("l", c.hcm(table))], clusters)) as proxy:
            for name in keys:
                origin.forget()
                with Client(proxy.address()) as client:
                    for i in range(4):
                        assert client.exchange(request("GET", f"/{name}", "a.example")).status == 200
                        wait_for(lambda: origin.open_connections == 0, "the connection to close")
                offered = [hello.wants_resumption for hello in origin.hellos]
                resumed = [made.resumed for made in origin.handshakes]
                seen[flavour, name] = offered, resumed, proxy.stat(f"cluster.{name}.ssl.session_reused")
                assert resumed == [False] + [name != "zero"] * 3, (flavour, name)
    for name in keys:
        assert len({str(seen[flavour, name]) for flavour in flavours}) == 1, seen
