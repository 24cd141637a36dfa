// Bounds of pictures that server, worker and client share.
#pragma once

#include <cstddef>
#include <cstdint>

namespace atelier {

// In one reply.
inline constexpr std::uint32_t kMaxPictures = 8;

// 8 patterns of this side, 3 bytes a pixel, are 24 MiB: in every encoding well below the 64 MiB of
// a message. Unit: pixels.
inline constexpr std::uint32_t kMaxPatternSize = 1024;

// A sample that a job tells its watchers; a larger one stays in the attempt's folder. Unit: bytes.
inline constexpr std::size_t kMaxSampleBytes = 256U << 10U;

}  // namespace atelier
