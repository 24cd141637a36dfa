#include "worker/infer/latent.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>

#include "common/check.h"
#include "common/split_mix.h"

namespace atelier::infer {
namespace {

// Sets the noise apart from other numbers that are drawn from the same seed.
constexpr std::uint64_t kNoisePurpose = 1;

SplitMix NumbersOf(std::uint64_t seed) {
  return SplitMix(SplitMixHash(SplitMixHash(seed + kSplitMixStep) ^ kNoisePurpose));
}

// In the open interval: neither 0 nor 1, whose quantiles are infinite.
double Uniform(SplitMix& numbers) {
  return (static_cast<double>(numbers.Next() >> 12U) + 0.5) * 0x1.0p-52;
}

}  // namespace

at::Tensor Noise(std::uint64_t seed, std::int64_t size, double truncation) {
  ATELIER_CHECK(truncation >= 0 && truncation <= 1);
  const torch::Tensor quantiles = torch::empty({size}, torch::kDouble);
  SplitMix numbers = NumbersOf(seed);
  auto places = quantiles.accessor<double, 1>();
  for (std::int64_t i = 0; i < size; ++i) {
    places[i] = (1 - truncation) / 2 + truncation * Uniform(numbers);
  }
  return torch::special::ndtri(quantiles);
}

at::Tensor Slerp(const at::Tensor& from, const at::Tensor& to, double t) {
  if (t <= 0 || t >= 1) {
    return t <= 0 ? from : to;
  }
  constexpr double kSmall = 1e-9;
  const double lengths = from.norm().item<double>() * to.norm().item<double>();
  const double cosine = lengths < kSmall ? 1 : from.dot(to).item<double>() / lengths;
  const double angle = std::acos(std::clamp(cosine, -1.0, 1.0));
  const double sine = std::sin(angle);
  if (sine < kSmall) {
    return from * (1 - t) + to * t;
  }
  return from * (std::sin((1 - t) * angle) / sine) + to * (std::sin(t * angle) / sine);
}

at::Tensor LatentRows(const std::vector<std::uint64_t>& seeds,
                      std::optional<std::uint64_t> interpolate_to, std::int64_t size,
                      double truncation) {
  const std::size_t count = seeds.size();
  ATELIER_CHECK(count >= (interpolate_to.has_value() ? 2U : 1U));
  std::vector<torch::Tensor> rows;
  if (!interpolate_to.has_value()) {
    for (const std::uint64_t seed : seeds) {
      rows.push_back(Noise(seed, size, truncation));
    }
    return torch::stack(rows);
  }
  const torch::Tensor from = Noise(seeds.front(), size, truncation);
  const torch::Tensor to = Noise(*interpolate_to, size, truncation);
  for (std::size_t i = 0; i < count; ++i) {
    rows.push_back(Slerp(from, to, static_cast<double>(i) / static_cast<double>(count - 1)));
  }
  return torch::stack(rows);
}

}  // namespace atelier::infer
