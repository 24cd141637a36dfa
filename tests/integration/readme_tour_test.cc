// The README's tour from an upload to a promoted model, line by line, with fewer steps.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_replace.h"
#include "common/files.h"
#include "tests/integration/pictures.h"
#include "tests/integration/service.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace atelier::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr std::size_t kMaxReadmeBytes = 1 << 20;

// The first block of commands behind `title`.
std::string CommandsBehind(std::string_view title) {
  const std::string readme =
      ReadFile(fs::path(ATELIER_SOURCE_DIR) / "README.md", kMaxReadmeBytes).value_or("");
  constexpr std::string_view kFence = "\n```";
  const std::size_t section = readme.find(title);
  const std::size_t begin = readme.find(kFence, section);
  const std::size_t end = readme.find(kFence, begin + kFence.size());
  if (section == std::string::npos || end == std::string::npos) {
    return "";
  }
  const std::size_t first = readme.find('\n', begin + 1) + 1;
  return readme.substr(first, end + 1 - first);
}

TEST(ReadmeTour, FromAnUploadToAPromotedModel) {
  const std::string commands = CommandsBehind("### Train from another machine");
  ASSERT_THAT(commands, HasSubstr("atelier models promote"));
  int changes = 0;
  std::string script = commands;
  for (const auto& [text, small] : std::initializer_list<std::pair<const char*, const char*>>{
           {R"("steps": 400)", R"("steps": 4)"},
           {R"("checkpoint_every_steps": 100)", R"("checkpoint_every_steps": 2)"},
           {R"("image_size": 128)", R"("image_size": 64)"},
           {"oil-2:300", "oil-2:2"},
           // What so few steps make may be anything.
           {"--gate-tolerance 0.1", "--gate-tolerance 10"},
           {"export ATELIER_SERVER=gpu-box:8001", ":"},
       }) {
    EXPECT_GT(absl::StrReplaceAll({{text, small}}, &script), 0) << text;
    ++changes;
  }
  ASSERT_EQ(changes, 6);

  const TempDir directory;
  MakeDataset(directory / "coats", 6, 1);
  MakeDataset(directory / "oils", 3, 100);
  ASSERT_TRUE(WriteFileAtomically(directory / "dress.jpg", MakePicture(96, 72, 1)).ok());
  Service service({.data_dir = directory / "data"});
  ProcessOptions options;
  options.command = {"/bin/bash", "-euxo", "pipefail", "-c", script};
  options.environment = {
      {"ATELIER_SERVER", service.grpc_address()},
      {"PATH", fs::path(ProgramPath("atelier")).parent_path().string() + ":/usr/bin:/bin"}};
  options.directory = directory.path().string();
  const ProcessResult run = RunProcess(options, absl::Minutes(10));
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err << service.process().Stderr();

  for (const char* file :
       {"coats.jpg", "oil-2/report.html", "oil-2/stats.jsonl", "sheet.jpg", "dress-oil.jpg"}) {
    EXPECT_GT(fs::exists(directory / file) ? fs::file_size(directory / file) : 0, 100U) << file;
  }
  EXPECT_THAT(run.out, HasSubstr("oil@2"));
}

}  // namespace
}  // namespace atelier::test
