"""What a request's upstream connection offers and asks for, and who may share it: SNI, ALPN, names that must be in the
certificate, transport_socket_matches. One proxy of each kind with a cluster per case; origins keep what they were
offered."""

import re

import pytest

from harness import config as c
from harness.alpn_origin import AlpnOrigin, Answer
from harness.certs import Authority
from harness.client import Client, request
from harness.differential import LogFile
from harness.h2peer import H2Client
from harness.proxy import Proxy
from harness.tls import context
from harness.upstream import Origin
from harness.wait import wait_for

ROOT = Authority("root")
LEAF = ROOT.leaf("origin", dns=["a.example", "b.example"], ip=["127.0.0.1"])
PROTOCOLS = {"both": ["h2", "http/1.1"], "http1": ["http/1.1"], "http2": ["h2"], "none": []}
FORMAT = "%RESPONSE_CODE%\t%RESPONSE_FLAGS%\t%RESPONSE_CODE_DETAILS%\t%UPSTREAM_TRANSPORT_FAILURE_REASON%\t%UPSTREAM_PROTOCOL%\n"


def tls(**more):
    return c.upstream_tls(validation=c.trust(ROOT), **more)


def options(upstream=None, **protocol):
    """typed_extension_protocol_options; HTTP/1 unless told otherwise."""
    chosen = protocol or {"explicit_http_config": {"http_protocol_options": {}}}
    more = {"upstream_http_protocol_options": upstream} if upstream else {}
    return {"typed_extension_protocol_options": c.http_options(**chosen, **more)}


AUTO = options(auto_config={})
HTTP1 = options()
HTTP2 = options(explicit_http_config={"http2_protocol_options": {}})
DOWNSTREAM = options(use_downstream_protocol_config={"http_protocol_options": {}, "http2_protocol_options": {}})
AUTO_SNI = options({"auto_sni": True})
AUTO_SAN = options({"auto_sni": True, "auto_san_validation": True})
ONLY_SAN = options({"auto_san_validation": True})
OVERRIDE = options({"auto_sni": True, "auto_san_validation": True, "override_auto_sni_header": "x-sni"})

# name: (origin, what the cluster has besides, what its route has besides)
CLUSTERS = {
    **{f"{kind}-{origin}": (origin, {"transport_socket": tls(), **how}, {})
       for kind, how in (("auto", AUTO), ("http1", HTTP1), ("http2", HTTP2), ("downstream", DOWNSTREAM), ("plain", {}))
       for origin in PROTOCOLS},
    **{f"{kind}-{origin}-alpn": (origin, {"transport_socket": tls(alpn=["foo", "http/1.1", "h2"]), **how}, {})
       for kind, how in (("auto", AUTO), ("http1", HTTP1), ("http2", HTTP2), ("downstream", DOWNSTREAM))
       for origin in PROTOCOLS},
    "tls13": ("http1", {"transport_socket": tls(params={"tls_maximum_protocol_version": "TLSv1_3"}), **HTTP1}, {}),
    "tls13-http2": ("http2", {"transport_socket": tls(params={"tls_maximum_protocol_version": "TLSv1_3"}), **HTTP2}, {}),
    "sni": ("http1", {"transport_socket": tls(sni="c.example")}, {}),
    "auto_sni": ("http1", {"transport_socket": tls(), **AUTO_SNI}, {}),
    "auto_sni_over": ("http1", {"transport_socket": tls(sni="c.example"), **AUTO_SNI}, {}),
    "auto_sni_raw": ("raw", AUTO_SNI, {}),
    "auto_sni_rewrite": ("http1", {"transport_socket": tls(), **AUTO_SNI}, {"host_rewrite_literal": "rewritten.example:99"}),
    "auto_sni_auto_rewrite": ("http1", {"transport_socket": tls(), **AUTO_SNI}, {"auto_host_rewrite": True}),
    "auto_host_sni": ("http1", {"transport_socket": tls(auto_host_sni=True)}, {}),
    "auto_host_sni_over": ("http1", {"transport_socket": tls(auto_host_sni=True, sni="c.example")}, {}),
    "auto_host_and_auto_sni": ("http1", {"transport_socket": tls(auto_host_sni=True), **AUTO_SNI}, {}),
    "auto_san": ("http1", {"transport_socket": tls(), **AUTO_SAN}, {}),
    "only_san": ("http1", {"transport_socket": tls(), **ONLY_SAN}, {}),
    "override": ("http1", {"transport_socket": tls(), **OVERRIDE}, {}),
    "override_rewrite": ("http1", {"transport_socket": tls(), **OVERRIDE}, {"host_rewrite_literal": "b.example"}),
    "sni_san": ("http1", {"transport_socket": tls(auto_sni_san_validation=True), **AUTO_SNI}, {}),
}


class Side:
    """One proxy with all the clusters, and a line of log for each request."""

    def __init__(self, flavour, origins, place):
        self.path = place / f"transport-{flavour}.log"
        self.path.touch()
        self.log = LogFile(self.path)
        clusters, table = [], []
        for name, (origin, has, route) in CLUSTERS.items():
            endpoint = c.endpoint(origins[origin].port)
            endpoint["endpoint"]["hostname"] = "host.example"
            clusters.append(c.cluster(name, endpoint, **has))
            made = c.route({"path": f"/{name}"}, name)
            made["route"].update(route)
            table.append(made)
        hcm = c.hcm(c.routes("r", c.vhost("all", ["*"], *table)))
        hcm["typed_config"]["access_log"] = [c.access_log(self.path, FORMAT)]
        self.proxy = Proxy(flavour, c.static_bootstrap([c.listener("l", hcm)], clusters))

    def counters(self, name):
        pattern = re.compile(r"\.upstream_cx_(total|http1_total|http2_total|connect_fail)$|\.upstream_rq_total$|\.ssl\.(handshake|fail_.*)$"
                             r"|\.total_match_count$")
        return {key.removeprefix(f"cluster.{name}."): value
                for key, value in self.proxy.stats(f"?filter=^cluster\\.{name}\\.").items() if value and pattern.search(key)}

    def lines(self, count):
        wait_for(lambda: len(self.log.lines()) >= count, f"{count} lines of log", 3)
        return self.log.lines()


@pytest.fixture(scope="module")
def origins():
    made = {name: AlpnOrigin(name, context(server=True, certificate=LEAF, alpn=alpn)) for name, alpn in PROTOCOLS.items()}
    made["raw"] = Origin("raw")
    yield made
    for origin in made.values():
        origin.close()


@pytest.fixture(scope="module")
def sides(flavours, origins, tmp_path_factory):
    place = tmp_path_factory.mktemp("transport")
    made = {}
    try:
        for flavour in flavours:
            made[flavour] = Side(flavour, origins, place)
            made[flavour].proxy.start()
        yield made
    finally:
        for side in made.values():
            side.proxy.stop()


def ask(side, origins, name, *asked, h2=False):
    """Requests one after another, (host, headers) each: everything that came of them."""
    for origin in origins.values():
        origin.forget()
        origin.drop_connections()
        origin.wait_open(0)
    side.proxy.wait_stat(f"cluster.{name}.upstream_cx_active", lambda v: not v)
    side.log.skip()
    before = side.counters(name)
    statuses = []
    for host, headers in asked:
        if h2:
            with H2Client(side.proxy.address()) as client:
                stream = client.start([(":method", "GET"), (":scheme", "http"), (":authority", host), (":path", f"/{name}"),
                                       *headers], end=True)
                got = client.finish(stream)
        else:
            with Client(side.proxy.address()) as client:
                got = client.exchange(request("GET", f"/{name}", host, list(headers)))
        statuses.append((got.status, got.body))
    after = side.counters(name)
    return {
        "statuses": statuses,
        "log": side.lines(len(asked)),
        "offered": [(h.sni, h.alpn) for o in origins.values() for h in getattr(o, "hellos", [])],
        "agreed": [h.alpn for o in origins.values() for h in o.handshakes],
        "counters": {k: v - before.get(k, 0) for k, v in after.items() if v != before.get(k, 0)},
    }


def compare(sides, origins, name, *asked, h2=False, without=()):
    """Of all proxies, equal but for counters named; one of them."""
    got = {flavour: ask(side, origins, name, *asked, h2=h2) for flavour, side in sides.items()}
    if len(got) > 1:
        one, other = ({**g, "counters": {k: v for k, v in g["counters"].items() if k not in without}} for g in got.values())
        assert one == other
    return got.get("nuncio") or got["envoy"]


ALPN_CASES = [name for name in CLUSTERS if name.split("-")[0] in ("auto", "http1", "http2", "downstream", "plain")]


@pytest.mark.differential
@pytest.mark.parametrize("name", ALPN_CASES)
def test_protocols_are_negotiated(sides, origins, name):
    kind, origin, *has_list = name.split("-")
    # Envoy counts a connection of auto_config twice.
    got = compare(sides, origins, name, ("a.example", ()), ("a.example", ()),
                  without=("upstream_cx_total",) if kind == "auto" else ())
    by_kind = {"auto": ["h2", "http/1.1"], "http2": ["h2"]}
    assert got["offered"][0][1] == (["foo", "http/1.1", "h2"] if has_list else by_kind.get(kind, ["http/1.1"]))
    if kind == "auto":
        spoken = "http2" if origin in ("both", "http2") else "http1"
        assert got["counters"][f"upstream_cx_{spoken}_total"] == 1
        assert [line.split("\t")[4] for line in got["log"]] == ["HTTP/2" if spoken == "http2" else "HTTP/1.1"] * 2


@pytest.mark.differential
@pytest.mark.parametrize("origin", PROTOCOLS)
@pytest.mark.parametrize("kind", ["downstream", "auto"])
def test_protocols_for_http2_clients(sides, origins, kind, origin):
    got = compare(sides, origins, f"{kind}-{origin}", ("a.example", ()), h2=True,
                  without=("upstream_cx_total",) if kind == "auto" else ())
    assert got["offered"][0][1] == (["h2"] if kind == "downstream" else ["h2", "http/1.1"])


SNI = [
    ("plain-http1", "a.example", (), None),
    ("sni", "a.example", (), "c.example"),
    ("auto_sni", "a.example", (), "a.example"),
    ("auto_sni", "a.example:8443", (), "a.example"),
    ("auto_sni", "A.Example", (), "A.Example"),
    ("auto_sni", "127.0.0.1", (), None),
    ("auto_sni", "127.0.0.1:80", (), None),
    ("auto_sni", "[::1]:80", (), None),
    ("auto_sni", "[::1]", (), None),
    ("auto_sni", "a.example", (("x-sni", "no.example"),), "a.example"),
    ("auto_sni_over", "a.example", (), "a.example"),
    ("auto_sni_over", "127.0.0.1", (), "c.example"),
    ("auto_sni_rewrite", "a.example", (), "rewritten.example"),
    ("auto_sni_auto_rewrite", "a.example", (), "a.example"),
    ("auto_host_sni", "a.example", (), "host.example"),
    ("auto_host_sni_over", "a.example", (), "host.example"),
    ("auto_host_and_auto_sni", "a.example", (), "a.example"),
    ("auto_host_and_auto_sni", "127.0.0.1", (), "host.example"),
    ("override", "a.example", (("x-sni", "b.example"),), "b.example"),
    ("override", "a.example", (("x-sni", "b.example:1"),), "b.example"),
    ("override", "a.example", (("x-sni", ""),), "a.example"),
    ("override", "a.example", (), "a.example"),
    ("override", "a.example", (("x-sni", "b.example"), ("x-sni", "a.example")), "b.example"),
    ("override", "a.example", (("x-sni", ""), ("x-sni", "b.example")), "a.example"),
    ("override_rewrite", "a.example", (), "b.example"),
    ("override_rewrite", "c.example", (("x-sni", "a.example"),), "a.example"),
    ("auto_san", "b.example", (), "b.example"),
    ("only_san", "b.example", (), None),
    ("only_san", "127.0.0.1:80", (), None),
    ("sni_san", "a.example", (), "a.example"),
]


@pytest.mark.differential
@pytest.mark.parametrize("name,host,headers,sni", SNI)
def test_server_names(sides, origins, name, host, headers, sni):
    got = compare(sides, origins, name, (host, headers))
    assert got["statuses"][0][0] == 200
    assert got["offered"][0][0] == sni


REFUSED = [
    ("auto_san", "c.example", ()),
    ("auto_san", "127.0.0.2", ()),
    ("only_san", "c.example", ()),
    ("override", "a.example", (("x-sni", "c.example"),)),
    ("auto_san", "", ()),  # a name that no certificate has
    ("only_san", ":80", ()),
    ("sni_san", "c.example", ()),
]


@pytest.mark.differential
@pytest.mark.parametrize("name,host,headers", REFUSED)
def test_names_that_are_not_in_the_certificate(sides, origins, name, host, headers):
    got = compare(sides, origins, name, (host, headers))
    status, flags, details, reason, _ = got["log"][0].split("\t")
    assert (status, flags) == ("503", "UF")
    assert "CERTIFICATE_VERIFY_FAILED" in details and "CERTIFICATE_VERIFY_FAILED" in reason
    assert got["counters"]["ssl.fail_verify_san"] == 1 and got["counters"]["upstream_cx_connect_fail"] == 1


SHARING = [
    # hosts in turn, and how many connections they make
    ("auto_sni", ("a.example", "b.example", "a.example:1", "b.example:2"), 2),
    ("auto_sni", ("127.0.0.1", "127.0.0.2"), 1),
    ("only_san", ("a.example", "b.example", "a.example"), 2),
    ("sni", ("a.example", "b.example"), 1),
    ("tls13", ("a.example",) * 3, 1),
    ("tls13-http2", ("a.example",) * 3, 1),
    ("auto_host_sni", ("a.example", "b.example"), 1),
]


@pytest.mark.differential
@pytest.mark.parametrize("name,hosts,connections", SHARING)
def test_who_shares_a_connection(sides, origins, name, hosts, connections):
    got = compare(sides, origins, name, *((host, ()) for host in hosts))
    assert [s for s, _ in got["statuses"]] == [200] * len(hosts)
    assert got["counters"]["upstream_cx_total"] == connections


def test_names_mean_nothing_without_tls(sides, origins):
    """Envoy makes a connection for each name."""
    if "nuncio" in sides:
        got = ask(sides["nuncio"], origins, "auto_sni_raw", ("a.example", ()), ("b.example", ()))
        assert got["counters"]["upstream_cx_total"] == 1


def test_requests_that_wait_are_served_whatever_is_negotiated(sides, origins):
    """Many at once, before the first connection has told the protocol."""
    for side in sides.values():
        for name, origin in (("auto-both", "both"), ("auto-http1", "http1")):
            ask(side, origins, name)
            clients = [Client(side.proxy.address()) for _ in range(20)]
            for client in clients:
                client.send(request("GET", f"/{name}", "a.example"))
            for client in clients:
                assert client.read_response().status == 200
            for client in clients:
                client.close()
            used = len(origins[origin].handshakes)
            assert used == 1 if origin == "both" else 1 <= used <= 20
