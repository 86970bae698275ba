"""Limits on the number of downstream connections: a listener's, the process's, a filter chain's."""

import os
import resource
import socket
import time
from contextlib import ExitStack

import pytest

from harness import config as c
from harness.client import ConnectionEnded
from harness.proxy import Proxy
from harness.upstream import Origin
from harness.wait import wait_for

LIMIT = "type.googleapis.com/envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit"
DOWNSTREAM = "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
LISTENER = "listener.127.0.0.1_0"


def connection_limit(stat_prefix="limit", most=1, **more):
    return {"name": "limit", "typed_config": {
        "@type": LIMIT, "stat_prefix": stat_prefix, "max_connections": most, **more}}


def manager(stat_prefix="ingress"):
    return c.hcm(c.routes("r", c.vhost("all", ["*"], c.direct("/", body="well"))), stat_prefix=stat_prefix)


def runtime(**layer):
    return {"layered_runtime": {"layers": [{"name": "static", "static_layer": layer}, {"name": "admin", "admin_layer": {}}]}}


def is_served(proxy, listener):
    """Whether a new connection gets an answer; else it must be closed without one."""
    with proxy.connect(listener) as client:
        try:
            client.send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
            return client.read_response().status == 200
        except (ConnectionEnded, OSError):
            return False


def hold(stack, proxy, listener):
    """An open connection that has been served."""
    client = stack.enter_context(proxy.connect(listener))
    client.send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    assert client.read_response().status == 200
    return client


@pytest.fixture(scope="module")
def proxy(flavour):
    listeners = [
        c.listener("few", manager(), stat_prefix="few"),
        c.listener("free", manager(), stat_prefix="free"),
        c.listener("inspected", manager(), stat_prefix="inspected", listener_filters_timeout="0.2s", listener_filters=[
            {"name": "tls", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"}}]),
        c.listener("filter", c.chain(connection_limit("one"), manager()), stat_prefix="filter"),
        c.listener("delayed", c.chain(connection_limit("slow", delay="0.4s"), manager()), stat_prefix="delayed"),
        c.listener("off", c.chain(connection_limit("off", runtime_enabled={
            "default_value": False, "runtime_key": "limit.enabled"}), manager()), stat_prefix="off"),
    ]
    layer = {
        "envoy.resource_limits.listener.few.connection_limit": 2,
        "envoy.resource_limits.listener.inspected.connection_limit": 1,
    }
    with Proxy(flavour, c.static_bootstrap(listeners, **runtime(**layer)), concurrency=2) as running:
        running.wait_listener("off")
        yield running


def test_a_listener_takes_so_many_connections_at_once(proxy):
    with ExitStack() as stack:
        held = [hold(stack, proxy, "few") for _ in range(2)]
        for n in range(1, 4):
            assert not is_served(proxy, "few")
            proxy.wait_stat("listener.few.downstream_cx_overflow", n)
        assert is_served(proxy, "free")
        held[0].close()
        proxy.wait_stat("listener.few.downstream_cx_active", 1)
        wait_for(lambda: is_served(proxy, "few"), "there is room again")
        held[1].send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        assert held[1].read_response().status == 200
    assert proxy.stat("listener.few.downstream_global_cx_overflow") == 0


def test_the_limit_of_a_listener_may_change_while_it_runs(proxy):
    with ExitStack() as stack:
        hold(stack, proxy, "free")
        reply = proxy.admin("/runtime_modify?envoy.resource_limits.listener.free.connection_limit=1", "POST")
        assert reply.status == 200
        wait_for(lambda: not is_served(proxy, "free"), "the limit holds")
        assert proxy.admin("/runtime_modify?envoy.resource_limits.listener.free.connection_limit=", "POST").status == 200
        wait_for(lambda: is_served(proxy, "free"), "there is no limit")


def test_connections_in_inspection_count(proxy):
    with proxy.connect("inspected") as silent:
        proxy.wait_stat("listener.inspected.downstream_pre_cx_active", 1)
        assert not is_served(proxy, "inspected")
        proxy.wait_stat("listener.inspected.downstream_cx_overflow", 1)
        assert silent.is_closed()  # it said nothing in time
    wait_for(lambda: is_served(proxy, "inspected"), "there is room again")


def test_a_filter_chain_takes_so_many_connections_at_once(proxy):
    with ExitStack() as stack:
        held = hold(stack, proxy, "filter")
        assert proxy.stat("connection_limit.one.active_connections") == 1
        assert not is_served(proxy, "filter")
        proxy.wait_stat("connection_limit.one.limited_connections", 1)
        proxy.wait_stat("connection_limit.one.active_connections", 1)
        held.close()
        proxy.wait_stat("connection_limit.one.active_connections", 0)
        assert is_served(proxy, "filter")
        proxy.wait_stat("connection_limit.one.active_connections", 0)
    assert proxy.stat("listener.filter.downstream_cx_overflow") == 0


def test_a_rejected_connection_may_be_kept_waiting(proxy):
    with ExitStack() as stack:
        hold(stack, proxy, "delayed")
        started = time.monotonic()
        assert not is_served(proxy, "delayed")
        assert time.monotonic() - started > 0.35
        proxy.wait_stat("connection_limit.slow.active_connections", 1)


def test_the_runtime_switches_the_filter(proxy):
    with ExitStack() as stack:
        for _ in range(3):
            hold(stack, proxy, "off")
        assert proxy.stat("connection_limit.off.active_connections") == 0
    assert proxy.stat("connection_limit.off.limited_connections") == 0


def test_the_filters_series_are_tagged(proxy):
    page = proxy.admin("/stats/prometheus").text
    assert 'envoy_connection_limit_active_connections{envoy_connection_limit_prefix="one"} ' in page


# The whole process.


def globally_limited(flavour, **more):
    listeners = [
        c.listener("a", manager(), stat_prefix="a"),
        c.listener("b", manager(), stat_prefix="b"),
        c.listener("exempt", manager(), stat_prefix="exempt", ignore_global_conn_limit=True),
    ]
    return Proxy(flavour, c.static_bootstrap(listeners, **more), concurrency=2)


def test_the_runtime_limits_all_connections(flavour):
    """Envoy's admin interface is refused too while there are too many, nuncio's is not."""
    with globally_limited(flavour, **runtime(**{"overload.global_downstream_max_connections": 3})) as proxy, \
            ExitStack() as stack:
        for name in ("a", "b", "exempt"):
            proxy.address(name)
        held = [hold(stack, proxy, name) for name in ("a", "b", "exempt")]
        assert not is_served(proxy, "a")
        assert is_served(proxy, "exempt")
        held[0].close()
        wait_for(lambda: is_served(proxy, "b"), "there is room again")
        for client in held:
            client.close()
        wait_for(lambda: is_served(proxy, "a"), "Envoy's admin interface is served again")
        proxy.wait_stat("listener.a.downstream_global_cx_overflow", lambda n: n >= 1)


def test_a_resource_monitor_limits_all_connections(flavour):
    monitor = {"name": "envoy.resource_monitors.global_downstream_max_connections", "typed_config": {
        "@type": DOWNSTREAM, "max_active_downstream_connections": 2}}
    with globally_limited(flavour, overload_manager={"resource_monitors": [monitor]}) as proxy, ExitStack() as stack:
        proxy.wait_listener("exempt")
        hold(stack, proxy, "exempt")  # does not count
        held = [hold(stack, proxy, name) for name in ("a", "b")]
        assert not is_served(proxy, "b")
        proxy.wait_stat("listener.b.downstream_global_cx_overflow", 1)
        held[0].close()
        wait_for(lambda: is_served(proxy, "b"), "there is room again")


# What the system has.


def few_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))


@pytest.fixture
def nuncio_only(pytestconfig):
    if pytestconfig.getoption("--oracle-only"):
        pytest.skip("nuncio's own")


def test_without_configuration_the_descriptors_limit(nuncio_only):
    """Each connection may want one to its upstream: half of what the process may have, and some to spare."""
    with Origin("a") as origin:
        listener = c.listener("a", c.hcm(c.simple_routes("r", "a")), stat_prefix="a")
        bootstrap = c.static_bootstrap([listener], [c.cluster("a", origin.port)])
        with Proxy("nuncio", bootstrap, start_in=few_descriptors) as proxy, ExitStack() as stack:
            proxy.wait_listener("a")
            held = [stack.enter_context(proxy.connect("a")) for _ in range(60)]
            refused = proxy.wait_stat("listener.a.downstream_global_cx_overflow", lambda n: n > 0)
            served = proxy.wait_stat("listener.a.downstream_cx_active", 60 - refused)
            assert 30 <= served <= 40
            for client in held[:served]:  # all at once: an upstream connection each
                client.send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
            for client in held[:served]:
                assert client.read_response().status == 200
            assert all(client.is_closed() for client in held[served:])


def test_out_of_descriptors_accepting_pauses_and_recovers(nuncio_only):
    """Faults 39: connections wait, the proxy does not spin, a counter moves."""
    layer = runtime(**{"overload.global_downstream_max_connections": 100000})
    with globally_limited("nuncio", **layer) as proxy, ExitStack() as stack:
        held = [hold(stack, proxy, "a") for _ in range(5)]
        before = resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE)
        admin = stack.enter_context(socket.create_connection(proxy.admin_address))
        stats = b"GET /stats?filter=accept_paused HTTP/1.1\r\nHost: t\r\n\r\n"
        admin.sendall(stats)
        assert b"listener.a.downstream_cx_accept_paused: 0" in admin.recv(65536)
        resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (proxy.open_files(), before[1]))
        waiting = [stack.enter_context(proxy.connect("a")) for _ in range(20)]
        cpu = proxy.cpu_ns()
        time.sleep(0.5)
        assert proxy.cpu_ns() - cpu < 0.1e9
        admin.sendall(stats)
        assert b"listener.a.downstream_cx_accept_paused: 0" not in admin.recv(65536)
        held[0].send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")  # those that are there go on
        assert held[0].read_response().status == 200
        resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, before)
        for client in waiting:
            client.send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
            assert client.read_response().status == 200
