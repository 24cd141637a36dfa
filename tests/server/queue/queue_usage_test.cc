#include "server/queue/queue_usage.h"

#include <gtest/gtest.h>

namespace atelier::server {
namespace {

class QueueUsageTest : public ::testing::Test {
 protected:
  static RequestTraits Of(const char* model, const char* client) {
    return {.model = model, .client = client};
  }
  void Accept(const RequestTraits& traits, std::uint64_t bytes = 10) {
    usage_.Hold(traits, bytes);
    usage_.BeginWaiting(traits);
  }

  QueueUsage usage_;
};

TEST_F(QueueUsageTest, SharesThatAreNotSetAreTheServers) {
  const QueueLimits limits{.max_waiting = 2, .max_bytes = 100};
  const RequestTraits traits = Of("oil@1", "10.0.0.1");
  Accept(traits);
  EXPECT_EQ(usage_.Exceeded(limits, traits, 10), std::nullopt);
  Accept(traits);
  EXPECT_EQ(usage_.Exceeded(limits, traits, 10), Rejection::kQueueFull);
  usage_.EndWaiting(traits);
  EXPECT_EQ(usage_.Exceeded(limits, traits, 80), std::nullopt);
  EXPECT_EQ(usage_.Exceeded(limits, traits, 81), Rejection::kBytesFull);
}

TEST_F(QueueUsageTest, OneModelOrClientDoesNotTakeThePlaceOfOthers) {
  const QueueLimits limits{.per_model = {.max_waiting = 2}, .per_client = {.max_waiting = 1}};
  Accept(Of("oil@1", "a"));
  EXPECT_EQ(usage_.Exceeded(limits, Of("oil@1", "a"), 10), Rejection::kClientFull);
  EXPECT_EQ(usage_.Exceeded(limits, Of("oil@1", "b"), 10), std::nullopt);
  Accept(Of("oil@1", "b"));
  EXPECT_EQ(usage_.Exceeded(limits, Of("oil@1", "c"), 10), Rejection::kModelFull);
  EXPECT_EQ(usage_.Exceeded(limits, Of("oil@2", "c"), 10), std::nullopt);
}

TEST_F(QueueUsageTest, BytesOfAModelAndOfAClientAreBoundedButOneRequestAlonePasses) {
  const QueueLimits limits{.per_model = {.max_bytes = 100}, .per_client = {.max_bytes = 50}};
  EXPECT_EQ(usage_.Exceeded(limits, Of("oil@1", "a"), 5000), std::nullopt);
  Accept(Of("oil@1", "a"), 50);
  EXPECT_EQ(usage_.Exceeded(limits, Of("ink@1", "a"), 1), Rejection::kClientFull);
  EXPECT_EQ(usage_.Exceeded(limits, Of("oil@1", "b"), 50), std::nullopt);
  EXPECT_EQ(usage_.Exceeded(limits, Of("oil@1", "b"), 51), Rejection::kModelFull);
  // Neither sums nor differences wrap around.
  EXPECT_EQ(usage_.Exceeded(limits, Of("oil@1", "b"), ~0ULL), Rejection::kBytesFull);
}

TEST_F(QueueUsageTest, AnswersThatWereNotTakenCountForAllAndForTheirClient) {
  const QueueLimits limits{.max_bytes = 100, .per_client = {.max_bytes = 60}};
  usage_.HoldAnswer("a", 50);
  usage_.HoldAnswer("a", 30);
  EXPECT_EQ(usage_.bytes(), 80U);
  EXPECT_EQ(usage_.Exceeded(limits, Of("oil@1", "a"), 10), Rejection::kClientFull);
  EXPECT_EQ(usage_.Exceeded(limits, Of("oil@1", "b"), 20), std::nullopt);
  EXPECT_EQ(usage_.Exceeded(limits, Of("oil@1", "b"), 21), Rejection::kBytesFull);
  usage_.ReleaseAnswer("a", 50);
  EXPECT_EQ(usage_.Exceeded(limits, Of("oil@1", "a"), 30), std::nullopt);
  usage_.ReleaseAnswer("a", 30);
  EXPECT_EQ(usage_.tracked(), 0U);
}

TEST_F(QueueUsageTest, SingleModelsMayHaveALimitOfTheirOwnByVersionOrName) {
  const QueueLimits limits{.per_model = {.max_waiting = 0},
                           .max_waiting_of_model = {{"oil", 1}, {"oil@2", 2}}};
  EXPECT_EQ(usage_.Exceeded(limits, Of("ink@1", "a"), 10), Rejection::kModelFull);
  EXPECT_EQ(usage_.Exceeded(limits, Of("oil@1", "a"), 10), std::nullopt);
  Accept(Of("oil@1", "a"));
  Accept(Of("oil@2", "a"));
  EXPECT_EQ(usage_.Exceeded(limits, Of("oil@1", "a"), 10), Rejection::kModelFull);
  EXPECT_EQ(usage_.Exceeded(limits, Of("oil@2", "a"), 10), std::nullopt);
}

TEST_F(QueueUsageTest, WhatCanNeverWaitTogetherIsToldApartFromWhatIsTooMuchNow) {
  const RequestTraits traits = Of("oil@1", "a");
  const QueueLimits limits{.max_waiting = 8,
                           .max_bytes = 100,
                           .per_client = {.max_waiting = 5, .max_bytes = 50},
                           .max_waiting_of_model = {{"ink", 2}}};
  EXPECT_EQ(QueueUsage::ExceededByAll(limits, traits, 5, 50), std::nullopt);
  EXPECT_EQ(QueueUsage::ExceededByAll(limits, traits, 6, 50), Rejection::kClientFull);
  EXPECT_EQ(QueueUsage::ExceededByAll(limits, traits, 2, 51), Rejection::kClientFull);
  EXPECT_EQ(QueueUsage::ExceededByAll(limits, traits, 9, 50), Rejection::kQueueFull);
  EXPECT_EQ(QueueUsage::ExceededByAll(limits, Of("ink@1", "a"), 3, 1), Rejection::kModelFull);
  EXPECT_EQ(QueueUsage::ExceededByAll(limits, traits, 1, 5000), std::nullopt) << "alone it passes";
}

TEST_F(QueueUsageTest, KeepsNothingOfThoseWhoHaveNoRequestLeft) {
  const RequestTraits traits{.model = "oil@1", .client = "a", .priority = Priority::kLow};
  Accept(traits, 10);
  Accept(traits, 20);
  EXPECT_EQ(usage_.waiting(Priority::kLow), 2U);
  EXPECT_EQ(usage_.bytes(), 30U);
  for (const std::uint64_t bytes : {10, 20}) {
    usage_.EndWaiting(traits);
    usage_.Release(traits, bytes);
  }
  EXPECT_EQ(usage_.waiting(), 0U);
  EXPECT_EQ(usage_.waiting(Priority::kLow), 0U);
  EXPECT_EQ(usage_.bytes(), 0U);
  EXPECT_EQ(usage_.tracked(), 0U);
}

}  // namespace
}  // namespace atelier::server
