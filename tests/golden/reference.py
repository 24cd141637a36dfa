"""What the golden scripts share: numbers that Python and C++ (tests/golden/reference.h) compute alike, so that no weights are committed."""
import numpy as np
import torch
from safetensors.torch import save_file


def uniform(first, count):
    """Element i is splitmix64(first + i), scaled to [-1, 1) with 24 bits."""
    with np.errstate(over="ignore"):
        z = (np.arange(first, first + count, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / 2**23 - 1.0


def fill(module):
    """Fills parameters in the order of their names: weights with variance 1 / fan-in, biases within 0.1."""
    first = 0
    with torch.no_grad():
        for name, parameter in sorted(module.named_parameters()):
            fan_in = parameter[0].numel() if parameter.dim() > 1 else 300
            values = uniform(first, parameter.numel()) * np.sqrt(3.0 / fan_in)
            parameter.copy_(torch.from_numpy(values).reshape(parameter.shape))
            first += parameter.numel()


def picture(height, width):
    """[1, 3, H, W] in [-1, 1]: waves."""
    c, y, x = np.meshgrid(np.arange(3), np.arange(height), np.arange(width), indexing="ij")
    return torch.from_numpy(np.sin(0.37 * (c + 1) * y + 0.23 * x + c)).float()[None]


def save(tensors, path):
    """A golden file, which says which PyTorch made it."""
    save_file(tensors, path, metadata={"torch": torch.__version__})
