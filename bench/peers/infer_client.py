#!/usr/bin/env python3
"""Calls ModelInfer of an identity model with the real tritonclient as fast as it goes, and prints what it got as one JSON object.

Usage: infer_client.py HOST:PORT MODEL INPUT CLIENTS SECONDS      Each client is a process with one call in flight.
"""
import json
import multiprocessing
import sys
import time

PAYLOAD_BYTES = 20_000


def client(address, model, name, until, results):
    import numpy
    import tritonclient.grpc as triton

    connection = triton.InferenceServerClient(address)
    payload = triton.InferInput(name, [1, PAYLOAD_BYTES], "UINT8")
    payload.set_data_from_numpy(numpy.zeros((1, PAYLOAD_BYTES), dtype=numpy.uint8))
    for _ in range(20):
        connection.infer(model, [payload])
    start, end = until
    while time.monotonic() < start:
        time.sleep(0.001)
    times = []
    while (begin := time.monotonic()) < end:
        connection.infer(model, [payload])
        times.append(time.monotonic() - begin)
    results.put(times)


def main():
    address, model, name, clients, seconds = sys.argv[1:]
    results = multiprocessing.Queue()
    # All begin together, once they have started up.
    start = time.monotonic() + 2
    until = (start, start + float(seconds))
    processes = [multiprocessing.Process(target=client, args=(address, model, name, until, results)) for _ in range(int(clients))]
    for process in processes:
        process.start()
    times = sorted(sum((results.get(timeout=float(seconds) + 60) for _ in processes), []))
    for process in processes:
        process.join()
    print(json.dumps({"rps": len(times) / float(seconds), "p50_ms": times[len(times) // 2] * 1e3, "p99_ms": times[len(times) * 99 // 100] * 1e3}))


if __name__ == "__main__":
    main()
