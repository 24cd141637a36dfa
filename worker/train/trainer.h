// The training loop: step + loop + observer. Knows nothing of servers, links or progress bars.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/train_config.h"

namespace atelier::ranks {
class RankGroup;
}  // namespace atelier::ranks

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
  std::uint64_t memory_bytes = 0;  // memory_use.h, of all ranks together; 0: not known
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

// For runs that nobody watches.
class SilentObserver final : public Observer {
 public:
  void OnStart(std::int64_t /*first_step*/) override {}
  void OnProgress(const Progress& /*progress*/) override {}
  void OnSample(std::int64_t /*step*/, const std::string& /*jpeg*/) override {}
  void OnCheckpoint(std::int64_t /*step*/) override {}
  void OnWarning(const std::string& /*sentence*/) override {}
};

struct TrainJob {
  TrainConfig config;
  std::string job_id;  // for the card; may be empty
  std::filesystem::path content_directory;
  std::filesystem::path style_directory;  // empty: the family has no style set
  // This attempt's folder: checkpoints/step-N/, samples/, stats.jsonl, events.out.tfevents.* (for
  // TensorBoard), report.html, log.txt, result/. An attempt that goes on from another one's
  // checkpoint takes over what that one has told, where it lies beside the checkpoints.
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
  // The ranks that train this job together, each given the same job; null: this process alone. It
  // must outlive the run, and is of no more use when a run has ended with an error.
  ranks::RankGroup* group = nullptr;
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
//
// On several ranks each takes its part of every batch; the first writes, measures and tells its
// observer, also of what only another one has found; the others tell theirs nothing. A stop asked
// of one stops all. All end alike: INVALID_ARGUMENT also where common/job_workers.h refuses the
// job, or where the ranks were not given the same; UNAVAILABLE when one was lost; when one ends
// with an error of its own, all end with its code, and the others' sentence says whose it is.
absl::StatusOr<Outcome> RunTraining(const TrainJob& job, Observer& observer,
                                    const std::atomic<bool>& stop);

// Learns nothing: writes the model that the run would have left, had it ended with the checkpoint
// job.resume_directory, to attempt_directory/result, in the same way. `stats`: the stats.jsonl of
// the attempt that made the checkpoint, for the card's numbers; may be missing. Computes on the
// CPU. Errors: those of RunTraining.
absl::Status WriteCheckpointModel(const TrainJob& job, const std::filesystem::path& stats);

// The newest whole checkpoint below jobs/<id>/attempts/*/checkpoints (or any folder of attempts);
// empty path when there is none.
std::filesystem::path FindNewestCheckpoint(const std::filesystem::path& attempts_directory);
// The same below the folders of several attempts at one run: RUN/checkpoints.
std::filesystem::path FindNewestCheckpointOf(const std::vector<std::filesystem::path>& runs);

}  // namespace atelier::train
