"""Istio's istio.alpn: what is offered to the upstream. Envoy itself has no such filter."""

import pytest

from harness import config as c
from harness.alpn_origin import AlpnOrigin
from harness.certs import self_signed
from harness.client import Client, request
from harness.h2peer import H2Client
from harness.proxy import Proxy
from harness.tls import context

TYPE = "type.googleapis.com/istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig"
# As Istio pushes it.
FILTER = {"name": "istio.alpn", "typed_config": {"@type": TYPE, "alpn_override": [
    {"alpn_override": ["istio-http/1.0", "istio", "http/1.0"]},
    {"upstream_protocol": "HTTP11", "alpn_override": ["istio-http/1.1", "istio", "http/1.1"]},
    {"upstream_protocol": "HTTP2", "alpn_override": ["istio-h2", "istio", "h2"]}]}}
HTTP11, HTTP2 = (entry["alpn_override"] for entry in FILTER["typed_config"]["alpn_override"][1:])
SOCKET = c.upstream_tls(alpn=["istio-peer-exchange", "istio"])


def cluster(name, origin, protocol, **more):
    return c.cluster(name, origin.port, transport_socket=SOCKET, typed_extension_protocol_options=c.http_options(**protocol), **more)


@pytest.fixture(scope="module")
def world(flavours):
    if "nuncio" not in flavours:
        pytest.skip("Envoy has no such filter")
    origin = AlpnOrigin("origin", context(server=True, certificate=self_signed("a.example"), alpn=["h2", "http/1.1"]))
    clusters = [
        cluster("downstream", origin, {"use_downstream_protocol_config": {"http2_protocol_options": {}}}),
        cluster("http1", origin, {"explicit_http_config": {"http_protocol_options": {}}}),
        cluster("http2", origin, {"explicit_http_config": {"http2_protocol_options": {}}}),
        cluster("off", origin, {"explicit_http_config": {"http_protocol_options": {}}},
                metadata={"filter_metadata": {"istio": {"alpn_override": "false"}}}),
    ]
    table = c.routes("r", c.vhost("all", ["*"], *(c.route({"path": f"/{made['name']}"}, made["name"]) for made in clusters)))
    listeners = [c.listener("with", c.hcm(table, filters=[FILTER])), c.listener("without", c.hcm(table))]
    with Proxy("nuncio", c.static_bootstrap(listeners, clusters)) as proxy:
        yield proxy, origin
    origin.close()


@pytest.mark.parametrize("name,h2,offered", [
    ("downstream", False, HTTP11), ("downstream", True, HTTP2), ("http1", False, HTTP11), ("http1", True, HTTP11),
    ("http2", False, HTTP2), ("off", False, ["istio-peer-exchange", "istio"])])
def test_what_is_offered(world, name, h2, offered):
    proxy, origin = world
    origin.drop_connections()
    origin.wait_open(0)
    proxy.wait_stat(f"cluster.{name}.upstream_cx_active", lambda v: not v)
    origin.forget()
    if h2:
        with H2Client(proxy.address("with")) as client:
            client.finish(client.start([(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", f"/{name}")],
                                       end=True))
    else:
        with Client(proxy.address("with")) as client:
            client.exchange(request("GET", f"/{name}", "a"))
    assert origin.hellos[0].alpn == offered


def test_others_have_connections_of_their_own(world):
    proxy, origin = world
    origin.drop_connections()
    origin.wait_open(0)
    proxy.wait_stat("cluster.http1.upstream_cx_active", lambda v: not v)
    origin.forget()
    for listener in ("with", "without", "with", "without"):
        with Client(proxy.address(listener)) as client:
            assert client.exchange(request("GET", "/http1", "a")).status == 200
    assert [hello.alpn for hello in origin.hellos] == [HTTP11, ["istio-peer-exchange", "istio"]]
