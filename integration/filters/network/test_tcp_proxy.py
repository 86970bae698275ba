"""tcp_proxy: each scenario is played through Envoy and nuncio with both ends in the test's hand; what the ends see, the
access log's line and the counters that moved are compared."""

import pytest

from filters.network.relay import Pair, compare, tcp
from harness import config as c
from harness.tcp_peer import dial
from harness.upstream import BlackHole, Refused
from harness.wait import wait_for

FIELDS = ("flags", "received", "sent", "host", "cluster", "attempts", "code", "details", "protocol",
          "upstream_protocol", "wire_received", "wire_sent", "upstream_received", "upstream_sent", "reason",
          "close_details")
LOG_FORMAT = "|".join((
    "%RESPONSE_FLAGS%", "%BYTES_RECEIVED%", "%BYTES_SENT%", "%UPSTREAM_HOST%", "%UPSTREAM_CLUSTER%",
    "%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "%RESPONSE_CODE%", "%RESPONSE_CODE_DETAILS%", "%PROTOCOL%",
    "%UPSTREAM_PROTOCOL%", "%DOWNSTREAM_WIRE_BYTES_RECEIVED%", "%DOWNSTREAM_WIRE_BYTES_SENT%",
    "%UPSTREAM_WIRE_BYTES_RECEIVED%", "%UPSTREAM_WIRE_BYTES_SENT%", "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "%CONNECTION_TERMINATION_DETAILS%")) + "\n"
BUFFER = 32768


@pytest.fixture(scope="module")
def worlds(flavours, tmp_path_factory):
    with BlackHole() as hole, Refused() as refused:
        def bootstrap(log, backend):
            def listener(name, cluster=None, **more):
                return c.listener(name, tcp(cluster, log, LOG_FORMAT, stat_prefix=name, **more),
                                  per_connection_buffer_limit_bytes=BUFFER)

            limits = {"thresholds": [{"max_connections": 1, "max_requests": 1}]}
            return c.static_bootstrap(
                [listener("plain", "a"), listener("refused", "refused"), listener("hole", "hole"),
                 listener("retries", "refused", max_connect_attempts=3),
                 listener("backoff", "refused", max_connect_attempts=3, backoff_options={"base_interval": "0.01s"}),
                 listener("missing", "nowhere"), listener("none", "none"), listener("one", "one"),
                 listener("idle", "a", idle_timeout="0.3s"), listener("idle_hole", "hole", idle_timeout="0.3s"),
                 listener("short", "a", max_downstream_connection_duration="0.3s"),
                 listener("jitter", "a", max_downstream_connection_duration="0.2s",
                          max_downstream_connection_duration_jitter_percentage={"value": 50}),
                 listener("weighted", weighted_clusters={"clusters": [
                     {"name": "a", "weight": 1}, {"name": "nowhere", "weight": 1}]}),
                 listener("start", "a", access_log_options={
                     "flush_access_log_on_start": True, "flush_access_log_on_connected": True}),
                 listener("early", "a", max_early_data_bytes=1000), listener("early_hole", "hole", max_early_data_bytes=1000),
                 listener("on_data", "a", upstream_connect_mode="ON_DOWNSTREAM_DATA", max_early_data_bytes=0,
                          idle_timeout="0.4s"),
                 listener("on_handshake", "a", upstream_connect_mode="ON_DOWNSTREAM_TLS_HANDSHAKE",
                          max_early_data_bytes=100),
                 listener("periodic", "a", access_log_options={"access_log_flush_interval": "0.1s"})],
                [c.cluster("a", backend.port, per_connection_buffer_limit_bytes=BUFFER),
                 c.cluster("refused", refused.port), c.cluster("hole", hole.port, connect_timeout="0.6s"),
                 c.cluster("none"), c.cluster("one", backend.port, circuit_breakers=limits)])

        with Pair(flavours, tmp_path_factory.mktemp("tcp"), bootstrap, FIELDS) as pair:
            yield pair.worlds


# Scenarios: what happens, and what each end saw of it.


def client_ends_first(world, connect):
    with connect() as client, world.backend.accept() as host:
        client.send(b"question")
        got = host.read(8)
        client.fin()
        rest = host.read_to_end()
        host.send(b"answer after the client's end")
        host.fin()
        return got, rest, client.read_to_end()


def host_ends_first(world, connect):
    with connect() as client, world.backend.accept() as host:
        host.send(b"banner")
        host.fin()
        got = client.read_to_end()
        client.send(b"more after the host's end")
        client.fin()
        return got, host.read_to_end()


def host_speaks_and_goes(world, connect):
    """The client's own end comes only after it has read everything."""
    with connect() as client, world.backend.accept() as host:
        host.send(b"x" * 300000)
        host.fin()
        got, end = client.read_to_end()
        client.fin()
        return len(got), end, host.read_to_end()


def client_resets(world, connect):
    client = connect()
    with world.backend.accept() as host:
        client.send(b"question")
        got = host.read(8)
        client.rst()
        return got, host.read_to_end()


def host_resets(world, connect):
    with connect() as client, world.backend.accept() as host:
        client.send(b"question")
        got = host.read(8)
        host.rst()
        return got, client.read_to_end()


def host_resets_after_end_of_client(world, connect):
    with connect() as client, world.backend.accept() as host:
        client.send(b"question")
        client.fin()
        got = host.read_to_end()
        host.rst()
        return got, client.read_to_end()


def client_resets_after_end_of_host(world, connect):
    client = connect()
    with world.backend.accept() as host:
        host.send(b"banner")
        host.fin()
        got = client.read_to_end()
        client.rst()
        return got, host.read_to_end()


def only_closed(world, connect):
    with connect() as client:
        return client.read_to_end()


def gives_up_while_connecting(world, connect):
    client = connect()
    wait_for(lambda: world.proxy.stat("cluster.hole.upstream_cx_active") == 1, "a connection under way")
    client.fin()
    client.close()
    wait_for(lambda: world.proxy.stat("cluster.hole.upstream_cx_active") == 0, "it was given up")
    return None


def resets_while_connecting(world, connect):
    client = connect()
    wait_for(lambda: world.proxy.stat("cluster.hole.upstream_cx_active") == 1, "a connection under way")
    client.rst()
    wait_for(lambda: world.proxy.stat("cluster.hole.upstream_cx_active") == 0, "it was given up")
    return None


def second_of_one(world, connect):
    with connect() as first, world.backend.accept() as host:
        first.send(b"x")
        host.read(1)
        with connect() as second:
            refused = second.read_to_end()
        host.send(b"y")
        got = first.read(1)
        first.fin()
        host.read_to_end()
        host.fin()
        return refused, got, first.read_to_end()


def idle_at_once(world, connect):
    with connect() as client, world.backend.accept() as host:
        return client.read_to_end(), host.read_to_end()


def idle_not_while_bytes_flow(world, connect):
    with connect() as client, world.backend.accept() as host:
        got = b""
        for i in range(6):
            host.is_silent(0.1)
            (client if i % 2 else host).send(b"x")
            got += (host if i % 2 else client).read(1)
        return got, client.read_to_end(), host.read_to_end()


def slow_client(world, connect):
    """Nothing is read by the client: the host is stopped, and goes on when it reads."""
    with connect() as client, world.backend.accept() as host:
        sent = host.fill()
        host.fin()
        got, end = client.read_to_end()
        client.fin()
        return sent == len(got), sent < (32 << 20), end, host.read_to_end()


def slow_host(world, connect):
    with connect() as client, world.backend.accept() as host:
        sent = client.fill()
        client.fin()
        got, end = host.read_to_end()
        host.fin()
        return sent == len(got), sent < (32 << 20), end, client.read_to_end()


def on_data(world, connect):
    with connect() as client:
        came_too_early = world.backend.has_waiting(0.1)
        client.send(b"x" * 5000)
        with world.backend.accept() as host:
            got = host.read(5000)
            host.send(b"y")
            answer = client.read(1)
            client.fin()
            rest = host.read_to_end()
            host.fin()
            return came_too_early, len(got), answer, rest, client.read_to_end()


def on_data_none(world, connect):
    """An end without a byte asks for nobody."""
    with connect() as client:
        client.fin()
        return client.read_to_end(), world.backend.has_waiting(0.1)


def on_data_with_end(world, connect):
    with connect() as client:
        client.send(b"all")
        client.fin()
        with world.backend.accept() as host:
            got = host.read_to_end()
            host.fin()
            return got, client.read_to_end()


def early_then_given_up(world, connect):
    with connect() as client:
        client.send(b"x" * 5000)
        return client.read_to_end()


def a_while(world, connect):
    with connect() as client, world.backend.accept() as host:
        client.send(b"x")
        host.read(1)
        wait_for(lambda: len(world.log.read_bytes().splitlines()) > 0, "lines")
        client.is_silent(0.25)
        client.fin()
        host.read_to_end()
        host.fin()
        return client.read_to_end()


SCENARIOS = {
    "client ends first": ("plain", client_ends_first, 1),
    "host ends first": ("plain", host_ends_first, 1),
    "host speaks and goes": ("plain", host_speaks_and_goes, 1),
    "client resets": ("plain", client_resets, 1),
    "host resets": ("plain", host_resets, 1),
    "host resets, client had ended": ("plain", host_resets_after_end_of_client, 1),
    "client resets, host had ended": ("plain", client_resets_after_end_of_host, 1),
    "refused": ("refused", only_closed, 1),
    "refused three times": ("retries", only_closed, 1),
    "refused three times, with backoff": ("backoff", only_closed, 1),
    "no answer": ("hole", only_closed, 1),
    "given up": ("hole", gives_up_while_connecting, 1),
    "unknown cluster": ("missing", only_closed, 1),
    "no hosts": ("none", only_closed, 1),
    "one connection at most": ("one", second_of_one, 2),
    "idle": ("idle", idle_at_once, 1),
    "idle while connecting": ("idle_hole", only_closed, 1),
    "idle later": ("idle", idle_not_while_bytes_flow, 1),
    "duration": ("short", idle_at_once, 1),
    "duration with jitter": ("jitter", idle_at_once, 1),
    "slow client": ("plain", slow_client, 1),
    "slow host": ("plain", slow_host, 1),
    "early": ("early", client_ends_first, 1),
    "early, in vain": ("early_hole", early_then_given_up, 1),
    "on data": ("on_data", on_data, 1),
    "on data, none": ("on_data", on_data_none, 1),
    "on data, with its end": ("on_data", on_data_with_end, 1),
    "on handshake, without TLS": ("on_handshake", client_ends_first, 1),
    "lines at start and connected": ("start", client_ends_first, 3),
}

VOLUMES = ("slow client", "slow host", "host speaks and goes")


@pytest.mark.parametrize("name", SCENARIOS)
def test_as_envoy(worlds, name):
    compare(worlds, SCENARIOS[name], is_volume=name in VOLUMES)


def test_reset_while_connecting_is_noticed(worlds):
    """Envoy does not look at the client until the host is there, or is given up."""
    for world in worlds:
        seen = world.play(("hole", resets_while_connecting, 1))
        assert seen["log"][0]["flags"] == ("-" if world.flavour == "nuncio" else "UF,URX")


def test_lines_at_intervals(worlds):
    for world in worlds:
        seen = world.play(("periodic", a_while, 3))
        assert len(seen["log"]) >= 3
        assert [line["received"] for line in seen["log"]] == ["1"] * len(seen["log"])


def test_weights(worlds):
    """One of the two clusters is not there: about half of the connections find no route."""
    for world in worlds:
        world.backend.forget()
        found = 0
        for _ in range(100):
            with dial(world.proxy.address("weighted")) as client:
                client.fin()
                found += 1 if client_is_served(world, client) else 0
        assert 25 <= found <= 75, f"{world.flavour}: {found} of 100"
        wait_for(lambda: world.proxy.stat("tcp.weighted.downstream_cx_no_route") == 100 - found, "those without a route")


def client_is_served(world, client):
    wait_for(lambda: not client.is_silent(0) or world.backend.has_waiting(), "an end or a host")
    if not world.backend.has_waiting():
        return False
    with world.backend.accept() as host:
        host.read_to_end()
        host.fin()
        client.read_to_end()
    return True
