"""An HTTP/2 server that looks at nothing and answers each request with frames made by the test."""

import socket
import threading

DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
NO_ERROR, INTERNAL_ERROR, REFUSED_STREAM = 0, 2, 7
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


# What an answer is made of: functions from the stream's id to bytes; None closes the connection.

def headers(fields, end=False):
    """HPACK without a table and without Huffman: each field as a literal."""
    block = b"".join(b"\0" + bytes([len(n)]) + n.encode() + bytes([len(v)]) + v.encode() for n, v in fields.items())
    return lambda stream: frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block)


def data(payload, end=False):
    return lambda stream: frame(DATA, END_STREAM if end else 0, stream, payload)


def rst(code):
    return lambda stream: frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def goaway(last, code=NO_ERROR):
    return lambda stream: frame(GOAWAY, 0, 0, last.to_bytes(4, "big") + code.to_bytes(4, "big"))


def close():
    return lambda stream: None


class ScriptedH2:
    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.answers = []  # one per request, in the order in which they come
        self.connections = 0
        self._connections = []  # the open ones
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def restart(self, answers):
        """Those answers from now on, on connections yet to come."""
        for connection in self._connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._connections = []
        self.answers = list(answers)

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            with connection, connection.makefile("rb") as stream:
                if stream.read(len(PREFACE)) != PREFACE:
                    return
                connection.sendall(frame(SETTINGS, 0, 0))
                while self._serve_frame(connection, stream):
                    pass
        except OSError:
            pass

    def _serve_frame(self, connection, stream):
        head = stream.read(9)
        if len(head) < 9:
            return False
        length = int.from_bytes(head[:3], "big")
        stream.read(length)
        kind, flags, number = head[3], head[4], int.from_bytes(head[5:], "big")
        if kind == SETTINGS and not flags & ACK:
            connection.sendall(frame(SETTINGS, ACK, 0))
        if kind == DATA and length > 0:
            grant = length.to_bytes(4, "big")
            connection.sendall(frame(WINDOW_UPDATE, 0, 0, grant) + frame(WINDOW_UPDATE, 0, number, grant))
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            for make in self.answers.pop(0):
                octets = make(number)
                if octets is None:
                    connection.shutdown(socket.SHUT_WR)  # with bytes unread, close() would be a reset
                    stream.read()
                    return False
                connection.sendall(octets)
        return True
