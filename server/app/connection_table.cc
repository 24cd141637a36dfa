#include "server/app/connection_table.h"

#include <sys/stat.h>

#include <iterator>

namespace atelier::server {
namespace {

constexpr absl::Duration kBetweenLooks = absl::Milliseconds(20);

// 0 when nothing is open there.
ino_t InodeOf(int descriptor) {
  struct stat facts = {};
  return fstat(descriptor, &facts) == 0 ? facts.st_ino : 0;
}

}  // namespace

bool ConnectionTable::HasRoomFor(const std::string& address) {
  const absl::Time now = clock_.Now();
  if (!Fits(address) && now >= next_look_) {
    DropClosed();
    next_look_ = now + kBetweenLooks;
  }
  return Fits(address);
}

void ConnectionTable::Add(int socket, const std::string& address) {
  if (const auto former = open_.find(socket); former != open_.end()) {
    Drop(former);  // closed, for its number is free again
  }
  open_.emplace(socket, Connection{.inode = InodeOf(socket), .address = address});
  ++by_address_[address];
}

bool ConnectionTable::Fits(const std::string& address) const {
  const auto of_address = by_address_.find(address);
  return open_.size() < limits_.total &&
         (of_address == by_address_.end() || of_address->second < limits_.per_address);
}

void ConnectionTable::DropClosed() {
  for (auto connection = open_.begin(); connection != open_.end();) {
    connection = InodeOf(connection->first) == connection->second.inode ? std::next(connection)
                                                                        : Drop(connection);
  }
}

ConnectionTable::Connections::iterator ConnectionTable::Drop(Connections::iterator connection) {
  const auto of_address = by_address_.find(connection->second.address);
  if (--of_address->second == 0) {
    by_address_.erase(of_address);
  }
  return open_.erase(connection);
}

}  // namespace atelier::server
