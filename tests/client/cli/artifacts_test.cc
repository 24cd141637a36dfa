// `atelier jobs artifacts` against a fake server.
#include <gmock/gmock.h>

#include <filesystem>
#include <map>

#include "common/errors.h"
#include "nlohmann/json.hpp"
#include "tests/client/cli/cli_test.h"

namespace atelier::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

class ArtifactsCliTest : public CliTest {
 protected:
  ArtifactsCliTest() {
    server_.handlers().list_artifacts =
        [this](
            const v1::ListArtifactsRequest& request) -> absl::StatusOr<v1::ListArtifactsResponse> {
      if (request.job_id() != "oil-1") {
        return NotFoundResource("job", request.job_id(), "there is no such job");
      }
      v1::ListArtifactsResponse response;
      for (const auto& [path, contents] : files_) {
        *response.add_artifacts() = Header(path, contents);
      }
      return response;
    };
    server_.handlers().get_artifact = [this](const v1::GetArtifactRequest& request)
        -> absl::StatusOr<std::vector<v1::GetArtifactResponse>> {
      const auto found = files_.find(request.path());
      if (found == files_.end() || request.path() == gone_) {
        return NotFoundResource("artifact", request.path(), "there is no such file");
      }
      std::vector<v1::GetArtifactResponse> parts(1);
      *parts[0].mutable_header() = Header(found->first, found->second);
      const std::string sent = found->second.substr(0, found->second.size() - missing_);
      for (std::size_t i = 0; i < sent.size(); i += 4) {
        parts.emplace_back().set_chunk(sent.substr(i, 4));
      }
      return parts;
    };
  }

  static v1::Artifact Header(const std::string& path, const std::string& contents) {
    v1::Artifact artifact;
    artifact.set_path(path);
    artifact.set_size(contents.size());
    artifact.set_attempt(2);
    artifact.mutable_modify_time()->set_seconds(1'790'000'000);
    return artifact;
  }

  std::map<std::string, std::string> files_ = {{"checkpoints/step-9/complete", "{}"},
                                               {"checkpoints/step-9/state.safetensors", "weights"},
                                               {"report.html", "<html>report</html>"},
                                               {"samples/step-9.jpg", "jpeg"}};
  std::string gone_;
  std::size_t missing_ = 0;  // bytes that are told and not sent
};

TEST_F(ArtifactsCliTest, AreListedUnlessTheyAreWanted) {
  for (const std::vector<std::string>& command : std::vector<std::vector<std::string>>{
           {"jobs", "artifacts", "oil-1"}, {"jobs", "artifacts", "oil-1", "--list", "-o", "x"}}) {
    const ProcessResult result = Run(command);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(
        result.out,
        AllOf(HasSubstr("PATH"), HasSubstr("checkpoints/step-9/complete"),
              HasSubstr("report.html                           19 B  2026-09-21 14:13:20  2")));
  }
  EXPECT_TRUE(fs::is_empty(folder_.path()));
  const ProcessResult json =
      Run({"jobs", "artifacts", "oil-1", "--list", "samples", "--output", "json"});
  const auto artifacts = nlohmann::json::parse(json.out)["artifacts"];
  ASSERT_EQ(artifacts.size(), 1u) << json.out;
  EXPECT_EQ(artifacts[0]["path"], "samples/step-9.jpg");
}

TEST_F(ArtifactsCliTest, AFolderGetsAllButTheCheckpoints) {
  const ProcessResult result = Run({"jobs", "artifacts", "oil-1", "-o", "run"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(Read("run/report.html"), "<html>report</html>");
  EXPECT_EQ(Read("run/samples/step-9.jpg"), "jpeg");
  EXPECT_FALSE(fs::exists(folder_ / "run/checkpoints"));
  EXPECT_THAT(result.out, HasSubstr("wrote run/report.html (19 B)\n"));
}

TEST_F(ArtifactsCliTest, FilesAndFoldersAreFetchedByName) {
  const ProcessResult result =
      Run({"jobs", "artifacts", "oil-1", "checkpoints/", "report.html", "--output", "json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(Read("checkpoints/step-9/state.safetensors"), "weights");
  EXPECT_EQ(Read("report.html"), "<html>report</html>");
  EXPECT_FALSE(fs::exists(folder_ / "samples"));
  EXPECT_EQ(nlohmann::json::parse(result.out)["artifacts"].size(), 3u);
}

TEST_F(ArtifactsCliTest, AnUnknownNameOrJobFetchesNothing) {
  const ProcessResult file =
      Run({"jobs", "artifacts", "oil-1", "report.html", "report", "-o", "x"});
  EXPECT_EQ(file.exit_code, 1);
  EXPECT_THAT(file.err, HasSubstr("has no file or folder \"report\""));
  EXPECT_EQ(Run({"jobs", "artifacts", "other", "-o", "x"}).err, "atelier: there is no such job\n");
  EXPECT_FALSE(fs::exists(folder_ / "x"));
}

TEST_F(ArtifactsCliTest, AFileThatArrivesInPartIsNotThere) {
  Write("report.html", "older");
  missing_ = 3;
  const ProcessResult result = Run({"jobs", "artifacts", "oil-1", "report.html"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("fewer bytes arrived"));
  EXPECT_EQ(Read("report.html"), "older");
}

TEST_F(ArtifactsCliTest, WhatIsGoneSinceTheListIsNoErrorUnlessItWasNamed) {
  gone_ = "samples/step-9.jpg";
  EXPECT_EQ(Run({"jobs", "artifacts", "oil-1", "-o", "run"}).exit_code, 0);
  EXPECT_EQ(Run({"jobs", "artifacts", "oil-1", "samples", "-o", "run"}).exit_code, 1);
}

TEST_F(ArtifactsCliTest, AServerCannotWriteOutsideTheFolder) {
  for (const char* path : {"../outside", "/tmp/atelier-outside", "a/../../outside"}) {
    files_ = {{path, "x"}};
    const ProcessResult result = Run({"jobs", "artifacts", "oil-1", "-o", "run"});
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_THAT(result.err, HasSubstr("cannot be called so"));
    EXPECT_FALSE(fs::exists(folder_ / "outside"));
    EXPECT_FALSE(fs::exists("/tmp/atelier-outside"));
  }
}

}  // namespace
}  // namespace atelier::test
