#include "worker/train/random.h"

#include "common/check.h"

namespace atelier::train {
namespace {

constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15ull;

std::uint64_t Mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

}  // namespace

KeyedRandom::KeyedRandom(std::uint64_t seed, std::int64_t step, std::int64_t sample,
                         Purpose purpose)
    : state_(Mix(seed + kGolden)) {
  state_ = Mix(state_ ^ (static_cast<std::uint64_t>(step) + kGolden));
  state_ = Mix(state_ ^ (static_cast<std::uint64_t>(sample) + kGolden));
  state_ = Mix(state_ ^ (static_cast<std::uint64_t>(purpose) + kGolden));
}

std::uint64_t KeyedRandom::Next() {
  state_ += kGolden;
  return Mix(state_);
}

double KeyedRandom::Uniform() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }

std::int64_t KeyedRandom::Below(std::int64_t n) {
  ATELIER_CHECK(n >= 1);
  return static_cast<std::int64_t>(Next() % static_cast<std::uint64_t>(n));
}

}  // namespace atelier::train
