// The training service behind a real gRPC server.
#include "server/rpc/training_service.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <thread>

#include "absl/synchronization/notification.h"
#include "common/rpc/grpc_status.h"
#include "tests/server/jobs/job_harness.h"

namespace atelier::server {
namespace {

using internal::v1::JobFinished;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class TrainingServiceTest : public JobHarness {
 protected:
  TrainingServiceTest() { Rebuild(); }
  ~TrainingServiceTest() override { ShutDown(); }

  // A server with the present options_.
  void Rebuild() {
    ShutDown();
    Begin();
    service_ = std::make_unique<TrainingService>(
        *manager_, ArtifactRoom{options_.jobs_directory, threads_}, readers_);
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    address_ = "127.0.0.1:" + std::to_string(port);
    stub_ = v1::TrainingService::NewStub(
        grpc::CreateChannel(address_, grpc::InsecureChannelCredentials()));
  }
  void ShutDown() {
    if (server_ != nullptr) {
      server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(5));
      server_.reset();
    }
  }

  absl::StatusOr<v1::Job> Call(const v1::JobSpec& spec) {
    grpc::ClientContext context;
    v1::CreateJobRequest request;
    *request.mutable_spec() = spec;
    v1::Job job;
    const absl::Status status = FromGrpcStatus(stub_->CreateJob(&context, request, &job));
    return status.ok() ? absl::StatusOr<v1::Job>(job) : status;
  }

  absl::Status Delete(const std::string& id) {
    grpc::ClientContext context;
    v1::DeleteJobRequest request;
    request.set_job_id(id);
    v1::DeleteJobResponse response;
    return FromGrpcStatus(stub_->DeleteJob(&context, request, &response));
  }

  absl::StatusOr<v1::ListJobsResponse> List(std::uint32_t size, const std::string& token) {
    grpc::ClientContext context;
    v1::ListJobsRequest request;
    request.set_page_size(size);
    request.set_page_token(token);
    v1::ListJobsResponse response;
    const absl::Status status = FromGrpcStatus(stub_->ListJobs(&context, request, &response));
    return status.ok() ? absl::StatusOr<v1::ListJobsResponse>(response) : status;
  }

  struct Watched {
    std::vector<std::uint64_t> sequences;
    v1::JobEvent last;
    absl::Status end;
  };
  Watched Watch(const std::string& id, std::uint64_t from) {
    grpc::ClientContext context;
    v1::WatchJobRequest request;
    request.set_job_id(id);
    request.set_from_sequence(from);
    Watched watched;
    const auto reader = stub_->WatchJob(&context, request);
    v1::JobEvent event;
    while (reader->Read(&event)) {
      watched.sequences.push_back(event.sequence());
      watched.last = event;
    }
    watched.end = FromGrpcStatus(reader->Finish());
    return watched;
  }

  TransferThreads threads_{1, SystemClock()};
  TransferThreads readers_{1, SystemClock(), "calls are answered", /*waiting=*/1};
  std::unique_ptr<TrainingService> service_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  std::unique_ptr<v1::TrainingService::Stub> stub_;
};

TEST_F(TrainingServiceTest, JobsAreCreatedFetchedAndCancelled) {
  const v1::Job created = *Call(Spec("a"));
  EXPECT_EQ(created.spec().job_id(), "a");
  {
    grpc::ClientContext context;
    v1::GetJobRequest request;
    request.set_job_id("a");
    v1::Job job;
    EXPECT_TRUE(stub_->GetJob(&context, request, &job).ok());
    EXPECT_EQ(job.create_time().seconds(), created.create_time().seconds());
  }
  Run(Launched(0));
  grpc::ClientContext context;
  v1::CancelJobRequest request;
  request.set_job_id("a");
  v1::Job job;
  EXPECT_TRUE(stub_->CancelJob(&context, request, &job).ok());
  EXPECT_EQ(job.state(), v1::JOB_STATE_CANCELLING);
}

// Data sets are folders, which may be large or on a slow disk: gRPC's threads must not read them.
TEST_F(TrainingServiceTest, NewJobsAreLookedAtOnAThreadOfTheirOwnAndOtherCallsGoOn) {
  absl::Notification go;
  ASSERT_TRUE(readers_.Run([&go] { go.WaitForNotification(); }).ok());
  // One waits for the thread, and there is no room for another.
  std::atomic<int> refused = 0;
  std::atomic<int> created = 0;
  const auto create = [&](const std::string& id) {
    const absl::Status status = Call(Spec(id)).status();
    refused += absl::IsResourceExhausted(status) && RetryDelayOf(status).has_value() ? 1 : 0;
    created += status.ok() ? 1 : 0;
  };
  std::thread first(create, "a");
  std::thread second(create, "b");
  EXPECT_TRUE(test::WaitUntil([&] { return refused > 0; }));
  EXPECT_THAT(List(10, "")->jobs(), IsEmpty());
  EXPECT_EQ(created, 0);
  go.Notify();
  first.join();
  second.join();
  EXPECT_EQ(refused, 1);
  EXPECT_EQ(created, 1);
  EXPECT_EQ(List(10, "")->jobs_size(), 1);
}

TEST_F(TrainingServiceTest, JobsArePausedAndResumed) {
  ASSERT_TRUE(Call(Spec("a")).ok());
  const TestLease lease = Launched(0);
  Run(lease);
  v1::PauseJobRequest pause;
  pause.set_job_id("a");
  v1::Job job;
  {
    grpc::ClientContext context;
    EXPECT_TRUE(stub_->PauseJob(&context, pause, &job).ok());
  }
  EXPECT_EQ(job.state(), v1::JOB_STATE_PAUSING);
  Finish(lease, JobFinished::OUTCOME_STOPPED);
  ASSERT_TRUE(Becomes("a", v1::JOB_STATE_PAUSED));
  v1::ResumeJobRequest resume;
  resume.set_job_id("a");
  {
    grpc::ClientContext context;
    EXPECT_TRUE(stub_->ResumeJob(&context, resume, &job).ok());
  }
  EXPECT_EQ(job.state(), v1::JOB_STATE_QUEUED);
  pause.set_job_id("nobody");
  resume.set_job_id("");
  grpc::ClientContext pause_context;
  EXPECT_TRUE(absl::IsNotFound(FromGrpcStatus(stub_->PauseJob(&pause_context, pause, &job))));
  grpc::ClientContext resume_context;
  EXPECT_EQ(FieldOf(FromGrpcStatus(stub_->ResumeJob(&resume_context, resume, &job))), "job_id");
}

TEST_F(TrainingServiceTest, AJobThatHasEndedIsDeleted) {
  const TestLease lease = RunNew("a");
  const absl::Status running = Delete("a");
  EXPECT_TRUE(absl::IsFailedPrecondition(running));
  EXPECT_THAT(std::string(running.message()), HasSubstr("the job is running"));
  Finish(lease, JobFinished::OUTCOME_FAILED, "no");
  ASSERT_TRUE(Becomes("a", v1::JOB_STATE_FAILED));
  const absl::Status ending = Delete("a");
  EXPECT_TRUE(absl::IsResourceExhausted(ending)) << ending;
  EXPECT_TRUE(RetryDelayOf(ending).has_value());
  Lose(lease, "exited with code 1");
  EXPECT_TRUE(test::WaitUntil([&] { return Delete("a").ok(); }));
  const absl::Status again = Delete("a");
  EXPECT_TRUE(absl::IsNotFound(again));
  EXPECT_EQ(ResourceOf(again)->type, "job");
  EXPECT_TRUE(absl::IsNotFound(Watch("a", 0).end));
  EXPECT_EQ(List(0, "")->jobs_size(), 0);
}

TEST_F(TrainingServiceTest, WatchesOfOneClientAreBounded) {
  options_.client_max_watches = 2;
  Rebuild();
  ASSERT_TRUE(Call(Spec("a")).ok());
  v1::WatchJobRequest request;
  request.set_job_id("a");
  v1::JobEvent event;
  grpc::ClientContext first;
  const auto one = stub_->WatchJob(&first, request);
  ASSERT_TRUE(one->Read(&event));
  grpc::ClientContext second;
  const auto two = stub_->WatchJob(&second, request);
  ASSERT_TRUE(two->Read(&event));
  const absl::Status refused = Watch("a", 0).end;
  EXPECT_TRUE(absl::IsResourceExhausted(refused));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("this client (127.0.0.1) watches 2"));
  const auto leave = [&event](grpc::ClientContext& context,
                              grpc::ClientReader<v1::JobEvent>& reader) {
    context.TryCancel();
    while (reader.Read(&event)) {
    }
    reader.Finish();
  };
  leave(first, *one);
  // The stream's end frees its place.
  EXPECT_TRUE(test::WaitUntil([&] {
    grpc::ClientContext context;
    const auto third = stub_->WatchJob(&context, request);
    const bool taken = third->Read(&event);
    leave(context, *third);
    return taken;
  }));
  leave(second, *two);
}

TEST_F(TrainingServiceTest, ErrorsKeepTheirCodeAndFacts) {
  v1::JobSpec spec = Spec("a");
  spec.mutable_train()->set_image_size(100);
  const absl::Status invalid = Call(spec).status();
  EXPECT_TRUE(absl::IsInvalidArgument(invalid));
  EXPECT_EQ(FieldOf(invalid), "train.image_size");

  grpc::ClientContext context;
  v1::GetJobRequest request;
  request.set_job_id("nobody");
  v1::Job job;
  const absl::Status unknown = FromGrpcStatus(stub_->GetJob(&context, request, &job));
  EXPECT_TRUE(absl::IsNotFound(unknown));
  EXPECT_EQ(ResourceOf(unknown)->type, "job");
}

TEST_F(TrainingServiceTest, AnIdThatNoJobCanHaveIsNamed) {
  for (const char* id : {"", "Oil 1", "../a"}) {
    grpc::ClientContext get_context;
    v1::GetJobRequest get;
    get.set_job_id(id);
    v1::Job job;
    EXPECT_EQ(FieldOf(FromGrpcStatus(stub_->GetJob(&get_context, get, &job))), "job_id") << id;
    grpc::ClientContext cancel_context;
    v1::CancelJobRequest cancel;
    cancel.set_job_id(id);
    EXPECT_EQ(FieldOf(FromGrpcStatus(stub_->CancelJob(&cancel_context, cancel, &job))), "job_id")
        << id;
    EXPECT_EQ(FieldOf(Delete(id)), "job_id") << id;
    const absl::Status watched = Watch(id, 0).end;
    EXPECT_TRUE(absl::IsInvalidArgument(watched)) << watched;
    EXPECT_EQ(FieldOf(watched), "job_id") << id;
  }
}

TEST_F(TrainingServiceTest, JobsAreListedPageByPage) {
  for (const char* id : {"a", "b", "c"}) {
    ASSERT_TRUE(Call(Spec(id)).ok());
  }
  std::vector<std::string> ids;
  std::string token;
  int pages = 0;
  do {
    const v1::ListJobsResponse page = *List(2, token);
    for (const v1::Job& job : page.jobs()) {
      ids.push_back(job.spec().job_id());
    }
    token = page.next_page_token();
    ++pages;
  } while (!token.empty());
  EXPECT_THAT(ids, ElementsAre("c", "b", "a"));
  EXPECT_EQ(pages, 2);
  EXPECT_EQ(List(0, "")->jobs_size(), 3);
}

TEST_F(TrainingServiceTest, BadPagesNameTheirField) {
  EXPECT_EQ(FieldOf(List(1001, "").status()), "page_size");
  for (const char* token : {"x", "am9iczo", "bW9kZWxzOjE", "am9iczp4", "!"}) {
    EXPECT_EQ(FieldOf(List(10, token).status()), "page_token") << token;
  }
}

TEST_F(TrainingServiceTest, AWatchStreamsToTheFinalState) {
  const TestLease lease = RunNew("a");
  std::thread trainer([&] {
    for (int i = 0; i < 100; ++i) {
      Warn(lease, std::to_string(i));
    }
    Finish(lease, JobFinished::OUTCOME_SUCCEEDED);
  });
  const Watched watched = Watch("a", 0);
  trainer.join();
  EXPECT_TRUE(watched.end.ok()) << watched.end;
  ASSERT_EQ(watched.sequences.size(), 104u);
  for (std::size_t i = 0; i < watched.sequences.size(); ++i) {
    EXPECT_EQ(watched.sequences[i], i + 1);
  }
  EXPECT_EQ(watched.last.state().state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_THAT(Watch("a", 103).sequences, ElementsAre(103u, 104u));
}

TEST_F(TrainingServiceTest, AWatchOfWhatIsNotThereEndsWithItsCode) {
  EXPECT_TRUE(absl::IsNotFound(Watch("nobody", 0).end));
  ASSERT_TRUE(Call(Spec("a")).ok());
  const Watched future = Watch("a", 1000);
  EXPECT_TRUE(absl::IsOutOfRange(future.end));
  EXPECT_THAT(future.sequences, IsEmpty());
}

TEST_F(TrainingServiceTest, AWatcherMayGoAwayAtAnyTime) {
  const TestLease lease = RunNew("a");
  for (int i = 0; i < 5; ++i) {
    grpc::ClientContext context;
    v1::WatchJobRequest request;
    request.set_job_id("a");
    const auto reader = stub_->WatchJob(&context, request);
    v1::JobEvent event;
    EXPECT_TRUE(reader->Read(&event));
    context.TryCancel();
    while (reader->Read(&event)) {
    }
    EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
    Warn(lease, "nobody listens to " + std::to_string(i));
  }
  Finish(lease, JobFinished::OUTCOME_SUCCEEDED);
  EXPECT_TRUE(Becomes("a", v1::JOB_STATE_SUCCEEDED));
}

TEST_F(TrainingServiceTest, AWatcherThatReadsNothingHoldsUpNobody) {
  constexpr int kSamples = 40;
  constexpr std::size_t kSampleBytes = 200'000;
  const TestLease lease = RunNew("a");
  // Without probing it takes 64 KiB that nobody reads, and then no more.
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  const auto stub = v1::TrainingService::NewStub(
      grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), arguments));
  grpc::ClientContext context;
  v1::WatchJobRequest request;
  request.set_job_id("a");
  const auto idle = stub->WatchJob(&context, request);
  v1::JobEvent event;
  ASSERT_TRUE(idle->Read(&event)) << "the stream is open";
  for (int i = 0; i < kSamples; ++i) {
    internal::v1::JobUpdate update = Update(lease);
    update.mutable_sample()->set_step(static_cast<std::uint64_t>(i));
    update.mutable_sample()->set_image(std::string(kSampleBytes, 'x'));
    manager_->TrainerUpdate(update);
  }
  Finish(lease, JobFinished::OUTCOME_SUCCEEDED);
  EXPECT_TRUE(Becomes("a", v1::JOB_STATE_SUCCEEDED));
  const Watched other = Watch("a", 0);
  EXPECT_TRUE(other.end.ok()) << other.end;
  EXPECT_THAT(other.sequences, SizeIs(kSamples + 4));

  // What was not read meanwhile is told when it is.
  std::vector<std::uint64_t> sequences = {event.sequence()};
  while (idle->Read(&event)) {
    sequences.push_back(event.sequence());
  }
  EXPECT_TRUE(idle->Finish().ok());
  EXPECT_EQ(sequences, other.sequences);
}

TEST_F(TrainingServiceTest, ADrainEndsWatchesWithUnavailable) {
  const TestLease lease = RunNew("a");
  Watched watched;
  std::thread watcher([&] { watched = Watch("a", 0); });
  std::thread drain([this] { manager_->Drain(absl::Seconds(20)); });
  ASSERT_TRUE(test::WaitUntil([&] { return launcher_.stops().size() == 1; }));
  Finish(lease, JobFinished::OUTCOME_STOPPED);
  Lose(lease, "exited with code 0");
  drain.join();
  watcher.join();
  EXPECT_TRUE(absl::IsUnavailable(watched.end));
}

}  // namespace
}  // namespace atelier::server
