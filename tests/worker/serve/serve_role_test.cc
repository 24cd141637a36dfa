#include "worker/serve/serve_role.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>

#include "tests/support/log_capture.h"
#include "tests/support/wait_until.h"
#include "tests/worker/serve/serve_role_fixture.h"
#include "worker/serve/serve_connection.h"

namespace atelier::worker {
namespace {

using internal::v1::ServerMessage;
using internal::v1::WorkerMessage;
using test::kSlots;
using test::ServeRoleTest;

TEST_F(ServeRoleTest, GrantsItsSlotsAndOneMoreForEachResult) {
  server_.Send(Task(11));
  const internal::v1::StylizeResult result = AwaitResult();
  EXPECT_EQ(result.task_id(), 11);
  EXPECT_EQ(result.code(), 0) << result.message();
  EXPECT_EQ(result.format(), v1::IMAGE_FORMAT_PNG);
  EXPECT_EQ(result.width(), 32);
  EXPECT_EQ(result.precision(), v1::PRECISION_FP32);
  EXPECT_FALSE(result.image().empty());
  EXPECT_EQ(AwaitCredit(), 1);
}

// A server of the present protocol, where the others here are of the one before.
class ServeRoleTwoTest : public ServeRoleTest {
 protected:
  ServeRoleTwoTest() : ServeRoleTest({.protocol = 2}) {}
};

TEST_F(ServeRoleTwoTest, CreditComesWithTheResult) {
  for (std::uint64_t id = 1; id <= 2 * kSlots; ++id) {
    server_.Send(Task(id));
    const auto received = server_.Await(WorkerMessage::kStylizeResult);
    ASSERT_TRUE(received.has_value());
    EXPECT_EQ(received->message.stylize_result().task_id(), id);
    EXPECT_EQ(received->message.more_tasks(), 1);
  }
  EXPECT_EQ(server_.Kept(WorkerMessage::kCredit), 0);
}

TEST_F(ServeRoleTwoTest, ADrainingWorkerGivesNoCreditBack) {
  models_.HoldCompute(true);
  server_.Send(Task(1));
  ASSERT_TRUE(test::WaitUntil([&] { return models_.computing() == 1; }));
  role_->Shutdown();
  models_.HoldCompute(false);
  const auto received = server_.Await(WorkerMessage::kStylizeResult);
  ASSERT_TRUE(received.has_value());
  EXPECT_EQ(received->message.more_tasks(), 0);
  EXPECT_EQ(Join(), 0);
}

TEST_F(ServeRoleTest, PatternsAreMadeAndGiveTheirCreditBack) {
  ServerMessage message;
  internal::v1::GenerateTask& task = *message.mutable_generate_task();
  task.set_task_id(12);
  task.mutable_model()->set_directory(std::string(test::kPatternDirectory) + "/1");
  task.set_deadline_ms(60'000);
  task.add_seeds(3);
  task.add_seeds(4);
  task.set_truncation(1);
  task.set_quality(95);
  task.set_format(v1::IMAGE_FORMAT_PNG);
  server_.Send(message);
  const auto received = server_.Await(WorkerMessage::kGenerateResult);
  ASSERT_TRUE(received.has_value());
  const internal::v1::GenerateResult& result = received->message.generate_result();
  EXPECT_EQ(result.task_id(), 12);
  EXPECT_EQ(result.code(), 0) << result.message();
  EXPECT_EQ(result.format(), v1::IMAGE_FORMAT_PNG);
  ASSERT_EQ(result.pictures_size(), 2);
  EXPECT_EQ(result.pictures(1).width(), 64);
  EXPECT_FALSE(result.pictures(1).image().empty());
  EXPECT_EQ(AwaitCredit(), 1);
}

TEST_F(ServeRoleTest, ErrorsCarryCodeSentenceAndField) {
  ServerMessage bad = Task(1);
  bad.mutable_stylize_task()->set_image("text");
  server_.Send(bad);
  internal::v1::StylizeResult result = AwaitResult();
  EXPECT_EQ(result.code(), 3);
  EXPECT_EQ(result.field(), "image");
  EXPECT_FALSE(result.message().empty());
  EXPECT_EQ(AwaitCredit(), 1);
}

TEST_F(ServeRoleTest, WhatTheLogSaysOfATaskNamesItsRequest) {
  models_.FailLoads("/m/1", absl::DataLossError("/m/1/weights.safetensors: a bit is wrong"));
  const test::LogCapture log;
  ServerMessage task = Task(1);
  task.mutable_stylize_task()->set_request_id("order 7/a");
  server_.Send(task);
  EXPECT_EQ(AwaitResult().code(), 15);
  EXPECT_EQ(AwaitCredit(), 1);
  EXPECT_THAT(log.Text(),
              ::testing::HasSubstr("request order 7/a: /m/1/weights.safetensors: a bit is wrong"));
}

TEST_F(ServeRoleTest, ADeadlineThatIsOverIsAnswered) {
  ServerMessage late = Task(1);
  late.mutable_stylize_task()->set_deadline_ms(0);
  server_.Send(late);
  EXPECT_EQ(AwaitResult().code(), 4);
}

// A task of more than 1 MB comes by the bulk stream, its cancellation by the other one.
TEST_F(ServeRoleTest, ACancellationThatOvertakesItsTaskCounts) {
  models_.HoldCompute(true);
  server_.Send(Task(1));
  ASSERT_TRUE(test::WaitUntil([&] { return models_.computing() == 1; }));
  ServerMessage cancel;
  cancel.mutable_cancel_task()->set_task_id(2);
  server_.Send(cancel);
  server_.Send(Task(2));
  const internal::v1::StylizeResult result = AwaitResult();
  EXPECT_EQ(result.task_id(), 2U);
  EXPECT_EQ(result.code(), static_cast<std::uint32_t>(absl::StatusCode::kCancelled));
  models_.HoldCompute(false);
  EXPECT_EQ(AwaitResult().code(), 0U);
}

TEST_F(ServeRoleTest, CancelledTasksAreAnsweredCancelledAndGiveTheirCreditBack) {
  models_.HoldCompute(true);
  server_.Send(Task(1));
  ASSERT_TRUE(test::WaitUntil([&] { return models_.computing() == 1; }));
  server_.Send(Task(2));
  ServerMessage cancel;
  cancel.mutable_cancel_task()->set_task_id(2);
  server_.Send(cancel);
  cancel.mutable_cancel_task()->set_task_id(999);  // unknown: ignored
  server_.Send(cancel);
  // The worker reads in order: once the probe after the cancellations is answered, so are they.
  ServerMessage probe = Task(3);
  probe.mutable_stylize_task()->set_image("");
  server_.Send(probe);
  models_.HoldCompute(false);
  std::map<std::uint64_t, std::uint32_t> codes;
  for (int i = 0; i < 3; ++i) {
    const internal::v1::StylizeResult result = AwaitResult();
    codes[result.task_id()] = result.code();
  }
  EXPECT_EQ(codes[1], 0);
  EXPECT_EQ(codes[3], 3);
  EXPECT_THAT(codes[2], ::testing::AnyOf(0, 1));  // the compute may have been quicker
}

TEST_F(ServeRoleTest, TasksBeyondItsCreditAreIgnored) {
  Session::Options options;
  options.address = server_.address();
  options.hello.set_slots(2);
  options.figures = [] { return internal::v1::WorkerFigures(); };
  const auto connection = ServeConnection::Open(options, *pipeline_);
  ASSERT_TRUE(connection.ok()) << connection.status();
  std::thread run([&] { (*connection)->Run(absl::Seconds(20)); });
  EXPECT_EQ(AwaitCredit(), 2);

  models_.HoldCompute(true);
  for (std::uint64_t id = 1; id <= 3; ++id) {
    (*connection)->OnMessage(Task(id));
  }
  models_.HoldCompute(false);
  EXPECT_LE(AwaitResult().task_id(), 2);
  EXPECT_LE(AwaitResult().task_id(), 2);
  EXPECT_EQ(AwaitCredit(), 1);
  EXPECT_EQ(AwaitCredit(), 1);
  (*connection)->OnMessage(Task(4));
  EXPECT_EQ(AwaitResult().task_id(), 4);
  (*connection)->Drain();
  run.join();
}

TEST_F(ServeRoleTest, FiguresTellTheModelsInMemory) {
  server_.Send(Task(1));
  AwaitResult();
  EXPECT_TRUE(server_
                  .AwaitIf([](const WorkerMessage& message) {
                    return message.has_heartbeat() &&
                           message.heartbeat().figures().models_loaded() == 1 &&
                           message.heartbeat().figures().models_bytes() == 1000 &&
                           message.heartbeat().figures().rss_bytes() > 1'000'000;
                  })
                  .has_value());
}

TEST_F(ServeRoleTest, ComesBackAfterABreakAndForgetsItsTasks) {
  models_.HoldCompute(true);
  server_.Send(Task(1));
  ASSERT_TRUE(test::WaitUntil([&] { return models_.computing() == 1; }));
  server_.Break(/*bulk=*/false);

  ASSERT_TRUE(server_.Await(WorkerMessage::kHello).has_value());
  ASSERT_TRUE(server_.Await(WorkerMessage::kHello).has_value());
  EXPECT_EQ(AwaitCredit(), kSlots);
  models_.HoldCompute(false);
  server_.Send(Task(2));
  EXPECT_EQ(AwaitResult().task_id(), 2);
}

TEST_F(ServeRoleTest, ComesBackWhenTheServerWasRestarted) {
  server_.Stop();
  server_.Start();
  EXPECT_EQ(AwaitCredit(), kSlots);
  server_.Send(Task(5));
  EXPECT_EQ(AwaitResult().task_id(), 5);
}

TEST_F(ServeRoleTest, DrainFinishesWhatItHoldsAndEnds) {
  models_.HoldCompute(true);
  server_.Send(Task(1, /*side=*/32));
  ASSERT_TRUE(test::WaitUntil([&] { return models_.computing() == 1; }));
  ServerMessage drain;
  drain.mutable_drain();
  server_.Send(drain);
  models_.HoldCompute(false);
  EXPECT_EQ(AwaitResult().code(), 0);
  EXPECT_EQ(Join(), 0);
  EXPECT_EQ(server_.half_closes(), 2);
}

TEST_F(ServeRoleTest, ShutdownFinishesWhatItHoldsAndGrantsNoMore) {
  models_.HoldCompute(true);
  server_.Send(Task(1));
  ASSERT_TRUE(test::WaitUntil([&] { return models_.computing() == 1; }));
  role_->Shutdown();
  models_.HoldCompute(false);
  EXPECT_EQ(AwaitResult().code(), 0);
  EXPECT_EQ(Join(), 0);
  EXPECT_EQ(server_.Kept(WorkerMessage::kCredit), 0);
}

TEST_F(ServeRoleTest, ShutdownEndsAWorkerWhoseServerIsGone) {
  server_.Stop();
  role_->Shutdown();
  EXPECT_EQ(Join(), 0);
}

}  // namespace
}  // namespace atelier::worker
