// A dispatcher with its queue under a fake clock, for the tests of what goes wrong.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "common/errors.h"
#include "prometheus/registry.h"
#include "prometheus/text_serializer.h"
#include "server/dispatch/dispatcher.h"
#include "server/queue/load_failure.h"
#include "tests/server/dispatch/dispatch_fakes.h"
#include "tests/server/support/stylize_fakes.h"
#include "tests/support/fake_clock.h"

namespace atelier::server::testing {

class DispatcherFixture : public ::testing::Test {
 protected:
  RequestId Add(Answers& answers, std::uint64_t fingerprint = 0,
                const std::string& weights = "ab") {
    const auto id = Offer(answers, {.fingerprint = fingerprint}, absl::Hours(1), weights);
    EXPECT_TRUE(id.ok()) << id.status();
    return id.value_or(0);
  }
  // The id, or why it was refused.
  absl::StatusOr<RequestId> Offer(Answers& answers, const RequestTraits& traits,
                                  absl::Duration left = absl::Hours(1),
                                  const std::string& weights = "ab") {
    StylizeWork work = SampleWork();
    work.model.weights_sha256 = weights;
    auto request = std::make_unique<Request>(queue_.NextId(), std::move(work), traits,
                                             clock_.Now() + left, answers.Expect());
    const RequestId id = request->id();
    if (absl::Status refused = queue_.Enqueue(request); !refused.ok()) {
      return refused;
    }
    return id;
  }
  void FailToLoad(WorkerId worker, RequestId task) {
    EXPECT_TRUE(
        dispatcher_.OnResult(worker, task, AsLoadFailure(absl::DataLossError("damaged"))).ok());
  }

  // Worker `id` is called w-`id`, unless it is the successor of another.
  std::shared_ptr<FakePort> Connect(WorkerId id, std::uint32_t credit = 8, std::uint32_t slots = 2,
                                    const std::string& name = "") {
    auto port = std::make_shared<FakePort>();
    dispatcher_.AddWorker(id, slots, port, name.empty() ? "w-" + std::to_string(id) : name);
    EXPECT_TRUE(dispatcher_.AddCredit(id, credit).ok());
    return port;
  }
  void Finish(WorkerId worker, RequestId task) {
    EXPECT_TRUE(dispatcher_.OnResult(worker, task, SampleOutcome()).ok());
  }
  void Fail(WorkerId worker, RequestId task) {
    EXPECT_TRUE(dispatcher_.OnResult(worker, task, absl::InternalError("broken")).ok());
  }
  std::string Metrics() { return prometheus::TextSerializer().Serialize(registry_.Collect()); }

  static constexpr absl::Duration kWorkerGrace = absl::Seconds(40);

  test::FakeClock clock_;
  prometheus::Registry registry_;
  QueueProbe probe_{registry_};
  RequestQueue queue_{{}, clock_, probe_};
  DispatchProbe dispatch_probe_{registry_};
  Dispatcher dispatcher_{queue_, clock_, dispatch_probe_, kWorkerGrace};
};

}  // namespace atelier::server::testing
