"""TLS passed through by name to two backends (tls_inspector, sni_cluster), and by filter chains; names that lead nowhere."""

import socket
import ssl

import pytest

from filters.network.relay import differences, tcp
from harness import config as c
from harness import tls
from harness.certs import Authority
from harness.proxy import Proxy
from harness.tls_front import TlsFront
from harness.upstream import Origin
from harness.wait import wait_for

SNI_CLUSTER = "type.googleapis.com/envoy.extensions.filters.network.sni_cluster.v3.SniCluster"
LOG = "%REQUESTED_SERVER_NAME%|%UPSTREAM_CLUSTER%|%RESPONSE_FLAGS%|%FILTER_STATE(envoy.tcp_proxy.cluster:PLAIN)%\n"
AUTHORITY = Authority()
NAMES = ("one.example", "two.example")


@pytest.fixture(scope="module")
def fronts():
    """Two TLS servers, each with a certificate and an origin of its own."""
    made = {}
    for name in NAMES:
        origin = Origin(name)
        made[name] = TlsFront(origin.port, tls.context(server=True, certificate=AUTHORITY.leaf(name, dns=[name])))
    yield made
    for front in made.values():
        front.close()


def by_name(log, weighted=False):
    relay = tcp("default", log, LOG) if not weighted else tcp(None, log, LOG, weighted_clusters={
        "clusters": [{"name": "default", "weight": 1}]})
    return [{"name": "sni", "typed_config": {"@type": SNI_CLUSTER}}, relay]


@pytest.fixture(scope="module")
def proxies(flavours, fronts, tmp_path_factory):
    made = {}
    for flavour in flavours:
        log = tmp_path_factory.mktemp("sni") / f"{flavour}.log"
        log.touch()
        chains = [c.chain(tcp(name, log, LOG), match={"server_names": [name]}) for name in NAMES]
        bootstrap = c.static_bootstrap(
            [c.listener("by name", c.chain(*by_name(log)), listener_filters=[c.tls_inspector()]),
             c.listener("weighted", c.chain(*by_name(log, True)), listener_filters=[c.tls_inspector()]),
             c.listener("by chain", *chains, listener_filters=[c.tls_inspector()])],
            [*(c.cluster(name, front.port) for name, front in fronts.items()),
             c.cluster("default", fronts["one.example"].port)])
        made[flavour] = Proxy(flavour, bootstrap)
        made[flavour].lines = log
    try:
        for proxy in made.values():
            proxy.start()
        yield made
    finally:
        for proxy in made.values():
            proxy.stop()


def ask(proxy, listener, name):
    """Whose certificate came, and the line of the log."""
    offset = proxy.lines.stat().st_size
    context = tls.context(ca=AUTHORITY)
    context.check_hostname = name is not None
    with socket.create_connection(proxy.address(listener), timeout=10) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=name) as secure:
                seen = dict(pair[0] for pair in secure.getpeercert()["subject"])["commonName"]
                secure.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                assert secure.recv(4096).startswith(b"HTTP/1.1 200")
        except (ssl.SSLError, ConnectionResetError):
            seen = None
    if name != "three.example" or listener != "by chain":
        wait_for(lambda: proxy.lines.stat().st_size > offset, "a line", 5)
    return seen, proxy.lines.read_bytes()[offset:].decode()


CASES = {
    "one": ("by name", "one.example"), "two": ("by name", "two.example"), "in capitals": ("by name", "TWO.example"),
    "unknown": ("by name", "three.example"), "no name": ("by name", None),
    "not over weights": ("weighted", "two.example"),
    "chain of one": ("by chain", "one.example"), "chain of two": ("by chain", "two.example"),
    "no chain": ("by chain", "three.example"),
}


@pytest.mark.parametrize("case", CASES)
def test_as_envoy(proxies, case):
    outcomes = {flavour: ask(proxy, *CASES[case]) for flavour, proxy in proxies.items()}
    if len(outcomes) == 2:
        assert differences(outcomes["nuncio"], outcomes["envoy"]) == []
    listener, name = CASES[case]
    wanted = name if name in NAMES and listener != "weighted" else None
    if wanted is not None:
        assert {seen for seen, _ in outcomes.values()} == {wanted}
