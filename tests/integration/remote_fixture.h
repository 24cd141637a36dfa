// Workers that share no disk with the server: files go over the link, under mutual TLS.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "tests/integration/job_calls.h"
#include "tests/integration/pictures.h"
#include "tests/integration/service.h"
#include "tests/support/certificates.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier::test {

inline constexpr std::uint64_t kRemoteSteps = 40;
inline constexpr std::size_t kRemotePictures = 9;  // of both data sets
inline constexpr absl::Duration kRemoteLimit = absl::Minutes(5);

inline std::size_t FilesBelow(const std::filesystem::path& folder) {
  std::size_t files = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder, error)) {
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
                                       const std::filesystem::path& shipped = "",
                                       const std::string& listen = "127.0.0.1:0") const {
    return std::make_unique<Service>(Service::Options{
        .data_dir = directory_ / data_dir,
        .shipped_models = shipped,
        .datasets = {{"content", directory_ / "content"}, {"style", directory_ / "style"}},
        .more = {"--local-workers", "0", "--trainers", std::to_string(trainers),
                 "--trainer-threads", "1", "--worker-listen", listen, "--worker-tls-cert",
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
            "far-" + cache,
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

  static void CreateJob(Service& service) {
    const auto job = service.client().CreateJob(TinyJob("job", "tiny", kRemoteSteps));
    ASSERT_TRUE(job.ok()) << job.status();
  }

  // The weights of the model that the job has made.
  static std::string WeightsOf(Service& service) {
    EXPECT_TRUE(WaitUntil(
        [&] {
          const v1::JobState state = GetJob(service, "job").state();
          return state == v1::JOB_STATE_SUCCEEDED || state == v1::JOB_STATE_FAILED;
        },
        kRemoteLimit));
    EXPECT_EQ(GetJob(service, "job").state(), v1::JOB_STATE_SUCCEEDED)
        << GetJob(service, "job").DebugString() << service.process().Stderr();
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

  static void AwaitSuccess(Service& service, const Process& worker,
                           const std::string& job_id = "job") {
    EXPECT_TRUE(WaitUntil([&] { return GetJob(service, job_id).has_end_time(); }, kRemoteLimit));
    ASSERT_EQ(GetJob(service, job_id).state(), v1::JOB_STATE_SUCCEEDED)
        << GetJob(service, job_id).DebugString() << worker.Stderr();
  }

  TempDir directory_;
  const CertificateAuthority authority_{"workers"};
};

}  // namespace atelier::test
