"""The overload manager: what each action does once a resource is scarce, in Envoy and here."""

import os
import time

import pytest

from harness import config as c
from harness.client import ConnectionEnded
from harness.proxy import Proxy
from harness.upstream import Origin, Reply
from harness.wait import wait_for

MONITORS = "type.googleapis.com/envoy.extensions.resource_monitors"
INJECTED = "envoy.resource_monitors.injected_resource"
ACTIONS = "envoy.overload_actions"
POINTS = "envoy.load_shed_points"
SCALE = "type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig"


class Overloaded:
    """A proxy whose pressure a file gives. Each action has a threshold of its own, so that pressures tell them apart."""

    def __init__(self, flavour, tmp_path, actions=(), points=(), listeners=None, clusters=(), **more):
        self.flavour = flavour
        self.path = tmp_path / "pressure"
        self.log_path = tmp_path / "log"
        self.log_path.touch()
        self.press(0)
        listeners = listeners(self.log_path) if listeners else [
            c.listener("l", self.manager(append_local_overload=True, log=self.log_path)),
            c.listener("bypass", self.manager("bypass"), bypass_overload_manager=True, stat_prefix="bypass"),
        ]
        self.proxy = Proxy(flavour, c.static_bootstrap(listeners, clusters, overload_manager={
            "refresh_interval": "0.05s",
            "resource_monitors": [{"name": INJECTED, "typed_config": {
                "@type": f"{MONITORS}.injected_resource.v3.InjectedResourceConfig", "filename": str(self.path)}}],
            "buffer_factory_config": {"minimum_account_to_track_power_of_two": 10},
            "actions": [self.rule(f"{ACTIONS}.{name}", at, **extra) for name, at, extra in actions],
            "loadshed_points": [self.rule(f"{POINTS}.{name}", at) for name, at in points],
        }, **more))

    @staticmethod
    def manager(stat_prefix="ingress", **more):
        table = c.routes("r", c.vhost("all", ["*"], c.direct("/", body="well")))
        return c.hcm(table, stat_prefix=stat_prefix, **more)

    @staticmethod
    def rule(name, at, **more):
        trigger = {"scaled": {"scaling_threshold": at[0], "saturation_threshold": at[1]}} if isinstance(at, tuple) \
            else {"threshold": {"value": at}}
        return {"name": name, "triggers": [{"name": INJECTED, **trigger}], **more}

    def press(self, value):
        temporary = self.path.with_suffix(".new")
        temporary.write_text(str(value))
        os.rename(temporary, self.path)  # Envoy looks at moves

    def wait_pressure(self, value):
        self.press(value)
        self.proxy.wait_stat(f"overload.{INJECTED}.pressure", int(round(value * 100)))

    def __enter__(self):
        self.proxy.start()
        return self

    def __exit__(self, *exc):
        self.proxy.stop()


GET = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"


def get(client):
    client.send(GET)
    return client.read_response()


def ask(proxy, listener="l"):
    with proxy.connect(listener) as client:
        return get(client)


@pytest.fixture(scope="module")
def overloaded(flavour, tmp_path_factory):
    actions = [
        ("disable_http_keepalive", 0.2, {}),
        ("stop_accepting_requests", 0.3, {}),
        ("stop_accepting_connections", 0.5, {}),
        ("reject_incoming_connections", 0.7, {}),
    ]
    with Overloaded(flavour, tmp_path_factory.mktemp(f"overload-{flavour}"), actions) as running:
        running.proxy.wait_listener("bypass")
        yield running


@pytest.fixture
def calm(overloaded):
    overloaded.wait_pressure(0)
    wait_for(lambda: ask(overloaded.proxy).status == 200, "all is well")
    wait_for(lambda: overloaded.proxy.stat("http.ingress.downstream_rq_active") == 0, "nothing is under way")
    return overloaded


def test_stats(calm):
    stats = calm.proxy.stats("?filter=overload")
    for name in ("failed_updates", "pressure", "skipped_updates"):
        assert stats[f"overload.{INJECTED}.{name}"] == 0
    calm.wait_pressure(0.6)
    name = f"overload.{ACTIONS}.stop_accepting_requests"
    calm.proxy.wait_stat(f"{name}.active", 1)
    assert calm.proxy.stat(f"{name}.scale_percent") == 100
    assert calm.proxy.stat(f"overload.{ACTIONS}.reject_incoming_connections.active") == 0


def test_keepalive_ends(calm):
    with calm.proxy.connect("l") as client:
        assert get(client).header("connection") is None
        calm.wait_pressure(0.25)
        response = get(client)
        assert response.status == 200
        assert response.header("connection") == "close"
        if calm.flavour == "nuncio":  # Envoy leaves it open all the same
            assert client.is_closed()
    assert calm.proxy.stat("http.ingress.downstream_cx_overload_disable_keepalive") >= 1
    assert ask(calm.proxy, "bypass").header("connection") is None


def test_requests_are_refused(calm):
    before = calm.proxy.stat("http.ingress.downstream_rq_overload_close")
    calm.wait_pressure(0.3)
    response = ask(calm.proxy)
    assert response.status == 503
    assert response.body == b"envoy overloaded"
    assert response.header("x-envoy-local-overloaded") == "true"
    wait_for(lambda: "503|-|overload|" in calm.log_path.read_text(), "it is logged")
    calm.proxy.wait_stat("http.ingress.downstream_rq_overload_close", before + 1)
    response = ask(calm.proxy, "bypass")
    assert response.status == 200


def test_connections_wait(calm):
    calm.wait_pressure(0.5)
    calm.proxy.wait_stat(f"overload.{ACTIONS}.stop_accepting_connections.active", 1)
    time.sleep(0.2)  # workers hear of it a moment later
    before = calm.proxy.stat("listener.127.0.0.1_0.downstream_cx_total")
    with calm.proxy.connect("l") as client:
        client.send(GET)
        assert ask(calm.proxy, "bypass").status == 200 or calm.flavour == "envoy"
        assert calm.proxy.stat("listener.127.0.0.1_0.downstream_cx_total") == before
        calm.wait_pressure(0)
        assert client.read_response().status == 200


def test_connections_are_rejected(calm):
    with calm.proxy.connect("l") as old:
        assert get(old).status == 200
        calm.wait_pressure(0.6)
        calm.wait_pressure(0.8)
        # Connections wait at this pressure: what was rejected is seen by what is left of it.
        assert get(old).status == 503


@pytest.fixture(scope="module")
def shedding(flavour, tmp_path_factory):
    points = [
        ("http_connection_manager_decode_headers", 0.2),
        ("http1_server_abort_dispatch", 0.4),
        ("hcm_ondata_creating_codec", 0.6),
        ("tcp_listener_accept", 0.8),
    ]
    with Overloaded(flavour, tmp_path_factory.mktemp(f"shed-{flavour}"), points=points) as running:
        running.proxy.wait_listener("bypass")
        yield running


def closed_at_once(proxy):
    with proxy.connect("l") as client:
        try:
            client.send(GET)
            client.read_response()
        except (ConnectionEnded, OSError):
            return True
        return False


def test_load_is_shed_step_by_step(shedding):
    proxy = shedding.proxy
    shedding.wait_pressure(0)
    wait_for(lambda: ask(proxy).status == 200, "all is well")
    shedding.wait_pressure(0.2)
    wait_for(lambda: ask(proxy).status == 503, "requests are shed")
    assert proxy.stat(f"overload.{POINTS}.http_connection_manager_decode_headers.shed_load_count") >= 1
    with proxy.connect("l") as old:
        assert get(old).status == 503
        shedding.wait_pressure(0.4)
        old.send(GET)
        assert old.is_closed() or old.read_response().status == 500  # Envoy says so
    shedding.wait_pressure(0.6)
    wait_for(lambda: closed_at_once(proxy), "no codec is made")
    proxy.wait_stat(f"overload.{POINTS}.hcm_ondata_creating_codec.shed_load_count", lambda n: n >= 1)
    shedding.wait_pressure(0.8)
    wait_for(lambda: closed_at_once(proxy), "connections are rejected")
    proxy.wait_stat("listener.127.0.0.1_0.downstream_cx_overload_reject", lambda n: n >= 1)
    proxy.wait_stat(f"overload.{POINTS}.tcp_listener_accept.shed_load_count", lambda n: n >= 1)
    assert ask(proxy, "bypass").status == 200
    shedding.wait_pressure(0)
    wait_for(lambda: ask(proxy).status == 200, "all is well again")


def test_a_share_is_refused(flavour, tmp_path):
    with Overloaded(flavour, tmp_path, [("stop_accepting_requests", (0.2, 0.8), {})]) as running:
        running.wait_pressure(0.5)
        running.proxy.wait_stat(f"overload.{ACTIONS}.stop_accepting_requests.scale_percent", lambda n: 48 <= n <= 50)
        with running.proxy.connect("l") as client:
            refused = sum(get(client).status == 503 for _ in range(400))
        assert 130 < refused < 270
        assert running.proxy.stat(f"overload.{ACTIONS}.stop_accepting_requests.active") == 0


def test_timeouts_are_cut_for_those_that_wait_already(flavour, tmp_path):
    scale = {"typed_config": {"@type": SCALE, "timer_scale_factors": [
        {"timer": "HTTP_DOWNSTREAM_CONNECTION_IDLE", "min_timeout": "0.1s"}]}}
    with Overloaded(flavour, tmp_path, [("reduce_timeouts", (0.2, 0.8), scale)]) as running, \
            running.proxy.connect("l") as client:
        assert get(client).status == 200
        running.wait_pressure(0.9)  # an hour becomes a tenth of a second
        running.proxy.wait_stat("http.ingress.downstream_cx_idle_timeout", 1)


def test_a_stream_that_holds_much_is_reset(tmp_path, pytestconfig):
    """The client reads nothing. Envoy counts only what HTTP/2 streams hold."""
    if pytestconfig.getoption("--oracle-only"):
        pytest.skip("nuncio's own over HTTP/1")

    def listeners(log):
        return [c.listener("l", c.hcm(c.simple_routes("r", "a"), log=log))]

    with Origin("a") as origin:
        origin.next(Reply(body=b"x" * (32 << 20)), Reply(body=b"small"))
        with Overloaded("nuncio", tmp_path, [("reset_high_memory_stream", 0.5, {})], listeners=listeners,
                        clusters=[c.cluster("a", origin.port)]) as running, running.proxy.connect("l") as client:
            client.send(GET)
            running.proxy.wait_stat("cluster.a.upstream_flow_control_paused_reading_total", lambda n: n > 0)
            running.wait_pressure(0.6)
            running.proxy.wait_stat(f"{ACTIONS}.reset_high_memory_stream.count", 1)
            running.proxy.wait_stat("http.ingress.downstream_rq_active", 0)
            wait_for(lambda: "200|OM|overload|" in running.log_path.read_text(), "it is logged")
            running.wait_pressure(0)
            assert ask(running.proxy).body == b"small"
