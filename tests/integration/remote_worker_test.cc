// Workers that share no disk with the server: files go over the link, under mutual TLS.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "tests/integration/pictures.h"
#include "tests/integration/service.h"
#include "tests/support/certificates.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Not;

constexpr std::uint64_t kRemoteSteps = 40;
constexpr std::size_t kRemotePictures = 9;  // of both data sets
constexpr absl::Duration kRemoteLimit = absl::Minutes(5);

std::size_t FilesBelow(const fs::path& folder) {
  std::size_t files = 0;
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(folder, error)) {
    files += entry.is_regular_file() ? 1 : 0;
  }
  return files;
}

class RemoteWorkerTest : public ::testing::Test {
 protected:
  RemoteWorkerTest() {
    MakeDataset(directory_ / "content", 6, 1);
    MakeDataset(directory_ / "style", 3, 100);
    std::ofstream(directory_ / "ca.pem") << authority_.certificate();
    WriteIdentity("server", authority_.Issue("server"));
    WriteIdentity("worker", authority_.Issue("worker", ""));
  }

  void WriteIdentity(const std::string& name, const TlsIdentity& identity) const {
    std::ofstream(directory_ / (name + ".pem")) << identity.certificate;
    std::ofstream(directory_ / (name + ".key")) << identity.key;
  }

  std::string File(const std::string& name) const { return (directory_ / name).string(); }

  // A server that trains in `trainers` processes of its own, with a port for others' workers.
  std::unique_ptr<Service> StartServer(const std::string& data_dir, int trainers,
                                       const fs::path& shipped = "") const {
    return std::make_unique<Service>(Service::Options{
        .data_dir = directory_ / data_dir,
        .shipped_models = shipped,
        .datasets = {{"content", directory_ / "content"}, {"style", directory_ / "style"}},
        .more = {"--local-workers", "0", "--trainers", std::to_string(trainers),
                 "--trainer-threads", "1", "--worker-listen", "127.0.0.1:0", "--worker-tls-cert",
                 File("server.pem"), "--worker-tls-key", File("server.key"),
                 "--worker-tls-client-ca", File("ca.pem")}});
  }

  std::vector<std::string> WorkerCommand(const Service& service, const std::string& role,
                                         const std::string& cache,
                                         const std::string& identity) const {
    return {ProgramPath("atelier-worker"),
            "--role",
            role,
            "--server",
            service.workers_address(),
            "--ca",
            File("ca.pem"),
            "--cert",
            File(identity + ".pem"),
            "--key",
            File(identity + ".key"),
            "--cache-dir",
            File(cache),
            "--name",
            "far",
            "--threads",
            "1"};
  }

  // One that has a cache of its own and the certificate `identity`.
  std::unique_ptr<Process> StartWorker(const Service& service, const std::string& role,
                                       const std::string& cache,
                                       const std::string& identity = "worker") const {
    return std::make_unique<Process>(
        ProcessOptions{.command = WorkerCommand(service, role, cache, identity), .directory = "/"});
  }

  // Like StartWorker, a trainer to which the folders `hidden` of this test are empty. `unshare`: of
  // Unshare.
  std::unique_ptr<Process> StartBlindTrainer(const Service& service, const std::string& cache,
                                             const std::vector<std::string>& unshare,
                                             const std::vector<std::string>& hidden) const {
    std::string script;
    for (const std::string& folder : hidden) {
      script += "mount -t tmpfs none '" + File(folder) + "' && ";
    }
    std::vector<std::string> command = unshare;
    script += "exec \"$@\"";
    command.insert(command.end(), {"sh", "-c", script, "sh"});
    const std::vector<std::string> worker = WorkerCommand(service, "train", cache, "worker");
    command.insert(command.end(), worker.begin(), worker.end());
    return std::make_unique<Process>(ProcessOptions{.command = command, .directory = "/"});
  }

  // What gives a program mounts of its own; empty where that is not allowed.
  static std::vector<std::string> Unshare() {
    for (const char* flags : {"-m", "-rm"}) {
      std::vector<std::string> command = {"/usr/bin/env", "unshare", flags};
      std::vector<std::string> probe = command;
      for (const char* word : {"mount", "-t", "tmpfs", "none", "/tmp"}) {
        probe.emplace_back(word);
      }
      if (RunProcess({.command = probe}).exit_code == 0) {
        return command;
      }
    }
    return {};
  }

  static v1::Job GetJob(Service& service) {
    v1::GetJobRequest request;
    request.set_job_id("job");
    return service.client().GetJob(request).value_or(v1::Job());
  }

  static void CreateJob(Service& service) {
    const auto job = service.client().CreateJob(TinyJob("job", "tiny", kRemoteSteps));
    ASSERT_TRUE(job.ok()) << job.status();
  }

  // The weights of the model that the job has made.
  static std::string WeightsOf(Service& service) {
    EXPECT_TRUE(WaitUntil(
        [&] {
          const v1::JobState state = GetJob(service).state();
          return state == v1::JOB_STATE_SUCCEEDED || state == v1::JOB_STATE_FAILED;
        },
        kRemoteLimit));
    EXPECT_EQ(GetJob(service).state(), v1::JOB_STATE_SUCCEEDED)
        << GetJob(service).DebugString() << service.process().Stderr();
    v1::GetModelRequest request;
    request.set_model("tiny");
    const auto model = service.client().GetModel(request);
    EXPECT_TRUE(model.ok()) << model.status();
    return model.ok() ? model->weights_sha256() : "";
  }

  // The weights that a trainer of the server's own makes of the same job.
  std::string LocalWeights() const {
    const std::unique_ptr<Service> service = StartServer("local", /*trainers=*/1);
    CreateJob(*service);
    return WeightsOf(*service);
  }

  static void AwaitSuccess(Service& service, const Process& worker) {
    EXPECT_TRUE(WaitUntil([&] { return GetJob(service).has_end_time(); }, kRemoteLimit));
    ASSERT_EQ(GetJob(service).state(), v1::JOB_STATE_SUCCEEDED)
        << GetJob(service).DebugString() << worker.Stderr();
  }

  static void AwaitCheckpoint(Service& service) {
    bool seen = false;
    v1::WatchJobRequest request;
    request.set_job_id("job");
    service.client()
        .WatchJob(request,
                  [&](const v1::JobEvent& event) {
                    seen = event.has_checkpoint();
                    return !seen;
                  })
        .IgnoreError();
    EXPECT_TRUE(seen) << service.process().Stderr();
  }

  TempDir directory_;
  const CertificateAuthority authority_{"workers"};
};

TEST_F(RemoteWorkerTest, ATrainerElsewhereMakesTheSameModelFromFilesOfTheLink) {
  const std::string local = LocalWeights();
  const std::unique_ptr<Service> service = StartServer("data", /*trainers=*/0);
  CreateJob(*service);
  EXPECT_EQ(GetJob(*service).state(), v1::JOB_STATE_QUEUED);
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
  EXPECT_EQ(GetJob(*service).attempts(), 1);
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
  EXPECT_EQ(GetJob(*service).attempts(), 1);
}

TEST_F(RemoteWorkerTest, ATrainerThatDiesIsFollowedByAnotherFromTheLastCheckpoint) {
  const std::string local = LocalWeights();
  const std::unique_ptr<Service> service = StartServer("data", /*trainers=*/0);
  CreateJob(*service);
  const std::unique_ptr<Process> first = StartWorker(*service, "train", "cache-1");
  AwaitCheckpoint(*service);
  first->Signal(SIGKILL);
  ASSERT_EQ(first->Wait(), 128 + SIGKILL);
  const std::unique_ptr<Process> second = StartWorker(*service, "train", "cache-2");
  EXPECT_EQ(WeightsOf(*service), local) << second->Stderr();
  EXPECT_EQ(GetJob(*service).attempts(), 2);
  // More than the pictures: the checkpoint and what was told before it.
  EXPECT_GT(FilesBelow(directory_ / "cache-2/blobs"), kRemotePictures);
}

TEST_F(RemoteWorkerTest, APausedJobGoesOnElsewhere) {
  const std::unique_ptr<Service> service = StartServer("data", /*trainers=*/0);
  CreateJob(*service);
  const std::unique_ptr<Process> worker = StartWorker(*service, "train", "cache-1");
  AwaitCheckpoint(*service);
  v1::PauseJobRequest pause;
  pause.set_job_id("job");
  ASSERT_TRUE(service->client().PauseJob(pause).ok());
  EXPECT_TRUE(
      WaitUntil([&] { return GetJob(*service).state() == v1::JOB_STATE_PAUSED; }, kRemoteLimit))
      << worker->Stderr();
  worker->Signal(SIGTERM);
  ASSERT_EQ(worker->Wait(), 0);
  const std::unique_ptr<Process> second = StartWorker(*service, "train", "cache-2");
  v1::ResumeJobRequest resume;
  resume.set_job_id("job");
  ASSERT_TRUE(service->client().ResumeJob(resume).ok());
  EXPECT_THAT(WeightsOf(*service), Not(IsEmpty())) << second->Stderr();
  EXPECT_EQ(GetJob(*service).attempts(), 2);
  // More than the pictures: the checkpoint that the first one has left, which it went on from.
  EXPECT_GT(FilesBelow(directory_ / "cache-2/blobs"), kRemotePictures);
}

TEST_F(RemoteWorkerTest, ADataSetThatIsRestyledElsewhereIsPublishedHere) {
  const std::unique_ptr<Service> service =
      StartServer("data", /*trainers=*/0, MakeShippedModels(directory_ / "models"));
  const std::unique_ptr<Process> worker = StartWorker(*service, "train", "cache");
  v1::CreateJobRequest create;
  create.mutable_spec()->set_job_id("job");
  v1::StylizeSetSpec* set = create.mutable_spec()->mutable_stylize_set();
  set->set_dataset("content");
  set->add_models("random@1");
  set->set_output_dataset("restyled");
  const auto job = service->client().CreateJob(create);
  ASSERT_TRUE(job.ok()) << job.status();
  AwaitSuccess(*service, *worker);
  v1::GetDatasetRequest request;
  request.set_name("restyled");
  const auto made = service->client().GetDataset(request);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->dataset().files(), 6U);
}

TEST_F(RemoteWorkerTest, ModelsAreMeasuredElsewhere) {
  const std::unique_ptr<Service> service =
      StartServer("data", /*trainers=*/0, MakeShippedModels(directory_ / "models"));
  const std::unique_ptr<Process> worker = StartWorker(*service, "train", "cache");
  v1::CreateJobRequest create;
  create.mutable_spec()->set_job_id("job");
  v1::EvaluateSpec* evaluate = create.mutable_spec()->mutable_evaluate();
  evaluate->add_models("random@1");
  evaluate->mutable_data()->set_content("content");
  evaluate->set_image_size(64);
  evaluate->set_pictures(3);
  const auto job = service->client().CreateJob(create);
  ASSERT_TRUE(job.ok()) << job.status();
  AwaitSuccess(*service, *worker);
  EXPECT_THAT(GetJob(*service).progress().metrics(), Contains(Key("ssim")));
  EXPECT_TRUE(fs::exists(directory_ / "data/jobs/job/attempts/1/evaluation.json"));
}

TEST_F(RemoteWorkerTest, ASweepRunsElsewhereAndItsBestCellIsPublishedHere) {
  const std::unique_ptr<Service> service = StartServer("data", /*trainers=*/0);
  const std::unique_ptr<Process> worker = StartWorker(*service, "train", "cache");
  v1::CreateJobRequest create;
  create.mutable_spec()->set_job_id("job");
  create.mutable_spec()->set_output_model("tiny");
  v1::SweepSpec* sweep = create.mutable_spec()->mutable_sweep();
  *sweep->mutable_train() = TinyJob("", "", 4).spec().train();
  sweep->mutable_train()->mutable_evaluate()->set_every_steps(4);
  sweep->mutable_train()->mutable_evaluate()->add_metrics("ssim");
  sweep->mutable_train()->mutable_evaluate()->set_pictures(2);
  v1::SweepOption* option = sweep->add_options();
  option->set_field("learning_rate");
  option->add_values()->set_number_value(0.001);
  option->add_values()->set_number_value(0.01);
  const auto job = service->client().CreateJob(create);
  ASSERT_TRUE(job.ok()) << job.status();
  AwaitSuccess(*service, *worker);
  EXPECT_THAT(GetJob(*service).progress().metrics(),
              AllOf(Contains(Key("cell/1/ssim")), Contains(Key("cell/2/ssim"))));
  EXPECT_EQ(GetJob(*service).output_version(), 1U);
  EXPECT_TRUE(fs::exists(directory_ / "data/jobs/job/attempts/1/sweep.json"));
  EXPECT_TRUE(fs::exists(directory_ / "data/models/tiny/1/weights.safetensors"));
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
  EXPECT_EQ(GetJob(*service).state(), v1::JOB_STATE_QUEUED);
  worker->Signal(SIGTERM);
  EXPECT_EQ(worker->Wait(), 0);
}

}  // namespace
}  // namespace atelier::test
