"""Requests and answers that do not say which HTTP they are spoken in, for tests of what becomes of them between versions.

An Ask is put as HTTP/1 or HTTP/2 by ask_h1() and ask_h2(); an Answer is given by the HTTP/1 Origin and by the H2Origin.
"""

from dataclasses import dataclass, field

from h2.errors import ErrorCodes
from h2.exceptions import H2Error

from .client import Client, ConnectionEnded, ProtocolError, Response, chunked, request
from .h2peer import H2Client


@dataclass
class Answer:
    """What an origin does with a request. length: content-length, or else chunks and the end of the stream say it.
    stop: where it breaks off ("none" of the response sent, after the "head", within the "body", at the "end" of it), by
    reset, by closing the connection or by silence (then: "reset", "close", "hang"), over HTTP/2 with that code."""

    status: int = 200
    headers: tuple = ()
    body: bytes = b""
    trailers: tuple = ()
    interim: tuple = ()  # (status, headers) pairs, before it
    length: object = True  # or the number to claim
    early: bool = False  # on the headers alone
    waits: bool = False  # early, over HTTP/2: with what is not interim until the request has ended
    stop: str = ""
    then: str = "reset"
    code: ErrorCodes = ErrorCodes.INTERNAL_ERROR
    goaway: object = None  # HTTP/2: first a GOAWAY with this last stream id; "all" names the request's own

    def fields(self):
        """The headers with content-length, if there is one to add."""
        bodiless = self.status in (204, 304) or self.status < 200
        claimed = len(self.body) if self.length is True else self.length
        own = {n.lower() for n, _ in self.headers}
        if self.length is False or self.trailers or bodiless or own & {"content-length", "transfer-encoding"}:
            return list(self.headers)
        return [*self.headers, ("content-length", str(claimed))]

    def is_chunked(self):
        names = {n.lower() for n, _ in self.fields()}
        return self.status not in (204, 304) and not names & {"content-length", "transfer-encoding"}

    def run(self, conn, asked):
        """As an action of Origin."""
        for status, headers in self.interim:
            conn.send(self._h1_head(status, headers))
        if self.stop == "none":
            return self._break(conn)
        fields = self.fields() + ([("transfer-encoding", "chunked")] if self.is_chunked() else [])
        out = self._h1_head(self.status, fields)
        if self.stop == "head" or asked.method == "HEAD" or self.status in (204, 304):
            conn.send(out)
            return self._break(conn) if self.stop else True
        body = self.body[:len(self.body) // 2] if self.stop == "body" else self.body
        if self.is_chunked():
            out += chunked(*[body] if body else [], trailers=self.trailers)
            out = out[:-5] if self.stop else out  # without the end
        else:
            out += body
        conn.send(out)
        return self._break(conn) if self.stop else True

    @staticmethod
    def _h1_head(status, headers):
        lines = [f"HTTP/1.1 {status} Some Reason", *[f"{n}: {v}" for n, v in headers]]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"

    def _break(self, conn):
        if self.then == "reset":
            conn.reset()
        elif self.then == "hang":
            conn.hang()
        return False

    def run_h2(self, stream, asked):
        """As an action of H2Origin."""
        if self.goaway is not None:
            stream.goaway(stream.id if self.goaway == "all" else self.goaway)
        for status, headers in self.interim:
            stream.head([(":status", str(status)), *headers])
        if self.waits:
            stream.wait_request_end()
        if self.stop == "none":
            return self._break_h2(stream)
        body = b"" if asked.method == "HEAD" else self.body
        breaks = self.stop in ("head", "body")
        has_more = body or self.trailers or breaks
        stream.head([(":status", str(self.status)), *self.fields()], end=not has_more)
        if self.stop == "head":
            return self._break_h2(stream)
        body = body[:len(body) // 2] if self.stop == "body" else body
        if body:
            stream.data(body, end=not self.trailers and not breaks)
        if self.trailers and not breaks:
            stream.head(list(self.trailers), end=True)
        return self._break_h2(stream) if self.stop else None

    def _break_h2(self, stream):
        if self.then == "reset":
            stream.reset(self.code)
        elif self.then == "hang":
            stream.wait_over()
        else:
            stream.close()


@dataclass
class Ask:
    """A request. length as of Answer. break_at: the client breaks off once the origin has seen the "head", or once the head
    of the "response" has come. h2: the whole HTTP/2 header list instead of one made from the rest; h1: all bytes."""

    method: str = "GET"
    path: str = "/"
    authority: object = "test"
    headers: tuple = ()
    body: object = None
    trailers: tuple = ()
    length: object = True
    waits: bool = False  # for a 1xx or the response before the body
    break_at: str = ""
    ends: bool = True  # False: the body never ends
    h2: object = None
    h1: bytes = b""
    empty_data: bool = False  # HTTP/2: an empty DATA frame ends the request; sent with the head, or the answer might be faster
    extra: dict = field(default_factory=dict)  # :protocol and the like, HTTP/2 only

    def fields(self):
        out = list(self.headers)
        if self.body is not None and self.length is not False and not self.trailers:
            out.append(("content-length", str(len(self.body) if self.length is True else self.length)))
        return out

    def h2_fields(self):
        pseudo = [(":method", self.method), (":scheme", "http"), (":path", self.path)]
        if self.authority is not None:
            pseudo.append((":authority", self.authority))
        return [*pseudo, *self.extra.items(), *self.fields()]


def ask_h1(address, ask, origin, timeout=5.0):
    """Put it over HTTP/1: the Response, or the ProtocolError or ConnectionEnded that came instead."""
    with Client(address, timeout=timeout) as client:
        try:
            return _ask_h1(client, ask, origin)
        except (ConnectionEnded, ProtocolError) as ended:
            return ended
        except OSError as error:
            return ConnectionEnded(str(error))


def _ask_h1(client, ask, origin):
    if ask.h1:
        client.send(ask.h1)
        return client.read_response(ask.h1.split(b" ", 1)[0].decode())
    fields = ask.fields()
    is_chunked = (ask.body is not None or ask.trailers) and "content-length" not in {n for n, _ in fields}
    if is_chunked:
        fields.append(("transfer-encoding", "chunked"))
    client.send(request(ask.method, ask.path, ask.authority, fields))
    interim = []
    if ask.waits:
        interim.append(client.read_interim())
    if ask.break_at == "head":
        origin.wait_heads(1)
        client.reset()
        return None
    body = ask.body or b""
    if is_chunked:
        whole = chunked(*[body] if body else [], trailers=ask.trailers)
        client.send(whole if ask.ends else whole[:-5])
    elif body:
        client.send(body)
    if ask.break_at == "response":
        client.read_interim()
        client.reset()
        return None
    response = client.read_response(ask.method)
    response.interim = interim + response.interim
    return response


def ask_h2(address, ask, origin, timeout=5.0):
    """Put it over HTTP/2: the H2Response, complete or not, or the ProtocolError or ConnectionEnded that came instead."""
    with H2Client(address, timeout=timeout) as client:
        try:
            return _ask_h2(client, ask, origin)
        except H2Error as error:
            return ProtocolError(str(error))
        except OSError as error:
            return ConnectionEnded(str(error))


def _ask_h2(client, ask, origin):
    has_more = ask.body or ask.trailers or ask.break_at == "head" or ask.empty_data or not ask.ends
    stream = client.start(ask.h2 or ask.h2_fields(), end=not has_more, flush=not ask.empty_data)
    if ask.waits:
        client.wait(stream, lambda r: r.interim or r.status, "interim response")
    if ask.break_at == "head":
        origin.wait_heads(1)
        client.reset(stream)
        return None
    if ask.body or ask.empty_data:
        client.data(stream, ask.body or b"", end=ask.ends and not ask.trailers)
    if ask.trailers:
        client.trailers(stream, list(ask.trailers))
    if ask.break_at == "response":
        client.wait(stream, lambda r: r.status, "response")
        client.reset(stream)
        return None
    return client.finish(stream)


__all__ = ["Answer", "Ask", "ErrorCodes", "Response", "ask_h1", "ask_h2"]
