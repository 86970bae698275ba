"""connection_balance_config: kept connections are evenly held by workers, whoever accepts them."""

import contextlib
import socket
from collections import Counter

import pytest

from harness import config as c
from harness.proxy import Proxy
from harness.wait import wait_for

WORKERS, CONNECTIONS = 4, 64
ACTIVE = "listener.127.0.0.1_0.downstream_cx_active"
GET = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"
EXACTLY = {"connection_balance_config": {"exact_balance": {}}}


@pytest.fixture(autouse=True)
def nuncio_only(pytestconfig):
    if pytestconfig.getoption("--oracle-only"):
        pytest.skip("workers are told by nuncio's connection ids")


def worker_of(sock):
    """By the connection's id, whose upper bits are the worker's number. The connection stays."""
    sock.sendall(GET)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += sock.recv(4096)
    lines = dict(line.split(b": ", 1) for line in answer.split(b"\r\n")[1:] if line)
    return int(lines[b"x-connection"]) >> 48


def listener(**more):
    hcm = c.hcm(c.routes("r", c.vhost("all", ["*"], c.direct("/")), response_headers_to_add=[
        {"header": {"key": "x-connection", "value": "%CONNECTION_ID%"}}]))
    return c.listener("l", hcm, **more)


@contextlib.contextmanager
def proxy_of(**more):
    with Proxy("nuncio", c.static_bootstrap([listener(**more)], []), concurrency=WORKERS) as proxy:
        yield proxy


def connect(stack, address):
    return stack.enter_context(socket.create_connection(address, timeout=10))


def wait_for_workers(proxy):
    """Each takes the listener up when its thread comes to it."""
    seen = set()

    def all_seen():
        with socket.create_connection(proxy.address("l"), timeout=10) as a, \
                socket.create_connection(proxy.address("l"), timeout=10) as b:
            seen.update((worker_of(a), worker_of(b)))
        return len(seen) == WORKERS

    with contextlib.ExitStack() as stack:
        held = [connect(stack, proxy.address("l")) for _ in range(WORKERS)]
        seen.update(worker_of(sock) for sock in held)
        wait_for(all_seen, "a connection of each worker")
    proxy.wait_stat(ACTIVE, 0)


@pytest.mark.parametrize("more", [{}, {"enable_reuse_port": False}], ids=["own sockets", "one socket"])
def test_evenly(more):
    with proxy_of(**EXACTLY, **more) as proxy, contextlib.ExitStack() as stack:
        address = proxy.address("l")
        wait_for_workers(proxy)
        held = [(sock, worker_of(sock)) for sock in (connect(stack, address) for _ in range(CONNECTIONS))]
        counts = Counter(worker for _, worker in held)
        assert sorted(counts.values()) == [CONNECTIONS // WORKERS] * WORKERS

        # Those of one worker go; the next ones are all its own.
        gone = held[0][1]
        for sock, worker in held:
            if worker == gone:
                sock.close()
        proxy.wait_stat(ACTIVE, CONNECTIONS - CONNECTIONS // WORKERS)
        again = Counter(worker_of(connect(stack, address)) for _ in range(CONNECTIONS // WORKERS))
        assert again == {gone: CONNECTIONS // WORKERS}
