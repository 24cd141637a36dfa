#include "worker/jobs/courier.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <string>
#include <utility>

#include "common/status_macros.h"

namespace atelier::worker {
namespace {

using internal::v1::WorkerMessage;

// A file that changes while it is sent has come to rest long before.
constexpr int kMaxDamagedPasses = 10;

bool SpeaksOfFiles(const WorkerMessage& message) {
  return message.job_update().has_checkpoint() || message.job_update().has_sample();
}

absl::Status Lost(const std::string& why) { return absl::AbortedError(why); }

// What no other pass mends, as Drain tells it; OK for the rest.
absl::Status FinalError(const absl::Status& error) {
  switch (error.code()) {
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kInvalidArgument:
      return error;
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnimplemented:
      return Lost(std::string(error.message()));
    default:
      return absl::OkStatus();
  }
}

}  // namespace

Courier::Courier(Options options) : options_(std::move(options)), thread_([this] { Run(); }) {}

Courier::~Courier() {
  Abandon();
  thread_.join();
}

bool Courier::Send(WorkerMessage message) {
  {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(this, &Courier::EndedOrRoom));
    if (!end_.has_value()) {
      waiting_.push_back(std::move(message));
      return true;
    }
    if (!Passing()) {
      return false;
    }
  }
  return options_.session->Send(std::move(message));
}

bool Courier::TrySend(WorkerMessage message) {
  {
    absl::MutexLock lock(&mu_);
    if (!end_.has_value()) {
      if (delivering_ || !waiting_.empty()) {
        return false;
      }
      waiting_.push_back(std::move(message));
      return true;
    }
    if (!Passing()) {
      return false;
    }
  }
  return options_.session->TrySend(std::move(message));
}

absl::Status Courier::Drain() {
  absl::MutexLock lock(&mu_);
  draining_ = true;
  mu_.Await(absl::Condition(this, &Courier::Ended));
  return *end_;
}

void Courier::Abandon() {
  absl::MutexLock lock(&mu_);
  if (!end_.has_value()) {
    end_ = Lost("the link to the server broke");
  }
}

void Courier::Run() {
  while (std::optional<Load> load = Next()) {
    const absl::Status delivered = Deliver(*load);
    bool tell = false;
    {
      absl::MutexLock lock(&mu_);
      delivering_ = false;
      if (!end_.has_value() && (!delivered.ok() || load->last)) {
        end_ = delivered;
        tell = !delivered.ok();
      }
    }
    if (tell) {
      spdlog::error("the job's files do not reach the server: {}",
                    std::string(delivered.message()));
      options_.on_end();
    }
  }
}

std::optional<Courier::Load> Courier::Next() {
  absl::MutexLock lock(&mu_);
  mu_.AwaitWithTimeout(absl::Condition(this, &Courier::EndedOrWork), pause_);
  if (end_.has_value()) {
    return std::nullopt;
  }
  Load load;
  load.messages.swap(waiting_);
  load.last = draining_;
  delivering_ = true;
  return load;
}

absl::Status Courier::Deliver(Load& load) {
  if (load.last || std::ranges::any_of(load.messages, SpeaksOfFiles)) {
    ATELIER_RETURN_IF_ERROR(MirrorAll());
  } else if (load.messages.empty()) {
    ATELIER_RETURN_IF_ERROR(MirrorGrowing());
  }
  for (WorkerMessage& message : load.messages) {
    if (!options_.session->Send(std::move(message))) {
      return Lost("the link to the server broke");
    }
  }
  return absl::OkStatus();
}

absl::Status Courier::MirrorGrowing() {
  const absl::Time begin = absl::Now();
  const absl::Status outcome = options_.mirror(AttemptMirror::Pass::kGrowing);
  pause_ = std::max(options_.interval, 10 * (absl::Now() - begin));
  // Nobody waits for these: what fails for a passing reason goes with the next pass.
  return FinalError(outcome);
}

absl::Status Courier::MirrorAll() {
  absl::Time limit = absl::Now() + options_.patience;
  absl::Duration backoff = options_.backoff_min;
  std::uint64_t before = Delivered();
  int damaged = 0;
  while (true) {
    absl::Status outcome = options_.mirror(AttemptMirror::Pass::kAll);
    if (outcome.ok()) {
      return outcome;
    }
    ATELIER_RETURN_IF_ERROR(FinalError(outcome));
    if (absl::IsDataLoss(outcome) && ++damaged == kMaxDamagedPasses) {
      return outcome;
    }
    if (Delivered() != before) {
      before = Delivered();
      limit = absl::Now() + options_.patience;
      backoff = options_.backoff_min;
    }
    if (absl::Now() > limit) {
      return Lost(std::string(outcome.message()));
    }
    spdlog::warn("the job's files do not reach the server: {}; they are sent again",
                 std::string(outcome.message()));
    absl::MutexLock lock(&mu_);
    if (mu_.AwaitWithTimeout(absl::Condition(this, &Courier::Ended), backoff)) {
      return Lost("the link to the server broke");
    }
    backoff = std::min(2 * backoff, options_.backoff_max);
  }
}

}  // namespace atelier::worker
