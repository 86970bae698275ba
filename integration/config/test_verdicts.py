"""What is accepted and what is refused: corpus/verdicts/ holds Envoy's verdicts, which the unit tests hold the
parsers to. Here Envoy itself is held to them, so that a newer Envoy shows what it decides differently."""

import json
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import config as c
from harness import paths

VERDICTS = Path(__file__).parents[1] / "corpus" / "verdicts"


def with_route(table):
    return [c.listener("l", c.hcm(table))], []


def with_cluster(cluster):
    return [], [cluster]


def with_listener(listener):
    return [listener], []


def with_manager(manager):
    return [c.listener("l", {"name": "hcm", "typed_config": {"@type": c.HCM, **manager}})], []


def with_format(text):
    log = {"name": "log", "typed_config": {"@type": c.FILE_LOG, "path": "/dev/null", "log_format": {
        "text_format_source": {"inline_string": text}}}}
    return [c.listener("l", c.hcm(c.routes("r"), access_log=[log]))], []


def with_connection_limit(limit):
    table = c.routes("r")
    listener = c.listener("l", c.hcm(table))
    listener["filter_chains"][0]["filters"].insert(0, {"name": "limit", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit", **limit}})
    return [listener], []


def with_overload_manager(manager):
    return [], [], {"overload_manager": manager}


KINDS = {"route": with_route, "cluster": with_cluster, "upstream_http": with_cluster, "listener": with_listener,
         "hcm": with_manager, "connection_limit": with_connection_limit, "format": with_format,
         "overload_manager": with_overload_manager}


def rows(kind):
    for line in (VERDICTS / f"{kind}.tsv").read_text().splitlines():
        if not line.startswith("#"):
            verdict, name, text, _ = line.split("\t")
            yield verdict, name, json.loads(text)


def is_accepted(binary, listeners, clusters, more=()):
    bootstrap = {
        "node": {"id": "n", "cluster": "n"},
        "static_resources": {"listeners": listeners, "clusters": [{"name": "c", "type": "STATIC"}, *clusters]},
        **dict(more),
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(bootstrap, file)
        file.flush()
        command = [binary, "--mode", "validate", "-c", file.name, "--log-level", "off"]
        return subprocess.run(command, capture_output=True, timeout=60).returncode == 0


@pytest.mark.parametrize("kind", KINDS)
def test_envoy_still_says_so(kind):
    if paths.envoy() is None:
        pytest.skip("no Envoy")
    cases = list(rows(kind))
    with ThreadPoolExecutor(2) as pool:
        accepted = list(pool.map(lambda case: is_accepted(paths.envoy(), *KINDS[kind](case[2])), cases))
    wrong = [name for (verdict, name, _), good in zip(cases, accepted) if good != (verdict != "refuse")]
    assert wrong == []
