#include "worker/ranks/addresses.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "common/status_macros.h"

namespace atelier::ranks {
namespace {

using AddressInfo = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

// The first of a host's addresses, IPv4 before IPv6.
absl::StatusOr<AddressInfo> Lookup(const std::string& host, int port, int flags) {
  for (const int family : {AF_INET, AF_INET6}) {
    addrinfo hints = {};
    hints.ai_family = family;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags | AI_NUMERICSERV;
    addrinfo* found = nullptr;
    if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) == 0) {
      return AddressInfo(found, &::freeaddrinfo);
    }
  }
  return absl::InvalidArgumentError("there is no host " + host);
}

absl::StatusOr<std::string> Numeric(const sockaddr* address, socklen_t length) {
  char text[NI_MAXHOST];
  if (::getnameinfo(address, length, text, sizeof(text), nullptr, 0, NI_NUMERICHOST) != 0) {
    return absl::InternalError("an address has no numeric form");
  }
  return std::string(text);
}

// Closes a socket unless it is taken out.
class Socket {
 public:
  explicit Socket(int socket) : socket_(socket) {}
  ~Socket() {
    if (socket_ >= 0) {
      ::close(socket_);
    }
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int get() const { return socket_; }
  int Take() { return std::exchange(socket_, -1); }

 private:
  int socket_;
};

}  // namespace

absl::StatusOr<std::string> NumericAddress(const std::string& host) {
  ATELIER_ASSIGN_OR_RETURN(const AddressInfo info, Lookup(host, 0, 0));
  return Numeric(info->ai_addr, info->ai_addrlen);
}

absl::StatusOr<std::string> LocalAddressTowards(const std::string& address) {
  constexpr int kDiscard = 9;  // any port will do: nothing is sent
  ATELIER_ASSIGN_OR_RETURN(const AddressInfo info, Lookup(address, kDiscard, AI_NUMERICHOST));
  const Socket socket(::socket(info->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_storage local = {};
  socklen_t length = sizeof(local);
  auto* const name = reinterpret_cast<sockaddr*>(&local);
  if (socket.get() < 0 || ::connect(socket.get(), info->ai_addr, info->ai_addrlen) != 0 ||
      ::getsockname(socket.get(), name, &length) != 0) {
    return absl::UnavailableError("there is no way to " + address + ": " + std::strerror(errno));
  }
  return Numeric(name, length);
}

absl::StatusOr<Listener> ListenAt(const std::string& address, int port) {
  ATELIER_ASSIGN_OR_RETURN(const AddressInfo info, Lookup(address, port, AI_NUMERICHOST));
  Socket socket(::socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int yes = 1;
  sockaddr_storage local = {};
  socklen_t length = sizeof(local);
  if (socket.get() < 0 ||
      ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0 ||
      ::bind(socket.get(), info->ai_addr, info->ai_addrlen) != 0 ||
      ::listen(socket.get(), SOMAXCONN) != 0 ||
      ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&local), &length) != 0) {
    const std::string why = "rank 0 cannot listen at " + address + ", port " +
                            std::to_string(port) + ": " + std::strerror(errno);
    return errno == EADDRINUSE ? absl::UnavailableError(why) : absl::InvalidArgumentError(why);
  }
  const in_port_t taken = local.ss_family == AF_INET
                              ? reinterpret_cast<const sockaddr_in*>(&local)->sin_port
                              : reinterpret_cast<const sockaddr_in6*>(&local)->sin6_port;
  return Listener{.socket = socket.Take(), .port = ntohs(taken)};
}

}  // namespace atelier::ranks
