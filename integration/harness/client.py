"""A raw-socket HTTP/1 client: exact bytes in; responses out, parsed strictly and kept raw.

It does nothing behind the test's back: no retries, no header it was not given, no connection it was not told to open.
"""

import re
import socket
from dataclasses import dataclass, field


class ProtocolError(AssertionError):
    """What arrived is not a well-formed HTTP/1 response."""


class ConnectionEnded(AssertionError):
    """The peer closed or reset before a whole response arrived."""


@dataclass
class Response:
    """One HTTP/1 response with everything that came on the wire."""

    status: int
    reason: str
    version: str
    headers: list  # of (name, value), as sent: case and order kept
    body: bytes = b""
    trailers: list = field(default_factory=list)
    interim: list = field(default_factory=list)  # 1xx responses before this one
    framing: str = "none"  # none, length, chunked, close
    complete: bool = True
    chunks: int = 0

    def all(self, name):
        """Every value of a header, in order."""
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def header(self, name):
        """The header's value; None if absent; several are joined with a comma."""
        values = self.all(name)
        return ",".join(values) if values else None

    @property
    def text(self):
        return self.body.decode("latin-1")


def request(method="GET", target="/", host="test", headers=(), body=None, version="HTTP/1.1"):
    """The bytes of a plain request. headers: a dict or (name, value) pairs, sent as they are, after Host."""
    pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
    lines = [f"{method} {target} {version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in pairs]
    names = {name.lower() for name, _ in pairs}
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


def chunked(*pieces, trailers=()):
    """A chunked body, one chunk a piece."""
    out = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces)
    tail = "".join(f"{n}: {v}\r\n" for n, v in trailers).encode("latin-1")
    return out + b"0\r\n" + tail + b"\r\n"


_STATUS = re.compile(rb"^HTTP/(1\.[01]) ([0-9]{3})(?: (.*))?$")
_TOKEN = re.compile(rb"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$")


class Client:
    """One connection. Use as a context manager."""

    def __init__(self, address, timeout=10.0, source=None):
        """address: (host, port) or the path of a unix socket."""
        if isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(timeout)
            self.sock.connect(address)
        else:
            self.sock = socket.create_connection(address, timeout=timeout, source_address=source)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.timeout = timeout
        self.pending = b""
        self.received = b""  # every byte that ever came

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Close with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.sock.close()

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    @property
    def local_port(self):
        return self.sock.getsockname()[1]

    def send(self, data):
        self.sock.sendall(data)

    def exchange(self, data, method=None):
        """Send one request and read its response."""
        self.send(data)
        return self.read_response(method or data.split(b" ", 1)[0].decode("latin-1"))

    def get(self, target="/", host="test", headers=(), method="GET", body=None):
        return self.exchange(request(method, target, host, headers, body))

    def read_response(self, method="GET"):
        """The next response; 1xx responses (but 101) are collected in .interim."""
        interim = []
        while True:
            response = self._read_head()
            if response.status == 101 or response.status >= 200:
                break
            interim.append(response)
        response.interim = interim
        self._read_body(response, method)
        return response

    def read_interim(self):
        """One response head without a body, such as 100 Continue."""
        return self._read_head()

    def read_some(self):
        """Whatever bytes come next; b"" at the end of the stream."""
        if self.pending:
            data, self.pending = self.pending, b""
            return data
        return self._recv()

    def read_to_end(self):
        """Everything until the peer closes (a reset ends it too)."""
        data, self.pending = self.pending, b""
        while True:
            try:
                piece = self._recv()
            except ConnectionResetError:
                return data
            if not piece:
                return data
            data += piece

    def is_closed(self, timeout=5.0):
        """Wait until the peer has closed: True, or False if it still is open or sent bytes instead."""
        if self.pending:
            return False
        self.sock.settimeout(timeout)
        try:
            piece = self._recv()
        except (TimeoutError, BlockingIOError):
            return False
        except ConnectionError:
            return True
        finally:
            self.sock.settimeout(self.timeout)
        self.pending += piece
        return not piece

    def is_silent(self, seconds):
        """True if nothing (neither bytes nor an end) comes for that long: for negative checks only."""
        self.sock.settimeout(seconds)
        try:
            piece = self._recv()
        except (TimeoutError, BlockingIOError):
            return True
        except ConnectionError:
            return False
        finally:
            self.sock.settimeout(self.timeout)
        self.pending += piece
        return False

    # Parsing.

    def _recv(self):
        piece = self.sock.recv(65536)
        self.received += piece
        return piece

    def _fill(self, what):
        try:
            piece = self._recv()
        except ConnectionResetError as error:
            raise ConnectionEnded(f"reset while reading {what}; had {self.pending[:200]!r}") from error
        if not piece:
            raise ConnectionEnded(f"closed while reading {what}; had {self.pending[:200]!r}")
        self.pending += piece

    def _line(self, what):
        while b"\n" not in self.pending:
            self._fill(what)
        line, self.pending = self.pending.split(b"\n", 1)
        if not line.endswith(b"\r"):
            raise ProtocolError(f"bare LF in {what}: {line!r}")
        return line[:-1]

    def _exactly(self, size, what):
        while len(self.pending) < size:
            self._fill(what)
        data, self.pending = self.pending[:size], self.pending[size:]
        return data

    def _fields(self, what):
        fields = []
        while True:
            line = self._line(what)
            if not line:
                return fields
            name, colon, value = line.partition(b":")
            if not colon or not _TOKEN.match(name):
                raise ProtocolError(f"bad line in {what}: {line!r}")
            fields.append((name.decode("latin-1"), value.strip(b" \t").decode("latin-1")))

    def _read_head(self):
        line = self._line("status line")
        match = _STATUS.match(line)
        if not match:
            raise ProtocolError(f"bad status line: {line!r}")
        version, status, reason = match.groups()
        return Response(
            int(status), (reason or b"").decode("latin-1"), version.decode(), self._fields("headers")
        )

    def _read_body(self, response, method):
        lengths = response.all("content-length")
        encoding = response.header("transfer-encoding")
        if len(set(lengths)) > 1 or (lengths and not lengths[0].isdigit()):
            raise ProtocolError(f"content-length: {lengths}")
        if lengths and encoding:
            raise ProtocolError("both content-length and transfer-encoding")
        if method == "HEAD" or response.status in (101, 204, 304):
            return
        if method == "CONNECT" and 200 <= response.status < 300:
            return
        try:
            if encoding is not None:
                if encoding.lower() != "chunked":
                    raise ProtocolError(f"transfer-encoding: {encoding}")
                response.framing = "chunked"
                self._read_chunked(response)
            elif lengths:
                response.framing = "length"
                response.body = self._exactly(int(lengths[0]), "body")
            else:
                response.framing = "close"
                response.body = self.read_to_end()
        except ConnectionEnded:
            response.complete = False
            response.body += self.pending
            self.pending = b""

    def _read_chunked(self, response):
        while True:
            line = self._line("chunk size")
            size = line.split(b";")[0].strip()
            if not re.fullmatch(rb"[0-9a-fA-F]+", size):
                raise ProtocolError(f"chunk size {line!r}")
            length = int(size, 16)
            if length == 0:
                response.trailers = self._fields("trailers")
                return
            data = self._exactly(length + 2, "chunk")
            if data[-2:] != b"\r\n":
                raise ProtocolError("chunk does not end with CRLF")
            response.body += data[:-2]
            response.chunks += 1
