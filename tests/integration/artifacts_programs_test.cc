// The files of a job that runs, through the real programs: whatever is fetched is whole.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "client/api/artifact_file.h"
#include "common/files.h"
#include "nlohmann/json.hpp"
#include "tests/integration/job_calls.h"
#include "tests/integration/pictures.h"
#include "tests/integration/service.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::uint64_t NumberAt(std::string_view bytes, std::size_t place) {
  std::uint64_t number = 0;  // little-endian, as on every machine that this runs on
  std::memcpy(&number, bytes.data() + place, sizeof(number));
  return number;
}

// Records of a length (8 bytes), its checksum (4), that many bytes, and their checksum (4).
bool AreWholeRecords(std::string_view bytes) {
  int records = 0;
  while (bytes.size() >= 16) {
    const std::uint64_t length = NumberAt(bytes, 0);
    if (length > bytes.size() - 16) {
      return false;
    }
    bytes.remove_prefix(16 + length);
    ++records;
  }
  return bytes.empty() && records > 2;
}

bool AreWholeLines(const std::string& text) {
  std::size_t start = 0;
  while (start < text.size()) {
    const std::size_t end = text.find('\n', start);
    if (end == std::string::npos ||
        !Json::parse(text.substr(start, end - start), nullptr, false).is_object()) {
      return false;
    }
    start = end + 1;
  }
  return !text.empty();
}

class ArtifactsProgramsTest : public ::testing::Test {
 protected:
  ArtifactsProgramsTest() {
    MakeDataset(directory_ / "content", 6, 1);
    MakeDataset(directory_ / "style", 3, 100);
    service_ = std::make_unique<Service>(Service::Options{
        .data_dir = directory_ / "data",
        .shipped_models = {},
        .datasets = {{"content", directory_ / "content"}, {"style", directory_ / "style"}},
        .more = {"--local-workers", "0"},
        .wrapper = {}});
  }

  ProcessResult Atelier(std::vector<std::string> arguments) {
    return RunAtelier(*service_, directory_.path(), std::move(arguments), absl::Minutes(2));
  }

  // A job that does not end by itself and has a checkpoint.
  void StartJob() {
    v1::CreateJobRequest request = TinyJob("oil-1", "oil", 1'000'000);
    // Those of some seconds, on a busy machine too.
    request.mutable_spec()->mutable_train()->set_checkpoint_every_steps(20);
    request.mutable_spec()->mutable_train()->set_keep_checkpoints(20);
    ASSERT_TRUE(service_->client().CreateJob(request).ok());
    std::uint64_t checkpoint = 0;
    v1::WatchJobRequest watch;
    watch.set_job_id("oil-1");
    service_->client()
        .WatchJob(watch,
                  [&](const v1::JobEvent& event) {
                    checkpoint = event.checkpoint().step();
                    return checkpoint == 0;
                  })
        .IgnoreError();
    ASSERT_GT(checkpoint, 0U) << service_->process().Stderr();
  }
  v1::JobState State() { return GetJob(*service_, "oil-1").state(); }

  // The last path that begins so; a test failure when there is none.
  std::string Listed(const std::string& prefix) {
    std::string found;
    const auto list = service_->client().ListAllArtifacts("oil-1", /*all_attempts=*/false);
    EXPECT_TRUE(list.ok()) << list.status();
    for (int i = 0; list.ok() && i < list->artifacts_size(); ++i) {
      found = list->artifacts(i).path().starts_with(prefix) ? list->artifacts(i).path() : found;
    }
    EXPECT_FALSE(found.empty()) << prefix;
    return found;
  }
  // Fetched from the running job; empty when it is not there any more.
  std::string Fetch(const std::string& path) {
    const fs::path file = directory_ / "fetched";
    const auto header =
        client::FetchArtifact(service_->client(), "oil-1", path, file, [](auto, auto) {});
    EXPECT_TRUE(header.ok() || absl::IsNotFound(header.status())) << header.status();
    return header.ok() ? ReadFile(file, 1 << 30).value_or("") : "";
  }

  TempDir directory_;
  std::unique_ptr<Service> service_;
};

TEST_F(ArtifactsProgramsTest, TheFilesOfARunningJobAreWhole) {
  ASSERT_NO_FATAL_FAILURE(StartJob());
  const ProcessResult list = Atelier({"jobs", "artifacts", "oil-1"});
  EXPECT_THAT(list.out, AllOf(HasSubstr("report.html"), HasSubstr("stats.jsonl"),
                              HasSubstr("events.out.tfevents."), HasSubstr("checkpoints/step-")))
      << list.err;

  const ProcessResult one = Atelier({"jobs", "artifacts", "oil-1", "report.html", "-o", "out"});
  EXPECT_EQ(one.exit_code, 0) << one.err;
  EXPECT_THAT(ReadFile(directory_ / "out/report.html", 1 << 24).value_or(""),
              AllOf(StartsWith("<!doctype html>"), EndsWith("</html>\n")));
  EXPECT_TRUE(AreWholeLines(Fetch("stats.jsonl")));
  const std::string events = Listed("events.out.tfevents.");
  // What the trainer is just writing may lack its end; the next look has it.
  EXPECT_TRUE(WaitUntil([&] { return AreWholeRecords(Fetch(events)); }));

  // The trainer removes old checkpoints meanwhile, perhaps this one between two calls.
  EXPECT_TRUE(WaitUntil([&] {
    const fs::path step = fs::path(Listed("checkpoints/")).parent_path();
    const Json told = Json::parse(Fetch(step / "complete"), nullptr, false);
    for (const char* name : {"state.safetensors", "checkpoint.json"}) {
      const std::string bytes = Fetch(step / name);
      if (!told.is_object() || bytes.empty()) {
        return false;
      }
      EXPECT_EQ(told.value(name, ""), Sha256Hex(bytes)) << step;
    }
    return true;
  }));
  EXPECT_EQ(State(), v1::JOB_STATE_RUNNING) << service_->process().Stderr();
  EXPECT_EQ(Atelier({"jobs", "cancel", "oil-1"}).exit_code, 0);
}

}  // namespace
}  // namespace atelier::test
