#include "common/convert_task.h"

#include <gtest/gtest.h>

#include <cmath>

#include "common/errors.h"
#include "common/files.h"
#include "tests/support/temp_dir.h"

namespace atelier {
namespace {

TEST(ConvertTaskTest, AnImportIsReadAsItWasWritten) {
  const test::TempDir folder;
  const ImportTask work{.family = "cut",
                        .precision = Precision::kBf16,
                        .file_name = "a\"b.pth",
                        .sha256 = "ab",
                        .source = "a friend",
                        .license = "CC0",
                        .card = "# Two\nlines"};
  ASSERT_TRUE(
      WriteConvertTask(folder.path(), {.memory_bytes = 5, .file_bytes = 6, .work = work}).ok());
  const auto read = ReadConvertTask(folder.path());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->memory_bytes, 5u);
  EXPECT_EQ(read->file_bytes, 6u);
  const auto& got = std::get<ImportTask>(read->work);
  EXPECT_EQ(got.family, "cut");
  EXPECT_EQ(got.precision, Precision::kBf16);
  EXPECT_EQ(got.file_name, "a\"b.pth");
  EXPECT_EQ(got.sha256, "ab");
  EXPECT_EQ(got.source, "a friend");
  EXPECT_EQ(got.license, "CC0");
  EXPECT_EQ(got.card, "# Two\nlines");
  ASSERT_TRUE(WriteConvertTask(folder.path(), {.work = ImportTask{}}).ok());
  EXPECT_FALSE(std::get<ImportTask>(ReadConvertTask(folder.path())->work).precision.has_value());
}

TEST(ConvertTaskTest, AnExportIsReadAsItWasWritten) {
  const test::TempDir folder;
  for (const WeightsFormat format :
       {WeightsFormat::kSafetensors, WeightsFormat::kTorchPickle, WeightsFormat::kTorchScript}) {
    ASSERT_TRUE(
        WriteConvertTask(folder.path(), {.work = ExportTask{.model = "/m/oil/1", .format = format}})
            .ok());
    const auto read = ReadConvertTask(folder.path());
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(std::get<ExportTask>(read->work).model, "/m/oil/1");
    EXPECT_EQ(std::get<ExportTask>(read->work).format, format);
  }
}

TEST(ConvertTaskTest, TasksThatAreMissingOrMalformedAreErrors) {
  const test::TempDir folder;
  EXPECT_TRUE(absl::IsInternal(ReadConvertTask(folder.path()).status()));
  for (const char* text : {"", "{", "[]", "{\"memory_bytes\":1}", "{\"import\":{}}"}) {
    ASSERT_TRUE(WriteFileAtomically(folder / "task.json", text).ok());
    EXPECT_TRUE(absl::IsInternal(ReadConvertTask(folder.path()).status())) << text;
  }
}

TEST(ConvertTaskTest, AnOutcomeKeepsCodeSentenceAndField) {
  const test::TempDir folder;
  EXPECT_FALSE(ReadConvertOutcome(folder.path()).has_value());
  for (const absl::Status& outcome : {absl::OkStatus(), absl::FailedPreconditionError("Not so."),
                                      InvalidField("header.family", "is wrong")}) {
    ASSERT_TRUE(WriteConvertOutcome(folder.path(), outcome).ok());
    const auto read = ReadConvertOutcome(folder.path());
    ASSERT_TRUE(read.has_value());
    EXPECT_EQ(read->code(), outcome.code());
    EXPECT_EQ(read->message(), outcome.message());
    EXPECT_EQ(FieldOf(*read), FieldOf(outcome));
  }
  ASSERT_TRUE(WriteFileAtomically(folder / "outcome.json", "{\"code\":0}").ok());
  EXPECT_FALSE(ReadConvertOutcome(folder.path()).has_value());
}

TEST(ConvertTaskTest, APublicationAndAJudgementAreReadAsTheyWereWritten) {
  const test::TempDir folder;
  const PublishTask publish{.job_id = "oil-1",
                            .kind = "train",
                            .config = R"({"family":"cut"})",
                            .checkpoint = "/a/step-5",
                            .stats = "/a/stats.jsonl",
                            .content_directory = "/c",
                            .style_directory = "",
                            .source_model = "/m"};
  ASSERT_TRUE(WriteConvertTask(folder.path(), {.work = publish}).ok());
  const auto made = std::get<PublishTask>(ReadConvertTask(folder.path())->work);
  EXPECT_EQ(made.job_id, "oil-1");
  EXPECT_EQ(made.kind, "train");
  EXPECT_EQ(made.config, publish.config);
  EXPECT_EQ(made.checkpoint, publish.checkpoint);
  EXPECT_EQ(made.stats, publish.stats);
  EXPECT_EQ(made.content_directory, publish.content_directory);
  EXPECT_EQ(made.style_directory, "");
  EXPECT_EQ(made.source_model, publish.source_model);

  const JudgeTask judge{.candidate = "/a",
                        .current = "/b",
                        .content_directory = "/c",
                        .style_directory = "/s",
                        .metrics = {"ssim", "diversity"},
                        .pictures = 9,
                        .size = 128,
                        .seed = 1ULL << 63U};
  ASSERT_TRUE(WriteConvertTask(folder.path(), {.work = judge}).ok());
  const auto judged = std::get<JudgeTask>(ReadConvertTask(folder.path())->work);
  EXPECT_EQ(judged.candidate, judge.candidate);
  EXPECT_EQ(judged.current, judge.current);
  EXPECT_EQ(judged.style_directory, judge.style_directory);
  EXPECT_EQ(judged.metrics, judge.metrics);
  EXPECT_EQ(judged.pictures, 9);
  EXPECT_EQ(judged.size, 128);
  EXPECT_EQ(judged.seed, judge.seed);
}

TEST(ConvertTaskTest, NumbersAreReadAsTheyWereWritten) {
  const test::TempDir folder;
  EXPECT_TRUE(absl::IsInternal(ReadJudgeNumbers(folder.path()).status()));
  const JudgeNumbers numbers{
      .pictures = 3, .candidate = {{"ssim", 0.1}, {"recall", -2}}, .current = {}};
  JudgeNumbers told = numbers;
  told.candidate["precision"] = std::nan("");
  told.current["ssim"] = HUGE_VAL;
  ASSERT_TRUE(WriteJudgeNumbers(folder.path(), told).ok()) << "without what is no number";
  const auto read = ReadJudgeNumbers(folder.path());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->pictures, 3);
  EXPECT_EQ(read->candidate, numbers.candidate);
  EXPECT_TRUE(read->current.empty());
  ASSERT_TRUE(WriteFileAtomically(folder / kConvertNumbers, R"({"pictures":"x"})").ok());
  EXPECT_TRUE(absl::IsInternal(ReadJudgeNumbers(folder.path()).status()));
}

}  // namespace
}  // namespace atelier
