"""The router with plain requests: what goes upstream and what comes back."""

import pytest

from harness import config as c
from harness.differential import case, get, post
from harness.upstream import Reply


def bootstrap(origins, log):
    hosts = c.routes("r", c.vhost("all", ["*"], c.route("/", "a")))
    return c.static_bootstrap([c.listener("l", c.hcm(hosts, log=log))], [c.cluster("a", origins["a"].port)])


CASES = [
    case("get", "/x?y=1", status=200, body=b"a", origin="a", target="/x?y=1", flags="-", details="via_upstream"),
    case("head", get("/x", method="HEAD"), status=200, body=b"", upstream_method="HEAD"),
    case("post", post("/p", b"hello"), status=200, body=b"a", upstream_body=b"hello"),
    case("no content", "/", action=Reply(204), status=204),
    case("not modified", "/", action=Reply(304, {"etag": '"1"'}), status=304, headers={"etag": '"1"'}),
    case("chunked answer", "/", action=Reply(chunks=[b"one", b"two"]), status=200, body=b"onetwo"),
]


@pytest.mark.differential
@pytest.mark.parametrize("item", CASES, ids=lambda item: item.name)
def test_router(duel, item):
    duel.run(item)
