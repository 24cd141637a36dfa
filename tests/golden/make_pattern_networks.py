"""Writes pattern_networks.safetensors: DCGAN (pytorch/examples, dcgan/main.py, spelled out here with the widths as arguments), a projection
discriminator (Miyato and Koyama 2018) and conditional instance norm (Dumoulin et al. 2017) in plain PyTorch. Weights are reference.py's, with 1
added to those of norms. Run: python make_pattern_networks.py (torch 2.11, numpy, safetensors)."""
import os

import torch
from torch import nn
from torch.nn import functional as F

from reference import fill, picture, save, uniform


class Generator(nn.Module):
    """resize: nearest neighbours and a convolution instead of the transposed convolutions that double."""

    def __init__(self, nz, ngf, doublings=3, resize=False):
        super().__init__()

        def double(i, o):
            if resize:
                return Resize(i, o)
            return nn.ConvTranspose2d(i, o, 4, 2, 1, bias=False)

        width = ngf * 2**doublings
        layers = [nn.ConvTranspose2d(nz, width, 4, 1, 0, bias=False), nn.BatchNorm2d(width), nn.ReLU(True)]
        for _ in range(doublings):
            layers += [double(width, width // 2), nn.BatchNorm2d(width // 2), nn.ReLU(True)]
            width //= 2
        self.main = nn.Sequential(*layers, double(width, 3), nn.Tanh())

    def forward(self, z):
        return self.main(z[:, :, None, None])


class Resize(nn.Conv2d):
    def __init__(self, i, o):
        super().__init__(i, o, 3, bias=False)

    def forward(self, x):
        return super().forward(F.pad(F.interpolate(x, scale_factor=2, mode="nearest"), [1, 1, 1, 1], mode="reflect"))


class Discriminator(nn.Module):
    """Without the sigmoid at the end, which is part of the loss. entries: of a projected condition."""

    def __init__(self, ndf, halvings=3, norm=nn.BatchNorm2d, entries=0):
        super().__init__()
        layers = [nn.Conv2d(3, ndf, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
        for i in range(halvings):
            width = ndf * 2 ** (i + 1)
            layers += [nn.Conv2d(width // 2, width, 4, 2, 1, bias=False), norm(width), nn.LeakyReLU(0.2, True)]
        self.main = nn.Sequential(*layers, nn.Conv2d(width, 1, 4, 1, 0, bias=False))
        if entries:
            self.condition = nn.Module()
            self.condition.embedding = nn.Linear(entries, width, bias=False)

    def forward(self, x, label=None):
        features = self.main[:-1](x)
        logits = self.main[-1](features)
        if label is not None:
            embedded = self.condition.embedding.weight[:, label].t()
            logits = logits + (features.sum((2, 3)) * embedded).sum(1)[:, None, None, None]
        return logits


def prepare(network):
    fill(network)
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.GroupNorm)):
            with torch.no_grad():
                module.weight += 1
    return network.train()


def numbers(first, *shape):
    count = torch.Size(shape).numel()
    return torch.from_numpy(uniform(first, count)).float().reshape(shape)


def pictures(side):
    x = picture(side, side)
    return torch.cat([x, x.flip(3), -0.5 * x.flip(2)])


def generators(out):
    cases = {"generator_64": Generator(8, 2), "generator_128": Generator(8, 1, doublings=4), "generator_resize": Generator(8, 2, resize=True)}
    for case, network in cases.items():
        prepare(network)
        z = numbers(7, 3, 8).requires_grad_()
        y = network(z)
        y.square().sum().backward()
        out[f"{case}/training"] = y.detach()[:, :, ::5, ::5]
        out[f"{case}/gradient_z"] = z.grad
        out[f"{case}/gradient_main.0"] = network.main[0].weight.grad
        for i in (1, 4):
            out[f"{case}/main.{i}.running_mean"] = network.main[i].running_mean
            out[f"{case}/main.{i}.running_var"] = network.main[i].running_var
        with torch.no_grad():
            out[f"{case}/evaluated"] = network.eval()(z)[:, :, ::5, ::5]


def discriminators(out):
    label = torch.tensor([2, 0, 2])
    cases = {"discriminator_64": (Discriminator(2), 64, None), "discriminator_128": (Discriminator(1, halvings=4), 128, None),
             "discriminator_layer": (Discriminator(2, norm=lambda c: nn.GroupNorm(1, c)), 64, None),
             "discriminator_projection": (Discriminator(2, entries=4), 64, label)}
    for case, (network, side, condition) in cases.items():
        prepare(network)
        x = pictures(side).requires_grad_()
        logits = network(x, condition)
        logits.square().sum().backward()
        out[f"{case}/training"] = logits.detach()
        out[f"{case}/gradient_x"] = x.grad[:, :, ::5, ::5]
        out[f"{case}/gradient_main.0"] = network.main[0].weight.grad
        if condition is not None:
            out[f"{case}/gradient_embedding"] = network.condition.embedding.weight.grad
        with torch.no_grad():
            out[f"{case}/evaluated"] = network.eval()(x, condition)


def conditional_instance_norm(out):
    """Three pictures of 4 channels; five styles, each picture in a mixture of its own."""
    x = numbers(100, 3, 4, 9, 7).requires_grad_()
    gamma = (1 + 0.5 * numbers(2000, 5, 4)).requires_grad_()
    beta = (0.5 * numbers(3000, 5, 4)).requires_grad_()
    weights = torch.tensor([[0, 1, 0, 0, 0], [0.5, 0, 0.25, 0, 0.25], [0, 0, 0, 0, 1.0]])
    y = F.instance_norm(x) * (weights @ gamma)[:, :, None, None] + (weights @ beta)[:, :, None, None]
    (y * numbers(4000, *y.shape)).square().sum().backward()
    out["conditional/weights"] = weights
    out["conditional/output"] = y.detach()
    for name, tensor in (("x", x), ("gamma", gamma), ("beta", beta)):
        out[f"conditional/gradient_{name}"] = tensor.grad


def main():
    out = {}
    for make in (generators, discriminators, conditional_instance_norm):
        make(out)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pattern_networks.safetensors")
    save({name: tensor.clone().contiguous() for name, tensor in out.items()}, path)
    print(torch.__version__, len(out), "tensors,", os.path.getsize(path), "bytes")


if __name__ == "__main__":
    main()
