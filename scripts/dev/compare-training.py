#!/usr/bin/env python3
"""Trains `cyclegan` and `cut` with atelier-train and with plain PyTorch (bench/peers/plain_pytorch.py) on the same pictures, as many steps
and as many seeds, and compares what came out: the kernel distance of both results to held-back style pictures, and the losses.

Usage:
  compare-training.py --photos DIR --paintings DIR --out DIR [--family cyclegan|cut]... [--steps N] [--seeds N] [--size PX]

PHOTOS and PAINTINGS are folders of pictures; all are cut to squares of --size first, the last fifth of the photographs is held back and is
what the results are made from. Both sides get the same squares in epochs, of each a random crop of it enlarged by up to 1.25 (what
atelier-train does), without flips, batch 1, Adam 2e-4 (beta1 0.5), fp32, 6 blocks of 32 channels, PatchGAN of 32. Writes OUT/figures.jsonl
(one line a run: family, who, seed, kernel distance, seconds) and OUT/losses.csv, and goes on where it was stopped. Needs the release build;
Python with torch 2.11, numpy, safetensors and pillow; it is a developer's tool.
"""

import argparse
import csv
import json
import pathlib
import random
import subprocess
import sys
import time

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench/peers"))
from plain_pytorch import Cut, CycleGan  # noqa: E402

CHANNELS, BLOCKS, LOG_EVERY = 32, 6, 10
# Ours → the peer's name of a loss.
LOSSES = {"cyclegan": ("cycle_a", "cycle_b", "identity_a", "identity_b", "adversarial_a", "adversarial_b", "discriminator_a", "discriminator_b"),
          "cut": ("nce", "nce_identity", "adversarial", "discriminator")}


def squares(source, target, side):
    """The centre square of every picture below `source`, as PNG files of side x side."""
    target.mkdir(parents=True, exist_ok=True)
    for i, path in enumerate(sorted(p for p in source.rglob("*") if p.suffix.lower() in (".jpg", ".png"))):
        picture = Image.open(path).convert("RGB")
        edge = min(picture.size)
        left, top = (picture.width - edge) // 2, (picture.height - edge) // 2
        picture.crop((left, top, left + edge, top + edge)).resize((side, side), Image.LANCZOS).save(target / f"{i:05}.png")


def prepare(arguments):
    data = arguments.out / "data"
    if data.exists():
        return data
    squares(arguments.photos, data / "all", arguments.size)
    squares(arguments.paintings, data / "style", arguments.size)
    files = sorted((data / "all").iterdir())
    held_back = files[-len(files) // 5:]
    for name, group in (("content", files[:-len(held_back)]), ("heldout", held_back)):
        (data / name).mkdir()
        for path in group:
            path.rename(data / name / path.name)
    return data


def crops(folder, draw):
    """Random crops [1, 3, H, W] of the folder's squares without end, in epochs; see Crop in worker/train/sample_maker.cc."""
    pictures = [Image.open(path).convert("RGB") for path in sorted(folder.iterdir())]
    while True:
        draw.shuffle(pictures)
        for picture in pictures:
            size = picture.width
            side = draw.randint(size, round(size * 1.25))
            left, top = draw.randint(0, side - size), draw.randint(0, side - size)
            crop = picture.resize((side, side), Image.BICUBIC).crop((left, top, left + size, top + size))
            yield torch.from_numpy(np.asarray(crop, dtype=np.float32)).permute(2, 0, 1)[None] / 127.5 - 1


def make(family):
    return (CycleGan if family == "cyclegan" else Cut)(blocks=BLOCKS, ngf=CHANNELS, ndf=CHANNELS)


@torch.no_grad()
def restyle(generator, data, out):
    """What a generator makes of the held-back photographs; the same code for both sides."""
    out.mkdir(parents=True)
    for path in sorted((data / "heldout").iterdir()):
        picture = torch.from_numpy(np.asarray(Image.open(path), dtype=np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
        made = ((generator(picture)[0] + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
        Image.fromarray(made).save(out / path.name)


def train_pytorch(family, seed, data, out, steps):
    torch.manual_seed(seed)
    random.seed(seed)
    content, style = (crops(data / name, random.Random(f"{name} {seed}")) for name in ("content", "style"))
    step = make(family)
    rows = []
    for i in range(steps):
        step.set_rate(1.0 if i < steps // 2 else 1.0 - (i - steps // 2) / (steps - steps // 2))
        losses = step.run(next(content), next(style))
        if (i + 1) % LOG_EVERY == 0:
            rows.append((i + 1, losses))
    restyle(step.generator, data, out)
    return rows


def train_ours(family, seed, data, out, steps, programs):
    generator = "resnet-6" if family == "cyclegan" else "cut-resnet-6"
    spec = {"family": family, "generator": generator, "base_channels": CHANNELS, "gan": {"channels": CHANNELS}, "steps": steps,
            "batch_size": 1, "precision": "fp32", "image_size": int(Image.open(next((data / "style").iterdir())).width), "seed": seed,
            "data": {"content": "content", "style": "style"}, "augment": {"flip": False}, "checkpoint_every_steps": steps}
    run = out.with_name(out.name + "-job")
    run.mkdir(parents=True, exist_ok=True)
    (run / "job.json").write_text(json.dumps({"job_id": "compare", "output_model": "compare", "train": spec}))
    attempt = run / "attempts/1"
    if not (attempt / "result").exists():
        subprocess.run([programs / "atelier-train", "-f", run / "job.json", "--out", run, "--dataset", f"content={data / 'content'}",
                        "--dataset", f"style={data / 'style'}"], check=True, stdout=subprocess.DEVNULL)
    # Our weights have the reference's names.
    generator = make(family).generator
    generator.load_state_dict(load_file(attempt / "result/weights.safetensors"))
    restyle(generator, data, out)
    rows = []
    for line in (attempt / "stats.jsonl").read_text().splitlines():
        row = json.loads(line)
        rows.append((row["step"], {key.removeprefix("loss/"): value for key, value in row.items() if key.startswith("loss/")}))
    return rows


def kernel_distance(made, data, programs):
    command = [programs / "atelier-eval", "sets", data / "style", made, "--metrics", "kernel", "--output", "json"]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return {name: report[name] for name in ("kernel_distance", "kernel_distance_deviation")}


def draw(out, target):
    """Every loss over the steps, in the mean of the seeds; the shade goes from the least to the greatest seed."""
    import matplotlib.pyplot as plt

    curves = {}
    for family, who, seed, step, name, value in csv.reader((out / "losses.csv").open()):
        curves.setdefault((family, name), {}).setdefault(who, {}).setdefault(seed, []).append((int(step), float(value)))
    names = [(family, name) for family in LOSSES for name in LOSSES[family] if (family, name) in curves]
    figure, axes = plt.subplots(-(-len(names) // 4), 4, figsize=(14, 2.6 * -(-len(names) // 4)), squeeze=False)
    for axis in axes.flat[len(names):]:
        axis.axis("off")
    for axis, key in zip(axes.flat, names):
        for who, color in (("atelier", "tab:blue"), ("pytorch", "tab:orange")):
            runs = [np.array(run).T for run in curves[key].get(who, {}).values()]
            if not runs:
                continue
            # Ours logs by the clock. A step is one picture, so its loss jumps: the running mean of five places.
            places = np.arange(LOG_EVERY, max(run[0][-1] for run in runs) + 1, LOG_EVERY)
            values = [np.convolve(np.interp(places, *run), np.ones(5) / 5, mode="valid") for run in runs]
            steps = places[2:-2]
            axis.plot(steps, np.mean(values, axis=0), color=color, label=who, linewidth=1.2)
            axis.fill_between(steps, np.min(values, axis=0), np.max(values, axis=0), color=color, alpha=0.2, linewidth=0)
        axis.set_title(f"{key[0]}: {key[1]}", fontsize=9)
        axis.tick_params(labelsize=7)
    axes.flat[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(target, dpi=70)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("photos", "paintings", "out"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--family", action="append", choices=LOSSES)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin", help="where atelier-train and atelier-eval are")
    parser.add_argument("--plot", type=pathlib.Path, help="draw the losses of OUT into this picture, too (matplotlib)")
    arguments = parser.parse_args()
    data = prepare(arguments)
    figures = arguments.out / "figures.jsonl"
    done = {tuple(json.loads(line)[k] for k in ("family", "who", "seed")) for line in figures.read_text().splitlines()} if figures.exists() else set()
    for seed in range(1, arguments.seeds + 1):
        for family in arguments.family or LOSSES:
            for who in ("atelier", "pytorch"):
                if (family, who, seed) in done:
                    continue
                start = time.time()
                out = arguments.out / f"{family}-{who}-{seed}"
                if who == "atelier":
                    rows = train_ours(family, seed, data, out, arguments.steps, arguments.bin)
                else:
                    rows = train_pytorch(family, seed, data, out, arguments.steps)
                line = {"family": family, "who": who, "seed": seed, "steps": arguments.steps, "seconds": round(time.time() - start, 1)}
                line |= kernel_distance(out, data, arguments.bin)
                with (arguments.out / "losses.csv").open("a") as file:
                    writer = csv.writer(file)
                    for step, losses in rows:
                        writer.writerows((family, who, seed, step, name, losses[name]) for name in LOSSES[family])
                with figures.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(line, flush=True)
    if arguments.plot:
        draw(arguments.out, arguments.plot)


if __name__ == "__main__":
    main()
