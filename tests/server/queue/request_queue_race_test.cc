#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "prometheus/registry.h"
#include "server/queue/request_queue.h"
#include "tests/server/support/stylize_fakes.h"
#include "tests/support/fake_clock.h"

namespace atelier::server {
namespace {

using test::FakeClock;
using testing::SampleOutcome;
using testing::SampleWork;

// Of a few models, clients, priorities and fingerprints.
RequestTraits TraitsOf(RequestId id) {
  return {.model = "m@" + std::to_string(id % 2),
          .client = std::to_string(id % 5),
          .priority = static_cast<Priority>(id % kPriorities),
          .fingerprint = id % 50};
}

// Everything that may end a request races for it; each request must be answered exactly once.
TEST(RequestQueueRaceTest, EveryRequestIsAnsweredExactlyOnce) {
  constexpr int kRequests = 2000;
  FakeClock clock;
  prometheus::Registry registry;
  QueueProbe probe(registry);
  RequestQueue queue({.max_waiting = kRequests, .max_bytes = 1ULL << 30U}, clock, probe);
  std::vector<std::atomic<int>> answered(kRequests + 1);
  std::atomic<int> total = 0;
  std::atomic<bool> produced = false;

  std::thread producer([&] {
    for (int i = 0; i < kRequests; ++i) {
      const RequestId id = queue.NextId();
      const absl::Time deadline = clock.Now() + absl::Milliseconds(i % 7 + 1);
      auto request = std::make_unique<Request>(id, SampleWork(10), TraitsOf(id), deadline,
                                               [&, id](const absl::StatusOr<Outcome>&) {
                                                 ++answered.at(id);
                                                 ++total;
                                               });
      if (!queue.Enqueue(request).ok()) {
        ++answered.at(id);
        ++total;
      }
    }
    produced = true;
  });
  const auto work = [&](bool loses) {
    while (!produced || total < kRequests) {
      if (auto next = queue.TakeNext()) {
        if (loses && next->id % 3 == 0) {
          queue.Strike(next->fingerprint);
          queue.Requeue(next->id, next->id % 2 == 0 ? RequestQueue::Loss::kDied
                                                    : RequestQueue::Loss::kNotBegun);
        } else {
          queue.Complete(next->id, SampleOutcome());
        }
      }
      std::this_thread::yield();
    }
  };
  std::thread steady([&] { work(false); });
  std::thread lossy([&] { work(true); });
  std::thread canceller([&] {
    for (RequestId id = 1; id <= kRequests; id += 5) {
      queue.Cancel(id);
      clock.Advance(absl::Microseconds(200));
    }
  });
  producer.join();
  steady.join();
  lossy.join();
  canceller.join();
  for (int id = 1; id <= kRequests; ++id) {
    EXPECT_EQ(answered.at(id), 1) << "request " << id;
  }
  EXPECT_EQ(queue.waiting(), 0U);
}

}  // namespace
}  // namespace atelier::server
