"""Origins: one that records what reached it, byte for byte, and does as it is told; and addresses nobody answers at.

An Origin owns its threads (one that accepts, one a connection); everything public may be called from the test's thread.
"""

import re
import socket
import threading
from dataclasses import dataclass, field

from .wait import wait_for


@dataclass
class Recorded:
    """A request as it arrived."""

    method: str
    target: str
    version: str
    headers: list  # (name, value), as on the wire
    body: bytes = b""
    trailers: list = field(default_factory=list)
    raw: bytes = b""
    connection: int = 0  # which connection of this origin, from 0
    origin: str = ""
    framing: str = "none"
    complete: bool = True

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def header(self, name):
        values = self.all(name)
        return ",".join(values) if values else None


class Malformed(Exception):
    """The proxy sent something that is not a strict HTTP/1 request: a finding, kept in Origin.malformed."""


# What an origin may be told to do with a request. Each has run(conn, request) -> keep the connection?


@dataclass
class Handshake:
    """What an origin with TLS saw of a connection."""

    version: str
    cipher: str
    alpn: object
    sni: object
    resumed: bool
    peer: object  # the client's certificate, DER


@dataclass
class Reply:
    """A well-formed response, unless the headers given say otherwise."""

    status: int = 200
    headers: object = ()  # dict or pairs
    body: bytes = b""
    reason: str = "OK"
    chunks: object = None  # list of bytes: send chunked
    trailers: object = ()
    interim: object = ()  # raw bytes sent first, such as b"HTTP/1.1 103 Early Hints\r\n\r\n"
    close: bool = False
    framing: bool = True  # add content-length (or transfer-encoding)
    gate: object = None  # a threading.Event to wait for before anything is sent
    early: bool = False  # answer on the headers alone; the body is read afterwards

    def head(self, method):
        pairs = list(self.headers.items()) if isinstance(self.headers, dict) else list(self.headers)
        names = {n.lower() for n, _ in pairs}
        bodiless = self.status in (204, 304) or 100 <= self.status < 200
        if self.framing and not bodiless and not names & {"content-length", "transfer-encoding"}:
            if self.chunks is not None:
                pairs.append(("Transfer-Encoding", "chunked"))
            else:
                pairs.append(("Content-Length", str(len(self.body))))
        if self.close:
            pairs.append(("Connection", "close"))
        lines = [f"HTTP/1.1 {self.status} {self.reason}"] + [f"{n}: {v}" for n, v in pairs]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"

    def run(self, conn, request):
        if self.gate is not None and not self.gate.wait(30):
            return False
        for piece in self.interim:
            conn.send(piece)
        out = self.head(request.method)
        if request.method != "HEAD" and self.status not in (204, 304):
            if self.chunks is not None:
                out += b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in self.chunks)
                out += b"0\r\n"
                out += "".join(f"{n}: {v}\r\n" for n, v in self.trailers).encode("latin-1")
                out += b"\r\n"
            else:
                out += self.body
        conn.send(out)
        return not self.close


@dataclass
class Raw:
    """Exactly these bytes, then: keep, close, reset or hang (hold the connection open, silent)."""

    data: bytes = b""
    then: str = "close"
    gate: object = None

    def run(self, conn, request):
        if self.gate is not None and not self.gate.wait(30):
            return False
        conn.send(self.data)
        if self.then == "reset":
            conn.reset()
        elif self.then == "hang":
            conn.hang()
        return self.then == "keep"


@dataclass
class Stream:
    """Call produce(send) with a function that sends bytes; then as Raw."""

    produce: object
    then: str = "close"

    def run(self, conn, request):
        self.produce(conn.send)
        return Raw(b"", self.then).run(conn, request)


def hang():
    """Read the request and never answer."""
    return Raw(b"", "hang")


def early_close():
    """Read the request and close without an answer."""
    return Raw(b"", "close")


def reset():
    """Read the request and answer with RST."""
    return Raw(b"", "reset")


def garbage():
    return Raw(b"\x16\x03\x01\x02\x00\x01\x00not http at all\r\n\r\n", "close")


def endless_headers(limit=4 << 20):
    """Header lines until the proxy has had enough (or limit bytes, so that a test ends whatever happens)."""

    def produce(send):
        send(b"HTTP/1.1 200 OK\r\n")
        sent = 0
        while sent < limit:
            sent += 4096
            send((b"x-filler: %s\r\n" % (b"a" * 1010)) * 4)

    return Stream(produce, "close")


def extra_bytes(body=b"ok", extra=b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison"):
    """A response with another, unasked-for one glued to it."""
    return Raw(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s%s" % (len(body), body, extra), "keep")


def short_body():
    """Says 100 bytes, sends 10, closes."""
    return Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n0123456789", "close")


def interim_flood(count=5000):
    return Raw(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * count, "close")


class _Connection:
    """The serving side of one accepted socket."""

    def __init__(self, origin, sock, number):
        self.origin = origin
        self.sock = sock
        self.number = number
        self.pending = b""
        self.raw = b""
        self.released = threading.Event()

    def send(self, data):
        if data:
            self.sock.sendall(data)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.sock.close()

    def hang(self):
        """Hold until the proxy or the test ends it."""
        while not self.released.is_set():
            try:
                if not self.sock.recv(65536):
                    return
            except OSError:
                return

    def close(self):
        self.released.set()
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

    def _shake_hands(self):
        if self.origin.tls is not None:
            # Not in wrap_socket(): closing a failed one must not take the socket from under close().
            self.sock = self.origin.tls.wrap_socket(self.sock, server_side=True, do_handshake_on_connect=False)
            self.sock.server_name = None
            try:
                self.sock.do_handshake()
            except OSError as error:
                self.origin.tls_failures.append(getattr(error, "reason", None) or type(error).__name__)
                raise
            self.origin.handshakes.append(Handshake(
                self.sock.version(), self.sock.cipher()[0], self.sock.selected_alpn_protocol(), self.sock.server_name,
                self.sock.session_reused, self.sock.getpeercert(True)))

    def serve(self):
        try:
            self._shake_hands()
            while True:
                request = self._read_head()
                if request is None:
                    return
                self.origin._headed()
                action = self.origin._action(request)
                if getattr(action, "early", False):
                    self.origin._record(request)
                    keep = action.run(self, request)
                    self._read_body(request)
                else:
                    if "100-continue" in (request.header("expect") or "").lower():
                        if self.origin.sends_continue:
                            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                    self._read_body(request)
                    request.raw, self.raw = self.raw, b""
                    self.origin._record(request)
                    keep = action.run(self, request)
                if not keep:
                    return
        except Malformed as problem:
            self.origin.malformed.append((str(problem), self.raw))
        except OSError:
            pass
        finally:
            self.origin._ended(self)
            self.close()

    def _fill(self):
        piece = self.sock.recv(262144)
        self.pending += piece
        self.raw += piece
        return bool(piece)

    def _line(self):
        while b"\n" not in self.pending:
            if not self._fill():
                return None
        line, self.pending = self.pending.split(b"\n", 1)
        if not line.endswith(b"\r"):
            raise Malformed(f"bare LF: {line!r}")
        if b"\r" in line[:-1] or b"\0" in line:
            raise Malformed(f"CR or NUL inside a line: {line!r}")
        return line[:-1].decode("latin-1")

    def _fields(self):
        fields = []
        while True:
            line = self._line()
            if line is None:
                raise Malformed("connection ended inside headers")
            if not line:
                return fields
            match = re.fullmatch(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*", line)
            if not match:
                raise Malformed(f"bad header line: {line!r}")
            fields.append((match[1], match[2]))

    def _read_head(self):
        self.raw = self.pending
        line = self._line()
        if line is None:
            if self.pending:
                raise Malformed(f"connection ended inside a request line: {self.pending!r}")
            return None
        match = re.fullmatch(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) (\S+) (HTTP/1\.[01])", line)
        if not match:
            raise Malformed(f"bad request line: {line!r}")
        headers = self._fields()
        return Recorded(
            match[1], match[2], match[3], headers, connection=self.number, origin=self.origin.name
        )

    def _read_body(self, request):
        lengths = request.all("content-length")
        encoding = request.header("transfer-encoding")
        if encoding is not None and lengths:
            raise Malformed("both content-length and transfer-encoding")
        if encoding is not None:
            if encoding.lower() != "chunked":
                raise Malformed(f"transfer-encoding: {encoding}")
            request.framing = "chunked"
            self._read_chunked(request)
        elif lengths:
            if len(lengths) > 1 or not lengths[0].isdigit():
                raise Malformed(f"content-length: {lengths}")
            request.framing = "length"
            size = int(lengths[0])
            while len(self.pending) < size:
                if not self._fill():
                    request.complete = False
                    break
            request.body, self.pending = self.pending[:size], self.pending[size:]

    def _read_chunked(self, request):
        while True:
            line = self._line()
            if line is None:
                request.complete = False
                return
            if not re.fullmatch(r"[0-9a-fA-F]+", line):
                raise Malformed(f"chunk size {line!r}")
            size = int(line, 16)
            if size == 0:
                request.trailers = self._fields()
                return
            while len(self.pending) < size + 2:
                if not self._fill():
                    request.complete = False
                    request.body += self.pending
                    self.pending = b""
                    return
            piece, self.pending = self.pending[:size + 2], self.pending[size + 2:]
            if not piece.endswith(b"\r\n"):
                raise Malformed("chunk does not end with CRLF")
            request.body += piece[:-2]


class Origin:
    """A recording HTTP/1 origin on a free port of 127.0.0.1 (or another host, or a unix path). tls: an SSLContext, of
    harness.tls.context(server=True, ...)."""

    def __init__(self, name="origin", host="127.0.0.1", unix_path=None, port=0, tls=None):
        self.name = name
        self.default = Reply(headers={"x-origin": name}, body=name.encode())
        self.actions = {}  # path without query -> action
        self.queue = []  # actions for the next requests, whatever their path
        self.sends_continue = True
        self.requests = []
        self.malformed = []
        self.accepted = 0
        self.tls = tls
        self.handshakes = []
        self.tls_failures = []  # reasons, in OpenSSL's words
        if tls is not None:
            tls.sni_callback = self._note_sni
        self.heads = 0
        self._open = set()
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self.host = host
        if unix_path:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(unix_path)
            self._listener.listen(512)
        else:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._listener = socket.create_server((host, port), family=family, backlog=512)
            self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True, name=f"origin {name}")
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def on(self, path, action):
        """What to do with requests for that path (query ignored). Returns the origin."""
        self.actions[path] = action
        return self

    def next(self, *actions):
        """What to do with the next requests, one action each."""
        self.queue.extend(actions)

    def forget(self):
        """Drop the recorded requests and the scripts."""
        with self._lock:
            self.requests = []
            self.malformed = []
            self.queue = []
            self.actions = {}
            self.handshakes = []
            self.tls_failures = []
            self.heads = 0

    def take(self):
        """The requests recorded so far, which are forgotten."""
        with self._lock:
            taken, self.requests = self.requests, []
        return taken

    def wait_requests(self, count, timeout=10.0):
        """Wait until that many requests are recorded, and return them all."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.requests) >= count, timeout):
                raise AssertionError(f"{self.name} saw {len(self.requests)} requests, not {count}")
            return list(self.requests)

    def wait_heads(self, count, timeout=10.0):
        """Wait until that many request heads have come since forget(), whole requests or not."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: self.heads >= count, timeout):
                raise AssertionError(f"{self.name} saw {self.heads} requests, not {count}")

    @property
    def open_connections(self):
        return len(self._open)

    def wait_open(self, count, timeout=10.0):
        wait_for(lambda: self.open_connections == count,
                 lambda: f"{count} open connections, there are {self.open_connections}", timeout)

    def drop_connections(self, with_reset=False):
        """End every open connection from this side."""
        with self._lock:
            connections = list(self._open)
        for conn in connections:
            if with_reset:
                conn.reset()
            conn.close()

    def close(self):
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        self.drop_connections()

    @staticmethod
    def _note_sni(sock, name, _):
        sock.server_name = name

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            conn = _Connection(self, sock, self.accepted)
            with self._lock:
                self.accepted += 1
                self._open.add(conn)
            threading.Thread(target=conn.serve, daemon=True).start()

    def _ended(self, conn):
        with self._lock:
            self._open.discard(conn)

    def _action(self, request):
        with self._lock:
            if self.queue:
                return self.queue.pop(0)
        return self.actions.get(request.target.split("?")[0], self.default)

    def _headed(self):
        with self._arrived:
            self.heads += 1
            self._arrived.notify_all()

    def _record(self, request):
        with self._arrived:
            self.requests.append(request)
            self._arrived.notify_all()


class RawOrigin:
    """Runs script(socket) on every connection it accepts: for peers that do not wait to be asked."""

    def __init__(self, script):
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._listener.getsockname()[1]
        self.accepted = 0
        self._script = script
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._run, args=(sock,), daemon=True).start()

    def _run(self, sock):
        try:
            self._script(sock)
        except OSError:
            pass
        finally:
            sock.close()


class BlackHole:
    """An address whose connects hang: its accept queue is full, so the kernel drops every SYN."""

    def __init__(self):
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        self.port = self._listener.getsockname()[1]
        self._fillers = []
        while True:
            filler = socket.socket()
            self._fillers.append(filler)
            filler.settimeout(0.2)
            try:
                filler.connect(("127.0.0.1", self.port))
            except TimeoutError:
                return

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        for filler in self._fillers:
            filler.close()
        self._listener.close()


class Refused:
    """A port that is reserved but not listened on: connects are refused."""

    def __init__(self):
        self._sock = socket.socket()
        self._sock.bind(("127.0.0.1", 0))
        self.port = self._sock.getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self._sock.close()
