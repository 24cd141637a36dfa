// Bounds of requests for pictures that server, worker and client share.
#pragma once

#include <cstdint>

namespace atelier {

// In one reply.
inline constexpr std::uint32_t kMaxPictures = 8;

// 8 patterns of this side, 3 bytes a pixel, are 24 MiB: in every encoding well below the 64 MiB of
// a message. Unit: pixels.
inline constexpr std::uint32_t kMaxPatternSize = 1024;

}  // namespace atelier
