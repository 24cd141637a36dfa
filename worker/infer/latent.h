// Where a pattern comes from: noise that is a function of a seed alone, the same on every machine
// but for the last bits of its mathematical library. Pure functions, thread-safe; tensors are
// float64 on the CPU.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace atelier::infer {

// [size] numbers of a standard normal distribution that is cut off at the threshold c for which
// P(|x| <= c) = truncation, 0..1: the quantile function at (1 - t) / 2 + t u of uniform u. Brock et
// al. 2018 (arXiv:1809.11096, section 3.1) draw again what lies outside c, which gives the same
// distribution; here a seed's numbers move continuously with t. 1: not cut off; 0: all zero.
at::Tensor Noise(std::uint64_t seed, std::int64_t size, double truncation);

// Spherical interpolation between vectors [size], t in 0..1 (Shoemake 1985; for the noise of
// generators White 2016, arXiv:1609.04468): sin((1 - t) a) / sin a * from + sin(t a) / sin a * to
// with the angle a between them; linear where that is not defined (a is 0 or a half turn, or a
// vector is zero). Exactly `from` at 0 and `to` at 1.
at::Tensor Slerp(const at::Tensor& from, const at::Tensor& to, double t);

// One row a picture, [N, size]: Noise of each of the N >= 1 seeds or, with `interpolate_to`, N >= 2
// equal steps of Slerp from the first seed's noise to that one's.
at::Tensor LatentRows(const std::vector<std::uint64_t>& seeds,
                      std::optional<std::uint64_t> interpolate_to, std::int64_t size,
                      double truncation);

}  // namespace atelier::infer
