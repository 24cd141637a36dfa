#include "worker/ranks/rank_group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <torch/torch.h>
#include <unistd.h>

#include <string>

#include "absl/time/clock.h"
#include "tests/worker/ranks/rank_threads.h"
#include "worker/ranks/addresses.h"

namespace atelier::ranks {
namespace {

using testing::AllOf;
using testing::HasSubstr;

torch::Tensor Of(double number) { return torch::full({3}, number); }

TEST(RankGroupTest, SumsBroadcastsAndGathersInAnyNumberOfRanks) {
  for (const int size : {2, 3}) {
    OnRanks(size, [size](RankGroup& group) {
      const torch::Tensor first = Of(group.rank() + 1);
      const torch::Tensor second = Of(10 * (group.rank() + 1));
      const auto wait_first = group.StartSum(first);
      const auto wait_second = group.StartSum(second);  // while the first is on its way
      wait_second();
      wait_first();
      const double sum = size * (size + 1) / 2.0;
      EXPECT_TRUE(torch::equal(first, Of(sum)));
      EXPECT_TRUE(torch::equal(second, Of(10 * sum)));

      const torch::Tensor mine = Of(7 + group.rank());
      group.Broadcast(mine);
      EXPECT_TRUE(torch::equal(mine, Of(7)));

      const torch::Tensor all = group.Gather(Of(group.rank()));
      for (int rank = 0; rank < size; ++rank) {
        EXPECT_TRUE(torch::equal(all[rank], Of(rank)));
      }
      EXPECT_TRUE(group.Barrier().ok());
    });
  }
}

TEST(RankGroupTest, FactsThatDifferAreNamedWithTheRankOnAllRanks) {
  OnRanks(3, [](RankGroup& group) {
    EXPECT_TRUE(group.ExpectEqual({{"the weather", "fine"}}).ok());
    const absl::Status status = group.ExpectEqual(
        {{"the weather", "fine"}, {"the job", group.rank() == 2 ? "digest b" : "digest a"}});
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("the job"), HasSubstr("digest a"),
                                                     HasSubstr("rank 2"), HasSubstr("digest b")));
  });
}

TEST(RankGroupTest, ARankThatLeavesTellsTheOthersWhy) {
  OnRanks(3, [](RankGroup& group) {
    if (group.rank() == 1) {
      group.Leave(absl::DataLossError("its disk is gone"));
      return;
    }
    group.Sum(Of(1));
    EXPECT_EQ(group.status(), absl::DataLossError("rank 1 ended: its disk is gone"));
    // What comes afterwards neither waits nor fails anew.
    group.Sum(Of(1));
    EXPECT_FALSE(group.Barrier().ok());
    group.Leave(group.status());
  });
}

TEST(RankGroupTest, ALostRankIsNamedWithinSeconds) {
  for (const int lost : {0, 1}) {
    OnRanks(2, [lost](RankGroup& group) {
      if (group.rank() == lost) {
        return;  // without a word, as if it were killed
      }
      const absl::Time start = absl::Now();
      group.Sum(Of(1));
      EXPECT_LT(absl::Now() - start, absl::Seconds(20));
      EXPECT_EQ(group.status().code(), absl::StatusCode::kUnavailable);
      EXPECT_THAT(std::string(group.status().message()),
                  HasSubstr("rank " + std::to_string(lost) + " of 2 was lost"));
    });
  }
}

TEST(RankGroupTest, RanksThatDoNotComeAreNamed) {
  RankGroup::Options options = {.rank = 0, .size = 3};
  options.join_timeout = absl::Seconds(1);
  const auto group = RankGroup::Join(options);
  EXPECT_EQ(group.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(group.status().message()),
              AllOf(HasSubstr("ranks 1, 2 of 3"), HasSubstr("127.0.0.1")));
}

TEST(RankGroupTest, AMissingRankZeroIsToldWithItsPlace) {
  // Nobody answers at a port that was free a moment ago.
  const auto listener = ListenAt("127.0.0.1", 0);
  ASSERT_TRUE(listener.ok());
  ASSERT_EQ(::shutdown(listener->socket, SHUT_RDWR), 0);
  ::close(listener->socket);
  RankGroup::Options options = {.rank = 1, .size = 2, .port = listener->port};
  options.join_timeout = absl::Seconds(1);
  const auto group = RankGroup::Join(options);
  EXPECT_EQ(group.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(group.status().message()), HasSubstr(std::to_string(listener->port)));
}

TEST(RankGroupTest, PlacesThatCannotBeAreRefused) {
  RankGroup::Options options = {.rank = 0, .size = 2, .host = "no.such.host.invalid"};
  options.join_timeout = absl::Seconds(1);
  EXPECT_EQ(RankGroup::Join(options).status().code(), absl::StatusCode::kInvalidArgument);
  options.host = "203.0.113.7";  // another machine's (RFC 5737)
  EXPECT_EQ(RankGroup::Join(options).status().code(), absl::StatusCode::kInvalidArgument);
  const auto listener = ListenAt("127.0.0.1", 0);
  ASSERT_TRUE(listener.ok());
  options.host = "127.0.0.1";
  options.port = listener->port;
  EXPECT_EQ(RankGroup::Join(options).status().code(), absl::StatusCode::kUnavailable);
  ::close(listener->socket);
}

}  // namespace
}  // namespace atelier::ranks
