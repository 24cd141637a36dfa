// What the trainer reports, as messages on the link.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "atelier/internal/v1/worker_link.pb.h"
#include "worker/link/outbox.h"
#include "worker/train/trainer.h"

namespace atelier::worker {

// Used by one thread. Progress that finds the send queue full is replaced by the next one;
// everything else waits for its turn.
class LinkObserver final : public train::Observer {
 public:
  // The outbox must outlive the observer.
  LinkObserver(Outbox& outbox, std::string job_id, std::uint64_t fence)
      : outbox_(outbox), job_id_(std::move(job_id)), fence_(fence) {}

  void OnStart(std::int64_t first_step) override;
  void OnProgress(const train::Progress& progress) override;
  void OnSample(std::int64_t step, const std::string& jpeg) override;
  void OnCheckpoint(std::int64_t step) override;
  // Once for each sentence: a data set that is both content and style is looked at twice.
  void OnWarning(const std::string& sentence) override;

  // A warning, and the message of a job that succeeds.
  void OnStoppedEarly(const std::string& sentence) override;

  // The last message. False when the session is broken.
  bool Finish(internal::v1::JobFinished finished);

 private:
  internal::v1::WorkerMessage NewUpdate() const;
  // Sends progress that was put off, then `message`.
  bool Send(internal::v1::WorkerMessage message);

  Outbox& outbox_;
  const std::string job_id_;
  const std::uint64_t fence_;
  std::optional<internal::v1::WorkerMessage> postponed_;
  std::set<std::string> told_;  // warnings
  std::string stopped_early_;   // why; empty: it did not
};

}  // namespace atelier::worker
