#include "common/host_port.h"

#include <charconv>

#include "common/errors.h"

namespace atelier {

absl::StatusOr<HostPort> ParseHostPort(std::string_view field, std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 == text.size()) {
    return InvalidField(field, "must be HOST:PORT, for example 127.0.0.1:8001");
  }
  HostPort address;
  const std::string_view port = text.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (error != std::errc() || end != port.data() + port.size()) {
    return InvalidField(field, "the port must be a number from 0 to 65535");
  }
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) {
    host = host.substr(1, host.size() - 2);
  }
  if (bracketed != (host.find(':') != std::string_view::npos) ||
      host.find_first_of("[]") != std::string_view::npos) {
    return InvalidField(field, "write an IPv6 address in brackets, for example [::1]:8001");
  }
  address.host = std::string(host);
  return address;
}

std::string FormatHostPort(const HostPort& address) {
  const bool ipv6 = address.host.find(':') != std::string::npos;
  return (ipv6 ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

}  // namespace atelier
