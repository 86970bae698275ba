"""Statistics that are sent: statsd over UDP, unix datagrams and TCP, with and without tags; a metrics service."""

import re
import socket
import threading
from concurrent import futures

import grpc
import pytest

from harness import config as c
from harness.client import Client
from harness.protos import message
from harness.proxy import Proxy, validate
from harness.upstream import Origin
from harness.wait import wait_for

METRICS = "type.googleapis.com/envoy.config.metrics.v3."
GRAPHITE = "type.googleapis.com/envoy.extensions.stat_sinks.graphite_statsd.v3.GraphiteStatsdSink"


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def bootstrap(origin, sinks, clusters=(), **more):
    return c.static_bootstrap(
        [c.listener("l", c.hcm(c.simple_routes("r", "a")))], [c.cluster("a", origin.port), *clusters],
        stats_sinks=[{"name": f"sink-{i}", "typed_config": s} for i, s in enumerate(sinks)],
        **({"stats_flush_interval": "0.1s"} | more))


class Receiver:
    """A datagram socket that keeps what comes, by lines."""

    def __init__(self, made):
        self.socket = made
        self.socket.settimeout(0.2)
        self.datagrams = []
        self.done = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.done:
            try:
                self.datagrams.append(self.socket.recv(65536).decode())
            except socket.timeout:
                pass

    def lines(self):
        return [line for d in list(self.datagrams) for line in d.split("\n")]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.done = True
        self.thread.join()
        self.socket.close()


def udp():
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))
    return Receiver(made), made.getsockname()[1]


@pytest.fixture(scope="module")
def origin():
    with Origin("a") as made:
        yield made


def ask(proxy, times):
    with Client(proxy.address("l")) as client:
        for _ in range(times):
            assert client.get("/").status == 200


def total(lines, name, kind="c"):
    """The sum of what was sent for a series."""
    return sum(int(m[1]) for line in lines if (m := re.fullmatch(re.escape(name) + r":(\d+)\|" + kind, line)))


def weight(lines, pattern):
    """How many samples the lines of a timer stand for."""
    found = 0
    for line in lines:
        if m := re.fullmatch(pattern + r":[\d.]+\|ms(?:\|@([\d.e-]+))?(\|#.*)?", line):
            found += round(1 / float(m[1])) if m[1] else 1
    return found


def test_statsd_over_udp(flavour, origin):
    """Differences of counters, values of gauges, samples of timers; nothing is counted twice."""
    receiver, port = udp()
    sink = {"@type": METRICS + "StatsdSink", "address": address(port)}
    with receiver, Proxy(flavour, bootstrap(origin, [sink])) as proxy:
        ask(proxy, 3)
        wait_for(lambda: total(receiver.lines(), "envoy.http.ingress.downstream_rq_total") == 3, "three requests are told")
        ask(proxy, 4)
        wait_for(lambda: total(receiver.lines(), "envoy.http.ingress.downstream_rq_total") == 7, "and the other four")
        wait_for(lambda: weight(receiver.lines(), r"envoy\.http\.ingress\.downstream_rq_time") == 7, "seven samples")
        lines = receiver.lines()
        assert total(lines, "envoy.cluster.a.upstream_rq_200") == 7
        assert "envoy.cluster.a.membership_total:1|g" in lines
        assert not any("\n" in d for d in receiver.datagrams)  # one in each datagram


@pytest.mark.parametrize("kind", ["dog", "graphite"])
def test_tags(flavour, origin, kind):
    """Tags taken out of names, several lines in a datagram but never more than allowed."""
    receiver, port = udp()
    sink = {"@type": METRICS + "DogStatsdSink" if kind == "dog" else GRAPHITE, "address": address(port), "prefix": "p",
            "max_bytes_per_datagram": 512}
    want = {"dog": "p.cluster.upstream_rq:2|c|#envoy.response_code:200,envoy.cluster_name:a",
            "graphite": "p.cluster.upstream_rq;envoy.response_code=200;envoy.cluster_name=a:2|c"}[kind]

    def normal(line):
        name, sign, tags = line.partition("|#")
        if not sign:
            name, sign, tags = re.match(r"([^;]*)(;?)([^:]*)", line).groups()
            return name, line[len(name) + len(sign) + len(tags):], tuple(sorted(tags.split(";")))
        return name, "", tuple(sorted(tags.split(",")))

    with receiver, Proxy(flavour, bootstrap(origin, [sink], stats_flush_interval="1s")) as proxy:
        ask(proxy, 2)
        wait_for(lambda: any("upstream_rq" in line and "200" in line for line in receiver.lines()), "the code is told")
        # Both requests are in one interval, or one in each of two.
        told = [normal(line) for line in receiver.lines()]
        one = normal(want.replace(":2|c", ":1|c"))
        wait_for(lambda: (told := [normal(line) for line in receiver.lines()]) and
                 (normal(want) in told or told.count(one) == 2), lambda: [line for line in receiver.lines() if "200" in line])
        assert max(len(d) for d in receiver.datagrams) <= 512
        assert any("\n" in d for d in receiver.datagrams)


class LineServer:
    """Takes connections and keeps what comes on each, until it is told to close them all."""

    def __init__(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.open = []
        self.texts = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                conn, _ = self.server.accept()
            except OSError:
                return
            self.open.append(conn)
            self.texts.append("")
            threading.Thread(target=self.read, args=(conn, len(self.texts) - 1), daemon=True).start()

    def read(self, conn, index):
        try:
            while piece := conn.recv(65536):
                self.texts[index] += piece.decode()
        except OSError:
            pass

    def drop(self):
        for conn in self.open:
            conn.shutdown(socket.SHUT_RDWR)
        self.open.clear()

    def lines(self, first=0):
        return [line for text in self.texts[first:] for line in text.split("\n")[:-1]]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.server.close()
        self.drop()


def test_statsd_over_tcp(flavour, origin):
    """To a cluster; a server that closes is found again."""
    sink = {"@type": METRICS + "StatsdSink", "tcp_cluster_name": "statsd", "prefix": "x"}
    with LineServer() as server, Proxy(flavour, bootstrap(origin, [sink], [c.cluster("statsd", server.port)])) as proxy:
        ask(proxy, 2)
        wait_for(lambda: total(server.lines(), "x.http.ingress.downstream_rq_total") == 2, "both requests are told")
        before = len(server.texts)
        server.drop()
        wait_for(lambda: "x.server.live:1|g" in server.lines(before), "another connection tells on")
        assert all(re.fullmatch(r"x\.[^\n]*\|(c|g|ms).*", line) for line in server.lines())


def test_flush_on_admin(flavour, origin):
    receiver, port = udp()
    sink = {"@type": METRICS + "StatsdSink", "address": address(port)}
    config = bootstrap(origin, [sink], stats_flush_on_admin=True)
    del config["stats_flush_interval"]
    with receiver, Proxy(flavour, config) as proxy:
        ask(proxy, 1)
        proxy.admin("/stats")
        wait_for(lambda: total(receiver.lines(), "envoy.http.ingress.downstream_rq_total") == 1, "told when looked at")


class Service(grpc.GenericRpcHandler):
    """A metrics service that keeps what comes."""

    def __init__(self):
        self.messages = []
        self.streams = 0
        self.type = message("envoy/service/metrics/v3/metrics_service.proto",
                            "envoy.service.metrics.v3.StreamMetricsMessage")

    def service(self, details):
        if details.method == "/envoy.service.metrics.v3.MetricsService/StreamMetrics":
            return grpc.stream_unary_rpc_method_handler(self.take, self.type.FromString)
        return None

    def take(self, messages, context):
        self.streams += 1
        for one in messages:
            self.messages.append(one)
        return b""

    def families(self, name):
        return [f for m in list(self.messages) for f in m.envoy_metrics if f.name == name]


@pytest.fixture
def service():
    made = Service()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((made,))
    made.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield made
    server.stop(0)


H2 = {"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
    "explicit_http_config": {"http2_protocol_options": {}}}}}


@pytest.mark.parametrize("labels", [False, True], ids=["names", "labels"])
@pytest.mark.parametrize("deltas", [False, True], ids=["totals", "deltas"])
def test_metrics_service(flavour, origin, service, labels, deltas):
    sink = {"@type": METRICS + "MetricsServiceConfig", "transport_api_version": "V3", "emit_tags_as_labels": labels,
            "report_counters_as_deltas": deltas, "grpc_service": {"envoy_grpc": {"cluster_name": "metrics"}}}
    name = "cluster.upstream_rq_completed" if labels else "cluster.a.upstream_rq_completed"
    timer = "http.downstream_rq_time" if labels else "http.ingress.downstream_rq_time"

    def of_a(families):
        return [f for f in families if not labels or ("envoy.cluster_name", "a") in
                {(pair.name, pair.value) for pair in f.metric[0].label}]

    def values():
        return [f.metric[0].counter.value for f in of_a(service.families(name))]

    with Proxy(flavour, bootstrap(origin, [sink], [{**c.cluster("metrics", service.port), **H2}])) as proxy:
        wait_for(lambda: service.messages, "the first message")
        ask(proxy, 3)
        wait_for(lambda: sum(values()) == 3 if deltas else 3 in values(), lambda: f"three requests: {values()}")
        ask(proxy, 2)
        wait_for(lambda: sum(values()) == 5 if deltas else 5 in values(), lambda: f"five requests: {values()}")
        wait_for(lambda: sum(f.metric[0].histogram.sample_count for f in service.families(timer)
                             if f.type == 4) >= 5, "all samples")
        assert service.streams == 1
        assert service.messages[0].identifier.node.id == proxy.bootstrap["node"]["id"]
        assert not any(m.HasField("identifier") for m in service.messages[1:])
        for family in service.families(timer):
            metric = family.metric[0]
            assert metric.timestamp_ms > 1_700_000_000_000
            if family.type == 2:
                assert [round(q.quantile, 4) for q in metric.summary.quantile] == [
                    0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1]
            else:
                assert family.type == 4 and len(metric.histogram.bucket) == 19
        gauges = service.families("cluster.membership_total" if labels else "cluster.a.membership_total")
        assert of_a(gauges) and all(f.type == 1 and f.metric[0].gauge.value == 1 for f in of_a(gauges))


UDP = {"@type": METRICS + "StatsdSink", "address": address(8125)}


@pytest.mark.differential
@pytest.mark.parametrize("field, reason", [
    ({"stats_sinks": [{"name": "x", "typed_config": UDP}]}, None),
    ({"stats_sinks": [{"name": "x", "typed_config": {"@type": METRICS + "StatsdSink"}}]}, "is required"),
    ({"stats_sinks": [{"name": "x", "typed_config": {"@type": METRICS + "StatsdSink", "tcp_cluster_name": "nope"}}]},
     "tcp statsd: unknown cluster 'nope'"),
    ({"stats_sinks": [{"name": "x", "typed_config": {**UDP, "@type": METRICS + "DogStatsdSink",
                                                     "max_bytes_per_datagram": 0}}]}, "value must be greater than 0"),
    ({"stats_sinks": [{"name": "x", "typed_config": {
        "@type": METRICS + "MetricsServiceConfig", "grpc_service": {"envoy_grpc": {"cluster_name": "nope"}}}}]},
     "Unknown gRPC client cluster 'nope'"),
    ({"stats_sinks": [{"name": "x", "typed_config": {"@type": METRICS + "MetricsServiceConfig"}}]}, "grpc_service"),
    ({"stats_sinks": [{"name": "x"}]}, "Didn't find a registered implementation for 'x'"),
    ({"stats_flush_interval": "0s"}, "stats_flush_interval"),
    ({"stats_flush_interval": "0.001s"}, None),
    ({"stats_flush_interval": "300s"}, "[1ms, 5m0s)"),
    ({"stats_flush_interval": "299s"}, None),
    ({"stats_flush_on_admin": False}, "value must equal true"),
    ({"stats_flush_interval": "5s", "stats_flush_on_admin": True}, "Only one of stats_flush_interval"),
], ids=str)
def test_verdicts(flavours, field, reason):
    for flavour in flavours:
        code, said = validate(flavour, {**c.static_bootstrap([], []), **field})
        assert code == (0 if reason is None else 1), f"{flavour}: {said}"
        if reason is not None and flavour == "nuncio":
            assert reason in said, said
