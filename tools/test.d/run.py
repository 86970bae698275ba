"""Builds and runs all tests, then says how many passed. Started by tools/test, which sets up the machine."""

import json
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"

TREES = {
    "asan": ["-Db_sanitize=address,undefined", "-Doptimization=1"],
    "tsan": ["-Db_sanitize=thread", "-Doptimization=1"],
}
# Files of tests run beside each other: most of the time they wait for a process to start, or for a timer.
SIDE_BY_SIDE = ["--numprocesses", str(min(len(os.sched_getaffinity(0)), 3) + 1), "--dist", "loadfile"]
# Failures that may be an accident: few, and none in which nuncio itself broke down.
MOST_TRIED_AGAIN = 20
BREAKDOWN = re.compile(r"Sanitizer|runtime error:|Assertion .* failed|ended with -\d+| is gone")
SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}


class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.problems = []
        self.unsteady = []

    def add(self, passed, failed, skipped=0):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped

    def fail(self, what):
        """A step that could not run counts as one failed test."""
        self.failed += 1
        self.problems.append(what)

    def line(self):
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


def run(*command, env=None):
    print("$", *command, flush=True)
    return subprocess.run([str(c) for c in command], cwd=ROOT, env={**os.environ, **(env or {})}).returncode


def build(tally, name, target="all"):
    """Builds one of TREES; False, and counted, if that fails."""
    directory = BUILD / name
    if not (directory / "build.ninja").exists():
        kind = (BUILD / "boringssl.kind").read_text().strip()
        if run("meson", "setup", directory, f"-Dboringssl={kind}", *TREES[name]) != 0:
            tally.fail(f"{name}: meson setup")
            return False
    if run("ninja", "-C", directory, target) != 0:
        tally.fail(f"{name}: build")
        return False
    return True


def without_aslr():
    """TSan of gcc 12 cannot map its shadow where the kernel randomises more than 28 bits."""
    command = ["setarch", os.uname().machine, "-R"]
    return command if subprocess.run([*command, "true"], capture_output=True).returncode == 0 else []


def add_meson_log(tally, log):
    """Counts the cases inside a cmocka program, and any other program as one."""
    for line in log.read_text(errors="replace").splitlines():
        test = json.loads(line)
        output = test.get("stdout", "") + test.get("stderr", "")
        cases = sum(map(int, re.findall(r"^\[  PASSED  \] (\d+) test", output, re.M)))
        failed_cases = sum(map(int, re.findall(r"^\[  FAILED  \] (\d+) test", output, re.M)))
        if test["result"] in ("OK", "EXPECTEDFAIL"):
            tally.add(max(cases, 1), 0)
        elif test["result"] == "SKIP":
            tally.add(0, 0, 1)
        else:
            tally.add(cases, max(failed_cases, 1))
            tally.problems.append(f"{test['name']}: {test['result']}")


def meson_test(tally, name, arguments=(), wrapper=()):
    directory = BUILD / name
    log = directory / "meson-logs" / "testlog.json"
    log.unlink(missing_ok=True)
    status = run(*wrapper, "meson", "test", "-C", directory, "--print-errorlogs", *arguments, env=SANITIZER_ENV)
    if log.exists():
        failed = tally.failed
        add_meson_log(tally, log)
        if status != 0 and tally.failed == failed:
            tally.fail(f"{name}: meson test")
    else:
        tally.fail(f"{name}: no test ran")


def run_pytest(what, binary, *arguments, wrapper=()):
    """(pytest's exit status; its counts, None if it left no report; {test: the text of its failure})"""
    report = BUILD / f"pytest-{what}.xml"
    report.unlink(missing_ok=True)
    status = run(*wrapper, BUILD / "venv/bin/python", "-m", "pytest", "-q", f"--junitxml={report}", *arguments,
                 "integration", env={**SANITIZER_ENV, "NUNCIO_BIN": str(binary)})
    if not report.exists():
        return status, None, {}
    suite = ElementTree.parse(report).getroot().find("testsuite")
    counts = {k: int(suite.get(k)) for k in ("tests", "errors", "failures", "skipped")}
    texts = {f"{case.get('classname')}::{case.get('name')}": e.get("message", "") + "\n" + (e.text or "")
             for case in suite.iter("testcase") for kind in ("failure", "error") for e in case.iter(kind)}
    return status, counts, texts


def summaries(what, texts):
    """One line for each failure: what stands at the end must say it, for logs are cut."""
    return [f"{what}: {test}: {' '.join(text.split())[:300]}" for test, text in texts.items()]


def pytest(tally, what, binary, *arguments, wrapper=()):
    """The integration tests. The few that fail are tried once more, by themselves: Envoy and the clients have clocks of
    their own, and the machine may be somebody else's for a second. What needed that is said at the end."""
    status, counts, texts = run_pytest(what, binary, *arguments, *SIDE_BY_SIDE, wrapper=wrapper)
    if counts is None:
        tally.fail(f"integration ({what}): pytest did not run")
        return
    failed = counts["errors"] + counts["failures"]
    passed = counts["tests"] - failed - counts["skipped"]
    if status == 1 and failed <= MOST_TRIED_AGAIN and not BREAKDOWN.search("\n".join(texts.values())):
        first = texts
        status, again, texts = run_pytest(f"{what}-again", binary, *arguments, "--last-failed", "--last-failed-no-failures=none",
                                   wrapper=wrapper)
        if again is not None and status in (0, 1):  # else all of them stay failed
            still = again["errors"] + again["failures"]
            tally.unsteady += summaries(what, {k: v for k, v in first.items() if k not in texts})
            passed, failed = passed + failed - still, still
        else:
            texts = first
    tally.add(passed, failed, counts["skipped"])
    if status not in (0, 1):
        tally.fail(f"integration ({what}): pytest exited {status}")
    elif status == 1:
        tally.problems += summaries(what, texts)


def unit(tally):
    if build(tally, "asan"):
        meson_test(tally, "asan")


def threads(tally):
    if build(tally, "tsan", "nuncio"):
        meson_test(tally, "tsan", ["--suite", "threads"], without_aslr())
        # The whole program, where no gRPC is in it: that is not instrumented.
        pytest(tally, "tsan", BUILD / "tsan" / "nuncio", "--nuncio-only", "-m", "threads", wrapper=without_aslr())


def integration(tally):
    if run("tools/build") == 0:
        pytest(tally, "release", BUILD / "nuncio")
    else:
        tally.fail("tools/build")
    if build(tally, "asan", "nuncio"):
        # The oracle has spoken above; here only nuncio's own memory is on trial.
        pytest(tally, "asan", BUILD / "asan" / "nuncio", "--nuncio-only")


STEPS = {"unit": unit, "threads": threads, "integration": integration}


def main():
    chosen = sys.argv[1:] or list(STEPS)
    unknown = set(chosen) - set(STEPS)
    if unknown:
        sys.exit(f"tools/test: no such part: {' '.join(unknown)}; there are {' '.join(STEPS)}")
    tally = Tally()
    times = []
    for name in chosen:
        start = time.monotonic()
        STEPS[name](tally)
        times.append(f"{name} {time.monotonic() - start:.0f} s")
    print()
    print("time:", ", ".join(times))
    for what in tally.unsteady:
        print("UNSTEADY:", what)
    for problem in tally.problems:
        print("FAILED:", problem)
    print(tally.line(), flush=True)
    sys.exit(1 if tally.failed or not tally.passed else 0)


if __name__ == "__main__":
    main()
