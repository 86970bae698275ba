"""The command line: every flag of `envoy --help` is taken, mistakes end as Envoy's do, flags do what they say."""

import json
import re
import resource
import signal
import socket
import subprocess

import pytest

from harness import config as c
from harness import paths
from harness.proxy import Proxy, validate
from harness.wait import wait_for


def binary(flavour):
    return str(paths.nuncio() if flavour == "nuncio" else paths.envoy())


def run(flavour, *args):
    return subprocess.run([binary(flavour), *args], capture_output=True, text=True, timeout=30, errors="replace")


def flags_of(help_text):
    return set(re.findall(r"--([a-z][a-z-]+)", help_text)) - {"ignore"}


def answering(body="x"):
    return c.static_bootstrap([c.listener("l", c.hcm(c.routes("r", c.vhost("v", ["*"], c.direct("/", 200, body)))))])


def info(proxy):
    return proxy.admin("/server_info").json()["command_line_options"]


def test_help_has_every_flag_of_envoys():
    if paths.envoy() is None or paths.nuncio() is None:
        pytest.skip("needs both")
    wanted = flags_of(run("envoy", "--help").stdout)
    assert len(wanted) > 40
    assert wanted - flags_of(run("nuncio", "--help").stdout) == set()


SWITCHES = ["--enable-core-dump", "--cpuset-threads", "--enable-mutex-tracing", "--disable-hot-restart",
            "--enable-fine-grain-logging", "--log-format-escaped", "--log-stacktrace-single-entry",
            "--skip-deprecated-logs", "--ignore-unknown-dynamic-fields", "--reject-unknown-dynamic-fields",
            "--allow-unknown-static-fields", "--allow-unknown-fields", "--skip-hot-restart-parent-stats",
            "--skip-hot-restart-on-no-parent", "--use-dynamic-base-id"]
VALUES = {"--stats-tag": "a:b", "--socket-mode": "600", "--socket-path": "@other", "--disable-extensions": "a/b",
          "--parent-shutdown-time-s": "9", "--drain-strategy": "immediate", "--drain-time-s": "7",
          "--file-flush-min-size-kb": "1", "--file-flush-interval-msec": "5", "--service-zone": "z",
          "--service-node": "n", "--service-cluster": "c", "--restart-epoch": "0", "--log-path": "/dev/null",
          "--log-format": "%v", "--component-log-level": "upstream:debug,lua:trace", "--log-level": "warning",
          "-l": "off", "--local-address-ip-version": "v6", "--concurrency": "3", "--base-id": "5"}


def test_every_switch_is_taken(flavour, tmp_path):
    config = tmp_path / "b.json"
    config.write_text("{}")
    done = run(flavour, "--mode", "validate", "-c", str(config), *SWITCHES)
    assert (done.returncode, done.stdout) == (0, f"configuration '{config}' OK\n")


@pytest.mark.parametrize("name", VALUES)
def test_every_value_is_taken(flavour, tmp_path, name):
    done = run(flavour, "--mode", "validate", "--config-yaml", "{}", name, VALUES[name])
    assert (done.returncode, done.stdout) == (0, "configuration '' OK\n"), done.stderr


MISTAKES = {
    "unknown flag": (["--foo"], "PARSE ERROR: Argument: --foo"),
    "stray word": (["foo"], "PARSE ERROR: Argument: foo"),
    "no value": (["-c"], "Missing a value for this argument!"),
    "no number": (["--concurrency", "many"], "Couldn't read argument value from string 'many'"),
    "number with a unit": (["--drain-time-s", "5s"], "Couldn't read argument value from string '5s'"),
    "number too large": (["--base-id", "4294967296"], "Couldn't read argument value from string '4294967296'"),
    "given twice": (["-c", "a", "-c", "b"], "Argument already set!"),
    "both names": (["-l", "info", "--log-level", "info"], "Argument already set!"),
    "mode": (["--mode", "xx"], "error: unknown mode 'xx'"),
    "level": (["-l", "loud"], "error: invalid log level specified 'loud'"),
    "component without level": (["--component-log-level", "http"],
                                "error: component log level not correctly specified 'http'"),
    "component's level": (["--component-log-level", "http:x"], "error: invalid log level specified 'x'"),
    "component": (["--component-log-level", "nosuch:debug"], "error: invalid component specified 'nosuch'"),
    "drain strategy": (["--drain-strategy", "x"], "error: unknown drain-strategy"),
    "ip version": (["--local-address-ip-version", "v5"], "error: unknown IP address version 'v5'"),
    "tag without value": (["--stats-tag", "a"], "error: misformatted stats-tag 'a'"),
    "tag with an empty value": (["--stats-tag", "a:"], "error: misformatted stats-tag 'a:' contains invalid char in ''"),
    "tag's name": (["--stats-tag", "a-b:c"], "error: misformatted stats-tag 'a-b:c' contains invalid char in 'a-b'"),
    "tag's value": (["--stats-tag", "a:b.c"], "error: misformatted stats-tag 'a:b.c' contains invalid char in 'b.c'"),
    "fine-grain logging with components": (
        ["--enable-fine-grain-logging", "--component-log-level", "http:debug"],
        "error: --component-log-level will not work with --enable-fine-grain-logging"),
    "dynamic base id and epoch": (["--use-dynamic-base-id", "--restart-epoch", "2"],
                                  "error: cannot use --restart-epoch=2 with --use-dynamic-base-id"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_ends_with_1(flavour, name):
    args, mentions = MISTAKES[name]
    done = run(flavour, "--config-yaml", "{}", "--disable-hot-restart", *args)
    assert done.returncode == 1
    assert mentions in done.stderr
    assert done.stdout == ""


def test_no_configuration(flavour):
    done = run(flavour, "--disable-hot-restart")
    assert done.returncode == 1
    assert "At least one of --config-path or --config-yaml" in done.stderr


def test_rest_is_ignored(flavour):
    assert run(flavour, "--mode", "validate", "--config-yaml", "{}", "--", "foo", "--bar").returncode == 0
    assert run(flavour, "--mode", "validate", "--config-yaml", "{}", "--ignore_rest", "foo").returncode == 0


def test_version_goes_to_stdout(flavour):
    done = run(flavour, "--version")
    assert done.returncode == 0
    assert re.fullmatch(rf"\n{re.escape(binary(flavour))}  version: [0-9a-f]{{40}}/\S+/Clean/RELEASE/BoringSSL\n\n",
                        done.stdout)


@pytest.mark.parametrize("given, workers", [("0", 1), ("3", 3)])
def test_concurrency(flavour, given, workers):
    with Proxy(flavour, answering(), concurrency=given) as proxy:
        proxy.wait_stat("server.concurrency", workers)


def test_server_info_tells_flags(flavour):
    args = ["--drain-time-s", "7", "--parent-shutdown-time-s", "9", "--drain-strategy", "immediate", "--stats-tag", "a:b",
            "--log-format", "%v", "--skip-deprecated-logs", "--service-zone", "z"]
    with Proxy(flavour, answering(), args=args) as proxy:
        told = info(proxy)
    wanted = {"drain_time": "7s", "parent_shutdown_time": "9s", "drain_strategy": "Immediate", "stats_tag": ["a:b"],
              "log_format": "%v", "skip_deprecated_logs": True, "service_zone": "z", "disable_hot_restart": True}
    assert {key: told[key] for key in wanted} == wanted


def test_stats_tag_is_on_every_series(flavour):
    with Proxy(flavour, answering(), args=["--stats-tag", "zone:eu-1", "--stats-tag", "tier:x"]) as proxy:
        lines = [line for line in proxy.admin("/stats/prometheus").text.splitlines() if line and line[0] != "#"]
    assert len(lines) > 50
    # Envoy makes some series of its own before it knows the tags.
    assert [line for line in lines if not line.startswith("envoy_filesystem")
            and ('zone="eu-1"' not in line or 'tier="x"' not in line)] == []


def test_log_format(flavour):
    pattern = "<%l|%n|%L|%Y|%-10!v|%%|%q>"
    with Proxy(flavour, answering(), args=["--log-format", pattern]) as proxy:
        wait_for(lambda: re.search(r"^<info\|main\|I\|20\d\d\|.{10}\|%\|%q>$", proxy.log, re.MULTILINE), "such lines")


def with_log_format(**log_format):
    return {**answering(), "application_log_config": {"log_format": log_format}}


def test_log_format_of_the_bootstrap(flavour):
    with Proxy(flavour, with_log_format(text_format="%l|%n|%v")) as proxy:
        wait_for(lambda: re.search(r"^info\|main\|\S.*$", proxy.log, re.MULTILINE), "such lines")
    with Proxy(flavour, with_log_format(json_format={"level": "%l", "message": "%j", "in": {"thread": "%t"}})) as proxy:
        def lines():
            return [json.loads(line) for line in proxy.log.splitlines() if line.startswith("{")]

        wait_for(lambda: any("all dependencies" in line["message"] for line in lines()), "such lines")
        assert {"level", "message", "in"} == set(lines()[-1])


@pytest.mark.parametrize("log_format, args, mentions", [
    ({"json_format": {"message": "%v"}}, [], "Usage of %v is unavailable for JSON log formats"),
    ({"json_format": {"message": "%_"}}, [], "Usage of %_ is unavailable for JSON log formats"),
    ({}, [], ""),
    ({"text_format": "%v"}, ["--log-format", "%v"], "Only one of ApplicationLogConfig.log_format or CLI option"),
], ids=str)
def test_log_format_that_is_refused(flavour, log_format, args, mentions):
    code, output = validate(flavour, with_log_format(**log_format), args=args)
    assert code == 1
    assert mentions in output


def test_log_format_escaped(flavour):
    code, output = validate(flavour, '{"a\nb": 1}', args=["--log-format-escaped"])
    assert code == 1
    critical = [line for line in output.splitlines() if "[critical]" in line]
    assert len(critical) == 1


def test_component_log_level(flavour):
    with Proxy(flavour, answering(), args=["--component-log-level", "http:debug"]) as proxy:
        with proxy.connect() as client:
            assert client.get("/").status == 200
        wait_for(lambda: "[debug][http]" in proxy.log, "a line of http's")
        assert "[debug][connection]" not in proxy.log


def test_log_path_and_sigusr1(flavour, tmp_path):
    log, moved = tmp_path / "log", tmp_path / "log.1"
    with Proxy(flavour, answering(), args=["--log-path", str(log)]) as proxy:
        wait_for(lambda: "admin address" in log.read_text(), "lines in the file")
        log.rename(moved)
        proxy.signal(signal.SIGUSR1)
        wait_for(log.exists, "a new file")
        proxy.signal(signal.SIGHUP)
        wait_for(lambda: "SIGHUP" in log.read_text(), "lines in the new file")


def test_sighup_is_eaten(flavour):
    with Proxy(flavour, answering()) as proxy:
        proxy.signal(signal.SIGHUP)
        wait_for(lambda: "caught and eating SIGHUP" in proxy.log, "it is told")
        with proxy.connect() as client:
            assert client.get("/").status == 200


def test_core_dump_limit(flavour):
    if flavour == "envoy":
        pytest.skip("only makes the process dumpable")

    def forbid():
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))

    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("no core dumps on this machine")
    proxy = Proxy(flavour, answering(), args=["--enable-core-dump"])
    process = subprocess.Popen(proxy.command(), preexec_fn=forbid, cwd=proxy.dir, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        wait_for((proxy.dir / "admin").exists, "it runs")
        limits = open(f"/proc/{process.pid}/limits").read()
        soft, hard = re.search(r"Max core file size\s+(\S+)\s+(\S+)", limits).groups()
        assert soft == hard
    finally:
        process.terminate()
        process.wait(20)


def test_disabled_extension_is_refused(flavour):
    bootstrap = answering()
    code, output = validate(flavour, bootstrap, args=["--disable-extensions",
                                                      "envoy.filters.http/envoy.filters.http.router"])
    assert code == 1
    assert "filters.http.router" in output
    code, output = validate(flavour, bootstrap, args=["--disable-extensions", "nonsense,envoy.filters.http/no.such"])
    assert code == 0
    assert "failed to disable invalid extension name 'nonsense'" in output


MERGED = {
    "scalar": ({"node": {"id": "a", "cluster": "c"}}, "node: {id: b}", lambda n: (n["id"], n["cluster"]) == ("b", "c")),
    "map": ({"node": {"id": "a", "cluster": "c", "metadata": {"x": 1, "y": {"z": 2}}}}, "node: {metadata: {x: 3, w: 4}}",
            lambda n: n["id"] == "a"),
    "file alone": ({"node": {"id": "a", "cluster": "c"}}, "", lambda n: n["id"] == "a"),
}


@pytest.mark.parametrize("name", MERGED)
def test_config_yaml_merges_over_the_file(flavour, name):
    bootstrap, text, check = MERGED[name]
    args = ["--config-yaml", text] if text else []
    with Proxy(flavour, bootstrap, args=args) as proxy:
        dump = proxy.admin("/config_dump").json()["configs"][0]["bootstrap"]["node"]
        assert check(dump)


def test_config_yaml_appends_repeated_fields(flavour):
    with Proxy(flavour, answering(), args=["--config-yaml", json.dumps(
            {"static_resources": {"clusters": [c.cluster("more")]}})]) as proxy:
        assert proxy.wait_listener("l")
        assert proxy.stat("cluster_manager.active_clusters") == 1


def tcp(host, port):
    return {"socket_address": {"address": host, "port_value": port}}


def test_validation_binds_nothing(flavour, tmp_path):
    """It runs beside the proxy that serves, and on machines that have other addresses."""
    path = tmp_path / "l.sock"
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket(socket.AF_UNIX) as at_path:
        at_path.bind(str(path))
        at_path.listen()
        listeners = [c.listener("taken", c.hcm(c.routes("r", c.vhost("v", ["*"])))) for _ in range(3)]
        for listener, name, address in zip(listeners, ("taken", "elsewhere", "unix"), (
                tcp("127.0.0.1", taken.getsockname()[1]), tcp("192.0.2.7", 80), {"pipe": {"path": str(path)}})):
            listener.update({"name": name, "address": address})
        bootstrap = c.static_bootstrap(listeners)
        bootstrap["admin"] = {"address": tcp("127.0.0.1", taken.getsockname()[1])}
        code, output = validate(flavour, bootstrap)
        assert code == 0, output
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_validation_still_compares_addresses(flavour):
    listeners = [c.listener(name, c.hcm(c.routes("r", c.vhost("v", ["*"])))) for name in ("a", "b")]
    for listener in listeners:
        listener["address"] = tcp("192.0.2.7", 80)
    code, output = validate(flavour, c.static_bootstrap(listeners))
    assert code == 1 and "has duplicate address '192.0.2.7:80' as existing listener" in output


@pytest.mark.parametrize("text, good", [("{}", True), ("{", False), ("{foo: 1}", False), ("[1]", False),
                                        ("node: {id: x}", True)])
def test_config_yaml_alone(flavour, text, good):
    done = run(flavour, "--mode", "validate", "--config-yaml", text)
    assert done.returncode == (0 if good else 1)


def test_unknown_static_fields(flavour):
    bootstrap = {"static_resources": {"clusters": [{**c.cluster("a"), "no_such_field": 1}]}}
    assert validate(flavour, bootstrap)[0] == 1
    assert validate(flavour, bootstrap, args=["--allow-unknown-static-fields"])[0] == 0
    assert validate(flavour, bootstrap, args=["--allow-unknown-fields"])[0] == 0
