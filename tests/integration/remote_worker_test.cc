// Workers that share no disk with the server: training through crashes, pauses and renewed
// certificates, and serving.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include "tests/integration/pictures.h"
#include "tests/integration/remote_fixture.h"
#include "tests/integration/service.h"
#include "tests/support/certificates.h"
#include "tests/support/process.h"
#include "tests/support/wait_until.h"

namespace atelier::test {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::Not;

TEST_F(RemoteWorkerTest, ATrainerElsewhereMakesTheSameModelFromFilesOfTheLink) {
  const std::string local = LocalWeights();
  const std::unique_ptr<Service> service = StartServer("data", /*trainers=*/0);
  CreateJob(*service);
  EXPECT_EQ(GetJob(*service, "job").state(), v1::JOB_STATE_QUEUED);
  const std::unique_ptr<Process> worker = StartWorker(*service, "train", "cache");
  EXPECT_EQ(WeightsOf(*service), local) << worker->Stderr();
  EXPECT_EQ(FilesBelow(directory_ / "cache/blobs"), kRemotePictures);
  std::vector<std::string> paths;
  const auto artifacts = service->client().ListAllArtifacts("job", /*all_attempts=*/false);
  ASSERT_TRUE(artifacts.ok()) << artifacts.status();
  for (const v1::Artifact& artifact : artifacts->artifacts()) {
    paths.push_back(artifact.path());
  }
  for (const char* path : {"stats.jsonl", "log.txt", "report.html", "samples/step-40.jpg",
                           "checkpoints/step-40/state.safetensors"}) {
    EXPECT_THAT(paths, Contains(path));
  }
  // The same process waits for the next job, with nothing left of this one.
  EXPECT_TRUE(WaitUntil([&] { return FilesBelow(directory_ / "cache/work") == 0; }));
  EXPECT_EQ(worker->Wait(absl::ZeroDuration()), std::nullopt);
  worker->Signal(SIGTERM);
  EXPECT_EQ(worker->Wait(), 0);
}

TEST_F(RemoteWorkerTest, ATrainerThatCannotSeeTheServersFoldersTrainsAsWell) {
  const std::vector<std::string> unshare = Unshare();
  if (unshare.empty()) {
    GTEST_SKIP() << "unshare(1) may not hide folders from a program here";
  }
  const std::unique_ptr<Service> service = StartServer("data", /*trainers=*/0);
  CreateJob(*service);
  const std::unique_ptr<Process> worker =
      StartBlindTrainer(*service, "cache", unshare, {"data", "content", "style"});
  EXPECT_THAT(WeightsOf(*service), Not(IsEmpty())) << worker->Stderr();
  EXPECT_EQ(GetJob(*service, "job").attempts(), 1);
}

TEST_F(RemoteWorkerTest, ACertificateThatIsRenewedWhileTheTrainerWaitsCostsNoAttempt) {
  const std::unique_ptr<Service> service = StartServer("data", /*trainers=*/0);
  const std::unique_ptr<Process> worker = StartWorker(*service, "train", "cache");
  ASSERT_TRUE(
      WaitUntil([&] { return worker->Stderr().find("waiting for a job") != std::string::npos; },
                kRemoteLimit));
  WriteIdentity("worker", authority_.Issue("worker", ""));
  CreateJob(*service);
  EXPECT_THAT(WeightsOf(*service), Not(IsEmpty())) << worker->Stderr();
  EXPECT_EQ(GetJob(*service, "job").attempts(), 1);
}

TEST_F(RemoteWorkerTest, ATrainerThatDiesIsFollowedByAnotherFromTheLastCheckpoint) {
  const std::string local = LocalWeights();
  const std::unique_ptr<Service> service = StartServer("data", /*trainers=*/0);
  CreateJob(*service);
  const std::unique_ptr<Process> first = StartWorker(*service, "train", "cache-1");
  AwaitCheckpoint(*service, "job");
  first->Signal(SIGKILL);
  ASSERT_EQ(first->Wait(), 128 + SIGKILL);
  const std::unique_ptr<Process> second = StartWorker(*service, "train", "cache-2");
  EXPECT_EQ(WeightsOf(*service), local) << second->Stderr();
  EXPECT_EQ(GetJob(*service, "job").attempts(), 2);
  // More than the pictures: the checkpoint and what was told before it.
  EXPECT_GT(FilesBelow(directory_ / "cache-2/blobs"), kRemotePictures);
}

TEST_F(RemoteWorkerTest, AServerThatIsKilledGoesOnWithTheTrainerElsewhere) {
  const std::string local = LocalWeights();
  std::unique_ptr<Service> service = StartServer("data", /*trainers=*/0);
  CreateJob(*service);
  const std::unique_ptr<Process> worker = StartWorker(*service, "train", "cache");
  AwaitCheckpoint(*service, "job");
  service->process().Signal(SIGKILL);
  ASSERT_TRUE(service->process().Wait().has_value());
  // Where the trainer looks for it.
  service = StartServer("data", /*trainers=*/0, "", service->workers_address());
  EXPECT_EQ(WeightsOf(*service), local) << worker->Stderr();
  EXPECT_EQ(GetJob(*service, "job").attempts(), 2);
  EXPECT_TRUE(WaitUntil([&] { return FilesBelow(directory_ / "cache/work") == 0; }));
  EXPECT_EQ(worker->Wait(absl::ZeroDuration()), std::nullopt) << "it waits for the next job";
}

TEST_F(RemoteWorkerTest, APausedJobGoesOnElsewhere) {
  const std::string local = LocalWeights();
  const std::unique_ptr<Service> service = StartServer("data", /*trainers=*/0);
  CreateJob(*service);
  const std::unique_ptr<Process> worker = StartWorker(*service, "train", "cache-1");
  AwaitCheckpoint(*service, "job");
  v1::PauseJobRequest pause;
  pause.set_job_id("job");
  ASSERT_TRUE(service->client().PauseJob(pause).ok());
  EXPECT_TRUE(WaitUntil([&] { return GetJob(*service, "job").state() == v1::JOB_STATE_PAUSED; },
                        kRemoteLimit))
      << worker->Stderr();
  worker->Signal(SIGTERM);
  ASSERT_EQ(worker->Wait(), 0);
  const std::unique_ptr<Process> second = StartWorker(*service, "train", "cache-2");
  v1::ResumeJobRequest resume;
  resume.set_job_id("job");
  ASSERT_TRUE(service->client().ResumeJob(resume).ok());
  EXPECT_EQ(WeightsOf(*service), local) << second->Stderr();
  EXPECT_EQ(GetJob(*service, "job").attempts(), 2);
  // More than the pictures: the checkpoint that the first one has left, which it went on from.
  EXPECT_GT(FilesBelow(directory_ / "cache-2/blobs"), kRemotePictures);
}

TEST_F(RemoteWorkerTest, AServingWorkerElsewhereFetchesTheModelsThatItNeeds) {
  const std::unique_ptr<Service> service =
      StartServer("data", /*trainers=*/0, MakeShippedModels(directory_ / "models"));
  const std::unique_ptr<Process> worker = StartWorker(*service, "serve", "cache");
  const v1::StylizeRequest request = StylizeRequestFor("random", MakePicture(96, 80, 1));
  absl::StatusOr<v1::StylizeResponse> answer;
  EXPECT_TRUE(WaitUntil(
      [&] {
        answer = service->client().Stylize(request);
        return answer.ok();
      },
      kRemoteLimit))
      << answer.status() << worker->Stderr();
  ASSERT_EQ(answer->results_size(), 1);
  EXPECT_GE(FilesBelow(directory_ / "cache/blobs"), 2);  // model.json and the weights
  EXPECT_TRUE(WaitUntil([&] { return FilesBelow(directory_ / "cache/work") == 0; }));
}

TEST_F(RemoteWorkerTest, AStrangersCertificateIsRefused) {
  const CertificateAuthority stranger("strangers");
  WriteIdentity("stranger", stranger.Issue("worker", ""));
  const std::unique_ptr<Service> service = StartServer("data", /*trainers=*/0);
  CreateJob(*service);
  const std::unique_ptr<Process> worker = StartWorker(*service, "train", "cache", "stranger");
  // More than once: it goes on trying.
  EXPECT_TRUE(WaitUntil(
      [&] {
        const std::string log = worker->Stderr();
        const std::size_t first = log.find("cannot work for the server");
        return first != std::string::npos &&
               log.find("cannot work for the server", first + 1) != std::string::npos;
      },
      kRemoteLimit))
      << worker->Stderr();
  EXPECT_EQ(GetJob(*service, "job").state(), v1::JOB_STATE_QUEUED);
  worker->Signal(SIGTERM);
  EXPECT_EQ(worker->Wait(), 0);
}

}  // namespace
}  // namespace atelier::test
