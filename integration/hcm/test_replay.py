"""A request that meets the end of its kept connection to the upstream: Envoy answers 503 (UC) without a retry policy;
nuncio sends it once more, unless that could do something twice."""

import pytest

from harness import config as c
from harness import upstream as up
from harness.differential import case, get



def bootstrap(origins, log):
    table = c.routes("r", c.vhost("all", ["*"], c.route("/", "a")))
    return c.static_bootstrap([c.listener("l", c.hcm(table, log=log))], [c.cluster("a", origins["a"].port)])


def race(name, data, replayed, **more):
    differs = {"status": 200, "flags": "-", "details": "via_upstream", "requests": 2} if replayed else None
    return case(name, data, action=up.early_close(), status=503, flags="UC", requests=1, differs=differs, **more)


RACES = [
    race("GET", get("/"), True),
    race("HEAD", get("/", method="HEAD"), True),
    race("PUT", get("/", method="PUT", body=b"body"), True, upstream_body=b"body"),
    race("DELETE", get("/", method="DELETE"), True),
    race("POST", get("/", method="POST", body=b"body"), False),
    race("PATCH", get("/", method="PATCH", body=b"body"), False),
]


@pytest.mark.differential
@pytest.mark.parametrize("item", RACES, ids=lambda item: item.name)
def test_kept_connection(duel, item):
    for flavour, _ in duel.each():
        duel.play(flavour, case("before", get("/")))
    duel.origins["a"].wait_open(len(duel.proxies))
    duel.run(item)


@pytest.mark.differential
def test_new_connection(duel):
    duel.origins["a"].drop_connections()
    for flavour, proxy in duel.each():
        proxy.wait_stat("cluster.a.upstream_cx_active", 0)
    duel.run(case("GET", get("/"), action=up.early_close(), status=503, flags="UC", requests=1))
