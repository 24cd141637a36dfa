"""The real tritonclient against the real server with a real worker, and the calls of perf_analyzer as it makes them.

Usage: tritonclient_test.py PROGRAMS TRITONCLIENT MODELS SAMPLES DOCUMENTATION
"""

import asyncio
import json
import os
import queue
import re
import signal
import struct
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True  # nothing is left in the source tree
programs, client_folder, models, samples, documentation = sys.argv[1:6]
sys.path.insert(0, client_folder)
try:
    import numpy as np
    import tritonclient.grpc as triton
    import tritonclient.grpc.aio as triton_aio
    from tritonclient.grpc import service_pb2, service_pb2_grpc
    from tritonclient.utils import InferenceServerException
    import grpc
    from png_pictures import decode_png, png, png_size
except ImportError as error:
    print(f"skipped: tritonclient is not there ({error}); scripts/install-deps fetches it")
    sys.exit(77)

STYLE = "van-gogh"


def encoded(pictures):
    tensor = triton.InferInput("image", [len(pictures), 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[picture] for picture in pictures], dtype=np.object_))
    return tensor


def pixels(array, datatype):
    tensor = triton.InferInput("image", list(array.shape), datatype)
    tensor.set_data_from_numpy(array)
    return tensor


def identity(array):
    tensor = triton.InferInput("INPUT0", list(array.shape), "UINT8")
    tensor.set_data_from_numpy(array)
    return tensor


class Server:
    def __init__(self, config):
        self.folder = tempfile.TemporaryDirectory()
        file = os.path.join(self.folder.name, "config.json")
        with open(file, "w", encoding="utf-8") as out:
            json.dump(config, out)
        command = [os.path.join(programs, "atelier-server"), "--data-dir", os.path.join(self.folder.name, "data"),
                   "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--shipped-models", models,
                   "--identity-model", "--config", file]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        found = re.match(r"listening grpc=(\S+) ", line)
        if found is None:
            self.process.kill()
            raise RuntimeError(f"the server did not start: {line!r}")
        self.address = found.group(1)

    def stop(self):
        """The exit code after a drain."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()
            self.process.stdout.close()
            self.folder.cleanup()


class TritonClientTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server({"response_cache": {"max_mib": 16}})
        cls.client = triton.InferenceServerClient(cls.server.address)
        cls.client.infer("identity", [identity(np.zeros((1, 1), np.uint8))])  # until a worker is there

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        code = cls.server.stop()
        assert code == 0, f"the server's exit code is {code}"

    def assert_code(self, code, call, *arguments, **keywords):
        with self.assertRaises(InferenceServerException) as caught:
            call(*arguments, **keywords)
        self.assertEqual(caught.exception.status(), f"StatusCode.{code}", str(caught.exception))
        return caught.exception.message()

    def test_the_server_and_its_models_are_described(self):
        self.assertTrue(self.client.is_server_live())
        self.assertTrue(self.client.is_server_ready())
        self.assertTrue(self.client.is_model_ready(STYLE))
        self.assertTrue(self.client.is_model_ready("identity", "1"))
        self.assert_code("NOT_FOUND", self.client.is_model_ready, "nobody")
        self.assertEqual(self.client.get_server_metadata().name, "atelier")
        metadata = self.client.get_model_metadata(STYLE)
        self.assertEqual([(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in metadata.inputs],
                         [("image", "BYTES", [-1, 1])])
        self.assertEqual([(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in metadata.outputs],
                         [("stylized", "BYTES", [-1, 1])])
        config = self.client.get_model_config(STYLE).config
        self.assertEqual(config.max_batch_size, 8)
        index = self.client.get_model_repository_index()
        self.assertIn((STYLE, "READY"), [(model.name, model.state) for model in index.models])
        self.assertIn("identity", [model.name for model in index.models])

    def test_encoded_pictures(self):
        result = self.client.infer(STYLE, [encoded([png(64, 48), png(32, 32)])], request_id="order-7",
                                   parameters={"atelier_strength": 0.5, "atelier_preserve_color": True})
        stylized = result.as_numpy("stylized")
        self.assertEqual(stylized.shape, (2, 1))
        self.assertEqual([png_size(picture) for picture in stylized[:, 0]], [(64, 48), (32, 32)])
        response = result.get_response()
        self.assertEqual(response.id, "order-7")
        self.assertGreaterEqual(int(response.model_version), 1)
        self.assertEqual(response.parameters["atelier_request_id"].string_param, "order-7")

    def test_pixels_come_back_as_they_went(self):
        array = np.random.default_rng(1).integers(0, 256, (2, 48, 64, 3), dtype=np.uint8)
        stylized = self.client.infer(STYLE, [pixels(array, "UINT8")]).as_numpy("stylized")
        self.assertEqual((stylized.shape, stylized.dtype), ((2, 48, 64, 3), np.uint8))
        planes = (array.astype(np.float32) / 255).transpose(0, 3, 1, 2).copy()
        floats = self.client.infer(STYLE, [pixels(planes, "FP32")]).as_numpy("stylized")
        self.assertEqual((floats.shape, floats.dtype), ((2, 3, 48, 64), np.float32))
        self.assertGreaterEqual(floats.min(), 0)
        self.assertLessEqual(floats.max(), 1)
        # The same pictures: only the rounding to 8 bits differs.
        difference = np.abs(floats.transpose(0, 2, 3, 1) - stylized.astype(np.float32) / 255)
        self.assertLessEqual(difference.max(), 1 / 255)
        # And the same as encoded ones.
        picture = png(64, 48)
        rows = np.array([[[90, (7 * y) % 256, 200]] * 64 for y in range(48)], dtype=np.uint8)[None]
        as_pixels = self.client.infer(STYLE, [pixels(rows, "UINT8")]).as_numpy("stylized")
        as_png = self.client.infer(STYLE, [encoded([picture])]).as_numpy("stylized")[0, 0]
        np.testing.assert_array_equal(decode_png(as_png), as_pixels[0])

    def test_the_size_of_pixels_changes(self):
        array = np.zeros((1, 48, 64, 3), dtype=np.uint8)
        result = self.client.infer(STYLE, [pixels(array, "UINT8")], parameters={"atelier_size": 128})
        self.assertEqual(result.as_numpy("stylized").shape, (1, 96, 128, 3))

    def test_bad_requests_have_codes_and_name_what_is_wrong(self):
        infer = self.client.infer
        good = [encoded([png(64, 48)])]
        self.assert_code("NOT_FOUND", infer, "nobody", good)
        self.assert_code("NOT_FOUND", infer, STYLE, good, model_version="77")
        self.assertIn("model_version", self.assert_code("INVALID_ARGUMENT", infer, STYLE, good, model_version="new"))
        self.assertIn("image", self.assert_code("INVALID_ARGUMENT", infer, STYLE, [encoded([b"text"])]))
        self.assertIn("inputs", self.assert_code("INVALID_ARGUMENT", infer, STYLE,
                                                 [identity(np.zeros((1, 8), np.uint8))]))
        self.assertIn("image", self.assert_code("INVALID_ARGUMENT", infer, STYLE, [encoded([png(32, 32)] * 9)]))
        self.assertIn("parameters.atelier_strength",
                      self.assert_code("INVALID_ARGUMENT", infer, STYLE, good, parameters={"atelier_strength": 2.0}))
        self.assertIn("image", self.assert_code(
            "INVALID_ARGUMENT", infer, STYLE, [pixels(np.full((1, 3, 32, 32), np.nan, np.float32), "FP32")]))
        self.assert_code("UNIMPLEMENTED", infer, STYLE, good, sequence_id=5, sequence_start=True)
        self.assert_code("UNIMPLEMENTED", infer, STYLE, good,
                         outputs=[triton.InferRequestedOutput("stylized", class_count=2)])
        self.assert_code("UNIMPLEMENTED", self.client.get_system_shared_memory_status)
        self.assert_code("UNIMPLEMENTED", self.client.register_system_shared_memory, "region", "/key", 10)
        self.assert_code("UNIMPLEMENTED", self.client.get_cuda_shared_memory_status)
        self.assert_code("UNIMPLEMENTED", self.client.get_trace_settings)
        self.assert_code("UNIMPLEMENTED", self.client.get_log_settings)
        self.assert_code("INVALID_ARGUMENT", self.client.get_inference_statistics, "nobody")

    def test_the_same_request_is_answered_from_the_cache(self):
        def ask(strength):
            result = self.client.infer(STYLE, [encoded([png(64, 48, value=33)])],
                                       parameters={"atelier_strength": strength})
            return result.get_response().parameters["atelier_cached"].bool_param, result.as_numpy("stylized")[0, 0]

        first, second, other = ask(0.75), ask(0.75), ask(0.5)
        self.assertEqual((first[0], second[0], other[0]), (False, True, False))
        self.assertEqual(first[1], second[1])
        self.assertNotEqual(first[1], other[1])
        statistics = self.client.get_inference_statistics(STYLE).model_stats[0].inference_stats
        self.assertGreaterEqual(statistics.cache_hit.count, 1)

    def test_priority_and_timeout_are_taken(self):
        result = self.client.infer(STYLE, [encoded([png(64, 48)])], priority=1, timeout=60_000_000,
                                   outputs=[triton.InferRequestedOutput("stylized")])
        self.assertEqual(png_size(result.as_numpy("stylized")[0, 0]), (64, 48))

    def test_compression_is_refused_by_name(self):
        for algorithm in ("gzip", "deflate"):
            with self.assertRaises(InferenceServerException) as caught:
                self.client.infer(STYLE, [encoded([png(64, 48)])], compression_algorithm=algorithm)
            self.assertIn("UNIMPLEMENTED", caught.exception.status())
            self.assertIn(algorithm, caught.exception.message())

    def test_async_infer(self):
        answers = queue.Queue()
        for _ in range(4):
            self.client.async_infer(STYLE, [encoded([png(64, 48)])],
                                    lambda result, error: answers.put((result, error)))
        for _ in range(4):
            result, error = answers.get(timeout=60)
            self.assertIsNone(error)
            self.assertEqual(result.as_numpy("stylized").shape, (1, 1))

    def test_asyncio_client(self):
        async def run():
            async with triton_aio.InferenceServerClient(self.server.address) as client:
                self.assertTrue(await client.is_server_ready())
                results = await asyncio.gather(*(client.infer("identity", [identity(np.full((1, 9), i, np.uint8))])
                                                 for i in range(5)))
                return [result.as_numpy("OUTPUT0")[0, 0] for result in results]

        self.assertEqual(asyncio.run(run()), [0, 1, 2, 3, 4])

    def test_streams_answer_in_order_and_outlive_errors(self):
        answers = queue.Queue()
        with triton.InferenceServerClient(self.server.address) as client:
            client.start_stream(lambda result, error: answers.put((result, error)))
            for i in range(20):
                model = "nobody" if i == 7 else "identity"
                client.async_stream_infer(model, [identity(np.full((1, 100), i, np.uint8))], request_id=str(i),
                                          enable_empty_final_response=True)
            for i in range(20):
                result, error = answers.get(timeout=60)
                if i == 7:
                    self.assertIn("NOT_FOUND", error.message())
                    continue
                self.assertIsNone(error)
                response = result.get_response()
                self.assertEqual(response.id, str(i))
                self.assertTrue(response.parameters["triton_final_response"].bool_param)
                self.assertTrue((result.as_numpy("OUTPUT0") == i).all())
            client.stop_stream()

    def test_a_stream_with_real_errors_ends_at_the_first(self):
        answers = queue.Queue()
        with triton.InferenceServerClient(self.server.address) as client:
            client.start_stream(lambda result, error: answers.put((result, error)),
                                headers={"triton_grpc_error": "true"})
            client.async_stream_infer("nobody", [identity(np.zeros((1, 5), np.uint8))])
            _, error = answers.get(timeout=60)
            self.assertEqual(error.status(), "StatusCode.NOT_FOUND")
            client.stop_stream()

    def test_loading_and_unloading(self):
        self.client.load_model("renoir")
        self.client.unload_model("renoir")
        self.client.load_model("renoir")
        self.assert_code("NOT_FOUND", self.client.load_model, "nobody")
        self.assert_code("NOT_FOUND", self.client.unload_model, "nobody")

    def test_the_example_of_the_documentation_runs(self):
        with open(documentation, encoding="utf-8") as file:
            example = re.search(r"```python\n(.*?)```", file.read(), re.DOTALL).group(1)
        self.assertIn("127.0.0.1:8001", example)
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(samples, "grace_hopper.jpg"), "rb") as file:
                photo = file.read()
            with open(os.path.join(folder, "photo.jpg"), "wb") as file:
                file.write(photo)
            code = example.replace("127.0.0.1:8001", self.server.address)
            environment = dict(os.environ, PYTHONPATH=client_folder)
            done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True,
                                  text=True, timeout=120)
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(os.path.join(folder, "painting.jpg"), "rb") as file:
                self.assertTrue(file.read().startswith(b"\xff\xd8\xff"))


class PerfAnalyzerTest(unittest.TestCase):
    """What perf_analyzer does with --service-kind triton -i grpc, call for call (model_parser.cc, inference_profiler.cc)."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server({})
        cls.channel = grpc.insecure_channel(cls.server.address)
        cls.stub = service_pb2_grpc.GRPCInferenceServiceStub(cls.channel)

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        cls.server.stop()

    def parse(self, model):
        """Shapes of inputs without the batch, as ModelParser::InitTriton finds them."""
        metadata = self.stub.ModelMetadata(service_pb2.ModelMetadataRequest(name=model, version=""))
        config = self.stub.ModelConfig(service_pb2.ModelConfigRequest(name=model, version="")).config
        self.assertEqual(config.name, model)
        self.assertGreater(config.max_batch_size, 0)
        self.assertEqual(config.WhichOneof("scheduling_choice"), "dynamic_batching")
        self.assertFalse(config.model_transaction_policy.decoupled)
        shapes = {}
        for described, configured in ((metadata.inputs, config.input), (metadata.outputs, config.output)):
            by_name = {tensor.name: tensor for tensor in described}
            for tensor in configured:
                self.assertIn(tensor.name, by_name, "no metadata found for tensor")
                shape = list(by_name[tensor.name].shape)[1:]  # a batch size above 0 drops the first dimension
                self.assertEqual(shape, list(tensor.dims))
                shapes[tensor.name] = (by_name[tensor.name].datatype, shape)
        return shapes

    def statistics(self, model):
        """(name, version) to figures; versions are read with stoll."""
        reply = self.stub.ModelStatistics(service_pb2.ModelStatisticsRequest(name=model, version=""))
        return {(of.name, int(of.version)): of for of in reply.model_stats}

    def measure(self, model, request, count):
        # Context of GrpcClient: one request object, its buffers, this parameter always.
        request.parameters["triton_enable_empty_final_response"].bool_param = True
        before = self.statistics(model)
        responses = [self.stub.ModelInfer(request) for _ in range(count)]
        after = self.statistics(model)
        served = [key for key in after
                  if after[key].inference_stats.queue.count >
                  (before[key].inference_stats.queue.count if key in before else 0)]
        self.assertEqual(len(served), 1, "failed to find the requested model version")
        old, new = before[served[0]], after[served[0]]

        def delta(name):
            a, b = getattr(old.inference_stats, name), getattr(new.inference_stats, name)
            return b.count - a.count, b.ns - a.ns

        self.assertEqual(new.inference_count - old.inference_count, count)
        self.assertEqual(delta("success")[0], count)
        self.assertEqual(delta("queue")[0], count)
        self.assertEqual(delta("fail")[0], 0)
        self.assertGreaterEqual(new.execution_count - old.execution_count, 1)
        parts = sum(delta(name)[1] for name in ("queue", "compute_input", "compute_infer", "compute_output"))
        self.assertGreaterEqual(delta("success")[1], parts, "the overhead is below zero")
        self.assertEqual(delta("cache_hit"), (0, 0))
        return responses

    def test_identity_is_measured(self):
        extensions = self.stub.ServerMetadata(service_pb2.ServerMetadataRequest()).extensions
        self.assertIn("statistics", extensions)
        shapes = self.parse("identity")
        self.assertEqual(shapes["INPUT0"], ("UINT8", [-1]))  # needs --shape INPUT0:20000
        request = service_pb2.ModelInferRequest(model_name="identity", model_version="")
        request.inputs.add(name="INPUT0", datatype="UINT8", shape=[1, 20000])
        request.outputs.add(name="OUTPUT0")
        payload = bytes(range(250)) * 80
        request.raw_input_contents.append(payload)
        for response in self.measure("identity", request, 20):
            self.assertEqual(response.raw_output_contents[0], payload)
            self.assertEqual(list(response.outputs[0].shape), [1, 20000])
            self.assertEqual(len(response.outputs), len(response.raw_output_contents))

    def test_a_style_is_measured(self):
        shapes = self.parse(STYLE)
        self.assertEqual(shapes["image"], ("BYTES", [1]))  # needs --input-data
        picture = png(64, 48)
        request = service_pb2.ModelInferRequest(model_name=STYLE)
        request.inputs.add(name="image", datatype="BYTES", shape=[1, 1])
        request.raw_input_contents.append(struct.pack("<I", len(picture)) + picture)
        self.stub.ModelInfer(request)  # loads the model
        for response in self.measure(STYLE, request, 3):
            length = struct.unpack("<I", response.raw_output_contents[0][:4])[0]
            self.assertEqual(length, len(response.raw_output_contents[0]) - 4)

    def test_a_streaming_measurement_sees_final_responses(self):
        def requests():
            for i in range(10):
                request = service_pb2.ModelInferRequest(model_name="identity", id=str(i))
                request.parameters["triton_enable_empty_final_response"].bool_param = True
                request.inputs.add(name="INPUT0", datatype="UINT8", shape=[1, 10])
                request.raw_input_contents.append(b"0123456789")
                yield request

        answers = list(self.stub.ModelStreamInfer(requests()))
        self.assertEqual([answer.infer_response.id for answer in answers], [str(i) for i in range(10)])
        for answer in answers:
            self.assertEqual(answer.error_message, "")
            self.assertTrue(answer.infer_response.parameters["triton_final_response"].bool_param)
            self.assertTrue(answer.infer_response.outputs)  # not the empty response of a decoupled model


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[6:])
