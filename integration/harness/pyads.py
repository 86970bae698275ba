"""A small ADS server in Python, SotW and delta: for the demo and the benches, where one Python process is all there is.

Resources are kept as serialised google.protobuf.Any, and a SotW response is one join of bytes, so that pushing 10,000 of
them costs this side little. The tests proper use go-control-plane (ads.py).
"""

import bisect
import itertools
import os
import threading
import time
from concurrent import futures

os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # a proxy that goes away is no news

import grpc  # noqa: E402
from google.protobuf import any_pb2, json_format
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.service.discovery.v3 import discovery_pb2

# Types that appear inside Any must be imported to be built from JSON.
from envoy.extensions.access_loggers.file.v3 import file_pb2  # noqa: F401
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401
from envoy.extensions.filters.network.http_connection_manager.v3 import (  # noqa: F401
    http_connection_manager_pb2,
)

from . import config

MESSAGES = {
    config.CLUSTER: cluster_pb2.Cluster, config.ENDPOINTS: endpoint_pb2.ClusterLoadAssignment,
    config.LISTENER: listener_pb2.Listener, config.ROUTES: route_pb2.RouteConfiguration,
}
SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"


def message(type_url, resource):
    """The message that a resource's proto3 JSON describes."""
    return json_format.ParseDict(resource, MESSAGES[type_url]())


def packed(made):
    """(name, serialised Any) of a message."""
    name = made.cluster_name if isinstance(made, endpoint_pb2.ClusterLoadAssignment) else made.name
    holder = any_pb2.Any()
    holder.Pack(made, deterministic=True)
    return name, holder.SerializeToString()


def _tagged(number, data):
    """A length-delimited field on the wire."""
    out = bytearray([number << 3 | 2])
    size = len(data)
    while size > 127:
        out.append(size & 127 | 128)
        size >>= 7
    out.append(size)
    return bytes(out) + data


class _Type:
    """What is served of one type."""

    def __init__(self):
        self.version = 0
        self.resources = {}  # name -> (serialised Any, version at which it changed)
        self.removed = {}  # name -> version at which it went
        self.changes = []  # (version, name), oldest first: what delta streams have to look at

    def changed_since(self, version):
        """Names that were set after that version."""
        return {name for _, name in self.changes[bisect.bisect(self.changes, (version, chr(0x10ffff))):]}


class PyAds:
    """The server. set()/remove() may be called from any thread; streams send what changed at once."""

    def __init__(self, host="127.0.0.1"):
        self._changed = threading.Condition()
        self._types = {}
        self._nonces = itertools.count(1)
        self.acks = []  # (time, type_url, nonce, error text or "")
        self.sent = {}  # nonce -> (time, type_url, version)
        self._stop = False
        self._server = grpc.server(
            futures.ThreadPoolExecutor(32),
            options=[("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)],
        )
        raw = {
            "StreamAggregatedResources": grpc.stream_stream_rpc_method_handler(
                lambda requests, context: self._serve(requests, context, False)),
            "DeltaAggregatedResources": grpc.stream_stream_rpc_method_handler(
                lambda requests, context: self._serve(requests, context, True)),
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, raw),))
        self.port = self._server.add_insecure_port(f"{host}:0")
        self._server.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        with self._changed:
            self._stop = True
            self._changed.notify_all()
        self._server.stop(None)

    # What is served.

    def set(self, type_url, resources, replace=False):
        """Add or change resources (proto3 JSON dicts, messages, or packed() pairs); returns the version."""
        pairs = [self._pack(type_url, r) for r in resources]
        with self._changed:
            kind = self._types.setdefault(type_url, _Type())
            kind.version += 1
            if replace:
                for name in kind.resources.keys() - {n for n, _ in pairs}:
                    del kind.resources[name]
                    kind.removed[name] = kind.version
            for name, data in pairs:
                kind.resources[name] = (data, kind.version)
                kind.changes.append((kind.version, name))
                kind.removed.pop(name, None)
            self._changed.notify_all()
            return kind.version

    def remove(self, type_url, names):
        with self._changed:
            kind = self._types.setdefault(type_url, _Type())
            kind.version += 1
            for name in names:
                if kind.resources.pop(name, None) is not None:
                    kind.removed[name] = kind.version
            self._changed.notify_all()
            return kind.version

    @staticmethod
    def _pack(type_url, resource):
        if isinstance(resource, tuple):
            return resource
        return packed(message(type_url, resource) if isinstance(resource, dict) else resource)

    def wait_ack(self, type_url, version, timeout=60.0):
        """Wait until a proxy accepts that version; the time (time.monotonic) it did. A NACK raises."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for when, acked, nonce, error in reversed(self.acks):
                    _, sent_type, sent_version = self.sent.get(nonce, (0, None, -1))
                    if acked == type_url and sent_type == type_url and sent_version >= version:
                        if error:
                            raise AssertionError(f"refused: {error}")
                        return when
                if not self._changed.wait(deadline - time.monotonic()):
                    raise AssertionError(f"no ACK for version {version} of {type_url}")

    def sent_at(self, type_url, version):
        """When (time.monotonic) a response with that version was handed to gRPC."""
        with self._changed:
            return min(when for when, sent_type, sent_version in self.sent.values()
                       if sent_type == type_url and sent_version >= version)

    # The streams.

    def _serve(self, requests, context, delta):
        stream = _Stream(self, delta)
        reader = threading.Thread(target=stream.read, args=(requests,), daemon=True)
        reader.start()
        context.add_callback(stream.end)
        while True:
            with self._changed:
                while not (pending := stream.due()) and not stream.ended and not self._stop:
                    self._changed.wait()
                if stream.ended or self._stop:
                    return
                out = [stream.response(type_url) for type_url in pending]
            yield from out


class _Stream:
    """One proxy's stream. Everything here runs under the server's lock."""

    def __init__(self, server, delta):
        self.server = server
        self.delta = delta
        self.ended = False
        self.wanted = {}  # type_url -> None (all) or a set of names
        self.known = {}  # type_url -> version sent last; -1 to answer again
        self.fresh = {}  # delta: names asked for since the last response

    def end(self):
        with self.server._changed:
            self.ended = True
            self.server._changed.notify_all()

    def read(self, requests):
        try:
            for data in requests:
                with self.server._changed:
                    self._delta_request(data) if self.delta else self._request(data)
                    self.server._changed.notify_all()
        except grpc.RpcError:
            pass
        self.end()

    def _answered(self, request):
        """True if the request answers a response of ours."""
        if not request.response_nonce:
            return False
        error = request.error_detail.message if request.HasField("error_detail") else ""
        self.server.acks.append((time.monotonic(), request.type_url, request.response_nonce, error))
        return True

    def _request(self, data):
        request = discovery_pb2.DiscoveryRequest.FromString(data)
        names = set(request.resource_names) or None
        first = request.type_url not in self.wanted
        answered = self._answered(request)
        if first or (self.wanted[request.type_url] != names and names is not None):
            self.known[request.type_url] = -1
        elif not answered:
            self.known[request.type_url] = -1
        self.wanted[request.type_url] = names

    def _delta_request(self, data):
        request = discovery_pb2.DeltaDiscoveryRequest.FromString(data)
        self._answered(request)
        subscribe = set(request.resource_names_subscribe)
        if request.type_url not in self.wanted:
            self.wanted[request.type_url] = subscribe or None
            self.known[request.type_url] = -1
            self.fresh[request.type_url] = set()
            return
        wanted = self.wanted[request.type_url]
        if wanted is None:
            return
        wanted |= subscribe
        wanted -= set(request.resource_names_unsubscribe)
        self.fresh[request.type_url] |= subscribe

    def due(self):
        """The types for which there is something to send."""
        out = []
        for type_url, wanted in self.wanted.items():
            kind = self.server._types.get(type_url)
            if kind is None:
                continue
            known = self.known[type_url]
            if self.delta and self.fresh[type_url]:
                out.append(type_url)
            elif known < 0 or (known < kind.version and (self.delta or self._concerns(kind, wanted, known))):
                out.append(type_url)
        return out

    @staticmethod
    def _concerns(kind, wanted, known):
        """Whether anything that the proxy subscribed to has changed since."""
        return wanted is None or bool(kind.changed_since(known) & wanted)

    def response(self, type_url):
        kind = self.server._types[type_url]
        known, wanted = self.known[type_url], self.wanted[type_url]
        nonce = str(next(self.server._nonces))
        if self.delta:
            names = kind.changed_since(known)
            names = (names if wanted is None else names & wanted) | self.fresh[type_url]
            body = b"".join(
                _tagged(2, _tagged(3, name.encode()) + _tagged(1, str(kind.resources[name][1]).encode())
                        + _tagged(2, kind.resources[name][0]))
                for name in sorted(names) if name in kind.resources)
            body += b"".join(_tagged(6, name.encode()) for name, version in kind.removed.items()
                             if known >= 0 and version > known and (wanted is None or name in wanted))
            out = (_tagged(1, str(kind.version).encode()) + body + _tagged(4, type_url.encode())
                   + _tagged(5, nonce.encode()))
            self.fresh[type_url] = set()
        else:
            chosen = kind.resources if wanted is None else wanted & kind.resources.keys()
            out = (_tagged(1, str(kind.version).encode())
                   + b"".join(_tagged(2, kind.resources[name][0]) for name in chosen)
                   + _tagged(4, type_url.encode()) + _tagged(5, nonce.encode()))
        self.known[type_url] = kind.version
        self.server.sent[nonce] = (time.monotonic(), type_url, kind.version)
        return out
