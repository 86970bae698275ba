"""Valid configuration changes close no WebSocket that they do not touch (load/tunnels.py has the details)."""

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "load"))

from tunnels import hold  # noqa: E402


def size(config):
    if config.getoption("--full"):
        return {"sockets": 1000, "updates": 10000, "pause": 2.0}
    return {"sockets": 100, "updates": 200, "pause": 0.3}


@pytest.mark.churn
def test_no_tunnel_is_closed(flavour, delta, ads, pytestconfig, record_property):
    wanted = size(pytestconfig)
    result = hold(flavour, delta=delta, ads=ads, **wanted)
    record_property("tunnels", json.dumps(result))
    print(json.dumps(result))
    assert result["nacks"] == []
    assert result["lost"] == 0, result
    assert result["active"] == wanted["sockets"]
    assert result["echoes"] > wanted["sockets"]
