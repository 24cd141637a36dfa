// The training loop: step + loop + observer. Knows nothing of servers, links or progress bars.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/train_config.h"

namespace atelier::train {

struct Progress {
  std::int64_t step = 0;  // done
  std::int64_t steps = 0;
  std::int64_t epoch = 0;
  double seconds_left = 0;  // below 0: not known yet
  double images_per_s = 0;
  double learning_rate = 0;
  std::map<std::string, double> losses;
  // The newest measurements by name (common/train_metrics.h), and the step after which they were
  // taken; none without evaluation.
  std::map<std::string, double> metrics;
  std::int64_t metrics_step = 0;
};

// Called from the training thread; must return quickly (training waits for it).
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void OnStart(std::int64_t first_step) = 0;
  virtual void OnProgress(
      const Progress& progress) = 0;  // at most about twice a second, and at the end
  virtual void OnSample(std::int64_t step,
                        const std::string& jpeg) = 0;  // photographs over results
  virtual void OnCheckpoint(std::int64_t step) = 0;    // it is whole on disk
  virtual void OnWarning(const std::string& sentence) = 0;
  // The run ends before its last step and is finished all the same: why, in a sentence.
  virtual void OnStoppedEarly(const std::string& sentence) { OnWarning(sentence); }
};

struct TrainJob {
  TrainConfig config;
  std::string job_id;  // for the card; may be empty
  std::filesystem::path content_directory;
  std::filesystem::path style_directory;  // empty: the family has no style set
  // This attempt's folder: checkpoints/step-N/, samples/, stats.jsonl, log.txt, result/.
  std::filesystem::path attempt_directory;
  // A checkpoint folder step-N to go on from; empty to begin.
  std::filesystem::path resume_directory;
  // What the weights start from (config.init_from); empty: none. A model's folder, a checkpoint's
  // folder or a file: see init_weights.h.
  std::filesystem::path init_directory;
  // A checkpoint's folder or a file for the discriminator alone; empty: none.
  std::filesystem::path init_discriminator;
  // The folder of the model that is compressed (config.compress.model); empty: the job trains.
  std::filesystem::path source_model;
  // EfficientNet-Lite0 weights (.pth).
  std::filesystem::path feature_weights;
  // EfficientNet-Lite1 weights (.pth), for evaluation; empty: efficientnet_lite1.pth beside
  // `feature_weights`.
  std::filesystem::path judge_weights;
  int threads = 0;  // 0: LibTorch's choice
  // Decoded pictures that are kept in memory, of each data set: ImageFolder::Options::cache_bytes.
  std::uint64_t picture_cache_bytes = 1ull << 30;
  // Where networks compute: "cpu" or "cuda:N". quantize jobs take the CPU whatever this says. On a
  // GPU a run is equal to another only about as far as its precision goes; what is drawn (weights,
  // noise, pictures) is equal on all devices.
  std::string device = "cpu";
};

enum class Outcome { kFinished, kStopped };

// Trains to the last step, or until evaluate.patience is at its end, or until `stop` is set: then
// it writes a checkpoint and returns kStopped within a few steps' time. kFinished:
// attempt_directory/result holds a whole model (model.json, weights.safetensors, card.md,
// preview.jpg), of the last step or, with evaluate.best_result, of the best. FAILED_PRECONDITION: a
// data set without a single readable picture, or too few for a metric, or one with other pictures
// than the checkpoint was made with, or the device is not there; DATA_LOSS: a damaged checkpoint or
// feature network, or more than half of a data set can no longer be read; RESOURCE_EXHAUSTED: disk
// or memory full; INVALID_ARGUMENT: the checkpoint belongs to another configuration, or what
// job_check.h refuses.
absl::StatusOr<Outcome> RunTraining(const TrainJob& job, Observer& observer,
                                    const std::atomic<bool>& stop);

// The newest whole checkpoint below jobs/<id>/attempts/*/checkpoints (or any folder of attempts);
// empty path when there is none.
std::filesystem::path FindNewestCheckpoint(const std::filesystem::path& attempts_directory);

}  // namespace atelier::train
