#include "server/dispatch/link/worker_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "prometheus/registry.h"
#include "prometheus/text_serializer.h"
#include "server/dispatch/link/session_table.h"
#include "tests/server/dispatch/link_fakes.h"
#include "tests/server/dispatch/session_harness.h"
#include "tests/server/support/stylize_fakes.h"
#include "tests/support/fake_clock.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

using internal::v1::WorkerMessage;
using test::WaitUntil;
using testing::Answers;
using testing::CreditOf;
using ::testing::ElementsAre;
using testing::FakeTransport;
using testing::GoodResult;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::ProgressOf;
using testing::SampleWork;
using testing::ServeHello;
using testing::TrainHello;
using Stream = WorkerSession::Stream;

class WorkerSessionTest : public testing::SessionTest {
 protected:
  RequestId Add(Answers& answers, std::size_t image_bytes = 100) {
    auto request =
        std::make_unique<Request>(queue_.NextId(), SampleWork(image_bytes), RequestTraits(),
                                  clock_.Now() + absl::Minutes(10), answers.Expect());
    const RequestId id = request->id();
    EXPECT_TRUE(queue_.Enqueue(request).ok());
    return id;
  }

  std::string Metrics() { return prometheus::TextSerializer().Serialize(metrics_.Collect()); }
};

TEST_F(WorkerSessionTest, HelloIsWelcomedWithTheCommonProtocol) {
  auto session = table_.Open(control_);
  WorkerMessage hello = ServeHello();
  hello.mutable_hello()->set_protocol_max(7);  // a newer worker that still speaks ours
  session->OnMessage(Stream::kControl, hello);
  ASSERT_EQ(control_->sent().size(), 1U);
  const internal::v1::Welcome welcome = control_->sent().front().welcome();
  EXPECT_EQ(welcome.protocol(), kLinkProtocolMax);
  EXPECT_EQ(welcome.session(), session->id());
  EXPECT_EQ(welcome.heartbeat_ms(), 2000U);
}

TEST_F(WorkerSessionTest, ProtocolsThatDoNotMeetEndTheStreamTellingBothRanges) {
  auto session = table_.Open(control_);
  WorkerMessage hello = ServeHello();
  hello.mutable_hello()->set_protocol_min(3);
  hello.mutable_hello()->set_protocol_max(4);
  session->OnMessage(Stream::kControl, hello);
  ASSERT_TRUE(control_->closed_with(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(std::string(control_->closed()->message()), HasSubstr("3 to 4"));
  EXPECT_THAT(std::string(control_->closed()->message()), HasSubstr("1 to 2"));
}

TEST_F(WorkerSessionTest, HelloThatMakesNoSenseIsRefused) {
  const std::function<void(internal::v1::Hello&)> faults[] = {
      [](auto& hello) { hello.set_name("a\"} evil"); },
      [](auto& hello) { hello.set_device("tpu"); },
      [](auto& hello) { hello.set_device("cuda:"); },
      [](auto& hello) { hello.set_device("cuda:12345"); },
      [](auto& hello) { hello.set_slots(0); },
      [](auto& hello) { hello.set_slots(100000); },
      [](auto& hello) { hello.set_role(internal::v1::WORKER_ROLE_UNSPECIFIED); },
      [](auto& hello) {
        hello.set_role(internal::v1::WORKER_ROLE_TRAIN);
        hello.set_job_id("Not A Job");
      },
  };
  for (const auto& spoil : faults) {
    auto control = std::make_shared<FakeTransport>();
    WorkerMessage hello = ServeHello();
    spoil(*hello.mutable_hello());
    table_.Open(control)->OnMessage(Stream::kControl, hello);
    EXPECT_TRUE(control->closed_with(absl::StatusCode::kInvalidArgument)) << hello.DebugString();
  }
}

TEST_F(WorkerSessionTest, ServesOnlyOnceItsBulkStreamIsUp) {
  Answers answers;
  Add(answers);
  auto session = table_.Open(control_);
  session->OnMessage(Stream::kControl, ServeHello());
  session->OnMessage(Stream::kControl, CreditOf(1));
  EXPECT_EQ(control_->sent().size(), 1U) << "only the welcome";
  EXPECT_TRUE(dispatcher_.without_workers_since().has_value());
  ASSERT_TRUE(session->AttachBulk(bulk_, {}));
  EXPECT_TRUE(control_->sent().back().has_stylize_task()) << "early credit counts";
  EXPECT_FALSE(dispatcher_.without_workers_since().has_value());
  EXPECT_FALSE(session->AttachBulk(std::make_shared<FakeTransport>(), {})) << "only one";
}

TEST_F(WorkerSessionTest, TaskCarriesTheWorkAndTheTimeLeft) {
  auto session = Serving();
  Answers answers;
  const RequestId id = Add(answers);
  const internal::v1::StylizeTask task = control_->sent().back().stylize_task();
  EXPECT_EQ(task.task_id(), id);
  EXPECT_EQ(task.deadline_ms(), 600'000U);
  EXPECT_EQ(task.model().name(), "oil");
  EXPECT_EQ(task.model().directory(), "/models/oil/3");
  EXPECT_EQ(task.quality(), 95U);
  EXPECT_EQ(task.precision(), v1::PRECISION_FP32);
  session->OnMessage(Stream::kControl, GoodResult(id));
  ASSERT_TRUE(answers.only()->ok());
  EXPECT_EQ(testing::Stylized(answers).width, 64U);
}

TEST_F(WorkerSessionTest, CreditBesideAResultBringsTheNextTask) {
  auto session = Serving(1);
  Answers answers;
  const RequestId first = Add(answers);
  const RequestId second = Add(answers);
  EXPECT_EQ(control_->sent().back().stylize_task().task_id(), first);
  WorkerMessage result = GoodResult(first);
  result.set_more_tasks(1);
  session->OnMessage(Stream::kControl, result);
  EXPECT_EQ(control_->sent().back().stylize_task().task_id(), second);
}

TEST_F(WorkerSessionTest, LargeTasksGoOnTheBulkStream) {
  auto session = Serving();
  Answers answers;
  Add(answers, 2 << 20);
  ASSERT_EQ(bulk_->sent().size(), 1U);
  EXPECT_TRUE(bulk_->sent().front().has_stylize_task());
  EXPECT_EQ(control_->sent().size(), 1U) << "only the welcome";
}

TEST_F(WorkerSessionTest, CancelGoesToTheWorker) {
  auto session = Serving();
  Answers answers;
  const RequestId id = Add(answers);
  queue_.Cancel(id);
  EXPECT_EQ(control_->sent().back().cancel_task().task_id(), id);
}

TEST_F(WorkerSessionTest, GarbageEndsTheWorkerAndItsTaskGoesToAnother) {
  const std::function<WorkerMessage(RequestId)> garbage[] = {
      [](RequestId) { return GoodResult(123456); },
      [](RequestId id) {
        WorkerMessage message = GoodResult(id);
        message.mutable_stylize_result()->set_image("not a picture");
        return message;
      },
      [](RequestId id) {
        WorkerMessage message = GoodResult(id);
        message.mutable_stylize_result()->set_code(99);
        return message;
      },
      [](RequestId) { return ServeHello(); },
      [](RequestId) { return CreditOf(5000); },
      [](RequestId id) {
        WorkerMessage message = GoodResult(id);
        message.set_more_tasks(5000);
        return message;
      },
      [](RequestId) { return CreditOf(0); },
      [](RequestId) { return ProgressOf("j", 1, 1); },
  };
  for (const auto& make : garbage) {
    control_ = std::make_shared<FakeTransport>();
    bulk_ = std::make_shared<FakeTransport>();
    auto session = Serving(1);
    Answers answers;
    const RequestId id = Add(answers);
    session->OnMessage(Stream::kControl, make(id));
    EXPECT_TRUE(control_->closed_with(absl::StatusCode::kFailedPrecondition));
    EXPECT_TRUE(bulk_->closed().has_value());
    EXPECT_TRUE(session->closed());
    EXPECT_EQ(answers.count(), 0U);
    EXPECT_EQ(queue_.waiting(), 1U) << "it waits for another worker";
    queue_.Cancel(id);
  }
}

TEST_F(WorkerSessionTest, FirstMessageMustBeHello) {
  table_.Open(control_)->OnMessage(Stream::kControl, CreditOf(1));
  EXPECT_TRUE(control_->closed_with(absl::StatusCode::kFailedPrecondition));
}

TEST_F(WorkerSessionTest, MessagesOfANewerVersionAreIgnored) {
  auto session = Serving();
  session->OnMessage(Stream::kControl, WorkerMessage());
  EXPECT_FALSE(session->closed());
}

TEST_F(WorkerSessionTest, EitherBrokenStreamLosesTheWorker) {
  for (const Stream stream : {Stream::kControl, Stream::kBulk}) {
    control_ = std::make_shared<FakeTransport>();
    bulk_ = std::make_shared<FakeTransport>();
    auto session = Serving();
    Answers answers;
    const RequestId id = Add(answers);
    session->StreamBroken(stream);
    EXPECT_TRUE(control_->closed().has_value());
    EXPECT_TRUE(bulk_->closed().has_value());
    EXPECT_EQ(queue_.waiting(), 1U);
    queue_.Cancel(id);
  }
}

TEST_F(WorkerSessionTest, OneFinishedStreamLetsTheOtherSayItsLastWords) {
  auto session = Serving();
  Answers answers;
  const RequestId id = Add(answers);
  session->StreamFinished(Stream::kBulk);
  session->OnMessage(Stream::kControl, GoodResult(id));
  EXPECT_EQ(answers.code(), absl::StatusCode::kOk);
  EXPECT_FALSE(session->closed());
  session->StreamFinished(Stream::kControl);
  EXPECT_TRUE(control_->closed_with(absl::StatusCode::kOk));
  EXPECT_TRUE(bulk_->closed_with(absl::StatusCode::kOk));
  session->StreamEnded(Stream::kBulk);
  EXPECT_FALSE(session->closed()) << "the control stream may still turn out to be broken";
  session->StreamEnded(Stream::kControl);
  EXPECT_TRUE(session->closed());
}

// Of a killed worker, reading may end on both streams before either is known to be broken.
TEST_F(WorkerSessionTest, AWorkerWhoseStreamsBreakAfterTheirLastWordIsLost) {
  auto session = Serving();
  Answers answers;
  const RequestId id = Add(answers);
  session->StreamFinished(Stream::kControl);
  session->StreamFinished(Stream::kBulk);
  session->StreamBroken(Stream::kBulk);
  EXPECT_TRUE(session->closed());
  EXPECT_EQ(queue_.waiting(), 1U);
  EXPECT_THAT(Metrics(), HasSubstr("atelier_retries_total{reason=\"lost\"} 1"));
  session->StreamEnded(Stream::kBulk);
  session->StreamEnded(Stream::kControl);
  EXPECT_EQ(queue_.waiting(), 1U);
  queue_.Cancel(id);
}

TEST_F(WorkerSessionTest, SilentWorkerIsLostHeartbeatsKeepIt) {
  auto session = Serving();
  Answers answers;
  const RequestId id = Add(answers);
  WorkerMessage heartbeat;
  heartbeat.mutable_heartbeat();
  for (int i = 0; i < 20; ++i) {
    clock_.Advance(absl::Seconds(2));
    session->OnMessage(Stream::kControl, heartbeat);
  }
  EXPECT_FALSE(session->closed());
  // In small steps: one large one would look like a server that was itself asleep.
  EXPECT_TRUE(WaitUntil([&] {
    clock_.Advance(absl::Milliseconds(100));
    return session->closed();
  }));
  // The watcher's thread says so first, then closes the streams and gives the work back.
  EXPECT_TRUE(WaitUntil([&] { return control_->closed_with(absl::StatusCode::kUnavailable); }));
  EXPECT_TRUE(WaitUntil([&] { return queue_.waiting() == 1; }));
  queue_.Cancel(id);
}

TEST_F(WorkerSessionTest, StreamsThatDoNotEndAfterTheCloseAreCut) {
  auto session = Serving();
  session->Close(absl::FailedPreconditionError("for a reason"));
  EXPECT_FALSE(control_->aborted());
  EXPECT_TRUE(WaitUntil([&] {
    clock_.Advance(absl::Milliseconds(100));
    return control_->aborted() && bulk_->aborted();
  }));
  EXPECT_EQ(table_.Find(session->id()), nullptr);
}

TEST_F(WorkerSessionTest, FiguresAppearWithLabelsAndVanishWithTheWorker) {
  auto session = Serving();
  WorkerMessage heartbeat;
  heartbeat.mutable_heartbeat()->mutable_figures()->set_rss_bytes(4096);
  session->OnMessage(Stream::kControl, heartbeat);
  EXPECT_THAT(Metrics(), HasSubstr("atelier_worker_up{device=\"cpu\",server=\"here\","
                                   "worker=\"cpu-0\"} 1"));
  EXPECT_THAT(Metrics(), HasSubstr("atelier_worker_memory_bytes{device=\"cpu\",server=\"here\","
                                   "worker=\"cpu-0\"} 4096"));

  // Back under the same name before the old connection was missed.
  auto second = table_.Open(std::make_shared<FakeTransport>());
  second->OnMessage(Stream::kControl, ServeHello());
  session->Close(absl::OkStatus());
  EXPECT_THAT(Metrics(), HasSubstr("worker=\"cpu-0\""));
  second->Close(absl::OkStatus());
  EXPECT_THAT(Metrics(), Not(HasSubstr("worker=\"cpu-0\"")));
}

TEST_F(WorkerSessionTest, DeviceMemoryIsShownWhereTheWorkerKnowsIt) {
  auto session = Serving();
  EXPECT_THAT(Metrics(), Not(HasSubstr("atelier_device_memory_bytes{")));
  session->Close(absl::OkStatus());

  auto telling = table_.Open(std::make_shared<FakeTransport>());
  WorkerMessage hello = ServeHello();
  hello.mutable_hello()->set_memory_bytes(1 << 30);
  telling->OnMessage(Stream::kControl, hello);
  EXPECT_THAT(Metrics(), HasSubstr("atelier_device_memory_bytes{device=\"cpu\",server=\"here\","
                                   "worker=\"cpu-0\"} 1073741824"));
  telling->Close(absl::OkStatus());
  EXPECT_THAT(Metrics(), Not(HasSubstr("atelier_device_memory_bytes{")));
}

TEST_F(WorkerSessionTest, TrainerGetsItsJobAndItsUpdatesArriveInOrder) {
  auto session = table_.Open(control_);
  session->OnMessage(Stream::kControl, TrainHello("j", 4));
  ASSERT_EQ(control_->sent().size(), 2U);
  EXPECT_TRUE(control_->sent()[0].has_welcome());
  EXPECT_EQ(control_->sent()[1].start_job().fence(), 4U);
  session->OnMessage(Stream::kControl, ProgressOf("j", 4, 1));
  session->OnMessage(Stream::kControl, ProgressOf("j", 4, 2));
  session->StreamFinished(Stream::kControl);
  session->StreamEnded(Stream::kControl);
  EXPECT_THAT(jobs_.events(), ElementsAre("connected j/4", "progress 1", "progress 2"));
  EXPECT_THAT(trainers_.events(), ElementsAre("opened j/4", "closed j/4"));
}

TEST_F(WorkerSessionTest, StopReachesATrainer) {
  auto session = table_.Open(control_);
  session->OnMessage(Stream::kControl, TrainHello("j", 4));
  trainers_.port()->SendStop(internal::v1::StopJob::WHY_DRAIN);
  EXPECT_EQ(control_->sent().back().stop_job().why(), internal::v1::StopJob::WHY_DRAIN);
}

TEST_F(WorkerSessionTest, TrainerWithoutALeaseIsDenied) {
  trainers_.KnowNoLease();
  table_.Open(control_)->OnMessage(Stream::kControl, TrainHello("j", 4));
  EXPECT_TRUE(control_->closed_with(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(jobs_.events(), ElementsAre());
  EXPECT_THAT(trainers_.events(), ElementsAre());
}

TEST_F(WorkerSessionTest, TrainerWhoseLeaseTheJobsRefuseIsClosed) {
  jobs_.Refuse(absl::PermissionDeniedError("an old lease"));
  table_.Open(control_)->OnMessage(Stream::kControl, TrainHello("j", 4));
  EXPECT_TRUE(control_->closed_with(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(trainers_.events(), ElementsAre("opened j/4", "closed j/4"));
}

TEST_F(WorkerSessionTest, UpdateOfAnotherJobEndsTheTrainer) {
  auto session = table_.Open(control_);
  session->OnMessage(Stream::kControl, TrainHello("j", 4));
  session->OnMessage(Stream::kControl, ProgressOf("k", 4, 1));
  EXPECT_TRUE(control_->closed_with(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(jobs_.events(), ElementsAre("connected j/4"));
}

TEST_F(WorkerSessionTest, TrainerNeverGetsPicturesToRestyle) {
  Answers answers;
  const RequestId id = Add(answers);
  auto session = table_.Open(control_);
  session->OnMessage(Stream::kControl, TrainHello("j", 4));
  EXPECT_TRUE(session->AttachBulk(bulk_, {}));
  EXPECT_TRUE(dispatcher_.without_workers_since().has_value());
  session->OnMessage(Stream::kControl, CreditOf(1));
  EXPECT_TRUE(session->closed());
  queue_.Cancel(id);
}

}  // namespace
}  // namespace atelier::server
