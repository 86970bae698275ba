"""connection_balance_config: kept connections are evenly held by workers, whoever accepts them."""

import contextlib
import socket
import threading
from collections import Counter

import pytest

from harness import config as c
from harness.discovery_files import Files
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


class Visitors:
    """Threads that connect, ask once and leave, until the end of the block; what went wrong is in `failures`."""

    def __init__(self, address, count=4):
        self.address, self.over = address, threading.Event()
        self.answered, self.failures = [0] * count, []
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(count)]

    def run(self, i):
        while not self.over.is_set():
            try:
                with socket.create_connection(self.address, timeout=10) as sock:
                    worker_of(sock)
                self.answered[i] += 1
            except OSError as error:
                self.failures.append(error)
                return

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        for thread in self.threads:
            thread.join()


@pytest.mark.threads
def test_hand_overs_while_the_listener_changes(tmp_path):
    """Connections are on their way from one worker to another whenever the chain that they are for is replaced."""
    files = Files(tmp_path)

    def put(*listeners):
        files.put("lds.json", c.LISTENER, *listeners)

    def version(n):
        made = listener(**EXACTLY)
        made["filter_chains"][0]["filters"][0]["typed_config"]["stat_prefix"] = f"n{n}"
        return made

    put(version(0))
    bootstrap = {"node": {"id": "n", "cluster": "c"}, "dynamic_resources": {"lds_config": files.source("lds.json")}}
    with Proxy("nuncio", bootstrap, concurrency=WORKERS) as proxy:
        proxy.wait_listener("l")
        address = proxy.address("l")
        with Visitors(address) as visitors:
            for n in range(1, 12):
                put(version(n))
                proxy.wait_stat("listener_manager.lds.update_success", lambda done, n=n: done > n)
                before = sum(visitors.answered)
                wait_for(lambda: visitors.failures or sum(visitors.answered) > before + 20, "visitors are served")
        assert visitors.failures == []
        proxy.wait_stat(ACTIVE, 0)
        with contextlib.ExitStack() as stack:
            for _ in range(CONNECTIONS):
                connect(stack, address)
            put()  # some are still being handed over
            proxy.wait_stat("listener_manager.total_listeners_active", 0)
