// A queue under a fake clock, for the tests of what it takes, gives out and takes back.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "prometheus/registry.h"
#include "prometheus/text_serializer.h"
#include "server/queue/request_queue.h"
#include "tests/server/support/stylize_fakes.h"
#include "tests/support/fake_clock.h"

namespace atelier::server::testing {

class QueueFixture : public ::testing::Test {
 protected:
  explicit QueueFixture(QueueLimits limits = {.max_waiting = 1000})
      : queue_(std::move(limits), clock_, probe_) {}

  // The id, or why it was refused.
  absl::StatusOr<RequestId> Offer(Answers& answers, RequestTraits traits = {},
                                  absl::Duration left = absl::Hours(1)) {
    const RequestId id = queue_.NextId();
    auto request = std::make_unique<Request>(id, SampleWork(), std::move(traits),
                                             clock_.Now() + left, answers.Expect());
    if (absl::Status status = queue_.Enqueue(request); !status.ok()) {
      return status;
    }
    return id;
  }

  std::string Metrics() { return prometheus::TextSerializer().Serialize(registry_.Collect()); }

  test::FakeClock clock_;
  prometheus::Registry registry_;
  QueueProbe probe_{registry_};
  RequestQueue queue_;
};

}  // namespace atelier::server::testing
