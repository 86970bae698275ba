"""Log services that keep what they are told: Envoy's access log service and OpenTelemetry's collector, by grpcio."""

import threading
from concurrent import futures

import grpc
from envoy.service.accesslog.v3 import als_pb2, als_pb2_grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2

from .wait import wait_for


class _AccessLogs(als_pb2_grpc.AccessLogServiceServicer):
    def __init__(self, service):
        self.service = service

    def StreamAccessLogs(self, messages, context):  # noqa: N802
        with self.service.lock:
            self.service.streams.append(seen := [])
        for message in messages:
            with self.service.lock:
                seen.append(message)
            self.service.gate.wait(30)
        return als_pb2.StreamAccessLogsResponse()


def _exports(service):
    """The collector's one method; there is no generated code for it."""
    def export(message, context):
        with service.lock:
            service.exports.append(message)
        service.gate.wait(30)
        return logs_service_pb2.ExportLogsServiceResponse()

    return grpc.method_handlers_generic_handler("opentelemetry.proto.collector.logs.v1.LogsService", {
        "Export": grpc.unary_unary_rpc_method_handler(
            export, logs_service_pb2.ExportLogsServiceRequest.FromString,
            logs_service_pb2.ExportLogsServiceResponse.SerializeToString)})


class LogServices:
    """Both on one port. streams: of each stream its messages; exports: each batch. gate, cleared, holds it up; narrow:
    little is taken ahead of it."""

    def __init__(self, narrow=False):
        self.lock = threading.Lock()
        self.streams = []
        self.exports = []
        self.gate = threading.Event()
        self.gate.set()
        options = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 16384)] if narrow else []
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=16), options=options)
        als_pb2_grpc.add_AccessLogServiceServicer_to_server(_AccessLogs(self), self.server)
        self.server.add_generic_rpc_handlers((_exports(self),))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.gate.set()
        self.server.stop(None)

    def messages(self):
        with self.lock:
            return [m for stream in self.streams for m in stream]

    def entries(self, count=1, kind="http", timeout=10.0):
        """Waits for that many entries; all there are."""
        def found():
            return [e for m in self.messages() for e in getattr(m, f"{kind}_logs").log_entry]

        return wait_for(lambda: len(found()) >= count and found(), f"{count} {kind} entries", timeout)

    def records(self, count=1, timeout=10.0):
        """The same of OpenTelemetry."""
        def found():
            with self.lock:  # the fields have since been renamed to scope_logs and log_records
                return [r for x in self.exports for k in x.resource_logs for s in k.instrumentation_library_logs
                        for r in s.logs]

        return wait_for(lambda: len(found()) >= count and found(), f"{count} records", timeout)
