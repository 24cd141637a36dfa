// SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"):
// numbers that are a function of a key, the same on every machine.
#pragma once

#include <cstdint>

namespace atelier {

inline constexpr std::uint64_t kSplitMixStep = 0x9e3779b97f4a7c15ULL;

// Its finaliser, a bijection whose every output bit depends on every input bit.
constexpr std::uint64_t SplitMixHash(std::uint64_t x) {
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31U);
}

// The stream of numbers that belongs to a key. Not thread-safe.
class SplitMix {
 public:
  explicit constexpr SplitMix(std::uint64_t key) : state_(key) {}

  constexpr std::uint64_t Next() {
    state_ += kSplitMixStep;
    return SplitMixHash(state_);
  }

 private:
  std::uint64_t state_;
};

}  // namespace atelier
