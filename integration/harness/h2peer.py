"""HTTP/2 peers on hyper-h2 that check nothing of what they send: a client, and an origin that records and does as it is told.

Both send header lists as they are given, forbidden names included, and note resets, GOAWAY and 1xx as they come. For
frames that no HTTP/2 library would make, see the raw peers beside this file.
"""

import socket
import threading
import time
from dataclasses import dataclass

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
from hyperframe.frame import GoAwayFrame

from .client import Response
from .upstream import Recorded

MAX_FRAME = 16384


def code_name(code):
    """An error code in words, unknown ones as numbers."""
    try:
        return h2.errors.ErrorCodes(code).name
    except ValueError:
        return str(int(code))


def text(pairs):
    return [(n.decode("latin-1"), v.decode("latin-1")) for n, v in pairs]


def octets(pairs):
    return [(n.encode("latin-1"), v.encode("latin-1")) for n, v in pairs]


@dataclass
class H2Response(Response):
    reset: object = None  # the RST_STREAM's code by name, whether before or after the response's end
    goaway: object = None  # the GOAWAY's
    closed: bool = False  # the connection ended before the stream did, or over it


class _Wire:
    """A socket and the HTTP/2 connection on it. Not thread-safe: its owner locks."""

    def __init__(self, sock, client_side, settings=None):
        self.sock = sock
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=client_side, header_encoding=None, validate_outbound_headers=False,
            normalize_outbound_headers=False, validate_inbound_headers=False, normalize_inbound_headers=False))
        self.h2.local_settings.update(settings or {})
        self.h2.initiate_connection()
        self.flush()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.sock.sendall(data)

    def receive(self):
        """Events of the next read; None at the end of the connection."""
        try:
            data = self.sock.recv(65536)
        except ConnectionError:
            return None
        if not data:
            return None
        return self.h2.receive_data(data)

    def trust_length(self, stream):
        """hyper-h2 would end the connection over a content-length that the body does not match, also of a 304."""
        if stream in self.h2.streams:
            self.h2.streams[stream]._track_content_length = lambda *_: None

    def headers(self, stream, pairs, end, flush=True):
        self.h2.send_headers(stream, octets(pairs), end_stream=end)
        self.trust_length(stream)
        if flush:
            self.flush()

    def room(self, stream):
        return min(self.h2.local_flow_control_window(stream), MAX_FRAME)


class H2Client:
    """One connection, driven by the test's thread alone."""

    def __init__(self, address, timeout=10.0, tls=None):
        self.sock = socket.create_connection(address, timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:  # an SSLContext
            self.sock = tls.wrap_socket(self.sock)
        self.timeout = timeout
        self.wire = _Wire(self.sock, True)
        self.responses = {}  # stream -> H2Response
        self.sent_end = set()
        self.closed = False

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()

    # Sending.

    def start(self, pairs, end=False, flush=True):
        """Open a stream with that header list, pseudo-headers included; its number. Without flush: sent with what follows."""
        stream = self.wire.h2.get_next_available_stream_id()
        self.responses[stream] = H2Response(0, "", "2", [], complete=False)
        self._ends(stream, end)
        self.wire.headers(stream, pairs, end, flush)
        return stream

    def data(self, stream, body, end=False):
        """Send body as the windows allow; what the proxy no longer wants is dropped."""
        self._ends(stream, end)
        while True:
            if self._is_over(stream):
                return
            room = self.wire.room(stream)
            if body and room <= 0:
                self._pump()
                continue
            piece, body = body[:max(room, 0)], body[max(room, 0):]
            self.wire.h2.send_data(stream, piece, end_stream=end and not body)
            self.wire.flush()
            if not body:
                return

    def trailers(self, stream, pairs):
        self._ends(stream, True)
        if not self._is_over(stream):
            self.wire.headers(stream, pairs, True)

    def reset(self, stream, code=h2.errors.ErrorCodes.CANCEL):
        self.wire.h2.reset_stream(stream, code)
        self.wire.flush()

    # Receiving.

    def wait(self, stream, test, what):
        """Read on until test(response) holds or the stream is over; its response so far."""
        deadline = time.monotonic() + self.timeout
        response = self.responses[stream]
        while not test(response) and not self._is_over(stream):
            if time.monotonic() > deadline:
                raise AssertionError(f"no {what} on stream {stream}: {response}")
            self._pump()
        return response

    def finish(self, stream):
        """The response, once the stream is over; when the request is not, also what the proxy does about that."""
        response = self.wait(stream, lambda r: r.complete, "end")
        if response.goaway not in (None, "NO_ERROR") and not response.complete:
            while not self.closed:
                self._pump()
        if response.complete and stream not in self.sent_end:
            self.sock.settimeout(1.0)
            while response.reset is None and not self.closed:
                try:
                    self._pump()
                except TimeoutError:
                    break
            self.sock.settimeout(self.timeout)
        return response

    def _ends(self, stream, end):
        if end:
            self.sent_end.add(stream)

    def _is_over(self, stream):
        response = self.responses[stream]
        return self.closed or response.reset is not None

    def _pump(self):
        events = self.wire.receive()
        if events is None:
            self.closed = True
            for response in self.responses.values():
                response.closed = True
            return
        for event in events:
            self._handle(event)
        self.wire.flush()

    def _handle(self, event):
        response = self.responses.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.ConnectionTerminated):
            for each in self.responses.values():
                each.goaway = code_name(event.error_code)
        if response is None:
            return
        if isinstance(event, h2.events.InformationalResponseReceived):
            pairs = text(event.headers)
            response.interim.append(Response(int(dict(pairs)[":status"]), "", "2", pairs[1:]))
        elif isinstance(event, h2.events.ResponseReceived):
            self.wire.trust_length(event.stream_id)
            pairs = text(event.headers)
            response.status = int(dict(pairs)[":status"])
            response.headers = [p for p in pairs if p[0] != ":status"]
        elif isinstance(event, h2.events.DataReceived):
            response.body += event.data
            response.chunks += 1
            self.wire.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            response.trailers = text(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            response.complete = True
        elif isinstance(event, h2.events.StreamReset):
            response.reset = code_name(event.error_code)


@dataclass
class H2Recorded(Recorded):
    """A request as it arrived: headers without pseudo-headers, which are in method, target and pseudo."""

    pseudo: object = None  # {name: value} of all pseudo-headers
    reset: object = None  # the RST_STREAM's code by name
    stream: int = 0


class H2Stream:
    """What an action uses to answer a request. Its calls block while windows are closed, and fail once the stream is over."""

    def __init__(self, served, request):
        self.served = served
        self.request = request
        self.id = request.stream

    def head(self, pairs, end=False):
        with self.served.lock:
            self.served.wire.headers(self.id, pairs, end)

    def data(self, body, end=False):
        while True:
            with self.served.changed:
                if not self.served.changed.wait_for(
                        lambda: self.served.ended or self.request.reset or not body or self.served.wire.room(self.id) > 0, 10):
                    raise OSError("the window stays closed")
                if self.served.ended or self.request.reset:
                    raise OSError("stream is over")
                room = self.served.wire.room(self.id)
                piece, body = body[:max(room, 0)], body[max(room, 0):]
                self.served.wire.h2.send_data(self.id, piece, end_stream=end and not body)
                self.served.wire.flush()
            if not body:
                return

    def reset(self, code):
        with self.served.lock:
            self.served.wire.h2.reset_stream(self.id, code)
            self.served.wire.flush()

    def goaway(self, last, code=0):
        """hyper-h2 sends nothing after its own GOAWAY: this one it does not know of."""
        with self.served.lock:
            self.served.sock.sendall(GoAwayFrame(0, last_stream_id=last, error_code=code).serialize())

    def close(self):
        self.served.close()

    def wait_over(self, timeout=10.0):
        """Wait until the other side has given up."""
        with self.served.changed:
            self.served.changed.wait_for(lambda: self.request.reset or self.served.ended, timeout)

    def wait_request_end(self, timeout=10.0):
        """Wait until the request is whole or broken off."""
        with self.served.changed:
            self.served.changed.wait_for(
                lambda: self.request.complete or self.request.reset or self.served.ended, timeout)


class _Served:
    """The serving side of one accepted connection: a thread that reads, and one an action."""

    def __init__(self, origin, sock, number):
        self.origin = origin
        self.sock = sock
        self.number = number
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.requests = {}
        self.ended = False
        self.wire = None

    def serve(self):
        try:
            with self.lock:
                self.wire = _Wire(self.sock, False, self.origin.settings)
            while (events := self._receive()) is not None:
                with self.changed:
                    for event in events:
                        self._handle(event)
                    self.wire.flush()
                    self.changed.notify_all()
        except h2.exceptions.ProtocolError as problem:
            self.origin.malformed.append((str(problem), b""))
        except OSError:
            pass
        finally:
            with self.changed:
                self.ended = True
                self.changed.notify_all()
            self.close()

    def _receive(self):
        try:
            data = self.sock.recv(65536)
        except OSError:
            return None
        with self.lock:
            return self.wire.h2.receive_data(data) if data else None

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

    def _handle(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self._begin(event)
            return
        request = self.requests.get(getattr(event, "stream_id", None))
        if request is None:
            return
        if isinstance(event, h2.events.DataReceived):
            request.body += event.data
            if event.flow_controlled_length:
                self.wire.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            request.trailers = text(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            request.complete = True
        elif isinstance(event, h2.events.StreamReset):
            request.reset = code_name(event.error_code)

    def _begin(self, event):
        self.wire.trust_length(event.stream_id)
        pairs = text(event.headers)
        pseudo = {n: v for n, v in pairs if n.startswith(":")}
        request = H2Recorded(
            pseudo.get(":method"), pseudo.get(":path"), "HTTP/2", [p for p in pairs if not p[0].startswith(":")],
            connection=self.number, origin=self.origin.name, complete=False, pseudo=pseudo, stream=event.stream_id)
        self.requests[event.stream_id] = request
        threading.Thread(target=self._act, args=(request, self.origin.take_action()), daemon=True).start()

    def _act(self, request, action):
        stream = H2Stream(self, request)
        self.origin.record(request)
        try:
            if not action.early:
                stream.wait_request_end()
                if request.reset or self.ended:
                    return
            action.run_h2(stream, request)
        except (OSError, h2.exceptions.H2Error):
            pass  # the stream or its connection ended under it: the test looks at the request


class H2Origin:
    """A recording HTTP/2 origin (cleartext, prior knowledge) on a free port of 127.0.0.1.

    Actions have `early` (act on the headers alone) and run_h2(stream, request). Requests are recorded as their headers
    come and filled as they go on.
    """

    def __init__(self, name, default, settings=None):
        self.name = name
        self.default = default
        self.settings = settings  # code -> value, besides hyper-h2's own
        self.queue = []
        self.malformed = []
        self.requests = []
        self.accepted = 0
        self._changed = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._listener.getsockname()[1]
        self._open = []
        threading.Thread(target=self._accept, daemon=True, name=f"h2 origin {name}").start()

    def next(self, *actions):
        self.queue.extend(actions)

    def forget(self):
        with self._changed:
            self.requests, self.malformed, self.queue = [], [], []

    def take(self):
        with self._changed:
            taken, self.requests = self.requests, []
        return taken

    def take_action(self):
        with self._changed:
            return self.queue.pop(0) if self.queue else self.default

    def record(self, request):
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()

    def wait_heads(self, count, timeout=10.0):
        """Wait until that many request heads have come since forget()."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests) >= count, timeout):
                raise AssertionError(f"{self.name} saw {len(self.requests)} requests, not {count}")

    def close(self):
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        for served in self._open:
            served.close()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            served = _Served(self, sock, self.accepted)
            self.accepted += 1
            self._open.append(served)
            threading.Thread(target=served.serve, daemon=True).start()
