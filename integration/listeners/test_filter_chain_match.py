"""Which filter chain takes a connection: Envoy's precedence, most specific first at each level, never back."""

import pytest

from harness import config as c
from harness.client import Client, ConnectionEnded
from harness.proxy import Proxy, validate
from harness.upstream import Refused
from harness.wait import wait_for


def answers(name, match=None, **more):
    """A filter chain whose HTTP side answers with its name."""
    table = c.routes(name, c.vhost("all", ["*"], c.direct("/", 200, name)))
    return c.chain(c.hcm(table, stat_prefix=name.replace(".", "_")), match=match, name=name, **more)


def cidr(*prefixes):
    return [{"address_prefix": p.split("/")[0], "prefix_len": int(p.split("/")[1])} for p in prefixes]


# name -> (listener, [(how to connect, chain that must take it; None: closed at once)])
# Connecting: the source address, and the destination address (the listener is on 0.0.0.0).
LISTENERS = {
    "source-prefix": ([
        answers("wide", {"source_prefix_ranges": cidr("127.0.0.0/8")}),
        answers("narrow", {"source_prefix_ranges": cidr("127.0.1.0/24")}),
        answers("host", {"source_prefix_ranges": cidr("127.0.1.7/32")}),
    ], None, [("127.0.0.1", "127.0.0.1", "wide"), ("127.0.1.1", "127.0.0.1", "narrow"),
              ("127.0.1.7", "127.0.0.1", "host")]),
    "destination-prefix": ([
        answers("wide", {"prefix_ranges": cidr("127.0.0.0/8")}),
        answers("narrow", {"prefix_ranges": cidr("127.0.2.0/24", "127.0.3.0/24")}),
    ], None, [("127.0.0.1", "127.0.0.1", "wide"), ("127.0.0.1", "127.0.2.9", "narrow"),
              ("127.0.0.1", "127.0.3.9", "narrow")]),
    "destination-beats-source": ([
        answers("by-destination", {"prefix_ranges": cidr("127.0.2.0/24")}),
        answers("by-source", {"source_prefix_ranges": cidr("127.0.1.0/24")}),
    ], None, [("127.0.1.1", "127.0.0.1", "by-source"), ("127.0.1.1", "127.0.2.1", "by-destination"),
              ("127.0.0.1", "127.0.0.1", None)]),
    # The destination picks the group; that no source in it matches is the end: no way back to the wide chain.
    "no-way-back": ([
        answers("wide", {"prefix_ranges": cidr("127.0.0.0/8")}),
        answers("narrow", {"prefix_ranges": cidr("127.0.2.0/24"), "source_prefix_ranges": cidr("127.0.1.0/24")}),
    ], None, [("127.0.1.1", "127.0.2.1", "narrow"), ("127.0.0.1", "127.0.2.1", None),
              ("127.0.0.1", "127.0.0.1", "wide")]),
    "default-after-a-dead-end": ([
        answers("wide", {"prefix_ranges": cidr("127.0.0.0/8")}),
        answers("narrow", {"prefix_ranges": cidr("127.0.2.0/24"), "source_prefix_ranges": cidr("127.0.1.0/24")}),
    ], answers("default"), [("127.0.0.1", "127.0.2.1", "default")]),
    "source-type": ([
        answers("local", {"source_type": "SAME_IP_OR_LOOPBACK"}),
        answers("external", {"source_type": "EXTERNAL"}),
    ], None, [("127.0.0.1", "127.0.0.1", "local"), ("127.0.1.1", "127.0.0.1", "external"),
              ("127.0.1.1", "127.0.1.1", "local")]),
    "direct-source": ([
        answers("direct", {"direct_source_prefix_ranges": cidr("127.0.1.0/24")}),
        answers("rest"),
    ], None, [("127.0.1.1", "127.0.0.1", "direct"), ("127.0.0.1", "127.0.0.1", "rest")]),
    "transport": ([
        answers("tls", {"transport_protocol": "tls"}),
        answers("plain", {"transport_protocol": "raw_buffer"}),
    ], None, [("127.0.0.1", "127.0.0.1", "plain")]),
    "server-names": ([
        answers("named", {"server_names": ["a.test"]}),
        answers("unnamed"),
    ], None, [("127.0.0.1", "127.0.0.1", "unnamed")]),
    "alpn": ([
        answers("h2", {"application_protocols": ["h2"]}),
        answers("any"),
    ], None, [("127.0.0.1", "127.0.0.1", "any")]),
    "default-only": ([], answers("default"), [("127.0.0.1", "127.0.0.1", "default")]),
    "empty-match": ([answers("empty", {})], answers("default"), [("127.0.0.1", "127.0.0.1", "empty")]),
    "nothing-matches": ([answers("far", {"source_prefix_ranges": cidr("10.0.0.0/8")})], None,
                        [("127.0.0.1", "127.0.0.1", None)]),
}
CASES = [(name, *way) for name, (_, _, ways) in LISTENERS.items() for way in ways]


def make(name):
    chains, default, _ = LISTENERS[name]
    more = {"default_filter_chain": default} if default else {}
    return c.listener(name, *chains, host="0.0.0.0", **more)


@pytest.fixture(scope="module")
def proxy(flavour):
    with Proxy(flavour, c.static_bootstrap([make(name) for name in LISTENERS])) as running:
        yield running


def taken_by(port, source, destination):
    """The name of the chain that answers; None if the connection is closed without an answer."""
    with Client((destination, port), source=(source, 0)) as client:
        try:
            return client.get("/").text
        except (ConnectionEnded, ConnectionError):
            return None


@pytest.mark.parametrize("name, source, destination, chain", CASES,
                         ids=[f"{n}: {s} to {d}" for n, s, d, _ in CASES])
def test_chain(proxy, name, source, destination, chain):
    assert taken_by(proxy.address(name)[1], source, destination) == chain


def test_no_match_is_counted(proxy):
    port = proxy.address("nothing-matches")[1]
    before = sum(v for k, v in proxy.stats().items() if k.endswith("no_filter_chain_match"))
    assert taken_by(port, "127.0.0.1", "127.0.0.1") is None
    wait_for(lambda: sum(v for k, v in proxy.stats().items() if k.endswith("no_filter_chain_match")) > before,
             "no_filter_chain_match goes up")


def test_destination_port(flavour):
    """Only the port that was connected to counts; additional addresses bring several ports to one listener."""
    plain = c.listener("ports", answers("any"), additional_addresses=[{"address": c.address()}])
    with Proxy(flavour, c.static_bootstrap([plain])) as running:
        first, second = [port for _, port in running.listeners()["ports"]]
    by_port = c.listener("ports", answers("first", {"destination_port": first}), answers("rest"), port=first,
                         additional_addresses=[{"address": c.address(second)}])
    with Proxy(flavour, c.static_bootstrap([by_port])):
        assert taken_by(first, "127.0.0.1", "127.0.0.1") == "first"
        assert taken_by(second, "127.0.0.1", "127.0.0.1") == "rest"


def test_source_port(flavour):
    with Refused() as reserved:
        own = reserved.port
    bound = c.static_bootstrap([c.listener("l", answers("one", {"source_ports": [own]}), answers("rest"))])
    with Proxy(flavour, bound) as running:
        port = running.address("l")[1]
        assert taken_by(port, "127.0.0.1", "127.0.0.1") == "rest"
        with Client(("127.0.0.1", port), source=("127.0.0.1", own)) as client:
            assert client.get("/").text == "one"


@pytest.mark.parametrize("chains, good", [
    ([answers("a", {"destination_port": 1}), answers("b", {"destination_port": 1})], False),
    ([answers("a"), answers("b", {})], False),
    ([answers("a", {"server_names": ["x", "y"]}), answers("b", {"server_names": ["y"]})], False),
    ([answers("a", {"source_prefix_ranges": cidr("127.0.0.0/8")}),
      answers("b", {"source_prefix_ranges": cidr("127.1.2.3/8")})], False),
    ([answers("a", {"destination_port": 1}), {**answers("b", {"destination_port": 2}), "name": "a"}], True),
    ([answers("a", {"server_names": ["*.x"]}), answers("b", {"server_names": ["*.y"]})], True),
    ([answers("a", {"server_names": ["*x.y"]})], False),
    ([answers("a", {"prefix_ranges": [{"address_prefix": "1.2.3", "prefix_len": 8}]})], False),
    ([answers("a", {"destination_port": 0})], False),
    ([answers("a", {"source_ports": [0]})], False),
    ([], False),
], ids=["equal matches", "absent and empty", "overlapping server names", "equal prefixes", "equal names",
        "different wildcards", "inner wildcard", "bad prefix", "port 0", "source port 0", "no chain"])
def test_verdict(flavour, chains, good):
    code, output = validate(flavour, c.static_bootstrap([c.listener("l", *chains)]))
    assert (code == 0) == good, output
    if not good:
        assert "l" in output
