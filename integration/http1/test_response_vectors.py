"""Every vector of corpus/http1/responses.tsv as an origin's answer: what the client gets, the flag in the log, and whether
the connection carries another request. What an origin said too much never reaches anybody."""

import itertools
import re

import pytest

from harness import config as c
from harness.client import ConnectionEnded, ProtocolError
from harness.differential import get
from harness.h1_vectors import load, unescape
from harness.upstream import Raw
from harness.wait import wait_for


def bootstrap(origins, log):
    table = c.routes("r", c.vhost("all", ["*"], c.route("/", "a")))
    return c.static_bootstrap([c.listener("l", c.hcm(table, delayed_close_timeout="0.02s", log=log))],
                              [c.cluster("a", origins["a"].port)])


VECTORS = load("responses.tsv")
NUMBERS = itertools.count()


def flags_of(log, path):
    """The response flags of the request with that path, once its line is there."""
    def lines():
        return [line for line in log.read(1) if line.get("path") == path]

    wait_for(lines, f"the log line of {path}")
    return lines()[0]["flags"]


def outcome(duel, flavour, proxy, vector):
    """What comes of it, as in the table."""
    origin = duel.origins["a"]
    log = duel.logs[flavour]
    duel.forget()
    log.skip()
    with proxy.connect("l", timeout=5) as client:
        origin.next(Raw(vector.data, vector.then))
        path = f"/first-{next(NUMBERS)}"
        client.send(get(path, method=vector.method))
        try:
            response = client.read_response(vector.method)
        except (ConnectionEnded, ProtocolError, TimeoutError) as error:
            return f"no response: {error!r}"
        flags = flags_of(log, path)
        if flags != "-" and response.complete:
            return f"{response.status} {flags}"
        body = response.body
        if not response.complete:
            return f'{response.status} "{body.decode("latin-1")}" cut'
    with proxy.connect("l", timeout=5) as client:
        second = client.exchange(get("/second"))
        assert (second.status, second.body) == (200, b"a"), "the second request was answered by something else"
    first, second = origin.take()
    kept = "keep" if first.connection == second.connection else "close"
    return f'{response.status} "{body.decode("latin-1")}" {kept}'


@pytest.mark.differential
@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v.name)
def test_response_vector(duel, vector):
    for flavour, proxy in duel.each():
        if vector.answer(flavour) is None:
            continue
        wanted = unescape(vector.answer(flavour)).decode("latin-1")
        got = outcome(duel, flavour, proxy, vector)
        # Of a body that is cut off, how much came through is a matter of time.
        if wanted.endswith("cut"):
            assert re.sub('".*"', "", got) == re.sub('".*"', "", wanted), f"{vector.name} on {flavour}\n{vector.data!r}"
        else:
            assert got == wanted, f"{vector.name} ({vector.source}) on {flavour}\n{vector.data!r}"
    assert "poison" not in str([r.target for r in duel.origins["a"].requests])


@pytest.mark.differential
def test_a_broken_connection_is_never_used_again(duel):
    """After each kind of broken response the next request goes out on a new connection, and is answered."""
    for flavour, proxy in duel.each():
        for vector in VECTORS:
            if vector.then == "keep" and not (vector.answer(flavour) or "keep").endswith("keep"):
                duel.forget()
                with proxy.connect("l", timeout=5) as client:
                    duel.origins["a"].next(Raw(vector.data, "keep"))
                    client.send(get("/first", method=vector.method))
                    try:
                        client.read_response(vector.method)
                    except (ConnectionEnded, ProtocolError):
                        pass
                with proxy.connect("l", timeout=5) as client:
                    answer = client.exchange(get("/second"))
                    assert (answer.status, answer.body) == (200, b"a"), f"{vector.name} on {flavour}"
                first, second = duel.origins["a"].take()
                assert first.connection != second.connection, f"{vector.name} on {flavour}"
