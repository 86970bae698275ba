"""h2spec, strict: RFC 9113 and 7541 as a client that breaks every rule sees them.

Envoy 1.40 (nghttp2 codec) fails 12 of the 146 here: PING after GOAWAY goes unanswered (3.8/1, 7/1), DATA and HEADERS on
closed streams are ignored (5.1/8, 9, 11, 12), so is a stream id that is too small (5.1.1/2), a PRIORITY frame on itself
or on stream 0 (5.3.1/2, 6.3/1); and its connection errors close without the GOAWAY or RST_STREAM that h2spec asks for
(5.4.1/2, 6.9.1/2, 6.9.1/3). Only nuncio is held to the suite.
"""

import re
import subprocess

import pytest

from harness import config as c
from harness import paths
from harness.proxy import Proxy
from harness.upstream import Origin

CASES = 146


def bootstrap(origin):
    # The origin answers when it has the whole request: streams stay open as long as the suite wants them to.
    return c.static_bootstrap(
        [c.listener("l", c.hcm(c.routes("r", c.vhost("all", ["*"], c.route("/", "a"))), codec_type="HTTP2"))],
        [c.cluster("a", origin.port)])


def failures(text):
    """The lines of its closing summary that name a failed case, under their sections' numbers."""
    _, _, summary = text.partition("Failures:")
    return [line.strip() for line in summary.splitlines() if re.match(r"\s*(×|\d+(\.\d+)*\. )", line)]


def test_h2spec_strict(tmp_path, flavours):
    if "nuncio" not in flavours:
        pytest.skip("holds nuncio alone")
    with Origin("five bytes and more") as origin, Proxy("nuncio", bootstrap(origin)) as proxy:
        done = subprocess.run(
            [paths.BUILD / "integration" / "h2spec", "--strict", "--host", "127.0.0.1", "--timeout", "3",
             "--port", str(proxy.address()[1])],
            capture_output=True, text=True, errors="replace", timeout=120)
        assert not failures(done.stdout)
        found = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", done.stdout)
        assert found and [int(n) for n in found.groups()] == [CASES, CASES, 0, 0], done.stdout[-2000:]
        proxy.check_clean()
