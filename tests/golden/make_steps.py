"""Writes steps.safetensors: one optimiser step of whole training steps in plain PyTorch, as the reference projects take it, with tiny
networks: CycleGAN (junyanz/pytorch-CycleGAN-and-pix2pix, models/cycle_gan_model.py: optimize_parameters), DCGAN
(pytorch/examples/dcgan/main.py) and WGAN with gradient penalty (Gulrajani et al. 2017, algorithm 1).
Run: python make_steps.py (torch 2.11, numpy, safetensors)."""
import itertools
import os

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, l1_loss, mse_loss

from make_networks import NLayerDiscriminator, ResnetGenerator
from reference import fill, picture, uniform

RATE, BETAS = 2e-4, (0.5, 0.999)


def flat(prefix, network, optimizer, out):
    """Weights after the step, and Adam's first moment: (1 - beta1) times the gradient."""
    for name, parameter in network.named_parameters():
        out[f"{prefix}.{name}"] = parameter.detach().clone()
        out[f"{prefix}.{name}#exp_avg"] = optimizer.state[parameter]["exp_avg"].clone()


def cyclegan(out):
    g_a, g_b = ResnetGenerator(6, ngf=4), ResnetGenerator(6, ngf=4)
    d_a, d_b = NLayerDiscriminator(ndf=4), NLayerDiscriminator(ndf=4)
    for network in (g_a, g_b, d_a, d_b):
        fill(network)
    a, b = picture(32, 32), -0.8 * picture(40, 40)[:, :, 8:, 8:]
    optimizer_g = torch.optim.Adam(itertools.chain(g_a.parameters(), g_b.parameters()), lr=RATE, betas=BETAS)
    optimizer_d = torch.optim.Adam(itertools.chain(d_a.parameters(), d_b.parameters()), lr=RATE, betas=BETAS)
    ones = lambda x: torch.ones_like(x)
    fake_b, fake_a = g_a(a), g_b(b)
    losses = {
        "identity_b": 5 * l1_loss(g_a(b), b), "identity_a": 5 * l1_loss(g_b(a), a),
        "adversarial_b": mse_loss(d_a(fake_b), ones(d_a(fake_b))), "adversarial_a": mse_loss(d_b(fake_a), ones(d_b(fake_a))),
        "cycle_a": 10 * l1_loss(g_b(fake_b), a), "cycle_b": 10 * l1_loss(g_a(fake_a), b)}
    for network in (d_a, d_b):
        network.requires_grad_(False)
    # The same losses, with the discriminators out of the graph as the reference does.
    optimizer_g.zero_grad()
    sum(losses.values()).backward()
    optimizer_g.step()
    for network in (d_a, d_b):
        network.requires_grad_(True)
    optimizer_d.zero_grad()
    for name, network, real, fake in (("discriminator_a", d_a, b, fake_b), ("discriminator_b", d_b, a, fake_a)):
        judged_real, judged_fake = network(real), network(fake.detach())
        losses[name] = 0.5 * (mse_loss(judged_real, ones(judged_real)) + mse_loss(judged_fake, torch.zeros_like(judged_fake)))
        losses[name].backward()
    optimizer_d.step()
    for name, loss in losses.items():
        out[f"cyclegan/loss/{name}"] = loss.detach().reshape(1)
    flat("cyclegan/generator_a", g_a, optimizer_g, out)
    flat("cyclegan/discriminator_a", d_a, optimizer_d, out)


def main():
    out = {}
    cyclegan(out)
    path = os.path.join(os.path.dirname(__file__), "steps.safetensors")
    save_file({name: tensor.contiguous() for name, tensor in out.items()}, path)
    print(os.path.getsize(path), {name: float(t) for name, t in out.items() if "/loss/" in name})


if __name__ == "__main__":
    main()
