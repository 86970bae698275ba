"""The gRPC access log service: every field of an entry beside Envoy's, the stream, batches, and what is dropped."""

import contextlib
import re
import signal
import threading

import pytest
from google.protobuf.json_format import MessageToDict

from harness import config as c
from harness.certs import Authority
from harness.differential import get
from harness.log_services import LogServices
from harness.proxy import Proxy, validate
from harness.tls import attempt
from harness.upstream import Origin, Reply
from harness.wait import wait_for

HTTP = "type.googleapis.com/envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig"
TCP = "type.googleapis.com/envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig"
TCP_PROXY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
ROOT = Authority("root")
SERVER = ROOT.leaf("server", dns=["x.example"], uri=["urn:server"])
CLIENT = ROOT.leaf("client", uri=["urn:client"], dns=["c.example"])


def logger(kind=HTTP, **more):
    common = {"log_name": "the-log", "grpc_service": {"envoy_grpc": {"cluster_name": "als"}}, "transport_api_version": "V3",
              "buffer_flush_interval": "0.02s"}
    for name in ("log_name", "grpc_service", "buffer_flush_interval", "buffer_size_bytes", "filter_state_objects_to_log"):
        if name in more:
            common[name] = more.pop(name)
    return {"name": "als", "typed_config": {"@type": kind, "common_config": common, **more}}


def als_cluster(service):
    return c.cluster("als", service.port, typed_extension_protocol_options=c.http_options())


def bootstrap(service, origin, *logs, tls=None, tcp=False, **more):
    table = c.routes("r", c.vhost("all", ["*"], c.direct("/no", 403, "no"), c.route("/gone", "gone", name="gone"),
                                  c.route("/", "a", name="the-route")))
    proxy = {"name": "tcp", "typed_config": {"@type": TCP_PROXY, "stat_prefix": "t", "cluster": "a", "access_log": list(logs)}}
    chain = c.chain(proxy if tcp else c.hcm(table, access_log=list(logs)), **({"transport_socket": tls} if tls else {}))
    listener = c.listener("l", chain, **({"listener_filters": [c.tls_inspector()]} if tls else {}))
    return c.static_bootstrap([listener], [c.cluster("a", origin.port), c.cluster("gone"), als_cluster(service)], **more)


VARYING = re.compile(r"^(time_to_.*|start_time|duration|.*nanos)$")
PORTS = ("port_value",)


def masked(value, key=""):
    """Without what no two runs share: instants become their presence, ports and cut ids a word."""
    if VARYING.match(key):
        return "there"
    if key in PORTS:
        return "port"
    if isinstance(value, dict):
        return {k: masked(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [masked(v, key) for v in value]
    if key in ("stream_id", "tls_session_id", "request_id"):
        return "id" if len(value) >= 32 else value
    return value


def differences(a, b, path=""):
    """Where two entries differ, to read."""
    if isinstance(a, dict) and isinstance(b, dict):
        return [d for k in sorted({*a, *b}) for d in differences(a.get(k), b.get(k), f"{path}.{k}")]
    if path.startswith(".response.") and path.endswith("header_bytes_sent") or path.endswith("upstream_header_bytes_received"):
        return []  # Envoy counts the bytes of trailers too
    if path == ".request.request_headers_bytes" and a == "154":
        return []  # Envoy has added x-envoy-expected-rq-timeout-ms before it looks for a host
    return [] if a == b else [f"{path}: {a!r} / {b!r}"]


def entry_dict(entry):
    return masked(MessageToDict(entry, preserving_proto_field_name=True))


FULL = get("/x?y=1", "host.test", [
    ("x-request-id", "f47ac10b-58cc-4372-a567-0e02b2c3d479"), ("user-agent", "agent"), ("referer", "http://r.example/"),
    ("x-in", "one"), ("x-in", "two"), ("x-empty", ""), ("x-bad", "caf\xe9")])
ANSWER = Reply(headers=[("x-out", "out"), ("x-empty", "")], chunks=[b"ab", b"c"], trailers=[("x-trailer", "t")])
HEADERS = {"additional_request_headers_to_log": ["X-In", "x-none", "x-empty", "x-bad", ":method"],
           "additional_response_headers_to_log": ["x-out", "X-EMPTY", ":status"],
           "additional_response_trailers_to_log": ["x-trailer", "x-none"]}
CASES = {
    "a whole request": (FULL, ANSWER),
    "a POST": (get("/x", "host.test", method="POST", body=b"body"), None),
    "an unusual method": (get("/x", "host.test", method="PURGE"), None),
    "a local reply": (get("/no", "host.test"), None),
    "no host": (get("/gone", "host.test"), None),
    "HTTP/1.0": (get("/x", "host.test", version="HTTP/1.0"), None),
}


@pytest.mark.differential
def test_http_entries(flavours):
    seen = {}
    for flavour in flavours:
        with LogServices() as service, Origin("a") as origin:
            options = {"accept_http_10": True}
            made = bootstrap(service, origin, logger(**HEADERS))
            manager = made["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
            manager["http_protocol_options"] = {**options, "enable_trailers": True}
            origin_cluster = made["static_resources"]["clusters"][0]
            origin_cluster["typed_extension_protocol_options"] = c.http_options(
                explicit_http_config={"http_protocol_options": {"enable_trailers": True}})
            with Proxy(flavour, made) as proxy:
                seen[flavour] = {}
                for n, (name, (data, reply)) in enumerate(CASES.items()):
                    if reply is not None:
                        origin.next(reply)
                    with proxy.connect() as client:
                        client.exchange(data, data.split(b" ")[0].decode())
                    seen[flavour][name] = entry_dict(service.entries(n + 1)[n])
                first = service.messages()[0]
                assert first.identifier.log_name == "the-log"
                assert first.identifier.node.id == "test-node"
                assert all(not m.HasField("identifier") for m in service.messages()[1:])
                assert len(service.streams) == 1
                whole = seen[flavour]["a whole request"]
                assert whole["request"]["request_headers"] == {
                    "x-in": "one,two", "x-empty": "", "x-bad": "caf!", ":method": "GET"}
                assert whole["response"]["response_trailers"] == {"x-trailer": "t"}
                assert whole["common_properties"]["access_log_type"] == "DownstreamEnd"
                assert seen[flavour]["no host"]["common_properties"]["response_flags"] == {"no_healthy_upstream": True}
                wait_for(lambda: proxy.stat("access_logs.grpc_access_log.logs_written") == len(CASES), "the counter", 5)
                assert proxy.stat("access_logs.grpc_access_log.logs_dropped") == 0
    if len(flavours) > 1:
        for name in CASES:
            found = differences(seen["envoy"][name], seen["nuncio"][name])
            assert not found, name + ":\n" + "\n".join(found)


@pytest.mark.differential
def test_tls_properties(flavours):
    seen = {}
    for flavour in flavours:
        with LogServices() as service, Origin("a") as origin:
            tls = c.downstream_tls(SERVER, validation=c.trust(ROOT), require_client_certificate=True)
            with Proxy(flavour, bootstrap(service, origin, logger(TCP), tls=tls, tcp=True)) as proxy:
                result = attempt(proxy.listeners()["l"][0], ca=ROOT, certificate=CLIENT, sni="x.example")
                (entry,) = service.entries(1, "tcp")
        seen[flavour] = entry_dict(entry)
        found = seen[flavour]["common_properties"]["tls_properties"]
        assert found["tls_sni_hostname"] == "x.example", result
        assert {"uri": "urn:client"} in found["peer_certificate_properties"]["subject_alt_name"]
    if len(flavours) > 1:
        assert differences(seen["envoy"], seen["nuncio"]) == []


@pytest.mark.differential
def test_tcp_entries(flavours):
    seen = {}
    for flavour in flavours:
        with LogServices() as service, Origin("a") as origin:
            with Proxy(flavour, bootstrap(service, origin, logger(TCP), tcp=True)) as proxy:
                with proxy.connect() as client:
                    client.exchange(FULL)
                (entry,) = service.entries(1, "tcp")
        seen[flavour] = entry_dict(entry)
        assert int(seen[flavour]["connection_properties"]["received_bytes"]) == len(FULL)
    if len(flavours) > 1:
        assert differences(seen["envoy"], seen["nuncio"]) == []


def requests(proxy, count):
    with proxy.connect() as client:
        for _ in range(count):
            client.get("/")


def test_batches(flavour):
    """With a long interval, what is sent is sent because there is enough of it."""
    with LogServices() as service, Origin("a") as origin:
        log = logger(buffer_flush_interval="100s", buffer_size_bytes=4000)
        with Proxy(flavour, bootstrap(service, origin, log)) as proxy:
            requests(proxy, 30)
            wait_for(lambda: proxy.stat("access_logs.grpc_access_log.logs_written") == 30, "thirty entries", 5)
            sizes = wait_for(lambda: [len(m.http_logs.log_entry) for m in service.messages()], "a batch", 5)
            assert 2 < sizes[0] < 30
            assert sum(sizes) < 30 or sizes[-1] == sizes[0]


def test_one_stream_for_equal_configurations(flavour):
    with LogServices() as service, Origin("a") as origin:
        with Proxy(flavour, bootstrap(service, origin, logger(), logger(), logger(log_name="other"))) as proxy:
            requests(proxy, 2)
            service.entries(6)
            assert sorted(s[0].identifier.log_name for s in service.streams) == ["other", "the-log"]


def test_stream_comes_back(flavour):
    """The service goes and comes: the next entries open a stream that says again who is speaking."""
    with Origin("a") as origin, LogServices() as first:
        with Proxy(flavour, bootstrap(first, origin, logger())) as proxy:
            requests(proxy, 1)
            first.entries(1)
            first.server.stop(None).wait()
            requests(proxy, 1)
            wait_for(lambda: proxy.stat("cluster.als.upstream_cx_active") == 0, "the connection to go", 10)
            assert proxy.is_running()


def test_service_that_takes_nothing(flavour):
    """Memory stays bounded: what finds no room is dropped and counted, requests go on."""
    with LogServices(narrow=True) as service, Origin("a") as origin:
        service.gate.clear()
        made = bootstrap(service, origin, logger(buffer_size_bytes=2000, additional_request_headers_to_log=["x-pad"]))
        als = made["static_resources"]["clusters"][2]
        als["per_connection_buffer_limit_bytes"] = 4096
        als["typed_extension_protocol_options"] = c.http_options(
            explicit_http_config={"http2_protocol_options": {"initial_stream_window_size": 65535}})
        with Proxy(flavour, made) as proxy, proxy.connect() as client:
            for _ in range(200):
                client.exchange(get("/", headers={"x-pad": "p" * 2000}))
            wait_for(lambda: proxy.stat("access_logs.grpc_access_log.logs_dropped") > 0, "a dropped entry", 5)
            assert (proxy.stat("access_logs.grpc_access_log.logs_dropped")
                    + proxy.stat("access_logs.grpc_access_log.logs_written")) == 200
            service.gate.set()


def test_no_service(flavour):
    """Nobody listens: requests are served all the same."""
    with Origin("a") as origin, LogServices() as service:
        service.server.stop(None).wait()
        with Proxy(flavour, bootstrap(service, origin, logger())) as proxy:
            requests(proxy, 20)
            wait_for(lambda: proxy.stat("access_logs.grpc_access_log.logs_written") == 20, "twenty entries", 5)


REFUSED = {
    "no common_config": {"@type": HTTP},
    "no name": logger(log_name="")["typed_config"],
    "no service": logger(grpc_service=None)["typed_config"],
    "interval 0": logger(buffer_flush_interval="0s")["typed_config"],
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(flavour, name):
    log = {"name": "als", "typed_config": REFUSED[name]}
    code, output = validate(flavour, c.static_bootstrap([c.listener("l", c.hcm(c.routes("r"), access_log=[log]))],
                                                        [c.cluster("als", 1)]))
    assert code == 1, output


def test_end_of_the_process(flavour):
    """Requests that are cut off by the end are logged to nobody, and hold nothing up."""
    with LogServices() as service, Origin("a") as origin, contextlib.ExitStack() as stack:
        gate = threading.Event()
        origin.next(Reply(gate=gate))
        proxy = Proxy(flavour, bootstrap(service, origin, logger()), concurrency=2).start()
        clients = [stack.enter_context(proxy.connect()) for _ in range(8)]
        clients[0].send(get("/"))
        origin.wait_requests(1)
        for client in clients[1:]:
            client.get("/")
        service.entries(7)
        proxy.signal(signal.SIGTERM)
        proxy.signal(signal.SIGINT)
        assert proxy.wait_exit() == 0
        gate.set()
        proxy.stop()
