// Sockets and numeric addresses of a group's meeting place.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace atelier::ranks {

// The numeric form of a host's name; IPv4 where it has both. INVALID_ARGUMENT: no such host.
absl::StatusOr<std::string> NumericAddress(const std::string& host);

// This machine's numeric address towards a numeric one. UNAVAILABLE: no route.
absl::StatusOr<std::string> LocalAddressTowards(const std::string& address);

// A socket that listens at a numeric address of this machine; port 0: a free one. INVALID_ARGUMENT:
// it is another machine's; UNAVAILABLE: the port is taken.
struct Listener {
  int socket = -1;
  int port = 0;
};
absl::StatusOr<Listener> ListenAt(const std::string& address, int port);

}  // namespace atelier::ranks
