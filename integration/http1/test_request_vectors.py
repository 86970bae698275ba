"""Every vector of corpus/http1/requests.tsv through the proxies: what the client is told, and what the origin saw.

A connection that must still be good is asked for one request more, so that a byte too many or too few is noticed.
"""

import pytest

from harness import config as c
from harness.client import ConnectionEnded
from harness.differential import get
from harness.h1_vectors import load, steps


def bootstrap(origins, log):
    table = c.routes("r", c.vhost("all", ["*"], c.route("/", "a")))
    return c.static_bootstrap([c.listener("l", c.hcm(table, delayed_close_timeout="0.02s", log=log))],
                              [c.cluster("a", origins["a"].port)])


VECTORS = load("requests.tsv")


def exchange(proxy, vector, wanted):
    """Plays one vector. Returns the problems."""
    problems = []
    with proxy.connect("l", timeout=5) as client:
        client.send(vector.data)
        for step in wanted:
            if step.kind == "wait":
                if not client.is_silent(0.05):
                    problems.append(f"answered: {client.pending[:80]!r}")
                return problems
            if step.kind in ("request", "status"):
                method = step.request[0] if step.request else "GET"
                try:
                    status = client.read_response(method).status
                except (ConnectionEnded, TimeoutError) as error:
                    return [*problems, f"{step}: {error!r}"]
                if status != step.status:
                    problems.append(f"{step}: got {status}")
            if (step.ends or step.kind == "close") and not client.is_closed(3.0):
                problems.append(f"{step}: not closed, but {client.pending[:80]!r}")
        if all(step.kind == "request" for step in wanted) and not problems:
            try:
                client.send(get("/sentinel"))
                if client.read_response().status != 200:
                    problems.append("the connection is of no use any more")
            except (ConnectionEnded, ConnectionError, TimeoutError) as error:
                problems.append(f"the connection is of no use any more: {error!r}")
    return problems


@pytest.mark.differential
@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v.name)
def test_request_vector(duel, vector):
    origin = duel.origins["a"]
    for flavour, proxy in duel.each():
        duel.forget()
        wanted = steps(vector.answer(flavour))
        problems = exchange(proxy, vector, wanted)
        seen = [(r.method, r.target, r.body) for r in origin.take() if r.complete and r.target != "/sentinel"]
        wanted_requests = [step.request for step in wanted if step.kind == "request"]
        if seen != wanted_requests:
            problems.append(f"the origin saw {seen}, not {wanted_requests}")
        if origin.malformed:
            problems.append(f"malformed at the origin: {origin.malformed}")
        assert not problems, f"{vector.name} ({vector.source}) on {flavour}: {problems}\n{vector.data!r}"


def test_table_is_complete():
    """The cases that llhttp and the HTTP Garden publish are here by their kinds."""
    assert len(VECTORS) >= 300
    assert len({v.name for v in VECTORS}) == len(VECTORS)
    sources = {v.source for v in VECTORS}
    assert {f"llhttp {name}" for name in ("connection", "content-length", "finish", "invalid", "method", "pipelining", "sample",
                                          "transfer-encoding", "uri", "url")} <= sources
