"""The admin interface itself: where it listens, who may ask what, its log, clients that do not read."""

import http.client
import json
import socket
import stat

import pytest

from harness import config as c
from harness.client import Client
from harness.proxy import Proxy
from harness.upstream import Origin
from harness.wait import wait_for


def nuncio_only(flavour):
    if flavour != "nuncio":
        pytest.skip("nuncio's own")


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def unix_get(path, target, method="GET"):
    connection = UnixConnection(str(path))
    connection.request(method, target)
    reply = connection.getresponse()
    return reply.status, reply.read()


def with_admin(**admin):
    made = c.static_bootstrap([c.listener("l", c.hcm(c.routes("r", c.vhost("v", ["*"]))))])
    made["admin"] = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}, **admin}
    return made


def test_unix_path(flavour, tmp_path):
    path = tmp_path / "admin.sock"
    made = with_admin(address={"pipe": {"path": str(path), "mode": 0o600}})
    proxy = Proxy(flavour, made, ready=False).start()
    try:
        wait_for(lambda: path.exists() and unix_get(path, "/ready") == (200, b"LIVE\n"), "admin answers on the path")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert (proxy.dir / "admin").read_text() == str(path)
        assert unix_get(path, "/listeners")[0] == 200
        assert unix_get(path, "/quitquitquit", "POST") == (200, b"OK\n")
        assert proxy.wait_exit() == 0
    finally:
        proxy.stop()


def test_ipv4_compat(flavour):
    """One socket for both families; without the flag, IPv6 alone."""
    for compat in (True, False):
        address = {"address": "::", "port_value": 0, "ipv4_compat": compat}
        with Proxy(flavour, with_admin(address={"socket_address": address})) as proxy, socket.socket() as four:
            assert (four.connect_ex(("127.0.0.1", proxy.admin_address[1])) == 0) == compat


def test_no_admin_section_no_port(flavour):
    made = with_admin()
    made["admin"] = {}
    proxy = Proxy(flavour, made, ready=False).start()
    try:
        wait_for(lambda: "all dependencies initialized" in proxy.log, "it runs")
        assert not (proxy.dir / "admin").exists() or not (proxy.dir / "admin").read_text()
    finally:
        proxy.kill()
        proxy.stop()


def test_allowed_paths(flavour):
    made = with_admin(allow_paths=[{"exact": "/ready"}, {"prefix": "/stats"}, {"exact": "/quitquitquit"},
                                   {"safe_regex": {"regex": "/list.*"}}])
    with Proxy(flavour, made) as proxy:
        for path, method, status in (("/ready", "GET", 200), ("/stats?usedonly", "GET", 200), ("/listeners", "GET", 200),
                                     ("/ready?x", "GET", 403), ("/clusters", "GET", 403), ("/", "GET", 403),
                                     ("/nope", "GET", 403), ("/quitquitquit", "GET", 405)):
            reply = proxy.admin(path, method)
            assert reply.status == status, path
            if status == 403:
                assert reply.text == f"request to path {path} not allowed"


def test_access_log(flavour, tmp_path):
    log = tmp_path / "admin.log"
    file = {"@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": str(log),
            "log_format": {"text_format_source": {"inline_string": "%REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE%\n"}}}
    with Proxy(flavour, with_admin(access_log=[{"name": "f", "typed_config": file}])) as proxy:
        proxy.admin("/clusters?x=y")
        proxy.admin("/nope")
        proxy.admin("/logging", "POST")
        wait_for(lambda: "POST /logging 200\n" in log.read_text(), "the log is written")
        lines = log.read_text().splitlines()
        assert "GET /clusters?x=y 200" in lines and "GET /nope 404" in lines


def test_access_log_path(flavour, tmp_path):
    log = tmp_path / "admin.log"
    with Proxy(flavour, with_admin(access_log_path=str(log))) as proxy:
        proxy.admin("/clusters?x=y")
        wait_for(lambda: '"GET /clusters?x=y HTTP/1.1" 200 - 0 ' in log.read_text(), "the log is written")


def test_a_form_in_the_body(flavour):
    made = with_admin()
    made["layered_runtime"] = {"layers": [{"name": "a", "admin_layer": {}}]}
    with Proxy(flavour, made) as proxy:
        with Client(proxy.admin_address) as client:
            body = b"k1=v1&k2=%41+b"
            client.send(b"POST /runtime_modify HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-www-form-urlencoded\r\n"
                        b"content-length: %d\r\n\r\n%s" % (len(body), body))
            assert client.read_response("POST").status == 200
        entries = proxy.admin("/runtime").json()["entries"]
        assert entries["k1"]["final_value"] == "v1"
        assert entries["k2"]["final_value"] == "A+b"


def test_a_form_too_large(flavour):
    nuncio_only(flavour)
    with Proxy(flavour, with_admin()) as proxy, Client(proxy.admin_address) as client:
        client.send(b"POST /runtime_modify HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-www-form-urlencoded\r\n"
                    b"content-length: 100000\r\n\r\n" + b"a" * 70000)
        assert client.read_response("POST").status == 413


def test_other_sites_change_nothing(flavour):
    """A page elsewhere that posts a form here: the browser says so."""
    nuncio_only(flavour)
    with Proxy(flavour, with_admin()) as proxy, Client(proxy.admin_address) as client:
        ask = b"%s /%s HTTP/1.1\r\nhost: a\r\nsec-fetch-site: %s\r\ncontent-length: 0\r\n\r\n"
        client.send(ask % (b"POST", b"logging", b"cross-site"))
        assert client.read_response("POST").status == 403
        client.send(ask % (b"POST", b"logging", b"same-origin"))
        assert client.read_response("POST").status == 200
        client.send(ask % (b"GET", b"ready", b"cross-site"))
        assert client.read_response("GET").status == 200


# --- clients that do not read (faults.md 42) ---------------------------------------------------------

CLUSTERS = 3000


@pytest.fixture(scope="module")
def big(flavour):
    """Pages of megabytes, and a route that works. Envoy renders whole pages for clients that do not read, and does
    not answer for many seconds: not shown here."""
    nuncio_only(flavour)
    with Origin("a") as origin:
        clusters = [c.cluster("a", origin.port)] + [c.cluster(f"cluster-with-a-longer-name-{i}", 1) for i in range(CLUSTERS)]
        with Proxy(flavour, c.static_bootstrap([c.listener("l", c.hcm(c.simple_routes("r", "a")))], clusters)) as proxy:
            yield proxy


PAGES = ["/clusters?format=json", "/config_dump?include_eds", "/clusters", "/stats"]


@pytest.mark.parametrize("page", PAGES)
def test_big_pages_come_whole(big, page):
    text = big.admin(page, timeout=60).text
    assert f"cluster-with-a-longer-name-{CLUSTERS - 1}" in text or page == "/stats"
    if "json" in page or "config_dump" in page:
        json.loads(text)


def test_stuck_clients_hold_little_and_stop_nobody(big):
    """Two hundred clients that ask for megabytes and read nothing (forty where a sanitizer slows the rendering)."""
    count = 40 if big.is_sanitized else 200
    whole = len(big.admin("/config_dump", timeout=60).body)
    assert whole > 1 << 20
    big.admin("/clusters?format=json", timeout=60)
    before = big.rss_kb()
    asked = big.stat("http.admin.downstream_rq_total")
    stuck = []
    try:
        for i in range(count):
            client = socket.create_connection(big.admin_address)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(b"GET %s HTTP/1.1\r\nhost: a\r\n\r\n" % PAGES[i % 3].encode())
            stuck.append(client)
        big.wait_stat("http.admin.downstream_rq_total", lambda n: n >= asked + count, 60)
        assert big.stat("http.admin.downstream_rq_active") > count // 4  # the kernel's buffers take what is less than megabytes
        for _ in range(20):
            assert big.admin("/ready").status == 200
            with big.connect("l") as client:
                assert client.get("/").status == 200
        held = (big.rss_kb() - before) * 1024
        if not big.is_sanitized:
            # Far from 200 rendered pages: a piece and the state of each, and the socket's buffer.
            assert held < count * whole // 4, f"{held} bytes held, a page has {whole}"
            assert held < 300 << 20
    finally:
        for client in stuck:
            client.close()
    big.wait_stat("http.admin.downstream_rq_active", lambda n: n < 5, 60)
    assert len(big.admin("/config_dump", timeout=60).body) == whole


def test_clients_that_leave_in_the_middle(big):
    for i in range(50):
        with socket.create_connection(big.admin_address) as client:
            client.sendall(b"GET %s HTTP/1.1\r\nhost: a\r\n\r\n" % PAGES[i % 3].encode())
            assert client.recv(100)
    big.wait_stat("http.admin.downstream_rq_active", lambda n: n < 5, 60)
    assert big.admin("/ready").status == 200


def test_config_that_changes_while_a_page_is_read(flavour, ads):
    """A client in the middle of a dump when all of it is replaced and most is removed."""
    nuncio_only(flavour)
    ads.reset("raw")
    with Proxy(flavour, c.ads_bootstrap(ads.port), ready=False) as proxy:
        ads.wait_request("cds")
        ads.send_response("cds", [c.cluster(f"first-{i}-{'x' * 40}", 1) for i in range(4000)], nonce="1")
        ads.wait_request("lds")
        ads.send_response("lds", [], nonce="2")
        proxy.wait_ready()
        readers = []
        for page in ("/clusters", "/clusters?format=json", "/config_dump", "/config_dump?include_eds"):
            client = socket.create_connection(proxy.admin_address, timeout=30)
            client.sendall(b"GET %s HTTP/1.1\r\nhost: a\r\n\r\n" % page.encode())
            readers.append((client, client.recv(10)))
        ads.send_response("cds", [c.cluster(f"second-{i}", 2) for i in range(10)], nonce="3", version="2")
        proxy.wait_stat("cluster_manager.cds.update_success", 2, 30)
        for client, text in readers:
            while not text.endswith(b"\r\n0\r\n\r\n"):
                piece = client.recv(1 << 16)
                assert piece, "closed before the end"
                text += piece
            client.close()
