"""Chains that end TLS, chosen by what the ClientHello says; chains chosen by a matcher instead of their own words."""

import socket
import ssl
import time

import pytest

from harness import config as c
from harness.certs import Authority
from harness.client import Client, ConnectionEnded
from harness.listener_filters import hello, http_inspector, proxy_protocol, tls_inspector
from harness.proxy import Proxy, validate
from harness.wait import wait_for

INPUTS = "type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3."


def answers(name, match=None, **more):
    """A filter chain whose HTTP side answers with its name."""
    table = c.routes(name, c.vhost("all", ["*"], c.direct("/", 200, name)))
    return c.chain(c.hcm(table, stat_prefix=name), match=match, name=name, **more)


def cidr(*prefixes):
    return [{"address_prefix": p.split("/")[0], "prefix_len": int(p.split("/")[1])} for p in prefixes]


# --- TLS --------------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def authority():
    return Authority()


def secure(name, issued, match=None, **more):
    made = answers(name, match, **more)
    made["transport_socket"] = c.downstream_tls(issued, alpn=["h2", "http/1.1"])
    return made


@pytest.fixture(scope="module")
def running(flavour, authority):
    one = authority.leaf("one.test")
    two = authority.leaf("two.test")
    chains = [secure("one", one, {"server_names": ["one.test"]}), secure("two", two, {"server_names": ["*.two.test", "two.test"]}),
              answers("plain", {"transport_protocol": "raw_buffer"})]
    listeners = [
        c.listener("names", *chains, listener_filters=[tls_inspector()], stat_prefix="names"),
        c.listener("proxied", *chains, listener_filters=[proxy_protocol(), tls_inspector()], stat_prefix="proxied"),
        c.listener("sniffed", *chains, listener_filters=[tls_inspector(), http_inspector()], stat_prefix="sniffed"),
        c.listener("slow", secure("slow", one, transport_socket_connect_timeout="0.3s"), stat_prefix="slow",
                   listener_filters=[tls_inspector()]),
    ]
    with Proxy(flavour, c.static_bootstrap(listeners)) as proxy:
        yield proxy


def asked(proxy, name, server_name, before=b"", pieces=0):
    """(certificate's common name, body) of a request after a handshake for that name."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.set_alpn_protocols(["http/1.1"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = made.wrap_bio(incoming, outgoing, server_hostname=server_name)
    with socket.create_connection(proxy.address(name), timeout=5) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def step(call):
            nonlocal pieces, before
            while True:
                try:
                    result = call()
                except ssl.SSLWantReadError:
                    result = None
                data = before + outgoing.read()
                before = b""
                for at in range(0, len(data), pieces or max(len(data), 1)):
                    s.sendall(data[at:at + (pieces or len(data))])
                    if pieces:
                        time.sleep(0.002)  # another segment
                pieces = 0
                if result is not None:
                    return result
                data = s.recv(65536)
                if not data:
                    raise ConnectionEnded("inside")
                incoming.write(data)

        step(lambda: session.do_handshake() or True)
        session.write(b"GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n")
        got = b""
        while b"\r\n\r\n" not in got or not got.split(b"\r\n\r\n", 1)[1]:
            got += step(lambda: session.read(65536))
        return session.getpeercert(True), got.split(b"\r\n\r\n", 1)[1].decode()


@pytest.mark.parametrize("name, chain", [("one.test", "one"), ("ONE.test", "one"), ("two.test", "two"), ("x.two.test", "two")])
@pytest.mark.parametrize("pieces", [0, 7, 200])
def test_tls_by_name(running, name, chain, pieces):
    assert asked(running, "names", name, pieces=pieces)[1] == chain


def test_unknown_name(running):
    with pytest.raises((ConnectionEnded, ConnectionResetError, ssl.SSLError)):
        asked(running, "names", "three.test")


def test_plain_beside_tls(running):
    with running.connect("names") as client:
        assert client.get("/").text == "plain"
        assert client.get("/").text == "plain"


@pytest.mark.parametrize("pieces", [0, 5])
def test_tls_behind_a_proxy_header(running, pieces):
    header = b"PROXY TCP4 10.1.2.3 10.4.5.6 1111 80\r\n"
    assert asked(running, "proxied", "two.test", before=header, pieces=pieces)[1] == "two"


def test_tls_and_http_sniffed(running):
    assert asked(running, "sniffed", "one.test")[1] == "one"
    with running.connect("sniffed") as client:
        assert client.get("/").text == "plain"


def test_transport_socket_connect_timeout(running):
    """The handshake's own clock starts when the chain is known."""
    before = running.stat("listener.slow.downstream_cx_transport_socket_connect_timeout") or 0
    with Client(running.address("slow")) as client:
        client.send(hello("one.test"))
        started = time.monotonic()
        client.read_to_end()
        assert 0.2 < time.monotonic() - started < 2
    running.wait_stat("listener.slow.downstream_cx_transport_socket_connect_timeout", before + 1)


# --- matchers ---------------------------------------------------------------------------------------------------------

def typed(name, url, **fields):
    return {"name": name, "typed_config": {"@type": url, **fields}}


def source(kind):
    return typed(kind, INPUTS + kind)


def to(chain, keep=False):
    made = {"action": typed(chain, "type.googleapis.com/google.protobuf.StringValue", value=chain)}
    if keep:
        made["keep_matching"] = True
    return made


def inside(matcher):
    return {"matcher": matcher}


def exact(kind, pairs, no_match=None):
    made = {"matcher_tree": {"input": source(kind), "exact_match_map": {"map": pairs}}}
    if no_match is not None:
        made["on_no_match"] = no_match
    return made


def prefix(kind, pairs, no_match=None):
    made = {"matcher_tree": {"input": source(kind), "prefix_match_map": {"map": pairs}}}
    if no_match is not None:
        made["on_no_match"] = no_match
    return made


def single(kind, **match):
    return {"single_predicate": {"input": source(kind), "value_match": match}}


def matches(*fields, no_match=None):
    made = {"matcher_list": {"matchers": [{"predicate": p, "on_match": o} for p, o in fields]}}
    if no_match is not None:
        made["on_no_match"] = no_match
    return made


def ip_predicate(kind, *ranges):
    return {"single_predicate": {"input": source(kind), "custom_match": typed(
        "ip", "type.googleapis.com/envoy.extensions.matching.input_matchers.ip.v3.Ip",
        cidr_ranges=cidr(*ranges), stat_prefix="ip")}}


def ip_tree(kind, *entries, no_match=None):
    made = {"matcher_tree": {"input": source(kind), "custom_match": typed(
        "ips", "type.googleapis.com/xds.type.matcher.v3.IPMatcher",
        range_matchers=[{"ranges": cidr(*ranges), "on_match": on, **more} for ranges, on, more in entries])}}
    if no_match is not None:
        made["on_no_match"] = no_match
    return made


def domains(*entries, no_match=None):
    made = {"matcher_tree": {"input": source("ServerNameInput"), "custom_match": typed(
        "domains", "type.googleapis.com/xds.type.matcher.v3.ServerNameMatcher",
        domain_matchers=[{"domains": list(names), "on_match": on} for names, on in entries])}}
    if no_match is not None:
        made["on_no_match"] = no_match
    return made


NEVER = single("TransportProtocolInput", exact="nothing")
CHAINS = ("a", "b", "c")
# name -> (matcher, has a default chain, [(header of the PROXY protocol, what the client says, chain; None: closed)])
V1 = b"PROXY TCP4 %s %s %s %s\r\n"
PLAIN = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


def header(source_ip="10.1.2.3", destination="10.4.5.6", source_port="1111", port="80"):
    return V1 % tuple(x.encode() for x in (source_ip, destination, source_port, port))


MATCHERS = {
    "port-tree": (exact("DestinationPortInput", {"80": to("a"), "81": to("b")}), True,
                  [(header(), "a"), (header(port="81"), "b"), (header(port="82"), "default")]),
    "no-default": (exact("DestinationPortInput", {"80": to("a")}), False, [(header(), "a"), (header(port="81"), None)]),
    "unknown-chain": (exact("DestinationPortInput", {"80": to("nobody")}), True, [(header(), None)]),
    "on-no-match": (exact("SourcePortInput", {"1111": to("a")}, no_match=to("b")), True,
                    [(header(), "a"), (header(source_port="1"), "b")]),
    "only-no-match": ({"on_no_match": to("c")}, True, [(header(), "c")]),
    "nested": (exact("DestinationPortInput", {"80": inside(exact("SourceIPInput", {"10.1.2.3": to("a")}))}, no_match=to("b")), True,
               [(header(), "a"), (header(source_ip="10.1.2.4"), "b"), (header(port="81"), "b")]),
    "prefix": (prefix("SourceIPInput", {"10.": to("a"), "10.1.": to("b")}), True,
               [(header(), "b"), (header(source_ip="10.2.0.1"), "a"), (header(source_ip="11.2.0.1"), "default")]),
    "prefix-back": (prefix("SourceIPInput", {"10.": to("a"), "10.1.": inside(exact("DestinationPortInput", {"80": to("b")}))},
                           no_match=to("c")), True,
                    [(header(), "b"), (header(port="81"), "a"), (header(source_ip="11.0.0.1"), "c")]),
    "list": (matches((single("SourceIPInput", prefix="10.1."), to("a")), (single("SourceIPInput", prefix="10."), to("b"))), True,
             [(header(), "a"), (header(source_ip="10.2.0.1"), "b"), (header(source_ip="1.2.3.4"), "default")]),
    "list-back": (matches((single("SourceIPInput", prefix="10."), inside(exact("DestinationPortInput", {"80": to("a")}))),
                          (single("SourceIPInput", suffix=".3"), to("b"))), True,
                  [(header(), "a"), (header(port="81"), "b"), (header(source_ip="10.0.0.4", port="81"), "default")]),
    "keep-matching": (matches((single("SourceIPInput", prefix="10."), to("a", keep=True)),
                              (single("SourceIPInput", contains="1.2"), to("b"))), True,
                      [(header(), "b"), (header(source_ip="10.0.0.4"), "default")]),
    "and": (matches(({"and_matcher": {"predicate": [single("SourceIPInput", prefix="10."), single("DestinationPortInput", exact="80")]}},
                     to("a"))), True, [(header(), "a"), (header(port="81"), "default"), (header(source_ip="1.1.1.1"), "default")]),
    "or": (matches(({"or_matcher": {"predicate": [NEVER, single("DestinationPortInput", exact="80")]}}, to("a"))), True,
           [(header(), "a"), (header(port="81"), "default")]),
    "not": (matches(({"not_matcher": single("DestinationPortInput", exact="80")}, to("a"))), True,
            [(header(), "default"), (header(port="81"), "a")]),
    "regex": (matches((single("SourceIPInput", safe_regex={"google_re2": {}, "regex": r"10\.[0-9]\.2\.\d"}), to("a"))), True,
              [(header(), "a"), (header(source_ip="10.11.2.3"), "default")]),
    "ip": (matches((ip_predicate("SourceIPInput", "10.1.0.0/16", "2001:db8::/32"), to("a"))), True,
           [(header(), "a"), (header(source_ip="10.2.0.1"), "default"),
            (b"PROXY TCP6 2001:db8::9 ::9 1 2\r\n", "a"), (b"PROXY TCP6 2001:db9::9 ::9 1 2\r\n", "default")]),
    "ip-tree": (ip_tree("SourceIPInput", (["10.0.0.0/8"], to("a"), {}), (["10.1.0.0/16", "::/0"], to("b"), {})), True,
                [(header(), "b"), (header(source_ip="10.2.0.1"), "a"), (header(source_ip="11.0.0.1"), "default"),
                 (b"PROXY TCP6 2001:db8::9 ::9 1 2\r\n", "b")]),
    "ip-tree-back": (ip_tree("SourceIPInput", (["10.0.0.0/8"], to("a"), {}),
                             (["10.1.0.0/16"], inside(exact("DestinationPortInput", {"80": to("b")})), {})), True,
                     [(header(), "b"), (header(port="81"), "a")]),
    "ip-tree-exclusive": (ip_tree("SourceIPInput", (["10.0.0.0/8"], to("a"), {"exclusive": True}),
                                  (["10.1.0.0/16"], inside(exact("DestinationPortInput", {"80": to("b")})), {})), True,
                          [(header(), "b"), (header(port="81"), "default"), (header(source_ip="10.2.0.1"), "a")]),
    "ip-tree-order": (ip_tree("SourceIPInput", (["10.0.0.0/8"], inside(exact("DestinationPortInput", {"80": to("a")})), {}),
                              (["10.0.0.0/8"], to("b"), {})), True, [(header(), "a"), (header(port="81"), "b")]),
    "source-type": (exact("SourceTypeInput", {"local": to("a")}), True,
                    [(header(), "default"), (header(source_ip="127.0.0.1"), "a"),
                     (header(source_ip="10.4.5.6"), "a"), (b"PROXY UNKNOWN\r\n", "a")]),
    "direct-source": (exact("DirectSourceIPInput", {"127.0.0.1": to("a")}), True, [(header(), "a")]),
    "destination-ip": (exact("DestinationIPInput", {"10.4.5.6": to("a")}), True,
                       [(header(), "a"), (header(destination="10.4.5.7"), "default")]),
    "transport": (exact("TransportProtocolInput", {"raw_buffer": to("a"), "tls": to("b")}), True, [(header(), "a")]),
    "application": (exact("ApplicationProtocolInput", {"'http/1.1'": to("a"), "'h2','http/1.1'": to("b")}), True, [(header(), "a")]),
    "no-name": (exact("ServerNameInput", {"a.test": to("a")}), True, [(header(), "default")]),
    "domain-none": (domains((["a.test", "*"], to("a"))), True, [(header(), "default")]),
}


def matched(name):
    matcher, has_default, _ = MATCHERS[name]
    made = c.listener(name, *[answers(n) for n in CHAINS], filter_chain_matcher=matcher, stat_prefix=name,
                      listener_filters=[proxy_protocol(), tls_inspector(), http_inspector()])
    if has_default:
        made["default_filter_chain"] = answers("default")
    return made


ENVOY_CRASHES = ("keep-matching",)  # 1.40, as soon as a connection comes


@pytest.fixture(scope="module")
def matching(flavour):
    with Proxy(flavour, c.static_bootstrap([matched(n) for n in MATCHERS])) as proxy:
        yield proxy


@pytest.mark.parametrize("name, preface, chain", [(n, *way) for n, (_, _, ways) in MATCHERS.items() for way in ways])
def test_matcher(matching, flavour, name, preface, chain):
    if flavour == "envoy" and name in ENVOY_CRASHES:
        pytest.skip("Envoy crashes")
    with matching.connect(name) as client:
        client.send(preface + PLAIN)
        if chain is None:
            assert client.is_closed()
        else:
            assert client.read_response().text == chain


# By what a ClientHello says: the chains are plain, so their answer to it is a 400 or nothing; which took it is counted.
HELLOS = {
    "names": (exact("ServerNameInput", {"a.test": to("a"), "b.test": to("b")}),
              [("a.test", (), "a"), ("B.TEST", (), "b"), ("c.test", (), "default")]),
    "domains": (domains((["a.test"], to("a")), (["*.a.test"], to("b")), (["*.x.a.test"], to("c"))),
                [("a.test", (), "a"), ("y.a.test", (), "b"), ("z.y.a.test", (), "b"), ("q.x.a.test", (), "c"),
                 ("x.a.test", (), "b"), ("other", (), "default")]),
    "any-domain": (domains((["a.test"], inside(exact("ApplicationProtocolInput", {"'h2'": to("a")}))), (["*.test"], to("b")),
                           (["*"], to("c"))),
                   [("a.test", ("h2",), "a"), ("a.test", (), "b"), ("x.y", (), "c")]),
    "protocols": (exact("ApplicationProtocolInput", {"'h2'": to("a"), "'h2','http/1.1'": to("b")}),
                  [("a", ("h2",), "a"), ("a", ("h2", "http/1.1"), "b"), ("a", ("http/1.1",), "default"), ("a", (), "default")]),
    "transport": (exact("TransportProtocolInput", {"tls": to("a")}), [("a", (), "a")]),
}


@pytest.fixture(scope="module")
def naming(flavour):
    listeners = [c.listener(n, *[answers(x) for x in CHAINS], filter_chain_matcher=m, default_filter_chain=answers("default"),
                            listener_filters=[tls_inspector()]) for n, (m, _) in HELLOS.items()]
    with Proxy(flavour, c.static_bootstrap(listeners)) as proxy:
        yield proxy


@pytest.mark.parametrize("name, server_name, protocols, chain", [(n, *way) for n, (_, ways) in HELLOS.items() for way in ways])
def test_matcher_of_hellos(naming, name, server_name, protocols, chain):
    def total(which):
        return naming.stat(f"http.{which}.downstream_cx_total") or 0

    before = {x: total(x) for x in (*CHAINS, "default")}
    with naming.connect(name) as client:
        client.send(hello(server_name, protocols))
        wait_for(lambda: total(chain) == before[chain] + 1, lambda: f"{chain} takes it")
        assert {x: total(x) - before[x] for x in before if x != chain} == {x: 0 for x in before if x != chain}


@pytest.mark.parametrize("chains, matcher, good", [
    ([answers("a")], exact("DestinationPortInput", {"80": to("a")}), True),
    ([answers("a"), answers("a")], exact("DestinationPortInput", {"80": to("a")}), False),
    ([{**answers("a"), "name": ""}], exact("DestinationPortInput", {"80": to("a")}), False),
    ([answers("a", {"server_names": ["x"]}), answers("b", {"server_names": ["x"]})], exact("DestinationPortInput", {"80": to("a")}), True),
    ([answers("a")], exact("DestinationPortInput", {}), False),
    ([answers("a")], exact("NoSuchInput", {"80": to("a")}), False),
    ([answers("a")], {}, True),
    ([answers("a")], matches(), False),
    ([answers("a")], matches((single("SourceIPInput"), to("a"))), False),
    ([answers("a")], matches((single("SourceIPInput", prefix=""), to("a"))), False),
    ([answers("a")], matches((single("SourceIPInput", exact=""), to("a"))), True),
    ([answers("a")], matches((single("SourceIPInput", safe_regex={"google_re2": {}, "regex": "("}), to("a"))), False),
    ([answers("a")], matches(({}, to("a"))), False),
    ([answers("a")], matches((single("SourceIPInput", exact="x"), {})), False),
    ([answers("a")], matches(({"or_matcher": {"predicate": [NEVER]}}, to("a"))), False),
    ([answers("a")], ip_tree("SourceIPInput", ([], to("a"), {})), False),
    ([answers("a")], ip_tree("SourceIPInput"), True),
    ([answers("a")], ip_tree("SourceIPInput", (["10.0.0.0/33"], to("a"), {})), True),
    ([answers("a")], domains((["a", "a"], to("a"))), False),
    ([answers("a")], domains((["a"], to("a")), (["a"], to("a"))), False),
    ([answers("a")], domains((["*a"], to("a"))), False),
    ([answers("a")], domains((["*."], to("a"))), False),
    ([answers("a")], domains((["*.a.*"], to("a"))), False),
    ([answers("a")], domains(([""], to("a"))), False),
    ([answers("a")], domains(([], to("a"))), False),
    ([answers("a")], matches((single("SourceIPInput", exact="x"), {"action": typed("x", "type.googleapis.com/google.protobuf.Duration")})),
     False),
    ([answers("a")], matches((ip_predicate("SourceIPInput"), to("a"))), False),
])
def test_matcher_verdicts(flavour, chains, matcher, good):
    code, output = validate(flavour, c.static_bootstrap([c.listener("l", *chains, filter_chain_matcher=matcher)]))
    assert (code == 0) == good, output
