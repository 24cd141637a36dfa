"""Writes gan_networks.safetensors: weights, outputs and gradients of small reference networks in plain PyTorch. The layouts are those of
junyanz/pytorch-CycleGAN-and-pix2pix and taesungp/contrastive-unpaired-translation (models/networks.py), spelled out here; the names in the
file are "<case>/<tensor>", the weights of a case "<case>/state/<name>". Run: python make_gan_networks.py (torch 2.11, numpy, safetensors)."""
import os

import torch
from torch import nn
from torch.nn import functional as F

from reference import fill, picture, save, uniform


def instance(channels):
    return nn.InstanceNorm2d(channels)


def batch(channels):
    return nn.BatchNorm2d(channels)


def blur(row):
    row = torch.tensor(row)
    return row[:, None] * row[None] / row.sum() ** 2


class Downsample(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.register_buffer("filt", blur([1.0, 2.0, 1.0]).repeat(channels, 1, 1, 1))

    def forward(self, x):
        return F.conv2d(F.pad(x, [1, 1, 1, 1], mode="reflect"), self.filt, stride=2, groups=x.shape[1])


class Upsample(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.register_buffer("filt", 4 * blur([1.0, 3.0, 3.0, 1.0]).repeat(channels, 1, 1, 1))

    def forward(self, x):
        padded = F.pad(x, [1, 1, 1, 1], mode="replicate")
        return F.conv_transpose2d(padded, self.filt, stride=2, padding=2, groups=x.shape[1])[:, :, 1:-1, 1:-1]


class ResnetBlock(nn.Module):
    def __init__(self, dim, norm, bias):
        super().__init__()
        self.conv_block = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(dim, dim, 3, bias=bias), norm(dim), nn.ReLU(True),
                                        nn.ReflectionPad2d(1), nn.Conv2d(dim, dim, 3, bias=bias), norm(dim))

    def forward(self, x):
        return x + self.conv_block(x)


class ResnetGenerator(nn.Module):
    """antialias: CUT's; otherwise CycleGAN's."""

    def __init__(self, n_blocks, ngf, norm=instance, antialias=False):
        super().__init__()
        bias = norm is instance
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(3, ngf, 7, bias=bias), norm(ngf), nn.ReLU(True)]
        for dim in (ngf, 2 * ngf):
            layers += [nn.Conv2d(dim, 2 * dim, 3, stride=1 if antialias else 2, padding=1, bias=bias), norm(2 * dim), nn.ReLU(True)]
            layers += [Downsample(2 * dim)] if antialias else []
        layers += [ResnetBlock(4 * ngf, norm, bias) for _ in range(n_blocks)]
        for dim in (4 * ngf, 2 * ngf):
            if antialias:
                layers += [Upsample(dim), nn.Conv2d(dim, dim // 2, 3, padding=1, bias=bias)]
            else:
                layers += [nn.ConvTranspose2d(dim, dim // 2, 3, stride=2, padding=1, output_padding=1, bias=bias)]
            layers += [norm(dim // 2), nn.ReLU(True)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        return self.model(x)

    def features(self, x, layers):
        taken = {}
        for i, layer in enumerate(self.model):
            x = layer(x)
            if i in layers:
                taken[i] = x.clone()
        return taken


class UnetBlock(nn.Module):
    def __init__(self, outer, inner, inside, norm, outermost=False, channels=None):
        super().__init__()
        self.outermost = outermost
        bias = norm is instance
        down = nn.Conv2d(channels or outer, inner, 4, 2, 1, bias=bias)
        if outermost:
            layers = [down, inside, nn.ReLU(True), nn.ConvTranspose2d(2 * inner, outer, 4, 2, 1), nn.Tanh()]
        elif inside is None:
            layers = [nn.LeakyReLU(0.2, True), down, nn.ReLU(True), nn.ConvTranspose2d(inner, outer, 4, 2, 1, bias=bias), norm(outer)]
        else:
            layers = [nn.LeakyReLU(0.2, True), down, norm(inner), inside, nn.ReLU(True),
                      nn.ConvTranspose2d(2 * inner, outer, 4, 2, 1, bias=bias), norm(outer)]
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


class UnetGenerator(nn.Module):
    def __init__(self, downs, ngf, norm):
        super().__init__()
        block = UnetBlock(8 * ngf, 8 * ngf, None, norm)
        for _ in range(downs - 5):
            block = UnetBlock(8 * ngf, 8 * ngf, block, norm)
        for dim in (4 * ngf, 2 * ngf, ngf):
            block = UnetBlock(dim, 2 * dim, block, norm)
        self.model = UnetBlock(3, ngf, block, norm, outermost=True, channels=3)

    def forward(self, x):
        return self.model(x)


class PatchDiscriminator(nn.Module):
    def __init__(self, ndf, n_layers=3, norm=instance, antialias=False):
        super().__init__()
        bias = norm is instance
        layers, dim = [], 3
        for n in range(n_layers + 1):
            wider = ndf * min(2**n, 8)
            stride = 2 if n < n_layers and not antialias else 1
            layers += [nn.Conv2d(dim, wider, 4, stride, 1, bias=bias or n == 0)]
            layers += [norm(wider)] if n > 0 else []
            layers += [nn.LeakyReLU(0.2, True)]
            layers += [Downsample(wider)] if n < n_layers and antialias else []
            dim = wider
        self.model = nn.Sequential(*layers, nn.Conv2d(dim, 1, 4, 1, 1))

    def forward(self, x):
        return self.model(x)


class PixelDiscriminator(nn.Module):
    def __init__(self, ndf, norm):
        super().__init__()
        bias = norm is instance
        self.net = nn.Sequential(nn.Conv2d(3, ndf, 1), nn.LeakyReLU(0.2, True), nn.Conv2d(ndf, 2 * ndf, 1, bias=bias), norm(2 * ndf),
                                 nn.LeakyReLU(0.2, True), nn.Conv2d(2 * ndf, 1, 1, bias=bias))

    def forward(self, x):
        return self.net(x)


class MultiScale(nn.Module):
    """The finest first; means of 3x3 pixels between the scales, as pix2pixHD."""

    def __init__(self, scales, ndf):
        super().__init__()
        self.count = scales
        for i in range(scales):
            setattr(self, f"scale_{i}", PatchDiscriminator(ndf))

    def forward(self, x):
        maps = []
        for i in range(self.count):
            maps.append(getattr(self, f"scale_{i}")(x))
            x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
        return maps


def add_state(out, case, network):
    for name, tensor in network.state_dict().items():
        out[f"{case}/state/{name}"] = tensor.clone().contiguous()


def generators(out):
    x = picture(32, 32)
    cut = fill_and_keep(out, "cut", ResnetGenerator(6, 2, antialias=True))
    with torch.no_grad():
        out["cut/output"] = cut(x)
        for layer, feature in cut.features(x, {0, 4, 8, 12, 16}).items():
            out[f"cut/feature_{layer}"] = feature
    resnet = fill_and_keep(out, "resnet_batch", ResnetGenerator(2, 2, norm=batch), train_on=picture(40, 40))
    with torch.no_grad():
        out["resnet_batch/output"] = resnet(x)
    for case, norm in (("unet_batch", batch), ("unet_instance", instance)):
        unet = fill_and_keep(out, case, UnetGenerator(8, 1, norm), train_on=two(256))
        with torch.no_grad():
            out[f"{case}/output"] = unet(picture(256, 256))[:, :, ::8, ::8]
            out[f"{case}/training_output"] = unet.train()(two(256))[:, :, ::16, ::16]


def two(side):
    return torch.cat([picture(side, side), picture(side, side).flip(3)])


def fill_and_keep(out, case, network, train_on=None):
    """A forward pass in training mode gives batch norms their statistics; the network returns in evaluation mode."""
    fill(network)
    if train_on is not None:
        with torch.no_grad():
            network.train()(train_on)
    add_state(out, case, network)
    return network.eval()


def discriminators(out):
    x = picture(48, 56)
    networks = {"patch_batch": (PatchDiscriminator(4, norm=batch), x), "patch_antialias": (PatchDiscriminator(4, antialias=True), x),
                "pixel_instance": (PixelDiscriminator(4, instance), x), "pixel_batch": (PixelDiscriminator(4, batch), x),
                "multi_scale": (MultiScale(3, 4), picture(129, 144))}
    for case, (network, pictures) in networks.items():
        network = fill_and_keep(out, case, network, train_on=pictures)
        with torch.no_grad():
            maps = network(pictures)
        for i, one in enumerate(maps if isinstance(maps, list) else [maps]):
            out[f"{case}/logits_{i}"] = one


def spectral_norm(out):
    """Two training passes, the gradient of their sum, then a pass in evaluation mode."""
    inputs = {"spectral_conv": picture(12, 10), "spectral_linear": picture(4, 7)}
    layers = {"spectral_conv": nn.Conv2d(3, 6, 4, 2, 1), "spectral_linear": nn.Linear(7, 5)}
    for case, layer in layers.items():
        layer = nn.utils.spectral_norm(layer)
        fill(layer)
        with torch.no_grad():
            for i, name in enumerate(("weight_u", "weight_v")):
                vector = getattr(layer, name)
                values = torch.from_numpy(uniform(100_000 * (i + 1), vector.numel())).float()
                vector.copy_(F.normalize(values, dim=0))
        add_state(out, case, layer)
        x = inputs[case]
        first, second = layer(x), layer(x)
        (first * second.square()).sum().backward()
        out[f"{case}/first"], out[f"{case}/second"] = first.detach(), second.detach()
        out[f"{case}/gradient"] = layer.weight_orig.grad
        out[f"{case}/u"], out[f"{case}/v"] = layer.weight_u.clone(), layer.weight_v.clone()
        out[f"{case}/evaluated"] = layer.eval()(x).detach()


def gradient_penalty(out):
    """The gradients of (|dD/dx| - 1)^2 for each norm that a critic may have: second derivatives."""
    norms = {"layer": lambda c: nn.GroupNorm(1, c), "batch": batch, "instance": instance, "none": lambda c: nn.Identity()}
    for name, norm in norms.items():
        critic = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), norm(4), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 3))
        fill(critic)
        case = f"penalty_{name}"
        add_state(out, case, critic)
        x = torch.cat([picture(9, 8), picture(9, 8).flip(2) * 0.5]).requires_grad_()
        (gradient,) = torch.autograd.grad(critic(x).square().sum(), x, create_graph=True)
        penalty = (gradient.flatten(1).norm(dim=1) - 1).square().mean()
        penalty.backward()
        out[f"{case}/penalty"] = penalty.detach()
        for key, parameter in critic.named_parameters():
            if parameter.grad is not None:
                out[f"{case}/gradient/{key}"] = parameter.grad


def main():
    out = {}
    for make in (generators, discriminators, spectral_norm, gradient_penalty):
        make(out)
    path = os.path.join(os.path.dirname(__file__), "gan_networks.safetensors")
    save({name: tensor.contiguous() for name, tensor in out.items()}, path)
    print(torch.__version__, len(out), "tensors,", os.path.getsize(path), "bytes")


if __name__ == "__main__":
    main()
