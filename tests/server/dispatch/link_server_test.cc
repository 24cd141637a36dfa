// Puppets that speak the real protocol over the real socket.
#include "server/dispatch/link/link_server.h"

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <memory>
#include <optional>
#include <string>

#include "atelier/internal/v1/worker_link.grpc.pb.h"
#include "common/clock.h"
#include "prometheus/registry.h"
#include "tests/server/dispatch/link_fakes.h"
#include "tests/server/support/stylize_fakes.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

using internal::v1::ServerMessage;
using internal::v1::WorkerLink;
using internal::v1::WorkerMessage;
using test::WaitUntil;
using testing::Answers;
using testing::CreditOf;
using ::testing::ElementsAre;
using testing::FakeJobs;
using testing::FakeTrainers;
using testing::GoodResult;
using testing::ProgressOf;
using testing::SampleWork;
using testing::ServeHello;
using testing::TrainHello;

// A worker without a mind of its own.
class Puppet {
 public:
  explicit Puppet(const std::string& address)
      : stub_(WorkerLink::NewStub(MakeChannel(address))),
        control_(stub_->Control(&control_context_)) {}

  ~Puppet() {
    control_context_.TryCancel();
    bulk_context_.TryCancel();
    for (Stream* stream : {control_.get(), bulk_.get()}) {
      if (stream != nullptr) {
        stream->Finish();
      }
    }
  }

  // Greets and opens the bulk stream.
  void Greet(const WorkerMessage& hello) {
    ASSERT_TRUE(control_->Write(hello));
    const auto welcome = Read();
    ASSERT_TRUE(welcome.has_value() && welcome->has_welcome());
    OpenBulk(welcome->welcome().session());
  }

  void OpenBulk(std::uint64_t session) {
    bulk_ = stub_->Bulk(&bulk_context_);
    WorkerMessage hello;
    hello.mutable_bulk_hello()->set_session(session);
    ASSERT_TRUE(bulk_->Write(hello));
  }

  bool Say(const WorkerMessage& message) { return control_->Write(message); }
  bool SayInBulk(const WorkerMessage& message) { return bulk_->Write(message); }

  std::optional<ServerMessage> Read() { return ReadFrom(*control_); }
  std::optional<ServerMessage> ReadBulk() { return ReadFrom(*bulk_); }

  void BreakBulk() { bulk_context_.TryCancel(); }
  void BreakControl() { control_context_.TryCancel(); }

  void SayGoodbye() {
    control_->WritesDone();
    bulk_->WritesDone();
  }

  // Waits for the server to end the stream.
  grpc::StatusCode ControlEnd() { return EndOf(control_); }
  grpc::StatusCode BulkEnd() { return EndOf(bulk_); }

 private:
  using Stream = grpc::ClientReaderWriter<WorkerMessage, ServerMessage>;

  static std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetMaxReceiveMessageSize(64 << 20);
    return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  }
  static std::optional<ServerMessage> ReadFrom(Stream& stream) {
    ServerMessage message;
    return stream.Read(&message) ? std::optional(message) : std::nullopt;
  }
  static grpc::StatusCode EndOf(std::unique_ptr<Stream>& stream) {
    while (ReadFrom(*stream).has_value()) {
    }
    const grpc::StatusCode code = stream->Finish().error_code();
    stream.reset();
    return code;
  }

  std::unique_ptr<WorkerLink::Stub> stub_;
  grpc::ClientContext control_context_;
  grpc::ClientContext bulk_context_;
  std::unique_ptr<Stream> control_;
  std::unique_ptr<Stream> bulk_;
};

class LinkServerTest : public ::testing::Test {
 protected:
  void SetUp() override { Listen(absl::Seconds(60)); }

  void Listen(absl::Duration silence_limit) {
    server_.reset();
    socket_ = *LinkSocket::Create(folder_ / "run");
    auto server = LinkServer::Create(*socket_, {.dispatcher = &dispatcher_,
                                                .loader = &loader_,
                                                .jobs = &jobs_,
                                                .trainers = &trainers_,
                                                .probe = &worker_probe_,
                                                .clock = &SystemClock(),
                                                .silence_limit = silence_limit});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  RequestId Add(Answers& answers, std::size_t image_bytes = 100) {
    auto request =
        std::make_unique<Request>(queue_.NextId(), SampleWork(image_bytes), RequestTraits(),
                                  SystemClock().Now() + absl::Minutes(5), answers.Expect());
    const RequestId id = request->id();
    EXPECT_TRUE(queue_.Enqueue(request).ok());
    return id;
  }

  test::TempDir folder_;
  prometheus::Registry registry_;
  QueueProbe queue_probe_{registry_};
  WorkerProbe worker_probe_{registry_, "here"};
  RequestQueue queue_{{.max_bytes = 1ULL << 30U}, SystemClock(), queue_probe_};
  DispatchProbe dispatch_probe_{registry_};
  Dispatcher dispatcher_{queue_, SystemClock(), dispatch_probe_};
  testing::FakeRegistry models_;
  ModelLoader loader_{models_};
  FakeJobs jobs_;
  FakeTrainers trainers_;
  std::unique_ptr<LinkSocket> socket_;
  std::unique_ptr<LinkServer> server_;
};

TEST_F(LinkServerTest, SocketAndItsFolderAreForTheirOwnerOnly) {
  struct stat status{};
  ASSERT_EQ(::stat(socket_->path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  ASSERT_EQ(::stat(socket_->path().parent_path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0700U);
}

TEST_F(LinkServerTest, PathsThatNoSocketCanHaveMoveToAPrivateFolderInTmp) {
  for (const std::string& name : {std::string(120, 'x'), std::string("with space")}) {
    auto socket = LinkSocket::Create(folder_ / name);
    ASSERT_TRUE(socket.ok());
    EXPECT_LT((*socket)->path().string().size(), 40U);
    const std::filesystem::path private_folder = (*socket)->path().parent_path();
    EXPECT_TRUE(std::filesystem::exists(private_folder));
    socket->reset();
    EXPECT_FALSE(std::filesystem::exists(private_folder));
  }
}

TEST_F(LinkServerTest, PictureGoesToTheWorkerAndBack) {
  Puppet puppet(socket_->address());
  puppet.Greet(ServeHello());
  ASSERT_TRUE(puppet.Say(CreditOf(1)));
  Answers answers;
  const RequestId id = Add(answers);
  const auto task = puppet.Read();
  ASSERT_TRUE(task.has_value());
  EXPECT_EQ(task->stylize_task().task_id(), id);
  ASSERT_TRUE(puppet.Say(GoodResult(id)));
  ASSERT_TRUE(WaitUntil([&] { return answers.count() == 1; }));
  EXPECT_EQ(answers.code(), absl::StatusCode::kOk);
}

TEST_F(LinkServerTest, LargePicturesUseTheBulkStreamBothWays) {
  Puppet puppet(socket_->address());
  puppet.Greet(ServeHello());
  ASSERT_TRUE(puppet.Say(CreditOf(1)));
  Answers answers;
  const RequestId id = Add(answers, 20 << 20);
  const auto task = puppet.ReadBulk();
  ASSERT_TRUE(task.has_value());
  EXPECT_EQ(task->stylize_task().image().size(), 20U << 20U);
  WorkerMessage result = GoodResult(id);
  result.mutable_stylize_result()->mutable_image()->resize(30 << 20);
  ASSERT_TRUE(puppet.SayInBulk(result));
  ASSERT_TRUE(WaitUntil([&] { return answers.count() == 1; }));
  ASSERT_TRUE(answers.only()->ok());
  EXPECT_EQ(testing::Stylized(answers).image.size(), 30U << 20U);
}

TEST_F(LinkServerTest, WorkerOfADistantVersionIsToldWhy) {
  Puppet puppet(socket_->address());
  WorkerMessage hello = ServeHello();
  hello.mutable_hello()->set_protocol_min(8);
  hello.mutable_hello()->set_protocol_max(9);
  ASSERT_TRUE(puppet.Say(hello));
  EXPECT_EQ(puppet.ControlEnd(), grpc::StatusCode::FAILED_PRECONDITION);
}

TEST_F(LinkServerTest, BulkStreamOfNobodyIsEnded) {
  Puppet puppet(socket_->address());
  puppet.OpenBulk(12345);
  EXPECT_EQ(puppet.BulkEnd(), grpc::StatusCode::FAILED_PRECONDITION);
}

TEST_F(LinkServerTest, BrokenBulkStreamMovesTheTaskToAnotherWorker) {
  Puppet first(socket_->address());
  first.Greet(ServeHello());
  ASSERT_TRUE(first.Say(CreditOf(1)));
  Answers answers;
  const RequestId id = Add(answers);
  ASSERT_TRUE(first.Read().has_value());
  first.BreakBulk();
  EXPECT_EQ(first.ControlEnd(), grpc::StatusCode::UNAVAILABLE);

  Puppet second(socket_->address());
  second.Greet(ServeHello());
  ASSERT_TRUE(second.Say(CreditOf(1)));
  EXPECT_EQ(second.Read()->stylize_task().task_id(), id);
  second.BreakControl();
  ASSERT_TRUE(WaitUntil([&] { return answers.count() == 1; }));
  EXPECT_EQ(answers.code(), absl::StatusCode::kUnavailable) << "lost twice";
}

TEST_F(LinkServerTest, GarbageResultEndsTheWorker) {
  Puppet puppet(socket_->address());
  puppet.Greet(ServeHello());
  ASSERT_TRUE(puppet.Say(CreditOf(1)));
  Answers answers;
  const RequestId id = Add(answers);
  ASSERT_TRUE(puppet.Read().has_value());
  WorkerMessage garbage = GoodResult(id);
  garbage.mutable_stylize_result()->set_image("garbage");
  ASSERT_TRUE(puppet.Say(garbage));
  EXPECT_EQ(puppet.ControlEnd(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_TRUE(WaitUntil([&] { return queue_.waiting() == 1; }));
  EXPECT_EQ(answers.count(), 0U);
}

TEST_F(LinkServerTest, SilentWorkerIsEnded) {
  Listen(absl::Milliseconds(300));
  Puppet puppet(socket_->address());
  puppet.Greet(ServeHello());
  EXPECT_EQ(puppet.ControlEnd(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(WaitUntil([&] { return dispatcher_.without_workers_since().has_value(); }));
}

TEST_F(LinkServerTest, WorkerThatNeverGreetsIsEnded) {
  Listen(absl::Milliseconds(300));
  Puppet puppet(socket_->address());
  EXPECT_EQ(puppet.ControlEnd(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(LinkServerTest, LeavingInPeaceEndsBothStreamsWithOk) {
  Puppet puppet(socket_->address());
  puppet.Greet(ServeHello());
  ASSERT_TRUE(puppet.Say(CreditOf(1)));
  ASSERT_TRUE(WaitUntil([&] { return !dispatcher_.without_workers_since().has_value(); }));
  puppet.SayGoodbye();
  EXPECT_EQ(puppet.ControlEnd(), grpc::StatusCode::OK);
  EXPECT_EQ(puppet.BulkEnd(), grpc::StatusCode::OK);
}

TEST_F(LinkServerTest, LastUpdatesOfATrainerArriveBeforeItsEnd) {
  Puppet puppet(socket_->address());
  puppet.Greet(TrainHello("j", 3));
  EXPECT_EQ(puppet.Read()->start_job().spec().job_id(), "j");
  for (int step = 1; step <= 3; ++step) {
    ASSERT_TRUE(puppet.Say(ProgressOf("j", 3, step)));
  }
  puppet.SayGoodbye();
  EXPECT_EQ(puppet.ControlEnd(), grpc::StatusCode::OK);
  EXPECT_THAT(jobs_.events(),
              ElementsAre("connected j/3", "progress 1", "progress 2", "progress 3"));
  // The worker may see the end of its stream before the server has told the trainer's owner.
  EXPECT_TRUE(WaitUntil([&] { return trainers_.events().size() == 2; }));
  EXPECT_THAT(trainers_.events(), ElementsAre("opened j/3", "closed j/3"));
}

TEST_F(LinkServerTest, TrainerWithAnOldLeaseIsDenied) {
  jobs_.Refuse(absl::PermissionDeniedError("an old lease"));
  Puppet puppet(socket_->address());
  ASSERT_TRUE(puppet.Say(TrainHello("j", 1)));
  EXPECT_EQ(puppet.ControlEnd(), grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(LinkServerTest, WorkerThatDoesNotReadIsCutOff) {
  Listen(absl::Milliseconds(300));
  Puppet puppet(socket_->address());
  puppet.Greet(ServeHello(8));
  ASSERT_TRUE(puppet.Say(CreditOf(8)));
  Answers answers;
  for (int i = 0; i < 8; ++i) {
    Add(answers, 25 << 20);  // far more than the connection's buffers hold
  }
  EXPECT_EQ(puppet.ControlEnd(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(WaitUntil([&] { return queue_.waiting() == 8; }));
  EXPECT_NE(puppet.BulkEnd(), grpc::StatusCode::OK);
}

TEST_F(LinkServerTest, StopEndsEveryStream) {
  Puppet puppet(socket_->address());
  puppet.Greet(ServeHello());
  ASSERT_TRUE(puppet.Say(CreditOf(1)));
  ASSERT_TRUE(WaitUntil([&] { return !dispatcher_.without_workers_since().has_value(); }));
  server_->Stop();
  EXPECT_EQ(puppet.ControlEnd(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(dispatcher_.without_workers_since().has_value());
}

}  // namespace
}  // namespace atelier::server
