#include "worker/app/start_over.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/temp_dir.h"

namespace atelier::worker {
namespace {

namespace fs = std::filesystem;

// Links like /proc/self/exe.
class StartOverTest : public ::testing::Test {
 protected:
  fs::path LinkTo(const fs::path& target) const {
    fs::create_symlink(target, directory_ / "exe");
    return directory_ / "exe";
  }

  test::TempDir directory_;
};

TEST_F(StartOverTest, TheProgramThatRunsIsTheOneThatStarts) {
  std::ofstream(directory_ / "worker") << "program";
  EXPECT_EQ(ProgramBehind(LinkTo(directory_ / "worker")), directory_ / "worker");
}

TEST_F(StartOverTest, AnInstalledSuccessorIsTheOneThatStarts) {
  std::ofstream(directory_ / "worker") << "newer program";
  EXPECT_EQ(ProgramBehind(LinkTo(directory_ / "worker (deleted)")), directory_ / "worker");
}

TEST_F(StartOverTest, AFileThatIsReallyCalledSoIsTaken) {
  std::ofstream(directory_ / "worker (deleted)") << "program";
  EXPECT_EQ(ProgramBehind(LinkTo(directory_ / "worker (deleted)")),
            directory_ / "worker (deleted)");
}

}  // namespace
}  // namespace atelier::worker
