#include "worker/train/adversarial_loss.h"

#include <torch/autograd.h>
#include <torch/nn/functional/activation.h>

#include "common/check.h"
#include "worker/train/random.h"

namespace atelier::train {
namespace {

template <typename Function>
torch::Tensor MeanOf(const Logits& logits, const Function& function) {
  ATELIER_CHECK(!logits.empty());
  torch::Tensor sum;
  for (const torch::Tensor& map : logits) {
    const torch::Tensor mean = function(map.to(torch::kFloat32)).mean();
    sum = sum.defined() ? sum + mean : mean;
  }
  return sum / static_cast<double>(logits.size());
}

torch::Tensor Identity(const torch::Tensor& x) { return x; }
torch::Tensor Softplus(const torch::Tensor& x) { return torch::softplus(x); }
torch::Tensor SoftplusOfNegative(const torch::Tensor& x) { return torch::softplus(-x); }
torch::Tensor Square(const torch::Tensor& x) { return x * x; }
torch::Tensor SquareFromOne(const torch::Tensor& x) { return Square(x - 1.0); }
torch::Tensor BelowOne(const torch::Tensor& x) { return torch::relu(1.0 - x); }
torch::Tensor AboveMinusOne(const torch::Tensor& x) { return torch::relu(1.0 + x); }

// |grad D(x)|^2 of each picture, [N], itself differentiable.
torch::Tensor SquaredSlope(const Critic& critic, const torch::Tensor& pictures) {
  const torch::Tensor x = pictures.detach().to(torch::kFloat32).set_requires_grad(true);
  // A picture's logits depend on that picture only, so one gradient of the sum serves all.
  const torch::Tensor sum = MeanOf(critic(x), Identity) * static_cast<double>(pictures.size(0));
  const torch::Tensor slope =
      torch::autograd::grad({sum}, {x}, /*grad_outputs=*/{}, /*retain_graph=*/true,
                            /*create_graph=*/true)[0];
  return Square(slope).flatten(1).sum(1);
}

}  // namespace

torch::Tensor DiscriminatorLoss(GanLoss loss, const Logits& real, const Logits& fake) {
  switch (loss) {
    case GanLoss::kVanilla:
    case GanLoss::kSaturating:
      return MeanOf(real, SoftplusOfNegative) + MeanOf(fake, Softplus);
    case GanLoss::kLeastSquares:
      return 0.5 * (MeanOf(real, SquareFromOne) + MeanOf(fake, Square));
    case GanLoss::kHinge:
      return MeanOf(real, BelowOne) + MeanOf(fake, AboveMinusOne);
    case GanLoss::kWasserstein:
      return MeanOf(fake, Identity) - MeanOf(real, Identity);
  }
  ATELIER_CHECK(false);
}

torch::Tensor GeneratorLoss(GanLoss loss, const Logits& fake) {
  switch (loss) {
    case GanLoss::kVanilla:
      return MeanOf(fake, SoftplusOfNegative);
    case GanLoss::kSaturating:
      return -MeanOf(fake, Softplus);
    case GanLoss::kLeastSquares:
      return MeanOf(fake, SquareFromOne);
    case GanLoss::kHinge:
    case GanLoss::kWasserstein:
      return -MeanOf(fake, Identity);
  }
  ATELIER_CHECK(false);
}

torch::Tensor GradientPenalty(const Critic& critic, const torch::Tensor& real,
                              const torch::Tensor& fake, const torch::Tensor& shares) {
  ATELIER_CHECK(real.sizes() == fake.sizes() && shares.numel() == real.size(0));
  const torch::Tensor share = shares.to(real.device()).view({-1, 1, 1, 1});
  const torch::Tensor mixed = share * real.detach() + (1.0 - share) * fake.detach();
  // The small number keeps the root's derivative finite where the critic is flat.
  const torch::Tensor slope = (SquaredSlope(critic, mixed) + 1e-12).sqrt();
  return SquareFromOne(slope).mean();
}

torch::Tensor PenaltyShares(std::uint64_t seed, std::int64_t draw, const SampleRange& samples) {
  torch::Tensor shares = torch::empty({samples.count}, torch::kFloat32);
  auto values = shares.accessor<float, 1>();
  for (std::int64_t i = 0; i < samples.count; ++i) {
    KeyedRandom random(seed, draw, samples.At(i), Purpose::kPenalty);
    values[i] = static_cast<float>(random.Uniform());
  }
  return shares;
}

torch::Tensor R1Penalty(const Critic& critic, const torch::Tensor& real) {
  return 0.5 * SquaredSlope(critic, real).mean();
}

void ClipWeights(torch::nn::Module& module, double bound) {
  ATELIER_CHECK(bound > 0);
  torch::NoGradGuard no_grad;
  for (torch::Tensor& parameter : module.parameters()) {
    if (parameter.requires_grad()) {
      parameter.clamp_(-bound, bound);
    }
  }
}

}  // namespace atelier::train
