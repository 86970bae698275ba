"""Clients that ask for a large body and hardly read: what each costs the proxy, and how soon it has recovered.

    integration/load/slow_readers.py --proxy nuncio|envoy --clients 10000 [--body BYTES] [--cap-factor 1.5]

Opens the connections first (what they cost idle is told apart), then asks on all of them, reads a little of each answer
and lets them wait. Then all hang up at once, and the memory that comes back is watched while a well-behaved client asks on.
With --cap-factor the proxy runs in a memory control group of its own whose limit is that many times what it needs idle,
with all connections open (and what the kernel charges ahead); it must shed and live.
"""

import argparse
import http.client
import json
import os
import resource
import selectors
import socket
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import config as c  # noqa: E402
from harness.cgroup import MemoryGroup  # noqa: E402
from harness.proxy import Proxy  # noqa: E402

GET = b"GET /large HTTP/1.1\r\nHost: t\r\n\r\n"
WELL = b"GET /well HTTP/1.1\r\nHost: t\r\n\r\n"


class Blaster:
    """An origin for thousands of connections in one process: answers each request with a body as fast as it is taken."""

    def __init__(self, body_bytes):
        self.body_bytes = body_bytes
        self.read_end, self.write_end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self.read_end)
                self._serve()
            finally:
                os._exit(0)
        os.close(self.write_end)
        self.port = int(os.read(self.read_end, 16))

    def close(self):
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        os.close(self.read_end)

    def _serve(self):
        raise_limit()
        listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        listener.setblocking(False)
        os.write(self.write_end, str(listener.getsockname()[1]).encode())
        selector = selectors.EpollSelector()
        selector.register(listener, selectors.EVENT_READ, None)
        piece = memoryview(b"x" * 65536)
        left = {}
        while True:
            for key, events in selector.select():
                sock = key.fileobj
                if sock is listener:
                    try:
                        while True:
                            made, _ = listener.accept()
                            made.setblocking(False)
                            selector.register(made, selectors.EVENT_READ, None)
                    except OSError:
                        continue
                try:
                    self._step(selector, sock, events, left, piece)
                except BlockingIOError:
                    pass
                except OSError:
                    left.pop(sock, None)
                    selector.unregister(sock)
                    sock.close()

    def _step(self, selector, sock, events, left, piece):
        if events & selectors.EVENT_READ:
            data = sock.recv(65536)
            if not data:
                raise OSError("gone")
            size = self.body_bytes if b"/large" in data else 4
            sock.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
            left[sock] = size
            selector.modify(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while left.get(sock, 0) > 0:
            left[sock] -= sock.send(piece[:left[sock]])
        selector.modify(sock, selectors.EVENT_READ)


def raise_limit(want=65536):
    """As many descriptors as there may be; more than the hard limit only for root."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for most in (max(want, hard), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
            return most
        except (ValueError, OSError):
            continue
    return soft


def open_clients(address, count):
    clients = []
    for n in range(count):
        # Each has its own small receive window; many source addresses, for there are not enough ports.
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.bind((f"127.0.{1 + n // 20000}.1", 0))
        try:
            sock.connect(address)
        except OSError:
            sock.close()
            continue
        sock.setblocking(False)
        clients.append(sock)
    return clients


def settle(proxy, quiet=0.5, most=30.0):
    """Wait until its memory neither grows nor shrinks; KiB."""
    end = time.monotonic() + most
    last, since = proxy.rss_kb(), time.monotonic()
    while time.monotonic() < end:
        time.sleep(0.05)
        now = proxy.rss_kb()
        if abs(now - last) > 256:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > quiet:
            break
    return proxy.rss_kb()


class WellBehaved(threading.Thread):
    """Asks for a small answer again and again on one connection; keeps how long each took."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.address = address
        self.took_ms = []
        self.statuses = {}
        self.stopping = threading.Event()

    def run(self):
        connection = None
        while not self.stopping.is_set():
            started = time.monotonic()
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(*self.address, timeout=10)
                connection.request("GET", "/well")
                reply = connection.getresponse()
                reply.read()
                status = reply.status
            except (OSError, http.client.HTTPException) as error:
                status = type(error).__name__
                connection = None
            self.statuses[status] = self.statuses.get(status, 0) + 1
            self.took_ms.append((time.monotonic() - started) * 1000)
            self.stopping.wait(0.02)

    def stop(self):
        self.stopping.set()
        self.join(15)
        took = sorted(self.took_ms)
        return {"requests": len(took), "statuses": self.statuses,
                "p99_ms": round(took[len(took) * 99 // 100], 1) if took else None}


def ask_all(clients):
    asked = 0
    for sock in clients:
        try:
            sock.send(GET)
            asked += 1
        except OSError:
            pass
    return asked


def wait_answered(proxy, clients, most=90.0):
    """Until every request that was let in has the beginning of its answer, or was refused."""
    end = time.monotonic() + most
    while time.monotonic() < end:
        stats = proxy.stats("?filter=downstream_rq_[1-5]xx|downstream_cx_active")
        answered = sum(v for k, v in stats.items() if k.startswith("http.ingress.downstream_rq_"))
        if answered >= min(clients, stats.get("http.ingress.downstream_cx_active", 0)):
            return
        time.sleep(0.2)


def read_a_little(clients):
    """{"200": n, "503": n, "closed": n, "nothing": n} of what the answers begin with."""
    seen = {}
    for sock in clients:
        try:
            start = sock.recv(16)
            what = start[9:12].decode() if start else "closed"
        except BlockingIOError:
            what = "nothing"
        except OSError:
            what = "closed"
        seen[what] = seen.get(what, 0) + 1
    return seen


def well_until(address, deadline):
    """Ask until an answer is 200; seconds it took, or None."""
    started = time.monotonic()
    while time.monotonic() - started < deadline:
        try:
            connection = http.client.HTTPConnection(*address, timeout=2)
            connection.request("GET", "/well")
            if connection.getresponse().status == 200:
                return time.monotonic() - started
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.02)
    return None


def bootstrap(port, clients):
    listener = c.listener("l", c.hcm(c.routes("r", c.vhost("all", ["*"], c.route(
        "/", {"cluster": "a", "timeout": "0s"})))), max_connections_to_accept_per_socket_event=64)
    breakers = {"thresholds": [{"max_connections": 2 * clients, "max_requests": 2 * clients,
                                "max_pending_requests": 2 * clients}]}
    return c.static_bootstrap([listener], [c.cluster("a", port, connect_timeout="60s", circuit_breakers=breakers)])


def idle_bytes(flavour, clients, concurrency):
    """What the control group of a proxy counts that has that many connections open and does nothing."""
    group = MemoryGroup()
    opened = []
    try:
        with Proxy(flavour, bootstrap(9, clients), concurrency=concurrency, log_level="error", start_in=group.enter) as proxy:
            opened = open_clients(proxy.address("l"), clients)
            proxy.wait_stat("http.ingress.downstream_cx_active", lambda n: n >= len(opened) * 0.99, 60)
            settle(proxy)
            return group.used()
    finally:
        for sock in opened:
            sock.close()
        group.close()


def charged_ahead():
    """What the kernel may charge a group before it is used: up to 64 pages on each CPU, a third of what some hundred
    idle connections cost. Without room for it the limit would depend on where the threads happened to run."""
    return (os.cpu_count() or 1) * 64 * os.sysconf("SC_PAGE_SIZE")


def run(flavour, clients=10000, body_bytes=1 << 20, cap_factor=None, concurrency=1):
    """One run; a dict of what was seen."""
    raise_limit()
    origin = Blaster(body_bytes)
    out = {"proxy": flavour, "clients": clients, "body_bytes": body_bytes}
    group = None
    if cap_factor:
        limit = int(idle_bytes(flavour, clients, concurrency) * cap_factor) + charged_ahead()
        group = MemoryGroup()
        out["limit_kb"] = group.limit(limit) // 1024
    proxy = Proxy(flavour, bootstrap(origin.port, clients), concurrency=concurrency, log_level="error",
                  start_in=group.enter if group else raise_limit)
    opened = []
    try:
        with proxy:
            address = proxy.address("l")
            well_until(address, 5)
            out["start_kb"] = settle(proxy)
            opened = open_clients(address, clients)
            proxy.wait_stat("http.ingress.downstream_cx_active", lambda n: n >= len(opened) * 0.99, 60)
            idle = settle(proxy)
            out["idle_kb"] = idle
            well = WellBehaved(address)
            well.start()
            started = time.monotonic()
            out["asked"] = ask_all(opened)
            wait_answered(proxy, len(opened))
            loaded = settle(proxy)
            out["loaded_after_s"] = round(time.monotonic() - started, 1)
            out["loaded_kb"] = loaded
            out["peak_kb"] = proxy.peak_kb()
            out["kb_each"] = round((loaded - idle) / max(1, len(opened)), 2)
            out["answers"] = read_a_little(opened)
            for sock in opened:
                sock.close()
            opened = []
            gone = time.monotonic()
            out["well_again_s"] = round(well_until(address, 10) or -1, 2)
            time.sleep(max(0.0, 2.0 - (time.monotonic() - gone)))
            out["after_2s_kb"] = proxy.rss_kb()
            out["well_client"] = well.stop()
            out["is_alive"] = proxy.is_running()
            if group:
                out["oom_kills"] = group.oom_kills()
            out["stats"] = {name: value for name, value in proxy.stats("?usedonly").items()
                            if "overload" in name or "overflow" in name}
    finally:
        for sock in opened:
            sock.close()
        origin.close()
        if group:
            group.close()
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proxy", choices=("nuncio", "envoy"), default="nuncio")
    parser.add_argument("--clients", type=int, default=10000)
    parser.add_argument("--body", type=int, default=1 << 20)
    parser.add_argument("--cap-factor", type=float)
    parser.add_argument("--concurrency", type=int, default=1)
    a = parser.parse_args()
    print(json.dumps(run(a.proxy, a.clients, a.body, a.cap_factor, a.concurrency), indent=2))


if __name__ == "__main__":
    main()
