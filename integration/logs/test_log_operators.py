"""Operators of access logs beside Envoy: one request, or one connection, with every value that both can know."""

import json
import re

import pytest

from harness import config as c
from harness.differential import get
from harness.proxy import Proxy, validate
from harness.upstream import Origin
from harness.wait import wait_for

TCP_PROXY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
NO_QUERY = "type.googleapis.com/envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"

# The same in both.
EQUAL = """
%DOWNSTREAM_HEADER_BYTES_SENT% %DOWNSTREAM_HEADER_BYTES_RECEIVED% %UPSTREAM_HEADER_BYTES_SENT%
%UPSTREAM_HEADER_BYTES_RECEIVED% %REQUEST_HEADERS_BYTES% %RESPONSE_HEADERS_BYTES% %RESPONSE_TRAILERS_BYTES%
%DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID% %DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID%
%UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID% %LISTENER_NAME% %FILTER_CHAIN_NAME% %BYTES_RETRANSMITTED%
%PACKETS_RETRANSMITTED% %UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT% %UPSTREAM_HOST_NAME%
%UPSTREAM_HOST_NAME_WITHOUT_PORT% %UPSTREAM_HOST_NAMES_ATTEMPTED% %UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT%
%UPSTREAM_SERVER_NAME% %UPSTREAM_FILTER_STATE(X)% %ROUNDTRIP_DURATION% %CUSTOM_FLAGS% %SPAN_ID% %TRACE_ID%
%ACCESS_LOG_TYPE% %QUERY_PARAM(a)% %QUERY_PARAM(b)% %QUERY_PARAM(c)% %QUERY_PARAM(d)% %QUERY_PARAM(A)%
%QUERY_PARAM(b):3% %QUERY_PARAM(bad)% %QUERY_PARAMS% %QUERY_PARAMS:3% %QUERY_PARAMS(ORIG)%
%CLUSTER_METADATA(ns:where)% %CLUSTER_METADATA(ns:list)% %CLUSTER_METADATA(ns)% %UPSTREAM_METADATA(ns:where)%
%UPSTREAM_METADATA(ns:deep:n)% %METADATA(CLUSTER:ns:where)% %METADATA(UPSTREAM_HOST:ns:where)%
%METADATA(UPSTREAM_HOST:ns:where):2% %METADATA(LISTENER:ns:where)% %METADATA(VIRTUAL_HOST:ns:where)%
%METADATA(ROUTE:ns:where)% %METADATA(LISTENER_FILTER_CHAIN:ns:where)% %METADATA(LISTENER_FILTER_CHAIN)%
%METADATA(CLUSTER)% %METADATA(DYNAMIC:ns)% %REQUESTED_SERVER_NAME% %REQUESTED_SERVER_NAME(HOST_FIRST)%
%REQUESTED_SERVER_NAME(SNI_FIRST)% %REQUESTED_SERVER_NAME(SNI_FIRST:ORIG)% %REQUESTED_SERVER_NAME(SNI_FIRST:HOST)%
%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(16)% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(33)%
%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(MASK)% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT(8)%
%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT(0)% %UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(13)%
%UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT(12)% %DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT(31)%
%COMMON_DURATION(US_CX_END:US_HS_END:ns)% %DOWNSTREAM_TRANSPORT_FAILURE_REASON% %RESPONSE_FLAGS%
%RESPONSE_FLAGS_LONG% %RESPONSE_CODE% %PROTOCOL% %UPSTREAM_PROTOCOL% %ROUTE_NAME% %UPSTREAM_CLUSTER% %BYTES_SENT%
%BYTES_RECEIVED% %DOWNSTREAM_WIRE_BYTES_SENT% %DOWNSTREAM_WIRE_BYTES_RECEIVED% %UPSTREAM_WIRE_BYTES_SENT%
%UPSTREAM_WIRE_BYTES_RECEIVED% %UPSTREAM_REQUEST_ATTEMPT_COUNT% %GRPC_STATUS% %GRPC_STATUS_NUMBER% %PATH% %PATH(NQ)%
%PATH(WQ:ORIG)% %REQ(:path):5% %REQ(x-none?:path)% %REQ_WITHOUT_QUERY(:path)% %REQ_WITHOUT_QUERY(x-none?:path):3%
%REQ_WITHOUT_QUERY(x-none)% %TRAILER(x)% %VIRTUAL_CLUSTER_NAME% %LOCAL_REPLY_BODY% %RESPONSE_CODE_DETAILS%
%CONNECTION_TERMINATION_DETAILS%
""".split()
# Of one shape in both.
SHAPES = {
    "%START_TIME_LOCAL%": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000",
    "%START_TIME_LOCAL(%H %z %Z %Ez)%": r"\d\d \+0000 UTC \+00:00",
    "%START_TIME(%z %Z %Ez)%": r"\+0000 UTC \+00:00",
    "%EMIT_TIME%": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
    "%EMIT_TIME(%s.%3f)%": r"\d{10}\.\d{3}",
    "%EMIT_TIME_LOCAL%": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000",
    "%START_TIME(%s %f %1f %2f %3f %4f %5f %6f %7f %8f %9f)%":
        r"\d{10} (?P<f>\d{9}) " + " ".join(rf"\d{{{n}}}" for n in range(1, 10)),
    "%UPSTREAM_CONNECTION_ID%": r"\d+",
    "%UPSTREAM_CONNECTION_IDS_ATTEMPTED%": r"\d+",
    "%UPSTREAM_HOSTS_ATTEMPTED%": r"127\.0\.0\.1:\d+",
    "%UPSTREAM_CONNECTION_POOL_READY_DURATION%": r"\d+",
    "%UNIQUE_ID%": UUID,
    "%STREAM_ID%": UUID,
    "%COMMON_DURATION(US_CX_BEG:US_CX_END:us)%": r"\d+",
    "%DURATION%": r"\d+",
}
OF_REQUESTS = {
    "%COMMON_DURATION(DS_RX_BEG:US_CX_BEG)%": r"\d+",
    "%COMMON_DURATION(DS_RX_BEG:US_RX_BODY_BEG)%": r"\d+",
    "%DOWNSTREAM_CX_RTT%": r"\d+",
}


def about(**fields):
    return {"filter_metadata": {"ns": fields}}


def bootstrap(origin, form, path, tcp):
    log = {"name": "log", "typed_config": {"@type": c.FILE_LOG, "path": str(path), "log_format": {
        **form, "formatters": [{"name": "any", "typed_config": {"@type": NO_QUERY}}]}}}
    host = c.endpoint(origin.port, metadata=about(where="host", deep={"n": 5}))
    host["endpoint"]["hostname"] = "h.example:80"
    table = c.routes("r", c.vhost("all", ["*"], c.route("/", "a", name="the-route", metadata=about(where="route")),
                                  metadata=about(where="vhost"),
                                  response_headers_to_remove=["x-envoy-upstream-service-time"]))  # of varying length
    proxy = {"name": "tcp", "typed_config": {"@type": TCP_PROXY, "stat_prefix": "t", "cluster": "a", "access_log": [log]}}
    chain = c.chain(proxy if tcp else c.hcm(table, access_log=[log]), name="the-chain", metadata=about(where="chain"))
    return c.static_bootstrap([c.listener("the-listener", chain, metadata=about(where="listener"))],
                              [c.cluster("a", host, metadata=about(where="cluster", list=[1, "x"]))])


REQUEST = get("/x?a=1&b=%20two&c&bad=%zz%4", "host.test:81", {"x-request-id": "f47ac10b-58cc-4372-a567-0e02b2c3d479"})


def text_values(flavour, tmp_path, operators, tcp):
    path = tmp_path / flavour
    form = {"text_format_source": {"inline_string": "".join(f"{o}\n" for o in operators) + "END\n"}}
    with Origin("a") as origin, Proxy(flavour, bootstrap(origin, form, path, tcp), env={"TZ": "UTC"}) as proxy:
        with proxy.connect() as client:
            client.exchange(REQUEST)
        wait_for(lambda: path.exists() and "END\n" in path.read_text(), "the line", 5)
    return dict(zip(operators, path.read_text().split("\n")))


@pytest.mark.differential
@pytest.mark.parametrize("tcp", [False, True], ids=["http", "tcp"])
def test_text(flavours, tmp_path, tcp):
    shapes = SHAPES if tcp else {**SHAPES, **OF_REQUESTS}
    seen = {}
    for flavour in flavours:
        seen[flavour] = text_values(flavour, tmp_path, [*EQUAL, *shapes], tcp)
        for operator, shape in shapes.items():
            assert re.fullmatch(shape, seen[flavour][operator]), (flavour, operator, seen[flavour][operator])
        assert seen[flavour]["%LISTENER_NAME%"] == "the-listener"
        assert seen[flavour]["%METADATA(UPSTREAM_HOST:ns:where):2%"] == "ho"
        assert seen[flavour]["%UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT(12)%"] == "127.0.0.0/12"
        assert seen[flavour]["%ACCESS_LOG_TYPE%"] == "TcpConnectionEnd" if tcp else "DownstreamEnd"
        if not tcp:
            assert seen[flavour]["%REQ_WITHOUT_QUERY(x-none?:path):3%"] == "/x"
            assert seen[flavour]["%QUERY_PARAM(b)%"] == " two"
    if len(flavours) > 1:
        differences = [(o, seen["envoy"][o], seen["nuncio"][o]) for o in EQUAL if seen["envoy"][o] != seen["nuncio"][o]]
        assert not differences


@pytest.mark.differential
@pytest.mark.parametrize("omit", [False, True], ids=["null", "omitted"])
def test_json(flavours, tmp_path, omit):
    """Types, keys that are left out, and that the keys are sorted."""
    keys = {f"k{i:03}": operator for i, operator in enumerate(EQUAL)}
    form = {"json_format": {**keys, "nested": {"z": "%PROTOCOL%", "a": ["%RESPONSE_CODE%", "%REQ(x-none)%", {"n": "%SPAN_ID%"}],
                                               "empty": {"gone": "%TRACE_ID%"}},
                            "mixed": "a%SPAN_ID%b %RESPONSE_CODE%", "numbers": [5.5, 5, 1000000, 999999, 123456789],
                            "yes": True, "null": None, "none": {}, "quote\"é": "a\"b\\é\t\u0001", "text": "", "list": []},
            "omit_empty_values": omit}
    lines = {}
    for flavour in flavours:
        path = tmp_path / flavour
        with Origin("a") as origin, Proxy(flavour, bootstrap(origin, form, path, False)) as proxy:
            with proxy.connect() as client:
                client.exchange(REQUEST)
            wait_for(lambda: path.exists() and path.read_text().endswith("\n"), "the line", 5)
        lines[flavour] = path.read_text()
        found = json.loads(lines[flavour])
        assert found["numbers"][1:] == [5, 1000000, 999999, 123456789]
        assert ("none" in found) == (not omit)
        assert found["nested"]["a"][0] == 200
        assert ("k031" in found) == (not omit or found["k031"] is not None)
    if len(flavours) > 1:
        assert lines["envoy"] == lines["nuncio"]


@pytest.mark.parametrize("form", ["%REQ_WITHOUT_QUERY(x)%", "%XFCC_VALUE(nobody)%", "%METADATA(X:a)%", "%UNIQUE_ID(x)%",
                                  "%QUERY_PARAM%", "%REQUESTED_SERVER_NAME(SNI_FIRST:X)%"])
def test_refused(flavour, tmp_path, form):
    log = c.access_log(tmp_path / "log", form)
    code, output = validate(flavour, c.static_bootstrap([c.listener("l", c.hcm(c.routes("r"), access_log=[log]))]))
    assert code == 1, output


XFCC = ("By=test;URI=abc;DNS=example.com", 'By=test;URI="a,b;\\"e=x";DNS=d', 'URI="unmatched', "By=x,URI=second;uri=third", 'uri = "a\\\\b\\c" ; x', "URI=\\", "URI=",
        "URI", 'URI="', 'By="a,URI=no",URI=yes', 'Subject="CN=a\\"b";URI=u')
QUERIES = ("/?a=b%20c&d=e+f%26%zz&x%3Dy=%C3%A4", "/", "/?", "/?%00a=%0a", "/?a%3fb", "/?%%41b", "/?%7f%7e%21%20%25%2541", "/?%G1%1G%", "/?%26%2")


@pytest.mark.differential
def test_parts_of_headers(flavours, tmp_path):
    seen = {}
    form = "%QUERY_PARAMS(DECODED)%|%QUERY_PARAMS(DECODED):4%|%XFCC_VALUE(uri)%|%XFCC_VALUE(URI):3%|%XFCC_VALUE(Subject)%\n"
    for flavour in flavours:
        log = tmp_path / flavour
        manager = c.hcm(c.routes("r", c.vhost("v", ["*"], c.direct("/"))), access_log=[c.access_log(str(log), form)],
                        forward_client_cert_details="ALWAYS_FORWARD_ONLY")
        with Proxy(flavour, c.static_bootstrap([c.listener("l", manager)])) as proxy, proxy.connect() as client:
            for target in QUERIES:
                client.get(target)
            for value in XFCC:
                client.get("/", headers={"x-forwarded-client-cert": value})
            wait_for(lambda log=log: log.exists() and log.read_text().count("\n") == len(QUERIES) + len(XFCC), "all lines")
        seen[flavour] = log.read_text().splitlines()
    for lines in seen.values():
        assert lines[-1] == '-|-|u|u|CN=a"b' and lines[0].startswith("a=b%20c&d=e+f&zz&x=y=%C3%A4|a=b%|-|")
    if len(seen) == 2:
        assert seen["nuncio"] == seen["envoy"]


CHOICES = [json.dumps({"operators": operators}) for operators in (
    ["REQUESTED_SERVER_NAME", {"command": "REQ", "param": ":authority"}], [{"command": "REQ", "param": "x-a"}, {"command": "REQ", "param": ":authority", "max_length": 3}],
    ["ROUTE_NAME", "UPSTREAM_HOST"], ["BYTES_SENT"], [{"command": "REQ", "param": "x-empty"}, "PROTOCOL"], [{"command": "START_TIME", "param": "%Y"}, "PROTOCOL"],
    [{"command": "COALESCE", "param": json.dumps({"operators": ["ROUTE_NAME", "PROTOCOL"]})}])]


@pytest.mark.differential
def test_coalesce(flavours, tmp_path):
    """As text, as JSON, with a length for all, beside a literal."""
    formats = [form for choice in CHOICES for form in (f"%COALESCE({choice})%", f"%COALESCE({choice}):2%", f"a %COALESCE({choice})%")]
    seen = {}
    for flavour in flavours:
        log = tmp_path / flavour
        as_json = {"name": "j", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": f"{log}.json",
                                                 "log_format": {"json_format": {str(i): form for i, form in enumerate(formats)}}}}
        manager = c.hcm(c.routes("r", c.vhost("v", ["*"], c.direct("/"))), access_log=[c.access_log(str(log), "|".join(formats) + "\n"), as_json])
        with Proxy(flavour, c.static_bootstrap([c.listener("l", manager)])) as proxy, proxy.connect() as client:
            client.exchange(b"GET / HTTP/1.1\r\nhost: authority.test\r\nx-empty:\r\n\r\n")
            wait_for(lambda log=log: log.exists() and log.read_text() and (tmp_path / f"{log.name}.json").exists() and (tmp_path / f"{log.name}.json").read_text(), "lines")
        seen[flavour] = log.read_text().strip().split("|"), json.loads((tmp_path / f"{log.name}.json").read_text())
    for text, values in seen.values():
        assert text[:6] == ["authority.test", "au", "a authority.test", "aut", "au", "a aut"]
        assert values["6"] is None and values["9"] == 0 and values["12"] == ""
    if len(seen) == 2:
        assert seen["nuncio"] == seen["envoy"]
