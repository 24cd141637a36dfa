#!/usr/bin/env python3
"""Measures training steps, one process a case; with --peers, plain PyTorch in turn with ours, and the ratios of the two. The case "jobs" is
what the job service costs (bench/jobs_bench.cc).

Usage: train.py ATELIER_BENCH [--peers PYTHON] [--case CASE]... [--rounds N] [--steps N]

PYTHON is an interpreter with torch (scripts/bench finds one). Each round runs ours and then the peer; the figures are medians over the
rounds, the ratios medians of each round's ratio, so that a machine that is busy for a while cannot favour one of them.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

PEER = pathlib.Path(__file__).resolve().parent / "peers/train_pytorch.py"
# The design's aims for ours over PyTorch.
RATIO_AIMS = {"cyclegan-128": 1.5, "cyclegan-128-bf16": 2.0, "cyclegan-256": 1.2, "cyclegan-256-bf16": 1.4}
CASES = [*RATIO_AIMS, "faststyle-256", "faststyle-256-bf16", "jobs"]


def measure(command):
    """The rows of one run by metric, or None when it failed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        return None
    return {row["metric"]: row for row in map(json.loads, done.stdout.splitlines())}


def median_row(rounds, metric):
    values = [rows[metric]["value"] for rows in rounds]
    row = rounds[0][metric] | {"value": statistics.median(values)}
    return row | ({"lowest": min(values), "highest": max(values), "rounds": len(values)} if len(values) > 1 else {})


def run_case(case, arguments):
    if case == "jobs":
        return subprocess.run([pathlib.Path(arguments.program).parent / "atelier-bench-serve", "jobs"]).returncode == 0
    ours, peers = [], []
    has_peer = arguments.peers and case in RATIO_AIMS
    for _ in range(arguments.rounds):
        ours.append(measure([arguments.program, "train", case, "--steps", str(arguments.steps)]))
        if has_peer:
            peers.append(measure([*arguments.peers.split(), str(PEER), case, "--steps", str(arguments.steps)]))
    if None in ours or None in peers:
        return False
    for rounds in filter(None, (ours, peers)):
        for metric in rounds[0]:
            print(json.dumps(median_row(rounds, metric)), flush=True)
    for name, metric, better, aim in (("ratio_pytorch", "steps_per_s", "higher", RATIO_AIMS.get(case)),
                                      ("memory_ratio_pytorch", "peak_rss_mib", "lower", 1.0)):
        if has_peer:
            ratios = [a[metric]["value"] / b[metric]["value"] for a, b in zip(ours, peers)]
            print(json.dumps({"bench": "train", "case": case, "metric": name, "value": statistics.median(ratios), "unit": "ratio",
                              "better": better, "aim": aim, "lowest": min(ratios), "highest": max(ratios),
                              "peer": peers[0][metric]["peer"]}), flush=True)
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="atelier-bench")
    parser.add_argument("--peers", metavar="PYTHON")
    parser.add_argument("--case", action="append", choices=CASES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3)
    arguments = parser.parse_args()
    return 0 if all([run_case(case, arguments) for case in arguments.case or CASES]) else 1


if __name__ == "__main__":
    sys.exit(main())
