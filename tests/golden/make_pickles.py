"""Writes state_dict_old.pth and state_dict_zip.pth, the same small state dict in both layouts of torch.save, and expected values beside
them in state_dict.safetensors; and checkpoint.pth, weights among the other things that training programs save. Run: python make_pickles.py (torch, numpy, safetensors)."""
import os

import torch
from torch import nn

from reference import save

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    torch.manual_seed(1)
    state = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)).state_dict()
    base = torch.arange(24, dtype=torch.float32)
    state["shared.all"] = base.reshape(4, 6)
    state["shared.turned"] = base.reshape(4, 6)[1:3, ::2].t()
    state["parameter"] = nn.Parameter(torch.tensor([1.5, -2.5]))
    state["half"] = torch.tensor([0.5, 65504.0]).half()
    state["bfloat16"] = torch.tensor([[1.0, -3.0]]).bfloat16()
    state["double"] = torch.tensor(0.1, dtype=torch.float64)
    state["int32"] = torch.tensor([-7, 7], dtype=torch.int32)
    state["empty"] = torch.zeros(0, 3)
    torch.save(state, os.path.join(HERE, "state_dict_old.pth"), _use_new_zipfile_serialization=False)
    torch.save(state, os.path.join(HERE, "state_dict_zip.pth"))
    save({k: v.detach().clone().contiguous() for k, v in state.items()}, os.path.join(HERE, "state_dict.safetensors"))
    torch.save(checkpoint(), os.path.join(HERE, "checkpoint.pth"))


def checkpoint():
    """As PyTorch's tutorial on saving checkpoints has it, with the moments of a step."""
    model = nn.Sequential(nn.Identity(), nn.Conv2d(3, 2, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-4, betas=(0.5, 0.999))
    model(torch.ones(1, 3, 4, 4)).sum().backward()
    optimizer.step()
    with torch.no_grad():
        model[1].bias.copy_(torch.tensor([0.5, -0.5]))
    weights = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    return {"epoch": 7, "model_state_dict": weights, "optimizer_state_dict": optimizer.state_dict(), "loss": 0.25,
            "history": [0.5, 0.375, None], "best": True}


if __name__ == "__main__":
    main()
