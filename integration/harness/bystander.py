"""A client that behaves while others do not, and what must hold for it and for the proxy afterwards."""

import statistics
import threading
import time
from contextlib import contextmanager

from .client import Client, request
from .wait import wait_for


class Bystander(threading.Thread):
    """One HTTP/1 request after the other on one connection, for as long as the attack lasts. Other protocols override
    connect and exchange."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.done = threading.Event()
        self.latencies = []
        self.failures = []
        self.connect(address)
        self.start()

    def connect(self, address):
        self.client = Client(address, timeout=30)

    def exchange(self):
        """One request; returns what was wrong with its answer, or None."""
        response = self.client.exchange(request("GET", "/bystander"))
        return None if (response.status, response.body) == (200, b"a") else response

    def disconnect(self):
        self.client.close()

    def run(self):
        while not self.done.is_set():
            started = time.monotonic()
            try:
                problem = self.exchange()
            except (AssertionError, OSError) as error:
                problem = repr(error)
            if problem is not None:
                self.failures.append(problem)
                return
            self.latencies.append(time.monotonic() - started)

    def finish(self):
        """Ends it. Returns its median latency."""
        self.done.set()
        self.join(30)
        self.disconnect()
        assert not self.failures, self.failures
        assert self.latencies
        return statistics.median(self.latencies)


@contextmanager
def unharmed(proxy, bystander=Bystander, listener="l"):
    """Inside: a bystander that sees no error. Afterwards: no file left open, memory as before, nothing in the log that a
    sanitizer or an assertion wrote."""
    files, memory = proxy.open_files(), proxy.rss_kb()
    watcher = bystander(proxy.address(listener))
    wait_for(lambda: watcher.latencies or watcher.failures, "the bystander is served")
    yield watcher
    watcher.finish()
    wait_for(lambda: proxy.open_files() <= files + 2, "its files are closed", 20)
    if not proxy.is_sanitized:
        wait_for(lambda: proxy.rss_kb() <= memory + 8192, "its memory is back", 35)
    proxy.check_clean()
