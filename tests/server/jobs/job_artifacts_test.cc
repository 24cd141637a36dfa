#include "server/jobs/job_artifacts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "common/errors.h"
#include "server/jobs/attempt_files.h"
#include "tests/support/temp_dir.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class JobArtifactsTest : public testing::Test {
 protected:
  void Put(std::uint64_t attempt, const std::string& path, const std::string& contents = "x") {
    const fs::path file = AttemptDirectory(folder_.path(), "oil", attempt) / path;
    fs::create_directories(file.parent_path());
    std::ofstream(file) << contents;
  }

  std::vector<JobArtifact> List(bool all_attempts = false, std::string_view after = "",
                                std::size_t limit = 1000) const {
    return ListJobArtifacts(folder_.path(), "oil", all_attempts, after, limit);
  }
  std::vector<std::string> Paths(bool all_attempts = false, std::string_view after = "",
                                 std::size_t limit = 1000) const {
    std::vector<std::string> paths;
    for (const JobArtifact& artifact : List(all_attempts, after, limit)) {
      paths.push_back(artifact.path);
    }
    return paths;
  }

  // The file's bytes, or the error's code.
  std::string Read(std::string_view path) const {
    const absl::StatusOr<OpenedArtifact> opened = OpenJobArtifact(folder_.path(), "oil", path);
    if (!opened.ok()) {
      return absl::StatusCodeToString(opened.status().code());
    }
    std::string bytes(opened->artifact.size, '\0');
    EXPECT_EQ(::read(opened->file.get(), bytes.data(), bytes.size()),
              static_cast<ssize_t>(bytes.size()));
    return bytes;
  }

  test::TempDir folder_;
};

TEST_F(JobArtifactsTest, AJobWithoutAttemptsHasNone) {
  EXPECT_THAT(List(), IsEmpty());
  EXPECT_EQ(Read("stats.jsonl"), "NOT_FOUND");
}

TEST_F(JobArtifactsTest, EachPathIsOfTheNewestAttemptThatHasIt) {
  Put(9, "stats.jsonl", "old");
  Put(9, "events.out.tfevents.1.2", "first");
  Put(9, "samples/step-9.jpg", "nine");
  Put(10, "stats.jsonl", "new!");
  Put(10, "events.out.tfevents.2.2", "second");
  Put(10, "samples/step-10.jpg", "ten");
  EXPECT_THAT(Paths(), ElementsAre("events.out.tfevents.1.2", "events.out.tfevents.2.2",
                                   "samples/step-9.jpg", "samples/step-10.jpg", "stats.jsonl"));
  const JobArtifact stats = List().back();
  EXPECT_EQ(stats.attempt, 10u);
  EXPECT_EQ(stats.size, 4u);
  EXPECT_LT(absl::AbsDuration(absl::Now() - stats.modified), absl::Minutes(5));
  EXPECT_EQ(Read("stats.jsonl"), "new!");
  EXPECT_EQ(Read("samples/step-9.jpg"), "nine");
}

TEST_F(JobArtifactsTest, AllAttemptsHaveTheirFilesUnderTheirNumber) {
  Put(1, "log.txt", "one");
  Put(2, "log.txt", "two");
  EXPECT_THAT(Paths(/*all_attempts=*/true),
              ElementsAre("attempts/1/log.txt", "attempts/2/log.txt"));
  EXPECT_EQ(Read("attempts/1/log.txt"), "one");
  EXPECT_EQ(Read("attempts/2/log.txt"), "two");
  EXPECT_EQ(Read("attempts/3/log.txt"), "NOT_FOUND");
  EXPECT_EQ(Read("attempts/01/log.txt"), "NOT_FOUND");
  EXPECT_EQ(Read("attempts/1"), "NOT_FOUND");
}

TEST_F(JobArtifactsTest, OnlyWhatIsWholeIsShown) {
  Put(1, "checkpoints/step-200/state.safetensors");
  Put(1, "checkpoints/step-200/complete");
  Put(1, "checkpoints/step-400/state.safetensors");
  Put(1, "checkpoints/tmp-600/complete");
  Put(1, "checkpoints/stray");
  Put(1, "result/weights.safetensors");
  Put(1, "result.tmp/model.json");
  Put(1, ".report.html.tmp");
  Put(1, ".ranks.start");  // it has the server's paths in it
  Put(1, "samples/.step-1.jpg.tmp");
  EXPECT_THAT(Paths(), ElementsAre("checkpoints/step-200/complete",
                                   "checkpoints/step-200/state.safetensors"));
  EXPECT_EQ(Read("checkpoints/step-200/state.safetensors"), "x");
  for (const char* path :
       {"checkpoints/step-400/state.safetensors", "checkpoints/tmp-600/complete",
        "checkpoints/stray", "result/weights.safetensors", "result.tmp/model.json"}) {
    EXPECT_EQ(Read(path), "NOT_FOUND") << path;
  }
  for (const char* path : {".ranks.start", "attempts/1/.ranks.start"}) {
    EXPECT_EQ(Read(path), "INVALID_ARGUMENT") << path;
  }
}

TEST_F(JobArtifactsTest, OnlyWhatIsWholeIsShownOfTheCellsOfASweepToo) {
  Put(1, "cells/7/checkpoints/step-20/state.safetensors");
  Put(1, "cells/7/checkpoints/step-20/complete");
  Put(1, "cells/7/checkpoints/step-40/state.safetensors");
  Put(1, "cells/7/checkpoints/tmp-60/state.safetensors");
  Put(1, "cells/7/checkpoints/tmp-60/complete");
  Put(1, "cells/7/result/model.json");
  Put(1, "cells/7/stats.jsonl");
  Put(1, "cells/8/result.tmp/model.json");
  EXPECT_THAT(Paths(), ElementsAre("cells/7/checkpoints/step-20/complete",
                                   "cells/7/checkpoints/step-20/state.safetensors",
                                   "cells/7/result/model.json", "cells/7/stats.jsonl"));
  EXPECT_EQ(Read("cells/7/checkpoints/step-20/state.safetensors"), "x");
  for (const char* path :
       {"cells/7/checkpoints/step-40/state.safetensors", "cells/7/checkpoints/tmp-60/complete",
        "attempts/1/cells/7/checkpoints/step-40/state.safetensors",
        "cells/8/result.tmp/model.json"}) {
    EXPECT_EQ(Read(path), "NOT_FOUND") << path;
  }
}

TEST_F(JobArtifactsTest, NeitherPathsNorLinksLeadOutOfTheJob) {
  Put(1, "log.txt", "mine");
  std::ofstream(folder_ / "secret") << "secret";
  const fs::path attempt = AttemptDirectory(folder_.path(), "oil", 1);
  fs::create_symlink(folder_ / "secret", attempt / "link.txt");
  fs::create_directory_symlink(folder_.path(), attempt / "folder");
  fs::create_directory_symlink(attempt, attempt.parent_path() / "2");
  EXPECT_THAT(Paths(), ElementsAre("log.txt"));
  EXPECT_EQ(List()[0].attempt, 1u);
  for (const char* path : {"link.txt", "folder/secret", "attempts/2/log.txt", "log.txt/x"}) {
    EXPECT_EQ(Read(path), "NOT_FOUND") << path;
  }
  for (const char* path : {"", "/etc/passwd", "../../../secret", "attempts/../../../secret",
                           "attempts/1/../../../../secret", ".."}) {
    EXPECT_EQ(Read(path), "INVALID_ARGUMENT") << path;
  }
}

TEST_F(JobArtifactsTest, APipeHoldsNobody) {
  Put(1, "log.txt");
  ASSERT_EQ(::mkfifo((AttemptDirectory(folder_.path(), "oil", 1) / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(Paths(), ElementsAre("log.txt"));
  EXPECT_EQ(Read("pipe"), "NOT_FOUND");
}

TEST_F(JobArtifactsTest, PagesGoOnBehindAPath) {
  for (int step : {1, 2, 10, 20, 100}) {
    Put(1, "samples/step-" + std::to_string(step) + ".jpg");
  }
  EXPECT_THAT(Paths(false, "", 2), ElementsAre("samples/step-1.jpg", "samples/step-2.jpg"));
  EXPECT_THAT(Paths(false, "samples/step-2.jpg", 2),
              ElementsAre("samples/step-10.jpg", "samples/step-20.jpg"));
  EXPECT_THAT(Paths(false, "samples/step-20.jpg", 2), ElementsAre("samples/step-100.jpg"));
  EXPECT_THAT(Paths(false, "samples/step-50.jpg", 2), ElementsAre("samples/step-100.jpg"))
      << "a file that is gone is a place all the same";
}

TEST_F(JobArtifactsTest, AnUnknownFileIsNamedInTheError) {
  Put(1, "log.txt");
  const absl::Status status = OpenJobArtifact(folder_.path(), "oil", "none.txt").status();
  EXPECT_EQ(ResourceOf(status)->name, "none.txt");
  EXPECT_EQ(std::string(status.message()).find(folder_.path().string()), std::string::npos);
}

}  // namespace
}  // namespace atelier::server
