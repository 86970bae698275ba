"""Whole paths: passthrough by SNI to two TLS backends; re-encryption with certificates of both ends on both sides; what the
backend is told about the client; curl as client."""

import pytest

from harness import config as c
from harness.certs import Authority
from harness.client import request
from harness.proxy import Proxy
from harness.tls import TlsClient, attempt, context, curl
from harness.upstream import Origin, Reply
from harness.wait import wait_for

ROOT = Authority("root")
OTHER = Authority("other")
BACKENDS = {name: ROOT.leaf(name, dns=[f"{name}.example"]) for name in ("a", "b")}
EDGE = ROOT.leaf("edge", dns=["edge.example"])
PROXY_AS_CLIENT = ROOT.leaf("proxy", uri=["spiffe://test.example/proxy"])
CLIENT = ROOT.leaf("client", uri=["spiffe://test.example/client"], dns=["client.example"])
STRANGER = OTHER.leaf("stranger")


@pytest.fixture(scope="module")
def backends():
    made = {name: Origin(name, tls=context(server=True, certificate=issued)) for name, issued in BACKENDS.items()}
    yield made
    for origin in made.values():
        origin.close()


@pytest.fixture(scope="module")
def passthrough(flavour, backends):
    chains = [c.chain(c.tcp_proxy(name, stat_prefix=name), match={"server_names": [f"{name}.example", f"*.{name}.example"]})
              for name in backends]
    listener = c.listener("l", *chains, listener_filters=[c.tls_inspector()], stat_prefix="l")
    clusters = [c.cluster(name, origin.port) for name, origin in backends.items()]
    with Proxy(flavour, c.static_bootstrap([listener], clusters)) as proxy:
        yield proxy


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("sni, name", [("a.example", "a"), ("b.example", "b"), ("x.y.b.example", "b")])
def test_passthrough_by_sni(passthrough, backends, sni, name, version):
    """The backend's own certificate reaches the client: nothing is decrypted on the way."""
    backends[name].forget()
    seen = attempt(passthrough.address(), sni=sni, versions=version, ca=ROOT)
    assert seen.status == 200 and seen.response.text == name
    assert seen.served == BACKENDS[name].sha256
    assert [h.sni for h in backends[name].handshakes] == [sni]


@pytest.mark.parametrize("sni", ["c.example", None, "a.example.evil"])
def test_passthrough_of_nobodys_name(passthrough, sni):
    before = passthrough.stat("listener.l.no_filter_chain_match")
    seen = attempt(passthrough.address(), sni=sni)
    assert seen.status is None and seen.end in ("FIN", "RST")
    assert passthrough.stat("listener.l.no_filter_chain_match") == before + 1


def test_passthrough_resumes_with_the_backend(passthrough):
    """A session made through the proxy is one of the backend's."""
    made = context(versions="1.3")
    first = attempt(passthrough.address(), tls=made, sni="a.example")
    assert attempt(passthrough.address(), tls=made, sni="a.example", session=first.session).resumed


def test_passthrough_of_a_megabyte(passthrough, backends):
    body = bytes(range(256)) * 4096
    backends["b"].forget()
    backends["b"].on("/big", Reply(body=body))
    with TlsClient(passthrough.address(), sni="b.example") as client:
        got = client.get("/big", method="POST", body=body)
    assert got.body == body and backends["b"].take()[0].body == body


@pytest.fixture(scope="module")
def reencryption(flavour, tmp_path_factory):
    """mTLS in, mTLS out; x-forwarded-client-cert of the client to the backend."""
    origin = Origin("origin", tls=context(server=True, certificate=BACKENDS["a"], ca=ROOT))
    table = c.simple_routes("r", "a")
    hcm = c.hcm(table, forward_client_cert_details="SANITIZE_SET",
                set_current_client_cert_details={"subject": True, "uri": True, "dns": True})
    front = c.downstream_tls(EDGE, validation=c.trust(ROOT, san=[{"san_type": "URI", "matcher": {
        "prefix": "spiffe://test.example/"}}]), require_client_certificate=True, alpn=["h2", "http/1.1"])
    back = c.upstream_tls(PROXY_AS_CLIENT, validation=c.trust(ROOT, san=[("DNS", "a.example")]), sni="a.example",
                          params={"tls_maximum_protocol_version": "TLSv1_3"})
    cluster = c.cluster("a", origin.port, transport_socket=back)
    listener = c.listener("l", c.chain(hcm, transport_socket=front), stat_prefix="l")
    with Proxy(flavour, c.static_bootstrap([listener], [cluster])) as proxy:
        proxy.origin = origin
        yield proxy
    origin.close()


def test_reencryption(reencryption):
    origin = reencryption.origin
    origin.forget()
    seen = attempt(reencryption.address(), sni="edge.example", certificate=CLIENT, alpn=["http/1.1"])
    assert seen.status == 200 and seen.served == EDGE.sha256
    asked = origin.take()[0]
    assert asked.header("x-forwarded-proto") == "https"
    assert asked.header("x-forwarded-client-cert") == (
        f'Hash={CLIENT.sha256};Subject="CN=client";URI=spiffe://test.example/client;DNS=client.example')
    wait_for(lambda: all(h.peer == PROXY_AS_CLIENT.der and h.sni == "a.example" for h in origin.handshakes), "its handshake")


def test_reencryption_keeps_strangers_out(reencryption):
    reencryption.origin.forget()
    for certificate, end in ((None, "certificate_required"), (STRANGER, "unknown_ca")):
        seen = attempt(reencryption.address(), sni="edge.example", certificate=certificate, versions="1.3")
        assert (seen.status, seen.end) == (None, end)
    assert reencryption.origin.take() == []


def test_a_forged_header_is_replaced(reencryption):
    reencryption.origin.forget()
    attempt(reencryption.address(), certificate=CLIENT,
            headers=[("x-forwarded-client-cert", "Hash=0;Subject=\"CN=admin\"")])
    assert "admin" not in reencryption.origin.take()[0].header("x-forwarded-client-cert")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    place = tmp_path_factory.mktemp("curl")
    (place / "ca.pem").write_text(ROOT.ca_pem)
    CLIENT.files(place, "client")
    STRANGER.files(place, "stranger")
    return place


@pytest.mark.parametrize("http", ["--http1.1", "--http2"])
@pytest.mark.parametrize("who, works", [("client", True), ("stranger", False), (None, False)])
def test_curl(reencryption, files, who, works, http):
    """curl checks the server's name and chain, and shows its certificate."""
    host, port = reencryption.address()
    shown = ["--cert", str(files / f"{who}.pem"), "--key", str(files / f"{who}.key")] if who else []
    code, status, said = curl(f"https://edge.example:{port}/", http, "--cacert", str(files / "ca.pem"),
                              "--resolve", f"edge.example:{port}:{host}", *shown)
    assert (code == 0 and status == 200) == works, said
    if not works:
        assert "alert" in said or code in (16, 35, 55, 56), said


def test_curl_refuses_the_wrong_name(reencryption, files):
    host, port = reencryption.address()
    code, _, said = curl(f"https://else.example:{port}/", "--cacert", str(files / "ca.pem"),
                         "--resolve", f"else.example:{port}:{host}")
    assert code == 60, said


def test_h2_and_h1_by_alpn(reencryption):
    """What was agreed is what is spoken: both on one port."""
    before = {v: reencryption.stat(f"http.ingress.downstream_cx_http{v}_total") for v in (1, 2)}
    with TlsClient(reencryption.address(), certificate=CLIENT, alpn=["h2"]) as client:
        assert client.object.selected_alpn_protocol() == "h2"
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000"))
        assert client.read_some()[3] == 4  # SETTINGS
    with TlsClient(reencryption.address(), certificate=CLIENT, alpn=["http/1.1"]) as client:
        assert client.exchange(request()).status == 200
    for version in (1, 2):
        reencryption.wait_stat(f"http.ingress.downstream_cx_http{version}_total", before[version] + 1)
