// Runs one task through a pipeline and waits for its outcome.
#pragma once

#include <utility>

#include "absl/synchronization/notification.h"
#include "worker/serve/pipeline.h"

namespace atelier::test {

// `Outcome` is the one that belongs to the kind of task.
template <typename Outcome, typename Task>
Outcome AwaitOutcome(worker::Pipeline& pipeline, Task task) {
  Outcome outcome;
  absl::Notification done;
  pipeline.Submit(std::move(task), [&](Outcome result) {
    outcome = std::move(result);
    done.Notify();
  });
  done.WaitForNotification();
  return outcome;
}

}  // namespace atelier::test
