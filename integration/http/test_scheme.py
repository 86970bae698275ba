"""What :scheme says to an HTTP/2 backend: scheme_header_transformation, compared with Envoy."""

import pytest

from harness import config as c
from harness.alpn_origin import AlpnOrigin, Answer
from harness.certs import self_signed
from harness.client import Client, request
from harness.h2peer import H2Origin
from harness.proxy import Proxy
from harness.tls import context

HTTP2 = {"typed_extension_protocol_options": c.http_options()}
TRANSFORMATIONS = {
    "none": None, "to_https": {"scheme_to_overwrite": "https"}, "to_http": {"scheme_to_overwrite": "http"},
    "match": {"match_upstream": True}, "no_match": {"match_upstream": False},
}
LISTENERS = [(name, trusts) for name in TRANSFORMATIONS for trusts in (True, False)]


def listener(name, trusts):
    table = c.routes("r", c.vhost("all", ["*"], c.route("/tls", "tls"), c.route("/plain", "plain")))
    more = {"scheme_header_transformation": TRANSFORMATIONS[name]} if TRANSFORMATIONS[name] is not None else {}
    return c.listener(f"{name}-{trusts}", c.hcm(table, use_remote_address=not trusts, **more))


@pytest.fixture(scope="module")
def sides(flavours):
    origins = {"tls": AlpnOrigin("tls", context(server=True, certificate=self_signed("a.example"), alpn=["h2"])),
               "plain": H2Origin("plain", Answer("plain"))}
    made = {}
    try:
        for flavour in flavours:
            made[flavour] = Proxy(flavour, c.static_bootstrap(
                [listener(*which) for which in LISTENERS],
                [c.cluster("tls", origins["tls"].port, transport_socket=c.upstream_tls(), **HTTP2),
                 c.cluster("plain", origins["plain"].port, **HTTP2)]))
            made[flavour].start()
        yield made, {"tls": origins["tls"].h2, "plain": origins["plain"]}
    finally:
        for proxy in made.values():
            proxy.stop()
        for origin in origins.values():
            origin.close()


def expected(name, trusts, to, forwarded):
    """(:scheme, x-forwarded-proto)"""
    proto = forwarded if trusts and forwarded else "http"
    if name.startswith("to_"):
        return name[3:], name[3:]
    if name == "match":
        return ("https" if to == "tls" else "http"), proto
    return proto, proto


@pytest.mark.differential
@pytest.mark.parametrize("to", ["tls", "plain"])
@pytest.mark.parametrize("forwarded", [None, "http", "https"])
@pytest.mark.parametrize("name,trusts", LISTENERS)
def test_scheme(sides, name, trusts, forwarded, to):
    proxies, origins = sides
    for flavour, proxy in proxies.items():
        origins[to].forget()
        with Client(proxy.address(f"{name}-{trusts}")) as client:
            got = client.exchange(request("GET", f"/{to}", "a.example",
                                          [("x-forwarded-proto", forwarded)] if forwarded else []))
        seen, = origins[to].take()
        assert got.status == 200
        assert (seen.pseudo[":scheme"], seen.header("x-forwarded-proto")) == expected(name, trusts, to, forwarded), flavour
