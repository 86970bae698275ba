"""TLS configurations, good and bad, through `--mode validate` of Envoy and nuncio: one verdict, and where Envoy refuses
in words of its own (not those of its field rules) the same words."""

import copy
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from corpus_report import cases, corpus_dir
from harness import config as c
from harness.certs import Authority, inline, self_signed
from harness.proxy import validate

T = "type.googleapis.com/envoy.extensions.transport_sockets."
DOWN = T + "tls.v3.DownstreamTlsContext"
UP = T + "tls.v3.UpstreamTlsContext"
SPIFFE = T + "tls.v3.SPIFFECertValidatorConfig"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

ROOT = Authority("root")
OTHER = Authority("other root")
ISSUING = ROOT.authority("issuing")
LEAF = ISSUING.leaf("leaf", dns=["a.example"])
SECOND = ISSUING.leaf("second", dns=["b.example"])
RSA = ISSUING.leaf("rsa", key="rsa2048")
MUST_STAPLE = ISSUING.leaf("must staple", must_staple=True)
CA = {"trusted_ca": inline(ROOT.ca_pem)}
GOOD = LEAF.tls_certificate()
NO_FILE = {"filename": "/nonexistent/file"}
KEY = "a" * 80  # for session tickets

# nuncio refuses what Envoy accepts (README, "Differs from Envoy").
UNSUPPORTED = {
    "parameters of one certificate", "SPIFFE validator of another type", "SPIFFE workload domain", "secret of several values",
    "secret bad", "secret CA bad", "secret ticket keys short, unused",  # Envoy looks at them when they are used
}
# Both refuse, in words of their own.
OTHER_WORDS = {"private key provider that falls back", "session timeout negative", "key log bad range",
               "sni with a zero byte", "PKCS#12 no file", "SPIFFE bundles in a file"}
# Envoy ends with an abort.
ABORTS = {"client ALPN empty name"}


def listener(context, **chain):
    """A bootstrap whose listener has this DownstreamTlsContext."""
    made = c.listener("l", c.hcm(c.routes("r")))
    made["filter_chains"][0].update(
        transport_socket={"name": "tls", "typed_config": {"@type": DOWN, **context}}, **chain)
    return {"listeners": [made]}


def server(*certificates, **common):
    """The same, by its certificates and the rest of its CommonTlsContext."""
    return listener({"common_tls_context": {"tls_certificates": list(certificates), **common}})


def server_with(**context):
    return listener({"common_tls_context": {"tls_certificates": [GOOD]}, **context})


def params(**tls_params):
    return server(GOOD, tls_params=tls_params)


def peers(**validation):
    return server(GOOD, validation_context=validation)


def cluster(**fields):
    return {"clusters": [{"name": "k", "type": "STATIC", **fields}]}


def client(**context):
    return cluster(transport_socket={"name": "tls", "typed_config": {"@type": UP, **context}})


def common(**fields):
    return client(common_tls_context=fields)


def secrets(*made, **rest):
    return {"secrets": list(made), **rest}


def by_sds(name="s", **source):
    return {"name": name, **({"sds_config": source} if source else {})}


def spiffe(**fields):
    return {"custom_validator_config": {"name": "envoy.tls.cert_validator.spiffe",
                                        "typed_config": {"@type": SPIFFE, **fields}}}


BUNDLE = {"name": "example.com", "trust_bundle": inline(ROOT.ca_pem)}


def san(kind="DNS", text="a.example", **more):
    return {"san_type": kind, "matcher": {"exact": text}, **more}


def certificate_cases():
    yield "certificate", server(GOOD)
    yield "no common context", listener({})
    yield "no certificate", server()
    yield "empty certificate", server({})
    yield "chain only", server({"certificate_chain": inline(LEAF.pem)})
    yield "key only", server({"private_key": inline(LEAF.key_pem)})
    yield "another's key", server({"certificate_chain": inline(LEAF.pem), "private_key": inline(SECOND.key_pem)})
    yield "RSA chain with EC key", server({"certificate_chain": inline(RSA.pem), "private_key": inline(LEAF.key_pem)})
    yield "chain is no PEM", server({"certificate_chain": inline("nothing"), "private_key": inline(LEAF.key_pem)})
    yield "key is no PEM", server({"certificate_chain": inline(LEAF.pem), "private_key": inline("nothing")})
    yield "chain is a key", server({"certificate_chain": inline(LEAF.key_pem), "private_key": inline(LEAF.key_pem)})
    yield "junk behind the chain", server(
        {"certificate_chain": inline(LEAF.pem + "junk\n"), "private_key": inline(LEAF.key_pem)})
    yield "half a certificate behind the chain", server(
        {"certificate_chain": inline(LEAF.pem + "-----BEGIN CERTIFICATE-----\nAAAA\n"),
         "private_key": inline(LEAF.key_pem)})
    yield "chain in bytes", server(
        {"certificate_chain": inline(LEAF.pem.encode()), "private_key": inline(LEAF.key_pem.encode())})
    yield "empty inline chain", server({"certificate_chain": inline(""), "private_key": inline(LEAF.key_pem)})
    yield "data source says nothing", server({"certificate_chain": {}, "private_key": inline(LEAF.key_pem)})
    yield "no such file", server({"certificate_chain": {"filename": "/nonexistent/chain.pem"},
                                  "private_key": inline(LEAF.key_pem)})
    yield "file is a directory", server({"certificate_chain": {"filename": "/tmp"}, "private_key": inline(LEAF.key_pem)})
    yield "empty file", server({"certificate_chain": {"filename": "/dev/null"}, "private_key": inline(LEAF.key_pem)})
    yield "empty file name", server({"certificate_chain": {"filename": ""}, "private_key": inline(LEAF.key_pem)})
    yield "no such variable", server({"certificate_chain": {"environment_variable": "NUNCIO_NOT_THERE"},
                                      "private_key": inline(LEAF.key_pem)})
    yield "expired", server(ISSUING.expired().tls_certificate())
    yield "not yet valid", server(ISSUING.not_yet().tls_certificate())
    yield "self-signed", server(self_signed().tls_certificate())
    yield "P-384", server(ISSUING.leaf(key="p384").tls_certificate())
    yield "P-521", server(ISSUING.leaf(key="p521").tls_certificate())
    yield "Ed25519", server(ISSUING.leaf(key="ed25519").tls_certificate())
    yield "RSA 1024", server(ISSUING.leaf(key="rsa1024").tls_certificate())
    yield "RSA 2048", server(RSA.tls_certificate())
    yield "two of one kind", server(GOOD, SECOND.tls_certificate())
    yield "same twice", server(GOOD, GOOD)
    yield "EC and RSA", server(GOOD, RSA.tls_certificate())
    yield "eleven", server(*[GOOD] * 11)
    yield "encrypted key", server({"certificate_chain": inline(LEAF.pem), "password": inline("secret"),
                                   "private_key": inline(LEAF.encrypted_key_pem("secret"))})
    yield "wrong password", server({"certificate_chain": inline(LEAF.pem), "password": inline("other"),
                                    "private_key": inline(LEAF.encrypted_key_pem("secret"))})
    yield "no password", server({"certificate_chain": inline(LEAF.pem),
                                 "private_key": inline(LEAF.encrypted_key_pem("secret"))})
    yield "PKCS#12", server({"pkcs12": inline(LEAF.pkcs12())})
    yield "PKCS#12 with password", server({"pkcs12": inline(LEAF.pkcs12("pw")), "password": inline("pw")})
    yield "PKCS#12 wrong password", server({"pkcs12": inline(LEAF.pkcs12("pw")), "password": inline("x")})
    yield "PKCS#12 and chain", server({"pkcs12": inline(LEAF.pkcs12()), "certificate_chain": inline(LEAF.pem)})
    yield "PKCS#12 and key", server({"pkcs12": inline(LEAF.pkcs12()), "private_key": inline(LEAF.key_pem)})
    yield "PKCS#12 is none", server({"pkcs12": inline(b"nothing")})
    yield "PKCS#12 no file", server({"pkcs12": NO_FILE})
    yield "PKCS#12 empty", server({"pkcs12": inline("")})
    yield "no key file", server({"certificate_chain": inline(LEAF.pem), "private_key": NO_FILE})
    yield "no password file", server({**GOOD, "password": NO_FILE})
    yield "password says nothing", server({**GOOD, "password": {}})
    yield "no staple file", server({**GOOD, "ocsp_staple": NO_FILE})
    yield "no staple variable", server({**GOOD, "ocsp_staple": {"environment_variable": "NUNCIO_NOT_THERE"}})
    yield "staple without certificate", server({"ocsp_staple": inline(b"x")})
    yield "two, one says nothing", server(GOOD, {})
    yield "parameters of one certificate", server({**GOOD, "tls_params": {}})
    yield "watched directory", server({**GOOD, "watched_directory": {"path": "/tmp"}})
    yield "watched directory without path", server({**GOOD, "watched_directory": {}})
    yield "watched directory that is not there", server({**GOOD, "watched_directory": {"path": "/nonexistent"}})
    yield "signed certificate timestamp", server({**GOOD, "signed_certificate_timestamp": [inline(b"x")]})
    yield "private key provider", server({"certificate_chain": inline(LEAF.pem),
                                          "private_key_provider": {"provider_name": "test"}})
    yield "private key provider without name", server({"certificate_chain": inline(LEAF.pem), "private_key_provider": {}})
    yield "private key and provider", server({**GOOD, "private_key_provider": {"provider_name": "test"}})
    yield "private key provider that falls back", server(
        {**GOOD, "private_key_provider": {"provider_name": "test", "fallback": True}})
    yield "must staple without staple", server(MUST_STAPLE.tls_certificate())
    yield "staple", server(LEAF.tls_certificate(ocsp_staple=inline(ISSUING.ocsp(LEAF))))
    yield "staple of another", server(LEAF.tls_certificate(ocsp_staple=inline(ISSUING.ocsp(SECOND))))
    yield "staple that is old", server(LEAF.tls_certificate(ocsp_staple=inline(ISSUING.ocsp(LEAF, days=(-9, -2)))))
    yield "staple that revokes", server(LEAF.tls_certificate(ocsp_staple=inline(ISSUING.ocsp(LEAF, "revoked"))))
    yield "staple is none", server(LEAF.tls_certificate(ocsp_staple=inline(b"nothing")))
    yield "staple in a string", server(LEAF.tls_certificate(ocsp_staple=inline("text")))
    yield "staple in an empty string", server(LEAF.tls_certificate(ocsp_staple={"inline_string": ""}))
    yield "empty staple", server(LEAF.tls_certificate(ocsp_staple=inline(b"")))


def parameter_cases():
    yield "versions", params(tls_minimum_protocol_version="TLSv1_0", tls_maximum_protocol_version="TLSv1_3")
    yield "version auto", params(tls_minimum_protocol_version="TLS_AUTO", tls_maximum_protocol_version="TLS_AUTO")
    yield "version minimum above maximum", params(
        tls_minimum_protocol_version="TLSv1_3", tls_maximum_protocol_version="TLSv1_2")
    yield "version maximum below the default minimum", params(tls_maximum_protocol_version="TLSv1_1")
    yield "version 9", params(tls_minimum_protocol_version=9)
    yield "client minimum 1.3", common(tls_params={"tls_minimum_protocol_version": "TLSv1_3"})
    yield "client maximum 1.3", common(tls_params={"tls_maximum_protocol_version": "TLSv1_3"})
    yield "client maximum 1.0", common(tls_params={"tls_maximum_protocol_version": "TLSv1_0"})
    yield "ciphers", params(cipher_suites=["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"])
    yield "cipher group", params(cipher_suites=["[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]"])
    yield "cipher CBC", params(cipher_suites=["ECDHE-RSA-AES128-SHA"])
    yield "cipher without forward secrecy", params(cipher_suites=["AES128-GCM-SHA256"])
    yield "cipher 3DES", params(cipher_suites=["DES-CBC3-SHA"])
    yield "cipher unknown", params(cipher_suites=["BOGUS"])
    yield "cipher unknown among known", params(
        cipher_suites=["ECDHE-ECDSA-AES128-GCM-SHA256", "BOGUS", "[ECDHE-RSA-AES128-GCM-SHA256|WRONG]", "-AES128-SHA"])
    yield "cipher of TLS 1.3", params(cipher_suites=["TLS_AES_128_GCM_SHA256"])
    yield "cipher empty", params(cipher_suites=[""])
    yield "cipher !RC4", params(cipher_suites=["ALL", "!RC4"])
    yield "curves", params(ecdh_curves=["X25519", "P-256", "P-384", "P-521"])
    yield "curve X25519MLKEM768", params(ecdh_curves=["X25519MLKEM768", "X25519"])
    yield "curve unknown", params(ecdh_curves=["X25519", "P-999"])
    yield "curve empty", params(ecdh_curves=[""])
    yield "curve twice", params(ecdh_curves=["P-256", "P-256"])
    yield "curve P-224", params(ecdh_curves=["P-224"])
    yield "curve by its other name", params(ecdh_curves=["prime256v1"])
    yield "signature algorithms", params(signature_algorithms=["rsa_pss_rsae_sha256", "ecdsa_secp256r1_sha256"])
    yield "signature algorithm unknown", params(signature_algorithms=["rsa_pss_rsae_sha256", "md5"])
    yield "signature algorithm in OpenSSL's spelling", params(signature_algorithms=["ECDSA+SHA256", "RSA+SHA256"])
    yield "signature algorithm twice", params(signature_algorithms=["rsa_pss_rsae_sha256", "rsa_pss_rsae_sha256"])
    yield "client signature algorithms", common(tls_params={"signature_algorithms": ["ecdsa_secp256r1_sha256"]})
    yield "FIPS", params(compliance_policies=["FIPS_202205"])
    yield "CNSA 1", params(compliance_policies=["CNSA1_202603"])
    yield "CNSA 2", params(compliance_policies=["CNSA2_202603"])
    yield "FIPS for a client", common(tls_params={"compliance_policies": ["FIPS_202205"]})
    yield "FIPS with other ciphers", params(compliance_policies=["FIPS_202205"],
                                            cipher_suites=["ECDHE-ECDSA-CHACHA20-POLY1305"])
    yield "FIPS twice", params(compliance_policies=["FIPS_202205", "FIPS_202205"])
    yield "compliance unknown", params(compliance_policies=[7])
    yield "ALPN", server(GOOD, alpn_protocols=["h2", "http/1.1"])
    yield "ALPN with commas", server(GOOD, alpn_protocols=["h2,http/1.1"])
    yield "ALPN empty name", server(GOOD, alpn_protocols=["h2", ""])
    yield "ALPN only an empty name", server(GOOD, alpn_protocols=[""])
    yield "ALPN 255", server(GOOD, alpn_protocols=["a" * 255])
    yield "ALPN 256", server(GOOD, alpn_protocols=["a" * 256])
    yield "ALPN twice", server(GOOD, alpn_protocols=["h2", "h2"])
    yield "ALPN more than 65535", server(GOOD, alpn_protocols=["a" * 250] * 300)
    yield "client ALPN only an empty name", common(alpn_protocols=[""])
    yield "client ALPN 256", common(alpn_protocols=["a" * 256])
    yield "client ALPN empty name", common(alpn_protocols=["h2", ""])


def context_cases():
    yield "client certificate required without CA", server_with(require_client_certificate=True)
    yield "client certificate required", listener(
        {"require_client_certificate": True,
         "common_tls_context": {"tls_certificates": [GOOD], "validation_context": CA}})
    yield "require_sni", server_with(require_sni=True)
    yield "require_sni false", server_with(require_sni=False)
    yield "ticket keys", server_with(session_ticket_keys={"keys": [inline(KEY), inline("b" * 80)]})
    yield "ticket keys none", server_with(session_ticket_keys={})
    yield "ticket key of 79", server_with(session_ticket_keys={"keys": [inline("a" * 79)]})
    yield "ticket key of 48", server_with(session_ticket_keys={"keys": [inline(KEY), inline("a" * 48)]})
    yield "ticket key empty", server_with(session_ticket_keys={"keys": [inline("")]})
    yield "ticket key no source", server_with(session_ticket_keys={"keys": [{}]})
    yield "ticket key no file", server_with(session_ticket_keys={"keys": [{"filename": "/nonexistent/key"}]})
    yield "ticket key no variable", server_with(
        session_ticket_keys={"keys": [{"environment_variable": "NUNCIO_NOT_THERE"}]})
    yield "ticket key is a directory", server_with(session_ticket_keys={"keys": [{"filename": "/tmp"}]})
    yield "no tickets", server_with(disable_stateless_session_resumption=True)
    yield "no resumption", server_with(disable_stateless_session_resumption=True,
                                       disable_stateful_session_resumption=True)
    yield "session timeout", server_with(session_timeout="3600s")
    yield "session timeout 0", server_with(session_timeout="0s")
    yield "session timeout of a part of a second", server_with(session_timeout="0.5s")
    yield "session timeout negative", server_with(session_timeout="-1s")
    yield "session timeout 4294967295s", server_with(session_timeout="4294967295s")
    yield "session timeout 4294967296s", server_with(session_timeout="4294967296s")
    yield "OCSP strict", server_with(ocsp_staple_policy="STRICT_STAPLING")
    yield "OCSP must staple, no staple", server_with(ocsp_staple_policy="MUST_STAPLE")
    yield "OCSP must staple, staple", listener(
        {"ocsp_staple_policy": "MUST_STAPLE", "common_tls_context": {
            "tls_certificates": [LEAF.tls_certificate(ocsp_staple=inline(ISSUING.ocsp(LEAF)))]}})
    yield "OCSP must staple, old staple", listener(
        {"ocsp_staple_policy": "MUST_STAPLE", "common_tls_context": {
            "tls_certificates": [LEAF.tls_certificate(ocsp_staple=inline(ISSUING.ocsp(LEAF, days=(-9, -2))))]}})
    yield "OCSP policy 5", server_with(ocsp_staple_policy=5)
    yield "full scan", server_with(full_scan_certs_on_sni_mismatch=True)
    yield "client's ciphers preferred", server_with(prefer_client_ciphers=True)
    yield "unknown field", server_with(no_such_field=True)
    yield "key log", server(GOOD, key_log={"path": "/tmp/nuncio-tls-verdicts.keys"})
    yield "key log without path", server(GOOD, key_log={})
    yield "key log in no directory", server(GOOD, key_log={"path": "/nonexistent/keys"})
    yield "key log ranges", server(GOOD, key_log={
        "path": "/tmp/nuncio-tls-verdicts.keys", "local_address_range": [{"address_prefix": "10.0.0.0", "prefix_len": 8}],
        "remote_address_range": [{"address_prefix": "::1", "prefix_len": 128}]})
    yield "key log bad range", server(GOOD, key_log={
        "path": "/tmp/nuncio-tls-verdicts.keys", "local_address_range": [{"address_prefix": "nowhere"}]})
    yield "custom handshaker", server(GOOD, custom_handshaker={
        "name": "h", "typed_config": {"@type": "type.googleapis.com/google.protobuf.Struct"}})
    yield "custom handshaker without type", server(GOOD, custom_handshaker={"name": "h"})
    yield "custom selector", server(GOOD, custom_tls_certificate_selector={
        "name": "s", "typed_config": {"@type": "type.googleapis.com/google.protobuf.Struct"}})
    yield "certificate provider", server(tls_certificate_provider_instance={"instance_name": "p"})
    yield "certificate provider and certificate", server(GOOD, tls_certificate_provider_instance={"instance_name": "p"})
    yield "connect timeout", listener({"common_tls_context": {"tls_certificates": [GOOD]}},
                                      transport_socket_connect_timeout="1s")


def validation_cases():
    yield "CA", peers(**CA)
    yield "validation context empty", peers()
    yield "CA is no PEM", peers(trusted_ca=inline("nothing"))
    yield "CA empty", peers(trusted_ca=inline(""))
    yield "CA no source", peers(trusted_ca={})
    yield "CA no file", peers(trusted_ca={"filename": "/nonexistent/ca.pem"})
    yield "CA empty file", peers(trusted_ca={"filename": "/dev/null"})
    yield "CA is a directory", peers(trusted_ca={"filename": "/tmp"})
    yield "CA no variable", peers(trusted_ca={"environment_variable": "NUNCIO_NOT_THERE"})
    yield "CA variable without name", peers(trusted_ca={"environment_variable": ""})
    yield "CA several", peers(trusted_ca=inline(ROOT.ca_pem + OTHER.ca_pem))
    yield "CA twice", peers(trusted_ca=inline(ROOT.ca_pem + ROOT.ca_pem))
    yield "CA and junk", peers(trusted_ca=inline(ROOT.ca_pem + "junk"))
    yield "CA and half of another", peers(
        trusted_ca=inline(ROOT.ca_pem + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
    yield "CA is a leaf", peers(trusted_ca=inline(LEAF.leaf_pem))
    yield "CA expired", peers(trusted_ca=inline(Authority("old", days=(-90, -30)).ca_pem))
    yield "CA with CRL in one", peers(trusted_ca=inline(ROOT.ca_pem + ROOT.crl()))
    yield "CA is a CRL", peers(trusted_ca=inline(ROOT.crl()))
    yield "CA is a key", peers(trusted_ca=inline(ROOT.key_pem))
    yield "CA watched", peers(**CA, watched_directory={"path": "/tmp"})
    yield "CRL", peers(**CA, crl=inline(ROOT.crl()))
    yield "CRL without CA", peers(crl=inline(ROOT.crl()))
    yield "CRL is none", peers(**CA, crl=inline("nothing"))
    yield "CRL empty", peers(**CA, crl=inline(""))
    yield "CRL is a certificate", peers(**CA, crl=inline(ROOT.ca_pem))
    yield "CRL no file", peers(**CA, crl={"filename": "/nonexistent/crl.pem"})
    yield "CRL is a directory", peers(**CA, crl={"filename": "/tmp"})
    yield "CRL says nothing", peers(**CA, crl={})
    yield "CRL leaf only", peers(**CA, crl=inline(ROOT.crl()), only_verify_leaf_cert_crl=True)
    yield "CRL leaf only without CRL", peers(**CA, only_verify_leaf_cert_crl=True)
    yield "expired allowed", peers(**CA, allow_expired_certificate=True)
    yield "expired allowed without CA", peers(allow_expired_certificate=True)
    yield "untrusted accepted", peers(**CA, trust_chain_verification="ACCEPT_UNTRUSTED")
    yield "untrusted accepted without CA", peers(trust_chain_verification="ACCEPT_UNTRUSTED")
    yield "chain verification 7", peers(**CA, trust_chain_verification=7)
    yield "depth", peers(**CA, max_verify_depth=100)
    yield "depth 0", peers(**CA, max_verify_depth=0)
    yield "depth 101", peers(**CA, max_verify_depth=101)
    yield "hash", peers(verify_certificate_hash=[LEAF.sha256])
    yield "hash with colons", peers(verify_certificate_hash=[
        ":".join(LEAF.sha256[i:i + 2] for i in range(0, 64, 2)).upper()])
    yield "hash short", peers(verify_certificate_hash=["ab" * 31])
    yield "hash long", peers(verify_certificate_hash=["ab" * 33])
    yield "hash no hexadecimal", peers(verify_certificate_hash=["g" * 64])
    yield "hash 95 without colons", peers(verify_certificate_hash=["a" * 95])
    yield "hash half colons", peers(verify_certificate_hash=["ab:" + "ab" * 31])
    yield "hash with colons behind it", peers(verify_certificate_hash=["ab" * 32 + ":" * 31])
    yield "hash empty", peers(verify_certificate_hash=[""])
    yield "SPKI", peers(verify_certificate_spki=[LEAF.spki])
    yield "SPKI short", peers(verify_certificate_spki=["AAAA"])
    yield "SPKI no base64", peers(verify_certificate_spki=["*" * 44])
    yield "SPKI in hexadecimal", peers(verify_certificate_spki=["a" * 64])
    yield "SPKI 44 that is not 32 bytes", peers(verify_certificate_spki=["A" * 44])
    yield "SAN typed", peers(**CA, match_typed_subject_alt_names=[san(), san("URI", "spiffe://x"), san("EMAIL", "a@b"),
                                                                 san("IP_ADDRESS", "10.0.0.1")])
    yield "SAN typed without CA", peers(match_typed_subject_alt_names=[san()])
    yield "SAN type unset", peers(**CA, match_typed_subject_alt_names=[{"matcher": {"exact": "x"}}])
    yield "SAN type 9", peers(**CA, match_typed_subject_alt_names=[san(9)])
    yield "SAN without matcher", peers(**CA, match_typed_subject_alt_names=[{"san_type": "DNS"}])
    yield "SAN matcher says nothing", peers(**CA, match_typed_subject_alt_names=[{"san_type": "DNS", "matcher": {}}])
    yield "SAN regex bad", peers(**CA, match_typed_subject_alt_names=[
        {"san_type": "DNS", "matcher": {"safe_regex": {"regex": "("}}}])
    yield "SAN prefix empty", peers(**CA, match_typed_subject_alt_names=[{"san_type": "DNS", "matcher": {"prefix": ""}}])
    yield "SAN DNS wildcard", peers(**CA, match_typed_subject_alt_names=[san("DNS", "*.example")])
    yield "SAN IP nonsense", peers(**CA, match_typed_subject_alt_names=[san("IP_ADDRESS", "nowhere")])
    yield "SAN other name", peers(**CA, match_typed_subject_alt_names=[san("OTHER_NAME", "x", oid="1.3.6.1.4.1.311.20.2.3")])
    yield "SAN other name by short name", peers(**CA, match_typed_subject_alt_names=[san("OTHER_NAME", "x", oid="CN")])
    yield "SAN other name without OID", peers(**CA, match_typed_subject_alt_names=[san("OTHER_NAME", "x")])
    yield "SAN other name, bad OID", peers(**CA, match_typed_subject_alt_names=[san("OTHER_NAME", "x", oid="9.99.x")])
    yield "SAN legacy", peers(**CA, match_subject_alt_names=[{"exact": "a.example"}])
    yield "SAN legacy without CA", peers(match_subject_alt_names=[{"exact": "a.example"}])
    yield "SAN legacy says nothing", peers(**CA, match_subject_alt_names=[{}])
    yield "SAN legacy and typed", peers(**CA, match_typed_subject_alt_names=[san()], match_subject_alt_names=[{"exact": "a"}])
    yield "certificate transparency", peers(**CA, require_signed_certificate_timestamp=True)
    yield "system roots", peers(system_root_certs={})
    yield "system roots and CA", peers(**CA, system_root_certs={})
    yield "system roots with SAN", common(validation_context={
        "system_root_certs": {}, "match_typed_subject_alt_names": [san()]})
    yield "CA provider", peers(ca_certificate_provider_instance={"instance_name": "p"})
    yield "CA list suppressed", peers(**CA, suppress_client_ca_list=True)
    yield "client CA", common(validation_context=CA)
    yield "client SAN without CA", common(validation_context={"match_typed_subject_alt_names": [san()]})
    yield "SPIFFE", peers(**spiffe(trust_domains=[{"name": "example.com", "trust_bundle": inline(ROOT.ca_pem)}]))
    yield "SPIFFE without domains", peers(**spiffe())
    yield "SPIFFE domain without name", peers(**spiffe(trust_domains=[{"trust_bundle": inline(ROOT.ca_pem)}]))
    yield "SPIFFE domain without bundle", peers(**spiffe(trust_domains=[{"name": "example.com"}]))
    yield "SPIFFE empty bundle", peers(**spiffe(trust_domains=[{"name": "example.com", "trust_bundle": {}}]))
    yield "SPIFFE bundle no PEM", peers(**spiffe(trust_domains=[{"name": "e", "trust_bundle": inline("nothing")}]))
    yield "SPIFFE bundle of several", peers(
        **spiffe(trust_domains=[{"name": "e", "trust_bundle": inline(ROOT.ca_pem + OTHER.ca_pem)}]))
    yield "SPIFFE bundle no file", peers(**spiffe(trust_domains=[{"name": "e", "trust_bundle": {"filename": "/nonexistent/b"}}]))
    yield "SPIFFE domain twice", peers(**spiffe(trust_domains=[
        {"name": "e", "trust_bundle": inline(ROOT.ca_pem)}, {"name": "e", "trust_bundle": inline(OTHER.ca_pem)}]))
    yield "SPIFFE with SAN", peers(**spiffe(trust_domains=[{"name": "e", "trust_bundle": inline(ROOT.ca_pem)}]),
                                   match_typed_subject_alt_names=[san("URI", "spiffe://e/x")])
    yield "SPIFFE with CA", peers(**CA, **spiffe(trust_domains=[{"name": "e", "trust_bundle": inline(ROOT.ca_pem)}]))
    yield "SPIFFE expired allowed", peers(allow_expired_certificate=True, **spiffe(
        trust_domains=[{"name": "e", "trust_bundle": inline(ROOT.ca_pem)}]))
    yield "SPIFFE with a CA that is none", peers(trusted_ca=inline("nothing"), **spiffe(trust_domains=[BUNDLE]))
    yield "SPIFFE with a CRL that is none", peers(crl=inline("nothing"), **spiffe(trust_domains=[BUNDLE]))
    yield "SPIFFE with SAN, without domains", peers(match_typed_subject_alt_names=[san()], **spiffe())
    yield "SPIFFE for SNI", client(auto_sni_san_validation=True, common_tls_context={
        "validation_context": spiffe(trust_domains=[BUNDLE])})
    yield "SPIFFE bundles in a file", peers(**spiffe(trust_bundles=inline(json.dumps({"trust_domains": {}}))))
    yield "SPIFFE workload domain", peers(**spiffe(trust_domains=[{**BUNDLE, "workload_trust_domain": "b"}]))
    yield "SPIFFE in a TypedStruct", peers(custom_validator_config={
        "name": "envoy.tls.cert_validator.spiffe", "typed_config": {
            "@type": "type.googleapis.com/xds.type.v3.TypedStruct", "type_url": SPIFFE,
            "value": {"trust_domains": [BUNDLE]}}})
    yield "SPIFFE validator of another type", peers(custom_validator_config={
        "name": "envoy.tls.cert_validator.spiffe",
        "typed_config": {"@type": "type.googleapis.com/google.protobuf.Struct"}})
    yield "default validator", peers(**CA, custom_validator_config={
        "name": "envoy.tls.cert_validator.default",
        "typed_config": {"@type": "type.googleapis.com/google.protobuf.Struct"}})
    yield "validator unknown", peers(custom_validator_config={
        "name": "mine", "typed_config": {"@type": "type.googleapis.com/google.protobuf.Struct"}})
    yield "validator without type", peers(custom_validator_config={"name": "envoy.tls.cert_validator.spiffe"})
    yield "validator of another name", peers(custom_validator_config={
        "name": "mine", "typed_config": {"@type": SPIFFE, "trust_domains": [
            {"name": "e", "trust_bundle": inline(ROOT.ca_pem)}]}})


def client_cases():
    yield "client empty", client()
    yield "client certificate", common(tls_certificates=[GOOD])
    yield "client certificate empty", common(tls_certificates=[{}])
    yield "client two certificates", common(tls_certificates=[GOOD, RSA.tls_certificate()])
    yield "client chain without key", common(tls_certificates=[{"certificate_chain": inline(LEAF.pem)}])
    yield "sni", client(sni="a.example")
    yield "sni 255", client(sni="a" * 255)
    yield "sni 256", client(sni="a" * 256)
    yield "sni star", client(sni="*.example")
    yield "sni IP", client(sni="127.0.0.1")
    yield "sni with a zero byte", client(sni="a\0b")
    yield "renegotiation", client(allow_renegotiation=True)
    yield "session keys", client(max_session_keys=0)
    yield "session keys many", client(max_session_keys=4294967295)
    yield "RSA key usage on", client(enforce_rsa_key_usage=True)
    yield "RSA key usage off", client(enforce_rsa_key_usage=False)
    yield "auto_host_sni", client(auto_host_sni=True)
    yield "auto_host_sni and sni", client(auto_host_sni=True, sni="a.example")
    yield "auto_sni_san_validation", client(auto_sni_san_validation=True, common_tls_context={"validation_context": CA})
    yield "auto_sni_san_validation without CA", client(auto_sni_san_validation=True)
    yield "auto_sni_san_validation, empty validation", client(
        auto_sni_san_validation=True, common_tls_context={"validation_context": {}})
    yield "auto_sni_san_validation, anybody accepted", client(auto_sni_san_validation=True, common_tls_context={
        "validation_context": {"trust_chain_verification": "ACCEPT_UNTRUSTED"}})
    yield "client key log", common(key_log={"path": "/tmp/nuncio-tls-verdicts.keys"})
    yield "downstream context in a cluster", cluster(
        transport_socket={"name": "tls", "typed_config": {"@type": DOWN, "common_tls_context": {"tls_certificates": [GOOD]}}})
    yield "matches", cluster(transport_socket_matches=[
        {"name": "tls", "match": {"mode": "tls"}, "transport_socket": tls_socket(sni="a.example")},
        {"name": "raw", "match": {}, "transport_socket": RAW}])
    yield "match without name", cluster(transport_socket_matches=[{"transport_socket": tls_socket()}])
    yield "match without socket", cluster(transport_socket_matches=[{"name": "tls"}])
    yield "match with empty socket", cluster(transport_socket_matches=[{"name": "tls", "transport_socket": {}}])
    yield "match of unknown type", cluster(transport_socket_matches=[{"name": "a", "transport_socket": {"name": "nix"}}])
    yield "match with a bad context", cluster(transport_socket_matches=[
        {"name": "a", "transport_socket": tls_socket(sni="a" * 256)}])
    yield "matches of one name", cluster(transport_socket_matches=[{"name": "a", "transport_socket": tls_socket()}] * 2)
    yield "auto_config with TLS", cluster(transport_socket=tls_socket(), **options(auto_config={}))
    yield "auto_config without TLS", cluster(**options(auto_config={}))
    yield "auto_config with a raw match", cluster(
        transport_socket=tls_socket(), transport_socket_matches=[{"name": "a", "transport_socket": RAW}],
        **options(auto_config={}))
    yield "auto_sni", cluster(transport_socket=tls_socket(), **upstream_options(auto_sni=True, auto_san_validation=True))
    yield "auto_san_validation alone", cluster(transport_socket=tls_socket(), **upstream_options(auto_san_validation=True))
    yield "SNI from a header", cluster(**upstream_options(auto_sni=True, override_auto_sni_header=":authority"))
    yield "SNI from a bad header", cluster(**upstream_options(override_auto_sni_header="a b"))
    yield "legacy auto_sni", cluster(upstream_http_protocol_options={"auto_sni": True, "auto_san_validation": True})
    yield "legacy auto_sni, bad header", cluster(upstream_http_protocol_options={"override_auto_sni_header": "a b"},
                                                 **options(explicit_http_config={"http_protocol_options": {}}))
    yield "PROXY protocol around TLS", cluster(transport_socket=proxy_protocol(tls_socket(sni="a.example")))
    yield "PROXY protocol around a bad context", cluster(transport_socket=proxy_protocol(tls_socket(sni="a" * 256)))


RAW = {"name": "raw", "typed_config": {"@type": T + "raw_buffer.v3.RawBuffer"}}


def tls_socket(**context):
    return {"name": "tls", "typed_config": {"@type": UP, **context}}


def proxy_protocol(inner):
    return {"name": "pp", "typed_config": {
        "@type": T + "proxy_protocol.v3.ProxyProtocolUpstreamTransport", "config": {"version": "V2"},
        "transport_socket": inner}}


def options(**fields):
    return {"typed_extension_protocol_options": {
        HTTP_OPTIONS: {"@type": "type.googleapis.com/" + HTTP_OPTIONS, **fields}}}


def upstream_options(**fields):
    return options(upstream_http_protocol_options=fields, explicit_http_config={"http_protocol_options": {}})


def secret_cases():
    named = {"tls_certificate_sds_secret_configs": [by_sds()]}
    good = {"name": "s", "tls_certificate": GOOD}
    trust = {"name": "s", "validation_context": CA}
    file = {"path_config_source": {"path": "/dev/null"}}
    yield "secret", secrets(good, **server(**named))
    yield "secret that nobody uses", secrets(good)
    yield "secret unknown", server(**named)
    yield "secret unknown for a client", common(**named)
    yield "secret without a staple that must be", secrets(
        {"name": "s", "tls_certificate": MUST_STAPLE.tls_certificate()}, **server(**named))
    yield "secret without a staple that the policy wants", secrets(good, **listener(
        {"ocsp_staple_policy": "MUST_STAPLE", "common_tls_context": named}))
    yield "secret of another kind", secrets(trust, **server(**named))
    yield "secret twice", secrets(good, good)
    yield "secret without name", secrets({"tls_certificate": GOOD})
    yield "secret of no kind", secrets({"name": "s"})
    yield "secret bad", secrets({"name": "s", "tls_certificate": {"certificate_chain": inline("nothing")}})
    yield "secret bad and used", secrets(
        {"name": "s", "tls_certificate": {"certificate_chain": inline("nothing"), "private_key": inline("nothing")}},
        **server(**named))
    yield "secret CA bad", secrets({"name": "s", "validation_context": {"trusted_ca": inline("nothing")}})
    yield "secret generic", secrets({"name": "s", "generic_secret": {"secret": inline("x")}})
    yield "secret ticket keys", secrets({"name": "s", "session_ticket_keys": {"keys": [inline(KEY)]}}, **server_with(
        session_ticket_keys_sds_secret_config=by_sds()))
    yield "secret ticket keys short", secrets({"name": "s", "session_ticket_keys": {"keys": [inline("x")]}}, **server_with(
        session_ticket_keys_sds_secret_config=by_sds()))
    yield "secret ticket keys short, unused", secrets({"name": "s", "session_ticket_keys": {"keys": [inline("x")]}})
    yield "secret ticket keys none", secrets({"name": "s", "session_ticket_keys": {}})
    yield "secret ticket keys unknown", server_with(session_ticket_keys_sds_secret_config=by_sds())
    yield "secret validation", secrets(trust, **server(GOOD, validation_context_sds_secret_config=by_sds()))
    yield "secret validation unknown", server(GOOD, validation_context_sds_secret_config=by_sds())
    yield "secret combined", secrets(trust, **server(GOOD, combined_validation_context={
        "default_validation_context": {"match_typed_subject_alt_names": [san()]},
        "validation_context_sds_secret_config": by_sds()}))
    yield "secret combined, SAN and no CA", secrets(
        {"name": "s", "validation_context": {"verify_certificate_hash": [LEAF.sha256]}},
        **server(GOOD, combined_validation_context={
            "default_validation_context": {"match_typed_subject_alt_names": [san()]},
            "validation_context_sds_secret_config": by_sds()}))
    yield "secret combined, expired allowed and no CA", secrets(
        {"name": "s", "validation_context": {"verify_certificate_hash": [LEAF.sha256]}},
        **server(GOOD, combined_validation_context={
            "default_validation_context": {"allow_expired_certificate": True},
            "validation_context_sds_secret_config": by_sds()}))
    yield "secret combined, CRL and no CA", secrets(
        {"name": "s", "validation_context": {"crl": inline(ROOT.crl())}},
        **server(GOOD, combined_validation_context={
            "default_validation_context": {}, "validation_context_sds_secret_config": by_sds()}))
    yield "secret combined, SANs of both kinds", secrets(
        {"name": "s", "validation_context": {**CA, "match_subject_alt_names": [{"exact": "a"}]}},
        **server(GOOD, combined_validation_context={
            "default_validation_context": {"match_typed_subject_alt_names": [san()]},
            "validation_context_sds_secret_config": by_sds()}))
    yield "secret validation, SAN and no CA", secrets(
        {"name": "s", "validation_context": {"match_typed_subject_alt_names": [san()]}},
        **server(GOOD, validation_context_sds_secret_config=by_sds()))
    yield "secret validation, SAN and no CA, unused", secrets(
        {"name": "s", "validation_context": {"match_typed_subject_alt_names": [san()]}})
    yield "combined empty", server(GOOD, combined_validation_context={})
    yield "combined without default", server(GOOD, combined_validation_context={
        "validation_context_sds_secret_config": by_sds(**file)})
    yield "combined without secret", server(GOOD, combined_validation_context={"default_validation_context": CA})
    yield "SDS without name", server(tls_certificate_sds_secret_configs=[by_sds("", **file)])
    yield "SDS file", server(tls_certificate_sds_secret_configs=[by_sds(**file)])
    yield "SDS no file", server(tls_certificate_sds_secret_configs=[
        by_sds(path_config_source={"path": "/nonexistent/sds.yaml"})])
    yield "SDS deprecated path", server(tls_certificate_sds_secret_configs=[by_sds(path="/dev/null")])
    yield "SDS source says nothing", server(tls_certificate_sds_secret_configs=[{"name": "s", "sds_config": {}}])
    yield "SDS ADS without ADS", server(tls_certificate_sds_secret_configs=[by_sds(ads={})])
    yield "SDS own stream", {**server(tls_certificate_sds_secret_configs=[grpc_source("k")]), **GRPC_CLUSTER}
    yield "SDS own stream, unknown cluster", server(tls_certificate_sds_secret_configs=[grpc_source("nowhere")])
    yield "SDS and in place", secrets(good, **server(GOOD, **named))
    yield "SDS two", secrets(good, {**good, "name": "t", "tls_certificate": RSA.tls_certificate()}, **server(
        tls_certificate_sds_secret_configs=[by_sds(), by_sds("t")]))
    yield "client SDS two", secrets(good, {**good, "name": "t"}, **common(
        tls_certificate_sds_secret_configs=[by_sds(), by_sds("t")]))
    yield "client SDS and in place", secrets(good, **common(tls_certificates=[GOOD], **named))
    yield "client auto_sni_san_validation with SDS", secrets(trust, **client(
        auto_sni_san_validation=True, common_tls_context={"validation_context_sds_secret_config": by_sds()}))
    yield "client auto_sni_san_validation, SDS without CA", secrets(
        {"name": "s", "validation_context": {}}, **client(
            auto_sni_san_validation=True, common_tls_context={"validation_context_sds_secret_config": by_sds()}))
    yield "server SDS and one that says nothing", secrets(good, **server({}, **named))
    yield "client SDS and one that says nothing", secrets(good, **common(tls_certificates=[{}], **named))
    yield "secret of several values", secrets({"name": "s", "generic_secret": {"secrets": {"a": inline("x")}}})
    yield "secret generic of nothing", secrets({"name": "s", "generic_secret": {}})
    yield "client combined", secrets(trust, **client(auto_sni_san_validation=True, common_tls_context={
        "combined_validation_context": {"default_validation_context": {},
                                        "validation_context_sds_secret_config": by_sds()}}))


GRPC_CLUSTER = {"clusters": [{"name": "k", "type": "STATIC", **options(
    explicit_http_config={"http2_protocol_options": {}})}]}


def grpc_source(name):
    return by_sds(api_config_source={"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [
        {"envoy_grpc": {"cluster_name": name}}]}, resource_api_version="V3")


GROUPS = [certificate_cases, parameter_cases, context_cases, validation_cases, client_cases, secret_cases]
CASES = {name: resources for group in GROUPS for name, resources in group()}


def bootstrap(resources):
    made = copy.deepcopy(resources)
    made["clusters"] = [{"name": "c", "type": "STATIC"}, *made.get("clusters", ())]
    return {"node": {"id": "n", "cluster": "n"}, "static_resources": made}


def words(output):
    """The sentence that Envoy refuses with, without messages printed whole."""
    found = re.search(r"error initializing configuration '[^']*': (.*?)(?:: goo\.gle/debug.*)?$", output, re.M)
    return " ".join(found[1].split()) if found else ""


def is_of_rules(sentence):
    """Envoy's field rules, and what its protobuf library says."""
    return not sentence or "goo.gle/debug" in sentence or "Proto constraint validation failed" in sentence \
        or "INVALID_ARGUMENT" in sentence


def verdicts(made):
    """(code, output) of Envoy and of nuncio."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda flavour: validate(flavour, made), ("envoy", "nuncio")))


@pytest.fixture(autouse=True)
def both(flavours):
    if len(flavours) < 2:
        pytest.skip("one is compared with the other")


@pytest.mark.parametrize("name", CASES)
def test_verdicts_are_envoys(name):
    (envoy_code, envoy_said), (code, said) = verdicts(bootstrap(CASES[name]))
    assert code in (0, 1), said
    if name in UNSUPPORTED:
        assert (envoy_code, code) == (0, 1), (envoy_said, said)
        return
    assert envoy_code == (-6 if name in ABORTS else code), (envoy_said, said)
    sentence = words(envoy_said)
    if code != 0 and name not in OTHER_WORDS and not is_of_rules(sentence):
        assert sentence in " ".join(said.split()), said


def test_names_of_exceptions():
    assert (UNSUPPORTED | OTHER_WORDS | ABORTS) - CASES.keys() == set()


# What real control planes configure.


def walk(value):
    """Every dict in a JSON value."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(inner)


def corpus_contexts():
    """The distinct TLS contexts of the corpus, each with where it was found first."""
    found = {}
    place = corpus_dir()
    for name, case in cases(place) if place else ():
        for part in walk(case):
            if part.get("@type") in (DOWN, UP):
                found.setdefault(json.dumps(part, sort_keys=True), name)
    return found


def corpus_bootstraps():
    place = corpus_dir()
    made = ((name, case.get("bootstrap")) for name, case in cases(place)) if place else ()
    return {name: bootstrap for name, bootstrap in made if "transport_sockets.tls.v3" in json.dumps(bootstrap)}


def with_files(value, directory):
    """With files where those are that it reads: a certificate, its key, a CA, and secrets for SDS."""
    chain, key = LEAF.files(directory)
    ca = directory / "ca.pem"
    ca.write_text(ROOT.ca_pem)
    names = {"certificate_chain": chain, "certificateChain": chain, "private_key": key, "privateKey": key,
             "trusted_ca": ca, "trustedCa": ca}
    for part in walk(value):
        for name, path in names.items():
            if "filename" in part.get(name, {}):
                part[name]["filename"] = str(path)
        for name in ("sds_config", "sdsConfig"):
            source = part.get(name, {})
            by_path = source.get("path_config_source", source.get("pathConfigSource"))
            if by_path:
                sds = directory / "sds.json"
                sds.write_text('{"resources": []}')
                by_path["path"] = str(sds)
                by_path.pop("watched_directory", None)
                by_path.pop("watchedDirectory", None)
    return value


CONTEXTS = corpus_contexts()
BOOTSTRAPS = corpus_bootstraps()


@pytest.mark.parametrize("text", CONTEXTS, ids=[f"{where}-{i}" for i, where in enumerate(CONTEXTS.values())])
def test_contexts_of_control_planes(text, tmp_path):
    context = with_files(json.loads(text), tmp_path)
    made = bootstrap(listener(context) if context["@type"] == DOWN else cluster(
        transport_socket={"name": "tls", "typed_config": context}))
    streams = {part["cluster_name"] for part in walk(context) if "cluster_name" in part}
    streams |= {part["clusterName"] for part in walk(context) if "clusterName" in part}
    made["static_resources"]["clusters"] += [
        {"name": name, "type": "STATIC", **options(explicit_http_config={"http2_protocol_options": {}})}
        for name in sorted(streams | {"ads"})]
    made["dynamic_resources"] = {"ads_config": {"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [
        {"envoy_grpc": {"cluster_name": "ads"}}]}}
    (envoy_code, envoy_said), (code, said) = verdicts(made)
    # Of a combined context whose secret comes over ADS Envoy's validation ends with SIGSEGV; as a server it starts.
    assert code == max(envoy_code, 0), (envoy_said, said)


@pytest.mark.parametrize("name", BOOTSTRAPS)
def test_bootstraps_of_control_planes(name, tmp_path):
    made = BOOTSTRAPS[name]
    if isinstance(made, dict):
        made = with_files(copy.deepcopy(made), tmp_path)
    (envoy_code, envoy_said), (code, said) = verdicts(made)
    # What is not there yet is not TLS.
    assert code == envoy_code or (code == 1 and "transport_socket" not in said), (envoy_said, said)
