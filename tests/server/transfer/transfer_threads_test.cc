#include "server/transfer/transfer_threads.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "absl/synchronization/notification.h"
#include "common/errors.h"

namespace atelier::server {
namespace {

absl::Time Soon() { return absl::Now() + absl::Seconds(20); }

TEST(TransferThreadsTest, TakesAsManyAsItHasThreadsAndTellsTheOthersToComeLater) {
  TransferThreads threads(2, SystemClock());
  absl::Notification go;
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(threads.Run([&go] { go.WaitForNotification(); }).ok());
  }
  const absl::Status third = threads.Run([] {});
  EXPECT_TRUE(absl::IsResourceExhausted(third));
  EXPECT_TRUE(RetryDelayOf(third).has_value());
  EXPECT_FALSE(threads.AwaitIdle(absl::Now()));
  go.Notify();
  EXPECT_TRUE(threads.AwaitIdle(Soon()));
  EXPECT_TRUE(threads.Run([] {}).ok());
}

TEST(TransferThreadsTest, SomeMayWaitForAThreadTheFirstInFront) {
  TransferThreads threads(1, SystemClock(), "folders are read", /*waiting=*/2);
  absl::Notification go;
  std::vector<int> order;  // of the one thread
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(threads
                    .Run([&go, &order, i] {
                      go.WaitForNotification();
                      order.push_back(i);
                    })
                    .ok());
  }
  const absl::Status fourth = threads.Run([] {});
  EXPECT_TRUE(absl::IsResourceExhausted(fourth));
  EXPECT_THAT(std::string(fourth.message()), ::testing::HasSubstr("3 folders are read already"));
  go.Notify();
  EXPECT_TRUE(threads.AwaitIdle(Soon()));
  EXPECT_THAT(order, ::testing::ElementsAre(0, 1, 2));
}

TEST(TransferThreadsTest, ClosedItFinishesWhatRunsAndTakesNothing) {
  TransferThreads threads(1, SystemClock());
  absl::Notification go;
  bool done = false;
  ASSERT_TRUE(threads
                  .Run([&] {
                    go.WaitForNotification();
                    done = true;
                  })
                  .ok());
  threads.Close();
  EXPECT_TRUE(absl::IsUnavailable(threads.Run([] {})));
  go.Notify();
  EXPECT_TRUE(threads.AwaitIdle(Soon()));
  EXPECT_TRUE(done);
}

}  // namespace
}  // namespace atelier::server
