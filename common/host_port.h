// "HOST:PORT" as users write it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace atelier {

struct HostPort {
  std::string host;  // without the brackets of an IPv6 address
  std::uint16_t port = 0;
};

// Splits "127.0.0.1:8001", "localhost:0" or "[::1]:8001". INVALID_ARGUMENT naming `field` when
// either part is missing or the port is not 0 to 65535.
absl::StatusOr<HostPort> ParseHostPort(std::string_view field, std::string_view text);

// The way back, with brackets where they belong.
std::string FormatHostPort(const HostPort& address);

}  // namespace atelier
