"""What the connection manager makes of the host and the path before a route is chosen: ports and dots that are
stripped, slashes, dots and escapes. The origin sees what decided the route, whatever was asked."""

import itertools

import pytest

from harness import config as c
from harness.differential import case, get

HOSTS = ("h", "h.", "h..", "h:80", "h.:80", "h:99", "h:PORT", "h.:PORT", "h:", "h:x", "h:080", "[::1]", "[::1]:80",
         "[::1]:PORT", "h:99999999", "a.b:PORT", "H:PORT")
MODES = {
    "matching": {"strip_matching_host_port": True},
    "any": {"strip_any_host_port": True},
    "dot": {"strip_trailing_host_dot": True},
    "dot-any": {"strip_trailing_host_dot": True, "strip_any_host_port": True},
    "dot-matching": {"strip_trailing_host_dot": True, "strip_matching_host_port": True},
}


def bootstrap(origins, log):
    def tunnel(**more):
        return c.route({"connect_matcher": {}},
                       {"cluster": "a", "upgrade_configs": [{"upgrade_type": "CONNECT"}], **more})

    table = c.routes("r", c.vhost("named", ["h", "a.b"], c.route("/", "a", name="named")),
                     c.vhost("renamed", ["renamed"], tunnel(host_rewrite_literal="other")),
                     c.vhost("all", ["*"], tunnel(), c.route("/", "a", name="other")))
    return c.static_bootstrap(
        [c.listener(name, c.hcm(table, stat_prefix=name, log=log, upgrade_configs=[{"upgrade_type": "CONNECT"}], **more))
         for name, more in MODES.items()],
        [c.cluster("a", origins["a"].port)])


@pytest.mark.differential
@pytest.mark.parametrize("mode,host", list(itertools.product(MODES, HOSTS)))
def test_host(duel, mode, host):
    seen = {}
    for flavour, proxy in duel.each():
        port = str(proxy.listeners()[mode][0][1])  # another one in each proxy
        item = case(f"{mode} {host}", get("/", host=host.replace("PORT", port)), listener=mode)
        outcome = duel.play(flavour, item)
        assert outcome.response.status in (200, 400)
        at = outcome.requests[-1] if outcome.requests else None
        seen[flavour] = (outcome.response.status, at and at.header("host").replace(port, "PORT"),
                         outcome.log[0]["route"], outcome.log[0]["authority"].replace(port, "PORT"))
    assert len(set(seen.values())) == 1, seen


@pytest.mark.differential
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("host", ["x:80", "x.:80", "h:80", "x", "[::1]:9", "renamed:80"])
def test_connect(duel, mode, host):
    data = f"CONNECT {host} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()
    duel.run(case(f"CONNECT {host}", data, method="CONNECT", listener=mode, ignore=("closed",)))
