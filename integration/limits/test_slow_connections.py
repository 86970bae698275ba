"""Faults 8: hundreds of clients that say one byte now and then, before TLS, in its hello, in a request's head, in its body.
Each is ended by a timeout that is counted, nobody else notices, and descriptors and memory come back."""

import time
from contextlib import ExitStack

import pytest

from harness import config as c
from harness.certs import Authority
from harness.proxy import Proxy
from harness.upstream import Origin
from harness.wait import wait_for

CLIENTS = 150
TLS = c.downstream_tls(Authority("root").leaf("server", dns=["a.example"]))
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


def manager(name, **more):
    return c.hcm(c.simple_routes("r", "a"), stat_prefix=name, **more)


# What is said, and the counter that moves once a client.
WAYS = {
    "inspection": (HELLO, "listener.inspection.downstream_pre_cx_timeout"),
    "hello": (HELLO, "listener.hello.downstream_cx_transport_socket_connect_timeout"),
    "head": (b"GET / HTTP/1.1\r\nHost: t\r\nx-slow: ", "http.head.downstream_rq_header_timeout"),
    "body": (b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\nx", "http.body.downstream_rq_timeout"),
}


@pytest.fixture(scope="module")
def proxy(flavour):
    chain = c.chain(manager("hello"), transport_socket=TLS, transport_socket_connect_timeout="1s")
    with Origin("a") as origin:
        listeners = [
            c.listener("inspection", manager("inspection"), stat_prefix="inspection",
                       listener_filters=[c.tls_inspector()], listener_filters_timeout="1s"),
            c.listener("hello", chain, stat_prefix="hello"),
            c.listener("head", manager("head", request_headers_timeout="1s"), stat_prefix="head"),
            c.listener("body", manager("body", request_timeout="1s", delayed_close_timeout="0.1s"), stat_prefix="body"),
            c.listener("well", manager("well")),
        ]
        with Proxy(flavour, c.static_bootstrap(listeners, [c.cluster("a", origin.port)])) as running:
            running.wait_listener("well")
            yield running


@pytest.mark.parametrize("way", WAYS)
def test_slow_clients_are_ended(proxy, way):
    said, counter = WAYS[way]
    with proxy.connect("well") as well:
        def ask():
            well.send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
            assert well.read_response().status == 200

        ask()
        files = proxy.open_files()
        before = proxy.stat(counter)
        with ExitStack() as stack:
            clients = [stack.enter_context(proxy.connect(way)) for _ in range(CLIENTS)]
            for client in clients:
                client.send(said[:-1])
            for client in clients:
                client.send(said[-1:])
                ask()
            proxy.wait_stat(counter, before + CLIENTS)
            ask()
            wait_for(lambda: proxy.open_files() <= files + 4, "their descriptors are closed", 20)
        ask()


def test_memory_of_unfinished_handshakes_is_given_back(pytestconfig):
    """They are on the heap, between what stays: it has to be made to give them back."""
    if pytestconfig.getoption("--oracle-only"):
        pytest.skip("nuncio's own")
    chain = c.chain(manager("hello"), transport_socket=TLS, transport_socket_connect_timeout="60s")
    with Proxy("nuncio", c.static_bootstrap([c.listener("hello", chain)], [c.cluster("a", 9)])) as proxy:
        if proxy.is_sanitized:
            pytest.skip("the sanitizer keeps what was freed")
        proxy.wait_listener("hello")

        def half_open(count):
            with ExitStack() as stack:
                for _ in range(count):
                    stack.enter_context(proxy.connect("hello")).send(HELLO)
                proxy.wait_stat("listener.127.0.0.1_0.downstream_cx_active", count)
                most = proxy.rss_kb()
            proxy.wait_stat("listener.127.0.0.1_0.downstream_cx_active", 0)
            return most

        half_open(10)
        before = proxy.rss_kb()
        most = half_open(700)
        assert most > before + 2048
        wait_for(lambda: proxy.rss_kb() <= before + 2048, "memory comes back", 5)
