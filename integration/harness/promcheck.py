"""Reads a page of metrics as promtool does: drives go/promcheck."""

import subprocess

import pytest

from harness import paths


def check(text):
    """promtool's parser and linter over a page: what it complains about."""
    program = paths.BUILD / "integration" / "promcheck"
    if not program.exists():
        pytest.skip("no promcheck: integration/build.sh makes it where there is Go")
    ran = subprocess.run([program], input=text.encode(), capture_output=True, timeout=60)
    assert ran.returncode == 0, ran.stderr.decode()
    return ran.stdout.decode().splitlines()
