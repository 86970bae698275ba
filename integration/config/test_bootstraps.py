"""Bootstraps that real control planes and Envoy's examples write: `--mode validate` says what Envoy's says, or names what
is not built yet.

Both proxies run in a tree that holds the files a bootstrap names, with `--service-node n --service-cluster c`."""

import copy
import json
import re
from pathlib import Path

import pytest

from corpus_report import cases, corpus_dir, secrets_named, stand_in
from harness import paths
from harness.certs import Authority
from harness.proxy import validate

PLACE = corpus_dir()
BOOTSTRAPS = [(name, case["bootstrap"]) for name, case in (cases(PLACE) if PLACE else ()) if case.get("bootstrap")]
SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
NOT_BUILT = re.compile(
    r"not built|not supported|[Uu]nsupported|Didn't find a registered implementation|unknown extension|no such extension")


def camel(name):
    return re.sub("_(.)", lambda m: m.group(1).upper(), name)


def plain(value):
    """The same with lowerCamelCase keys, as the rest of corpus_report wants them; free-form maps are left alone."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key if key.startswith("@") else camel(key):
                inner if key in ("metadata", "filter_metadata", "static_layer") else plain(inner)
                for key, inner in value.items()}
    return value


class Tree:
    """The files that a bootstrap names, in a directory of the test's; bootstrap names them there."""

    def __init__(self, directory, bootstrap):
        self.directory = Path(directory)
        self.leaf = Authority("corpus").leaf("a.test", dns=["a.test"])
        self.secrets = {}
        self.bootstrap = plain(copy.deepcopy(bootstrap))
        for kind, config in secrets_named(self.bootstrap):
            source = config.get("sdsConfig", {}).get("pathConfigSource")
            if source:
                self.secrets[source["path"]] = {"@type": SECRET, **stand_in(kind, config["name"])}
        self._rewrite(self.bootstrap)

    def _place(self, path):
        place = self.directory / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def _rewrite(self, value):
        if isinstance(value, list):
            for item in value:
                self._rewrite(item)
        elif isinstance(value, dict):
            for key, inner in value.items():
                if key == "filename":
                    place = self._place(inner)
                    place.write_text(self.leaf.key_pem if "key" in inner else self.leaf.pem)
                    value[key] = str(place)
                elif key == "pathConfigSource":
                    place = self._place(inner["path"])
                    named = self.secrets.get(inner["path"])
                    place.write_text(json.dumps({"resources": [named] if named else []}))
                    inner["path"] = str(place)
                else:
                    self._rewrite(inner)


def verdict(flavour, bootstrap):
    code, output = validate(flavour, bootstrap, ["--service-node", "n", "--service-cluster", "c"])
    assert code in (0, 1), output
    lines = [line for line in output.splitlines() if line.strip()]
    return code == 0, lines[-1] if lines else ""


@pytest.mark.corpus
@pytest.mark.skipif(not BOOTSTRAPS, reason="no corpus here: set NUNCIO_CORPUS")
@pytest.mark.skipif(paths.envoy() is None or paths.nuncio() is None, reason="needs both")
@pytest.mark.parametrize("name, bootstrap", BOOTSTRAPS, ids=[name for name, _ in BOOTSTRAPS])
def test_verdict_is_envoys(tmp_path, name, bootstrap):
    tree = Tree(tmp_path, bootstrap)
    wanted, why = verdict("envoy", tree.bootstrap)
    got, said = verdict("nuncio", tree.bootstrap)
    print(f"\n{name}: Envoy {wanted} ({why[:300]})\n  nuncio {got} ({said[:300]})")
    if got != wanted:
        assert wanted and NOT_BUILT.search(said), f"Envoy: {why}\nnuncio: {said}"
