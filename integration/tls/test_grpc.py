"""gRPC's interop cases over TLS: to the client, to the server, and over mTLS between two proxies."""

import pytest

from harness import config as c
from harness.certs import Authority
from harness.grpc_interop import CASES, InteropServer, over_tls, run_case
from harness.proxy import Proxy

ROOT = Authority("root")
NAME = "interop.example"
SERVER = ROOT.leaf("server", dns=[NAME])
CLIENT = ROOT.leaf("client", uri=["spiffe://test.example/edge"])
TRUST = c.trust(ROOT, san=[("DNS", NAME)])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    made = tmp_path_factory.mktemp("grpc-tls")
    (made / "ca.pem").write_text(ROOT.ca_pem)
    return made


@pytest.fixture(scope="module")
def server(place):
    with InteropServer(SERVER.files(place, "server")) as made:
        yield made


def forwarding(server_port, front, back, name):
    """One listener, one cluster, HTTP/2 on both sides."""
    table = c.simple_routes("r", "next")
    cluster = c.cluster("next", server_port, typed_extension_protocol_options=c.http_options(), transport_socket=back)
    chain = c.chain(c.hcm(table, stat_prefix=name), transport_socket=front)
    return c.static_bootstrap([c.listener("l", chain, stat_prefix=name)], [cluster])


@pytest.fixture(scope="module")
def tls(flavour, server):
    """TLS in, TLS out."""
    front = c.downstream_tls(SERVER, alpn=["h2"])
    back = c.upstream_tls(validation=TRUST, sni=NAME)
    with Proxy(flavour, forwarding(server.port, front, back, "tls")) as made:
        yield made


@pytest.fixture(scope="module")
def mtls(flavour, server):
    """TLS in; mTLS from an edge to a second proxy beside the server; TLS to the server."""
    trusts_edge = c.trust(ROOT, san=[("URI", "spiffe://test.example/edge")])
    inner = forwarding(server.port, c.downstream_tls(SERVER, alpn=["h2"], validation=trusts_edge,
                                                     require_client_certificate=True),
                       c.upstream_tls(validation=TRUST, sni=NAME, alpn=["h2"]), "inner")
    with Proxy(flavour, inner) as second:
        edge = forwarding(second.address()[1], c.downstream_tls(SERVER, alpn=["h2"]),
                          c.upstream_tls(CLIENT, validation=TRUST, sni=NAME, alpn=["h2"],
                                         params={"tls_maximum_protocol_version": "TLSv1_3"}), "edge")
        with Proxy(flavour, edge) as made:
            made.second = second
            yield made


@pytest.mark.parametrize("name", CASES)
def test_interop_over_tls(tls, place, name):
    code, said = run_case(tls.address()[1], name, *over_tls(place / "ca.pem", NAME))
    assert code == 0, said
    assert tls.stat("listener.tls.ssl.handshake") > 0 and tls.stat("cluster.next.ssl.handshake") > 0
    assert tls.stat("http.tls.downstream_cx_http2_total") > 0 and tls.stat("cluster.next.upstream_cx_http2_total") > 0


@pytest.mark.parametrize("name", CASES)
def test_interop_over_mtls(mtls, place, name):
    code, said = run_case(mtls.address()[1], name, *over_tls(place / "ca.pem", NAME))
    assert code == 0, said
    assert mtls.second.stat("listener.inner.ssl.handshake") > 0
    assert mtls.second.stat("listener.inner.ssl.no_certificate") == 0
    assert mtls.stat("cluster.next.ssl.versions.TLSv1.3") > 0
