"""Admin pages, compared with Envoy's: status, content type, keys and values, mistakes and their words.

What differs between any two processes (times, ports, memory, versions) is replaced before the comparison.
"""

import json
import re

import pytest

from harness import config as c
from harness.client import Client

SECRET = "GENERIC-SECRET-VALUE"
TICKET = "T" * 80


def cluster_with_everything(origin):
    made = c.cluster("backend", origin.port)
    (locality,) = made["load_assignment"]["endpoints"]
    locality["locality"] = {"region": "r", "zone": "z", "sub_zone": "s"}
    for port, health in enumerate(("UNHEALTHY", "DRAINING", "TIMEOUT", "DEGRADED", "HEALTHY"), 9):
        locality["lb_endpoints"].append({
            "health_status": health, "load_balancing_weight": 7,
            "endpoint": {"hostname": f"name-{health}",
                         "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}})
    made["load_assignment"]["endpoints"].append({"priority": 1, "lb_endpoints": [
        {"metadata": {"filter_metadata": {"envoy.lb": {"canary": True}}},
         "endpoint": {"address": {"pipe": {"path": "/tmp/nobody"}}}},
        {"endpoint": {"address": {"socket_address": {"address": "::1", "port_value": 80}}}}]})
    made["circuit_breakers"] = {"thresholds": [
        {"max_connections": 1, "max_retries": 0}, {"priority": "HIGH", "max_requests": 5}]}
    made["alt_stat_name"] = "other"
    return made


def bootstrap(origins, log):
    made = c.static_bootstrap(
        [c.listener("web", c.hcm(c.simple_routes("table", "backend"), stat_prefix="in")),
         c.listener("<b>&\"'\\", c.hcm(c.simple_routes("<i>", "backend"), stat_prefix="in2"))],
        [cluster_with_everything(origins["a"]), c.cluster("dead", 1),
         c.cluster("<script>alert(1)</script>\"\\", 1),
         {"name": "empty", "type": "STATIC", "load_assignment": {"cluster_name": "another"}}])
    made["node"].update({"metadata": {"a": {"b": [1, True, None, "x"]}}, "locality": {"region": "rr"}})
    made["static_resources"]["secrets"] = [
        {"name": "generic", "generic_secret": {"secret": {"inline_string": SECRET}}},
        {"name": "ticket", "session_ticket_keys": {"keys": [{"inline_string": TICKET}]}}]
    made["layered_runtime"] = {"layers": [
        {"name": "base", "static_layer": {"a": {"number": 3, "half": 1.5, "on": True, "text": "x"}}},
        {"name": "admin", "admin_layer": {}}]}
    return made


VOLATILE = {"last_updated", "extensions", "user_agent_build_version", "version", "uptime_current_epoch",
            "uptime_all_epochs", "config_path", "admin_address_path", "file_flush_min_size"}


def normal(value, ports):
    """Lists in one order, and what no two processes share replaced."""
    if isinstance(value, dict):
        return {k: "*" if k in VOLATILE else normal(v, ports) for k, v in value.items()}
    if isinstance(value, list):
        return sorted((normal(v, ports) for v in value), key=lambda v: json.dumps(v, sort_keys=True))
    return "<port>" if value in ports else value


def normal_text(text, ports):
    for port in ports:
        text = text.replace(f":{port}", ":<port>")
    return text


def ask(duel, path, method="GET", body=None):
    """{flavour: comparable answer}"""
    out = {}
    for flavour, proxy in duel.each():
        reply = proxy.admin(path, method, body)
        ports = {port for addresses in proxy.listeners().values() for _, port in addresses}
        headers = {n.lower(): v for n, v in reply.headers}
        kind = headers["content-type"]
        if kind == "application/json":
            assert reply.text.endswith("}\n"), "as Envoy, JSON ends with a line feed"
            text = normal(json.loads(reply.body), ports)
        else:
            text = normal_text(reply.text, ports)
        assert headers["cache-control"] == "no-cache, max-age=0"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["server"] == "envoy"
        out[flavour] = (reply.status, kind, text)
    return out


def differences(one, other, at=""):
    """Lines that say where two values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            yield from differences(one.get(key, "(absent)"), other.get(key, "(absent)"), f"{at}.{key}")
    elif isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)) and len(one) == len(other):
        for i, (x, y) in enumerate(zip(one, other)):
            yield from differences(x, y, f"{at}[{i}]")
    elif one != other:
        yield f"{at}: {one!r} / {other!r}"


def assert_same(answers):
    values = list(answers.values())
    problems = [line for v in values[1:] for line in differences(values[0], v)]
    assert not problems, " / ".join(answers) + ":\n" + "\n".join(problems)[:6000]


@pytest.mark.parametrize("path", [
    # config_dump: which dumps, lists, names and fields
    "/config_dump", "/config_dump?include_eds", "/config_dump?resource=", "/config_dump?mask=", "/config_dump?name_regex=",
    "/config_dump?resource=static_clusters", "/config_dump?resource=static_clusters&name_regex=.*ead",
    "/config_dump?name_regex=.*ead", "/config_dump?name_regex=nothing", "/config_dump?mask=bootstrap.node.id",
    "/config_dump?mask=static_clusters", "/config_dump?mask=dynamic_listeners", "/config_dump?mask=bootstrap.node.nope",
    "/config_dump?mask=bootstrap.node,static_clusters.cluster", "/config_dump?mask=nope",
    "/config_dump?mask=bootstrap.static_resources.clusters", "/config_dump?mask=bootstrap.static_resources.clusters.name",
    "/config_dump?mask=bootstrap.node.userAgentName", "/config_dump?mask=bootstrap.admin,bootstrap.node.cluster",
    "/config_dump?resource=static_clusters&mask=cluster.name",
    "/config_dump?resource=static_clusters&mask=cluster.type,cluster.name",
    "/config_dump?resource=static_clusters&mask=cluster.load_assignment.cluster_name,last_updated",
    "/config_dump?resource=static_listeners&mask=listener.name", "/config_dump?resource=static_listeners",
    "/config_dump?resource=static_route_configs", "/config_dump?resource=static_route_configs&mask=route_config.name",
    "/config_dump?resource=static_route_configs&name_regex=ta.*", "/config_dump?resource=static_secrets",
    "/config_dump?resource=dynamic_listeners", "/config_dump?resource=dynamic_active_clusters",
    "/config_dump?resource=dynamic_warming_clusters", "/config_dump?resource=dynamic_active_secrets",
    "/config_dump?resource=static_endpoint_configs", "/config_dump?resource=static_endpoint_configs&include_eds",
    "/config_dump?resource=dynamic_endpoint_configs&include_eds", "/config_dump?resource=inline_scoped_route_configs",
    "/config_dump?resource=version_info", "/config_dump?resource=bootstrap", "/config_dump?resource=nope",
    "/config_dump?name_regex=(", "/config_dump?resource=nope&name_regex=(",
    # clusters
    "/clusters?format=json", "/clusters?format=json&filter=^d", "/clusters?format=json&filter=nope",
    "/clusters?filter=nope", "/clusters?filter=(", "/clusters?format=json&filter=",
    # the rest
    "/listeners?format=json", "/listeners", "/listeners?format=nope", "/init_dump", "/init_dump?mask=listener",
    "/init_dump?mask=nope", "/server_info", "/ready", "/hot_restart_version", "/certs", "/contention", "/runtime",
    "/runtime?format=json", "//ready", "/re%61dy", "/a/../ready", "/ready?what=ever",
])
def test_get(duel, path):
    assert_same(ask(duel, path))


def test_clusters_text(duel):
    """Envoy writes them in any order."""
    texts = {flavour: (status, kind, sorted(text.splitlines()))
             for flavour, (status, kind, text) in ask(duel, "/clusters").items()}
    assert_same(texts)


@pytest.mark.parametrize("path", [
    "/logging?level=nope", "/logging?nope=info", "/logging?paths=a:b", "/logging?paths=nope:info", "/logging?paths=main",
    "/logging?paths=:info", "/logging?group=main:debug", "/logging?level=info&paths=x", "/logging?level=info&main=info",
])
def test_logging_mistakes(duel, path):
    answers = ask(duel, path, "POST")
    for status, kind, text in answers.values():
        assert (status, kind) == (400, "text/plain; charset=UTF-8")
    assert_same({flavour: text.split("active loggers:\n")[0] for flavour, (_, _, text) in answers.items()})


@pytest.mark.parametrize("path", ["/logging", "/logging?level=", "/logging?paths=", "/logging?main=info",
                                  "/logging?paths=main:info,config:info"])
def test_logging_lists(duel, path):
    for status, kind, text in ask(duel, path, "POST").values():
        assert (status, kind) == (200, "text/plain; charset=UTF-8")
        assert text.startswith("active loggers:\n  a")
        assert "\n  main: info\n" in text
        assert text.endswith("\n\n")


def test_logging_changes_one_level(duel):
    for _, proxy in duel.each():
        for query in ("/logging?config=debug", "/logging?paths=config:debug,main:info"):
            text = proxy.admin(query, "POST").text
            assert "  config: debug\n" in text and "  main: info\n" in text
            assert "  config: info\n" in proxy.admin("/logging?level=info", "POST").text
        # Nothing changes when one of several is wrong.
        assert proxy.admin("/logging?paths=config:debug,nope:info", "POST").status == 400
        assert "  config: info\n" in proxy.admin("/logging", "POST").text or proxy.flavour == "envoy"
        proxy.admin("/logging?level=info", "POST")


@pytest.mark.parametrize("path", ["/logging", "/quitquitquit", "/reset_counters", "/reopen_logs", "/drain_listeners",
                                  "/healthcheck/fail", "/healthcheck/ok", "/runtime_modify?a=b", "/cpuprofiler",
                                  "/heapprofiler", "/allocprofiler", "/stats/recentlookups/enable"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_post_is_required(duel, path, method):
    answers = ask(duel, path, method)
    assert_same(answers)
    for status, _, text in answers.values():
        assert (status, text) == (405, f"Method {method} not allowed, POST required.")


@pytest.mark.parametrize("method, path, status, text", [
    ("POST", "/heapprofiler", 501, "The current build does not support heap profiler"),
    ("POST", "/heapprofiler?enable=y", 501, "The current build does not support heap profiler"),
    ("POST", "/cpuprofiler", 400, "?enable=<y|n>\n"), ("POST", "/allocprofiler?enable=x", 400, "?enable=<y|n>\n"),
    ("POST", "/runtime_modify", 400, "usage: /runtime_modify?key1=value1&key2=value2&keyN=valueN\n"
     "       or send the parameters as form values\nuse an empty value to remove a previously added override"),
])
def test_refused_as_envoy(duel, method, path, status, text):
    answers = ask(duel, path, method)
    assert_same(answers)
    assert list(answers.values())[0][::2] == (status, text)


@pytest.mark.parametrize("method, path", [
    ("GET", "/heap_dump"), ("GET", "/peak_heap_dump"), ("GET", "/memory/tcmalloc"), ("POST", "/cpuprofiler?enable=y"),
    ("POST", "/allocprofiler?enable=n"), ("POST", "/stats/recentlookups/enable"),
])
def test_what_is_not_there_says_so(duel, method, path):
    reply = duel.proxies["nuncio"].admin(path, method)
    assert reply.status == 501 and len(reply.text) > 20


def test_help(duel):
    texts = {flavour: text for flavour, (_, _, text) in ask(duel, "/help").items()}
    own = re.compile(r"^  /(unsupported|xds): .*\n", re.M)
    assert len(own.findall(texts["nuncio"])) == 2
    assert_same({flavour: own.sub("", text) for flavour, text in texts.items()})


def test_unknown_path_helps(duel):
    for flavour, proxy in duel.each():
        reply = proxy.admin("/nope?x")
        assert reply.status == 404
        assert reply.text == "invalid path. " + proxy.admin("/help").text


def test_memory(duel):
    keys = {}
    for flavour, (status, kind, value) in ask(duel, "/memory").items():
        assert (status, kind) == (200, "application/json")
        assert all(re.fullmatch(r"\d+", number) for number in value.values())
        if not duel.proxies[flavour].is_sanitized:  # its allocator tells nothing
            assert int(value["allocated"]) > 0 and int(value["heap_size"]) >= int(value["allocated"])
        keys[flavour] = list(value)
    assert_same(keys)


def test_server_info_has_envoys_keys_in_its_order(duel):
    def shape(value):
        return {k: shape(v) for k, v in value.items()} if isinstance(value, dict) else type(value).__name__

    shapes = {}
    for flavour, proxy in duel.each():
        info = proxy.admin("/server_info").json()
        info["node"].pop("metadata")
        info["node"]["user_agent_build_version"].pop("metadata", None)  # Envoy: of its source
        shapes[flavour] = json.dumps(shape(info))
        for extension in info["node"]["extensions"]:
            assert list(extension) == ["name", "category", "type_descriptor", "disabled", "type_urls"]
    assert_same(shapes)


def test_head_has_no_body(duel):
    """Envoy sends one all the same over HTTP/1, which its client then takes for the next answer."""
    proxy = duel.proxies["nuncio"]
    with Client(proxy.admin_address) as client:
        client.send(b"HEAD /ready HTTP/1.1\r\nhost: a\r\n\r\nGET /ready HTTP/1.1\r\nhost: a\r\n\r\n")
        assert client.read_response("HEAD").status == 200
        assert client.read_response("GET").body == b"LIVE\n"


def test_pipelined_requests_are_answered_in_order(duel):
    """Envoy closes after the second."""
    with Client(duel.proxies["nuncio"].admin_address) as client:
        client.send(b"".join(f"GET /{path} HTTP/1.1\r\nhost: a\r\n\r\n".encode()
                             for path in ("ready", "listeners", "nope", "ready")))
        assert [client.read_response("GET").status for _ in range(4)] == [200, 200, 404, 200]


def test_own_series(duel):
    """http.admin.* and listener.admin.* count the admin's own traffic."""
    for _, proxy in duel.each():
        before = proxy.stat("http.admin.downstream_rq_2xx")
        proxy.admin("/ready")
        proxy.wait_stat("http.admin.downstream_rq_2xx", lambda n: n > before)
        proxy.admin("/nope")
        proxy.wait_stat("http.admin.downstream_rq_4xx", lambda n: n > 0)
        for name in ("listener.admin.downstream_cx_total", "listener.admin.downstream_cx_destroy",
                     "http.admin.downstream_cx_total", "http.admin.downstream_rq_completed"):
            assert proxy.stat(name) > 0, name


@pytest.mark.parametrize("path", ["/config_dump?include_eds", "/config_dump?resource=static_secrets", "/clusters",
                                  "/config_dump?mask=bootstrap", "/server_info", "/runtime", "/stats", "/", "/xds?all"])
def test_no_secrets(duel, path):
    for flavour, proxy in duel.each():
        if path != "/xds?all" or flavour == "nuncio":
            body = proxy.admin(path).text
            assert SECRET not in body and TICKET not in body


def test_names_are_data(duel):
    """Names with markup come whole through JSON, and never as markup in HTML."""
    proxy = duel.proxies["nuncio"]
    names = [s["name"] for s in proxy.admin("/clusters?format=json").json()["cluster_statuses"]]
    assert "<script>alert(1)</script>\"\\" in names
    assert "<b>&\"'\\" in [s["name"] for s in proxy.admin("/listeners?format=json").json()["listener_statuses"]]
    assert "alert(1)" not in proxy.admin("/").text
    proxy.admin("/runtime_modify?%3Cscript%3E=%22%3C", "POST")
    assert proxy.admin("/runtime").json()["entries"]["<script>"]["final_value"] == '"<'
    proxy.admin("/runtime_modify?%3Cscript%3E=", "POST")
    assert "<script>" not in proxy.admin("/runtime").json()["entries"]
