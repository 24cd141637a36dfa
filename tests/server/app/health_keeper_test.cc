#include "server/app/health_keeper.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <vector>

#include "prometheus/registry.h"
#include "tests/server/support/stylize_fakes.h"
#include "tests/support/fake_clock.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

using test::WaitUntil;

class NullPort final : public WorkerPort {
 public:
  void SendTask(RequestId, const Work&, absl::Time, std::atomic<bool>&) override {}
  void SendCancel(RequestId) override {}
};

class HealthKeeperTest : public ::testing::Test {
 protected:
  static constexpr absl::Duration kGrace = absl::Seconds(40);

  bool PassTimeUntilServingIs(bool serving) {
    return WaitUntil([&] {
      clock_.Advance(absl::Milliseconds(200));
      return keeper_.health().serving() == serving;
    });
  }

  absl::StatusCode EnqueueCode() {
    auto request =
        std::make_unique<Request>(queue_.NextId(), testing::SampleWork(), RequestTraits(),
                                  clock_.Now() + absl::Hours(1), answers_.Expect());
    return queue_.Enqueue(request).code();
  }

  std::vector<bool> reports() const {
    const absl::MutexLock lock(&mutex_);
    return reports_;
  }

  test::FakeClock clock_;
  prometheus::Registry registry_;
  QueueProbe probe_{registry_};
  testing::Answers answers_;
  RequestQueue queue_{{}, clock_, probe_};
  DispatchProbe dispatch_probe_{registry_};
  Dispatcher dispatcher_{queue_, clock_, dispatch_probe_, kGrace};
  mutable absl::Mutex mutex_;
  std::vector<bool> reports_ ABSL_GUARDED_BY(mutex_);
  HealthKeeper keeper_{dispatcher_, clock_, [this](const HealthKeeper::Health& health) {
                         const absl::MutexLock lock(&mutex_);
                         reports_.push_back(health.serving());
                       }};
};

TEST_F(HealthKeeperTest, ServesWithoutWorkersForTheGraceThenRefusesUntilOneComes) {
  EXPECT_EQ(reports(), std::vector<bool>{true}) << "told at once";
  const absl::Time start = clock_.Now();
  EXPECT_EQ(EnqueueCode(), absl::StatusCode::kOk) << "requests queue within the grace";
  ASSERT_TRUE(PassTimeUntilServingIs(false));
  EXPECT_GE(clock_.Now() - start, kGrace);
  EXPECT_EQ(EnqueueCode(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(WaitUntil([&] { return answers_.count() == 1; })) << "what waited is refused, too";

  dispatcher_.AddWorker(1, 1, std::make_shared<NullPort>(), "cpu-0");
  EXPECT_TRUE(dispatcher_.AddCredit(1, 1).ok());
  ASSERT_TRUE(PassTimeUntilServingIs(true));
  EXPECT_EQ(EnqueueCode(), absl::StatusCode::kOk);
  EXPECT_EQ(reports(), (std::vector<bool>{true, false, true}));
}

TEST_F(HealthKeeperTest, DrainIsForGoodAndTakesRequests) {
  keeper_.BeginDrain();
  EXPECT_FALSE(keeper_.health().serving());
  EXPECT_EQ(reports().back(), false);
  EXPECT_EQ(EnqueueCode(), absl::StatusCode::kOk) << "whoever has not noticed yet is served";
  dispatcher_.AddWorker(1, 1, std::make_shared<NullPort>(), "cpu-0");
  clock_.Advance(absl::Hours(1));
  EXPECT_FALSE(keeper_.health().serving());
}

}  // namespace
}  // namespace atelier::server
