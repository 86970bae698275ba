"""LDS updates: what keeps its socket, what drains, what is refused alone."""

import socket

import pytest

from harness import config as c
from harness.client import Client, ConnectionEnded
from harness.proxy import Proxy
from harness.wait import wait_for


def answering(name, body, port=0, stat_prefix="ingress", **more):
    """A listener that answers every request with that body."""
    table = c.routes("inline", c.vhost("all", ["*"], c.direct("/", 200, body)))
    return c.listener(name, c.hcm(table, stat_prefix=stat_prefix), port=port, **more)


@pytest.fixture
def proxy(flavour, delta, ads):
    ads.set("cds", c.cluster("unused"))
    bootstrap = c.ads_bootstrap(ads.port, delta=delta)
    with Proxy(flavour, bootstrap, ready=False, args=["--drain-time-s", "1"]) as running:
        yield running


def body(address, path="/"):
    with Client(address) as client:
        return client.get(path).text


def refuses(address):
    try:
        Client(address).close()
    except ConnectionRefusedError:
        return True
    return False


def changed(ads, *listeners, **kwargs):
    """Set listeners and wait for the ACK."""
    mark = ads.mark()
    ads.set("lds", *listeners, **kwargs)
    ads.wait_ack("lds", mark)


def test_changed_listener_keeps_its_address(proxy, ads):
    ads.set("lds", answering("l", "one"))
    address = proxy.wait_listener("l")
    assert body(address) == "one"
    changed(ads, answering("l", "two"))
    wait_for(lambda: body(address) == "two", "the new answer", 5)
    assert proxy.wait_listener("l") == address
    assert proxy.stat("listener_manager.listener_modified") == 1


def test_chain_only_change_is_in_place(proxy, ads):
    ads.set("lds", answering("l", "one"))
    address = proxy.wait_listener("l")
    changed(ads, answering("l", "two"))
    wait_for(lambda: body(address) == "two", "the new answer", 5)
    proxy.wait_stat("listener_manager.listener_in_place_updated", 1)


def test_old_connections_of_a_changed_chain_drain(proxy, ads):
    """A connection on the old chain is served by it once more at most, and told to close."""
    ads.set("lds", answering("l", "one"))
    address = proxy.wait_listener("l")
    with Client(address) as old:
        assert old.get("/").text == "one"
        changed(ads, answering("l", "two"))
        wait_for(lambda: body(address) == "two", "the new answer", 5)
        try:
            while True:
                response = old.get("/")
                assert response.text == "one"
                if response.header("connection") == "close":
                    break
        except (ConnectionEnded, ConnectionError):
            pass
        assert old.is_closed()


def test_unchanged_chain_keeps_its_connections(proxy, ads):
    """Two chains; one changes: the other's connection lives on, the same one."""
    def chains(text):
        keep = c.chain(c.hcm(c.routes("k", c.vhost("k", ["*"], c.direct("/", 200, "kept"))), stat_prefix="kept"),
                       match={"source_prefix_ranges": [{"address_prefix": "127.0.1.1", "prefix_len": 32}]}, name="kept")
        other = c.chain(c.hcm(c.routes("o", c.vhost("o", ["*"], c.direct("/", 200, text))), stat_prefix="other"),
                        name="other")
        return c.listener("l", keep, other)

    ads.set("lds", chains("one"))
    address = proxy.wait_listener("l")
    with Client(address, source=("127.0.1.1", 0)) as kept, Client(address) as moved:
        assert (kept.get("/").text, moved.get("/").text) == ("kept", "one")
        changed(ads, chains("two"))
        wait_for(lambda: body(address) == "two", "the new answer", 5)
        for _ in range(5):
            response = kept.get("/")
            assert (response.text, response.header("connection")) == ("kept", None)


def test_equal_update_changes_nothing(proxy, ads):
    ads.set("lds", answering("l", "one"))
    address = proxy.wait_listener("l")
    with Client(address) as client:
        assert client.get("/").text == "one"
        before = proxy.stat("listener_manager.listener_modified")
        # The same listener again, with another one that makes the response new.
        changed(ads, answering("l", "one"), answering("other", "x"))
        proxy.wait_listener("other")
        assert client.get("/").header("connection") is None
        assert proxy.stat("listener_manager.listener_modified") == before


def test_removed_listener_stops_accepting(proxy, ads):
    ads.set("lds", answering("l", "one"), answering("stays", "x"))
    address = proxy.wait_listener("l")
    stays = proxy.wait_listener("stays")
    with Client(address) as client:
        assert client.get("/").text == "one"
        changed(ads, remove=["l"])
        wait_for(lambda: refuses(address), "the port refuses", 5)
        assert body(stays) == "x"
        try:
            assert client.get("/").text == "one"
        except (ConnectionEnded, ConnectionError):
            pass
        assert client.is_closed()
    proxy.wait_stat("listener_manager.listener_removed", 1)


def test_same_name_on_another_address(proxy, ads):
    ads.set("lds", answering("l", "one"))
    old = proxy.wait_listener("l")
    port = free_port()
    changed(ads, answering("l", "two", port=port))
    wait_for(lambda: not refuses(("127.0.0.1", port)), "the new port accepts", 5)
    assert body(("127.0.0.1", port)) == "two"
    wait_for(lambda: refuses(old), "the old port refuses", 5)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def test_two_listeners_on_one_address(proxy, ads):
    port = free_port()
    ads.set("lds", answering("first", "one", port=port))
    address = proxy.wait_listener("first")
    mark = ads.mark()
    ads.set("lds", answering("second", "two", port=port))
    nack = ads.wait_nack("lds", mark)
    assert "second" in nack["error"]
    assert body(address) == "one"
    assert list(proxy.listeners()) == ["first"]


def test_address_moves_to_a_new_name_in_one_response(proxy, ads):
    port = free_port()
    ads.set("lds", answering("old", "one", port=port))
    address = proxy.wait_listener("old")
    assert body(address) == "one"
    changed(ads, answering("new", "two", port=port), replace=True)
    wait_for(lambda: not refuses(address) and body(address) == "two", "the new listener answers", 5)
    wait_for(lambda: list(proxy.listeners()) == ["new"], "only the new name is listed", 5)


def test_address_in_use_is_refused(proxy, ads):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        mark = ads.mark()
        ads.set("lds", answering("good", "one"), answering("bad", "two", port=taken.getsockname()[1]))
        nack = ads.wait_nack("lds", mark)
        assert "bad" in nack["error"]
        assert body(proxy.wait_listener("good")) == "one"


@pytest.mark.parametrize("bad, place", [
    (c.listener("bad", c.chain({"name": "hcm", "typed_config": {"@type": c.HCM, "stat_prefix": "x"}})), "bad"),
    ({"name": "bad", "filter_chains": []}, "bad"),
    (c.listener("bad", c.chain({"name": "unknown", "typed_config": {
        "@type": "type.googleapis.com/google.protobuf.Struct", "value": {}}})), "bad"),
], ids=["no route specifier", "no address", "unknown filter"])
def test_bad_listener_is_refused_alone(proxy, ads, bad, place):
    mark = ads.mark()
    ads.set("lds", answering("good", "one"), bad)
    nack = ads.wait_nack("lds", mark)
    assert place in nack["error"]
    assert body(proxy.wait_listener("good")) == "one"


def test_good_again_after_a_refusal(proxy, ads):
    ads.set("lds", answering("l", "one"))
    address = proxy.wait_listener("l")
    mark = ads.mark()
    ads.set("lds", {**answering("l", "bad"), "filter_chains": []})
    ads.wait_nack("lds", mark)
    assert body(address) == "one"
    changed(ads, answering("l", "three"))
    wait_for(lambda: body(address) == "three", "the good version", 5)


def test_unix_socket(proxy, ads):
    path = str(proxy.dir / "listener.sock")
    made = {**answering("l", "unix"), "address": {"pipe": {"path": path}}}
    changed(ads, made)

    def answer():
        try:
            return body(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return None

    assert wait_for(answer, "the unix socket answers", 5) == "unix"


def test_ipv6(proxy, ads):
    changed(ads, answering("l", "six", host="::1"))
    wait_for(lambda: "l" in proxy.listeners(), "it is bound")
    host, port = proxy.listeners()["l"][0]
    assert (host, body(("::1", port))) == ("::1", "six")


def test_one_shared_socket_without_reuse_port(proxy, ads):
    changed(ads, answering("l", "shared", enable_reuse_port=False))
    assert body(proxy.wait_listener("l")) == "shared"
