"""Processes of one base id that take over from each other (hot restart): one port, one admin port."""

import itertools
import os
import signal
import socket
import subprocess

from . import config as c
from .client import Client
from .proxy import Proxy

COUNTER = itertools.count(os.getpid() % 100000 * 100)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def answering(body, port, name="l", **more):
    table = c.routes("r", c.vhost("all", ["*"], c.direct("/", 200, body)))
    return c.listener(name, c.hcm(table), port=port, **more)


def run(flavour, bootstrap, *args):
    """A process that is expected to end by itself."""
    proxy = Generation(flavour, bootstrap, args=list(args))
    return subprocess.run(proxy.command(), capture_output=True, text=True, timeout=30, errors="replace")


class Generations:
    """Processes of one base id, that serve one port and one admin port."""

    def __init__(self, flavour, **more):
        self.flavour = flavour
        self.base_id = next(COUNTER)
        self.port, self.admin_port = free_port(), free_port()
        self.address = ("127.0.0.1", self.port)
        self.more = more
        self.all = []

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        errors = []
        for proxy in reversed(self.all):
            try:
                proxy.stop()
            except AssertionError as error:
                errors.append(error)
        if errors and exc[0] is None:
            raise errors[0]

    def bootstrap(self, body, **more):
        out = c.static_bootstrap([answering(body, self.port, **{**self.more, **more})], stats_flush_on_admin=True)
        out["admin"] = {"address": c.address(self.admin_port)}
        return out

    def start(self, body, bootstrap=None, concurrency=1, args=(), ready=True, drain="1", end="2", **more):
        """The next generation."""
        args = ["--base-id", str(self.base_id), "--restart-epoch", str(len(self.all)), "--drain-time-s", drain,
                "--parent-shutdown-time-s", end, *args]
        proxy = Generation(self.flavour, bootstrap or self.bootstrap(body, **more), concurrency=concurrency, args=args,
                           ready=ready, name=f"{self.flavour} {len(self.all)}")
        proxy.start()
        self.all.append(proxy)
        return proxy

    def answer(self):
        with Client(self.address) as client:
            return client.get("/").text


class Generation(Proxy):
    def command(self, extra=()):
        return [arg for arg in super().command(extra) if arg != "--disable-hot-restart"]

    def stop(self):
        """The admin port may be another generation's."""
        if self.is_running():
            self.signal(signal.SIGINT if self.flavour == "nuncio" else signal.SIGTERM)
            try:
                self.wait_exit(20)
            except subprocess.TimeoutExpired:
                self.kill()
        super().stop()
