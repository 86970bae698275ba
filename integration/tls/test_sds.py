"""Where secrets come from and what becomes of them, nuncio beside Envoy: streams of their own, names that mean several
secrets, what waits for what, files that are swapped, cut short or mixed up, counters and /config_dump."""

import base64
import os
import threading

import pytest
import yaml

from harness import config as c
from harness.certs import Authority, inline
from harness.proxy import Proxy, validate
from harness.secret_files import Mount, Place
from harness.tls import attempt, context
from harness.tls_front import TlsFront
from harness.unix_front import UnixFront
from harness.upstream import Origin
from harness.wait import wait_for

ROOT = Authority("root")
OTHER = Authority("other root")
FIRST = ROOT.leaf("first", dns=["test.example"])
SECOND = ROOT.leaf("second", dns=["test.example"])
CLIENT = ROOT.leaf("client")
NAMES = {FIRST.sha256: "first", SECOND.sha256: "second"}


def shown(proxy, listener="l", **options):
    """Which certificate a listener shows to whom it serves; None: it does not."""
    seen = attempt(proxy.address(listener), **options)
    return NAMES[seen.served] if seen.status == 200 else None


def wait_shown(proxy, name, listener="l"):
    wait_for(lambda: shown(proxy, listener) == name, f"{listener} shows {name}")


def table():
    return c.routes("r", c.vhost("all", ["*"], c.direct("/", 200, "hello")))


def tls_listener(name, *secrets, **common):
    """A listener whose certificates come from those."""
    socket = c.downstream_tls(common={"tls_certificate_sds_secret_configs": list(secrets), **common})
    return c.listener(name, c.chain(c.hcm(table()), transport_socket=socket), stat_prefix=name)


def api_source(cluster="sds", delta=False, **more):
    return {"api_config_source": {
        "api_type": "DELTA_GRPC" if delta else "GRPC", "transport_api_version": "V3",
        "grpc_services": [{"envoy_grpc": {"cluster_name": cluster}}]}, "resource_api_version": "V3", **more}


def factory(proxy, listener, counter):
    return proxy.stat(f"listener.{listener}.server_ssl_socket_factory.{counter}")


@pytest.fixture
def place(tmp_path):
    made = tmp_path / "sds"
    made.mkdir()
    return Place(made)


# Streams of their own.


@pytest.fixture(params=["tcp", "unix"])
def agent(request, ads, tmp_path):
    """The cluster of a secret discovery service."""
    if request.param == "tcp":
        yield c.ads_cluster(ads.port, name="sds")
        return
    with UnixFront(tmp_path / "agent.sock", ads.port) as front:
        cluster = c.ads_cluster(1, name="sds")
        address = {"pipe": {"path": front.path}}
        cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
        yield cluster


def test_a_stream_of_its_own(flavour, delta, ads, agent):
    ads.set("sds", c.tls_secret("s", FIRST))
    source = api_source(delta=delta)
    with Proxy(flavour, c.static_bootstrap([tls_listener("l", c.sds("s", source))], [agent])) as proxy:
        assert shown(proxy) == "first"
        ads.set("sds", c.tls_secret("s", SECOND))
        wait_shown(proxy, "second")
        mark = ads.mark()
        ads.set("sds", {"name": "s", "tls_certificate": {
            "certificate_chain": inline(FIRST.pem), "private_key": inline(SECOND.key_pem)}})
        assert "Failed to load private key from <inline>" in ads.wait_nack("sds", since=mark)["error"]
        assert shown(proxy) == "second"
        assert proxy.stat("sds.s.update_rejected") == 1
        assert proxy.stat("sds.s.update_success") == 2
        ads.set("sds", c.tls_secret("s", FIRST))
        wait_shown(proxy, "first")
        assert factory(proxy, "l", "ssl_context_update_by_sds") == 3


def test_a_stream_that_breaks_keeps_the_secret(flavour, ads):
    ads.set("sds", c.tls_secret("s", FIRST))
    bootstrap = c.static_bootstrap([tls_listener("l", c.sds("s", api_source()))], [c.ads_cluster(ads.port, name="sds")])
    with Proxy(flavour, bootstrap) as proxy:
        assert shown(proxy) == "first"
        ads.kill()
        proxy.wait_stat("sds.s.update_failure", lambda n: n >= 1)
        assert shown(proxy) == "first"
        ads.set("sds", c.tls_secret("s", SECOND))
        ads.restart()
        wait_shown(proxy, "second")


def test_a_removal_is_ignored(flavour, ads):
    ads.set("sds", c.tls_secret("s", FIRST))
    source = api_source(delta=True)
    bootstrap = c.static_bootstrap([tls_listener("l", c.sds("s", source))], [c.ads_cluster(ads.port, name="sds")])
    with Proxy(flavour, bootstrap) as proxy:
        assert shown(proxy) == "first"
        mark = ads.mark()
        ads.remove("sds", "s")
        ads.wait_ack("sds", since=mark)
        assert shown(proxy) == "first"


def test_a_stream_for_each_secret(flavour, ads):
    """An agent that ends the stream for one secret does not keep the others from coming."""
    ads.set("sds", c.tls_secret("a", FIRST))
    made = c.static_bootstrap(
        [tls_listener("l", c.sds("a", api_source())), tls_listener("m", c.sds("b", api_source(initial_fetch_timeout="0.2s")))],
        [c.ads_cluster(ads.port, name="sds")])
    with Proxy(flavour, made) as proxy:
        assert shown(proxy) == "first"
        asked = {e["stream"]: e["names"] for e in ads.requests("sds")}
        assert sorted(asked.values()) == [["a"], ["b"]]
        assert proxy.stat("control_plane.connected_state") == 0, "that of the aggregated stream, of which there is none"
        ads.set("sds", c.tls_secret("b", SECOND))
        wait_shown(proxy, "second", "m")


# What a name means.


def test_one_name_in_two_sources(flavour, place):
    one = place.put("one.json", c.tls_secret("s", FIRST))
    two = place.put("two.json", c.tls_secret("s", SECOND))
    with Proxy(flavour, c.static_bootstrap([tls_listener("a", c.sds("s", one)), tls_listener("b", c.sds("s", two))])) as proxy:
        assert (shown(proxy, "a"), shown(proxy, "b")) == ("first", "second")
        place.put("one.json", c.tls_secret("s", SECOND), version="2")
        wait_shown(proxy, "second", "a")
        place.put("two.json", c.tls_secret("s", FIRST), version="2")
        wait_shown(proxy, "first", "b")


def test_one_name_in_the_bootstrap_and_a_file(flavour, place):
    source = place.put("one.json", c.tls_secret("s", FIRST))
    made = c.static_bootstrap([tls_listener("a", c.sds("s")), tls_listener("b", c.sds("s", source))])
    made["static_resources"]["secrets"] = [c.tls_secret("s", SECOND)]
    with Proxy(flavour, made) as proxy:
        assert (shown(proxy, "a"), shown(proxy, "b")) == ("second", "first")


def test_one_name_for_two_kinds(flavour, place):
    """A certificate and what clients are held against may have the same name in the bootstrap."""
    made = c.static_bootstrap([tls_listener("l", c.sds("s"), validation_context_sds_secret_config=c.sds("s"))])
    made["static_resources"]["secrets"] = [c.tls_secret("s", FIRST), c.trust_secret("s", c.trust(ROOT))]
    with Proxy(flavour, made) as proxy:
        assert shown(proxy, certificate=CLIENT) == "first"
        assert shown(proxy, certificate=OTHER.leaf("client")) is None


@pytest.mark.parametrize("secrets, said", [
    ([c.tls_secret("s", FIRST), c.tls_secret("s", SECOND)], "Duplicate static TlsCertificate secret name s"),
    ([], "Unknown static secret: s"),
    ([c.trust_secret("s", c.trust(ROOT))], "Unknown static secret: s"),
], ids=["twice", "none", "of another kind"])
def test_secrets_that_a_bootstrap_is_refused_for(flavour, secrets, said):
    made = c.static_bootstrap([tls_listener("l", c.sds("s"))])
    made["static_resources"]["secrets"] = secrets
    code, output = validate(flavour, made)
    assert code != 0 and said in output


def test_a_secret_of_another_kind(flavour, place):
    source = place.put("one.json", c.trust_secret("s", c.trust(ROOT)))
    with Proxy(flavour, c.static_bootstrap([tls_listener("l", c.sds("s", source))])) as proxy:
        assert shown(proxy) is None
        assert factory(proxy, "l", "downstream_context_secrets_not_ready") == 1
        assert proxy.stat("sds.s.update_rejected") == 1
        place.put("one.json", c.tls_secret("s", FIRST), version="2")
        wait_shown(proxy, "first")


# What waits for what.


def ads_listener(secret="s", timeout=None, name="l"):
    source = {"ads": {}, "resource_api_version": "V3"}
    if timeout is not None:
        source["initial_fetch_timeout"] = timeout
    return tls_listener(name, c.sds(secret, source))


def test_a_secret_that_never_comes(flavour, delta, ads):
    """After its fetch timeout the listener opens without it, and closes what it accepts."""
    ads.set("lds", ads_listener(timeout="0.5s"))
    with Proxy(flavour, c.ads_bootstrap(ads.port, delta=delta)) as proxy:
        assert shown(proxy) is None
        assert factory(proxy, "l", "downstream_context_secrets_not_ready") == 1
        assert proxy.stat("sds.s.init_fetch_timeout") == 1
        ads.set("sds", c.tls_secret("s", FIRST))
        wait_shown(proxy, "first")


def test_a_new_listener_waits_while_others_serve(flavour, delta, ads):
    ads.set("sds", c.tls_secret("s", FIRST))
    ads.set("lds", ads_listener())
    with Proxy(flavour, c.ads_bootstrap(ads.port, delta=delta)) as proxy:
        assert shown(proxy) == "first"
        mark = ads.mark()
        ads.set("lds", ads_listener("later", name="m"))
        ads.wait_ack("lds", since=mark)
        ads.wait_request("sds", lambda e: "later" in e.get("names", e.get("subscribe", [])), since=mark)
        proxy.wait_stat("listener_manager.total_listeners_warming", 1)
        assert shown(proxy) == "first"
        ads.set("sds", c.tls_secret("later", SECOND))
        proxy.wait_stat("listener_manager.total_listeners_active", 2)
        wait_shown(proxy, "second", "m")


def test_a_listener_waits_on_with_its_old_version(flavour, ads):
    """A changed listener whose new secret is not there: the old version goes on."""
    ads.set("sds", c.tls_secret("s", FIRST))
    ads.set("lds", ads_listener())
    with Proxy(flavour, c.ads_bootstrap(ads.port)) as proxy:
        assert shown(proxy) == "first"
        mark = ads.mark()
        ads.set("lds", ads_listener("later"))
        ads.wait_ack("lds", since=mark)
        assert shown(proxy) == "first"
        ads.set("sds", c.tls_secret("later", SECOND))
        wait_shown(proxy, "second")


def secure_cluster(origin, *, secret, timeout=None):
    source = {"ads": {}, "resource_api_version": "V3"}
    if timeout is not None:
        source["initial_fetch_timeout"] = timeout
    socket = c.upstream_tls(common={"validation_context_sds_secret_config": c.sds(secret, source)})
    return c.cluster("secure", origin.port, transport_socket=socket)


def plain_listener(cluster="secure"):
    return c.listener("l", c.hcm(c.simple_routes("r", cluster)))


def test_a_cluster_waits_for_its_secret(flavour, delta, ads):
    with Origin("a", tls=context(server=True, certificate=FIRST)) as origin:
        ads.set("cds", secure_cluster(origin, secret="ca"))
        ads.set("lds", plain_listener())
        with Proxy(flavour, c.ads_bootstrap(ads.port, delta=delta), ready=False) as proxy:
            ads.wait_request("sds")
            assert proxy.ready_state()[0] == 503
            ads.set("sds", c.trust_secret("ca", c.trust(ROOT)))
            proxy.wait_ready()
            with proxy.connect("l") as client:
                assert client.get("/").text == "a"
            ads.set("sds", c.trust_secret("ca", c.trust(OTHER)))
            proxy.wait_stat("cluster.secure.client_ssl_socket_factory.ssl_context_update_by_sds", 2)


def test_a_cluster_whose_secret_never_comes(flavour, ads):
    with Origin("a", tls=context(server=True, certificate=FIRST)) as origin:
        ads.set("cds", secure_cluster(origin, secret="ca", timeout="0.5s"))
        ads.set("lds", plain_listener())
        with Proxy(flavour, c.ads_bootstrap(ads.port)) as proxy:
            with proxy.connect("l") as client:
                assert client.get("/").status == 503
            prefix = "cluster.secure.client_ssl_socket_factory."
            assert proxy.stat(prefix + "upstream_context_secrets_not_ready") >= 1
            ads.set("sds", c.trust_secret("ca", c.trust(ROOT)))
            proxy.wait_stat(prefix + "ssl_context_update_by_sds", 1)
            with proxy.connect("l") as client:
                wait_for(lambda: client.get("/").text == "a", "the cluster")


# Files.


def file_proxy(flavour, place, mount, **certificate):
    secret = {"name": "s", "tls_certificate": mount.certificate(**certificate)}
    return Proxy(flavour, c.static_bootstrap([tls_listener("l", c.sds("s", place.put("sds.json", secret)))]))


@pytest.mark.threads
@pytest.mark.parametrize("is_named", [False, True], ids=["directory of the files", "watched_directory"])
def test_a_mounted_secret_rotates(flavour, place, tmp_path, is_named):
    mount = Mount(tmp_path / "mount", FIRST)
    more = {"watched_directory": {"path": str(mount.path)}} if is_named else {}
    with file_proxy(flavour, place, mount, **more) as proxy:
        assert shown(proxy) == "first"
        for issued, name in ((SECOND, "second"), (FIRST, "first"), (SECOND, "second")):
            mount.swap(issued)
            wait_shown(proxy, name)
        assert proxy.stat("sds.s.key_rotation_failed") == 0
        assert proxy.stat("sds.s.update_success") == 1, "the secret itself never changed"
        assert factory(proxy, "l", "ssl_context_update_by_sds") == 4
        (dump,) = proxy.admin("/config_dump?resource=dynamic_active_secrets").json()["configs"]
        certificate = dump["secret"]["tls_certificate"]
        assert base64.b64decode(certificate["certificate_chain"]["inline_bytes"]).decode() == SECOND.pem
        assert base64.b64decode(certificate["private_key"]["inline_bytes"]) == b"[redacted]"


def test_a_busy_directory_puts_nothing_off(flavour, place, tmp_path):
    """Others rename things there all the time."""
    mount = Mount(tmp_path / "mount", FIRST)
    is_over = threading.Event()

    def noise():
        while not is_over.is_set():
            (mount.path / "noise.new").write_text("x")
            os.replace(mount.path / "noise.new", mount.path / "noise")

    with file_proxy(flavour, place, mount) as proxy:
        assert shown(proxy) == "first"
        thread = threading.Thread(target=noise)
        thread.start()
        try:
            mount.swap(SECOND)
            wait_shown(proxy, "second")
        finally:
            is_over.set()
            thread.join()
        assert factory(proxy, "l", "ssl_context_update_by_sds") == 2


def test_a_mix_up_of_files_is_refused(flavour, place, tmp_path):
    mount = Mount(tmp_path / "mount", FIRST)
    with file_proxy(flavour, place, mount) as proxy:
        assert shown(proxy) == "first"
        mount.swap(SECOND, key=FIRST.key_pem)
        proxy.wait_stat("sds.s.key_rotation_failed", lambda n: n >= 1)
        assert shown(proxy) == "first"
        mount.swap(SECOND, key=SECOND.key_pem[:100])
        proxy.wait_stat("sds.s.key_rotation_failed", lambda n: n >= 2)
        assert shown(proxy) == "first"
        mount.swap(SECOND)
        wait_shown(proxy, "second")


def test_files_replaced_one_by_one(flavour, place, tmp_path):
    """First the certificate, then its key, each by a rename."""
    certificate, key = FIRST.files(tmp_path, "tls")
    secret = {"name": "s", "tls_certificate": {"certificate_chain": {"filename": str(certificate)},
                                               "private_key": {"filename": str(key)}}}
    bootstrap = c.static_bootstrap([tls_listener("l", c.sds("s", place.put("sds.json", secret)))])
    with Proxy(flavour, bootstrap) as proxy:
        assert shown(proxy) == "first"
        fresh = tmp_path / "fresh"
        fresh.mkdir()
        new_certificate, new_key = SECOND.files(fresh, "tls")
        os.replace(new_certificate, certificate)
        proxy.wait_stat("sds.s.key_rotation_failed", lambda n: n >= 1)
        assert shown(proxy) == "first"
        os.replace(new_key, key)
        wait_shown(proxy, "second")


def test_a_ca_in_a_file_rotates(flavour, place, tmp_path):
    mount = tmp_path / "ca"
    mount.mkdir()
    (mount / "ca.pem").write_text(ROOT.ca_pem)
    source = place.put("sds.json", {"name": "ca", "validation_context": {"trusted_ca": {"filename": str(mount / "ca.pem")}}})
    socket = c.downstream_tls(FIRST, common={"validation_context_sds_secret_config": c.sds("ca", source)},
                              require_client_certificate=True)
    listener = c.listener("l", c.chain(c.hcm(table()), transport_socket=socket), stat_prefix="l")
    with Proxy(flavour, c.static_bootstrap([listener])) as proxy:
        stranger = OTHER.leaf("client")
        assert shown(proxy, certificate=CLIENT) == "first"
        assert shown(proxy, certificate=stranger) is None
        (mount / "new").write_text(OTHER.ca_pem)
        os.replace(mount / "new", mount / "ca.pem")
        wait_for(lambda: shown(proxy, certificate=stranger) == "first", "the other root")
        assert shown(proxy, certificate=CLIENT) is None
        (mount / "new").write_text("no certificate")
        os.replace(mount / "new", mount / "ca.pem")
        proxy.wait_stat("sds.ca.key_rotation_failed", lambda n: n >= 1)
        assert shown(proxy, certificate=stranger) == "first"


def test_a_bad_file_of_secrets_changes_nothing(flavour, place):
    source = place.put("sds.json", c.tls_secret("s", FIRST))
    with Proxy(flavour, c.static_bootstrap([tls_listener("l", c.sds("s", source))])) as proxy:
        assert shown(proxy) == "first"
        place.text("sds.json", "{")
        proxy.wait_stat("sds.s.update_failure", 1)
        assert shown(proxy) == "first"
        place.put("sds.json", {"name": "s", "tls_certificate": {
            "certificate_chain": inline(SECOND.pem), "private_key": inline(FIRST.key_pem)}}, version="2")
        proxy.wait_stat("sds.s.update_rejected", 1)
        assert shown(proxy) == "first"
        place.put("sds.json", c.tls_secret("s", SECOND), version="3")
        wait_shown(proxy, "second")


@pytest.fixture
def nuncio(flavours):
    if "nuncio" not in flavours:
        pytest.skip("Envoy does otherwise")
    return "nuncio"


def test_files_that_come_later(nuncio, place, tmp_path):
    """nuncio only: Envoy does not look again at files that were not there at first."""
    mount = tmp_path / "mount"
    mount.mkdir()
    certificate, key = mount / "tls.pem", mount / "tls.key"
    secret = {"name": "s", "tls_certificate": {"certificate_chain": {"filename": str(certificate)},
                                               "private_key": {"filename": str(key)}}}
    bootstrap = c.static_bootstrap([tls_listener("l", c.sds("s", place.put("sds.json", secret)))])
    with Proxy(nuncio, bootstrap) as proxy:
        assert shown(proxy) is None
        assert proxy.stat("sds.s.update_rejected") == 1
        certificate.write_text(FIRST.pem[:200])
        key.write_text(FIRST.key_pem)
        certificate.write_text(FIRST.pem)
        wait_shown(proxy, "first")


def test_the_serving_files_rotate_after_a_refusal(nuncio, place, tmp_path):
    """nuncio only: a bad new version does not stop the one that serves from being renewed."""
    mount = Mount(tmp_path / "mount", FIRST)
    with file_proxy(nuncio, place, mount) as proxy:
        assert shown(proxy) == "first"
        place.put("sds.json", {"name": "s", "tls_certificate": {
            "certificate_chain": inline(SECOND.pem), "private_key": inline(FIRST.key_pem)}}, version="2")
        proxy.wait_stat("sds.s.update_rejected", 1)
        mount.swap(SECOND)
        wait_shown(proxy, "second")


# What the admin pages say.


def secrets_dump(proxy, query=""):
    (dump,) = [d for d in proxy.admin("/config_dump" + query).json()["configs"] if d["@type"].endswith("SecretsConfigDump")]
    return {key: sorted((s["name"], s.get("version_info"), sorted(s["secret"].keys())) for s in dump.get(key, []))
            for key in ("static_secrets", "dynamic_active_secrets", "dynamic_warming_secrets")}


def test_config_dump(flavour, ads, place):
    source = place.put("sds.json", c.tls_secret("file", FIRST), version="7")
    made = c.static_bootstrap(
        [tls_listener("a", c.sds("own")), tls_listener("b", c.sds("file", source)),
         tls_listener("c", c.sds("none", api_source(initial_fetch_timeout="0.1s")))], [c.ads_cluster(ads.port, name="sds")])
    made["static_resources"]["secrets"] = [c.tls_secret("own", SECOND)]
    with Proxy(flavour, made) as proxy:
        proxy.wait_stat("sds.none.init_fetch_timeout", 1)
        assert secrets_dump(proxy) == {
            "static_secrets": [("own", None, ["@type", "name", "tls_certificate"])],
            "dynamic_active_secrets": [("file", "7", ["@type", "name", "tls_certificate"])],
            "dynamic_warming_secrets": [("none", "uninitialized", ["@type", "name"])]}
        text = proxy.admin("/config_dump").text
        assert "[redacted]" in text and "PRIVATE KEY" not in text
        (one,) = proxy.admin("/config_dump?resource=dynamic_active_secrets").json()["configs"]
        assert one["@type"].endswith("SecretsConfigDump.DynamicSecret") and one["name"] == "file"


def test_counters(flavour, place):
    source = place.put("sds.json", c.tls_secret("s", FIRST), version="7")
    with Proxy(flavour, c.static_bootstrap([tls_listener("l", c.sds("s", source))])) as proxy:
        assert shown(proxy) == "first"
        stats = {k: v for k, v in proxy.stats("?filter=^sds%5C.").items() if not k.endswith(("update_time", "duration"))}
        assert stats == {
            "sds.s.init_fetch_timeout": 0, "sds.s.key_rotation_failed": 0, "sds.s.update_attempt": 1,
            "sds.s.update_failure": 0, "sds.s.update_rejected": 0, "sds.s.update_success": 1,
            "sds.s.version": stats["sds.s.version"], "sds.s.version_text": "7"}
        assert stats["sds.s.version"] == 1750302349509622455, "the hash of the version"


# The control plane behind TLS.


@pytest.fixture
def front(ads):
    server = ROOT.leaf("control", dns=["control.example"])
    with TlsFront(ads.port, context(server=True, certificate=server, ca=ROOT, alpn=["h2"])) as made:
        yield made


def control_plane(front, source, delta=False):
    made = c.ads_bootstrap(front.port, delta=delta)
    (cluster,) = made["static_resources"]["clusters"]
    cluster["transport_socket"] = c.upstream_tls(
        params={"tls_maximum_protocol_version": "TLSv1_3"}, validation=c.trust(ROOT),
        common={"tls_certificate_sds_secret_configs": [c.sds("proxy", source)]})
    return made


def test_credentials_that_come_late(flavour, delta, ads, front, place):
    """The first attempts have no certificate to show; once it is there, the control plane is reached."""
    ads.set("lds", c.listener("l", c.hcm(table())))
    source = place.put("sds.json", c.tls_secret("other", CLIENT))
    with Proxy(flavour, control_plane(front, source, delta), ready=False) as proxy:
        proxy.wait_stat("sds.proxy.update_rejected", 1)
        assert front.peers == []
        place.put("sds.json", c.tls_secret("proxy", CLIENT), version="2")
        proxy.wait_ready()
        assert front.peers == ["client"]


def test_mounted_credentials_rotate(flavour, ads, front, place, tmp_path):
    ads.set("lds", c.listener("l", c.hcm(table())))
    mount = Mount(tmp_path / "mount", CLIENT)
    source = place.put("sds.json", {"name": "proxy", "tls_certificate": mount.certificate()})
    with Proxy(flavour, control_plane(front, source)) as proxy:
        mount.swap(ROOT.leaf("renewed"))
        proxy.wait_stat("cluster.ads.client_ssl_socket_factory.ssl_context_update_by_sds", 2)
        assert front.peers == ["client"], "a connection goes on with what it has shown"
        front.cut()
        wait_for(lambda: "renewed" in front.peers, "another connection")
        mark = ads.mark()
        ads.set("lds", c.listener("l", c.hcm(table(), stat_prefix="other")))
        ads.wait_ack("lds", since=mark)


def test_a_control_plane_that_refuses_us(flavour, ads, front, place):
    source = place.put("sds.json", c.tls_secret("proxy", OTHER.leaf("stranger")))
    with Proxy(flavour, control_plane(front, source), ready=False) as proxy:
        wait_for(lambda: front.failures, "a refused handshake")
        assert front.peers == []
        place.put("sds.json", c.tls_secret("proxy", CLIENT), version="2")
        proxy.wait_ready(40)


ENVOY_GATEWAY = """
admin:
  access_log:
  - name: envoy.access_loggers.file
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
      path: /dev/null
  address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}
node: {{id: proxy, cluster: gateway}}
dynamic_resources:
  ads_config:
    api_type: DELTA_GRPC
    transport_api_version: V3
    grpc_services:
    - envoy_grpc: {{cluster_name: xds_cluster}}
    set_node_on_first_message_only: true
  lds_config: {{ads: {{}}, resource_api_version: V3}}
  cds_config: {{ads: {{}}, resource_api_version: V3}}
static_resources:
  clusters:
  - name: xds_cluster
    type: STRICT_DNS
    dns_lookup_family: V4_ONLY  # the front has no other
    connect_timeout: 10s
    load_assignment:
      cluster_name: xds_cluster
      endpoints:
      - load_balancing_weight: 1
        lb_endpoints:
        - load_balancing_weight: 1
          endpoint: {{address: {{socket_address: {{address: localhost, port_value: {port}}}}}}}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config:
          http2_protocol_options:
            connection_keepalive: {{interval: 30s, timeout: 5s}}
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        common_tls_context:
          tls_params: {{tls_maximum_protocol_version: TLSv1_3}}
          tls_certificate_sds_secret_configs:
          - name: xds_certificate
            sds_config:
              path_config_source: {{path: {place}/xds-certificate.json}}
              resource_api_version: V3
          validation_context_sds_secret_config:
            name: xds_trusted_ca
            sds_config:
              path_config_source: {{path: {place}/xds-trusted-ca.json}}
              resource_api_version: V3
"""


def test_the_bootstrap_of_envoy_gateway(flavour, ads, front, place, tmp_path):
    """Its shape: names, mTLS by two discovery files whose secrets are mounted by Kubernetes; both are renewed."""
    ads.set("lds", c.listener("l", c.hcm(table())))
    mount = Mount(tmp_path / "certs", CLIENT)
    trusted = tmp_path / "certs" / "..1" / "ca.crt"
    trusted.write_text(ROOT.ca_pem)
    (tmp_path / "certs" / "ca.crt").symlink_to("..data/ca.crt")
    place.put("xds-certificate.json", {"name": "xds_certificate", "tls_certificate": mount.certificate()})
    place.put("xds-trusted-ca.json", {"name": "xds_trusted_ca", "validation_context": {
        "trusted_ca": {"filename": str(tmp_path / "certs" / "ca.crt")},
        "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "control.example"}}]}})
    text = ENVOY_GATEWAY.format(port=front.port, place=place.path)
    with Proxy(flavour, yaml.safe_load(text)) as proxy:
        assert front.peers == ["client"] and front.alpn == ["h2"]
        proxy.wait_listener("l")
        made = tmp_path / "certs" / "..2"
        made.mkdir()
        ROOT.leaf("renewed").files(made, "tls")
        (made / "ca.crt").write_text(OTHER.ca_pem + ROOT.ca_pem)
        (tmp_path / "certs" / "..new").symlink_to("..2")
        os.rename(tmp_path / "certs" / "..new", tmp_path / "certs" / "..data")
        proxy.wait_stat("cluster.xds_cluster.client_ssl_socket_factory.ssl_context_update_by_sds", lambda n: n >= 4)
        front.cut()
        wait_for(lambda: "renewed" in front.peers, "another connection")
        mark = ads.mark()
        ads.set("lds", c.listener("l", c.hcm(table(), stat_prefix="other")))
        ads.wait_ack("lds", since=mark)


def test_a_mounted_discovery_file(flavour, tmp_path):
    """The list of secrets itself is mounted, and its directory named."""
    mount = tmp_path / "mount"
    mount.mkdir()

    def swap(name, issued):
        made = mount / name
        made.mkdir()
        Place(made).put("sds.json", c.tls_secret("s", issued), version=name)
        (mount / "..new").symlink_to(name)
        os.rename(mount / "..new", mount / "..data")

    swap("..1", FIRST)
    (mount / "sds.json").symlink_to("..data/sds.json")
    source = Place(mount).source("sds.json", watched_directory={"path": str(mount)})
    with Proxy(flavour, c.static_bootstrap([tls_listener("l", c.sds("s", source))])) as proxy:
        assert shown(proxy) == "first"
        swap("..2", SECOND)
        wait_shown(proxy, "second")
        swap("..3", FIRST)
        wait_shown(proxy, "first")
