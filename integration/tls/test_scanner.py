"""testssl.sh (Debian's) against a listener whose TLS is all defaults: nothing worse than a remark."""

import json
import shutil
import subprocess

import pytest

from harness import config as c
from harness.certs import Authority
from harness.proxy import Proxy

ROOT = Authority("root")
NAME = "test.example"
REVOCATION = {"crl_url": "http://crl.example/root.crl"}  # its absence would be a finding about our certificate
CERTIFICATES = (ROOT.leaf("ecdsa", dns=[NAME], **REVOCATION), ROOT.leaf("rsa", key="rsa2048", dns=[NAME], **REVOCATION))
GRAVE = {"MEDIUM", "HIGH", "CRITICAL", "FATAL", "WARN"}
SHORT = ["--protocols", "--std", "--server-preference", "--fs", "--grease"]
REST = ["--vulnerable", "--server-defaults", "--client-simulation"]


@pytest.fixture(scope="module")
def proxy(flavour):
    table = c.routes("r", c.vhost("all", ["*"], c.direct("/", 200, "hello")))
    chain = c.chain(c.hcm(table), transport_socket=c.downstream_tls(*CERTIFICATES, alpn=["h2", "http/1.1"]))
    with Proxy(flavour, c.static_bootstrap([c.listener("l", chain)])) as made:
        yield made


def findings(proxy, place, *checks):
    """What it has to say, as dicts with id, severity and finding."""
    if shutil.which("testssl") is None:
        pytest.skip("no testssl: tools/setup test")
    (place / "ca.pem").write_text(ROOT.ca_pem)
    report = place / "report.json"
    host, port = proxy.address()
    done = subprocess.run(
        ["testssl", "--quiet", "--color", "0", "--warnings", "batch", "--ip", host, "--add-ca", str(place / "ca.pem"),
         "--jsonfile", str(report), *checks, f"{NAME}:{port}"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, cwd=place)
    assert report.exists(), done.stdout + done.stderr
    return json.loads(report.read_text())


def grave(found):
    return [f"{f['severity']} {f['id']}: {f['finding']}" for f in found if f["severity"] in GRAVE]


def test_protocols_and_ciphers(proxy, flavour, tmp_path, pytestconfig):
    if flavour == "envoy" and not (pytestconfig.getoption("--full") or pytestconfig.getoption("--oracle-only")):
        pytest.skip("half a minute for the oracle: with --full")
    found = findings(proxy, tmp_path, *SHORT)
    assert grave(found) == []
    said = {f["id"]: f["finding"] for f in found}
    assert said["TLS1"] == said["TLS1_1"] == "not offered"
    assert said["TLS1_2"].startswith("offered") and said["TLS1_3"].startswith("offered")
    assert proxy.is_running()


@pytest.mark.slow
def test_everything(proxy, tmp_path, pytestconfig):
    """Heartbleed, ROBOT, renegotiation, BREACH and so on; and what clients of the last decade would agree on."""
    if not pytestconfig.getoption("--full"):
        pytest.skip("a minute and a half: with --full")
    found = findings(proxy, tmp_path, *REST)
    assert grave(found) == []
    assert len(found) > 50
