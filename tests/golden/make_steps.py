"""Writes steps.safetensors: one optimiser step of whole training steps in plain PyTorch, as the reference projects take it, with tiny
networks: CycleGAN (junyanz/pytorch-CycleGAN-and-pix2pix, models/cycle_gan_model.py: optimize_parameters), CUT
(taesungp/contrastive-unpaired-translation, models/cut_model.py), DCGAN (pytorch/examples/dcgan/main.py, but with fresh noise for the
generator) and WGAN with gradient penalty (Gulrajani et al. 2017, algorithm 1). Random draws are those of worker/train/random.h.
Run: python make_steps.py (torch 2.11, numpy, safetensors)."""
import itertools
import os

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, l1_loss, mse_loss

import make_gan_networks
import make_pattern_networks
from make_networks import NLayerDiscriminator, ResnetGenerator
from reference import fill, picture, save

RATE, BETAS = 2e-4, (0.5, 0.999)


MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15
PENALTY, PATCHES, LATENT = 8, 9, 10  # Purpose of worker/train/random.h


def mix(x):
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)


class KeyedRandom:
    def __init__(self, seed, step, sample, purpose):
        self.state = mix(seed + GOLDEN & MASK)
        for part in (step, sample, purpose):
            self.state = mix(self.state ^ (part + GOLDEN & MASK))

    def next(self):
        self.state = self.state + GOLDEN & MASK
        return mix(self.state)


def latent(size, count, draw):
    rows = []
    for sample in range(count):
        seed = KeyedRandom(0, sample, draw, LATENT).next()
        rows.append(torch.randn(size, generator=torch.Generator().manual_seed(seed)))
    return torch.stack(rows)


def places(count, area, random):
    order = list(range(area))
    for i in range(min(count, area)):
        j = i + random.next() % (area - i)
        order[i], order[j] = order[j], order[i]
    return torch.tensor(order[:min(count, area)])


def flat(prefix, network, optimizer, out, keep=torch.clone):
    """Weights after the step, and Adam's first moment: (1 - beta1) times the gradient."""
    for name, parameter in network.named_parameters():
        out[f"{prefix}.{name}"] = keep(parameter.detach())
        out[f"{prefix}.{name}#exp_avg"] = keep(optimizer.state[parameter]["exp_avg"])


def thinned(tensor):
    """Every 31st number of a large tensor: 31 divides no width, so rows and columns of all places occur, in little room."""
    return tensor.clone() if tensor.numel() <= 1024 else tensor.flatten()[::31].clone()


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
    flat("cyclegan/generator_b", g_b, optimizer_g, out, thinned)
    flat("cyclegan/discriminator_b", d_b, optimizer_d, out, thinned)


class Projector(nn.Module):
    """PatchSampleF with use_mlp."""

    def __init__(self, channels):
        super().__init__()
        for i, c in enumerate(channels):
            setattr(self, f"mlp_{i}", nn.Sequential(nn.Linear(c, 256), nn.ReLU(), nn.Linear(256, 256)))

    def forward(self, features, ids):
        rows = []
        for i, (f, place) in enumerate(zip(features, ids)):
            row = getattr(self, f"mlp_{i}")(f.permute(0, 2, 3, 1).flatten(1, 2)[:, place].flatten(0, 1))
            rows.append(row / (row.pow(2).sum(1, keepdim=True).pow(0.5) + 1e-7))
        return rows


def cut(out):
    layers, patches = [0, 4, 8], 16
    g = make_gan_networks.ResnetGenerator(6, 4, antialias=True)
    d = make_gan_networks.PatchDiscriminator(4, antialias=True)
    f = Projector([3, 8, 16])
    for network in (g, d, f):
        fill(network)
    a, b = picture(32, 32), -0.8 * picture(40, 40)[:, :, 8:, 8:]
    optimizers = {"generator": torch.optim.Adam(g.parameters(), lr=RATE, betas=BETAS),
                  "discriminator": torch.optim.Adam(d.parameters(), lr=RATE, betas=BETAS),
                  "projector": torch.optim.Adam(f.parameters(), lr=RATE, betas=BETAS)}
    made, same = g(torch.cat([a, b])).chunk(2)
    real, fake = d(b), d(made.detach())
    losses = {"discriminator": 0.5 * (mse_loss(real, torch.ones_like(real)) + mse_loss(fake, torch.zeros_like(fake)))}
    losses["discriminator"].backward()
    optimizers["discriminator"].step()
    d.requires_grad_(False)

    def nce(source, result, sample):
        keys, queries = g.features(source, layers), g.features(result, layers)
        random = KeyedRandom(0, 0, sample, PATCHES)
        ids = [places(patches, keys[i].shape[2] * keys[i].shape[3], random) for i in layers]
        k, q = (f([x[i] for i in layers], ids) for x in (keys, queries))
        return sum(cross_entropy(qi @ ki.detach().t() / 0.07, torch.arange(len(qi))) for qi, ki in zip(q, k)) / len(layers)

    judged = d(made)
    losses |= {"adversarial": mse_loss(judged, torch.ones_like(judged)), "nce": 0.5 * nce(a, made, 0), "nce_identity": 0.5 * nce(b, same, 1)}
    optimizers["generator"].zero_grad()
    (losses["adversarial"] + losses["nce"] + losses["nce_identity"]).backward()
    optimizers["generator"].step()
    optimizers["projector"].step()
    for name, loss in losses.items():
        out[f"cut/loss/{name}"] = loss.detach().reshape(1)
    flat("cut/generator", g, optimizers["generator"], out)
    flat("cut/discriminator", d, optimizers["discriminator"], out)
    flat("cut/projector", f, optimizers["projector"], out, thinned)


def pattern(out, family):
    """One step of the discriminator on two pictures, one of the generator."""
    is_wgan = family == "wgan"
    norm = (lambda width: nn.GroupNorm(1, width)) if is_wgan else nn.BatchNorm2d
    betas, rate = ((0.0, 0.9), 1e-4) if is_wgan else (BETAS, RATE)
    g = make_pattern_networks.prepare(make_pattern_networks.Generator(20, 2))
    d = make_pattern_networks.prepare(make_pattern_networks.Discriminator(2, norm=norm))
    real = torch.cat([picture(64, 64), -0.5 * picture(64, 64)])
    optimizer_g = torch.optim.Adam(g.parameters(), lr=rate, betas=betas)
    optimizer_d = torch.optim.Adam(d.parameters(), lr=rate, betas=betas)
    with torch.no_grad():
        fake = g(latent(20, 2, 0))
    judged_real, judged_fake = d(real), d(fake)
    if is_wgan:
        shares = torch.tensor([(KeyedRandom(0, 0, i, PENALTY).next() >> 11) * 2.0**-53 for i in range(2)]).float()[:, None, None, None]
        mixed = (shares * real + (1 - shares) * fake).requires_grad_()
        slope, = torch.autograd.grad(d(mixed).mean((1, 2, 3)).sum(), mixed, create_graph=True)
        penalty = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
        loss_d = judged_fake.mean() - judged_real.mean() + 10 * penalty
    else:
        loss_d = (binary_cross_entropy_with_logits(judged_real, torch.ones_like(judged_real))
                  + binary_cross_entropy_with_logits(judged_fake, torch.zeros_like(judged_fake)))
    loss_d.backward()
    optimizer_d.step()
    d.requires_grad_(False)
    judged = d(g(latent(20, 2, 1)))
    loss_g = -judged.mean() if is_wgan else binary_cross_entropy_with_logits(judged, torch.ones_like(judged))
    loss_g.backward()
    optimizer_g.step()
    out[f"{family}/loss/discriminator"] = loss_d.detach().reshape(1)
    out[f"{family}/loss/adversarial"] = loss_g.detach().reshape(1)
    flat(f"{family}/generator", g, optimizer_g, out)
    flat(f"{family}/discriminator", d, optimizer_d, out)


def main():
    out = {}
    cyclegan(out)
    cut(out)
    pattern(out, "dcgan")
    pattern(out, "wgan")
    path = os.path.join(os.path.dirname(__file__), "steps.safetensors")
    save({name: tensor.contiguous() for name, tensor in out.items()}, path)
    print(os.path.getsize(path), {name: float(t) for name, t in out.items() if "/loss/" in name})


if __name__ == "__main__":
    main()
