"""Draining while the process lives on: /healthcheck/fail, /drain_listeners, listeners that are removed."""

import pytest

from harness import config as c
from harness.client import Client
from harness.h2raw import GOAWAY, HEADERS, RawH2, headers
from harness.proxy import Proxy
from harness.wait import wait_for


def answering(name, **more):
    table = c.routes(f"r-{name}", c.vhost("all", ["*"], c.direct("/", 200, name)))
    return c.listener(name, c.hcm(table, stat_prefix=name), **more)


def bootstrap(*listeners):
    return c.static_bootstrap(list(listeners), stats_flush_on_admin=True)


def is_refused(address):
    try:
        Client(address).close()
    except ConnectionError:
        return True
    return False


def closes(client):
    return client.get("/").header("connection") == "close"


def test_failed_health_check_closes_with_every_response(flavour):
    with Proxy(flavour, bootstrap(answering("plain"), answering("modify", drain_type="MODIFY_ONLY")),
               concurrency=2) as proxy:
        plain, modify = proxy.address("plain"), proxy.address("modify")
        with Client(plain) as old, Client(modify) as kept:
            assert not closes(old)
            assert not closes(kept)
            assert proxy.admin("/healthcheck/fail", "POST").text == "OK\n"
            assert proxy.ready_state() == (503, "DRAINING")
            proxy.wait_stat("server.live", 0)
            proxy.wait_stat("server.state", 1)
            wait_for(lambda: closes_anew(plain), "every worker knows")
            assert closes(old)
            assert not closes(kept)
        assert proxy.stat("http.plain.downstream_cx_drain_close") >= 2
        assert proxy.stat("http.modify.downstream_cx_drain_close") == 0
        assert proxy.admin("/healthcheck/ok", "POST").text == "OK\n"
        assert proxy.ready_state() == (200, "LIVE")
        proxy.wait_stat("server.live", 1)
        wait_for(lambda: not closes_anew(plain), "every worker knows")


def closes_anew(address):
    """Enough connections that each worker has answered one."""
    seen = []
    for _ in range(8):
        with Client(address) as client:
            seen.append(closes(client))
    return all(seen)


def test_failed_health_check_says_goaway(flavour):
    with Proxy(flavour, bootstrap(answering("l"))) as proxy, RawH2(proxy.address()) as client:
        client.send(headers(1))
        assert client.wait(HEADERS, 1)
        assert proxy.admin("/healthcheck/fail", "POST").status == 200
        proxy.wait_stat("server.live", 0)
        for stream in range(3, 40, 2):  # the first ones may be faster than the worker's news
            client.send(headers(stream))
            if client.wait(GOAWAY, timeout=0.2):
                return
        raise AssertionError("no GOAWAY")


def test_drain_wants_post(flavour):
    with Proxy(flavour, bootstrap()) as proxy:
        for path in ("/healthcheck/fail", "/healthcheck/ok", "/drain_listeners"):
            assert proxy.admin(path).status == 405


def test_drain_listeners_at_once(flavour):
    """The ports refuse; connections that are there go on; the process stays LIVE."""
    with Proxy(flavour, bootstrap(answering("a"), answering("b")), concurrency=2) as proxy:
        a, b = proxy.address("a"), proxy.address("b")
        with Client(a) as client:
            assert client.get("/").status == 200
            assert proxy.admin("/drain_listeners", "POST").text == "OK\n"
            wait_for(lambda: is_refused(a) and is_refused(b), "both refuse")
            assert client.get("/").status == 200
        assert proxy.ready_state() == (200, "LIVE")
        assert proxy.wait_stat("listener_manager.listener_stopped", 2)
        assert proxy.stat("listener_manager.total_listeners_active") == 2
        assert proxy.admin("/drain_listeners", "POST").text == "OK\n"


def test_drain_listeners_inbound_only(flavour):
    inbound, outbound = answering("in", traffic_direction="INBOUND"), answering("out", traffic_direction="OUTBOUND")
    with Proxy(flavour, bootstrap(inbound, outbound, answering("none"))) as proxy:
        addresses = {name: proxy.address(name) for name in ("in", "out", "none")}
        assert proxy.admin("/drain_listeners?inboundonly", "POST").text == "OK\n"
        wait_for(lambda: is_refused(addresses["in"]), "inbound refuses")
        assert proxy.wait_stat("listener_manager.listener_stopped", 1)
        for name in ("out", "none"):
            with Client(addresses[name]) as client:
                assert not closes(client)
        assert proxy.admin("/drain_listeners", "POST").text == "OK\n"
        wait_for(lambda: all(is_refused(address) for address in addresses.values()), "all refuse")


def test_drain_listeners_gracefully(flavour):
    """LIVE and accepting for the drain time, every connection told; then the port refuses."""
    with Proxy(flavour, bootstrap(answering("l")), args=["--drain-time-s", "2", "--drain-strategy", "immediate"],
               concurrency=2) as proxy:
        address = proxy.address()
        assert proxy.admin("/drain_listeners?graceful", "POST").text == "OK\n"
        assert proxy.ready_state() == (200, "LIVE")
        with Client(address) as late:
            assert closes(late)
        wait_for(lambda: is_refused(address), "it refuses", 20)
        assert proxy.ready_state() == (200, "LIVE")
        assert proxy.wait_stat("listener_manager.listener_stopped", 1)


def test_drain_listeners_without_an_end(flavour):
    with Proxy(flavour, bootstrap(answering("l")), args=["--drain-time-s", "1", "--drain-strategy", "immediate"]) as proxy:
        address = proxy.address()
        assert proxy.admin("/drain_listeners?graceful&skip_exit", "POST").text == "OK\n"
        with Client(address) as client:
            assert closes(client)
        wait_for(lambda: proxy.stat("server.uptime") >= 3, "the drain time is over", 20)
        with Client(address) as client:
            assert closes(client)
        assert proxy.stat("listener_manager.listener_stopped") == 0


def test_gradual_drain_rises(flavour):
    """Of responses early in a long drain nearly none closes; at its end all do."""
    with Proxy(flavour, bootstrap(answering("l")), args=["--drain-time-s", "600"]) as proxy:
        address = proxy.address()
        assert proxy.admin("/drain_listeners?graceful", "POST").status == 200
        told = 0
        for _ in range(60):
            with Client(address) as client:
                told += closes(client)
        assert told < 20
    with Proxy(flavour, bootstrap(answering("l")), args=["--drain-time-s", "1"]) as proxy:
        address = proxy.address()
        assert proxy.admin("/drain_listeners?graceful&skip_exit", "POST").status == 200
        wait_for(lambda: closes_anew(address), "every response closes", 10)


@pytest.mark.parametrize("strategy", ["immediate", "gradual"])
def test_removed_listener_drains(flavour, delta, ads, strategy):
    """Its port refuses at once, its connections are told as the strategy says and closed when the time is over."""
    ads.set("cds", c.cluster("unused"))
    ads.set("lds", answering("l"), answering("other"))
    with Proxy(flavour, c.ads_bootstrap(ads.port, delta=delta, stats_flush_on_admin=True),
               args=["--drain-time-s", "3", "--drain-strategy", strategy]) as proxy:
        address = proxy.wait_listener("l")
        with Client(address) as client, Client(address) as silent:
            assert not closes(client)
            assert not closes(silent)
            ads.remove("lds", "l")
            wait_for(lambda: is_refused(address), "it refuses")
            proxy.wait_stat("listener_manager.total_listeners_draining", 1)
            if strategy == "immediate":
                assert closes(client)
            assert silent.is_closed(20)
        proxy.wait_stat("listener_manager.total_listeners_draining", 0)
        assert proxy.stat("listener_manager.listener_removed") == 1
