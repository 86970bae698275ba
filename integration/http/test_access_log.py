"""The access log: Envoy's default line, text and JSON formats, stdout, and where lines go."""

import json
import re
import threading

import pytest

from harness import config as c
from harness.differential import get
from harness.proxy import Proxy, validate
from harness.upstream import Origin, Reply
from harness.wait import wait_for

STDOUT = "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"
DEFAULT = re.compile(
    r'^\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\] "GET /x\?y=1 HTTP/1\.1" 200 - 0 1 \d+ \d+ '
    r'"10\.0\.0\.1" "agent" "f47ac10b-58cc-4372-a567-0e02b2c3d479" "host\.test" "127\.0\.0\.1:\d+"$')
OPERATORS = [
    "%RESPONSE_CODE%", "%RESPONSE_FLAGS%", "%RESPONSE_CODE_DETAILS%", "%BYTES_RECEIVED%", "%BYTES_SENT%", "%PROTOCOL%",
    "%REQ(:METHOD)%", "%REQ(:PATH)%", "%REQ(:AUTHORITY)%", "%REQ(x-in):2%", "%REQ(x-none?x-in)%", "%RESP(x-origin)%",
    "%RESP(x-none)%", "%ROUTE_NAME%", "%UPSTREAM_CLUSTER%", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%", "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
    "%REQUESTED_SERVER_NAME%", "%UPSTREAM_TRANSPORT_FAILURE_REASON%", "%CONNECTION_TERMINATION_DETAILS%",
    "%VIRTUAL_CLUSTER_NAME%", "%ENVIRONMENT(NUNCIO_TEST)%", "%RESPONSE_CODE%%RESPONSE_FLAGS%",
    "%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "%STREAM_ID%", "100%%",
]
VARYING = {"%STREAM_ID%"}


def logger(path, **form):
    out = {"@type": c.FILE_LOG, "path": str(path)}
    if form:
        out["log_format"] = form
    return {"name": "log", "typed_config": out}


@pytest.fixture
def run(flavour):
    """run(log config, ...) starts a proxy with an origin behind it."""
    with Origin("a") as origin:
        running = []

        def start(*logs, **more):
            table = c.routes("r", c.vhost("all", ["*"], c.route("/", "a", name="the-route")))
            hcm = c.hcm(table, access_log=list(logs), **more)
            proxy = Proxy(flavour, c.static_bootstrap([c.listener("l", hcm)], [c.cluster("a", origin.port)]),
                          env={"NUNCIO_TEST": "from the environment"})
            running.append(proxy)
            return proxy.start(), origin

        yield start
        for proxy in running:
            proxy.stop()


def lines(path, count=1):
    return wait_for(lambda: path.exists() and len(found := path.read_text().splitlines()) >= count and found,
                    f"{count} lines", 5)


REQUEST = get("/x?y=1", "host.test", {"x-forwarded-for": "10.0.0.1", "user-agent": "agent", "x-in": "value",
                                      "x-request-id": "f47ac10b-58cc-4372-a567-0e02b2c3d479"})


def test_default_format(run, tmp_path):
    proxy, _ = run(logger(tmp_path / "log"))
    with proxy.connect() as client:
        client.exchange(REQUEST)
    (line,) = lines(tmp_path / "log")
    assert DEFAULT.match(line), line


def test_stdout(run):
    proxy, _ = run({"name": "log", "typed_config": {"@type": STDOUT}})
    with proxy.connect() as client:
        client.exchange(REQUEST)
    wait_for(lambda: '"GET /x?y=1 HTTP/1.1" 200' in proxy.log, "the line on stdout", 5)


def test_json_format(run, tmp_path):
    proxy, _ = run(logger(tmp_path / "log", json_format={
        "code": "%RESPONSE_CODE%", "path": "%REQ(:PATH)%", "none": "%REQ(x-none)%", "mixed": "a %PROTOCOL% b",
        "nested": {"sent": "%BYTES_SENT%"}, "fixed": "text", "number": 5, "list": ["%RESPONSE_CODE%", "x"]}))
    with proxy.connect() as client:
        client.exchange(get('/quote"\\x'.replace("\\", "%5C")))
    (line,) = lines(tmp_path / "log")
    assert json.loads(line) == {
        "code": 200, "path": '/quote"%5Cx', "none": None, "mixed": "a HTTP/1.1 b", "nested": {"sent": 1},
        "fixed": "text", "number": 5, "list": [200, "x"]}


def test_two_logs(run, tmp_path):
    form = {"text_format_source": {"inline_string": "%RESPONSE_CODE%\n"}}
    proxy, _ = run(logger(tmp_path / "one", **form), logger(tmp_path / "two", **form))
    with proxy.connect() as client:
        for _ in range(3):
            client.get("/")
    assert lines(tmp_path / "one", 3) == lines(tmp_path / "two", 3) == ["200"] * 3


def test_line_is_whole_for_a_failed_client(run, tmp_path):
    proxy, origin = run(logger(tmp_path / "log", text_format_source={
        "inline_string": "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n"}))
    gate = threading.Event()
    origin.next(Reply(gate=gate))
    client = proxy.connect()
    client.send(get("/"))
    origin.wait_requests(1)
    client.close()
    (line,) = lines(tmp_path / "log")
    gate.set()
    assert line == "0 DC downstream_remote_disconnect"


@pytest.mark.differential
def test_operators(flavours, tmp_path):
    """Each operator on a line of its own, the same in both."""
    seen = {}
    for flavour in flavours:
        path = tmp_path / flavour
        form = {"text_format_source": {"inline_string": "\n".join(OPERATORS) + "\n"}}
        with Origin("a") as origin:
            table = c.routes("r", c.vhost("all", ["*"], c.route("/", "a", name="the-route")))
            bootstrap = c.static_bootstrap(
                [c.listener("l", c.hcm(table, access_log=[logger(path, **form)]))], [c.cluster("a", origin.port)])
            with Proxy(flavour, bootstrap, env={"NUNCIO_TEST": "from the environment"}) as proxy:
                with proxy.connect() as client:
                    client.exchange(REQUEST)
                seen[flavour] = dict(zip(OPERATORS, lines(path, len(OPERATORS))))
        assert seen[flavour]["%ENVIRONMENT(NUNCIO_TEST)%"] == "from the environment"
        assert seen[flavour]["%REQ(x-in):2%"] == "va"
        assert seen[flavour]["%ROUTE_NAME%"] == "the-route"
        assert seen[flavour]["100%%"] == "100%"
    if len(flavours) > 1:
        kept = [{k: v for k, v in one.items() if k not in VARYING} for one in seen.values()]
        assert kept[0] == kept[1]


@pytest.mark.parametrize("form", ["%NO_SUCH%", "%REQ(x%", "%REQ%", "%START_TIME(%", "% %"])
def test_bad_format_is_refused(flavour, tmp_path, form):
    hcm = c.hcm(c.routes("r"), access_log=[logger(tmp_path / "log", text_format_source={"inline_string": form})])
    code, output = validate(flavour, c.static_bootstrap([c.listener("l", hcm)]))
    assert code == 1, output
