"""When a request or a connection is told to the log: as it comes, in between, when its tunnel stands, at its end."""

import threading

import pytest

from harness import config as c
from harness.differential import get
from harness.proxy import Proxy, validate
from harness.upstream import Origin, Reply
from harness.wait import wait_for

FORMAT = ("%ACCESS_LOG_TYPE% %RESPONSE_CODE% %RESPONSE_FLAGS% %ROUTE_NAME% %UPSTREAM_CLUSTER% %BYTES_RECEIVED% "
          "%DOWNSTREAM_HEADER_BYTES_RECEIVED% %RESPONSE_CODE_DETAILS% %UPSTREAM_REQUEST_ATTEMPT_COUNT% %REQ(:method)%\n")
TCP_PROXY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"


def manager(log, **more):
    table = c.routes("r", c.vhost("v", ["*"], c.route("/", "a", name="n")))
    return c.hcm(table, access_log=[c.access_log(log, FORMAT)], upgrade_configs=[{"upgrade_type": "websocket"}], **more)


def play(flavour, log, network_filter, exchange):
    with Origin("a") as origin:
        bootstrap = c.static_bootstrap([c.listener("l", network_filter)], [c.cluster("a", origin.port)])
        with Proxy(flavour, bootstrap) as proxy, proxy.connect() as client:
            exchange(origin, client)
        return log.read_text().splitlines()


def slow(log, count):
    """A request whose answer waits until the log has that many lines."""
    def exchange(origin, client):
        gate = threading.Event()
        origin.next(Reply(gate=gate))
        opener = threading.Thread(target=lambda: (wait_for(
            lambda: log.exists() and log.read_text().count("\n") >= count, "the lines", 10), gate.set()))
        opener.start()
        client.exchange(get("/x", "host.test"))
        opener.join()
    return exchange


def both(flavours, tmp_path, make, exchange):
    """The lines of each proxy, the same in both."""
    seen = {}
    for flavour in flavours:
        log = tmp_path / flavour
        seen[flavour] = play(flavour, log, make(log), exchange(log))
    return seen


@pytest.mark.differential
@pytest.mark.parametrize("options", [
    {"access_log_options": {"flush_access_log_on_new_request": True}}, {"flush_access_log_on_new_request": True}],
    ids=["options", "deprecated"])
def test_new_request(flavours, tmp_path, options):
    seen = both(flavours, tmp_path, lambda log: manager(log, **options), lambda log: slow(log, 1))
    for lines in seen.values():
        assert [line.split()[0] for line in lines] == ["DownstreamStart", "DownstreamEnd"]
        assert lines[0].split()[1] == "0"
    assert len(set(map(tuple, seen.values()))) == 1


@pytest.mark.differential
def test_periodic(flavours, tmp_path):
    options = {"access_log_options": {"access_log_flush_interval": "0.05s"}}
    seen = both(flavours, tmp_path, lambda log: manager(log, **options), lambda log: slow(log, 3))
    for lines in seen.values():
        assert {line.split()[0] for line in lines[:-1]} == {"DownstreamPeriodic"}
        assert len(lines) >= 4
    assert len({(lines[0], lines[-1]) for lines in seen.values()}) == 1


def tunnel(log):
    def exchange(origin, client):
        origin.next(Reply(status=101, headers=[("connection", "upgrade"), ("upgrade", "websocket")]))
        client.send(get("/ws", "host.test", {"connection": "upgrade", "upgrade": "websocket"}))
        wait_for(lambda: log.exists() and "Established" in log.read_text(), "the line", 5)
    return exchange


@pytest.mark.differential
def test_tunnel(flavours, tmp_path):
    options = {"access_log_options": {"flush_log_on_tunnel_successfully_established": True}}
    seen = both(flavours, tmp_path, lambda log: manager(log, **options), tunnel)
    for lines in seen.values():
        assert lines[0].split()[:2] == ["DownstreamTunnelSuccessfullyEstablished", "101"]
    assert len({lines[0] for lines in seen.values()}) == 1


@pytest.mark.differential
def test_tcp(flavours, tmp_path):
    def make(log):
        return {"name": "tcp", "typed_config": {
            "@type": TCP_PROXY, "stat_prefix": "t", "cluster": "a", "access_log": [c.access_log(log, "%ACCESS_LOG_TYPE%\n")],
            "access_log_options": {"flush_access_log_on_start": True, "flush_access_log_on_connected": True,
                                   "access_log_flush_interval": "0.05s"}}}

    seen = both(flavours, tmp_path, make, lambda log: slow(log, 4))
    for lines in seen.values():
        assert lines[:2] == ["TcpConnectionStart", "TcpUpstreamConnected"]
        assert set(lines[2:-1]) == {"TcpPeriodic"}
        assert lines[-1] == "TcpConnectionEnd"


@pytest.mark.parametrize("options", [
    {"access_log_options": {}, "flush_access_log_on_new_request": True},
    {"access_log_options": {}, "access_log_flush_interval": "1s"},
    {"access_log_options": {"access_log_flush_interval": "0.0001s"}},
    {"access_log_flush_interval": "0s"}], ids=["new twice", "interval twice", "too short", "zero"])
def test_refused(flavour, tmp_path, options):
    code, output = validate(flavour, c.static_bootstrap([c.listener("l", manager(tmp_path / "log", **options))],
                                                        [c.cluster("a", 1)]))
    assert code == 1, output
