#include "server/feedback/rating_book.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "common/errors.h"
#include "tests/server/support/model_fakes.h"

namespace atelier::server {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class RatingBookTest : public ::testing::Test {
 protected:
  RatingBookTest() {
    testing::WriteModel(folder_ / "result", "one");
    for (const char* name : {"oil", "ink"}) {
      EXPECT_TRUE(catalog_->Publish(name, "", folder_ / "result").ok());
    }
    recent_.Note("r1", "oil", 1);
    recent_.Note("r2", "oil", 1);
    recent_.Note("r3", "ink", 1);
  }

  absl::StatusOr<v1::RateResponse> Rate(const std::string& id, std::uint32_t score,
                                        const std::string& note = "") {
    v1::RateRequest request;
    request.set_request_id(id);
    request.set_score(score);
    request.set_note(note);
    return book_.Rate(request);
  }

  test::TempDir folder_;
  test::FakeClock clock_;
  std::unique_ptr<store::SqliteStore> store_ =
      *store::SqliteStore::Open({.path = folder_ / "atelier.db"});
  std::unique_ptr<ModelCatalog> catalog_ = *ModelCatalog::Create(
      {.store = store_.get(), .models_directory = folder_ / "models", .clock = &clock_});
  RecentRequests recent_{{.most = 10, .age = absl::Hours(24)}, clock_};
  RatingBook book_{*store_, *catalog_, recent_, clock_};
};

TEST_F(RatingBookTest, ARatingCountsForTheVersionThatAnswered) {
  const auto first = Rate("r1", 5, "lovely");
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->model(), "oil");
  EXPECT_EQ(first->version(), 1u);
  EXPECT_FALSE(first->replaced());
  const auto second = Rate("r2", 2, "too dark");
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->summary().count(), 2u);
  EXPECT_DOUBLE_EQ(second->summary().mean(), 3.5);
  EXPECT_THAT(second->summary().counts(), ElementsAre(0, 1, 0, 0, 1));
  EXPECT_THAT(second->summary().notes(), ElementsAre("too dark", "lovely"));
  EXPECT_EQ(book_.Summary("ink", 1)->count(), 0u);
}

TEST_F(RatingBookTest, ASecondRatingOfARequestReplacesTheFirst) {
  ASSERT_TRUE(Rate("r1", 1, "bad").ok());
  const auto again = Rate("r1", 4);
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(again->replaced());
  EXPECT_EQ(again->summary().count(), 1u);
  EXPECT_DOUBLE_EQ(again->summary().mean(), 4);
  EXPECT_THAT(again->summary().notes(), ElementsAre());
}

TEST_F(RatingBookTest, WhatWasRatedCanBeRatedAgainWhenTheRequestIsForgotten) {
  ASSERT_TRUE(Rate("r1", 1).ok());
  clock_.Advance(absl::Hours(24));
  EXPECT_TRUE(Rate("r1", 3).ok());
  const absl::Status forgotten = Rate("r2", 3).status();
  EXPECT_TRUE(absl::IsNotFound(forgotten));
  EXPECT_THAT(std::string(forgotten.message()),
              AllOf(HasSubstr("\"r2\""), HasSubstr("10 answers for 24 hours")));
}

TEST_F(RatingBookTest, BadRatingsNameTheirField) {
  EXPECT_EQ(FieldOf(Rate("", 3).status()), "request_id");
  EXPECT_EQ(FieldOf(Rate(std::string(129, 'a'), 3).status()), "request_id");
  EXPECT_EQ(FieldOf(Rate("r1", 0).status()), "score");
  EXPECT_EQ(FieldOf(Rate("r1", 6).status()), "score");
  EXPECT_EQ(FieldOf(Rate("r1", 3, std::string(1001, 'a')).status()), "note");
  EXPECT_EQ(FieldOf(Rate("r1", 3, "\x1b[31mred").status()), "note");
  // C1 control characters are escape sequences, too; what is no UTF-8 may become one.
  EXPECT_EQ(FieldOf(Rate("r1", 3,
                         "\xc2\x9b"
                         "31mred")
                        .status()),
            "note");
  EXPECT_EQ(FieldOf(Rate("r1", 3,
                         "\x9b"
                         "31mred")
                        .status()),
            "note");
  EXPECT_EQ(FieldOf(Rate("r1", 3, "\xed\xa0\x80").status()), "note");
  // The id comes back in the sentence about an unknown one.
  for (const char* id : {"\x1b[31mred", "a\nb",
                         "\xc2\x9b"
                         "31m",
                         "\xff"}) {
    EXPECT_EQ(FieldOf(Rate(id, 3).status()), "request_id") << id;
  }
  EXPECT_TRUE(Rate("r1", 3, "two\nlines\tand \xc3\xa9t\xc3\xa9").ok());
}

TEST_F(RatingBookTest, RatingsGoWithTheDeletedVersion) {
  ASSERT_TRUE(Rate("r1", 5).ok());
  ASSERT_TRUE(Rate("r3", 5).ok());
  ASSERT_TRUE(catalog_->Delete("oil@1").ok());
  EXPECT_EQ(book_.Summary("oil", 1)->count(), 0u);
  EXPECT_EQ(book_.Summary("ink", 1)->count(), 1u);
  const absl::Status gone = Rate("r1", 5).status();
  EXPECT_TRUE(absl::IsNotFound(gone));
  EXPECT_EQ(ResourceOf(gone)->name, "oil@1");
}

TEST_F(RatingBookTest, PagesHaveTheNewestFirst) {
  ASSERT_TRUE(Rate("r1", 1).ok());
  ASSERT_TRUE(Rate("r2", 2).ok());
  const ModelVersion model = *catalog_->Resolve("oil");
  const auto first = book_.List(model, 0, 1);
  ASSERT_TRUE(first.ok());
  ASSERT_EQ(first->ratings.size(), 1u);
  EXPECT_EQ(first->ratings[0].request_id, "r2");
  EXPECT_EQ(first->ratings[0].time, clock_.Now());
  const auto last = book_.List(model, first->next, 1);
  ASSERT_TRUE(last.ok());
  EXPECT_EQ(last->ratings[0].request_id, "r1");
  EXPECT_EQ(last->next, 0u);
}

TEST_F(RatingBookTest, TheCardsSectionHasScoresAndNotes) {
  ASSERT_TRUE(Rate("r1", 5, "lovely\nfolds").ok());
  ASSERT_TRUE(Rate("r2", 4).ok());
  EXPECT_THAT(RatingSection(*book_.Summary("oil", 1)),
              AllOf(HasSubstr("## What people said"), HasSubstr("4.50 of 2 ratings"),
                    HasSubstr("| 5 | 1 |"), HasSubstr("- lovely folds\n")));
  EXPECT_EQ(RatingSection(*book_.Summary("ink", 1)), "");
}

}  // namespace
}  // namespace atelier::server
