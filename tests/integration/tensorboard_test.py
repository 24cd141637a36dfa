"""The real TensorBoard's reader on the event files that a real training writes, also while it runs and after a crash.

Usage: tensorboard_test.py PROGRAMS TENSORBOARD TRITONCLIENT       (the last for numpy and protobuf)
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True  # nothing is left in the source tree
programs = sys.argv[1]
sys.path[:0] = sys.argv[2:4]
try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from png_pictures import png
except ImportError as error:
    print(f"skipped: TensorBoard is not there ({error}); scripts/install-deps fetches it")
    sys.exit(77)

STEPS = 12
JOB = {"job_id": "events", "output_model": "events",
       "train": {"family": "dcgan", "steps": STEPS, "batch_size": 2, "image_size": 64, "base_channels": 4, "seed": 3,
                 "gan": {"channels": 4}, "precision": "PRECISION_FP32", "sample_every_epochs": 10, "checkpoint_every_steps": 4,
                 "keep_checkpoints": 100, "data": {"content": "stripes"}}}


def read(folder):
    events = EventAccumulator(folder, size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    return events


def steps(events, tag):
    return [event.step for event in events.Scalars(tag)]


class TensorBoardTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        os.mkdir(self.path("stripes"))
        for i in range(6):
            with open(self.path("stripes", f"{i}.png"), "wb") as file:
                file.write(png(64, 64, 30 * i))

    def tearDown(self):
        self.folder.cleanup()

    def path(self, *names):
        return os.path.join(self.folder.name, *names)

    def start(self, job, out):
        with open(self.path("job.json"), "w", encoding="utf-8") as file:
            json.dump(job, file)
        return subprocess.Popen([os.path.join(programs, "atelier-train"), "-f", self.path("job.json"), "--dataset",
                                 "stripes=" + self.path("stripes"), "--out", self.path(out), "--threads", "1"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def train(self, job, out):
        process = self.start(job, out)
        _, errors = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 0, errors.decode())
        return self.path(out, "attempts", "1")

    def lines(self, attempt):
        with open(os.path.join(attempt, "stats.jsonl"), encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def test_curves_and_pictures_are_those_of_the_run(self):
        attempt = self.train(JOB, "run")
        events = read(attempt)
        lines = self.lines(attempt)
        keys = set(lines[0]) - {"step", "epoch", "time"}
        self.assertLessEqual({"images_per_s", "lr", "loss/adversarial", "loss/discriminator"}, keys)
        self.assertEqual(set(events.Tags()["scalars"]), keys)
        for key in keys:
            points = {event.step: event.value for event in events.Scalars(key)}
            for line in lines:
                self.assertAlmostEqual(points[line["step"]], line[key], delta=1e-5 * max(1, abs(line[key])))
        self.assertEqual(events.file_version, 2)
        pictures = {event.step: event for event in events.Images("samples")}
        self.assertIn(0, pictures)
        self.assertIn(STEPS, pictures)
        with open(os.path.join(attempt, "samples", f"step-{STEPS}.jpg"), "rb") as file:
            self.assertEqual(pictures[STEPS].encoded_image_string, file.read())
        self.assertEqual((pictures[STEPS].width % 64, pictures[STEPS].height % 64), (0, 0))

    def test_a_run_that_was_killed_reads_as_one_without_the_lost_steps(self):
        endless = json.loads(json.dumps(JOB))
        endless["train"]["steps"] = 100_000
        process = self.start(endless, "run")
        attempt = self.path("run", "attempts", "1")
        deadline = time.monotonic() + 60
        before = []
        while len(before) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
            if os.path.isdir(attempt):  # it is read while it runs
                events = read(attempt)
                before = steps(events, "lr") if "lr" in events.Tags()["scalars"] else []
        self.assertGreaterEqual(len(before), 4)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        before = steps(read(attempt), "lr")
        # As if the crash had come before the newest checkpoints: the run goes on before steps that it has told.
        checkpoints = os.path.join(attempt, "checkpoints")
        saved = sorted(int(name[5:]) for name in os.listdir(checkpoints) if name.startswith("step-"))
        kept = max(step for step in saved if step < before[-1])
        for name in os.listdir(checkpoints):
            if not name.startswith("step-") or int(name[5:]) > kept:
                shutil.rmtree(os.path.join(checkpoints, name))
        endless["train"]["steps"] = kept + 6
        self.train(endless, "run")
        files = [name for name in os.listdir(attempt) if name.startswith("events.out.tfevents.")]
        self.assertEqual(len(files), 2)
        after = steps(read(attempt), "lr")
        self.assertEqual(after[-1], kept + 6)
        self.assertEqual(after, sorted(set(after)), "no step twice, none of those that were lost")
        self.assertEqual([step for step in after if step <= kept], [step for step in before if step <= kept])
        self.assertEqual([line["step"] for line in self.lines(attempt)], after)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
