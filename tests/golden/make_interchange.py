"""Writes what Python hands to Atelier: interchange_zip.pth and interchange_old.pth (a tiny CycleGAN generator in both layouts of
torch.save; the old one as DataParallel and PyTorch before 0.4 wrote it), interchange_script.pt and interchange_trace.pt (the same as
TorchScript), endless_script.pt, which never ends, and in interchange.safetensors the outputs of these and of a tiny TransformerNet (pytorch/examples, fast_neural_style),
spelled out here. Run: python make_interchange.py (torch 2.11, numpy, safetensors)."""
import os

import torch
from torch import nn

from make_networks import ResnetGenerator
from reference import fill, picture, save

HERE = os.path.dirname(os.path.abspath(__file__))


class ConvLayer(nn.Module):
    def __init__(self, inside, outside, kernel, stride, upsample=1):
        super().__init__()
        self.upsample = upsample
        self.pad = nn.ReflectionPad2d(kernel // 2)
        self.conv2d = nn.Conv2d(inside, outside, kernel, stride)

    def forward(self, x):
        if self.upsample > 1:
            x = nn.functional.interpolate(x, mode="nearest", scale_factor=self.upsample)
        return self.conv2d(self.pad(x))


class ResidualBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = ConvLayer(channels, channels, 3, 1)
        self.in1 = nn.InstanceNorm2d(channels, affine=True)
        self.conv2 = ConvLayer(channels, channels, 3, 1)
        self.in2 = nn.InstanceNorm2d(channels, affine=True)

    def forward(self, x):
        return self.in2(self.conv2(torch.relu(self.in1(self.conv1(x))))) + x


class TransformerNet(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.conv1 = ConvLayer(3, width, 9, 1)
        self.in1 = nn.InstanceNorm2d(width, affine=True)
        self.conv2 = ConvLayer(width, 2 * width, 3, 2)
        self.in2 = nn.InstanceNorm2d(2 * width, affine=True)
        self.conv3 = ConvLayer(2 * width, 4 * width, 3, 2)
        self.in3 = nn.InstanceNorm2d(4 * width, affine=True)
        for i in range(1, 6):
            setattr(self, f"res{i}", ResidualBlock(4 * width))
        self.deconv1 = ConvLayer(4 * width, 2 * width, 3, 1, upsample=2)
        self.in4 = nn.InstanceNorm2d(2 * width, affine=True)
        self.deconv2 = ConvLayer(2 * width, width, 3, 1, upsample=2)
        self.in5 = nn.InstanceNorm2d(width, affine=True)
        self.deconv3 = ConvLayer(width, 3, 9, 1)

    def forward(self, x):
        y = torch.relu(self.in1(self.conv1(x)))
        y = torch.relu(self.in2(self.conv2(y)))
        y = torch.relu(self.in3(self.conv3(y)))
        for i in range(1, 6):
            y = getattr(self, f"res{i}")(y)
        y = torch.relu(self.in4(self.deconv1(y)))
        y = torch.relu(self.in5(self.deconv2(y)))
        return self.deconv3(y)


def filled_transformer():
    """Filled so that the output covers [0, 255]."""
    network = TransformerNet(4)
    fill(network)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if ".in" in "." + name and name.endswith("weight"):
                parameter += 1.0
        network.deconv3.conv2d.weight *= 60.0
        network.deconv3.conv2d.bias += 127.5
    return network


def old_state(network):
    """As torch.nn.DataParallel named it, with the statistics that instance norms had before PyTorch 0.4."""
    state = {}
    for name, module in network.named_modules():
        for key, value in module.named_parameters(recurse=False):
            state[f"module.{name}.{key}"] = value.detach()
        if isinstance(module, nn.InstanceNorm2d):
            state[f"module.{name}.running_mean"] = torch.zeros(module.num_features)
            state[f"module.{name}.running_var"] = torch.ones(module.num_features)
    return state


class Endless(nn.Module):
    """A program that is allowed and never ends."""

    def forward(self, x):
        for _ in range(1000000000000000):
            x = torch.tanh(x)
        return x


def main():
    resnet = ResnetGenerator(2, ngf=4)
    fill(resnet)
    resnet.eval()
    torch.save(resnet.state_dict(), os.path.join(HERE, "interchange_zip.pth"))
    torch.save(old_state(resnet), os.path.join(HERE, "interchange_old.pth"), _use_new_zipfile_serialization=False)
    torch.jit.script(resnet).save(os.path.join(HERE, "interchange_script.pt"))
    torch.jit.script(Endless()).save(os.path.join(HERE, "endless_script.pt"))
    torch.jit.trace(resnet, picture(32, 40)).save(os.path.join(HERE, "interchange_trace.pt"))
    with torch.no_grad():
        transformer = filled_transformer()((picture(32, 40) + 1) * 127.5)
        outputs = {"resnet": resnet(picture(32, 40)).contiguous(), "transformer": transformer.contiguous()}
    for name, output in outputs.items():
        print(name, tuple(output.shape), float(output.mean()), float(output.std()), float(output.min()), float(output.max()))
    save(outputs, os.path.join(HERE, "interchange.safetensors"))


if __name__ == "__main__":
    main()
