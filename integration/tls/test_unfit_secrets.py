"""Secrets that are good in themselves, and no use to a context that names them: refused when they come, in nuncio as in
Envoy, and the ones before serve on."""

import pytest

from harness import config as c
from harness.certs import Authority, inline
from harness.proxy import Proxy
from harness.tls import attempt

ROOT = Authority("root")
SERVER = ROOT.leaf("server", dns=["test.example"])
NEXT = ROOT.leaf("next", dns=["test.example"])
CLIENT = ROOT.leaf("client", dns=["client.example"])
STRANGER = Authority("another root").leaf("client", dns=["client.example"])
NAMES = {"match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "client.example"}}]}
CA = {"name": "ca", "validation_context": {"trusted_ca": inline(ROOT.ca_pem)}}
NO_CA = {"name": "ca", "validation_context": {"verify_certificate_hash": [STRANGER.sha256]}}
ALONE = "SAN-based verification of peer certificates without trusted CA is insecure and not allowed"


def listener(common, **context):
    table = c.routes("r", c.vhost("all", ["*"], c.direct("/", 200, "hello")))
    return c.listener("l", c.chain(c.hcm(table), transport_socket=c.downstream_tls(common=common, **context)))


def source():
    return {"api_config_source": {"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [
        {"envoy_grpc": {"cluster_name": "sds"}}]}, "resource_api_version": "V3"}


def start(flavour, ads, *made, ready=True):
    return Proxy(flavour, c.static_bootstrap(list(made), [c.ads_cluster(ads.port, name="sds")]), ready=ready)


def refused(ads, *secrets):
    """What is said of the new secrets."""
    mark = ads.mark()
    ads.set("sds", *secrets)
    return ads.wait_nack("sds", since=mark)["error"]


def combined(default):
    return {"tls_certificates": [SERVER.tls_certificate()], "combined_validation_context": {
        "default_validation_context": default, "validation_context_sds_secret_config": c.sds("ca", source())}}


def test_names_without_a_ca(flavour, ads):
    ads.set("sds", CA)
    with start(flavour, ads, listener(combined(NAMES), require_client_certificate=True)) as proxy:
        assert attempt(proxy.address("l"), certificate=CLIENT).status == 200
        assert ALONE in refused(ads, NO_CA)
        assert attempt(proxy.address("l"), certificate=CLIENT).status == 200
        assert attempt(proxy.address("l"), certificate=STRANGER).status is None


def test_names_without_a_ca_from_the_start(flavour, ads):
    """Nobody is let in for a name that anybody may put into a certificate."""
    ads.set("sds", NO_CA)
    with start(flavour, ads, listener(combined(NAMES), require_client_certificate=True)) as proxy:
        assert attempt(proxy.address("l"), certificate=STRANGER).status is None
        assert ALONE in next(e["error"] for e in ads.requests("sds") if e.get("error"))


@pytest.mark.parametrize("how, common, said", [
    ({"ocsp_staple_policy": "MUST_STAPLE"}, {}, "Required OCSP response is missing from TLS context"),
    ({}, {"must_staple": True}, "OCSP response is required for must-staple certificate"),
], ids=["policy", "certificate"])
def test_a_staple_is_missing(flavour, ads, how, common, said):
    def secret(issued, **more):
        return {"name": "s", "tls_certificate": issued.tls_certificate(**more)}

    bare = ROOT.leaf("bare", dns=["test.example"], **common)
    ads.set("sds", secret(SERVER, ocsp_staple=inline(ROOT.ocsp(SERVER))))
    with start(flavour, ads, listener({"tls_certificate_sds_secret_configs": [c.sds("s", source())]}, **how)) as proxy:
        assert attempt(proxy.address("l")).served == SERVER.sha256
        assert said in refused(ads, secret(bare))
        assert attempt(proxy.address("l")).served == SERVER.sha256
        mark = ads.mark()
        ads.set("sds", secret(NEXT, ocsp_staple=inline(ROOT.ocsp(NEXT))))
        ads.wait_ack("sds", since=mark)
        assert attempt(proxy.address("l")).served == NEXT.sha256
