"""Valid configuration changes lose no request (load/churn.py has the details).

Short by default; --full is the size that the project promises: 1,000 updates during 100,000 requests.
"""

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "load"))

from churn import churn  # noqa: E402


def size(config):
    if config.getoption("--full"):
        return {"updates": 1000, "requests": 100000}
    return {"updates": 100, "requests": 15000}


@pytest.mark.churn
@pytest.mark.parametrize("gentle", [True, False], ids=["gentle", "rough"])
def test_no_request_is_lost(flavour, delta, gentle, ads, pytestconfig, record_property):
    if flavour == "envoy" and not gentle:
        pytest.skip("Envoy holds CDS for 15 s whenever endpoints are not sent again")
    result = churn(flavour, delta=delta, gentle=gentle, ads=ads, **size(pytestconfig))
    record_property("churn", json.dumps(result))
    print(json.dumps(result))
    # The updates are valid: whoever refuses one, or answers for the wrong path, is wrong.
    assert result["nacks"] == []
    assert result["misrouted"] == 0
    assert result["requests"] >= size(pytestconfig)["requests"]
    if flavour == "nuncio":
        assert result["failures"] == 0, result
    else:
        # Envoy applies each response at once; that it loses some shows that the updates do hurt.
        assert result["failures"] > 0
