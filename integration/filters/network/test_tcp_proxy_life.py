"""Relayed connections while the configuration changes under them; tunnels ended by a real proxy."""

import socket

import pytest

from filters.network.relay import tcp
from harness import config as c
from harness import tls
from harness.certs import Authority
from harness.proxy import Proxy
from harness.tcp_peer import Backend, dial
from harness.wait import wait_for


@pytest.fixture
def backend():
    with Backend() as made:
        yield made


def exchange(client, host, data=b"ping"):
    client.send(data)
    assert host.read(len(data)) == data
    host.send(data)
    assert client.read(len(data)) == data


# Changes.


@pytest.fixture
def proxy(flavour, delta, ads):
    with Proxy(flavour, c.ads_bootstrap(ads.port, delta=delta), ready=False, args=["--drain-time-s", "1"]) as running:
        yield running


def serve(ads, backend, idle="3600s", check=False, clusters=(), wait=False):
    """The relay listener as it is to be; idle is what changes of it."""
    mark = ads.mark()
    ads.set("cds", c.cluster("a", backend.port), *(c.cluster(name, backend.port) for name in clusters))
    ads.set("lds", c.listener("l", tcp("a", idle_timeout=idle, check_drain_close=check)))
    if wait:
        ads.wait_ack("lds", mark)


def test_changes_elsewhere_are_not_noticed(proxy, ads, backend):
    serve(ads, backend)
    with dial(proxy.wait_listener("l")) as client, backend.accept() as host:
        exchange(client, host)
        serve(ads, backend, clusters=("b", "c"))
        proxy.wait_stat("cluster_manager.active_clusters", lambda n: n >= 3)
        exchange(client, host)
        client.fin()
        assert host.read_to_end() == (b"", "FIN")
        host.fin()
        assert client.read_to_end() == (b"", "FIN")


def test_a_changed_listener_leaves_them_until_the_drain_ends(proxy, ads, backend):
    serve(ads, backend)
    with dial(proxy.wait_listener("l")) as client, backend.accept() as host:
        exchange(client, host)
        serve(ads, backend, idle="7s", wait=True)
        exchange(client, host, b"still there")
        assert client.read_to_end()[0] == b""
        assert host.read_to_end()[0] == b""
    with dial(proxy.wait_listener("l")) as client, backend.accept() as host:
        exchange(client, host)


def test_check_drain_close_ends_them_with_their_next_bytes(proxy, ads, backend):
    serve(ads, backend, check=True)
    with dial(proxy.wait_listener("l")) as client, backend.accept() as host:
        exchange(client, host)
        serve(ads, backend, idle="7s", check=True, wait=True)
        host.send(b"last")
        assert client.read_to_end()[0] == b"last"
        host.read_to_end()


def test_a_removed_cluster_keeps_its_connections(proxy, ads, backend):
    ads.set("cds", c.cluster("a", backend.port), c.cluster("b", backend.port))
    ads.set("lds", c.listener("l", tcp("b")))
    with dial(proxy.wait_listener("l")) as client, backend.accept() as host:
        exchange(client, host)
        mark = ads.mark()
        ads.set("cds", c.cluster("a", backend.port), replace=True)
        ads.wait_ack("cds", mark)
        exchange(client, host)
        client.fin()
        host.read_to_end()
        host.send(b"bye")
        host.fin()
        assert client.read_to_end() == (b"bye", "FIN")


# TLS on the client's side.


@pytest.mark.parametrize("mode", ["ON_DOWNSTREAM_TLS_HANDSHAKE", "IMMEDIATE"])
def test_host_is_asked_for_after_the_handshake(flavour, backend, mode):
    """And not after the first byte: the host may be the one to speak first."""
    more = {"upstream_connect_mode": mode, "max_early_data_bytes": 100} if mode != "IMMEDIATE" else {}
    listener = c.listener("l", c.chain(tcp("a", **more), transport_socket=c.downstream_tls(Authority().leaf("proxy"))))
    with Proxy(flavour, c.static_bootstrap([listener], [c.cluster("a", backend.port)])) as proxy:
        with socket.create_connection(proxy.address(), timeout=10) as plain:
            assert backend.has_waiting(0.15) == (mode == "IMMEDIATE")
            with tls.context().wrap_socket(plain) as client, backend.accept() as host:
                host.send(b"banner")
                assert client.recv(6) == b"banner"
                client.sendall(b"x" * 100000)
                assert len(host.read(100000)) == 100000
                host.fin()
                assert client.recv(1) == b""
                client.sendall(b"after the host's end")
                assert host.read(20) == b"after the host's end"


# A tunnel from one proxy to another.


def terminator(flavour, backend, is_h2):
    """Ends CONNECT: its bytes go on as TCP."""
    upgrade = {"upgrade_type": "CONNECT", "connect_config": {}}
    table = c.routes("r", c.vhost("all", ["*"], c.route({"connect_matcher": {}}, {
        "cluster": "backend", "upgrade_configs": [upgrade]})))
    more = {"http2_protocol_options": {"allow_connect": True}} if is_h2 else {}
    return Proxy(flavour, c.static_bootstrap(
        [c.listener("l", c.hcm(table, upgrade_configs=[{"upgrade_type": "CONNECT"}], **more))],
        [c.cluster("backend", backend.port)]), name=f"terminating {flavour}")


def opener(flavour, port, is_h2, **more):
    options = {"typed_extension_protocol_options": c.http_options()} if is_h2 else {}
    return Proxy(flavour, c.static_bootstrap(
        [c.listener("l", tcp("proxy", tunneling_config={"hostname": "host.example:1", **more}))],
        [c.cluster("proxy", port, **options)]))


@pytest.mark.parametrize("is_h2", [False, True], ids=["h1", "h2"])
@pytest.mark.parametrize("other", ["envoy", "nuncio"])
def test_tunnel_to_a_proxy_that_ends_it(flavour, flavours, other, is_h2, backend):
    if other not in flavours:
        pytest.skip(f"without {other}")
    with terminator(other, backend, is_h2) as end, opener(flavour, end.address()[1], is_h2) as start:
        with dial(start.address()) as client, backend.accept() as host:
            exchange(client, host)
            sent = b"x" * 3000000
            host.send(sent[:100000])
            assert client.read(100000) == sent[:100000]
            client.send(sent[:200000])
            assert host.read(200000) == sent[:200000]
            client.fin()
            assert host.read_to_end()[0] == b""
            host.fin()
            assert client.read_to_end()[0] == b""
        wait_for(lambda: start.stat("cluster.proxy.upstream_rq_active") == 0, "the tunnel is over")
