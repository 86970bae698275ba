"""Scenarios of relayed connections, played through Envoy and nuncio with both ends in the test's hand: what the ends
see, the access log's lines and the counters that moved are compared."""

import re

import pytest

from harness import config as c
from harness.proxy import Proxy
from harness.tcp_peer import Backend, Counters, dial
from harness.wait import wait_for

TCP_PROXY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
STATS = r"^(tcp\.|cluster\.[^.]*\.upstream_(cx|rq|flow)|listener\.127|cluster\.[^.]*\.http2\.(tx|rx)_reset)"
# Not compared: they depend on timing, or on the number of reads.
LOOSE = ("_ms", "early_data", "_bytes_buffered", "upstream_flush", "upstream_rq_time", "cluster.h2.upstream_cx_tx_bytes",
         "cluster.h1.upstream_cx_destroy", "cluster.tls")
# Differ by the number of reads and writes, or by how much the kernels took.
VOLUME = ("flow_control", "bytes_total", "received", "sent")


def tcp(cluster=None, log=None, log_format=None, **more):
    config = {"@type": TCP_PROXY, "stat_prefix": "t", **more}
    if cluster is not None:
        config["cluster"] = cluster
    if log is not None:
        config["access_log"] = [c.access_log(log, log_format)]
    return {"name": "tcp", "typed_config": config}


class World:
    """One proxy of the pair, with a backend of its own."""

    def __init__(self, flavour, log, bootstrap, fields):
        self.flavour = flavour
        self.log = log
        self.fields = fields
        self.backend = Backend()
        log.touch()
        self.proxy = Proxy(flavour, bootstrap(log, self.backend))

    def lines(self, offset):
        return self.log.read_bytes()[offset:].decode().splitlines()

    def idle(self):
        """No connection is left but those to the admin port."""
        left = {n: v for n, v in self.proxy.stats("?filter=cx_active").items() if v}
        return not any(n for n in left if not n.startswith(("listener.admin", "http.", "cluster.h2.")))

    def play(self, scenario):
        """What came of (listener, play, number of log lines). play(world, connect) returns what the ends saw."""
        listener, play, count = scenario
        self.backend.forget()
        offset = self.log.stat().st_size
        counters = Counters(self.proxy, STATS)
        seen = play(self, lambda: dial(self.proxy.address(listener)))
        wait_for(lambda: len(self.lines(offset)) >= count, lambda: f"{self.flavour}: {count} lines: {self.lines(offset)}")
        wait_for(self.idle, lambda: f"{self.flavour}: all closed: {self.proxy.stats('?filter=cx_active')}")
        log = [dict(zip(self.fields, line.split("|"))) for line in self.lines(offset)]
        for line in log:
            line["host"] = line.get("host", "").rpartition(":")[0]
        return {"seen": seen, "log": log, "moved": self.unnamed(counters.moved())}

    @staticmethod
    def unnamed(moved):
        """Without the ports in names of listeners, and what is not compared."""
        return {re.sub(r"^listener\.127\.0\.0\.1_[0-9]+", "listener", n): v for n, v in moved.items()
                if ".worker_" not in n and not any(part in n for part in LOOSE)}


class Pair:
    """bootstrap(log, backend) for each flavour."""

    def __init__(self, flavours, workdir, bootstrap, fields):
        self.worlds = [World(f, workdir / f"{f}.log", bootstrap, fields) for f in flavours]

    def __enter__(self):
        try:
            for world in self.worlds:
                world.proxy.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc):
        problems = []
        for world in self.worlds:
            try:
                world.proxy.stop()
            except AssertionError as error:
                problems.append(error)
            world.backend.close()
        if problems:
            raise problems[0]


def without(outcome, parts):
    return dict(
        outcome, log=[{k: v for k, v in line.items() if not any(p in k for p in parts)} for line in outcome["log"]],
        moved={k: v for k, v in outcome["moved"].items() if not any(p in k for p in parts)})


def differences(ours, theirs, place=""):
    """Where two outcomes differ: (place, nuncio's, Envoy's)."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [d for k in sorted({*ours, *theirs}) for d in differences(ours.get(k), theirs.get(k), f"{place}/{k}")]
    if isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple)) and len(ours) == len(theirs):
        return [d for i, pair in enumerate(zip(ours, theirs)) for d in differences(*pair, f"{place}[{i}]")]
    return [] if ours == theirs else [(place, ours, theirs)]


def compare(worlds, scenario, is_volume=False):
    """Plays it everywhere; fails where two outcomes differ. The outcomes by flavour."""
    outcomes = {w.flavour: w.play(scenario) for w in worlds}
    if is_volume:
        outcomes = {k: without(o, VOLUME) for k, o in outcomes.items()}
    if len(outcomes) == 2:
        found = differences(outcomes["nuncio"], outcomes["envoy"])
        if found:
            pytest.fail("what, nuncio, Envoy:\n" + "\n".join(map(str, found)))
    return outcomes
