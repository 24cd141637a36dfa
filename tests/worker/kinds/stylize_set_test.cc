#include "worker/kinds/stylize_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "tests/support/temp_dir.h"
#include "tests/worker/serve/random_model.h"
#include "tests/worker/train/colored_pictures.h"
#include "tests/worker/train/recording_observer.h"

namespace atelier::kinds {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::Key;
using train::Outcome;
namespace colored = train::colored;

// The files below a folder and what the mirror of a worker elsewhere knows them by
// (worker/files/attempt_mirror.h): whether they are the same file still.
std::map<std::string, ino_t> FilesIn(const fs::path& folder) {
  std::map<std::string, ino_t> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    struct stat facts = {};
    if (entry.is_regular_file() && ::stat(entry.path().c_str(), &facts) == 0) {
      files[entry.path().lexically_relative(folder).string()] = facts.st_ino;
    }
  }
  return files;
}

class StylizeSetTest : public ::testing::Test {
 protected:
  StylizeSetTest() {
    for (int i = 0; i < 3; ++i) {
      colored::Write(directory_ / "set" / (std::to_string(i) + ".png"),
                     colored::Picture(colored::kBlue, i, 64, 64));
    }
    test::WriteRandomModel(directory_ / "model", 1);
    job_.config.dataset = "set";
    job_.config.models = {"random@1"};
    job_.config.output_dataset = "restyled";
    job_.directory = directory_ / "set";
    job_.models = {directory_ / "model"};
    job_.place.threads = 1;
  }

  // An attempt with a folder of its own, which goes on from those before it.
  absl::StatusOr<Outcome> Run(const std::string& attempt, train::RecordingObserver& observer) {
    job_.place.attempt_directory = directory_ / attempt;
    fs::create_directories(job_.place.attempt_directory);
    absl::StatusOr<Outcome> outcome = StylizeSet(job_, observer, observer.stop);
    job_.place.earlier_attempts.insert(job_.place.earlier_attempts.begin(),
                                       job_.place.attempt_directory);
    return outcome;
  }

  test::TempDir directory_;
  StylizeSetJob job_;
};

// What sends an attempt's files to the server knows them by their names.
TEST_F(StylizeSetTest, PicturesStayWhereTheyWereMade) {
  class Looking final : public train::Observer {
   public:
    explicit Looking(std::function<void()> look) : look_(std::move(look)) {}
    void OnStart(std::int64_t /*first_step*/) override {}
    void OnProgress(const train::Progress& /*progress*/) override { look_(); }
    void OnSample(std::int64_t /*step*/, const std::string& /*jpeg*/) override {}
    void OnCheckpoint(std::int64_t /*step*/) override {}
    void OnWarning(const std::string& sentence) override { ADD_FAILURE() << sentence; }

   private:
    const std::function<void()> look_;
  };
  const fs::path attempt = directory_ / "1";
  std::map<std::string, ino_t> during;
  Looking observer([&] { during = FilesIn(attempt / kSetFolder); });
  const std::atomic<bool> stop = false;
  job_.place.attempt_directory = attempt;
  fs::create_directories(attempt);
  const absl::StatusOr<Outcome> outcome = StylizeSet(job_, observer, stop);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(*outcome, Outcome::kFinished);
  EXPECT_THAT(during, ElementsAre(Key("0.png"), Key("1.png"), Key("2.png")));
  EXPECT_EQ(FilesIn(attempt / kSetFolder), during);
}

TEST_F(StylizeSetTest, AStopKeepsWhatIsMadeAndTheNextAttemptTakesItOver) {
  train::RecordingObserver first;
  first.stop_at = 1;  // told when the first picture is there
  const absl::StatusOr<Outcome> stopped = Run("1", first);
  ASSERT_TRUE(stopped.ok()) << stopped.status();
  EXPECT_EQ(*stopped, Outcome::kStopped);
  const auto made = FilesIn(directory_ / "1" / kSetFolder);
  ASSERT_THAT(made, ElementsAre(Key("0.png")));
  EXPECT_EQ(first.checkpoint_steps.back(), 1);

  train::RecordingObserver second;
  const absl::StatusOr<Outcome> outcome = Run("2", second);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(*outcome, Outcome::kFinished);
  EXPECT_EQ(second.started_at, 1);
  const auto whole = FilesIn(directory_ / "2" / kSetFolder);
  EXPECT_THAT(whole, ElementsAre(Key("0.png"), Key("1.png"), Key("2.png")));
  EXPECT_EQ(whole.at("0.png"), made.at("0.png")) << "a link, not made again";
}

}  // namespace
}  // namespace atelier::kinds
