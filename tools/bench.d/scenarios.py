"""The scenarios of tools/bench.

To add one: a class with a name, what it shows, prepare() (made once), measure(peer) -> {metric: value} (called once a
round and peer, rounds interleaved), and a line in SCENARIOS. Ratios are made from the metrics in `compared`; for all
of them less is better.
"""

import os
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from harness import config as c
from harness.pyads import PyAds, message, packed
from identity import NAME, Identity
from native import H2Load, Load, Origins, TlsOrigin
from peers import Setup, answers_h1, answers_h2, answers_tls, free_port, thresholds


class Scenario:
    """A scenario with a running process per peer, for all rounds. Subclasses say what is set up and measured."""

    name = ""
    title = ""
    compared = ()
    keeps_running = True  # one process for all rounds; False: measure() starts its own
    answers = staticmethod(answers_h1)  # does a proxy at that port answer?

    def __init__(self, options):
        self.options = options
        self.stack = ExitStack()
        self.running = {}

    def __enter__(self):
        self.prepare()
        return self

    def __exit__(self, *exc):
        self.stack.close()

    def prepare(self):
        self.origins = self.stack.enter_context(Origins("ok", cpu=self.options.client_cpu))

    def setup(self, peer):
        return Setup(backend=self.origins["ok"])

    def can(self, peer):
        return peer.can(self.setup(peer))

    def start(self, peer):
        running = peer.start(self.setup(peer), self.options.proxy_cpu)
        self.stack.callback(self.end, running)
        return running

    @staticmethod
    def end(running):
        if running.stop is not None:
            stop, running.stop = running.stop, None
            stop()

    def get(self, peer):
        """The peer's running process."""
        if peer.name not in self.running:
            self.running[peer.name] = self.start(peer)
            self.running[peer.name].wait_answer(answers=self.answers)
            self.warm(self.running[peer.name])
        return self.running[peer.name]

    def warm(self, running):
        """Before the first measurement."""

    def load(self, port, **kwargs):
        return Load(port, cpu=self.options.client_cpu, **kwargs)


class H1(Scenario):
    name = "h1"
    title = "HTTP/1.1 keep-alive, 64 connections, 2-byte body"
    compared = ("cpu_us",)
    connections = 64
    path = "/"

    def warm(self, running):
        self.load(running.port, connections=self.connections, seconds=0.5, path=self.path).result()

    def measure(self, peer):
        return self.measure_path(peer, self.path)

    def measure_path(self, peer, path):
        running = self.get(peer)
        before, started = running.cpu_ns(), time.monotonic()
        totals = self.load(running.port, connections=self.connections, seconds=self.options.seconds,
                           path=path).result()
        spent = running.cpu_ns() - before
        failed = sum(totals["failures"].values())
        if failed:
            raise RuntimeError(f"{peer.name} failed {failed} requests: {totals['failures']}")
        return {
            "cpu_us": spent / totals["responses"] / 1e3, "rps": totals["responses"] / totals["seconds"],
            **{name: totals[name] for name in ("mean_us", "p50_us", "p99_us") if name in totals},
            "busy_percent": spent / (time.monotonic() - started) / 1e7, "rss_kb": running.memory_kb(),
        }


class H1k(H1):
    name = "h1k"
    title = "the same with 1000 connections"
    connections = 1000


class H1Logs(H1):
    """Proxies with another process to log to are not in it."""

    name = "h1-logs"
    title = "h1 with an access log of every request to a file, stats as always"

    def prepare(self):
        super().prepare()
        self.place = Path(self.stack.enter_context(TemporaryDirectory(prefix="bench-log-")))

    def setup(self, peer):
        return Setup(backend=self.origins["ok"], log=self.place / peer.name)

    def measure(self, peer):
        measured = super().measure(peer)
        os.truncate(self.place / peer.name, 0)
        return measured


class H1kLogs(H1Logs):
    name = "h1k-logs"
    title = "the same with 1000 connections"
    connections = 1000


class Tcp(H1):
    """The same load through a relay that knows nothing of it."""

    name = "tcp"
    title = "TCP relay: the exchanges of h1 through tcp_proxy, 64 connections"

    def setup(self, peer):
        return Setup(backend=self.origins["ok"], tcp=True)


class H2(H1):
    """Cleartext HTTP/2 from h2load."""

    name = "h2"
    title = "h2c in, HTTP/1 out: 32 connections x 10 streams, 2-byte body"
    connections = 32
    streams = 10
    back_h2 = False
    windows = ()
    origin = {}  # what the origin answers with: arguments of Origins
    answer_bytes = 2
    request = {}  # further arguments of H2Load
    answers = staticmethod(answers_h2)

    def prepare(self):
        self.origins = self.stack.enter_context(Origins("ok", cpu=self.options.client_cpu, **self.origin))

    def setup(self, peer):
        return Setup(backend=self.origins["ok"], front_h2=True, back_h2=self.back_h2, windows=self.windows)

    def load(self, port, **kwargs):
        return Checked(H2Load(port, streams=self.streams, cpu=self.options.client_cpu, **self.request, **kwargs),
                       self.answer_bytes)


class Checked:
    """An H2Load whose every response has to have a whole body: a gRPC error is a 200 without one."""

    def __init__(self, load, answer_bytes):
        self.load = load
        self.answer_bytes = answer_bytes

    def result(self):
        totals = self.load.result()
        missing = totals["responses"] * self.answer_bytes - totals["data_bytes"]
        totals["failures"]["short"] = max(missing, 0)
        return totals


class H2H2(H2):
    name = "h2-h2"
    title = "h2c in and out: 32 connections x 10 streams, 2-byte body"
    back_h2 = True


class GrpcUnary(H2H2):
    name = "grpc-unary"
    title = "gRPC unary calls (h2load), h2c in and out: 32 connections x 10 streams, 100-byte messages"
    origin = {"body_bytes": 100, "grpc": True}
    answer_bytes = 105
    path = "/bench.Echo/Call"
    request = {"headers": ("content-type: application/grpc", "te: trailers"),
               "body": b"\0\0\0\0\x64" + b"x" * 100}


class H2Large(H2H2):
    name = "h2-large"
    title = "h2c in and out: 4 connections x 4 streams, 1 MB body, windows 1 MiB a stream and 16 MiB a connection"
    connections = 4
    streams = 4
    windows = (1 << 20, 16 << 20)
    answer_bytes = 1000000
    origin = {"body_bytes": answer_bytes}


class TcpBulk(H2Large):
    """Bytes are bytes: h2load's through a relay."""

    name = "tcp-bulk"
    title = "TCP relay: 1 MB answers (h2load), 4 connections x 4 streams"

    def setup(self, peer):
        return Setup(backend=self.origins["ok"], tcp=True)


class Routes(H1):
    name = "routes"
    title = "last of 10,000 prefix routes in one virtual host, against the first"
    compared = ("cpu_us", "last_to_first")
    count = 10000

    def setup(self, peer):
        def bootstrap(port):
            table = [c.route(f"/service/{i:05}/", "backend") for i in range(self.count)]
            return c.static_bootstrap(
                [c.listener("l", c.hcm(c.routes("r", c.vhost("all", ["*"], *table, c.route("/", "backend")))),
                            port=port)],
                [c.cluster("backend", self.origins["ok"], **thresholds())])

        return Setup(bootstrap=bootstrap)

    def measure(self, peer):
        first = self.measure_path(peer, "/service/00000/x")
        last = self.measure_path(peer, f"/service/{self.count - 1:05}/x")
        return {**last, "first_cpu_us": first["cpu_us"], "last_to_first": last["cpu_us"] / first["cpu_us"]}


class Tls(H1):
    """TLS 1.3 from the client, one cipher and one curve for all."""

    name = "tls"
    title = "HTTP/1.1 keep-alive over TLS 1.3 (P-256, AES-128-GCM), 64 connections, 2-byte body"
    mutual = False
    how = {}  # further arguments of Load

    def prepare(self):
        super().prepare()
        self.identity = self.stack.enter_context(Identity())
        self.answers = answers_tls(self.identity, self.mutual)

    def setup(self, peer):
        return Setup(backend=self.origins["ok"], tls=self.identity, mutual=self.mutual)

    def load(self, port, **kwargs):
        return Load(port, cpu=self.options.client_cpu, tls=self.identity, mutual=self.mutual, host=NAME,
                    **{**self.how, **kwargs})


class TlsHs(Tls):
    name = "tls-hs"
    title = "a full TLS 1.3 handshake (P-256) and one request, 32 at a time"
    connections = 32
    how = {"reconnect": True}


class TlsResume(Tls):
    name = "tls-resume"
    title = "a resumed TLS 1.3 handshake (ticket, with (EC)DHE) and one request, 32 at a time"
    connections = 32
    how = {"reconnect": True, "resume": True}

    def load(self, port, **kwargs):
        return Resumed(super().load(port, **kwargs), self.connections)


class Resumed:
    """A Load nine in ten of whose connections resumed, but for the first of each slot."""

    def __init__(self, load, slots):
        self.load = load
        self.slots = slots

    def result(self):
        totals = self.load.result()
        if totals["resumed"] < (totals["responses"] - self.slots) * 0.9:
            raise RuntimeError(f"only {totals['resumed']} of {totals['responses']} connections resumed")
        return totals


class MtlsBoth(Tls):
    """The backend is nginx, for its TLS; it shares the client's CPU as ever."""

    name = "mtls-both"
    title = "keep-alive, 64 connections, TLS 1.3 with certificates of both ends, in and out"
    mutual = True

    def prepare(self):
        super().prepare()
        self.backend = self.stack.enter_context(
            TlsOrigin(self.identity, free_port(), cpu=self.options.client_cpu))

    def setup(self, peer):
        return Setup(backend=self.backend.port, tls=self.identity, mutual=True)


class IdleTls(Tls):
    name = "idle-tls"
    title = "memory of an idle keep-alive connection over TLS 1.3"
    compared = ("connection_bytes",)
    connections = 3000

    def warm(self, running):
        """Nothing: each measurement has its own process."""

    def measure(self, peer):
        running = self.start(peer)
        running.wait_answer(answers=self.answers)
        # The same handshakes over few connections first: what that leaves behind is not a connection's.
        self.load(running.port, connections=64, requests=self.connections // 2, reconnect=True).result()
        before = running.settled_kb()
        with self.load(running.port, connections=self.connections, hold=True) as load:
            wait_held(load, self.connections, peer)
            after = running.settled_kb()
            load.stop()
        self.end(running)
        return {"connection_bytes": (after - before) * 1024 / self.connections, "empty_kb": before}


def wait_held(load, count, peer):
    """Until a load with hold=True has all its connections."""
    end = time.monotonic() + 60
    while load.report()["held"] < count:
        if time.monotonic() > end:
            raise RuntimeError(f"{peer.name} does not hold {count} connections")
        time.sleep(0.05)


class Boot(Scenario):
    name = "boot"
    title = "first 200 after start, small configuration"
    compared = ("first_200_ms",)

    def measure(self, peer):
        started = time.monotonic()
        running = self.start(peer)
        answered = running.wait_answer()
        out = {"first_200_ms": (answered - started) * 1e3, "cpu_ms": running.cpu_ns() / 1e6,
               "rss_kb": running.memory_kb()}
        self.end(running)
        return out


class Clusters(Scenario):
    name = "clusters"
    title = "first 200 with 10,000 static clusters"
    compared = ("first_200_ms", "rss_kb")
    count = 10000

    def setup(self, peer):
        def bootstrap(port):
            many = [c.cluster(f"cluster-{i}", self.origins["ok"]) for i in range(self.count)]
            table = c.routes("r", c.vhost("all", ["*"], c.route("/", f"cluster-{self.count - 1}")))
            return c.static_bootstrap([c.listener("l", c.hcm(table), port=port)], many)

        return Setup(bootstrap=bootstrap)

    def measure(self, peer):
        started = time.monotonic()
        running = self.start(peer)
        answered = running.wait_answer()
        out = {"first_200_ms": (answered - started) * 1e3, "cpu_ms": running.cpu_ns() / 1e6,
               "rss_kb": running.settled_kb(), "peak_kb": running.memory_kb("VmHWM")}
        self.end(running)
        return out


class OverAds(Scenario):
    """With a management server of its own a peer."""

    delta = False

    def prepare(self):
        super().prepare()
        self.servers = {}

    def server(self, peer):
        if peer.name not in self.servers:
            self.servers[peer.name] = self.stack.enter_context(PyAds())
        return self.servers[peer.name]

    def resources(self, ads, port):
        """Serve what the peer is to start with."""
        table = c.routes("r", c.vhost("all", ["*"], c.route("/", "backend")))
        ads.set(c.CLUSTER, [c.cluster("backend", self.origins["ok"], **thresholds())])
        ads.set(c.ROUTES, [table])
        ads.set(c.LISTENER, [c.listener("l", c.hcm(rds="r"), port=port)])

    def setup(self, peer):
        def bootstrap(port):
            ads = self.server(peer)
            self.resources(ads, port)
            return c.ads_bootstrap(ads.port, delta=self.delta)

        return Setup(bootstrap=bootstrap)


class ClustersAds(OverAds):
    name = "clusters-ads"
    title = "first 200 with 10,000 clusters over ADS (SotW)"
    compared = ("first_200_ms", "rss_kb")
    count = 10000

    def prepare(self):
        super().prepare()
        made = message(c.CLUSTER, c.cluster("cluster", self.origins["ok"]))
        self.clusters = []
        for i in range(self.count):
            made.name = made.load_assignment.cluster_name = f"cluster-{i}"
            self.clusters.append(packed(made))

    def resources(self, ads, port):
        table = c.routes("r", c.vhost("all", ["*"], c.route("/", f"cluster-{self.count - 1}")))
        ads.set(c.CLUSTER, self.clusters, replace=True)
        ads.set(c.ROUTES, [table])
        ads.set(c.LISTENER, [c.listener("l", c.hcm(rds="r"), port=port)])

    measure = Clusters.measure


class Idle(OverAds):
    name = "idle"
    title = "resident memory: small configuration with ADS, and an idle keep-alive connection"
    compared = ("rss_kb", "connection_bytes")
    connections = 5000

    def can(self, peer):
        return super().can(peer) or Scenario.can(self, peer)

    def setup(self, peer):
        made = super().setup(peer)
        return made if peer.can(made) else Scenario.setup(self, peer)

    def can_speak_xds(self, peer):
        return self.setup(peer).bootstrap is not None

    def measure(self, peer):
        running = self.start(peer)
        running.wait_answer()
        empty = running.settled_kb()
        # The same requests over few connections first: what that leaves behind is not a connection's.
        self.load(running.port, connections=64, requests=self.connections * 2).result()
        before = running.settled_kb()
        with self.load(running.port, connections=self.connections, hold=True) as load:
            wait_held(load, self.connections, peer)
            after = running.settled_kb()
            load.stop()
        self.end(running)
        out = {"connection_bytes": (after - before) * 1024 / self.connections}
        if self.can_speak_xds(peer):
            out["rss_kb"] = empty
        return out


class RdsPush(OverAds):
    name = "rds-push"
    title = "RDS push of 10,000 routes until a request sees it"
    compared = ("visible_ms",)
    count = 10000

    def prepare(self):
        super().prepare()
        self.generation = 0

    def table(self, generation):
        table = [c.route(f"/g{generation}/{i:05}/", "backend") for i in range(self.count)]
        return packed(message(c.ROUTES, c.routes(
            "r", c.vhost("all", ["*"], *table, c.route({"path": "/"}, "backend")))))

    def measure(self, peer):
        running = self.get(peer)
        ads = self.server(peer)
        self.generation += 1
        made = self.table(self.generation)
        path = f"/g{self.generation}/{self.count - 1:05}/x"
        request = f"GET {path} HTTP/1.1\r\nhost: test\r\n\r\n".encode()
        cpu = running.cpu_ns()
        with socket.create_connection(("127.0.0.1", running.port)) as probe:
            limit = time.monotonic() + 30
            version = ads.set(c.ROUTES, [made])
            while True:
                probe.sendall(request)
                if probe.recv(4096).startswith(b"HTTP/1.1 200"):
                    break
                if time.monotonic() > limit:
                    raise RuntimeError(f"{peer.name} never saw the new routes")
            seen = time.monotonic()
        acked, started = ads.wait_ack(c.ROUTES, version), ads.sent_at(c.ROUTES, version)
        return {"visible_ms": (seen - started) * 1e3, "ack_ms": (acked - started) * 1e3,
                "cpu_ms": (running.cpu_ns() - cpu) / 1e6, "rss_kb": running.memory_kb()}


class CdsPush(ClustersAds):
    name = "cds-push"
    title = "1 new cluster among 10,000 (SotW) until the ACK"
    compared = ("ack_ms",)

    def prepare(self):
        super().prepare()
        self.generation = 0

    def measure(self, peer):
        running = self.get(peer)
        ads = self.server(peer)
        self.generation += 1
        made = packed(message(c.CLUSTER, c.cluster(f"new-{self.generation}", self.origins["ok"])))
        cpu = running.cpu_ns()
        version = ads.set(c.CLUSTER, [made])
        acked, started = ads.wait_ack(c.CLUSTER, version), ads.sent_at(c.CLUSTER, version)
        return {"ack_ms": (acked - started) * 1e3, "cpu_ms": (running.cpu_ns() - cpu) / 1e6,
                "rss_kb": running.memory_kb()}


class CdsPushDelta(CdsPush):
    name = "cds-push-delta"
    title = "1 new cluster beside 10,000 (delta) until the ACK"
    delta = True


SCENARIOS = {s.name: s for s in (
    H1, H1k, H1Logs, H1kLogs, Tcp, TcpBulk, H2, H2H2, GrpcUnary, H2Large, Tls, TlsHs, TlsResume, MtlsBoth, IdleTls, Routes, Boot, Clusters,
    ClustersAds, Idle, RdsPush, CdsPush, CdsPushDelta)}
