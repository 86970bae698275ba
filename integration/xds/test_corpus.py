"""Configurations that real control planes push: judged, never fatal, never dropped in silence (../corpus_report.py)."""

import pytest

from corpus_report import cases, corpus_dir, crashes, run_case

PLACE = corpus_dir()
CASES = list(cases(PLACE)) if PLACE else []


@pytest.mark.corpus
@pytest.mark.skipif(PLACE is None, reason="no corpus here: set NUNCIO_CORPUS")
@pytest.mark.parametrize("name, case", CASES, ids=[name for name, _ in CASES])
def test_case_is_judged(flavour, flavours, delta, ads, name, case):
    if flavour == "envoy" and (len(flavours) > 1 or delta):
        pytest.skip("the oracle is asked with --oracle-only, and only about SotW")
    if delta and not any(r["resources"] for r in case["responses"]):
        pytest.skip("a bootstrap alone: done under sotw")
    report = run_case(flavour, ads, case, delta)
    assert crashes(report) == []
    if flavour == "nuncio":
        assert report.get("not_sent", []) == []
        assert report.get("dropped", []) == []
        assert "unanswered" not in report, report
