"""gRPC calls survive configuration churn (load/grpc_soak.py has the details). --full: five minutes of each."""

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "load"))

from grpc_soak import soak  # noqa: E402


@pytest.mark.churn
def test_no_call_is_lost(flavour, delta, ads, pytestconfig, record_property):
    seconds = 300 if pytestconfig.getoption("--full") else 15
    result = soak(flavour, seconds=seconds, delta=delta, gentle=flavour == "envoy", calls_a_second=10, ads=ads)
    record_property("soak", json.dumps(result))
    print(json.dumps(result))
    assert result["nacks"] == []
    assert result["updates"] >= 2 * seconds
    assert result["calls"] + result["failures"] == 16 * 10 * seconds
    if flavour == "nuncio":
        assert result["failures"] == 0, result
    else:
        # Envoy applies each response at once: what it loses shows that the updates do hurt.
        assert result["failures"] > 0
