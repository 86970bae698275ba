"""The OpenTelemetry access logger: records and their resource beside Envoy's, batches, answers, what is refused."""

import pytest
from google.protobuf.json_format import MessageToDict

from harness import config as c
from harness.differential import get
from harness.log_services import LogServices
from harness.proxy import Proxy, validate
from harness.upstream import Origin
from harness.wait import wait_for

LOGGER = "type.googleapis.com/envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig"
NO_QUERY = "type.googleapis.com/envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery"
SERVICE = {"envoy_grpc": {"cluster_name": "collector"}}
PREFIX = "access_logs.open_telemetry_access_log."


def text(value):
    return {"string_value": value}


def values(**pairs):
    return {"values": [{"key": k, "value": v} for k, v in pairs.items()]}


CONFIGS = {
    "deprecated spelling": {
        "common_config": {"log_name": "the-log", "grpc_service": SERVICE, "transport_api_version": "V3",
                          "buffer_flush_interval": "0.02s"},
        "body": {"kvlist_value": values(code=text("%RESPONSE_CODE%"), none=text("%REQ(none)%"), list={
            "array_value": {"values": [text("%PROTOCOL%"), text("x %REQ(none)% y")]}})},
        "attributes": values(path=text("%REQ(:path)%")),
        "resource_attributes": values(r=text("%PROTOCOL% res")),
    },
    "text": {"grpc_service": SERVICE, "log_name": "n", "buffer_flush_interval": "0.02s",
             "body": text("text %RESPONSE_CODE% %REQ_WITHOUT_QUERY(:path)%"), "disable_builtin_labels": True,
             "formatters": [{"name": "any", "typed_config": {"@type": NO_QUERY}}]},
    "nothing": {"grpc_service": SERVICE, "buffer_flush_interval": "0.02s"},
    "empty lists": {"grpc_service": SERVICE, "log_name": "n", "buffer_flush_interval": "0.02s",
                    "attributes": values(a={"kvlist_value": {}}, b={"array_value": {}}, c=text(""))},
}


def bootstrap(service, origin, config):
    log = {"name": "ot", "typed_config": {"@type": LOGGER, **config}}
    made = c.static_bootstrap(
        [c.listener("l", c.hcm(c.simple_routes("r", "a"), access_log=[log]))],
        [c.cluster("a", origin.port),
         c.cluster("collector", service.port, typed_extension_protocol_options=c.http_options())])
    made["node"] = {"id": "the-id", "cluster": "the-cluster", "locality": {"zone": "the-zone"}}
    return made


def export_dict(export):
    out = MessageToDict(export, preserving_proto_field_name=True)
    for resource in out["resource_logs"]:
        for scope in resource["instrumentation_library_logs"]:
            for record in scope["logs"]:
                assert int(record.pop("time_unix_nano")) > 1_700_000_000 * 10**9
    return out


@pytest.mark.differential
@pytest.mark.parametrize("name", CONFIGS)
def test_records(flavours, name):
    seen = {}
    for flavour in flavours:
        with LogServices() as service, Origin("a") as origin:
            with Proxy(flavour, bootstrap(service, origin, CONFIGS[name])) as proxy:
                with proxy.connect() as client:
                    client.exchange(get("/x?y", "h", {"x-bad": "caf\xe9"}))
                service.records(1)
                seen[flavour] = export_dict(service.exports[0])
                assert proxy.stat(PREFIX + "logs_written") == 1
                if flavour == "nuncio":  # Envoy's stays 0
                    wait_for(lambda: proxy.stat(PREFIX + "grpc_entries_flushed") == 1, "the answer", 5)
    if len(flavours) > 1:
        assert seen["envoy"] == seen["nuncio"]


def test_what_is_no_utf8(flavour):
    """Envoy sends it as it is, and the collector refuses the batch."""
    if flavour == "envoy":
        pytest.skip("the batch is lost")
    config = {**CONFIGS["nothing"], "attributes": values(bad=text("%REQ(x-bad)%"))}
    with LogServices() as service, Origin("a") as origin, Proxy(flavour, bootstrap(service, origin, config)) as proxy:
        with proxy.connect() as client:
            client.exchange(get("/x", "h", {"x-bad": "caf\xe9"}))
        (record,) = service.records(1)
        assert record.attributes[0].value.string_value == "caf!"


def test_calls_that_fail(flavour):
    """No collector: requests are served, and the counters say what became of the records."""
    with LogServices() as service, Origin("a") as origin:
        service.server.stop(None).wait()
        config = {**CONFIGS["nothing"], "stat_prefix": "mine"}
        with Proxy(flavour, bootstrap(service, origin, config)) as proxy:
            with proxy.connect() as client:
                for _ in range(10):
                    assert client.get("/").status == 200
            if flavour == "nuncio":
                wait_for(lambda: proxy.stat(PREFIX + "mine.logs_written") == 10, "ten records", 5)
                wait_for(lambda: proxy.stat(PREFIX + "mine.grpc_entries_flush_failed") == 10, "ten lost records", 5)


REFUSED = {
    "no service": {"log_name": "n"},
    "two services": {"grpc_service": SERVICE, "common_config": {"log_name": "n", "grpc_service": SERVICE}},
    "a number": {"grpc_service": SERVICE, "body": {"int_value": 5}},
    "a bool in a list": {"grpc_service": SERVICE, "attributes": values(a={"array_value": {"values": [{"bool_value": True}]}})},
    "no value": {"grpc_service": SERVICE, "attributes": {"values": [{"key": "e"}]}},
    "a bad format": {"grpc_service": SERVICE, "body": text("%NO_SUCH%")},
    "a command without its formatter": {"grpc_service": SERVICE, "body": text("%REQ_WITHOUT_QUERY(:path)%")},
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(flavour, name):
    log = {"name": "ot", "typed_config": {"@type": LOGGER, **REFUSED[name]}}
    code, output = validate(flavour, c.static_bootstrap([c.listener("l", c.hcm(c.routes("r"), access_log=[log]))],
                                                        [c.cluster("collector", 1)]))
    assert code == 1, output
