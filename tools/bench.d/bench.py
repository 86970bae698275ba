"""tools/bench: nuncio beside its peers, in one run on one machine. See README.md."""

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1] / "integration"))

from peers import PEERS  # noqa: E402
from scenarios import SCENARIOS  # noqa: E402


def options():
    parser = argparse.ArgumentParser(prog="tools/bench", description=__doc__)
    parser.add_argument("scenario", nargs="*", help=f"which; all without: {', '.join(SCENARIOS)}")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds; the median counts")
    parser.add_argument("--seconds", type=float, default=2.0, help="of load, a round and peer")
    parser.add_argument("--only", default="", help="peers, by comma: nuncio,envoy,nginx,haproxy")
    parser.add_argument("--json", metavar="FILE", help="write every sample there ('-': standard output, no table)")
    parser.add_argument("--proxy-cpu", type=int, default=1)
    parser.add_argument("--client-cpu", type=int, default=0)
    parser.add_argument("--check", action="store_true", help="fail (exit 1) where a budget of design is missed")
    chosen = parser.parse_args()
    unknown = [s for s in chosen.scenario if s not in SCENARIOS]
    if unknown:
        parser.error(f"no scenario {unknown[0]}; there are {', '.join(SCENARIOS)}")
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        print("only one CPU: proxy, client and backend share it; nothing is pinned", file=sys.stderr)
        chosen.proxy_cpu = chosen.client_cpu = None
    return chosen


def run(name, chosen, peers, say):
    """All rounds of a scenario: {peer: {metric: [samples]}}."""
    samples = {}
    with SCENARIOS[name](chosen) as scenario:
        able = [p for p in peers if scenario.can(p)]
        for number in range(chosen.rounds):
            # A different order each round, so that no peer always comes after the same one.
            turn = number % len(able) if able else 0
            for peer in able[turn:] + able[:turn]:
                say(f"{name}: round {number + 1} of {chosen.rounds}, {peer.name}")
                for metric, value in scenario.measure(peer).items():
                    samples.setdefault(peer.name, {}).setdefault(metric, []).append(value)
    return samples


def medians(samples):
    return {peer: {m: statistics.median(v) for m, v in metrics.items()} for peer, metrics in samples.items()}


def figure(value):
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def ratios(middle, compared):
    """{metric: (nuncio/envoy, nuncio/best of the classics)}, from medians."""
    out = {}
    for metric in compared:
        own = middle.get("nuncio", {}).get(metric)
        oracle = middle.get("envoy", {}).get(metric)
        classics = [middle[p][metric] for p in ("nginx", "haproxy") if metric in middle.get(p, {})]
        out[metric] = {
            "nuncio/envoy": own / oracle if own is not None and oracle else None,
            "nuncio/best": own / min(classics) if own is not None and classics and min(classics) > 0 else None,
        }
    return out


# Budgets of design.md, section 10: scenario, metric -> (limit, what it is compared with).
BUDGETS = {
    ("h1", "cpu_us"): [(0.45, "nuncio/envoy"), (1.0, "nuncio/best")],
    ("h1k", "cpu_us"): [(0.30, "nuncio/envoy"), (1.0, "nuncio/best")],
    ("h2", "cpu_us"): [(0.40, "nuncio/envoy"), (1.0, "nuncio/best")],
    ("tls", "cpu_us"): [(0.50, "nuncio/envoy"), (1.0, "nuncio/best")],
    ("tls-hs", "cpu_us"): [(0.85, "nuncio/envoy")],
    ("idle-tls", "connection_bytes"): [(12 * 1024, None)],
    ("routes", "last_to_first"): [(1.05, None)],
    ("boot", "first_200_ms"): [(20, None)],
    ("clusters", "first_200_ms"): [(300, None)],
    ("clusters-ads", "first_200_ms"): [(300, None)],
    ("clusters-ads", "rss_kb"): [(50 * 1024, None)],
    ("idle", "rss_kb"): [(10 * 1024, None)],
    ("idle", "connection_bytes"): [(1536, None)],
    ("rds-push", "visible_ms"): [(40, None)],
    ("cds-push", "ack_ms"): [(40, None)],
    ("cds-push-delta", "ack_ms"): [(2, None)],
}


def verdicts(name, middle, compared):
    """(text, kept?) for each budget of the scenario that this run can judge."""
    out = []
    relative = ratios(middle, compared)
    for (scenario, metric), limits in BUDGETS.items():
        if scenario != name:
            continue
        for limit, against in limits:
            got = relative.get(metric, {}).get(against) if against else middle.get("nuncio", {}).get(metric)
            if got is not None:
                what = f"{metric} {against}" if against else metric
                out.append((f"{what} {figure(got)}, budget {figure(limit)}", got <= limit))
    return out


def table(name, middle, compared):
    print(f"\n{name}: {SCENARIOS[name].title}")
    metrics = list(dict.fromkeys(m for values in middle.values() for m in values))
    width = max(len(m) for m in metrics) + 2
    names = [p.name for p in PEERS if p.name in middle]
    relative = ratios(middle, compared)
    print(" " * width + "".join(f"{n:>12}" for n in names) + f"{'nuncio/envoy':>14}{'nuncio/best':>13}")
    for metric in metrics:
        row = "".join(
            f"{figure(middle[n][metric]) if metric in middle[n] else '-':>12}" for n in names)
        pair = relative.get(metric, {})
        ends = [f"{pair[k]:.3f}" if pair.get(k) is not None else "" for k in ("nuncio/envoy", "nuncio/best")]
        print(f"{metric:<{width}}{row}{ends[0]:>14}{ends[1]:>13}".rstrip())
    for text, kept in verdicts(name, middle, compared):
        print(f"  {'kept  ' if kept else 'MISSED'}  {text}")


def main():
    chosen = options()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    wanted = [n for n in chosen.only.split(",") if n] or [p.name for p in PEERS]
    peers = [p for p in PEERS if p.name in wanted]

    def say(text):
        if sys.stderr.isatty():
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    result = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "machine": platform.processor() or platform.machine(),
        "cpus": os.cpu_count(), "rounds": chosen.rounds, "seconds": chosen.seconds, "scenarios": {},
    }
    missed = 0
    for name in chosen.scenario or SCENARIOS:
        samples = run(name, chosen, peers, say)
        say("")
        middle = medians(samples)
        compared = SCENARIOS[name].compared
        result["scenarios"][name] = {
            "title": SCENARIOS[name].title, "median": middle, "ratios": ratios(middle, compared), "samples": samples,
            "budgets": [{"what": t, "kept": k} for t, k in verdicts(name, middle, compared)],
        }
        missed += sum(not kept for _, kept in verdicts(name, middle, compared))
        if chosen.json != "-" and middle:
            table(name, middle, compared)
            sys.stdout.flush()
        elif chosen.json != "-":
            print(f"\n{name}: no peer here can do it")
    if chosen.json == "-":
        json.dump(result, sys.stdout, indent=1)
        print()
    elif chosen.json:
        Path(chosen.json).write_text(json.dumps(result, indent=1) + "\n")
    return 1 if chosen.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
