#include "server/app/front_door.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace atelier::server {
namespace {

constexpr std::uint64_t kMostConnections = 10'000;
// Connections taken from one port before the others, and the order to stop, are looked at.
constexpr int kMostAtATime = 256;
// How long a port is left alone when the system has no room. Unit: milliseconds.
constexpr int kPauseMs = 100;
// What was sent and is not acknowledged for so long ends a connection; gRPC sets the same on its
// own. Unit: milliseconds.
constexpr int kUnacknowledgedMs = 20'000;

struct FreeAddresses {
  void operator()(addrinfo* first) const { freeaddrinfo(first); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

absl::StatusOr<Addresses> Resolve(const std::string& host, std::uint16_t port) {
  addrinfo hints = {};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
      error != 0) {
    return absl::UnavailableError(absl::StrCat("host \"", host, "\": ", gai_strerror(error)));
  }
  return Addresses(found);
}

void SetPort(std::uint16_t port, sockaddr& address) {
  if (address.sa_family == AF_INET6) {
    reinterpret_cast<sockaddr_in6&>(address).sin6_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in&>(address).sin_port = htons(port);
  }
}

std::uint16_t PortOf(int socket) {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.ss_family == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                   : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

void SetOption(int socket, int level, int option, int value) {
  setsockopt(socket, level, option, &value, sizeof(value));
}

// `both_families`: an IPv6 wildcard takes IPv4 as well. Without a descriptor errno says why.
Descriptor ListenOn(const addrinfo& where, bool both_families) {
  Descriptor listener(socket(where.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!listener.valid()) {
    return listener;
  }
  SetOption(listener.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (where.ai_family == AF_INET6) {
    SetOption(listener.get(), IPPROTO_IPV6, IPV6_V6ONLY, both_families ? 0 : 1);
  }
  // Connections inherit these two.
  SetOption(listener.get(), IPPROTO_TCP, TCP_NODELAY, 1);
  SetOption(listener.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, kUnacknowledgedMs);
  if (bind(listener.get(), where.ai_addr, where.ai_addrlen) != 0 ||
      listen(listener.get(), SOMAXCONN) != 0) {
    return Descriptor();
  }
  return listener;
}

// One listener for each address that this machine has; at least one.
absl::StatusOr<std::vector<Descriptor>> ListenOnAll(const std::string& host, std::uint16_t port,
                                                    bool both_families) {
  ATELIER_ASSIGN_OR_RETURN(const Addresses addresses, Resolve(host, port));
  std::vector<Descriptor> listeners;
  for (addrinfo* where = addresses.get(); where != nullptr; where = where->ai_next) {
    if (where->ai_family != AF_INET && where->ai_family != AF_INET6) {
      continue;
    }
    if (!listeners.empty()) {
      SetPort(PortOf(listeners.front().get()), *where->ai_addr);
    }
    Descriptor listener = ListenOn(*where, both_families);
    if (listener.valid()) {
      listeners.push_back(std::move(listener));
    } else if (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL) {
      return absl::UnavailableError(std::strerror(errno));
    }
  }
  if (listeners.empty()) {
    return absl::UnavailableError(absl::StrCat("this machine has no address \"", host, "\""));
  }
  return listeners;
}

// An IPv4 address counts as itself also where it comes in over IPv6.
std::string AddressText(const sockaddr_storage& peer) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (peer.ss_family == AF_INET6) {
    const in6_addr& address = reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&address)) {
      return inet_ntop(AF_INET, &address.s6_addr[12], text.data(), text.size());
    }
    return inet_ntop(AF_INET6, &address, text.data(), text.size());
  }
  const in_addr& address = reinterpret_cast<const sockaddr_in&>(peer).sin_addr;
  return inet_ntop(AF_INET, &address, text.data(), text.size());
}

// No descriptor where there is no room; errno says why.
Descriptor AcceptOne(int listener, sockaddr_storage& peer) {
  socklen_t size = sizeof(peer);
  return Descriptor(
      accept4(listener, reinterpret_cast<sockaddr*>(&peer), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

Descriptor OpenSpare() { return Descriptor(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

bool NoDescriptorIsLeft(int error) { return error == EMFILE || error == ENFILE; }

bool NoMemoryIsLeft(int error) { return error == ENOBUFS || error == ENOMEM; }

}  // namespace

ConnectionTable::Limits FrontDoor::LimitsFor(std::uint64_t open_files) {
  const std::uint64_t total = std::clamp<std::uint64_t>(open_files / 2, 1, kMostConnections);
  return {.total = total, .per_address = std::max<std::uint64_t>(total / 2, 1)};
}

absl::StatusOr<std::unique_ptr<FrontDoor>> FrontDoor::Listen(const HostPort& address,
                                                             ConnectionTable::Limits limits) {
  const bool wildcard = address.host == "0.0.0.0" || address.host == "::";
  absl::StatusOr<std::vector<Descriptor>> listeners =
      ListenOnAll(wildcard ? "::" : address.host, address.port, wildcard);
  if (wildcard && !listeners.ok()) {  // a machine without IPv6
    listeners = ListenOnAll("0.0.0.0", address.port, false);
  }
  ATELIER_RETURN_IF_ERROR(listeners.status());
  const std::uint16_t port = PortOf(listeners->front().get());
  return std::unique_ptr<FrontDoor>(new FrontDoor(*std::move(listeners), port, limits));
}

FrontDoor::FrontDoor(std::vector<Descriptor> listeners, std::uint16_t port,
                     ConnectionTable::Limits limits)
    : port_(port),
      listeners_(std::move(listeners)),
      stop_(eventfd(0, EFD_CLOEXEC)),
      spare_(OpenSpare()),
      connections_(limits, SystemClock()) {}

void FrontDoor::Open(std::unique_ptr<Acceptor> acceptor) {
  acceptor_ = std::move(acceptor);
  const absl::MutexLock lock(&mutex_);
  thread_ = std::thread([this] { Serve(); });
}

void FrontDoor::Close() {
  const absl::MutexLock lock(&mutex_);
  if (thread_.joinable()) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(stop_.get(), &one, sizeof(one));
    thread_.join();
  }
  listeners_.clear();
}

void FrontDoor::Serve() {
  std::vector<pollfd> watched = {{.fd = stop_.get(), .events = POLLIN, .revents = 0}};
  for (const Descriptor& listener : listeners_) {
    watched.push_back({.fd = listener.get(), .events = POLLIN, .revents = 0});
  }
  while (true) {
    poll(watched.data(), watched.size(), -1);
    if (watched.front().revents != 0) {
      return;
    }
    for (std::size_t i = 1; i < watched.size(); ++i) {
      if (watched[i].revents != 0 && !AcceptFrom(watched[i].fd)) {
        // Nothing tells when there is room again.
        poll(watched.data(), 1, kPauseMs);
      }
    }
  }
}

bool FrontDoor::AcceptFrom(int listener) {
  for (int accepted = 0; accepted < kMostAtATime; ++accepted) {
    sockaddr_storage peer = {};
    Descriptor connection = AcceptOne(listener, peer);
    if (connection.valid()) {
      Take(std::move(connection), AddressText(peer));
    } else if (NoDescriptorIsLeft(errno)) {
      TurnAwayOne(listener);
      return false;
    } else if (NoMemoryIsLeft(errno)) {
      return false;
    } else if (errno == EAGAIN) {
      return true;
    }
    // Anything else is the end of that connection alone (accept(2)).
  }
  return true;
}

void FrontDoor::Take(Descriptor connection, const std::string& address) {
  const bool full = !connections_.HasRoomFor(address);
  if (full && !full_) {
    spdlog::warn("connections of {} are closed: {} are open, which is as many as may be", address,
                 connections_.size());
  }
  full_ = full;
  if (full) {
    return;
  }
  connections_.Add(connection.get(), address);
  Acceptor::NewConnectionParameters parameters;
  parameters.fd = connection.Release();  // gRPC's from here on
  acceptor_->HandleNewConnection(&parameters);
}

void FrontDoor::TurnAwayOne(int listener) {
  spare_ = Descriptor();
  sockaddr_storage peer = {};
  AcceptOne(listener, peer);  // and lets go of it
  spare_ = OpenSpare();
}

}  // namespace atelier::server
