"""gRPC's interop cases, Go client and Go server, through the proxy: h2c in, h2c out."""

import pytest

from harness import config as c
from harness.grpc_interop import CASES, InteropServer, run_case
from harness.proxy import Proxy


@pytest.fixture(scope="module")
def server():
    with InteropServer() as made:
        yield made


@pytest.fixture(scope="module")
def proxy(flavour, server):
    table = c.simple_routes("r", "interop")
    cluster = c.cluster("interop", server.port, typed_extension_protocol_options=c.http_options())
    with Proxy(flavour, c.static_bootstrap([c.listener("l", c.hcm(table))], [cluster])) as made:
        yield made


@pytest.mark.parametrize("name", CASES)
def test_interop(proxy, name):
    code, said = run_case(proxy.address()[1], name)
    assert code == 0, said
    # It is the proxy that carried the call, over HTTP/2 on both sides.
    assert proxy.stat("http.ingress.downstream_cx_http2_total") > 0
    assert proxy.stat("cluster.interop.upstream_cx_http2_total") > 0
