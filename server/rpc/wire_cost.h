// What a message would take in memory, seen from its bytes. Protobuf makes an object of every
// element: a tensor of two bytes on the wire becomes 200 in memory, so that a message of 64 MiB,
// within its limit, could become 7 GiB.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/zero_copy_stream.h>

#include <cstdint>

#include "absl/status/status.h"

namespace atelier::server {

// A message may take this many times its bytes in memory, plus some for those that are small: what
// packed numbers need, pictures and the fields around them being far below.
inline constexpr std::uint64_t kMostExpansion = 4;
inline constexpr std::uint64_t kFreeExpansion = 1U << 20U;  // bytes

// Reads through `wire`, a message of `type` in so many bytes, without allocating anything.
// INVALID_ARGUMENT naming the field that goes past the bound, or for bytes that are no message.
absl::Status CheckWireCost(google::protobuf::io::ZeroCopyInputStream& wire, std::uint64_t bytes,
                           const google::protobuf::Descriptor& type);

}  // namespace atelier::server
