"""Secrets that rotate lose no request (load/sds_rotation.py has the details).

Short by default; --full is the size that the project promises: a rotation a second for 60 s at 1,000 requests a second.
"""

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "load"))

from sds_rotation import SOURCES, rotation  # noqa: E402


@pytest.mark.churn
@pytest.mark.parametrize("source", SOURCES)
def test_rotation_loses_nothing(flavours, source, ads, pytestconfig, record_property):
    if "nuncio" not in flavours:
        pytest.skip("Envoy is compared by hand")
    size = {"seconds": 60} if pytestconfig.getoption("--full") else {"seconds": 4, "interval": 0.25}
    result = rotation("nuncio", source=source, ads=ads, **size)
    record_property("rotation", json.dumps(result))
    print(json.dumps(result))
    assert result["failures"] == 0, result
    assert result["refused"] == 0 and result["unseen"] == 0
    assert result["rotations"] >= 8 and result["resumed"] > 0
    if pytestconfig.getoption("--full"):
        assert result["per_second"] >= 1000
