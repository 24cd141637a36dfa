#include "server/queue/load_estimate.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace atelier::server {
namespace {

// Weight of the newest request's work.
constexpr double kWorkWeight = 0.1;
// The most that an estimate is held to have been wrong by.
constexpr double kOutlier = 4;
// Models whose cost is remembered; the one measured longest ago makes room.
constexpr std::size_t kMaxModels = 1024;
// A window over which parallelism is measured is long against a task, whatever that takes.
constexpr absl::Duration kMinWindow = absl::Milliseconds(500);
constexpr std::uint32_t kMinDone = 4;
constexpr std::uint32_t kMinDoneOfSlot = 2;
// Results of one batch come within this.
constexpr absl::Duration kSameBatch = absl::Milliseconds(5);
// What older windows weigh against the newest.
constexpr double kWindowDecay = 0.9;
// Over how long arrivals are averaged.
constexpr double kArrivalSeconds = 3;
constexpr double kErrorWeight = 0.02;
constexpr double kDeviations = 4;
// Stalls of a tenth of a second, which no average foretells, are daily bread on shared machines:
// with 1.1 and deadlines of a second 24 and 68 of 1,000 accepted requests were late.
constexpr double kMinCaution = 1.25;
constexpr double kMaxCaution = 3;
// Before anything was measured. Unit: seconds for a request.
constexpr double kUnknownWork = 1;
// Of the estimate of what overtakes, which depends on itself.
constexpr int kRounds = 8;

double Seconds(absl::Duration duration) { return absl::ToDoubleSeconds(duration); }

}  // namespace

void LoadEstimate::SetSlots(std::uint32_t slots) {
  if (slots == slots_) {
    return;
  }
  window_.reset();
  if (slots != 0) {
    slots_ = slots;
  }
}

double LoadEstimate::UnitsOf(const RequestTraits& traits) {
  // Work that has no size is all of one size.
  return traits.megapixels > 0 ? traits.megapixels : 1;
}

absl::Duration LoadEstimate::WorkOf(const RequestTraits& traits) const {
  const auto known = costs_.find(traits.model);
  const SizeCost& cost = known == costs_.end() ? overall_ : known->second;
  return absl::Seconds(cost.Of(UnitsOf(traits)));
}

std::optional<double> LoadEstimate::Parallelism() const {
  if (wall_sum_ > 0) {
    return work_sum_ / wall_sum_ * std::max(1U, slots_);
  }
  return slots_ == 0 ? std::nullopt : std::optional<double>(slots_);
}

std::optional<absl::Duration> LoadEstimate::ReadyIn(const RequestTraits& traits,
                                                    const Backlog& backlog, absl::Time now) const {
  std::size_t ahead = backlog.in_work.requests + backlog.returned.requests;
  for (const WaitingLines::Length& line : backlog.lines) {
    ahead += line.requests;
  }
  const std::optional<double> parallelism = Parallelism();
  if (ahead < std::max(1U, slots_) || !overall_.known() || !parallelism.has_value()) {
    return std::nullopt;
  }
  const double progress = std::max(0.0, Seconds(now - progress_from_)) * *parallelism;
  const WaitingLines::Length& own = backlog.lines.at(static_cast<std::size_t>(traits.priority));
  const double before = std::max(0.0, WorkIn(backlog.in_work, traits) - progress) +
                        WorkIn(backlog.returned, traits) + WorkIn(own, traits);
  // The longer it waits, the more may overtake it. From above, so that stopping early is no
  // optimism.
  double wait = std::numeric_limits<double>::infinity();
  for (int round = 0; round < kRounds; ++round) {
    wait = (before + Overtaking(traits, own.requests + 1, backlog, wait, now)) / *parallelism;
  }
  return absl::Seconds(wait) + WorkOf(traits);
}

double LoadEstimate::WorkIn(const WaitingLines::Length& length, const RequestTraits& like) const {
  return Seconds(length.work) + static_cast<double>(length.unknown) * Seconds(WorkOf(like));
}

double LoadEstimate::Overtaking(const RequestTraits& traits, std::size_t place,
                                const Backlog& backlog, double in, absl::Time now) const {
  const auto own = static_cast<std::size_t>(traits.priority);
  double work = 0;
  for (int line = 0; line < kPriorities; ++line) {
    const auto index = static_cast<std::size_t>(line);
    const double rate = RateOf(static_cast<Priority>(line), now);
    const double waits = WorkIn(backlog.lines.at(index), traits);
    if (index == own || (rate <= 0 && waits <= 0)) {
      continue;
    }
    const double turns = static_cast<double>(place) * kTurns.at(index) / kTurns.at(own);
    const double arrives = rate > 0 ? rate * in : 0;
    const auto requests =
        static_cast<double>(std::max<std::size_t>(1, backlog.lines.at(index).requests));
    const double each = std::max(arrivals_.at(index).work, waits / requests);
    work += std::min(waits + arrives, turns * each);
  }
  return work;
}

double LoadEstimate::RateOf(Priority priority, absl::Time now) const {
  const Arrivals& arrivals = arrivals_.at(static_cast<std::size_t>(priority));
  return arrivals.rate * std::exp(-Seconds(now - arrivals.at) / kArrivalSeconds);
}

double LoadEstimate::caution() const {
  return std::clamp(error_mean_ + kDeviations * error_deviation_, kMinCaution, kMaxCaution);
}

absl::Duration LoadEstimate::DrainTime(const Backlog& backlog) const {
  double work = Seconds(backlog.returned.work);
  std::size_t requests = backlog.returned.requests;
  for (const WaitingLines::Length& line : backlog.lines) {
    work += Seconds(line.work);
    requests += line.requests;
  }
  if (!overall_.known()) {
    work = kUnknownWork * static_cast<double>(requests);
  }
  const auto in_work = static_cast<double>(std::max<std::size_t>(1, backlog.in_work.requests));
  return absl::Seconds(work / Parallelism().value_or(in_work));
}

void LoadEstimate::Arrived(Priority priority, absl::Duration work, absl::Time now) {
  if (work <= absl::ZeroDuration()) {
    return;
  }
  const double rate = RateOf(priority, now);
  Arrivals& arrivals = arrivals_.at(static_cast<std::size_t>(priority));
  arrivals.rate = rate + Seconds(work) / kArrivalSeconds;
  arrivals.work +=
      (arrivals.at == absl::InfinitePast() ? 1 : kWorkWeight) * (Seconds(work) - arrivals.work);
  arrivals.at = now;
}

void LoadEstimate::Done(const RequestTraits& traits, absl::Duration work, absl::Time now) {
  progress_from_ = now;
  const double seconds = std::max(Seconds(work), 1e-9);
  costs_[traits.model].Measure(UnitsOf(traits), seconds, now);
  overall_.Measure(UnitsOf(traits), seconds, now);
  Forget();

  const std::uint32_t slots = std::max(1U, slots_);
  if (!window_.has_value()) {
    window_ = Window{.start = now, .skipped = 1};
    return;
  }
  // The rest of a batch whose first part opened the window: its time is not in the window either.
  if (window_->skipped > 0 && window_->skipped < slots && now - window_->start < kSameBatch) {
    window_->start = now;
    ++window_->skipped;
    return;
  }
  window_->skipped = 0;
  window_->work += Seconds(work);
  ++window_->done;
  if (now - window_->start < kMinWindow ||
      window_->done < std::max(kMinDone, kMinDoneOfSlot * slots)) {
    return;
  }
  work_sum_ = kWindowDecay * work_sum_ + window_->work;
  wall_sum_ = kWindowDecay * wall_sum_ + Seconds(now - window_->start) * slots;
  window_ = Window{.start = now};
}

void LoadEstimate::Forget() {
  if (costs_.size() > kMaxModels) {
    costs_.erase(std::ranges::min_element(
        costs_, {}, [](const auto& model) { return model.second.measured_at(); }));
  }
}

void LoadEstimate::Compare(absl::Duration ready_in, absl::Duration actual) {
  if (ready_in <= absl::ZeroDuration()) {
    return;
  }
  const double error = std::clamp(absl::FDivDuration(actual, ready_in), 1 / kOutlier, kOutlier);
  error_deviation_ += kErrorWeight * (std::abs(error - error_mean_) - error_deviation_);
  error_mean_ += kErrorWeight * (error - error_mean_);
}

}  // namespace atelier::server
