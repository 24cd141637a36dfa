// Which connections are open, in all and of one address: what their bounds are compared with.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <unordered_map>

#include "absl/time/time.h"
#include "common/clock.h"

namespace atelier::server {

// gRPC takes a connection's descriptor and does not say when it has closed it. A descriptor is that
// connection as long as its inode is: sockets have numbers of their own. Not thread-safe.
class ConnectionTable {
 public:
  struct Limits {
    std::size_t total = 0;
    std::size_t per_address = 0;
  };

  // `clock` outlives the table.
  ConnectionTable(Limits limits, const Clock& clock) : limits_(limits), clock_(clock) {}

  // Whether one more of this address is within the limits. Only when it does not seem so are the
  // connections looked at, and not more often than once in 20 ms: that takes a system call each.
  bool HasRoomFor(const std::string& address);

  // An open socket, connected with `address`.
  void Add(int socket, const std::string& address);

  // Those that were open at the last look.
  std::size_t size() const { return open_.size(); }

 private:
  struct Connection {
    ino_t inode = 0;
    std::string address;
  };
  using Connections = std::unordered_map<int, Connection>;

  bool Fits(const std::string& address) const;
  void DropClosed();
  Connections::iterator Drop(Connections::iterator connection);

  const Limits limits_;
  const Clock& clock_;
  absl::Time next_look_ = absl::InfinitePast();
  Connections open_;  // by their descriptors
  std::unordered_map<std::string, std::size_t> by_address_;
};

}  // namespace atelier::server
