#include "worker/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "common/check.h"
#include "common/status_macros.h"
#include "worker/train/saved_state.h"

namespace atelier::train {
namespace {

double Decay(const ScheduleConfig& schedule, double progress) {
  switch (schedule.kind) {
    case ScheduleKind::kConstant:
    case ScheduleKind::kPlateau:
      return 1;
    case ScheduleKind::kLinear:
      return 1 + (schedule.final_share - 1) * progress;
    case ScheduleKind::kCosine:
      return schedule.final_share +
             (1 - schedule.final_share) * (1 + std::cos(std::numbers::pi * progress)) / 2;
  }
  ATELIER_CHECK(false);
}

}  // namespace

double RateShare(const ScheduleConfig& schedule, std::int64_t step, std::int64_t steps) {
  ATELIER_CHECK(step >= 0 && steps >= 1);
  const auto done = static_cast<double>(step);
  const double begin = schedule.decay_from * static_cast<double>(steps);
  const double length = static_cast<double>(steps) - begin;
  const double progress = length > 0 ? std::clamp((done - begin) / length, 0.0, 1.0) : 0.0;
  const double warmup = schedule.warmup_steps > 0
                            ? std::min(1.0, (done + 1) / static_cast<double>(schedule.warmup_steps))
                            : 1.0;
  return warmup * Decay(schedule, progress);
}

void Plateau::Report(double metric) {
  const bool better = std::isfinite(metric) &&
                      (!measured_ || metric < best_ - options_.threshold * std::abs(best_));
  if (better) {
    best_ = metric;
    measured_ = true;
    bad_ = 0;
    return;
  }
  ++bad_;
  if (bad_ > options_.patience) {
    share_ = std::max(options_.least_share, share_ * options_.factor);
    bad_ = 0;
  }
}

void Plateau::Save(const std::string& name, models::TensorMap& state) const {
  SaveNumbers(state, name + "#plateau",
              {best_, measured_ ? 1.0 : 0.0, static_cast<double>(bad_), share_});
}

absl::Status Plateau::Load(const std::string& name, const models::TensorMap& state) {
  ATELIER_ASSIGN_OR_RETURN(const std::vector<double> saved,
                           LoadNumbers(state, name + "#plateau", 4));
  best_ = saved[0];
  measured_ = saved[1] != 0;
  bad_ = static_cast<int>(saved[2]);
  share_ = saved[3];
  return absl::OkStatus();
}

}  // namespace atelier::train
