#include "worker/files/attempt_mirror.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/worker/files/files_fixture.h"

namespace atelier::worker {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using Pass = AttemptMirror::Pass;

class AttemptMirrorTest : public test::FilesTest {
 protected:
  AttemptMirrorTest() { fs::create_directory(attempt()); }

  fs::path attempt() const { return directory_ / "attempt"; }

  // Whole under another name first, as training does it.
  void Write(const std::string& path, const std::string& contents) const {
    test::WriteContents(attempt() / (path + ".tmp"), contents);
    fs::rename(attempt() / (path + ".tmp"), attempt() / path);
  }
  void Append(const std::string& path, const std::string& contents) const {
    std::ofstream(attempt() / path, std::ios::app) << contents;
  }

  // What was changed since this was last asked.
  std::vector<std::string> NewChanges() {
    const std::vector<std::string> all = files_.changes();
    const std::vector<std::string> fresh(all.begin() + static_cast<std::ptrdiff_t>(seen_),
                                         all.end());
    seen_ = all.size();
    return fresh;
  }

  AttemptMirror mirror_{*client_, "attempt", attempt()};
  std::size_t seen_ = 0;
};

TEST_F(AttemptMirrorTest, SendsEveryFileOnceAndWhatChanged) {
  Write("samples/step-1.jpg", "jpeg");
  Write("report.html", "<p>");
  ASSERT_TRUE(mirror_.Run(Pass::kAll).ok());
  EXPECT_THAT(files_.Get("attempt"),
              UnorderedElementsAre(testing::Pair("samples/step-1.jpg", "jpeg"),
                                   testing::Pair("report.html", "<p>")));
  EXPECT_THAT(NewChanges(), ElementsAre("report.html", "samples/step-1.jpg"));
  ASSERT_TRUE(mirror_.Run(Pass::kAll).ok());
  EXPECT_EQ(files_.writes(), 1);  // nothing new, no call
  Write("report.html", "<p>more");
  ASSERT_TRUE(mirror_.Run(Pass::kAll).ok());
  EXPECT_THAT(NewChanges(), ElementsAre("report.html"));
  EXPECT_EQ(files_.Get("attempt")["report.html"], "<p>more");
}

TEST_F(AttemptMirrorTest, AFileLargerThanAMessageComesWhole) {
  const std::string contents = std::string(kFileChunkBytes, 'a') + std::string(1000, 'b');
  Write("state.safetensors", contents);
  ASSERT_TRUE(mirror_.Run(Pass::kAll).ok());
  EXPECT_TRUE(files_.Get("attempt")["state.safetensors"] == contents);
}

TEST_F(AttemptMirrorTest, FilesThatGrowAreAddedTo) {
  Append("stats.jsonl", "{1}\n");
  Append("cells/1/log.txt", "");  // its folder is not there: nothing
  Write("empty", "");
  ASSERT_TRUE(mirror_.Run(Pass::kAll).ok());
  Append("stats.jsonl", "{22}\n");
  Write("new.jpg", "not yet");
  ASSERT_TRUE(mirror_.Run(Pass::kGrowing).ok());
  EXPECT_THAT(NewChanges(), ElementsAre("empty", "stats.jsonl", "stats.jsonl+5"));
  EXPECT_EQ(files_.Get("attempt")["stats.jsonl"], "{1}\n{22}\n");
}

TEST_F(AttemptMirrorTest, AGrowingFileThatWasReplacedIsSentWhole) {
  Append("stats.jsonl", "{1}\n");
  ASSERT_TRUE(mirror_.Run(Pass::kAll).ok());
  Write("stats.jsonl", "{another}\n");
  ASSERT_TRUE(mirror_.Run(Pass::kAll).ok());
  EXPECT_THAT(NewChanges(), ElementsAre("stats.jsonl", "stats.jsonl"));
  EXPECT_EQ(files_.Get("attempt")["stats.jsonl"], "{another}\n");
}

TEST_F(AttemptMirrorTest, WhatIsHiddenOrHalfDoneStaysHere) {
  for (const char* path :
       {".result/model.json", "result.tmp/model.json", "checkpoints/tmp-5/state.safetensors",
        ".x.tmp-1-2", ".ranks.start", "cells/0/result.tmp/model.json",
        "cells/0/checkpoints/tmp-5/state.safetensors"}) {
    test::WriteContents(attempt() / path, "x");
  }
  test::WriteContents(directory_ / "secret", "x");
  fs::create_symlink(directory_ / "secret", attempt() / "link");
  ASSERT_TRUE(mirror_.Run(Pass::kAll).ok());
  EXPECT_THAT(NewChanges(), IsEmpty());
}

TEST_F(AttemptMirrorTest, PicturesMayHaveNamesLikeThoseOfHalfDoneFiles) {
  const std::vector<std::string> paths = {"pictures/result.tmp", "pictures/tmp-12.jpg",
                                          "pictures/tmp-x/a.jpg", "pictures/x.tmp/result.tmp/a.jpg",
                                          "result/checkpoints/tmp-1/a.jpg"};
  for (const std::string& path : paths) {
    test::WriteContents(attempt() / path, "x");
  }
  ASSERT_TRUE(mirror_.Run(Pass::kAll).ok());
  EXPECT_THAT(NewChanges(), testing::UnorderedElementsAreArray(paths));
}

TEST_F(AttemptMirrorTest, WhatVouchesForACheckpointComesLastAndGoesFirst) {
  for (const char* name : {"complete", "checkpoint.json", "state.safetensors"}) {
    Write("checkpoints/step-5/" + std::string(name), name);
  }
  Write("report.html", "<p>");
  ASSERT_TRUE(mirror_.Run(Pass::kAll).ok());
  EXPECT_THAT(NewChanges(), ElementsAre("checkpoints/step-5/checkpoint.json",
                                        "checkpoints/step-5/state.safetensors", "report.html",
                                        "checkpoints/step-5/complete"));
  for (const char* name : {"complete", "state.safetensors"}) {
    Write("checkpoints/step-10/" + std::string(name), name);
  }
  fs::remove_all(attempt() / "checkpoints/step-5");
  ASSERT_TRUE(mirror_.Run(Pass::kAll).ok());
  EXPECT_THAT(NewChanges(),
              ElementsAre("checkpoints/step-10/state.safetensors", "checkpoints/step-10/complete",
                          "-checkpoints/step-5/complete", "-checkpoints/step-5"));
  ASSERT_TRUE(mirror_.Run(Pass::kAll).ok());
  EXPECT_THAT(NewChanges(), IsEmpty());  // removed once
}

TEST_F(AttemptMirrorTest, AFileOfACheckpointThatGoesTakesTheVouchingOneAlong) {
  for (const char* name : {"complete", "state.safetensors"}) {
    Write("checkpoints/step-5/" + std::string(name), name);
  }
  ASSERT_TRUE(mirror_.Run(Pass::kAll).ok());
  NewChanges();
  fs::remove(attempt() / "checkpoints/step-5/state.safetensors");
  ASSERT_TRUE(mirror_.Run(Pass::kAll).ok());
  EXPECT_THAT(NewChanges(),
              ElementsAre("-checkpoints/step-5/complete", "-checkpoints/step-5/state.safetensors"));
}

TEST_F(AttemptMirrorTest, AFolderThatMovesIsSentUnderItsNewNameBeforeTheOldOneGoes) {
  Write("pictures/a.jpg", "a");
  Write("pictures/shirts/b.jpg", "b");
  ASSERT_TRUE(mirror_.Run(Pass::kAll).ok());
  NewChanges();
  fs::rename(attempt() / "pictures", attempt() / "result");
  ASSERT_TRUE(mirror_.Run(Pass::kAll).ok());
  EXPECT_THAT(NewChanges(), ElementsAre("result/a.jpg", "result/shirts/b.jpg", "-pictures"));
}

TEST_F(AttemptMirrorTest, WhatFailedIsSentAgainWholeAndOtherwiseRemoved) {
  Append("log.txt", "one\n");
  ASSERT_TRUE(mirror_.Run(Pass::kAll).ok());
  Append("log.txt", "two\n");
  Write("samples/step-1.jpg", "jpeg");
  files_.FailNextWrite(grpc::Status(grpc::StatusCode::UNAVAILABLE, "try again"));
  EXPECT_TRUE(absl::IsUnavailable(mirror_.Run(Pass::kAll)));
  fs::remove_all(attempt() / "samples");
  ASSERT_TRUE(mirror_.Run(Pass::kAll).ok());
  EXPECT_THAT(NewChanges(), ElementsAre("log.txt", "log.txt", "-samples"));
  EXPECT_EQ(files_.Get("attempt")["log.txt"], "one\ntwo\n");
}

TEST_F(AttemptMirrorTest, AServerWithAnotherFileGetsItWhole) {
  Append("log.txt", "one\n");
  ASSERT_TRUE(mirror_.Run(Pass::kAll).ok());
  files_.Put("attempt", "log.txt", "something else");
  Append("log.txt", "two\n");
  EXPECT_TRUE(absl::IsFailedPrecondition(mirror_.Run(Pass::kAll)));
  ASSERT_TRUE(mirror_.Run(Pass::kAll).ok());
  EXPECT_EQ(files_.Get("attempt")["log.txt"], "one\ntwo\n");
}

TEST_F(AttemptMirrorTest, TheServersReasonsAreTheResult) {
  Write("report.html", "<p>");
  for (const grpc::StatusCode code :
       {grpc::StatusCode::RESOURCE_EXHAUSTED, grpc::StatusCode::ABORTED}) {
    files_.FailNextWrite(grpc::Status(code, "on the server: because"));
    const absl::Status status = mirror_.Run(Pass::kAll);
    EXPECT_EQ(static_cast<int>(status.code()), static_cast<int>(code));
    EXPECT_EQ(status.message(), "on the server: because");
  }
}

TEST_F(AttemptMirrorTest, AServerThatGrpcCallsExhaustedIsBusyAndNotFull) {
  Write("report.html", "<p>");
  files_.FailNextWrite(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "Bandwidth exhausted"));
  EXPECT_TRUE(absl::IsUnavailable(mirror_.Run(Pass::kAll)));
  EXPECT_TRUE(mirror_.Run(Pass::kAll).ok());
}

TEST_F(AttemptMirrorTest, AFolderThatIsGoneIsAnErrorAndNothingIsRemovedOnTheServer) {
  Write("report.html", "<p>");
  ASSERT_TRUE(mirror_.Run(Pass::kAll).ok());
  fs::remove_all(attempt());
  EXPECT_TRUE(absl::IsDataLoss(mirror_.Run(Pass::kAll)));
  EXPECT_EQ(files_.Get("attempt").size(), 1);
}

TEST_F(AttemptMirrorTest, ManyFilesGoInSeveralCalls) {
  for (int i = 0; i < 201; ++i) {
    test::WriteContents(attempt() / ("pictures/" + std::to_string(i)), "x");
  }
  ASSERT_TRUE(mirror_.Run(Pass::kAll).ok());
  EXPECT_EQ(files_.writes(), 2);
  EXPECT_EQ(files_.Get("attempt").size(), 201);
  EXPECT_EQ(mirror_.delivered(), 201);
}

TEST_F(AttemptMirrorTest, WhatArrivedBeforeAFailureCountsAndIsNotSentAgain) {
  for (int i = 0; i < 300; ++i) {
    test::WriteContents(attempt() / ("pictures/" + std::to_string(i)), "x");
  }
  files_.FailWritesFrom(2);
  EXPECT_TRUE(absl::IsUnavailable(mirror_.Run(Pass::kAll)));
  EXPECT_EQ(mirror_.delivered(), 200);
  files_.FailWritesFrom(0);
  ASSERT_TRUE(mirror_.Run(Pass::kAll).ok());
  EXPECT_THAT(NewChanges(), testing::SizeIs(300));
  EXPECT_EQ(mirror_.delivered(), 300);
}

TEST_F(AttemptMirrorTest, ManySmallFilesHaveTheTimeThatTheServersDiskTakes) {
  for (int i = 0; i < 100; ++i) {
    test::WriteContents(attempt() / ("pictures/" + std::to_string(i)), "x");
  }
  const absl::Time before = absl::Now();
  ASSERT_TRUE(mirror_.Run(Pass::kAll).ok());
  // A second for each, beside what any call has.
  EXPECT_GT(files_.write_deadline(), before + absl::Seconds(200));
}

}  // namespace
}  // namespace atelier::worker
