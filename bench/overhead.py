#!/usr/bin/env python3
"""What the way through the service costs: the identity model, a payload of 20 kB, one and eight clients, with a C++ client and with the real
tritonclient, beside an empty C++ handler (the floor for that client), and with --peers beside Triton.

Usage: overhead.py BIN --client FOLDER [--peers PYTHON] [--rounds N] [--seconds S]

BIN is the folder of atelier-server and atelier-bench-serve, FOLDER that of tritonclient (scripts/install-deps), the interpreter after --peers
has nvidia-pytriton. Triton's identity model is one of its Python backend, the only one that the wheel brings. All servers run at the same time and are measured in turn, so that noise
meets all of them; figures are medians over the rounds.
"""
import argparse
import contextlib
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
AIM_OVER_FLOOR_MS = 0.25
AIM_RATIO_TRITON = {"python": 1.2, "cpp": 2.0}


@contextlib.contextmanager
def serving(command):
    """The address of a program that says where it listens; ended at the end."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        if not line.startswith("listening grpc="):
            raise RuntimeError(f"{command[0]} did not start")
        yield line.split("grpc=")[1].split()[0]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def measure(kind, arguments, address, clients):
    if kind == "python":
        command = [sys.executable, HERE / "peers/infer_client.py", address, "identity", "INPUT0", clients, arguments.seconds]
    else:
        command = [arguments.bin / "atelier-bench-serve", "infer", address, "--clients", clients, "--seconds", f"{arguments.seconds:g}"]
    environment = os.environ | {"PYTHONPATH": arguments.client}
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout)


def run_case(kind, clients, arguments, servers):
    case = f"{kind}-{clients}"
    rounds = {who: [] for who in servers}
    for _ in range(arguments.rounds):
        for who, address in servers.items():
            rounds[who].append(measure(kind, arguments, address, clients))

    def show(metric, values, unit, better, **more):
        spread = {"lowest": min(values), "highest": max(values), "rounds": len(values)}
        print(json.dumps({"bench": "overhead", "case": case, "metric": metric, "value": statistics.median(values), "unit": unit,
                          "better": better, **spread, **more}), flush=True)

    for who, results in rounds.items():
        more = {} if who == "atelier" else {"peer": who}
        show("rps", [result["rps"] for result in results], "1/s", "higher", **more)
        show("p50_ms", [result["p50_ms"] for result in results], "ms", "lower", **more)
        show("p99_ms", [result["p99_ms"] for result in results], "ms", "lower", **more)
    pairs = list(zip(rounds["atelier"], rounds["floor"]))
    show("p50_over_floor_ms", [ours["p50_ms"] - floor["p50_ms"] for ours, floor in pairs], "ms", "lower", aim=AIM_OVER_FLOOR_MS)
    show("rps_ratio_floor", [ours["rps"] / floor["rps"] for ours, floor in pairs], "ratio", "higher")
    if "triton" in rounds:
        show("rps_ratio_triton", [ours["rps"] / peer["rps"] for ours, peer in zip(rounds["atelier"], rounds["triton"])], "ratio", "higher",
             aim=AIM_RATIO_TRITON[kind], peer="triton")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("--client", required=True, help="the folder of tritonclient")
    parser.add_argument("--peers", help="an interpreter with nvidia-pytriton")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "triton").mkdir()
        servers = {
            "atelier": stack.enter_context(serving([
                str(arguments.bin / "atelier-server"), "--data-dir", str(folder / "data"), "--listen", "127.0.0.1:0", "--metrics-listen",
                "127.0.0.1:0", "--shipped-models", "none", "--identity-model"])),
            "floor": stack.enter_context(serving([str(arguments.bin / "atelier-bench-serve"), "floor"])),
        }
        if arguments.peers:
            servers["triton"] = stack.enter_context(serving([arguments.peers, str(HERE / "peers/triton_server.py"), str(folder / "triton")]))
        for kind in ("cpp", "python"):
            for clients in (1, 8):
                run_case(kind, clients, arguments, servers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
