// The resampling of a job's data sets by what their discriminators make of them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "common/train_config.h"
#include "worker/models/safetensors.h"
#include "worker/train/batch.h"
#include "worker/train/loader.h"
#include "worker/train/resampling.h"
#include "worker/train/train_step.h"

namespace atelier::train {

// Does nothing with config.resample off. Not thread-safe; not to be moved while a loader draws by
// it.
class DataResampling {
 public:
  // `style_pictures` 0: batches hold none.
  DataResampling(const TrainConfig& config, std::int64_t content_pictures,
                 std::int64_t style_pictures);
  DataResampling(const DataResampling&) = delete;
  DataResampling& operator=(const DataResampling&) = delete;

  BatchLoader::Resampling sources() const;

  // After step `step`, in order, with the batch that it learnt from.
  void EndStep(const Batch& batch, const RealScores& scores, std::int64_t step);

  void Save(models::TensorMap& state) const;
  // DATA_LOSS: missing or misshapen.
  absl::Status Load(const models::TensorMap& state);

 private:
  std::optional<ScoreResampling> content_;
  std::optional<ScoreResampling> style_;
};

}  // namespace atelier::train
