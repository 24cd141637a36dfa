#!/usr/bin/env python3
"""Starts the tritonserver binary of the nvidia-pytriton wheel with an identity model (Python backend), says
"listening grpc=HOST:PORT" on standard output, and ends with it at SIGTERM.

Usage: triton_server.py FOLDER      FOLDER is where the model repository is made. Run it with an interpreter that has nvidia-pytriton.
"""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request

CONFIG = """name: "identity"
backend: "python"
max_batch_size: 16
input [{ name: "INPUT0" data_type: TYPE_UINT8 dims: [-1] }]
output [{ name: "OUTPUT0" data_type: TYPE_UINT8 dims: [-1] }]
dynamic_batching {}
instance_group [{ count: 1 kind: KIND_CPU }]
"""
MODEL = """import triton_python_backend_utils as utils


class TritonPythonModel:
    def execute(self, requests):
        return [
            utils.InferenceResponse(
                output_tensors=[utils.Tensor("OUTPUT0", utils.get_input_tensor_by_name(request, "INPUT0").as_numpy())])
            for request in requests
        ]
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main():
    folder = pathlib.Path(sys.argv[1])
    site = pathlib.Path(sysconfig.get_paths()["purelib"])
    triton = site / "pytriton/tritonserver"
    backends = folder / "backends"
    shutil.copytree(triton / "backends", backends)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copy(triton / f"python_backend_stubs/{version}/triton_python_backend_stub", backends / "python")
    model = folder / "models/identity"
    (model / "1").mkdir(parents=True)
    (model / "config.pbtxt").write_text(CONFIG)
    (model / "1/model.py").write_text(MODEL)
    http, grpc = free_port(), free_port()
    environment = os.environ | {
        "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(site),
        "LD_LIBRARY_PATH": f"{sysconfig.get_config_var('LIBDIR')}:{site / 'nvidia_pytriton.libs'}",
    }
    server = subprocess.Popen(
        [triton / "bin/tritonserver", f"--model-repository={folder / 'models'}", f"--backend-directory={backends}",
         f"--http-port={http}", f"--grpc-port={grpc}", "--allow-metrics=false", "--log-info=false"], env=environment, stdout=sys.stderr)
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    deadline = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{http}/v2/health/ready", timeout=1)
            print(f"listening grpc=127.0.0.1:{grpc}", flush=True)
            return server.wait()
        except OSError:
            time.sleep(0.1)
    server.kill()
    print("tritonserver did not become ready", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
