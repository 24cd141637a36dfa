// Full and read-only disks. They need a file system of their own, hence a mount namespace.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "client/api/dataset_upload.h"
#include "client/api/model_file.h"
#include "common/files.h"
#include "tests/integration/pictures.h"
#include "tests/integration/service.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier::test {
namespace {

class DiskTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const ProcessResult probe =
        RunProcess({.command = {"/usr/bin/unshare", "-Urm", "/bin/sh", "-c",
                                "mount -t tmpfs -o size=1m tmpfs " + directory_.path().string()}});
    if (probe.exit_code != 0) {
      GTEST_SKIP() << "mount namespaces are not allowed here: " << probe.err;
    }
    options_.data_dir = directory_ / "disk" / "data";
    options_.shipped_models = MakeShippedModels(directory_ / "models");
    MakeDataset(directory_ / "content", 6, 1);
    MakeDataset(directory_ / "style", 3, 100);
    options_.datasets = {{"content", directory_ / "content"}, {"style", directory_ / "style"}};
    std::filesystem::create_directories(directory_ / "disk");
  }

  // The server gets a small file system of its own at disk/.
  void MountDisk(const std::string& size = "24m") {
    const std::string disk = (directory_ / "disk").string();
    options_.wrapper = {"/usr/bin/unshare",
                        "-Urm",
                        "sh",
                        "-c",
                        "mount -t tmpfs -o size=" + size + " tmpfs " + disk + " && exec \"$@\"",
                        "sh"};
  }

  // The same file as the server sees it.
  std::filesystem::path Inside(Service& service, const std::string& name) const {
    return "/proc/" + std::to_string(service.process().pid()) + "/root" +
           (directory_ / "disk").string() + "/" + name;
  }

  // The highest step of a whole checkpoint in attempts/<fence>/checkpoints/step-N/; 0: none.
  static std::uint64_t NewestCheckpoint(const std::filesystem::path& attempts) {
    std::uint64_t newest = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(attempts)) {
      const std::string folder = entry.path().parent_path().filename().string();
      if (entry.path().filename() == "complete" && folder.starts_with("step-")) {
        newest = std::max<std::uint64_t>(newest, std::stoull(folder.substr(5)));
      }
    }
    return newest;
  }

  static void Fill(const std::filesystem::path& path) {
    std::ofstream file(path, std::ios::binary);
    const std::string block(4096, 'x');
    while (file.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
  }

  TempDir directory_;
  Service::Options options_;
};

TEST_F(DiskTest, AFullDiskRefusesJobsAndKeepsServing) {
  MountDisk();
  Service service(options_);
  Fill(Inside(service, "filler"));
  const absl::Status status = service.client().CreateJob(TinyJob("full", "tiny", 30)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(status.message(),
            "the server's disk is full: free space in its data directory; the job was not created");
  EXPECT_TRUE(service.client().Stylize(StylizeRequestFor("random", MakePicture(64, 64, 1))).ok());

  std::filesystem::remove(Inside(service, "filler"));
  const auto job = service.client().CreateJob(TinyJob("room", "tiny", 30));
  EXPECT_TRUE(job.ok()) << job.status() << service.process().Stderr();
}

TEST_F(DiskTest, ADiskThatFillsUpDuringTrainingFailsTheJobWithAReasonOnceThereIsRoomToSaySo) {
  MountDisk();
  Service service(options_);
  ASSERT_TRUE(service.client().CreateJob(TinyJob("fills", "tiny", 100'000)).ok());
  v1::WatchJobRequest watch;
  watch.set_job_id("fills");
  v1::JobStateChange last;
  std::uint64_t checkpoint = 0;
  service.client()
      .WatchJob(watch,
                [&](const v1::JobEvent& event) {
                  checkpoint = event.checkpoint().step();
                  return checkpoint == 0;
                })
      .IgnoreError();
  ASSERT_GT(checkpoint, 0u) << service.process().Stderr();

  Fill(Inside(service, "filler"));
  EXPECT_TRUE(
      WaitUntil([&] { return !service.Worker(WorkerKind::kTrain).has_value(); }, absl::Minutes(2)));
  EXPECT_TRUE(service.client().Stylize(StylizeRequestFor("random", MakePicture(64, 64, 1))).ok());

  std::filesystem::remove(Inside(service, "filler"));
  const absl::Status status = service.client().WatchJob(watch, [&](const v1::JobEvent& event) {
    last = event.has_state() ? event.state() : last;
    return true;
  });
  EXPECT_TRUE(status.ok()) << status << service.process().Stderr();
  EXPECT_EQ(last.state(), v1::JOB_STATE_FAILED);
  EXPECT_THAT(last.reason(), ::testing::HasSubstr("disk"));
  EXPECT_GE(NewestCheckpoint(Inside(service, "data/jobs/fills/attempts")), checkpoint)
      << "what was saved is still there";
}

TEST_F(DiskTest, AnImportThatDoesNotFitIsRefusedAndLeavesNothing) {
  MountDisk();
  Service service(options_);
  v1::ImportModelHeader header;
  header.set_name("large");
  std::ofstream(directory_ / "large.pth", std::ios::binary) << std::string(12 << 20, 'x');
  const auto import = [&](const std::string& file) {
    return client::ImportModelFile(service.client(), header, directory_ / file, [](auto, auto) {})
        .status();
  };
  EXPECT_EQ(import("large.pth").code(), absl::StatusCode::kResourceExhausted);

  // It fits, but the disk fills up before it is there.
  std::ofstream(directory_ / "small.pth", std::ios::binary) << std::string(1 << 20, 'x');
  header.set_sha256(Sha256Hex(std::string(1 << 20, 'x')));
  header.set_size(1 << 20);
  bool filled = false;
  const absl::Status status =
      service.client()
          .ImportModel(header,
                       [&]() -> absl::StatusOr<std::string> {
                         if (std::exchange(filled, true)) {
                           return std::string();
                         }
                         EXPECT_TRUE(WaitUntil([&] {
                           return !std::filesystem::is_empty(Inside(service, "data/transfers"));
                         }));
                         Fill(Inside(service, "filler"));
                         return std::string(1 << 20, 'x');
                       })
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_TRUE(std::filesystem::is_empty(Inside(service, "data/transfers")));
  EXPECT_TRUE(service.client().Stylize(StylizeRequestFor("random", MakePicture(64, 64, 1))).ok());
}

TEST_F(DiskTest, AnUploadOnAFullDiskChangesNoSetAndGoesOnWhenThereIsRoom) {
  MountDisk();
  Service service(options_);
  v1::CreateDatasetRequest create;
  create.set_name("garments");
  ASSERT_TRUE(service.client().CreateDataset(create).ok());
  const auto plan = client::PlanUpload({directory_ / "content"}, /*skip_bad=*/false);
  ASSERT_TRUE(plan.ok()) << plan.status();
  const auto upload = [&] {
    return client::UploadFiles(service.client(), *plan, {.dataset = "garments"}, [](auto, auto) {})
        .status();
  };
  const auto uploads = Inside(service, "data/datasets/.uploads");
  const auto pictures = [&] {
    v1::GetDatasetRequest request;
    request.set_name("garments");
    const auto response = service.client().GetDataset(request);
    EXPECT_TRUE(response.ok()) << response.status();
    return response.ok() ? response->dataset().files() : 0;
  };

  Fill(Inside(service, "filler"));
  EXPECT_EQ(upload().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(std::filesystem::is_empty(uploads));

  // It fits, but the disk fills up while the pictures come.
  std::filesystem::remove(Inside(service, "filler"));
  v1::UploadDatasetHeader header;
  header.set_dataset("garments");
  header.set_upload_id(plan->upload_id);
  header.set_kind(plan->kind);
  header.set_files(plan->files.size());
  header.set_bytes(plan->bytes);
  const client::UploadSource& first = plan->files.front();
  int part = 0;
  const absl::Status full =
      service.client()
          .UploadDataset(
              header,
              [&]() -> absl::StatusOr<std::optional<v1::UploadDatasetRequest>> {
                v1::UploadDatasetRequest request;
                if (part++ == 0) {
                  EXPECT_TRUE(WaitUntil([&] { return !std::filesystem::is_empty(uploads); }));
                  Fill(Inside(service, "filler"));
                  request.mutable_file()->set_name(first.name);
                  request.mutable_file()->set_size(first.size);
                  request.mutable_file()->set_sha256(first.sha256);
                  return request;
                }
                if (part == 2) {
                  request.set_chunk(ReadFile(first.path, 1 << 20).value());
                  return request;
                }
                return std::nullopt;
              })
          .status();
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted) << full;
  EXPECT_THAT(std::string(full.message()), ::testing::HasSubstr("disk is full"));
  EXPECT_EQ(pictures(), 0U);

  std::filesystem::remove(Inside(service, "filler"));
  EXPECT_TRUE(upload().ok()) << upload();
  EXPECT_EQ(pictures(), plan->files.size());
  EXPECT_FALSE(std::filesystem::exists(uploads / ("garments." + plan->upload_id) / "files"));
  EXPECT_TRUE(std::filesystem::is_empty(Inside(service, "data/datasets/.work")));
}

TEST_F(DiskTest, PublishingACheckpointOnAFullDiskMakesNoVersion) {
  MountDisk("96m");
  Service service(options_);
  ASSERT_TRUE(service.client().CreateJob(TinyJob("paints", "tiny", 10)).ok());
  v1::WatchJobRequest watch;
  watch.set_job_id("paints");
  ASSERT_TRUE(service.client().WatchJob(watch, [](const v1::JobEvent&) { return true; }).ok());
  v1::PublishCheckpointRequest request;
  request.set_job_id("paints");
  request.set_model("trial");
  const auto transfers = Inside(service, "data/transfers");
  const auto nothing_is_left = [&] {
    v1::GetModelRequest get;
    get.set_model("trial");
    return std::filesystem::is_empty(transfers) &&
           absl::IsNotFound(service.client().GetModel(get).status());
  };

  Fill(Inside(service, "filler"));
  const absl::Status refused = service.client().PublishCheckpoint(request).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted) << refused;
  EXPECT_TRUE(nothing_is_left());

  // There is room when it begins, and none when the process wants to write.
  std::filesystem::remove(Inside(service, "filler"));
  absl::Status full;
  std::thread publishing([&] { full = service.client().PublishCheckpoint(request).status(); });
  EXPECT_TRUE(WaitUntil([&] { return service.Worker(WorkerKind::kConvert).has_value(); }));
  Fill(Inside(service, "filler"));
  publishing.join();
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted) << full;
  EXPECT_TRUE(nothing_is_left());
  EXPECT_TRUE(service.client().Stylize(StylizeRequestFor("random", MakePicture(64, 64, 1))).ok());

  std::filesystem::remove(Inside(service, "filler"));
  const auto published = service.client().PublishCheckpoint(request);
  ASSERT_TRUE(published.ok()) << published.status() << service.process().Stderr();
  EXPECT_EQ(published->model().version(), 1U);
  EXPECT_TRUE(std::filesystem::is_empty(transfers));
}

TEST_F(DiskTest, AReadOnlyDataDirectoryIsRefusedWithASentence) {
  const std::string disk = (directory_ / "disk").string();
  const ProcessResult result = RunProcess(
      {.command = {"/usr/bin/unshare", "-Urm", "/bin/sh", "-c",
                   "mount -t tmpfs -o ro,size=1m tmpfs " + disk + " && exec \"$@\"", "sh",
                   ProgramPath("atelier-server"), "--data-dir", disk, "--listen", "127.0.0.1:0",
                   "--metrics-listen", "127.0.0.1:0", "--shipped-models", "none"}});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.err, "atelier-server: data directory " + disk +
                            " cannot be written; give this user the right to, or choose another "
                            "one\n");
  EXPECT_EQ(result.out, "");
}

}  // namespace
}  // namespace atelier::test
