"""HTTP/2 frame by frame, for what no library would send: a client socket that knows frames and HPACK literals only."""

import socket
import struct
import time
from dataclasses import dataclass

import hpack

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
STREAM_CLOSED, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 5, 7, 8, 11
INITIAL_WINDOW_SIZE = 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GET = ((":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", "/"))
POST = ((":method", "POST"), *GET[1:])


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def settings(**values):
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", int(k[1:]), v) for k, v in values.items()))


def window_update(stream, increment):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def rst(stream, code=CANCEL):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def literal(name, value):
    """One field, neither indexed nor compressed."""
    out = b"\x00"
    for piece in (name, value):
        piece = piece.encode("latin-1") if isinstance(piece, str) else piece
        n = len(piece)
        out += bytes([n]) if n < 127 else b"\x7f" + varint(n - 127)
        out += piece
    return out


def varint(n):
    out = b""
    while n >= 128:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def block(fields):
    return b"".join(literal(n, v) for n, v in fields)


def headers(stream, fields=GET, end_stream=True, end_headers=True):
    flags = (END_STREAM if end_stream else 0) | (END_HEADERS if end_headers else 0)
    return frame(HEADERS, flags, stream, block(fields))


@dataclass
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes
    fields: object = None  # HEADERS: {name: value}

    @property
    def code(self):
        """The error code of RST_STREAM or GOAWAY."""
        at = 4 if self.kind == GOAWAY else 0
        return struct.unpack(">I", self.payload[at:at + 4])[0]


class RawH2:
    """A connection that has sent its preface and SETTINGS (s4=0 means INITIAL_WINDOW_SIZE 0), and acknowledges nothing
    unless asked to."""

    def __init__(self, address, receive_buffer=None, **own_settings):
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.connect(address)
        self.buffer = b""
        self.is_closed = False
        self.decoder = hpack.Decoder()
        self.send(PREFACE + settings(**own_settings))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()

    def send(self, data, timeout=10.0):
        """Send all of it; False when the peer has closed meanwhile."""
        self.sock.settimeout(timeout)
        try:
            self.sock.sendall(data)
        except (ConnectionError, TimeoutError):
            return False
        return True

    def read(self, timeout=5.0):
        """The next frame; None at the end of the connection or when none comes."""
        deadline = time.monotonic() + timeout
        while True:
            if len(self.buffer) >= 9:
                length = int.from_bytes(self.buffer[:3], "big")
                if len(self.buffer) >= 9 + length:
                    out = Frame(self.buffer[3], self.buffer[4], int.from_bytes(self.buffer[5:9], "big"),
                                self.buffer[9:9 + length])
                    self.buffer = self.buffer[9 + length:]
                    if out.kind == HEADERS:  # each one, in order: the table depends on it
                        out.fields = dict(self.decoder.decode(out.payload))
                    return out
            left = deadline - time.monotonic()
            if left <= 0 or self.is_closed:
                return None
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(65536)
            except TimeoutError:
                return None
            except ConnectionError:
                data = b""
            if not data:
                self.is_closed = True
            self.buffer += data

    def wait(self, kind, stream=None, timeout=5.0):
        """The next frame of that kind (and stream), others skipped; None when the connection ends or time is up."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            got = self.read(left)
            if got is None or (got.kind == kind and stream in (None, got.stream)):
                return got
        return None

    def rest(self, timeout=5.0):
        """All frames until the connection ends or falls silent."""
        out = []
        while (got := self.read(timeout)) is not None:
            out.append(got)
        return out

    def response(self, stream, timeout=10.0):
        """(status, body, reset code) of one stream; the connection window is topped up on the way."""
        status, body = None, b""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            got = self.read(left)
            if got is None:
                return status, body, "closed" if self.is_closed else "silent"
            if got.kind == HEADERS and got.stream == stream and ":status" in got.fields:
                status = int(got.fields[":status"])
            elif got.kind == DATA and got.stream == stream:
                body += got.payload
            elif got.kind == RST_STREAM and got.stream == stream:
                return status, body, got.code
            if got.stream == stream and got.kind in (HEADERS, DATA) and got.flags & END_STREAM:
                return status, body, None
        return status, body, "silent"
