"""gRPC spelled out over HTTP/1: length-prefixed messages, answers with trailers, and the filters that deal in them."""

import base64
import struct

from . import config as c
from .upstream import Reply

FILTERS = "type.googleapis.com/envoy.extensions.filters.http."
GRPC = "application/grpc"


def frame(message, flags=0):
    """One message with its head."""
    return struct.pack(">BI", flags, len(message)) + message


def text(*frames):
    """Frames in gRPC-Web's text form: each padded on its own."""
    return b"".join(base64.b64encode(f) for f in frames)


def trailers_frame(*lines):
    return frame(b"".join(line.encode() + b"\r\n" for line in lines), 0x80)


def answer(*messages, status="0", message=None, headers=(), trailers=(), **more):
    """A gRPC answer whose status is in the trailers."""
    said = [("grpc-status", status)] if status is not None else []
    if message is not None:
        said.append(("grpc-message", message))
    return Reply(headers=[("content-type", GRPC), *headers], chunks=[frame(m) for m in messages],
                 trailers=[*said, *trailers], **more)


def filter_of(name, message, **fields):
    """An HTTP filter by the end of its name: grpc_web."""
    return {"name": f"envoy.filters.http.{name}", "typed_config": {"@type": f"{FILTERS}{name}.v3.{message}", **fields}}


def grpc_stats(**fields):
    return filter_of("grpc_stats", "FilterConfig", **fields)


def grpc_web():
    return filter_of("grpc_web", "GrpcWeb")


def grpc_http1_bridge(**fields):
    return filter_of("grpc_http1_bridge", "Config", **fields)


def cluster(name, port, **more):
    """One whose HTTP/1 origins may answer with trailers."""
    options = c.http_options(explicit_http_config={"http_protocol_options": {"enable_trailers": True}})
    return c.cluster(name, port, typed_extension_protocol_options=options, **more)



def grpc_stats_of(proxy):
    """The series that gRPC filters have made."""
    return {name: n for name, n in proxy.stats().items() if ".grpc." in name or ".grpc-web." in name}


def labels_of(proxy):
    """The same as Prometheus sees it: {(name, labels)}, histograms left out."""
    lines = proxy.admin("/stats/prometheus").text.splitlines()
    samples = [line.rsplit(" ", 1)[0] for line in lines if "_grpc" in line and not line.startswith("#")]
    out = set()
    for sample in samples:
        name, _, labels = sample.partition("{")
        if "upstream_rq_time" not in name and name.startswith("envoy_cluster"):
            out.add((name, tuple(sorted(labels.rstrip("}").split(",")))))
    return out
