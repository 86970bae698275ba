"""The router's upstream_log: an entry for each attempt; every operator, as Envoy writes it."""

import contextlib
import json

import pytest

from harness import config as c
from harness.client import Client
from harness.differential import LogFile, get, normal, post
from harness.h2peer import H2Origin
from harness.proxy import Proxy, validate
from harness.translate import Answer
from harness.upstream import Origin, Raw, Reply, early_close, reset, short_body
from harness.wait import wait_for
from harness.wide import JSON_LOG, NO_REPLAYS, OPERATORS, TIMES

FORM = {**{k: v for k, v in OPERATORS.items() if k != "local_port"}, "moment": "%ACCESS_LOG_TYPE%", "tried": "%UPSTREAM_HOSTS_ATTEMPTED%", "start": "%START_TIME(%Y)%",
        "connection": "%CONNECTION_ID%", "up_connection": "%UPSTREAM_CONNECTION_ID%", "pool": "%UPSTREAM_CONNECTION_POOL_READY_DURATION%"}
VARIES = {*TIMES, "pool", "connection", "up_connection"}
# Counted when the request is over; Envoy's show how far they were.
OF_THE_CLIENT = {"wire_in", "wire_out", "wire_head_in", "wire_head_out"}
OF_THE_ENCODER = {"up_head_out", "up_wire_out"}  # x-request-id is in HPACK's table, or not
ALL = {"flush_upstream_log_on_upstream_stream": True}
PER_TRY = {"x-envoy-upstream-rq-per-try-timeout-ms": "50"}


def manager(log, options):
    file = {"name": "up", "typed_config": {"@type": JSON_LOG, "path": str(log), "log_format": {"json_format": FORM}}}
    router = {"@type": c.ROUTER, "upstream_log": [file], "upstream_log_options": options}
    table = c.routes("r", c.vhost(
        "v", ["*"], c.route("/h2", "h2", name="two"), c.route("/nobody", "nobody"), c.direct("/direct"), c.route("/none", "empty"),
        c.route("/timeout", {"cluster": "a", "timeout": "0.05s"}), c.route("/duration", {"cluster": "a", "max_stream_duration": {"max_stream_duration": "0.05s"}}),
        c.route("/rewritten", {"cluster": "a", "prefix_rewrite": "/new", "host_rewrite_literal": "other.test"}, response_headers_to_add=[
            {"header": {"key": "content-type", "value": "not/this"}}]),
        c.route("/", "a", name="one", metadata={"filter_metadata": {"test": {"key": "value"}}})))
    made = c.hcm(table, use_remote_address=True, internal_address_config={"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]})
    made["typed_config"]["http_filters"] = [{"name": "router", "typed_config": router}]
    return made


class Pair:
    """The same listeners in both proxies; what each writes of one request."""

    def __init__(self, flavours, place, h1, h2):
        self.h1, self.place, self.stack = h1, place, contextlib.ExitStack()
        clusters = [c.cluster("a", h1.port), c.cluster("h2", h2.port, typed_extension_protocol_options=c.http_options()),
                    c.cluster("nobody", 1), c.cluster("empty")]
        self.proxies, self.logs = {}, {}
        for flavour in flavours:
            options = {"end": {}, "all": ALL, "periodic": {"upstream_log_flush_interval": "0.03s"}}
            logs = {name: LogFile(place / f"{flavour}.{name}") for name in options}
            made = c.static_bootstrap([c.listener(name, manager(logs[name].path, o)) for name, o in options.items()], clusters, layered_runtime=NO_REPLAYS)
            self.proxies[flavour], self.logs[flavour] = self.stack.enter_context(Proxy(flavour, made)), logs

    def write(self, listener, data, action=None, count=1, leaves=False):
        """{flavour: entries} of the request; leaves: the client does not wait for the answer."""
        return {flavour: self._write(flavour, listener, data, action, count, leaves) for flavour in self.proxies}

    def _write(self, flavour, listener, data, action, count, leaves):
        proxy, log = self.proxies[flavour], self.logs[flavour][listener]
        log.skip()
        self.h1.forget()
        if action is not None:
            self.h1.next(action() if callable(action) else action)
        with Client(proxy.address(listener)) as client:
            client.send(data)
            if leaves:
                self.h1.wait_heads(1)
            else:
                client.read_response(data.split(b" ")[0].decode())
        wait_for(lambda: len(log.lines()) >= count, f"{count} entries of {flavour}")
        self.h1.drop_connections()
        ports = {port: f"<{name}>" for name, [(_, port), *_] in proxy.listeners().items()}
        return [{k: self._shown(k, normal(v, ports)) for k, v in json.loads(line).items()} for line in log.lines()]

    @staticmethod
    def _shown(key, value):
        return value is not None and "some" if key in VARIES else value

    def close(self):
        self.stack.close()


@pytest.fixture(scope="module")
def pair(flavours, tmp_path_factory):
    with Origin("h1") as h1, contextlib.closing(H2Origin("h2", Answer(body=b"two", trailers=[("x-sum", "1")]))) as h2:
        made = Pair(flavours, tmp_path_factory.mktemp("logs"), h1, h2)
        yield made
        made.close()


def hangs():
    return Raw(b"", "hang")


def hangs_within():
    return Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n0123456789", "hang")


GRPC = {"content-type": "application/grpc", "te": "trailers"}
CASES = {  # name: (request, what the origin does, whether the client leaves)
    "plain": (get("/x?y=1"), Reply(body=b"hello")), "body": (post("/", b"x" * 300), Reply(201, body=b"y" * 70)),
    "chunked, trailers": (get("/"), Reply(chunks=[b"one", b"two"], trailers=[("x-sum", "1")])), "404": (get("/"), Reply(404, body=b"n")),
    "rewritten": (get("/rewritten/x"), Reply(headers={"content-type": "a/b"}, body=b"b")), "HEAD": (get("/", method="HEAD"), Reply(headers={"content-length": "5"})),
    "HTTP/2": (get("/h2"), None), "HTTP/2, body": (post("/h2", b"abc"), None), "interim": (get("/"), Reply(interim=[b"HTTP/1.1 103 X\r\nlink: </a>\r\n\r\n"], body=b"x")),
    "gRPC": (post("/", b"\0\0\0\0\0", headers=GRPC), Reply(headers={"content-type": "application/grpc", "grpc-status": "5"})),
    "closed": (get("/"), early_close), "reset": (get("/"), reset), "cut": (get("/"), short_body), "nobody there": (get("/nobody"), None),
    "response timeout": (get("/timeout"), hangs), "within the response": (get("/timeout"), hangs_within), "per try": (get("/", headers=PER_TRY), hangs),
    "duration": (get("/duration"), hangs), "garbage": (get("/"), lambda: Raw(b"nothing\r\n\r\n", "close")),
}
LEAVING = {"the client leaves": (get("/"), hangs), "within a body": (b"POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\nabc", hangs)}


def ignored_of(name):
    return OF_THE_CLIENT | OF_THE_ENCODER if "HTTP/2" in name else OF_THE_CLIENT


def assert_same(seen, ignored=OF_THE_CLIENT):
    if len(seen) == 2:
        for mine, theirs in zip(seen["nuncio"], seen["envoy"], strict=True):
            differing = "; ".join(f"{k}: {theirs[k]!r}, {mine[k]!r}" for k in FORM if theirs[k] != mine[k] and k not in ignored)
            assert not differing, f"envoy, nuncio: {differing}"


@pytest.mark.differential
@pytest.mark.parametrize("name", CASES)
def test_an_entry_per_attempt(pair, name):
    data, action = CASES[name]
    seen = pair.write("end", data, action)
    for entries in seen.values():
        assert [e["moment"] for e in entries] == ["UpstreamEnd"]
    assert_same(seen, ignored_of(name))


@pytest.mark.differential
@pytest.mark.parametrize("name", LEAVING)
def test_a_client_that_leaves(pair, name):
    data, action = LEAVING[name]
    seen = pair.write("end", data, action, leaves=True)
    assert_same(seen)


@pytest.mark.differential
@pytest.mark.parametrize("name", ["plain", "body", "HTTP/2", "closed", "nobody there"])
def test_when_it_has_a_connection(pair, name):
    data, action = CASES[name]
    is_reached = name != "nobody there"
    seen = pair.write("all", data, action, count=2 if is_reached else 1)
    for entries in seen.values():
        assert [e["moment"] for e in entries] == ["UpstreamPoolReady"] * is_reached + ["UpstreamEnd"]
    assert_same(seen, ignored_of(name))


@pytest.mark.differential
def test_in_between(pair):
    seen = pair.write("periodic", get("/duration"), hangs, count=2)
    for entries in seen.values():
        assert [e["moment"] for e in entries[:1]] == ["UpstreamPeriodic"] and entries[-1]["moment"] == "UpstreamEnd"
    assert_same({flavour: [entries[0], entries[-1]] for flavour, entries in seen.items()})


@pytest.mark.differential
def test_answers_without_an_attempt(pair):
    """No entry; the request that follows has the first."""
    for target in ("/direct", "/none"):
        for flavour, proxy in pair.proxies.items():
            log = pair.logs[flavour]["end"]
            log.skip()
            with Client(proxy.address("end")) as client:
                client.get(target)
                pair.h1.next(Reply(body=b"x"))
                client.get("/after")
            wait_for(lambda log=log: log.lines(), "an entry")
            assert [json.loads(line)["path"] for line in log.lines()] == ["/after"]


@pytest.mark.differential
def test_verdicts(flavours, tmp_path):
    for options, is_good in (({"upstream_log_flush_interval": "0.0001s"}, False), ({"upstream_log_flush_interval": "0.001s"}, True), ({}, True)):
        made = c.static_bootstrap([c.listener("l", manager(tmp_path / "log", options))], [c.cluster(name, 1) for name in ("a", "h2", "nobody", "empty")])
        for flavour in flavours:
            assert (validate(flavour, made)[0] == 0) == is_good, (flavour, options)
