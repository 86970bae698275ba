#!/usr/bin/env python3
"""A proxy is restarted under load, and at last told to end: how many requests are lost, how many connections refused?

Half of the requests come on connections that are kept until the proxy says otherwise, half on one of their own each. New
generations take over every few seconds, with other numbers of workers. At the end SIGTERM: from then on, as a load balancer
whose health check fails, clients make no new connection, and go on with those they have until they are told.

    build/venv/bin/python integration/load/hot_restart.py --proxy nuncio --seconds 30
"""

import argparse
import json
import signal
import sys
import threading
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path.append(str(REPO / "integration"))

from harness import config as c  # noqa: E402
from harness.client import Client, ConnectionEnded, ProtocolError, request  # noqa: E402
from harness.generations import Generations  # noqa: E402
from harness.upstream import Origin  # noqa: E402
from harness.wait import wait_for  # noqa: E402

CLIENTS = 10  # of each kind
WORKERS = (2, 1, 3)


class Load:
    """Clients that ask at a steady pace until they are told to make no more connections, and those they have are over."""

    def __init__(self, address, rate):
        self.address = address
        self.pause = 2 * CLIENTS / rate
        self.is_over = threading.Event()  # no new connections
        self.lock = threading.Lock()
        self.answered, self.late, self.failed, self.refused = 0, 0, [], 0
        self.threads = [threading.Thread(target=self._run, args=(is_kept,)) for is_kept in (True, False) * CLIENTS]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join()

    def _run(self, is_kept):
        due = time.monotonic()
        while not self.is_over.is_set():
            due = max(due + self.pause, time.monotonic() - 1)
            time.sleep(max(due - time.monotonic(), 0))
            try:
                client = Client(self.address)
            except OSError as error:
                with self.lock:
                    if not self.is_over.is_set():
                        self.refused += 1
                        self.failed.append(f"connect: {error}")
                continue
            with client:
                due = self._use(client, is_kept, due)

    def _use(self, client, is_kept, due):
        while True:
            if not self._ask(client) or not is_kept:
                return due
            due = max(due + self.pause, time.monotonic() - 1)
            time.sleep(max(due - time.monotonic(), 0))

    def _ask(self, client):
        """One request; whether the connection may be used again."""
        try:
            client.send(request())
            response = client.read_response()
        except (OSError, ConnectionEnded, ProtocolError) as error:
            with self.lock:
                self.failed.append(repr(error))
            return False
        with self.lock:
            self.answered += 1
            self.late += self.is_over.is_set()
            if response.status != 200:
                self.failed.append(response.status)
        return response.header("connection") != "close"


def restarts(flavour, *, seconds, rate=1000, every=5.0, progress=None):
    """Run it; a dict with what happened."""
    with Origin("a") as origin, Generations(flavour) as generations:
        def start():
            made = c.static_bootstrap(
                [c.listener("l", c.hcm(c.simple_routes("r", "a")), port=generations.port)],
                [c.cluster("a", origin.port)])
            made["admin"] = {"address": c.address(generations.admin_port)}
            # Every connection is told within the drain time, and the parent lives a little longer.
            return generations.start("", bootstrap=made, concurrency=WORKERS[len(generations.all) % len(WORKERS)],
                                     drain="2", end="4")

        newest = start()
        load = Load(generations.address, rate)
        started = time.monotonic()
        try:
            while time.monotonic() < started + seconds - every:
                time.sleep(every)
                newest = start()
                if progress:
                    progress(len(generations.all))
            if len(generations.all) > 1:
                assert generations.all[-2].wait_exit(30) == 0
        finally:
            if flavour == "nuncio":
                newest.signal(signal.SIGTERM)
                wait_for(lambda: newest.ready_state() != (200, "LIVE"), "it drains")
            load.stop()
        took = time.monotonic() - started
        codes = [proxy.wait_exit(30) for proxy in generations.all if flavour == "nuncio"]
        return {
            "proxy": flavour, "seconds": round(took, 1), "generations": len(generations.all), "answered": load.answered,
            "per_second": round(load.answered / took), "answered_after_sigterm": load.late, "exit_codes": codes,
            "refused": load.refused, "failures": len(load.failed), "failed": load.failed[:20],
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proxy", choices=("nuncio", "envoy"), default="nuncio")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--every", type=float, default=5)
    options = parser.parse_args()
    result = restarts(options.proxy, seconds=options.seconds, rate=options.rate, every=options.every)
    print(json.dumps(result, indent=2))
    sys.exit(bool(result["failures"]))


if __name__ == "__main__":
    main()
