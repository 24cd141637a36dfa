#!/usr/bin/env python3
"""Training steps a second of plain PyTorch: the same case, networks, losses and optimiser as `atelier-bench train CASE`, and its output.

Usage: train_pytorch.py CASE [--steps N]      CASE: cyclegan-128, cyclegan-128-bf16, cyclegan-256, cyclegan-256-bf16
"""
import argparse
import json
import resource
import statistics
import time

import torch

from plain_pytorch import CycleGan

CASES = {f"cyclegan-{side}{suffix}": (side, precision)
         for side in (128, 256) for suffix, precision in (("", "fp32"), ("-bf16", "bf16"))}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--steps", type=int, default=3, help="timed steps, after one to warm up")
    arguments = parser.parse_args()
    side, precision = CASES[arguments.case]
    step = CycleGan(precision=precision)
    a, b = (torch.rand(1, 3, side, side) * 2 - 1 for _ in range(2))
    seconds = []
    for _ in range(arguments.steps + 1):
        start = time.perf_counter()
        step.run(a, b)
        seconds.append(time.perf_counter() - start)
    row = {"bench": "train", "case": arguments.case, "peer": f"pytorch-{torch.__version__.split('+')[0]}"}
    rate = 1 / statistics.median_low(seconds[1:])
    print(json.dumps(row | {"metric": "steps_per_s", "value": rate, "unit": "1/s", "better": "higher"}))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(row | {"metric": "peak_rss_mib", "value": peak, "unit": "MiB", "better": "lower"}))


if __name__ == "__main__":
    main()
