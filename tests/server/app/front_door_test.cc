// The door alone, without gRPC behind it.
#include "server/app/front_door.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

// Keeps what it is given. Thread-safe.
class Keeper final {
 public:
  void Take(int connection) {
    const absl::MutexLock lock(&mutex_);
    kept_.emplace_back(connection);
  }
  std::size_t count() const {
    const absl::MutexLock lock(&mutex_);
    return kept_.size();
  }
  void CloseFirst() {
    const absl::MutexLock lock(&mutex_);
    kept_.front() = Descriptor();
  }

 private:
  mutable absl::Mutex mutex_;
  std::vector<Descriptor> kept_ ABSL_GUARDED_BY(mutex_);
};

class KeepingAcceptor final : public FrontDoor::Acceptor {
 public:
  explicit KeepingAcceptor(std::shared_ptr<Keeper> keeper) : keeper_(std::move(keeper)) {}
  void HandleNewConnection(NewConnectionParameters* parameters) override {
    keeper_->Take(parameters->fd);
  }

 private:
  const std::shared_ptr<Keeper> keeper_;
};

// A client's end; reads give up after 20 s.
class RawClient {
 public:
  RawClient() {
    const timeval limit = {.tv_sec = 20, .tv_usec = 0};
    setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  }

  bool Connect(std::uint16_t port, const char* from = "127.0.0.1") {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    inet_pton(AF_INET, from, &address.sin_addr);
    if (bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      return false;
    }
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) ==
           0;
  }
  // Waits for the other end to close; false when it does not.
  bool IsHungUpOn() const {
    char byte = 0;
    return recv(socket_.get(), &byte, 1, 0) == 0;
  }

 private:
  Descriptor socket_{socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
};

class FrontDoorTest : public ::testing::Test {
 protected:
  void Open(ConnectionTable::Limits limits) {
    auto door = FrontDoor::Listen({.host = "127.0.0.1", .port = 0}, limits);
    ASSERT_TRUE(door.ok()) << door.status();
    door_ = *std::move(door);
    door_->Open(std::make_unique<KeepingAcceptor>(keeper_));
  }
  // Connects and waits until the connection is kept.
  void Add(RawClient& client, const char* from = "127.0.0.1") {
    const std::size_t before = keeper_->count();
    ASSERT_TRUE(client.Connect(door_->port(), from));
    ASSERT_TRUE(test::WaitUntil([&] { return keeper_->count() == before + 1; }));
  }
  bool IsTurnedAway(const char* from = "127.0.0.1") const {
    RawClient client;
    return client.Connect(door_->port(), from) && client.IsHungUpOn();
  }

  std::shared_ptr<Keeper> keeper_ = std::make_shared<Keeper>();
  std::unique_ptr<FrontDoor> door_;
};

TEST_F(FrontDoorTest, WhatIsPastABoundIsClosedAtOnceAndAPlaceThatIsFreeAgainIsTaken) {
  Open({.total = 3, .per_address = 2});
  std::vector<RawClient> clients(3);
  Add(clients[0]);
  Add(clients[1]);
  EXPECT_TRUE(IsTurnedAway()) << "as many as this address may have";
  Add(clients[2], "127.0.0.2");
  EXPECT_TRUE(IsTurnedAway("127.0.0.3")) << "as many as there may be";
  EXPECT_EQ(keeper_->count(), 3U);
  keeper_->CloseFirst();
  // How often the door looks after those that it has is bounded.
  EXPECT_TRUE(test::WaitUntil([&] {
    RawClient client;
    EXPECT_TRUE(client.Connect(door_->port(), "127.0.0.3"));
    return keeper_->count() == 4;
  }));
}

TEST_F(FrontDoorTest, AProcessWithoutDescriptorsTurnsAwayAndGoesOnWhenItHasSomeAgain) {
  Open({.total = 1000, .per_address = 1000});
  std::vector<RawClient> clients(8);
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  // The next free number, and one more.
  const Descriptor next(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const rlimit few = {static_cast<rlim_t>(next.get()) + 3, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  for (RawClient& client : clients) {
    EXPECT_TRUE(client.Connect(door_->port()));
  }
  EXPECT_TRUE(clients.back().IsHungUpOn());
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  const std::size_t kept = keeper_->count();
  EXPECT_LT(kept, clients.size());
  RawClient late;
  EXPECT_TRUE(late.Connect(door_->port()));
  EXPECT_TRUE(test::WaitUntil([&] { return keeper_->count() == kept + 1; }));
}

TEST_F(FrontDoorTest, ClosedItTakesNobodyAndItsPortIsFree) {
  Open({.total = 10, .per_address = 10});
  const std::uint16_t port = door_->port();
  door_->Close();
  door_->Close();
  RawClient client;
  EXPECT_FALSE(client.Connect(port));
  EXPECT_TRUE(FrontDoor::Listen({.host = "127.0.0.1", .port = port}, {}).ok());
}

TEST_F(FrontDoorTest, APortThatIsTakenAndAHostThatIsNotHereAreSaid) {
  Open({.total = 10, .per_address = 10});
  const auto taken = FrontDoor::Listen({.host = "127.0.0.1", .port = door_->port()}, {});
  EXPECT_TRUE(absl::IsUnavailable(taken.status())) << taken.status();
  const auto elsewhere = FrontDoor::Listen({.host = "192.0.2.1", .port = 0}, {});
  EXPECT_TRUE(absl::IsUnavailable(elsewhere.status())) << elsewhere.status();
}

TEST_F(FrontDoorTest, AWildcardTakesIPv4Too) {
  for (const char* host : {"0.0.0.0", "::"}) {
    auto door = FrontDoor::Listen({.host = host, .port = 0}, {.total = 10, .per_address = 10});
    ASSERT_TRUE(door.ok()) << host << ": " << door.status();
    door_ = *std::move(door);
    door_->Open(std::make_unique<KeepingAcceptor>(keeper_));
    RawClient client;
    Add(client);
  }
}

TEST(FrontDoorLimitsTest, HalfOfTheDescriptorsButNotAnyNumber) {
  EXPECT_EQ(FrontDoor::LimitsFor(100).total, 50U);
  EXPECT_EQ(FrontDoor::LimitsFor(100).per_address, 25U);
  EXPECT_EQ(FrontDoor::LimitsFor(1 << 20).total, 10'000U);
  EXPECT_EQ(FrontDoor::LimitsFor(0).per_address, 1U);
}

}  // namespace
}  // namespace atelier::server
