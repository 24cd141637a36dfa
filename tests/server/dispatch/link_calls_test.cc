// How many calls for files there may be at a time, and how they end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "server/dispatch/link/worker_files_service.h"
#include "tests/server/dispatch/link_remote_harness.h"

namespace atelier::server {
namespace {

using test::WaitUntil;
using testing::FarPuppet;
using testing::LinkRemoteTest;

using Service = WorkerFilesService;

class LinkCallsTest : public LinkRemoteTest {
 protected:
  // More than all buffers between the server and a worker that does not read.
  void FillHugePicture() const {
    Fill("set/huge.jpg", "x");
    std::filesystem::resize_file(folder_ / "set/huge.jpg", 128 << 20);
  }
  // As many calls as that, which wait for their worker.
  static std::vector<std::unique_ptr<FarPuppet::Reading>> Readings(FarPuppet& puppet, int count) {
    std::vector<std::unique_ptr<FarPuppet::Reading>> readings;
    for (int i = 0; i < count; ++i) {
      readings.push_back(puppet.BeginReading("content", "huge.jpg"));
    }
    return readings;
  }
  bool Left() const {
    return WaitUntil([&] {
      const std::vector<std::string> events = free_trainers_.events();
      return std::ranges::any_of(
          events, [](const std::string& event) { return event.starts_with("left"); });
    });
  }
};

TEST_F(LinkCallsTest, MoreCallsThanThereIsRoomForAreToldToComeAgain) {
  const auto trainer = Trainer(worker_);
  std::vector<std::unique_ptr<FarPuppet::Writing>> silent;
  for (int i = 0; i < Service::kMaxCalls; ++i) {
    silent.push_back(trainer->Open());
  }
  EXPECT_TRUE(WaitUntil(
      [&] { return trainer->Write("attempt", "a", "x") == grpc::StatusCode::UNAVAILABLE; }));
  silent.pop_back();
  EXPECT_TRUE(
      WaitUntil([&] { return trainer->Write("attempt", "a", "x") == grpc::StatusCode::OK; }));
}

TEST_F(LinkCallsTest, StopEndsCallsThatWait) {
  const auto trainer = Trainer(worker_);
  const auto writing = trainer->BeginWriting("attempt");
  FarPuppet::Send(*writing, "a", "x");
  ASSERT_TRUE(WaitUntil([&] { return Contents("attempt/a") == "x"; }));
  server_->Stop();
  EXPECT_NE(FarPuppet::Finish(*writing), grpc::StatusCode::OK);
}

// Whoever fetches a whole data set leaves room for others.
TEST_F(LinkCallsTest, ASessionHasItsShareOfTheCalls) {
  FillHugePicture();
  const auto greedy = Trainer(worker_);
  auto readings = Readings(*greedy, Service::kMaxSessionCalls);
  EXPECT_TRUE(greedy->IsRefused("content", "huge.jpg"));
  EXPECT_EQ(greedy->Write("attempt", "a", "x"), grpc::StatusCode::UNAVAILABLE);
  const auto other = Trainer(worker_);
  EXPECT_EQ(other->Read("content", "a.jpg", 0, grpc::StatusCode::OK), "picture");
  readings.pop_back();
  EXPECT_TRUE(
      WaitUntil([&] { return greedy->Write("attempt", "a", "x") == grpc::StatusCode::OK; }));
}

TEST_F(LinkCallsTest, TheLastPlacesAreForSessionsThatHaveNone) {
  FillHugePicture();
  const auto fetching = Trainer(worker_);
  const auto other = Trainer(worker_);
  const auto readings = Readings(*fetching, 1);
  std::vector<std::unique_ptr<FarPuppet::Writing>> silent;
  for (int i = 1; i < Service::kMaxCalls - Service::kReservedCalls; ++i) {
    silent.push_back(other->Open());
  }
  EXPECT_TRUE(WaitUntil([&] { return fetching->IsRefused("content", "huge.jpg"); }));
  EXPECT_EQ(other->Write("attempt", "a", "x"), grpc::StatusCode::OK);
}

TEST_F(LinkCallsTest, AReaderWhoseSessionHasEndedIsCutAtTheNextPiece) {
  FillHugePicture();
  const auto trainer = Trainer(worker_);
  const auto readings = Readings(*trainer, 1);
  trainer->HangUp();
  ASSERT_TRUE(Left());
  EXPECT_EQ(FarPuppet::ReadOn(*readings[0]), grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(LinkCallsTest, AReaderThatStandsStillAfterItsSessionMakesRoomForOthers) {
  FillHugePicture();
  const auto trainer = Trainer(worker_);
  const auto other = Trainer(worker_);
  const auto readings = Readings(*trainer, 1);
  std::vector<std::unique_ptr<FarPuppet::Writing>> silent;
  for (int i = 1; i < Service::kMaxCalls; ++i) {
    silent.push_back(other->Open());
  }
  ASSERT_TRUE(WaitUntil(
      [&] { return other->Write("attempt", "a", "x") == grpc::StatusCode::UNAVAILABLE; }));
  trainer->HangUp();
  EXPECT_TRUE(WaitUntil([&] { return other->Write("attempt", "a", "x") == grpc::StatusCode::OK; }));
}

TEST_F(LinkCallsTest, AWriterWhoseSessionHasEndedIsRefused) {
  const auto trainer = Trainer(worker_);
  const auto writing = trainer->BeginWriting("attempt");
  FarPuppet::Send(*writing, "a", "x");
  ASSERT_TRUE(WaitUntil([&] { return Contents("attempt/a") == "x"; }));
  trainer->HangUp();
  ASSERT_TRUE(Left());
  FarPuppet::Send(*writing, "b", "x");
  EXPECT_EQ(FarPuppet::Finish(*writing), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "attempt/b"));
}

}  // namespace
}  // namespace atelier::server
