"""HTTP/1 messages on the edge of the rules, with the answer a strict parser must give: integration/corpus/http1/*.tsv.

requests.tsv, one vector a line, tab separated: what nuncio makes of the bytes, what Envoy makes of them where that is
something else ("=" where not, "?" where it is not asked), name, where the case is from, the bytes (\\r, \\n, \\t, \\\\ and \\xNN escaped). The answer is a
sequence of "; "-separated steps:

    GET /a "body"   this request reaches the origin and is answered (no body: none)
    !400            what follows is no request: this status, the connection is closed
    -404 GET /a     a request that is answered by the proxy itself, for reasons that are not the parser's
    close           the connection is closed, the rest of the bytes is nobody's
    ...             more bytes are waited for

Envoy's column has bare statuses for the second and third.

responses.tsv is about what an origin answers: the same columns, and before the bytes the request's method and what the
origin does after them (keep, close or reset the connection). The answer:

    200 "body" keep    delivered whole; the connection carries the next request
    200 "body" close   delivered whole; it does not
    200 "bo" cut       the client gets that much and no end
    502 UPE            a local reply, and its response flag

dataplane/codec/h1_vectors_test.c replays both tables against the codecs, cut at every byte.
"""

import re
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).parent.parent / "corpus" / "http1"
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|([rnt\\]))")
_PLAIN = {"r": "\r", "n": "\n", "t": "\t", "\\": "\\"}


def unescape(text):
    """The bytes of an escaped column."""
    return _ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else _PLAIN[m[2]], text).encode("latin-1")


@dataclass
class Step:
    """One thing that becomes of a vector's bytes."""

    kind: str  # request, status, close, wait
    status: int = 200
    request: tuple = ()  # method, target, body
    ends: bool = False  # status: the connection is closed after it

    def __str__(self):
        if self.kind == "request":
            return repr(self.request)
        return f"{self.status}{' and closed' if self.ends else ''}" if self.kind == "status" else self.kind


def steps(text):
    """The steps of an answer."""
    out = []
    for part in text.split("; "):
        if part in ("close", "..."):
            out.append(Step("close" if part == "close" else "wait"))
        elif match := re.fullmatch(r"([!-]?)(\d{3})(?: .*)?", part):
            out.append(Step("status", int(match[2]), ends=match[1] == "!"))
        else:
            match = re.fullmatch(r'(\S+) (\S+)(?: "(.*)")?', part)
            out.append(Step("request", request=(match[1], match[2], unescape(match[3] or ""))))
    return out


@dataclass
class Vector:
    """One line of a table."""

    strict: str
    envoy: str
    name: str
    source: str
    data: bytes
    method: str = "GET"  # these two of responses
    then: str = "keep"

    def answer(self, flavour):
        """What that proxy must make of it; None: whatever it likes."""
        if flavour == "envoy" and self.envoy == "?":
            return None
        return self.strict if flavour == "nuncio" or self.envoy == "=" else self.envoy


def load(table):
    """The vectors of requests.tsv or responses.tsv."""
    out = []
    for line in (CORPUS / table).read_text().splitlines():
        if line and not line.startswith("#"):
            strict, envoy, name, source, *how, data = line.split("\t")
            out.append(Vector(strict, envoy, name, source, unescape(data), *(how[0].split(" ") if how else ())))
    return out
