"""Training steps of CycleGAN and CUT in plain PyTorch, as the reference projects take them (junyanz/pytorch-CycleGAN-and-pix2pix,
models/cycle_gan_model.py; taesungp/contrastive-unpaired-translation, models/cut_model.py): the peer of `scripts/bench train --peers` and of
scripts/dev/compare-training.py. The networks are those that the golden files are made with."""
import itertools
import pathlib
import random
import sys

import torch
from torch import nn
from torch.nn.functional import cross_entropy, l1_loss, mse_loss

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests/golden"))
import make_gan_networks  # noqa: E402
from make_networks import NLayerDiscriminator, ResnetGenerator  # noqa: E402

BETAS = (0.5, 0.999)


def start(network, xavier=False):
    """The reference's init_weights with its init_gain of 0.02: normal for CycleGAN, xavier for CUT, as their options' defaults are."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            if xavier:
                nn.init.xavier_normal_(module.weight, 0.02)
            else:
                nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def judge_as(judged, value):
    return mse_loss(judged, torch.full_like(judged, value))


class Pool:
    """ImagePool: half of the time a picture of an earlier step goes to the discriminator instead."""

    def __init__(self, size):
        self.size, self.pictures = size, []

    def query(self, pictures):
        answer = []
        for picture in pictures.split(1):
            if len(self.pictures) < self.size:
                self.pictures.append(picture)
                answer.append(picture)
            elif random.random() > 0.5:
                place = random.randrange(self.size)
                answer.append(self.pictures[place])
                self.pictures[place] = picture
            else:
                answer.append(picture)
        return torch.cat(answer)


class Step:
    def __init__(self, rate, precision):
        self.rate, self.precision, self.optimizers = rate, precision, []

    def adam(self, *networks):
        parameters = itertools.chain(*(network.parameters() for network in networks))
        self.optimizers.append(torch.optim.Adam(parameters, lr=self.rate, betas=BETAS))
        return self.optimizers[-1]

    def autocast(self):
        return torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16")

    def set_rate(self, share):
        for optimizer in self.optimizers:
            optimizer.param_groups[0]["lr"] = self.rate * share


class CycleGan(Step):
    def __init__(self, blocks=9, ngf=64, ndf=64, rate=2e-4, precision="fp32", pool=50):
        super().__init__(rate, precision)
        self.generator, self.back = start(ResnetGenerator(blocks, ngf)), start(ResnetGenerator(blocks, ngf))
        self.d_b, self.d_a = start(NLayerDiscriminator(ndf)), start(NLayerDiscriminator(ndf))
        self.optimizer_g, self.optimizer_d = self.adam(self.generator, self.back), self.adam(self.d_a, self.d_b)
        self.pools = Pool(pool), Pool(pool)

    def run(self, a, b):
        self.d_a.requires_grad_(False)
        self.d_b.requires_grad_(False)
        self.optimizer_g.zero_grad()
        with self.autocast():
            fake_b, fake_a = self.generator(a), self.back(b)
            same_b, same_a = self.generator(b), self.back(a)
            cycle_a, cycle_b = self.back(fake_b), self.generator(fake_a)
            judged_b, judged_a = self.d_b(fake_b), self.d_a(fake_a)
        losses = {
            "identity_b": 5 * l1_loss(same_b.float(), b), "identity_a": 5 * l1_loss(same_a.float(), a),
            "adversarial_b": judge_as(judged_b.float(), 1.0), "adversarial_a": judge_as(judged_a.float(), 1.0),
            "cycle_a": 10 * l1_loss(cycle_a.float(), a), "cycle_b": 10 * l1_loss(cycle_b.float(), b)}
        sum(losses.values()).backward()
        self.optimizer_g.step()
        self.d_a.requires_grad_(True)
        self.d_b.requires_grad_(True)
        self.optimizer_d.zero_grad()
        for name, network, pool, real, fake in (("discriminator_a", self.d_b, self.pools[0], b, fake_b),
                                                ("discriminator_b", self.d_a, self.pools[1], a, fake_a)):
            with self.autocast():
                judged_real, judged_fake = network(real), network(pool.query(fake.detach()))
            losses[name] = 0.5 * (judge_as(judged_real.float(), 1.0) + judge_as(judged_fake.float(), 0.0))
            losses[name].backward()
        self.optimizer_d.step()
        return {name: float(loss.detach()) for name, loss in losses.items()}


class Projector(nn.Module):
    """PatchSampleF with use_mlp."""

    def __init__(self, channels):
        super().__init__()
        for i, width in enumerate(channels):
            setattr(self, f"mlp_{i}", nn.Sequential(nn.Linear(width, 256), nn.ReLU(), nn.Linear(256, 256)))

    def forward(self, features, ids):
        rows = []
        for i, (feature, places) in enumerate(zip(features, ids)):
            row = getattr(self, f"mlp_{i}")(feature.permute(0, 2, 3, 1).flatten(1, 2)[:, places].flatten(0, 1))
            rows.append(row / (row.pow(2).sum(1, keepdim=True).pow(0.5) + 1e-7))
        return rows


class Cut(Step):
    LAYERS = [0, 4, 8, 12, 16]

    def __init__(self, blocks=9, ngf=64, ndf=64, rate=2e-4, precision="fp32", patches=256):
        super().__init__(rate, precision)
        self.patches = patches
        self.generator = start(make_gan_networks.ResnetGenerator(blocks, ngf, antialias=True), xavier=True)
        self.d = start(make_gan_networks.PatchDiscriminator(ndf, antialias=True), xavier=True)
        with torch.no_grad():
            features = self.generator.features(torch.zeros(1, 3, 32, 32), self.LAYERS)
        self.projector = start(Projector([features[i].shape[1] for i in self.LAYERS]), xavier=True)
        self.optimizer_g, self.optimizer_d = self.adam(self.generator), self.adam(self.d)
        self.optimizer_f = self.adam(self.projector)

    def nce(self, source, result):
        with self.autocast():
            keys = self.generator.features(source, self.LAYERS)
            queries = self.generator.features(result, self.LAYERS)
        ids = [torch.randperm(keys[i].shape[2] * keys[i].shape[3])[:self.patches] for i in self.LAYERS]
        projected = [self.projector([x[i].float() for i in self.LAYERS], ids) for x in (keys, queries)]
        total = 0.0
        for key, query in zip(*projected):
            # Negatives come from the same picture.
            key, query = (x.view(len(source), -1, x.shape[1]) for x in (key.detach(), query))
            similarity = torch.bmm(query, key.transpose(1, 2)).flatten(0, 1) / 0.07
            places = torch.arange(key.shape[1]).repeat(len(source))
            total = total + cross_entropy(similarity, places)
        return total / len(self.LAYERS)

    def run(self, a, b):
        with self.autocast():
            made, same = self.generator(torch.cat([a, b])).chunk(2)
        made, same = made.float(), same.float()
        self.d.requires_grad_(True)
        self.optimizer_d.zero_grad()
        with self.autocast():
            real, fake = self.d(b), self.d(made.detach())
        losses = {"discriminator": 0.5 * (judge_as(real.float(), 1.0) + judge_as(fake.float(), 0.0))}
        losses["discriminator"].backward()
        self.optimizer_d.step()
        self.d.requires_grad_(False)
        self.optimizer_g.zero_grad()
        self.optimizer_f.zero_grad()
        with self.autocast():
            judged = self.d(made)
        losses |= {"adversarial": judge_as(judged.float(), 1.0), "nce": 0.5 * self.nce(a, made), "nce_identity": 0.5 * self.nce(b, same)}
        (losses["adversarial"] + losses["nce"] + losses["nce_identity"]).backward()
        self.optimizer_g.step()
        self.optimizer_f.step()
        return {name: float(loss.detach()) for name, loss in losses.items()}
