"""Writes cyclegan.safetensors: outputs of the reference networks of CycleGAN (junyanz/pytorch-CycleGAN-and-pix2pix, models/networks.py,
norm=instance, no dropout), spelled out here layer by layer. Run: python make_networks.py (torch, numpy, safetensors)."""
import os

import torch
from torch import nn

from reference import fill, picture, save


class ResnetBlock(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(dim, dim, 3), nn.InstanceNorm2d(dim), nn.ReLU(True),
            nn.ReflectionPad2d(1), nn.Conv2d(dim, dim, 3), nn.InstanceNorm2d(dim))

    def forward(self, x):
        return x + self.conv_block(x)


class ResnetGenerator(nn.Module):
    def __init__(self, n_blocks, ngf=64):
        super().__init__()
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(3, ngf, 7), nn.InstanceNorm2d(ngf), nn.ReLU(True)]
        for mult in (1, 2):
            layers += [nn.Conv2d(ngf * mult, ngf * mult * 2, 3, stride=2, padding=1),
                       nn.InstanceNorm2d(ngf * mult * 2), nn.ReLU(True)]
        layers += [ResnetBlock(ngf * 4) for _ in range(n_blocks)]
        for mult in (4, 2):
            layers += [nn.ConvTranspose2d(ngf * mult, ngf * mult // 2, 3, stride=2, padding=1, output_padding=1),
                       nn.InstanceNorm2d(ngf * mult // 2), nn.ReLU(True)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        return self.model(x)


class NLayerDiscriminator(nn.Module):
    def __init__(self, ndf=64, n_layers=3):
        super().__init__()
        layers = [nn.Conv2d(3, ndf, 4, 2, 1), nn.LeakyReLU(0.2, True)]
        mult = 1
        for n in range(1, n_layers + 1):
            previous, mult = mult, min(2**n, 8)
            layers += [nn.Conv2d(ndf * previous, ndf * mult, 4, 2 if n < n_layers else 1, 1),
                       nn.InstanceNorm2d(ndf * mult), nn.LeakyReLU(0.2, True)]
        layers += [nn.Conv2d(ndf * mult, 1, 4, 1, 1)]
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        return self.model(x)


def main():
    networks = {"resnet_9": (ResnetGenerator(9), 32, 40), "resnet_6": (ResnetGenerator(6), 32, 40),
                "patch": (NLayerDiscriminator(), 48, 56)}
    outputs = {}
    for name, (network, height, width) in networks.items():
        fill(network)
        with torch.no_grad():
            outputs[name] = network(picture(height, width)).contiguous()
        print(name, tuple(outputs[name].shape), float(outputs[name].mean()), float(outputs[name].std()))
    save(outputs, os.path.join(os.path.dirname(__file__), "cyclegan.safetensors"))


if __name__ == "__main__":
    main()
