"""The home page in a real browser: it fills itself from the JSON pages, and no name becomes markup.

Skipped where there is no Chromium (Debian: apt-get install chromium).
"""

import re
import shutil
import subprocess

import pytest

from harness import config as c
from harness.proxy import Proxy
from harness.upstream import Origin

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(BROWSER is None, reason="no Chromium; on Debian: apt-get install chromium")
def test_it_lives_in_a_browser(flavour, tmp_path):
    if flavour != "nuncio":
        pytest.skip("nuncio's own")
    with Origin("a") as origin:
        backend = c.cluster("backend", origin.port)
        (locality,) = backend["load_assignment"]["endpoints"]
        locality["lb_endpoints"].append({"health_status": "UNHEALTHY", "endpoint": {
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": 9}}}})
        bootstrap = c.static_bootstrap(
            [c.listener("web", c.hcm(c.simple_routes("r", "backend"), stat_prefix="in"))],
            [backend, c.cluster("<img src=x onerror=document.title='broken'>", 1)])
        with Proxy("nuncio", bootstrap) as proxy:
            with proxy.connect("web") as client:
                for _ in range(5):
                    assert client.get("/").status == 200
            done = subprocess.run(
                [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}",
                 "--virtual-time-budget=8000", "--enable-logging=stderr", "--dump-dom",
                 "http://%s:%d/" % proxy.admin_address],
                capture_output=True, text=True, timeout=120)
    page = done.stdout
    assert "CONSOLE" not in done.stderr, done.stderr[-3000:]  # no script error, nothing against the policy
    title = re.search("<title>(.*)</title>", page).group(1)
    assert title == "test-node · LIVE"
    assert re.search('<span id="state" class="badge good">LIVE</span>', page)
    assert re.search(r'<td class="name">web</td><td class="name">127\.0\.0\.1:\d+</td>', page)
    assert "1 of 2" in page and "1 with unhealthy hosts" in page
    assert "&lt;img src=x onerror=document.title='broken'&gt;" in page
    assert "<img" not in page
    assert '<form action="quitquitquit" method="post"' in page
