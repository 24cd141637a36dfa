#include "server/transfer/transfer_threads.h"

#include <gtest/gtest.h>

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
