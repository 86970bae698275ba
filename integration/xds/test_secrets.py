"""Secrets from everywhere: the bootstrap, the aggregated stream, streams of their own, files; how they rotate and are
refused; a control plane behind TLS."""

import http.client
import os
import ssl

import pytest
import yaml

from harness import config as c
from harness.certs import Authority
from harness.proxy import Proxy
from harness.tls import context
from harness.tls_front import TlsFront
from harness.wait import wait_for

ROOT = Authority("root")
OTHER = Authority("other root")
FIRST = ROOT.leaf("first", dns=["test.example"])
SECOND = ROOT.leaf("second", dns=["test.example"])


def shown(address):
    """The common name of the certificate that a server shows; None: it closes instead."""
    import socket

    try:
        with socket.create_connection(address, timeout=5) as raw:
            with context(ca=ROOT).wrap_socket(raw, server_hostname="test.example") as tls:
                return dict(part[0] for part in tls.getpeercert()["subject"])["commonName"]
    except OSError:
        return None


def https(address, certificate=None):
    """A connection that stays open."""
    return http.client.HTTPSConnection(*address, timeout=5, context=context(certificate=certificate))


def status(connection):
    connection.request("GET", "/")
    with connection.getresponse() as response:
        response.read()
        return response.status


def https_listener(name="l", certificate=None, common=None, **more):
    socket = c.downstream_tls(common=common or {"tls_certificate_sds_secret_configs": [certificate]}, **more)
    table = c.routes("r", c.vhost("all", ["*"], c.direct("/", 200, "hello")))
    return c.listener(name, c.chain(c.hcm(table), transport_socket=socket))


@pytest.fixture
def start(flavour):
    running = []

    def run(bootstrap, **more):
        proxy = Proxy(flavour, bootstrap, **more)
        running.append(proxy)
        return proxy.start()

    yield run
    for proxy in running:
        proxy.stop()


# Of the bootstrap.


def test_a_secret_of_the_bootstrap(start):
    made = c.static_bootstrap([https_listener(certificate=c.sds("own"))])
    made["static_resources"]["secrets"] = [c.tls_secret("own", FIRST)]
    assert shown(start(made).address("l")) == "first"


# Over the aggregated stream.


def ads_start(start, ads, delta, **more):
    return start(c.ads_bootstrap(ads.port, delta=delta), **more)


def test_a_listener_waits_for_its_secret(start, ads, delta):
    ads.set("lds", https_listener(certificate=c.sds("s", "ads")))
    proxy = ads_start(start, ads, delta, ready=False)
    ads.wait_request("sds")
    assert proxy.admin("/ready").status == 503
    ads.set("sds", c.tls_secret("s", FIRST))
    proxy.wait_ready()
    wait_for(lambda: shown(proxy.address("l")) == "first", "the first certificate")


def test_a_secret_rotates(start, ads, delta):
    ads.set("sds", c.tls_secret("s", FIRST))
    ads.set("lds", https_listener(certificate=c.sds("s", "ads")))
    proxy = ads_start(start, ads, delta)
    wait_for(lambda: shown(proxy.address("l")) == "first", "the first certificate")
    kept = https(proxy.address("l"))
    assert status(kept) == 200
    ads.set("sds", c.tls_secret("s", SECOND))
    wait_for(lambda: shown(proxy.address("l")) == "second", "the second certificate")
    assert status(kept) == 200, "a connection goes on"
    kept.close()


def test_a_bad_secret_is_refused_and_the_old_one_stays(start, ads, delta):
    ads.set("sds", c.tls_secret("s", FIRST))
    ads.set("lds", https_listener(certificate=c.sds("s", "ads")))
    proxy = ads_start(start, ads, delta)
    wait_for(lambda: shown(proxy.address("l")) == "first", "the first certificate")
    mixed = {"name": "s", "tls_certificate": {**FIRST.tls_certificate(), "private_key": SECOND.tls_certificate()["private_key"]}}
    mark = ads.mark()
    ads.set("sds", mixed)
    nack = ads.wait_event(lambda e: e["kind"] == "request" and e.get("error"), "a NACK", since=mark)
    assert "Failed to load private key from <inline>" in str(nack["error"])
    assert shown(proxy.address("l")) == "first"
    ads.set("sds", c.tls_secret("s", SECOND))
    wait_for(lambda: shown(proxy.address("l")) == "second", "the second certificate")


def test_client_certificates_by_a_secret(start, ads, delta):
    ads.set("sds", c.tls_secret("s", FIRST), c.trust_secret("ca", c.trust(ROOT)))
    ads.set("lds", https_listener(
        common={"tls_certificate_sds_secret_configs": [c.sds("s", "ads")],
                "combined_validation_context": {
                    "default_validation_context": c.trust(san=[("DNS", "client.example")]),
                    "validation_context_sds_secret_config": c.sds("ca", "ads")}},
        require_client_certificate=True))
    proxy = ads_start(start, ads, delta)

    def answer(issued):
        connection = https(proxy.address("l"), issued)
        try:
            return status(connection)
        except (OSError, ssl.SSLError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    wait_for(lambda: answer(ROOT.leaf("good", dns=["client.example"])) == 200, "the listener")
    assert answer(ROOT.leaf("bad", dns=["other.example"])) is None
    assert answer(OTHER.leaf("good", dns=["client.example"])) is None
    ads.set("sds", c.trust_secret("ca", c.trust(OTHER)))
    wait_for(lambda: answer(OTHER.leaf("good", dns=["client.example"])) == 200, "the other root")
    assert answer(ROOT.leaf("good", dns=["client.example"])) is None


# From files.


def write(path, document):
    fresh = path.with_suffix(".new")
    fresh.write_text(yaml.safe_dump(document))
    os.rename(fresh, path)


def file_secret(name, issued):
    return {"resources": [{"@type": c.SECRET, **c.tls_secret(name, issued)}]}


def test_a_file_of_secrets_rotates(start, tmp_path):
    path = tmp_path / "sds.yaml"
    write(path, file_secret("s", FIRST))
    source = {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}
    proxy = start(c.static_bootstrap([https_listener(certificate=c.sds("s", source))]))
    assert shown(proxy.address("l")) == "first"
    write(path, file_secret("s", SECOND))
    wait_for(lambda: shown(proxy.address("l")) == "second", "the second certificate")


def point_to(directory, issued, name):
    """As Kubernetes mounts secrets: files are links through ..data, which is swapped as one."""
    made = directory / name
    made.mkdir()
    issued.files(made, "tls")
    fresh = directory / "..data.new"
    fresh.symlink_to(name)
    os.rename(fresh, directory / "..data")


def test_the_files_of_a_secret_rotate(start, tmp_path):
    mount = tmp_path / "mount"
    mount.mkdir()
    point_to(mount, FIRST, "..1")
    for file in ("tls.pem", "tls.key"):
        (mount / file).symlink_to(f"..data/{file}")
    certificate = {"certificate_chain": {"filename": str(mount / "tls.pem")},
                   "private_key": {"filename": str(mount / "tls.key")}, "watched_directory": {"path": str(mount)}}
    path = tmp_path / "sds.yaml"
    write(path, {"resources": [{"@type": c.SECRET, "name": "s", "tls_certificate": certificate}]})
    source = {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}
    proxy = start(c.static_bootstrap([https_listener(certificate=c.sds("s", source))]))
    assert shown(proxy.address("l")) == "first"
    point_to(mount, SECOND, "..2")
    wait_for(lambda: shown(proxy.address("l")) == "second", "the second certificate")


# A control plane behind TLS, as Envoy Gateway's.


def secure_bootstrap(front, delta, tmp_path, certificate):
    path = tmp_path / "client.yaml"
    write(path, file_secret("xds_certificate", certificate))
    trust = tmp_path / "ca.yaml"
    write(trust, {"resources": [{"@type": c.SECRET, **c.trust_secret(
        "xds_trusted_ca", c.trust(ROOT, san=[("DNS", "control.example")]))}]})
    made = c.ads_bootstrap(front.port, delta=delta)
    (cluster,) = made["static_resources"]["clusters"]
    cluster["transport_socket"] = c.upstream_tls(
        params={"tls_maximum_protocol_version": "TLSv1_3"},
        common={"tls_certificate_sds_secret_configs": [c.sds("xds_certificate", {
                    "path_config_source": {"path": str(path)}, "resource_api_version": "V3"})],
                "validation_context_sds_secret_config": c.sds("xds_trusted_ca", {
                    "path_config_source": {"path": str(trust)}, "resource_api_version": "V3"})})
    return made, path


def plain_listener(body):
    return c.listener("l", c.hcm(c.routes("r", c.vhost("all", ["*"], c.direct("/", 200, body)))))


def body_of(proxy):
    with proxy.connect("l") as client:
        return client.get("/").text


@pytest.fixture
def front(ads):
    server = ROOT.leaf("control", dns=["control.example"])
    with TlsFront(ads.port, context(server=True, certificate=server, ca=ROOT, alpn=["h2"])) as made:
        yield made


def test_a_control_plane_behind_mutual_tls(start, ads, delta, front, tmp_path):
    ads.set("lds", plain_listener("one"))
    bootstrap, path = secure_bootstrap(front, delta, tmp_path, ROOT.leaf("first proxy"))
    proxy = start(bootstrap)
    assert body_of(proxy) == "one"
    assert front.peers == ["first proxy"] and front.alpn == ["h2"]
    # Big messages, both directions at once.
    ads.set("cds", *[c.cluster(f"c{i}", c.endpoint(1)) for i in range(2000)])
    ads.set("lds", plain_listener("two"))
    wait_for(lambda: body_of(proxy) == "two", "an update")
    # The credentials rotate: the next connection shows the new ones.
    write(path, file_secret("xds_certificate", ROOT.leaf("second proxy")))
    ads.set("lds", plain_listener("three"))
    wait_for(lambda: body_of(proxy) == "three", "an update over the old connection")

    def reconnected():
        front.cut()
        return "second proxy" in front.peers

    wait_for(reconnected, "the new credentials")
    ads.set("lds", plain_listener("four"))
    wait_for(lambda: body_of(proxy) == "four", "an update over the new connection")


def test_a_control_plane_that_is_not_trusted(start, ads, delta, tmp_path):
    ads.set("lds", plain_listener("one"))
    server = OTHER.leaf("control", dns=["control.example"])
    with TlsFront(ads.port, context(server=True, certificate=server, alpn=["h2"])) as front:
        bootstrap, _ = secure_bootstrap(front, delta, tmp_path, ROOT.leaf("proxy"))
        proxy = start(bootstrap, ready=False)
        proxy.wait_stat("cluster.ads.upstream_cx_connect_fail", lambda n: n >= 1)
        proxy.wait_stat("cluster.ads.ssl.fail_verify_error", lambda n: n >= 1)
        assert not [e for e in ads.log() if e["kind"] == "request"]
