#include "server/feedback/recent_requests.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/fake_clock.h"

namespace atelier::server {
namespace {

class RecentRequestsTest : public ::testing::Test {
 protected:
  // "name@version", or nothing.
  std::string Find(const std::string& id) {
    const auto found = recent_.Find(id);
    return found.has_value() ? found->name + "@" + std::to_string(found->version) : "";
  }

  test::FakeClock clock_;
  RecentRequests recent_{{.most = 3, .age = absl::Hours(1)}, clock_};
};

TEST_F(RecentRequestsTest, AnAnswerIsRememberedWithItsVersion) {
  recent_.Note("a", "oil", 3);
  EXPECT_EQ(Find("a"), "oil@3");
  EXPECT_EQ(Find("b"), "");
}

TEST_F(RecentRequestsTest, TheOldestGoWhenThereAreTooMany) {
  for (const char* id : {"a", "b", "c", "d"}) {
    recent_.Note(id, "oil", 1);
  }
  EXPECT_EQ(Find("a"), "");
  EXPECT_EQ(Find("b"), "oil@1");
  EXPECT_EQ(Find("d"), "oil@1");
}

TEST_F(RecentRequestsTest, TheyGoAtTheirAge) {
  recent_.Note("a", "oil", 1);
  clock_.Advance(absl::Minutes(59));
  recent_.Note("b", "oil", 2);
  EXPECT_EQ(Find("a"), "oil@1");
  clock_.Advance(absl::Minutes(1));
  EXPECT_EQ(Find("a"), "");
  EXPECT_EQ(Find("b"), "oil@2");
}

TEST_F(RecentRequestsTest, AnIdThatComesTwiceMeansTheLastAnswerAndIsYoungAgain) {
  recent_.Note("a", "oil", 1);
  recent_.Note("b", "oil", 1);
  recent_.Note("a", "ink", 2);
  recent_.Note("c", "oil", 1);
  recent_.Note("d", "oil", 1);
  EXPECT_EQ(Find("a"), "ink@2");
  EXPECT_EQ(Find("b"), "");
}

}  // namespace
}  // namespace atelier::server
