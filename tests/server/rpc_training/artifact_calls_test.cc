// A job's files behind a real gRPC server.
#include <grpcpp/grpcpp.h>

#include <fstream>
#include <functional>

#include "absl/synchronization/notification.h"
#include "common/rpc/grpc_status.h"
#include "server/rpc/training_service.h"
#include "tests/server/jobs/job_harness.h"

namespace atelier::server {
namespace {

using ::testing::HasSubstr;

constexpr int kCalls = 2;

class ArtifactCallsTest : public JobHarness {
 protected:
  ArtifactCallsTest() {
    Begin();
    lease_ = RunNew("oil-1");
  }
  ~ArtifactCallsTest() override {
    if (server_ != nullptr) {
      server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(5));
    }
  }

  void Serve(absl::Duration patience = absl::Seconds(60)) {
    service_ = std::make_unique<TrainingService>(
        *manager_, ArtifactRoom{options_.jobs_directory, threads_, patience}, threads_);
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    stub_ = v1::TrainingService::NewStub(grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                                                             grpc::InsecureChannelCredentials()));
  }

  void Put(const std::string& path, const std::string& contents) const {
    const std::filesystem::path file = AttemptFolder(lease_) / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary | std::ios::app) << contents;
  }

  absl::StatusOr<v1::ListArtifactsResponse> List(const std::string& job_id, std::uint32_t size = 0,
                                                 const std::string& token = "") {
    grpc::ClientContext context;
    v1::ListArtifactsRequest request;
    request.set_job_id(job_id);
    request.set_page_size(size);
    request.set_page_token(token);
    v1::ListArtifactsResponse response;
    const absl::Status status = FromGrpcStatus(stub_->ListArtifacts(&context, request, &response));
    return status.ok() ? absl::StatusOr<v1::ListArtifactsResponse>(response) : status;
  }

  static v1::GetArtifactRequest Wanted(const std::string& job_id, const std::string& path) {
    v1::GetArtifactRequest request;
    request.set_job_id(job_id);
    request.set_path(path);
    return request;
  }

  // `after_header` is called before the bytes are read.
  absl::StatusOr<std::string> Get(
      const std::string& job_id, const std::string& path,
      const std::function<void()>& after_header = [] {}) {
    grpc::ClientContext context;
    const auto reader = stub_->GetArtifact(&context, Wanted(job_id, path));
    v1::GetArtifactResponse part;
    std::string bytes;
    if (reader->Read(&part)) {
      EXPECT_TRUE(part.has_header());
      EXPECT_EQ(part.header().path(), path);
      const std::uint64_t size = part.header().size();
      after_header();
      while (reader->Read(&part)) {
        EXPECT_LE(part.chunk().size(), 1u << 20);
        bytes += part.chunk();
      }
      EXPECT_EQ(bytes.size(), size);
    }
    const absl::Status status = FromGrpcStatus(reader->Finish());
    return status.ok() ? absl::StatusOr<std::string>(bytes) : status;
  }

  TestLease lease_;
  TransferThreads threads_{kCalls, SystemClock(), "calls for artifacts are answered"};
  std::unique_ptr<TrainingService> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::TrainingService::Stub> stub_;
};

TEST_F(ArtifactCallsTest, AreListedAndSentWhileTheJobRunsAndAfterIt) {
  Serve();
  std::string large;
  for (int i = 0; i < 3 << 20; ++i) {
    large += static_cast<char>(i * 31 >> 3);
  }
  Put("stats.jsonl", "{}\n");
  Put("samples/step-10.jpg", large);
  SaveCheckpoint(lease_, 10);
  for (const bool ended : {false, true}) {
    if (ended) {
      Finish(lease_, internal::v1::JobFinished::OUTCOME_FAILED, "enough");
      ASSERT_TRUE(Becomes("oil-1", v1::JOB_STATE_FAILED));
    }
    const auto listed = List("oil-1");
    ASSERT_TRUE(listed.ok()) << listed.status();
    ASSERT_EQ(listed->artifacts_size(), 3);
    EXPECT_EQ(listed->artifacts(0).path(), "checkpoints/step-10/complete");
    EXPECT_EQ(listed->artifacts(1).path(), "samples/step-10.jpg");
    EXPECT_EQ(listed->artifacts(1).size(), large.size());
    EXPECT_EQ(listed->artifacts(1).attempt(), lease_.fence);
    EXPECT_GT(listed->artifacts(1).modify_time().seconds(), 1'600'000'000);
    EXPECT_EQ(Get("oil-1", "stats.jsonl").value_or(""), "{}\n");
    EXPECT_TRUE(Get("oil-1", "samples/step-10.jpg").value_or("") == large);
  }
}

TEST_F(ArtifactCallsTest, AnEmptyFileIsAHeaderAlone) {
  Serve();
  Put("log.txt", "");
  EXPECT_EQ(Get("oil-1", "log.txt").value_or("?"), "");
}

TEST_F(ArtifactCallsTest, AFileThatGrowsIsCutAtTheSizeThatWasTold) {
  Serve();
  const std::string before(3 << 20, 'a');
  Put("stats.jsonl", before);
  EXPECT_TRUE(Get("oil-1", "stats.jsonl", [&] { Put("stats.jsonl", "more"); }).value_or("") ==
              before);
}

TEST_F(ArtifactCallsTest, AFileThatShrinksIsAborted) {
  // Larger than what is under way at a time, so that its end is read after it was cut.
  Put("log.txt", std::string(64 << 20, 'a'));
  Serve();
  grpc::ClientContext context;
  const auto reader = stub_->GetArtifact(&context, Wanted("oil-1", "log.txt"));
  v1::GetArtifactResponse part;
  ASSERT_TRUE(reader->Read(&part));
  std::filesystem::resize_file(AttemptFolder(lease_) / "log.txt", 10);
  while (reader->Read(&part)) {
  }
  EXPECT_TRUE(absl::IsAborted(FromGrpcStatus(reader->Finish())));
}

TEST_F(ArtifactCallsTest, AreListedPageByPage) {
  Serve();
  for (const int step : {1, 2, 10}) {
    Put("samples/step-" + std::to_string(step) + ".jpg", "x");
  }
  const auto first = List("oil-1", 2);
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_EQ(first->artifacts_size(), 2);
  const auto second = List("oil-1", 2, first->next_page_token());
  ASSERT_TRUE(second.ok()) << second.status();
  ASSERT_EQ(second->artifacts_size(), 1);
  EXPECT_EQ(second->artifacts(0).path(), "samples/step-10.jpg");
  EXPECT_EQ(second->next_page_token(), "");
}

TEST_F(ArtifactCallsTest, WhatIsNotThereOrCannotBeIsRefused) {
  Serve();
  EXPECT_EQ(ResourceOf(List("nobody").status())->name, "nobody");
  EXPECT_EQ(FieldOf(List("../oil-1").status()), "job_id");
  EXPECT_EQ(FieldOf(List("oil-1", 1001).status()), "page_size");
  EXPECT_EQ(FieldOf(List("oil-1", 1, "garbage").status()), "page_token");
  EXPECT_EQ(ResourceOf(Get("nobody", "log.txt").status())->type, "job");
  EXPECT_EQ(ResourceOf(Get("oil-1", "log.txt").status())->type, "artifact");
  EXPECT_EQ(FieldOf(Get("oil-1", "../../../atelier.db").status()), "path");
  EXPECT_EQ(FieldOf(Get("oil-1", "/etc/passwd").status()), "path");
}

TEST_F(ArtifactCallsTest, MoreThanThereAreThreadsForAreToldToComeLater) {
  Serve();
  absl::Notification go;
  for (int i = 0; i < kCalls; ++i) {
    ASSERT_TRUE(threads_.Run([&go] { go.WaitForNotification(); }).ok());
  }
  for (const absl::Status& status : {List("oil-1").status(), Get("oil-1", "log.txt").status()}) {
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    EXPECT_TRUE(RetryDelayOf(status).has_value());
    EXPECT_THAT(std::string(status.message()), HasSubstr("calls for artifacts"));
  }
  go.Notify();
  EXPECT_TRUE(threads_.AwaitIdle(absl::Now() + absl::Seconds(20)));
}

TEST_F(ArtifactCallsTest, AClientThatTakesNothingLosesItsPlace) {
  Put("log.txt", std::string(64 << 20, 'a'));
  Serve(/*patience=*/absl::Milliseconds(200));
  grpc::ClientContext context;
  const auto reader = stub_->GetArtifact(&context, Wanted("oil-1", "log.txt"));
  v1::GetArtifactResponse part;
  ASSERT_TRUE(reader->Read(&part));
  EXPECT_TRUE(threads_.AwaitIdle(absl::Now() + absl::Seconds(20)));
  while (reader->Read(&part)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

}  // namespace
}  // namespace atelier::server
