#include "server/datasets/dataset_uploads.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <utility>

#include "common/errors.h"
#include "tests/server/datasets/keeper_fixture.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;
using test::FileOf;
using test::HeaderOfPicture;
using testing::ElementsAre;
using testing::HasSubstr;

class UploadsTest : public KeeperTest {
 protected:
  UploadsTest() { Make("garments"); }

  v1::UploadDatasetHeader Header(std::uint64_t first_file = 0) const {
    v1::UploadDatasetHeader header;
    header.set_dataset("garments");
    header.set_upload_id("u1");
    header.set_kind(v1::DATASET_UPLOAD_KIND_PICTURES);
    header.set_files(2);
    header.set_bytes(red_.size() + blue_.size());
    header.set_first_file(first_file);
    return header;
  }

  absl::Status Send(DatasetUploads::Stream& stream, const std::string& name,
                    const std::string& bytes) {
    absl::Status status = stream.BeginFile(FileOf(name, bytes));
    return status.ok() ? stream.Append(bytes) : status;
  }

  v1::DatasetUpload State() {
    return uploads_->Get("garments", "u1").value_or(v1::DatasetUpload());
  }
  bool IsForgotten() { return absl::IsNotFound(uploads_->Get("garments", "u1").status()); }

  const std::string red_ = HeaderOfPicture("red");
  const std::string blue_ = HeaderOfPicture("blue and longer");
};

TEST_F(UploadsTest, WhatIsSentIsInTheSetWhenAllHasCome) {
  auto stream = *uploads_->Begin(Header());
  ASSERT_TRUE(Send(*stream, "coats/red.jpg", red_).ok());
  EXPECT_EQ(catalog_->Find("garments")->files, 0u);
  ASSERT_TRUE(Send(*stream, "blue.jpg", blue_).ok());
  const auto result = stream->Finish({});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->report.added, 2u);
  EXPECT_EQ(result->set.files, 2u);
  EXPECT_THAT(result->set.labels, ElementsAre("coats"));
  EXPECT_EQ(result->set.facts->updated, clock_.Now());
  stream.reset();
  // The same again is answered with what came of it, and keeps no pictures of its own.
  EXPECT_EQ(State().state(), v1::DATASET_UPLOAD_STATE_DONE);
  EXPECT_EQ(State().result().added(), 2u);
  EXPECT_EQ((*uploads_->Begin(Header()))->done()->report.added, 2u);
  EXPECT_FALSE(fs::exists(sets() / ".uploads/garments.u1/files"));
}

TEST_F(UploadsTest, ACutStreamGoesOnInTheMiddleOfAFileAndAfterARestart) {
  auto stream = *uploads_->Begin(Header());
  ASSERT_TRUE(Send(*stream, "red.jpg", red_).ok());
  ASSERT_TRUE(stream->BeginFile(FileOf("blue.jpg", blue_)).ok());
  ASSERT_TRUE(stream->Append(blue_.substr(0, 10)).ok());
  stream.reset();
  Open();
  const v1::DatasetUpload state = State();
  EXPECT_EQ(state.state(), v1::DATASET_UPLOAD_STATE_RECEIVING);
  EXPECT_EQ(state.files_received(), 1u);
  EXPECT_EQ(state.bytes_received(), red_.size());
  EXPECT_EQ(state.partial_bytes(), 10u);
  EXPECT_TRUE(state.has_expire_time());

  stream = *uploads_->Begin(Header(1));
  v1::UploadDatasetFile rest = FileOf("blue.jpg", blue_);
  rest.set_offset(9);
  EXPECT_TRUE(absl::IsFailedPrecondition(stream->BeginFile(rest)));
  rest.set_offset(10);
  ASSERT_TRUE(stream->BeginFile(rest).ok());
  ASSERT_TRUE(stream->Append(blue_.substr(10)).ok());
  EXPECT_EQ(stream->Finish({})->set.files, 2u);
}

TEST_F(UploadsTest, AStreamBeginsWhereTheServersStateEnds) {
  EXPECT_TRUE(absl::IsFailedPrecondition(uploads_->Begin(Header(1)).status()));
  auto stream = *uploads_->Begin(Header());
  v1::UploadDatasetHeader other = Header();
  other.set_files(3);
  EXPECT_TRUE(absl::IsAlreadyExists(uploads_->Begin(other).status()));
}

TEST_F(UploadsTest, ANewStreamTakesTheUploadOver) {
  auto old = *uploads_->Begin(Header());
  ASSERT_TRUE(Send(*old, "red.jpg", red_).ok());
  auto young = *uploads_->Begin(Header(1));
  EXPECT_TRUE(absl::IsAborted(Send(*old, "blue.jpg", blue_)));
  EXPECT_TRUE(absl::IsAborted(old->Finish({}).status()) ||
              absl::IsInvalidArgument(old->Finish({}).status()));
  old.reset();
  ASSERT_TRUE(Send(*young, "blue.jpg", blue_).ok());
  EXPECT_TRUE(young->Finish({}).ok());
}

TEST_F(UploadsTest, AWrongChecksumIsDataLossAndLeavesNothing) {
  auto stream = *uploads_->Begin(Header());
  v1::UploadDatasetFile file = FileOf("red.jpg", red_);
  file.set_sha256(Sha256Hex("another"));
  ASSERT_TRUE(stream->BeginFile(file).ok());
  const absl::Status status = stream->Append(red_);
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("red.jpg"));
  stream.reset();
  EXPECT_TRUE(IsForgotten());
  EXPECT_TRUE(fs::is_empty(sets() / ".uploads"));
}

TEST_F(UploadsTest, WhatIsNoPictureEndsTheUploadUnlessBadOnesAreSkipped) {
  const std::string text(red_.size(), 'x');
  {
    auto stream = *uploads_->Begin(Header());
    const absl::Status status = Send(*stream, "red.jpg", text);
    EXPECT_EQ(FieldOf(status), "file") << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("\"red.jpg\" is not a JPEG"));
  }
  EXPECT_TRUE(IsForgotten());
  v1::UploadDatasetHeader patient = Header();
  patient.set_skip_bad(true);
  auto stream = *uploads_->Begin(patient);
  EXPECT_TRUE(Send(*stream, "red.jpg", text).ok());
}

TEST_F(UploadsTest, BadMessagesNameTheirField) {
  const auto begin = [&](auto spoil) {
    v1::UploadDatasetHeader header = Header();
    spoil(header);
    return FieldOf(uploads_->Begin(header).status()).value_or("none");
  };
  EXPECT_EQ(begin([](auto& h) { h.set_dataset("No"); }), "header.dataset");
  EXPECT_EQ(begin([](auto& h) { h.set_upload_id("../x"); }), "header.upload_id");
  EXPECT_EQ(begin([](auto& h) { h.clear_kind(); }), "header.kind");
  EXPECT_EQ(begin([](auto& h) { h.set_files(0); }), "header.files");
  EXPECT_EQ(begin([](auto& h) { h.set_files(200'001); }), "header.files");
  EXPECT_EQ(begin([](auto& h) { h.set_bytes(1); }), "header.bytes");
  EXPECT_EQ(begin([](auto& h) { h.set_bytes(kMaxDatasetBytes + 1); }), "header.bytes");
  EXPECT_EQ(begin([](auto& h) { h.set_kind(v1::DATASET_UPLOAD_KIND_ARCHIVE); }), "header.files");
  v1::UploadDatasetHeader lost = Header();
  lost.set_dataset("lost");
  EXPECT_TRUE(absl::IsNotFound(uploads_->Begin(lost).status()));

  auto stream = *uploads_->Begin(Header());
  const auto file = [&](const std::string& name) {
    return FieldOf(stream->BeginFile(FileOf(name, red_))).value_or("none");
  };
  for (const char* name : {"", "/red.jpg", "../red.jpg", "a/b/red.jpg", "a\\red.jpg", "red.txt",
                           ".red.jpg", "a/./red.jpg", "re\nd.jpg", "re\x7f.jpg"}) {
    EXPECT_EQ(file(name), "file.name") << name;
  }
  EXPECT_EQ(FieldOf(stream->Append("x")), "chunk");
  v1::UploadDatasetFile large = FileOf("red.jpg", red_);
  large.set_size((32 << 20) + 1);
  EXPECT_EQ(FieldOf(stream->BeginFile(large)), "file.size");
  v1::UploadDatasetFile nameless = FileOf("red.jpg", red_);
  nameless.set_sha256("abc");
  EXPECT_EQ(FieldOf(stream->BeginFile(nameless)), "file.sha256");
  ASSERT_TRUE(stream->BeginFile(FileOf("red.jpg", red_)).ok());
  EXPECT_EQ(file("blue.jpg"), "file") << "the one before is not whole";
  EXPECT_EQ(FieldOf(stream->Append(red_ + "x")), "chunk");
  EXPECT_EQ(FieldOf(stream->Finish({}).status()), "header.files");
  stream.reset();
  EXPECT_FALSE(IsForgotten()) << "a client's mistake in the order costs it nothing";
}

TEST_F(UploadsTest, AnUploadThatNobodyContinuesIsForgottenAfterADay) {
  auto stream = *uploads_->Begin(Header());
  ASSERT_TRUE(Send(*stream, "red.jpg", red_).ok());
  clock_.Advance(absl::Hours(30));
  EXPECT_FALSE(IsForgotten()) << "its stream is open";
  stream.reset();
  clock_.Advance(absl::Hours(23));
  EXPECT_FALSE(IsForgotten());
  clock_.Advance(absl::Hours(2));
  EXPECT_TRUE(IsForgotten());
  EXPECT_TRUE(fs::is_empty(sets() / ".uploads"));
}

TEST_F(UploadsTest, QuotasAreNamedBeforeAnythingIsSent) {
  const auto refused = [&](const char* limit) {
    Open();
    const absl::Status status = uploads_->Begin(Header()).status();
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(limit));
    EXPECT_TRUE(RetryDelayOf(status).has_value());
    limits_ = {};
  };
  limits_.max_pictures = 1;
  refused("dataset_limits.max_pictures");
  limits_.max_set_bytes = red_.size();
  refused("dataset_limits.max_set_mib");
  limits_.max_total_bytes = red_.size();
  refused("dataset_limits.max_total_mib");
  Open();
  auto stream = *uploads_->Begin(Header());
  // What was promised to one upload is not there for another.
  limits_.max_total_bytes = 2 * Header().bytes() - 1;
  stream.reset();
  Open();
  v1::UploadDatasetHeader second = Header();
  second.set_upload_id("u2");
  EXPECT_TRUE(absl::IsResourceExhausted(uploads_->Begin(second).status()));
  EXPECT_TRUE(uploads_->Begin(Header()).ok());
}

TEST_F(UploadsTest, SizesThatWouldOverflowPassNoLimit) {
  auto stream = *uploads_->Begin(Header());
  ASSERT_TRUE(Send(*stream, "red.jpg", red_).ok());
  ASSERT_TRUE(Send(*stream, "blue.jpg", blue_).ok());
  ASSERT_TRUE(stream->Finish({}).ok());
  // Together with what the set holds it is a small number again.
  v1::UploadDatasetHeader huge = Header();
  huge.set_upload_id("u2");
  huge.set_bytes(~0ULL - 10);
  EXPECT_EQ(FieldOf(uploads_->Begin(huge).status()), "header.bytes");
  huge.set_bytes(kMaxDatasetBytes);
  const absl::Status status = uploads_->Begin(huge).status();
  EXPECT_TRUE(IsLimitReached(status)) << status;
  EXPECT_TRUE(absl::IsNotFound(uploads_->Get("garments", "u2").status()));
}

TEST_F(UploadsTest, TheLargestSizeMeetsTheDisk) {
  limits_ = {.max_set_bytes = kMaxDatasetBytes, .max_total_bytes = kMaxDatasetBytes};
  Open();
  for (const auto kind : {v1::DATASET_UPLOAD_KIND_PICTURES, v1::DATASET_UPLOAD_KIND_ARCHIVE}) {
    v1::UploadDatasetHeader huge = Header();
    huge.set_kind(kind);
    huge.set_files(1);
    huge.set_bytes(kMaxDatasetBytes);
    const absl::Status status = uploads_->Begin(huge).status();
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("no room"));
  }
}

TEST_F(UploadsTest, TwoArchivesCannotTakeTheSameRoom) {
  // Packed they are small; unpacked there is room for one: the fake makes a picture of 22 bytes.
  Make("coats");
  limits_.max_total_bytes = 40;
  Open();
  const auto send = [&](const std::string& set) {
    v1::UploadDatasetHeader header = Header();
    header.set_dataset(set);
    header.set_kind(v1::DATASET_UPLOAD_KIND_ARCHIVE);
    header.set_files(1);
    header.set_bytes(10);
    auto stream = *uploads_->Begin(header);
    EXPECT_TRUE(Send(*stream, "set.tar", "0123456789").ok());
    return stream;
  };
  auto shoes = send("garments");
  auto coats = send("coats");
  // The other one is done while this one's process unpacks.
  absl::Status other = absl::UnknownError("never ran");
  bool first = true;
  converter_.before = [&](const std::stop_token&) {
    if (std::exchange(first, false)) {
      other = coats->Finish({}).status();
    }
    return absl::OkStatus();
  };
  const absl::Status late = shoes->Finish({}).status();
  EXPECT_TRUE(other.ok()) << other;
  EXPECT_EQ(catalog_->Find("coats")->files, 1u);
  EXPECT_TRUE(IsLimitReached(late)) << late;
  EXPECT_EQ(catalog_->Find("garments")->files, 0u);
  shoes.reset();
  EXPECT_EQ(State().state(), v1::DATASET_UPLOAD_STATE_RECEIVING) << "it can be tried again";
}

TEST_F(UploadsTest, WhatGoesWrongWithTheProcessCanBeTriedAgain) {
  auto stream = *uploads_->Begin(Header());
  ASSERT_TRUE(Send(*stream, "red.jpg", red_).ok());
  ASSERT_TRUE(Send(*stream, "blue.jpg", blue_).ok());
  converter_.before = [](const std::stop_token&) { return absl::InternalError("killed"); };
  EXPECT_TRUE(absl::IsInternal(stream->Finish({}).status()));
  stream.reset();
  EXPECT_EQ(catalog_->Find("garments")->files, 0u);
  EXPECT_EQ(State().files_received(), 2u);
  converter_.before = [](const std::stop_token&) { return absl::OkStatus(); };
  EXPECT_EQ((*uploads_->Begin(Header(2)))->Finish({})->set.files, 2u);
}

TEST_F(UploadsTest, ContentsThatAreRefusedAreForgotten) {
  auto stream = *uploads_->Begin(Header());
  ASSERT_TRUE(Send(*stream, "red.jpg", red_).ok());
  ASSERT_TRUE(Send(*stream, "blue.jpg", blue_).ok());
  converter_.before = [](const std::stop_token&) { return InvalidField("file", "is damaged"); };
  EXPECT_EQ(FieldOf(stream->Finish({}).status()), "file");
  stream.reset();
  EXPECT_TRUE(IsForgotten());
}

TEST_F(UploadsTest, ASetThatABegunJobLearnsFromTakesNothing) {
  uses_ = {{.job_id = "runs", .begun = true}};
  EXPECT_TRUE(absl::IsFailedPrecondition(uploads_->Begin(Header()).status()));
  uses_ = {{.job_id = "waits", .begun = false}};
  EXPECT_TRUE(uploads_->Begin(Header()).ok());
}

TEST_F(UploadsTest, DeletingASetTakesItsUploadsWithIt) {
  auto stream = *uploads_->Begin(Header());
  ASSERT_TRUE(Send(*stream, "red.jpg", red_).ok());
  EXPECT_EQ(uploads_->List("garments").size(), 1u);
  EXPECT_TRUE(uploads_->DeleteSet("garments").ok());
  EXPECT_TRUE(absl::IsAborted(Send(*stream, "blue.jpg", blue_)));
  stream.reset();
  Make("garments");
  EXPECT_TRUE(IsForgotten());
  EXPECT_TRUE(absl::IsNotFound(uploads_->Delete("garments", "u1")));
}

TEST_F(UploadsTest, TwoUploadsAtOnceDoNotCountOnTheSameDisk) {
  std::uint64_t free_bytes = (16ULL << 20U) + Header().bytes() + 10;
  room_ = std::make_unique<DiskRoom>([&] { return absl::StatusOr<std::uint64_t>(free_bytes); });
  Open();
  auto stream = *uploads_->Begin(Header());
  v1::UploadDatasetHeader second = Header();
  second.set_upload_id("u2");
  const absl::Status refused = uploads_->Begin(second).status();
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("no room"));
  EXPECT_TRUE(absl::IsNotFound(uploads_->Get("garments", "u2").status()));
  EXPECT_TRUE(uploads_->Begin(Header()).ok()) << "the same upload needs it once";
  // One that goes on needs what is still to come.
  stream = *uploads_->Begin(Header());
  ASSERT_TRUE(Send(*stream, "red.jpg", red_).ok());
  free_bytes -= red_.size() + 10;
  EXPECT_TRUE(uploads_->Begin(Header(1)).ok());
  stream.reset();
  free_bytes -= 1;
  EXPECT_TRUE(absl::IsResourceExhausted(uploads_->Begin(Header(1)).status()));
  EXPECT_EQ(State().files_received(), 1u);
}

TEST_F(UploadsTest, TwoImportsAtOnceDoNotCountOnTheSameRoom) {
  Make("coats");
  fs::create_directories(folder_ / "imports/shoes/left");
  std::ofstream(folder_ / "imports/shoes/a.jpg") << std::string(20, 'x');
  std::ofstream(folder_ / "imports/shoes/left/b.png") << std::string(10, 'x');
  std::ofstream(folder_ / "imports/shoes/notes.txt") << std::string(1000, 'x');
  std::uint64_t free_bytes = 1ULL << 40U;
  room_ = std::make_unique<DiskRoom>([&] { return absl::StatusOr<std::uint64_t>(free_bytes); });
  limits_.max_total_bytes = 54;
  const auto import = [&](const std::string& set) {
    v1::ImportDatasetRequest request;
    request.set_name(set);
    request.set_folder("shoes");
    return uploads_->Import(request, {}).status();
  };
  // While the first one's process works: what the second one's may add.
  std::uint64_t second = 0;
  const auto import_two = [&] {
    bool first = true;
    converter_.before = [&, first](const std::stop_token&) mutable {
      if (std::exchange(first, false)) {
        EXPECT_TRUE(import("coats").ok());
        second = converter_.last.limits.max_added_bytes;
      }
      return absl::OkStatus();
    };
    return import("garments");
  };
  Open();
  EXPECT_TRUE(import_two().ok());
  EXPECT_EQ(converter_.last.limits.max_added_bytes, 30u) << "the size of its pictures";
  EXPECT_EQ(second, 24u) << "what the first one leaves of the quota";

  limits_ = {};
  free_bytes = (16ULL << 20U) + 40;
  Open();
  EXPECT_TRUE(import_two().ok());
  EXPECT_EQ(second, 10u) << "what the first one leaves of the disk";
  EXPECT_EQ(keeper_->UsedBytes(""), 2 * HeaderOfPicture("g").size()) << "promises are over";

  // The process knows one bound only; its caller hears which it was.
  converter_.before = [](const std::stop_token&) {
    return absl::ResourceExhaustedError("dataset_limits.max_total_mib: reached");
  };
  EXPECT_THAT(std::string(import("coats").message()), HasSubstr("folder grew"));
  free_bytes = 0;
  EXPECT_THAT(std::string(import("coats").message()), HasSubstr("disk has no room"));
  limits_.max_total_bytes = 2 * HeaderOfPicture("g").size() + 1;
  free_bytes = 1ULL << 40U;
  Open();
  EXPECT_THAT(std::string(import("coats").message()), HasSubstr("max_total_mib"));
}

TEST_F(UploadsTest, FoldersAreImportedFromBelowARootOnly) {
  fs::create_directories(folder_ / "imports/shoes");
  fs::create_directories(folder_ / "secret");
  fs::create_directory_symlink(folder_ / "secret", folder_ / "imports/link");
  const auto import = [&](const std::string& folder) {
    v1::ImportDatasetRequest request;
    request.set_name("garments");
    request.set_folder(folder);
    return uploads_->Import(request, {});
  };
  const auto result = import("shoes");
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->set.files, 1u);
  EXPECT_EQ(converter_.last.from, folder_ / "imports");
  EXPECT_EQ(converter_.last.below, "shoes");
  for (const std::string& bad :
       {std::string(), std::string("../secret"), (folder_ / "secret").string(), std::string("link"),
        std::string("link/x"), std::string("shoes/../../secret")}) {
    EXPECT_EQ(FieldOf(import(bad).status()), "folder") << bad;
  }
  EXPECT_TRUE(absl::IsNotFound(import("nowhere").status()));
}

}  // namespace
}  // namespace atelier::server
