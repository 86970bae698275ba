"""An origin with TLS that keeps what each client offered, and speaks HTTP/1 or HTTP/2 as was negotiated."""

import socket
import threading
from dataclasses import dataclass, field

from . import h2peer
from .upstream import Origin, _Connection

_SERVER_NAME, _ALPN, _SESSION_TICKET, _PSK = 0, 16, 35, 41


@dataclass
class Hello:
    """A ClientHello."""

    sni: object = None
    alpn: list = field(default_factory=list)
    wants_resumption: bool = False  # it brings a session along


class _Bytes:
    """Fields of a handshake message, in turn."""

    def __init__(self, data):
        self.data = data

    def take(self, count):
        out, self.data = self.data[:count], self.data[count:]
        return out

    def number(self, count):
        return int.from_bytes(self.take(count), "big")

    def block(self, length_bytes):
        return _Bytes(self.take(self.number(length_bytes)))


def parse_hello(record):
    """Of the first record of a connection."""
    body = _Bytes(record[5 + 4:])
    body.take(2 + 32)
    body.block(1)  # session id: sent in any case, for middle boxes
    body.block(2)
    body.block(1)
    hello = Hello()
    extensions = body.block(2)
    while extensions.data:
        kind, value = extensions.number(2), extensions.block(2)
        if kind == _SERVER_NAME:
            names = value.block(2)
            names.take(1)
            hello.sni = names.block(2).data.decode("latin-1")
        elif kind == _ALPN:
            names = value.block(2)
            while names.data:
                hello.alpn.append(names.block(1).data.decode("latin-1"))
        elif kind == _PSK or (kind == _SESSION_TICKET and value.data):
            hello.wants_resumption = True
    return hello


def peek_hello(sock):
    """Without taking it from the socket. None: something else came, or nothing."""
    size = 5
    while True:
        data = sock.recv(size, socket.MSG_PEEK | socket.MSG_WAITALL)
        if len(data) < size or data[0] != 22:
            return None
        if size > 5:
            return parse_hello(data)
        size += int.from_bytes(data[3:5], "big")


class AlpnOrigin(Origin):
    """tls: of harness.tls.context(server=True, alpn=...). `hellos` has what clients offered. Answers are those of an
    Origin over HTTP/1; over HTTP/2 a 200 with the origin's name."""

    def __init__(self, name, tls, **more):
        self.hellos = []
        self.h2 = h2peer.H2Origin.__new__(h2peer.H2Origin)
        self.h2.name, self.h2.settings, self.h2.queue = name, None, []
        self.h2.malformed, self.h2.requests, self.h2._changed = [], [], threading.Condition()
        self.h2.default = Answer(name)
        super().__init__(name, tls=tls, **more)

    def forget(self):
        super().forget()
        self.h2.forget()
        self.hellos = []

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            conn = _AlpnConnection(self, sock, self.accepted)
            with self._lock:
                self.accepted += 1
                self._open.add(conn)
            threading.Thread(target=conn.serve, daemon=True).start()


class _AlpnConnection(_Connection):
    def _shake_hands(self):
        self.origin.hellos.append(peek_hello(self.sock))
        super()._shake_hands()
        if self.sock.selected_alpn_protocol() == "h2":
            h2peer._Served(self.origin.h2, self.sock, self.number).serve()
            raise ConnectionError("it is over")


class Answer:
    """What an HTTP/2 origin does with a request: 200 and its name."""

    early = False

    def __init__(self, name):
        self.name = name

    def run_h2(self, stream, _):
        stream.head([(":status", "200"), ("x-origin", self.name)])
        stream.data(self.name.encode(), end=True)
