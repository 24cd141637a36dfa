#include "worker/train/metric_watch.h"

#include "common/status_macros.h"
#include "common/train_metrics.h"

namespace atelier::train {
namespace {

// What the rate is not cut below where the schedule names no share.
constexpr double kLeastShare = 1e-3;

Plateau::Options PlateauOptions(const ScheduleConfig& schedule) {
  return {.factor = schedule.plateau_factor,
          .patience = schedule.plateau_patience,
          .threshold = schedule.plateau_threshold,
          .least_share = schedule.final_share > 0 ? schedule.final_share : kLeastShare};
}

}  // namespace

MetricWatch::MetricWatch(const TrainConfig& config)
    : sign_(FindTrainMetric(config.evaluate.decisive())->higher_is_better ? -1 : 1),
      best_(config.evaluate.patience, config.evaluate.min_delta),
      plateau_on_(config.schedule.kind == ScheduleKind::kPlateau),
      plateau_(PlateauOptions(config.schedule)) {}

bool MetricWatch::Report(std::int64_t step, double metric) {
  if (plateau_on_) {
    plateau_.Report(sign_ * metric);
  }
  return best_.Report(step, sign_ * metric);
}

void MetricWatch::Save(const std::string& name, models::TensorMap& state) const {
  best_.Save(name, state);
  if (plateau_on_) {
    plateau_.Save(name, state);
  }
}

absl::Status MetricWatch::Load(const std::string& name, const models::TensorMap& state) {
  ATELIER_RETURN_IF_ERROR(best_.Load(name, state));
  return plateau_on_ ? plateau_.Load(name, state) : absl::OkStatus();
}

}  // namespace atelier::train
