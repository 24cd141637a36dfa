#include "worker/train/random.h"

#include <numeric>
#include <utility>

#include "common/check.h"
#include "common/split_mix.h"

namespace atelier::train {

KeyedRandom::KeyedRandom(std::uint64_t seed, std::int64_t step, std::int64_t sample,
                         Purpose purpose)
    : state_(SplitMixHash(seed + kSplitMixStep)) {
  state_ = SplitMixHash(state_ ^ (static_cast<std::uint64_t>(step) + kSplitMixStep));
  state_ = SplitMixHash(state_ ^ (static_cast<std::uint64_t>(sample) + kSplitMixStep));
  state_ = SplitMixHash(state_ ^ (static_cast<std::uint64_t>(purpose) + kSplitMixStep));
}

std::uint64_t KeyedRandom::Next() {
  state_ += kSplitMixStep;
  return SplitMixHash(state_);
}

double KeyedRandom::Uniform() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }

std::int64_t KeyedRandom::Below(std::int64_t n) {
  ATELIER_CHECK(n >= 1);
  return static_cast<std::int64_t>(Next() % static_cast<std::uint64_t>(n));
}

std::vector<KeyedRandom> KeyedRandoms(std::uint64_t seed, const SampleRange& samples,
                                      std::int64_t pictures, std::int64_t draw, Purpose purpose) {
  constexpr std::int64_t kDraws = 1000;
  ATELIER_CHECK(samples.count >= 1 && draw >= 0 && draw < kDraws);
  std::vector<KeyedRandom> randoms;
  randoms.reserve(static_cast<std::size_t>(pictures));
  for (std::int64_t i = 0; i < pictures; ++i) {
    randoms.emplace_back(seed, samples.At(i % samples.count), draw + kDraws * (i / samples.count),
                         purpose);
  }
  return randoms;
}

std::vector<std::int64_t> KeyedOrder(std::int64_t size, KeyedRandom random) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  for (std::int64_t i = size - 1; i > 0; --i) {
    std::swap(order[static_cast<std::size_t>(i)],
              order[static_cast<std::size_t>(random.Below(i + 1))]);
  }
  return order;
}

}  // namespace atelier::train
