#include "worker/train/data_wait.h"

#include <cmath>

namespace atelier::train {

std::optional<std::string> DataWaitAlarm::Report(absl::Duration waited, absl::Duration step) {
  if (told_ || skipped_ < options_.skip_steps) {
    ++skipped_;
    return std::nullopt;
  }
  ++steps_;
  waited_ += waited;
  total_ += step;
  if (steps_ < options_.window_steps || total_ < options_.window) {
    return std::nullopt;
  }
  const double share = absl::FDivDuration(waited_, total_);
  steps_ = 0;
  waited_ = total_ = absl::ZeroDuration();
  if (share <= options_.share) {
    return std::nullopt;
  }
  told_ = true;
  return "slow data: " + std::to_string(std::lround(100 * share)) +
         " % of the time is spent waiting for pictures to be read and decoded; smaller pictures "
         "(they are scaled down to image_size anyway), a faster disk or more CPU cores help";
}

}  // namespace atelier::train
