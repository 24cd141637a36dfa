// The adversarial losses, and what keeps a critic smooth. All compute in FP32 whatever their
// inputs' type and return scalars that are differentiable twice. Pure functions.
//
// With r and f the logits of real and generated pictures, s(x) = log(1 + exp(x)) and E the mean:
//
//                 discriminator                             generator
//   kVanilla      E s(-r) + E s(f)                          E s(-f), that is -log D(G(z))
//   kSaturating   E s(-r) + E s(f)                          -E s(f), that is log(1 - D(G(z)))
//   kLeastSquares (E (r - 1)^2 + E f^2) / 2                 E (f - 1)^2
//   kHinge        E max(0, 1 - r) + E max(0, 1 + f)         -E f
//   kWasserstein  E f - E r                                 -E f
//
// Sources: Goodfellow et al. 2014 (arXiv:1406.2661) for the first two; Mao et al. 2017
// (arXiv:1611.04076); Lim and Ye 2017 (arXiv:1705.02894) and Miyato et al. 2018 (arXiv:1802.05957);
// Arjovsky et al. 2017 (arXiv:1701.07875). The generator's least squares go without Mao's factor
// 1/2, as in CycleGAN.
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "common/train_config.h"
#include "worker/train/random.h"

namespace atelier::train {

// One map of logits a scale, of any shape with the pictures first, as nn::Discriminator makes them.
// E is the mean over a map, then over the scales.
using Logits = std::vector<torch::Tensor>;

torch::Tensor DiscriminatorLoss(GanLoss loss, const Logits& real, const Logits& fake);
torch::Tensor GeneratorLoss(GanLoss loss, const Logits& fake);

// What is judged by the penalties. It must judge each picture of a batch for itself: no batch norm.
using Critic = std::function<Logits(const torch::Tensor& pictures)>;

// E (|grad D(x)| - 1)^2 with x = share real + (1 - share) fake and D the mean of a picture's
// logits (Gulrajani et al. 2017, arXiv:1704.00028, equation 3). real, fake: [N, C, H, W], not
// differentiated; shares: [N] in [0, 1).
torch::Tensor GradientPenalty(const Critic& critic, const torch::Tensor& real,
                              const torch::Tensor& fake, const torch::Tensor& shares);

// The shares for `samples`, each keyed by (seed, draw, sample, kPenalty).
torch::Tensor PenaltyShares(std::uint64_t seed, std::int64_t draw, const SampleRange& samples);

// E |grad D(real)|^2 / 2 (Mescheder et al. 2018, arXiv:1801.04406, equation 9).
torch::Tensor R1Penalty(const Critic& critic, const torch::Tensor& real);

// Moves every parameter that wants a gradient into [-bound, bound] (Arjovsky et al. 2017). bound
// above 0.
void ClipWeights(torch::nn::Module& module, double bound);

}  // namespace atelier::train
