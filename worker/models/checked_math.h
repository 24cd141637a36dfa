// Sizes from untrusted files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>

namespace atelier::models {

// More than any tensor of ours has.
inline constexpr std::size_t kMaxDimensions = 8;

// a * b, if it fits.
inline std::optional<std::uint64_t> CheckedMultiply(std::uint64_t a, std::uint64_t b) {
  if (b != 0 && a > std::numeric_limits<std::uint64_t>::max() / b) {
    return std::nullopt;
  }
  return a * b;
}

// The number of elements of `shape`, if no side is negative and it fits into 62 bits. A side of
// zero does not hide an overflow.
inline std::optional<std::uint64_t> CheckedElements(std::span<const std::int64_t> shape) {
  constexpr std::uint64_t kMost = std::uint64_t{1} << 62;
  std::uint64_t elements = 1;
  bool empty = false;
  for (const std::int64_t side : shape) {
    if (side < 0) {
      return std::nullopt;
    }
    if (side == 0) {
      empty = true;
      continue;
    }
    const std::optional<std::uint64_t> product =
        CheckedMultiply(elements, static_cast<std::uint64_t>(side));
    if (!product || *product > kMost) {
      return std::nullopt;
    }
    elements = *product;
  }
  return empty ? 0 : elements;
}

}  // namespace atelier::models
