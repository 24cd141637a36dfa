"""Writes losses.safetensors: losses, penalties and training techniques with their gradients, in plain PyTorch as their papers and reference
projects define them. Run: python make_losses.py (torch 2.11, numpy, safetensors)."""
import os

import torch
import torch.nn.functional as F
from torch import nn

from reference import fill, save, uniform


def values(first, *shape, scale=1.0):
    """A leaf that wants a gradient."""
    count = torch.Size(shape).numel()
    return torch.from_numpy(uniform(first, count) * scale).float().reshape(shape).requires_grad_()


def record(out, name, loss, **leaves):
    out[name] = loss.detach().double().reshape(-1)
    gradients = torch.autograd.grad(loss.sum(), list(leaves.values()))
    for key, gradient in zip(leaves, gradients):
        out[f"{name}#{key}"] = gradient


def mean_over_scales(function, maps):
    return sum(function(m) for m in maps) / len(maps)


def bce(target):
    return lambda m: F.binary_cross_entropy_with_logits(m, torch.full_like(m, target))


def mse(target):
    return lambda m: F.mse_loss(m, torch.full_like(m, target))


def gan(out):
    real = [values(0, 2, 1, 3, 4, scale=3), values(100, 2, 1, 2, 2, scale=3)]
    fake = [values(200, 2, 1, 3, 4, scale=3), values(300, 2, 1, 2, 2, scale=3)]
    leaves = {"real0": real[0], "real1": real[1], "fake0": fake[0], "fake1": fake[1]}
    fakes = {"fake0": fake[0], "fake1": fake[1]}
    vanilla = mean_over_scales(bce(1.0), real) + mean_over_scales(bce(0.0), fake)
    record(out, "gan/vanilla/d", vanilla, **leaves)
    record(out, "gan/vanilla/g", mean_over_scales(bce(1.0), fake), **fakes)
    record(out, "gan/saturating/d", vanilla_again(real, fake), **leaves)
    record(out, "gan/saturating/g", mean_over_scales(lambda m: torch.log(1 - torch.sigmoid(m)).mean(), fake), **fakes)
    record(out, "gan/least_squares/d", 0.5 * (mean_over_scales(mse(1.0), real) + mean_over_scales(mse(0.0), fake)), **leaves)
    record(out, "gan/least_squares/g", mean_over_scales(mse(1.0), fake), **fakes)
    hinge = mean_over_scales(lambda m: F.relu(1 - m).mean(), real) + mean_over_scales(lambda m: F.relu(1 + m).mean(), fake)
    record(out, "gan/hinge/d", hinge, **leaves)
    record(out, "gan/hinge/g", -mean_over_scales(torch.mean, fake), **fakes)
    record(out, "gan/wasserstein/d", mean_over_scales(torch.mean, fake) - mean_over_scales(torch.mean, real), **leaves)
    record(out, "gan/wasserstein/g", -mean_over_scales(torch.mean, fake), **fakes)


def vanilla_again(real, fake):
    """-E log D(x) - E log(1 - D(G(z))), as Goodfellow et al. write it."""
    return -mean_over_scales(lambda m: torch.log(torch.sigmoid(m)).mean(), real) - mean_over_scales(
        lambda m: torch.log(1 - torch.sigmoid(m)).mean(), fake)


def critic_network():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Tanh(), nn.Conv2d(4, 1, 3, 1, 1))
    fill(network)
    return network


def slopes(network, pictures):
    """grad D(x) of each picture by itself, [N, C H W]."""
    rows = []
    for picture in pictures:
        x = picture.detach()[None].requires_grad_()
        rows.append(torch.autograd.grad(network(x).mean(), x, create_graph=True)[0].flatten())
    return torch.stack(rows)


def penalties(out):
    real, fake = values(1000, 3, 3, 8, 8), values(2000, 3, 3, 8, 8)
    shares = torch.tensor([0.25, 0.5, 0.875])[:, None, None, None]
    for name, penalty in (
            ("penalty/gradient", lambda n: ((slopes(n, shares * real + (1 - shares) * fake).norm(dim=1) - 1) ** 2).mean()),
            ("penalty/r1", lambda n: 0.5 * (slopes(n, real) ** 2).sum(1).mean())):
        network = critic_network()
        # The last bias moves no slope and has no gradient.
        parameters = {key: p for key, p in network.named_parameters() if key != "2.bias"}
        record(out, name, penalty(network), **parameters)


class PatchSampleF(nn.Module):
    """The projection of CUT: taesungp/contrastive-unpaired-translation, models/networks.py."""

    def __init__(self, channels, width):
        super().__init__()
        for i, c in enumerate(channels):
            self.add_module(f"mlp_{i}", nn.Sequential(nn.Linear(c, width), nn.ReLU(), nn.Linear(width, width)))

    def forward(self, features, places):
        codes = []
        for i, (feature, place) in enumerate(zip(features, places)):
            rows = feature.permute(0, 2, 3, 1).flatten(1, 2)[:, place].flatten(0, 1)
            code = self.get_submodule(f"mlp_{i}")(rows)
            codes.append(code / (code.pow(2).sum(1, keepdim=True).pow(0.5) + 1e-7))
        return codes


def nce(query, key, pictures, temperature):
    """Each query against its own key and the other keys of its picture, one by one."""
    key = key.detach()
    places = query.shape[0] // pictures
    losses = []
    for i in range(query.shape[0]):
        first = i // places * places
        logits = [query[i] @ key[i]]
        logits += [torch.tensor(-10.0) if first + j == i else query[i] @ key[first + j] for j in range(places)]
        losses.append(-F.log_softmax(torch.stack(logits) / temperature, 0)[0])
    return torch.stack(losses).mean()


def patch_nce(out):
    network = PatchSampleF([6, 5], 16)
    fill(network)
    query = [values(3000, 2, 6, 4, 5), values(3500, 2, 5, 3, 3)]
    key = [values(4000, 2, 6, 4, 5), values(4500, 2, 5, 3, 3)]
    places = [torch.tensor([3, 19, 0, 7, 12]), torch.tensor([8, 1, 4])]
    q, k = network(query, places), network(key, places)
    for i in range(2):
        out[f"nce/code{i}"] = q[i].detach()
    loss = sum(nce(a, b, 2, 0.07) for a, b in zip(q, k)) / 2
    record(out, "nce/loss", loss, query0=query[0], query1=query[1], **dict(network.named_parameters()))


def edge_map(pictures):
    grey = (pictures * torch.tensor([0.299, 0.587, 0.114])[None, :, None, None]).sum(1, keepdim=True)
    sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    x, y = F.conv2d(grey, sobel[None, None]), F.conv2d(grey, sobel.T[None, None])
    return (x * x + y * y + 1e-6).sqrt().flatten(1)


def image_losses(out):
    a, b = values(5000, 2, 3, 6, 7), values(5500, 2, 3, 6, 7)
    u, v = values(6000, 2, 4, 5), values(6500, 2, 4, 5, scale=0.5)
    f = [values(7000, 2, 5, 4, 4), values(7500, 2, 3, 3, 2)]
    g = [values(8000, 2, 5, 4, 4), values(8500, 2, 3, 3, 2)]
    record(out, "l1", F.l1_loss(a, b), a=a, b=b)
    record(out, "kl", torch.distributions.kl_divergence(
        torch.distributions.Normal(u, (v / 2).exp()), torch.distributions.Normal(0.0, 1.0)).sum((1, 2)).mean(), mean=u, log_variance=v)
    record(out, "feature_matching", (F.l1_loss(f[0], g[0].detach()) + F.l1_loss(f[1], g[1].detach())) / 2, f0=f[0], f1=f[1])
    record(out, "mode_seeking", 1 / ((a - b).abs().mean() / (u - v).abs().mean() + 1e-5), a=a, b=b)
    deviation = lambda x: (x.var((2, 3), correction=0) + 1e-5).sqrt()
    record(out, "statistics", sum(F.mse_loss(x.mean((2, 3)), y.mean((2, 3))) + F.mse_loss(deviation(x), deviation(y))
                                  for x, y in zip(f, g)), f0=f[0], f1=f[1])
    unit = lambda x: x / (x.pow(2).sum(1, keepdim=True) + 1e-10).sqrt()
    record(out, "perceptual", sum((unit(x) - unit(y)).pow(2).sum(1).mean((1, 2)) for x, y in zip(f, g)) / 2, f0=f[0], f1=f[1])
    edges = [edge_map(x) for x in (a, b)]
    record(out, "structure", torch.stack([1 - torch.corrcoef(torch.stack([x, y]))[0, 1] for x, y in zip(*edges)]), a=a, b=b)
    network = critic_network()
    weights = {key: p for key, p in network.named_parameters() if p.dim() > 1}
    record(out, "squared_weights", sum(p.pow(2).sum() for p in weights.values()), **weights)


def diff_augment(out):
    """One picture after the other, pixel by pixel where the authors index."""
    pictures = values(9000, 2, 3, 16, 12)
    draws = [dict(brightness=0.3, saturation=1.7, contrast=0.6, down=2, right=-1, cut=(15, 2)),
             dict(brightness=-0.4, saturation=0.2, contrast=1.4, down=-1, right=1, cut=(1, 12))]
    augmented = []
    for x, draw in zip(pictures, draws):
        x = x + draw["brightness"]
        x = (x - x.mean(0, keepdim=True)) * draw["saturation"] + x.mean(0, keepdim=True)
        x = (x - x.mean()) * draw["contrast"] + x.mean()
        moved, mask = torch.zeros_like(x), torch.ones(16, 12)
        for i in range(16):
            for j in range(12):
                y, z = i - draw["down"], j - draw["right"]
                if 0 <= y < 16 and 0 <= z < 12:
                    moved[:, i, j] = x[:, y, z]
        for i in range(8):
            for j in range(6):
                mask[min(max(i + draw["cut"][0] - 4, 0), 15), min(max(j + draw["cut"][1] - 3, 0), 11)] = 0
        augmented.append(moved * mask)
    result = torch.stack(augmented)
    out["diff_augment"] = result.detach()
    out["diff_augment#pictures"] = torch.autograd.grad((result * values(9900, 2, 3, 16, 12).detach()).sum(), pictures)[0]


def schedules(out):
    """Learning rates of PyTorch's schedulers from a rate of 1."""
    def rates(steps, make, *reports):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        scheduler, seen = make(optimizer), []
        for i in range(steps):
            seen.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step(*(r[i] for r in reports))
        return torch.tensor(seen, dtype=torch.float64)
    out["schedule/cosine"] = rates(12, lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 12, eta_min=0.1))
    out["schedule/linear"] = rates(12, lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda s: 1 - 0.9 * max(0, s - 6) / 6))
    metric = torch.tensor([5.0, 4, 4, 4.5, 3, 3, 3, 3, 3, 2.9999, 3, 3, 1, 1, 1, 1])
    out["schedule/metric"] = metric.double()
    out["schedule/plateau"] = rates(len(metric), lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(
        o, factor=0.1, patience=2, min_lr=1e-3), metric.tolist())


def main():
    out = {}
    for case in (gan, penalties, patch_nce, image_losses, diff_augment, schedules):
        case(out)
    path = os.path.join(os.path.dirname(__file__), "losses.safetensors")
    save({name: tensor.contiguous() for name, tensor in out.items()}, path)
    print(os.path.getsize(path), {name: t.tolist() for name, t in out.items() if "#" not in name and t.numel() < 3})


if __name__ == "__main__":
    main()
