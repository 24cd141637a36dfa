// `atelier datasets` and the uploads behind it, against a fake server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "client/api/dataset_upload.h"
#include "common/errors.h"
#include "common/files.h"
#include "tests/client/cli/cli_test.h"

namespace atelier::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// As far as the header goes, which is all that the client looks at.
std::string PictureWith(const std::string& content) {
  return std::string("\xff\xd8\xff\xc0\x00\x11\x08\x00\x20\x00\x20\x03", 12) +
         std::string("\x01\x22\x00\x02\x11\x01\x03\x11\x01", 9) + content;
}

class DatasetsTest : public CliTest {
 protected:
  DatasetsTest() {
    fs::create_directories(folder_ / "in/coats");
    Write("in/coats/red.jpg", red_);
    Write("in/blue.jpg", blue_);
    Write("in/notes.txt", "no picture");
    server_.handlers().get_upload = [this](const v1::GetUploadRequest& request) {
      ids_.push_back(request.upload_id());
      return state_;
    };
    server_.handlers().upload_dataset = [this](const std::vector<v1::UploadDatasetRequest>& parts) {
      return Take(parts);
    };
  }

  absl::StatusOr<v1::UploadDatasetResponse> Take(
      const std::vector<v1::UploadDatasetRequest>& parts) {
    calls_.push_back(parts);
    if (!errors_.empty()) {
      const absl::Status error = errors_.front();
      errors_.erase(errors_.begin());
      return error;
    }
    v1::UploadDatasetResponse response;
    response.mutable_dataset()->set_name("garments");
    response.mutable_dataset()->set_files(12);
    response.mutable_result()->set_added(2);
    response.mutable_result()->set_added_bytes(3 << 20);
    response.mutable_result()->set_duplicates(1);
    return response;
  }

  absl::Status PlanOf(const std::vector<fs::path>& inputs) const {
    return client::PlanUpload(inputs, /*skip_bad=*/false).status();
  }

  const std::string red_ = PictureWith("red");
  const std::string blue_ = PictureWith(std::string((1 << 20) + 100, 'b'));
  absl::StatusOr<v1::DatasetUpload> state_ = absl::NotFoundError("none");
  std::vector<absl::Status> errors_;
  std::vector<std::string> ids_;
  std::vector<std::vector<v1::UploadDatasetRequest>> calls_;
};

TEST_F(DatasetsTest, UploadSendsAFoldersPicturesWithTheirLabels) {
  const ProcessResult result = Run({"datasets", "upload", "garments", "in"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out,
            "added 2 pictures (3.0 MiB) to garments, which has 12 now; 1 were there already\n");
  ASSERT_EQ(calls_.size(), 1u);
  const std::vector<v1::UploadDatasetRequest>& parts = calls_[0];
  ASSERT_EQ(parts.size(), 6u);
  EXPECT_EQ(parts[0].header().dataset(), "garments");
  EXPECT_EQ(parts[0].header().kind(), v1::DATASET_UPLOAD_KIND_PICTURES);
  EXPECT_EQ(parts[0].header().files(), 2u);
  EXPECT_EQ(parts[0].header().bytes(), red_.size() + blue_.size());
  EXPECT_EQ(parts[1].file().name(), "blue.jpg");
  EXPECT_EQ(parts[1].file().sha256(), Sha256Hex(blue_));
  EXPECT_TRUE(parts[2].chunk() + parts[3].chunk() == blue_);
  EXPECT_EQ(parts[4].file().name(), "coats/red.jpg");
  EXPECT_EQ(parts[5].chunk(), red_);
}

TEST_F(DatasetsTest, ACutUploadGoesOnByItselfFromWhereTheServerIs) {
  // The first stream ends early; then the server has the first picture and 9 bytes of the second.
  server_.handlers().upload_messages = 3;
  server_.handlers().upload_dataset = [this](const std::vector<v1::UploadDatasetRequest>& parts) {
    if (calls_.empty()) {
      server_.handlers().upload_messages = 0;
      v1::DatasetUpload state;
      state.set_files_received(1);
      state.set_bytes_received(blue_.size());
      state.set_partial_bytes(9);
      state_ = state;
      errors_ = {absl::UnavailableError("gone")};
    }
    return Take(parts);
  };
  const ProcessResult result = Run({"datasets", "upload", "garments", "in"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  ASSERT_EQ(calls_.size(), 2u);
  EXPECT_EQ(calls_[1][0].header().first_file(), 1u);
  EXPECT_EQ(calls_[1][0].header().upload_id(), calls_[0][0].header().upload_id());
  EXPECT_EQ(calls_[1][1].file().offset(), 9u);
  EXPECT_EQ(calls_[1][2].chunk(), red_.substr(9));
}

TEST_F(DatasetsTest, TheSameFilesAreTheSameUploadAndOthersAreNot) {
  EXPECT_EQ(Run({"datasets", "upload", "garments", "in"}).exit_code, 0);
  EXPECT_EQ(Run({"datasets", "upload", "garments", "in"}).exit_code, 0);
  Write("in/coats/red.jpg", PictureWith("other"));
  EXPECT_EQ(Run({"datasets", "upload", "garments", "in"}).exit_code, 0);
  ASSERT_EQ(ids_.size(), 3u);
  EXPECT_EQ(ids_[0], ids_[1]);
  EXPECT_NE(ids_[0], ids_[2]);
}

TEST_F(DatasetsTest, AnErrorThatWillNotPassIsToldAtOnce) {
  errors_ = {InvalidField("file", "\"coats/red.jpg\" is damaged")};
  const ProcessResult result = Run({"datasets", "upload", "garments", "in"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.err, "atelier: file: \"coats/red.jpg\" is damaged\n");
  EXPECT_EQ(calls_.size(), 1u);
}

TEST_F(DatasetsTest, WhatCannotBeSentIsRefusedBeforeTheServerIsAsked) {
  Write("x.zip", "archive");
  Write("in/bad.png", "text");
  fs::create_directories(folder_ / "empty");
  EXPECT_EQ(FieldOf(PlanOf({folder_ / "empty"})), "input");
  EXPECT_TRUE(absl::IsNotFound(PlanOf({folder_ / "nowhere.jpg"})));
  EXPECT_THAT(std::string(PlanOf({folder_ / "in"}).message()),
              HasSubstr("\"bad.png\" is not a JPEG"));
  EXPECT_THAT(std::string(PlanOf({folder_ / "x.zip", folder_ / "in/blue.jpg"}).message()),
              HasSubstr("sent alone"));
  EXPECT_EQ(FieldOf(PlanOf({folder_ / "in/blue.jpg", folder_ / "in/blue.jpg"})), "input");
  const auto plan = client::PlanUpload({folder_ / "x.zip"}, false);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->kind, v1::DATASET_UPLOAD_KIND_ARCHIVE);
  EXPECT_EQ(plan->files.at(0).name, "x.zip");
}

TEST_F(DatasetsTest, CreateShowImportAndDeleteSayWhatCameOfThem) {
  v1::CreateDatasetRequest created;
  server_.handlers().create_dataset = [&](const v1::CreateDatasetRequest& request) {
    created = request;
    v1::Dataset dataset;
    dataset.set_name(request.name());
    return dataset;
  };
  EXPECT_EQ(
      Run({"datasets", "create", "garments", "--license", "CC0-1.0", "--source", "a shop"}).out,
      "garments\n");
  EXPECT_EQ(created.license(), "CC0-1.0");
  EXPECT_EQ(created.source(), "a shop");

  server_.handlers().get_dataset = [](const v1::GetDatasetRequest& request) {
    v1::GetDatasetResponse response;
    response.mutable_dataset()->set_name(request.name());
    response.mutable_dataset()->set_files(7);
    v1::DatasetLabel& label = *response.mutable_dataset()->add_label_counts();
    label.set_label("coats");
    label.set_files(5);
    response.set_sample(request.sample() ? "jpeg" : "");
    return response;
  };
  const ProcessResult show = Run({"datasets", "show", "garments", "-o", "sample.jpg"});
  EXPECT_EQ(show.exit_code, 0) << show.err;
  EXPECT_THAT(show.out, AllOf(HasSubstr("coats"), HasSubstr("unknown"), HasSubstr("sample.jpg")));
  EXPECT_EQ(Read("sample.jpg"), "jpeg");
  EXPECT_THAT(Run({"datasets", "show", "garments", "--output", "json"}).out,
              HasSubstr(R"("label_counts":[{"label":"coats","files":"5"}])"));

  server_.handlers().import_dataset = [](const v1::ImportDatasetRequest& request) {
    v1::ImportDatasetResponse response;
    response.mutable_dataset()->set_name(request.name());
    response.mutable_result()->set_added(1);
    response.mutable_result()->set_skipped(1);
    response.mutable_result()->add_notes(request.folder() + "/x.jpg: is damaged");
    return response;
  };
  const ProcessResult import = Run({"datasets", "import", "garments", "shoes", "--skip-bad"});
  EXPECT_THAT(import.out, HasSubstr("added 1 picture ("));
  EXPECT_EQ(import.err, "atelier: left out shoes/x.jpg: is damaged\n");

  server_.handlers().delete_dataset = [](const v1::DeleteDatasetRequest&) {
    return absl::FailedPreconditionError("needed by a job");
  };
  EXPECT_EQ(Run({"datasets", "delete", "garments"}).err, "atelier: needed by a job\n");
}

}  // namespace
}  // namespace atelier::test
