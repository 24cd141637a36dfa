#include "worker/jobs/link_observer.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "common/picture_bounds.h"
#include "worker/jobs/job_messages.h"

namespace atelier::worker {

using internal::v1::WorkerMessage;

void LinkObserver::OnStart(std::int64_t first_step) {
  WorkerMessage message = NewUpdate();
  message.mutable_job_update()->mutable_started()->set_step(static_cast<std::uint64_t>(first_step));
  Send(std::move(message));
}

void LinkObserver::OnProgress(const train::Progress& progress) {
  WorkerMessage message = NewUpdate();
  *message.mutable_job_update()->mutable_progress() = ToProgress(progress);
  if (outbox_.TrySend(message)) {
    postponed_.reset();
  } else {
    postponed_ = std::move(message);
  }
}

void LinkObserver::OnSample(std::int64_t step, const std::string& jpeg) {
  if (jpeg.size() > kMaxSampleBytes) {
    spdlog::warn("the sample of step {} has {} bytes and stays in the attempt's folder", step,
                 jpeg.size());
    return;
  }
  WorkerMessage message = NewUpdate();
  v1::JobSample* sample = message.mutable_job_update()->mutable_sample();
  sample->set_step(static_cast<std::uint64_t>(step));
  sample->set_image(jpeg);
  Send(std::move(message));
}

void LinkObserver::OnCheckpoint(std::int64_t step) {
  WorkerMessage message = NewUpdate();
  message.mutable_job_update()->mutable_checkpoint()->set_step(static_cast<std::uint64_t>(step));
  Send(std::move(message));
}

void LinkObserver::OnWarning(const std::string& sentence) {
  if (!told_.insert(sentence).second) {
    return;
  }
  spdlog::warn("{}", sentence);
  WorkerMessage message = NewUpdate();
  message.mutable_job_update()->mutable_warning()->set_message(sentence);
  Send(std::move(message));
}

void LinkObserver::OnStoppedEarly(const std::string& sentence) {
  stopped_early_ = sentence;
  OnWarning(sentence);
}

bool LinkObserver::Finish(internal::v1::JobFinished finished) {
  WorkerMessage message = NewUpdate();
  if (finished.outcome() == internal::v1::JobFinished::OUTCOME_SUCCEEDED) {
    finished.set_message(stopped_early_);
  }
  *message.mutable_job_update()->mutable_finished() = std::move(finished);
  return Send(std::move(message));
}

WorkerMessage LinkObserver::NewUpdate() const {
  WorkerMessage message;
  message.mutable_job_update()->set_job_id(job_id_);
  message.mutable_job_update()->set_fence(fence_);
  return message;
}

bool LinkObserver::Send(WorkerMessage message) {
  if (postponed_.has_value()) {
    outbox_.Send(*std::exchange(postponed_, std::nullopt));
  }
  return outbox_.Send(std::move(message));
}

}  // namespace atelier::worker
