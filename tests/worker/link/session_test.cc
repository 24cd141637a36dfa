#include "worker/link/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "tests/support/wait_until.h"
#include "tests/worker/link/puppet_server.h"

namespace atelier::worker {
namespace {

using internal::v1::ServerMessage;
using internal::v1::WorkerMessage;
using test::PuppetServer;

// Remembers what it is told.
class Listener final : public SessionHandler {
 public:
  void OnMessage(ServerMessage message) override {
    absl::MutexLock lock(&mu_);
    messages_.push_back(std::move(message));
  }

  void OnBroken(const absl::Status&) override { ++broken_; }

  bool WaitForMessages(std::size_t count) {
    return test::WaitUntil([&] {
      absl::MutexLock lock(&mu_);
      return messages_.size() >= count;
    });
  }

  std::vector<ServerMessage> messages() {
    absl::MutexLock lock(&mu_);
    return messages_;
  }

  bool WaitUntilBroken() {
    return test::WaitUntil([&] { return broken_ > 0; });
  }

  int broken() const { return broken_; }

 private:
  absl::Mutex mu_;
  std::vector<ServerMessage> messages_ ABSL_GUARDED_BY(mu_);
  std::atomic<int> broken_ = 0;
};

Session::Options OptionsFor(const std::string& address) {
  Session::Options options;
  options.address = address;
  options.hello.set_role(internal::v1::WORKER_ROLE_SERVE);
  options.hello.set_name("serve-cpu");
  options.hello.set_device("cpu");
  options.hello.set_slots(4);
  options.figures = [] {
    internal::v1::WorkerFigures figures;
    figures.set_rss_bytes(12345);
    figures.set_models_loaded(2);
    figures.set_models_bytes(678);
    return figures;
  };
  return options;
}

WorkerMessage Result(std::uint64_t task, std::size_t bytes) {
  WorkerMessage message;
  message.mutable_stylize_result()->set_task_id(task);
  message.mutable_stylize_result()->set_image(std::string(bytes, 'x'));
  return message;
}

std::unique_ptr<Session> MustOpen(PuppetServer& server, Listener& listener) {
  auto session = Session::Open(OptionsFor(server.address()), listener);
  EXPECT_TRUE(session.ok()) << session.status();
  return session.ok() ? *std::move(session) : nullptr;
}

TEST(SessionTest, GreetsWithWhatItIsAndRepeatsTheSessionOnTheBulkStream) {
  PuppetServer server;
  Listener listener;
  const auto session = MustOpen(server, listener);

  const auto hello = server.Await(WorkerMessage::kHello);
  ASSERT_TRUE(hello.has_value());
  EXPECT_FALSE(hello->bulk);
  EXPECT_EQ(hello->message.hello().protocol_min(), 1);
  EXPECT_GE(hello->message.hello().protocol_max(), 1);
  EXPECT_FALSE(hello->message.hello().build().empty());
  EXPECT_EQ(hello->message.hello().name(), "serve-cpu");
  EXPECT_EQ(hello->message.hello().slots(), 4);
  const auto bulk = server.Await(WorkerMessage::kBulkHello);
  ASSERT_TRUE(bulk.has_value());
  EXPECT_TRUE(bulk->bulk);
  EXPECT_EQ(bulk->message.bulk_hello().session(), session->welcome().session());
}

TEST(SessionTest, EachStreamHasAConnectionOfItsOwn) {
  PuppetServer server({.tcp = true});
  Listener listener;
  const auto session = MustOpen(server, listener);

  const auto control = server.Await(WorkerMessage::kHello);
  const auto bulk = server.Await(WorkerMessage::kBulkHello);
  ASSERT_TRUE(control.has_value() && bulk.has_value());
  EXPECT_NE(control->peer, bulk->peer);
}

TEST(SessionTest, HeartbeatsCarryTheFigures) {
  PuppetServer server;
  Listener listener;
  const auto session = MustOpen(server, listener);

  for (int i = 0; i < 3; ++i) {
    const auto heartbeat = server.Await(WorkerMessage::kHeartbeat);
    ASSERT_TRUE(heartbeat.has_value());
    EXPECT_FALSE(heartbeat->bulk);
    EXPECT_EQ(heartbeat->message.heartbeat().figures().rss_bytes(), 12345);
    EXPECT_EQ(heartbeat->message.heartbeat().figures().models_loaded(), 2);
    EXPECT_EQ(heartbeat->message.heartbeat().figures().models_bytes(), 678);
  }
}

TEST(SessionTest, SmallResultsTakeTheControlStreamAndLargeOnesTheBulkStream) {
  PuppetServer server;
  Listener listener;
  const auto session = MustOpen(server, listener);

  ASSERT_TRUE(session->Send(Result(1, 1000)));
  ASSERT_TRUE(session->Send(Result(2, kBulkThresholdBytes)));
  for (const std::uint64_t task : {1, 2}) {
    const auto result = server.AwaitIf(
        [&](const WorkerMessage& message) { return message.stylize_result().task_id() == task; });
    ASSERT_TRUE(result.has_value());
    EXPECT_EQ(result->bulk, task == 2);
  }
}

TEST(SessionTest, HeartbeatsAndSmallMessagesKeepComingWhileALargeResultIsStuck) {
  PuppetServer server;
  Listener listener;
  server.Pause(/*bulk=*/true, true);
  const auto session = MustOpen(server, listener);

  ASSERT_TRUE(session->Send(Result(7, 20 << 20)));
  ASSERT_TRUE(session->Send(Result(8, 100)));
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(server.Await(WorkerMessage::kHeartbeat).has_value());
  }
  const auto small = server.Await(WorkerMessage::kStylizeResult);
  ASSERT_TRUE(small.has_value());
  EXPECT_EQ(small->message.stylize_result().task_id(), 8);
  EXPECT_EQ(server.Kept(WorkerMessage::kStylizeResult), 0);

  server.Pause(/*bulk=*/true, false);
  const auto large = server.Await(WorkerMessage::kStylizeResult);
  ASSERT_TRUE(large.has_value());
  EXPECT_EQ(large->message.stylize_result().task_id(), 7);
  EXPECT_EQ(large->message.stylize_result().image().size(), 20U << 20U);
}

TEST(SessionTest, ReceivesTasksOfThirtyMegabytesOnTheBulkStreamInOrder) {
  PuppetServer server;
  Listener listener;
  const auto session = MustOpen(server, listener);

  ServerMessage task;
  task.mutable_stylize_task()->set_task_id(1);
  task.mutable_stylize_task()->set_image(std::string(30 << 20, 'y'));
  server.Send(task, /*bulk=*/true);
  task.mutable_stylize_task()->set_task_id(2);
  server.Send(task, /*bulk=*/true);
  ASSERT_TRUE(listener.WaitForMessages(2));
  EXPECT_EQ(listener.messages()[0].stylize_task().task_id(), 1);
  EXPECT_EQ(listener.messages()[1].stylize_task().task_id(), 2);
  EXPECT_EQ(listener.messages()[1].stylize_task().image().size(), 30U << 20U);
}

TEST(SessionTest, RefusesToSendWhatTheOtherSideWouldNotTake) {
  PuppetServer server;
  Listener listener;
  const auto session = MustOpen(server, listener);

  EXPECT_FALSE(session->Send(Result(1, 64 << 20)));
  EXPECT_FALSE(session->TrySend(Result(1, 64 << 20)));
  EXPECT_TRUE(session->Send(Result(2, 10)));
  EXPECT_EQ(listener.broken(), 0);
}

TEST(SessionTest, TrySendGivesUpWhenTheServerDoesNotRead) {
  PuppetServer server;
  Listener listener;
  server.Pause(/*bulk=*/true, true);
  const auto session = MustOpen(server, listener);

  int queued = 0;
  while (session->TrySend(Result(1, 8 << 20))) {
    ++queued;
    ASSERT_LT(queued, 32) << "the send queue has no bound";
  }
  EXPECT_GE(queued, 2);
}

TEST(SessionTest, SendWaitsForRoomAndDeliversEverythingInOrder) {
  constexpr std::uint64_t kMessages = 20;
  PuppetServer server;
  Listener listener;
  server.Pause(/*bulk=*/true, true);
  const auto session = MustOpen(server, listener);

  std::atomic<std::uint64_t> sent = 0;
  std::thread sender([&] {
    for (std::uint64_t task = 1; task <= kMessages; ++task) {
      EXPECT_TRUE(session->Send(Result(task, 8 << 20)));
      sent = task;
    }
  });
  EXPECT_TRUE(test::WaitUntil([&] { return sent > 2; }));
  EXPECT_LT(sent, kMessages);
  server.Pause(/*bulk=*/true, false);
  for (std::uint64_t task = 1; task <= kMessages; ++task) {
    const auto result = server.Await(WorkerMessage::kStylizeResult);
    ASSERT_TRUE(result.has_value());
    EXPECT_EQ(result->message.stylize_result().task_id(), task);
  }
  sender.join();
}

class BrokenStreamTest : public ::testing::TestWithParam<bool> {};

TEST_P(BrokenStreamTest, EndsTheSessionOnceWhicheverStreamItIs) {
  PuppetServer server;
  Listener listener;
  const auto session = MustOpen(server, listener);

  server.Break(/*bulk=*/GetParam());
  ASSERT_TRUE(listener.WaitUntilBroken());
  EXPECT_TRUE(test::WaitUntil([&] { return !session->Send(Result(1, 10)); }));
  EXPECT_TRUE(test::WaitUntil([&] { return !session->Send(Result(2, 2 << 20)); }));
  session->Close(absl::Seconds(5));
  EXPECT_EQ(listener.broken(), 1);
}

INSTANTIATE_TEST_SUITE_P(ControlAndBulk, BrokenStreamTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Bulk" : "Control"; });

TEST(SessionTest, ABreakFreesWhoeverWaitsForRoom) {
  PuppetServer server;
  Listener listener;
  server.Pause(/*bulk=*/true, true);
  const auto session = MustOpen(server, listener);

  std::atomic<int> sent = 0;
  std::thread sender([&] {
    while (session->Send(Result(1, 8 << 20))) {
      ++sent;
    }
  });
  EXPECT_TRUE(test::WaitUntil([&] { return sent > 2; }));
  server.Break(/*bulk=*/false);
  sender.join();
}

TEST(SessionTest, CloseDeliversWhatIsQueued) {
  PuppetServer server;
  Listener listener;
  const auto session = MustOpen(server, listener);
  for (std::uint64_t task = 1; task <= 10; ++task) {
    ASSERT_TRUE(session->Send(Result(task, task % 2 == 0 ? 3 << 20 : 100)));
  }

  EXPECT_TRUE(session->Close(absl::Seconds(20)));
  EXPECT_EQ(server.Kept(WorkerMessage::kStylizeResult), 10);
  EXPECT_EQ(server.half_closes(), 2);
  EXPECT_EQ(listener.broken(), 0);
  EXPECT_FALSE(session->Send(Result(11, 10)));
}

TEST(SessionTest, CloseCutsAServerThatDoesNotAnswer) {
  PuppetServer server({.never_ends = true});
  Listener listener;
  const auto session = MustOpen(server, listener);

  EXPECT_FALSE(session->Close(absl::Milliseconds(50)));
  EXPECT_EQ(listener.broken(), 0);
}

TEST(SessionTest, OpenTellsWhyTheServerRefused) {
  Listener listener;
  PuppetServer unknown_lease(
      {.refusal = grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "not your job")});
  EXPECT_EQ(Session::Open(OptionsFor(unknown_lease.address()), listener).status().code(),
            absl::StatusCode::kPermissionDenied);
  PuppetServer too_new({.refusal = grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "too old")});
  EXPECT_EQ(Session::Open(OptionsFor(too_new.address()), listener).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(listener.broken(), 0);
}

TEST(SessionTest, OpenGivesUpWhenNobodyListensOrAnswers) {
  Listener listener;
  Session::Options nobody = OptionsFor("unix:/tmp/atelier-no-such-socket");
  nobody.connect_timeout = absl::Milliseconds(100);
  EXPECT_EQ(Session::Open(nobody, listener).status().code(), absl::StatusCode::kUnavailable);
  PuppetServer silent({.silent = true});
  Session::Options mute = OptionsFor(silent.address());
  mute.connect_timeout = absl::Milliseconds(300);
  EXPECT_EQ(Session::Open(mute, listener).status().code(), absl::StatusCode::kUnavailable);
}

TEST(SessionTest, AnotherSessionCanBeOpenedOnceTheServerIsBack) {
  PuppetServer server;
  Listener first;
  const auto old = MustOpen(server, first);
  server.Stop();
  ASSERT_TRUE(first.WaitUntilBroken());

  server.Start();
  Listener second;
  const auto fresh = MustOpen(server, second);
  ASSERT_NE(fresh, nullptr);
  EXPECT_NE(fresh->welcome().session(), old->welcome().session());
}

}  // namespace
}  // namespace atelier::worker
