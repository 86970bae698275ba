"""Both ends of a relayed connection under the test's own hand, and what each of them observes."""

import errno
import select
import socket
import struct
from urllib.parse import quote

import h2.config
import h2.connection
import h2.events

from .wait import wait_for

TIMEOUT = 10.0


class End:
    """One side of a TCP connection. Each call does one thing; `seen` is what came, as bytes, then "FIN" or "RST"."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(TIMEOUT)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.end = None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def send(self, data):
        self.sock.sendall(data)

    def read(self, count):
        """Exactly so many bytes, or as many as came before the end."""
        out = b""
        while len(out) < count and self.end is None:
            piece = self._recv(count - len(out))
            out += piece
        return out

    def read_to_end(self):
        """(bytes, "FIN" or "RST")."""
        out = bytearray()
        while self.end is None:
            out += self._recv(1 << 16)
        return bytes(out), self.end

    def _recv(self, count):
        try:
            piece = self.sock.recv(count)
        except (ConnectionResetError, BrokenPipeError):
            self.end = "RST"
            return b""
        if not piece:
            self.end = "FIN"
        return piece

    def read_until(self, mark):
        """Up to and with the mark."""
        out = b""
        while not out.endswith(mark) and self.end is None:
            out += self._recv(1)
        return out

    def is_silent(self, seconds=0.15):
        """Nothing comes, no end either: the one place where a test has to let time pass."""
        return not select.select([self.sock], [], [], seconds)[0]

    def fin(self):
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:  # the other side has ended it all
                raise

    def rst(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def fill(self, limit=64 << 20):
        """Send until nothing more is taken; how many bytes went."""
        self.sock.setblocking(False)
        sent = 0
        piece = b"\0" * 65536
        try:
            while sent < limit and select.select([], [self.sock], [], 0.5)[1]:
                try:
                    sent += self.sock.send(piece)
                except BlockingIOError:
                    continue
        finally:
            self.sock.settimeout(TIMEOUT)
        return sent

    @property
    def port(self):
        return self.sock.getsockname()[1]

    def close(self):
        self.sock.close()


class Backend:
    """Accepts when told to."""

    def __init__(self, host="127.0.0.1", backlog=64):
        self.sock = socket.create_server((host, 0), backlog=backlog)
        self.sock.settimeout(TIMEOUT)
        self.port = self.sock.getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def accept(self):
        return End(self.sock.accept()[0])

    def has_waiting(self, seconds=0.0):
        return bool(select.select([self.sock], [], [], seconds)[0])

    def forget(self):
        while self.has_waiting():
            self.sock.accept()[0].close()

    def close(self):
        self.sock.close()


def dial(address):
    return End(socket.create_connection(address, TIMEOUT))


class Counters:
    """What the counters of a proxy did since; gauges as they are."""

    def __init__(self, proxy, pattern):
        self.proxy = proxy
        self.query = f"?filter={quote(pattern)}"
        self.before = proxy.stats(self.query)

    def moved(self):
        after = self.proxy.stats(self.query)
        return {name: value - self.before.get(name, 0) for name, value in after.items()
                if value != self.before.get(name, 0)}

    def wait(self, name, amount):
        wait_for(lambda: self.moved().get(name, 0) == amount,
                 lambda: f"{self.proxy.name}: {name} moves by {amount}: {self.moved()}")


class H2End:
    """The server's side of one HTTP/2 stream, over an accepted End."""

    def __init__(self, end):
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8", validate_inbound_headers=False,
                                           validate_outbound_headers=False)
        self.end = end
        self.wire = h2.connection.H2Connection(config)
        self.wire.initiate_connection()
        self.stream = None
        self.head = None
        self.body = b""
        self.over = None  # "END", "RST <code>", or how the connection ended
        self._flush()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.end.close()

    def _flush(self):
        data = self.wire.data_to_send()
        if data:
            self.end.send(data)

    def _receive(self):
        piece = self.end._recv(1 << 16)
        if not piece:
            self.over = self.over or self.end.end
            return
        for event in self.wire.receive_data(piece):
            if isinstance(event, h2.events.RequestReceived):
                self.stream, self.head = event.stream_id, list(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                self.body += event.data
                self.wire.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.over = self.over or "END"
            elif isinstance(event, h2.events.StreamReset):
                self.over = f"RST {int(event.error_code)}"
        self._flush()

    def read_head(self):
        while self.head is None:
            self._receive()
        return self.head

    def read(self, count):
        while len(self.body) < count and self.over is None:
            self._receive()
        out, self.body = self.body[:count], self.body[count:]
        return out

    def read_to_end(self):
        while self.over is None:
            self._receive()
        out, self.body = self.body, b""
        return out, self.over

    def read_reset(self):
        """After END: whether a reset follows."""
        self.over = None
        return self.read_to_end()[1]

    def respond(self, status="200", headers=(), end=False):
        self.wire.send_headers(self.stream, [(":status", status), *headers], end_stream=end)
        self._flush()

    def send(self, data, end=False):
        self.wire.send_data(self.stream, data, end_stream=end)
        self._flush()

    def trailers(self, headers):
        self.wire.send_headers(self.stream, headers, end_stream=True)
        self._flush()

    def rst(self, code=8):
        self.wire.reset_stream(self.stream, code)
        self._flush()
