// Makes the batches: several are made ahead, in threads of their own, while the present one is
// learnt from.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/train_config.h"
#include "worker/train/batch.h"
#include "worker/train/image_folder.h"
#include "worker/train/resampling.h"
#include "worker/train/sample_maker.h"

namespace atelier::train {

// The order of a data set: every epoch is a permutation keyed by (seed, epoch, set), so each
// picture is seen once an epoch. Not thread-safe.
class EpochOrder {
 public:
  EpochOrder(std::uint64_t seed, std::int64_t size, std::int64_t set = 0);
  // The picture of the n-th sample since the beginning of training.
  std::int64_t At(std::int64_t sample);

 private:
  std::uint64_t seed_;
  std::int64_t set_;
  std::int64_t epoch_ = -1;
  std::vector<std::int64_t> order_;
};

// The pictures of one step: batch_size * accumulate; a discriminator that learns several times a
// step from noise gets as many for each time.
std::int64_t SamplesAStep(const TrainConfig& config);

// Owned by the training thread. The folders must outlive it; `style` is needed for kUnpaired only.
// Neither the number of threads nor how far ahead they are changes a batch: which pictures it holds
// is fixed by the order of the steps, and all that is drawn for a picture is keyed by its sample.
class BatchLoader {
 public:
  // What draws the pictures of the two sets instead of their epochs' order; null: nothing. They
  // must outlive the loader and are asked on the thread that calls Get.
  struct Resampling {
    const ScoreResampling* content = nullptr;
    const ScoreResampling* style = nullptr;
  };
  struct Options {
    int threads = 0;  // that decode, resize and crop: SideThreads
    // Batches besides the present one. Fewer when that would take more than ahead_bytes, or when
    // resampling has not fixed yet what they hold (config.resample.window); at least one.
    std::int64_t ahead = 4;
    std::int64_t ahead_bytes = std::int64_t{256} << 20;
    // Of each batch_size samples this rank's part, equal for all.
    int rank = 0;
    int ranks = 1;
  };

  BatchLoader(const TrainConfig& config, BatchKind kind, const ImageFolder& content,
              const ImageFolder* style, const Resampling& resampling, const Options& options);
  BatchLoader(const TrainConfig& config, BatchKind kind, const ImageFolder& content,
              const ImageFolder* style)
      : BatchLoader(config, kind, content, style, Resampling(), Options()) {}
  ~BatchLoader();
  BatchLoader(const BatchLoader&) = delete;
  BatchLoader& operator=(const BatchLoader&) = delete;

  // The samples of step `step`, each as SampleMaker makes it. Waits only where they are not made
  // yet; those of the next steps are made meanwhile, up to config.steps where that is set.
  // DATA_LOSS: more than half of a set can no longer be read; RESOURCE_EXHAUSTED.
  absl::StatusOr<Batch> Get(std::int64_t step);

  // Batches that lie ready.
  std::int64_t ready() const;

 private:
  // A batch that is being made. But for `plans`, guarded by mutex_ until all of its samples are
  // made; then by `done`.
  struct Slot : std::enable_shared_from_this<Slot> {
    std::vector<SamplePlan> plans;
    std::vector<Sample> samples;
    std::size_t begun = 0;
    std::size_t made = 0;
    absl::Status status;
    Batch batch;
    bool done = false;
  };

  std::shared_ptr<Slot> Plan(std::int64_t step);
  void StartThreads();
  void MakeSamples();
  void Finish(Slot& slot) const;
  Slot* Waiting() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || Waiting() != nullptr;
  }

  const TrainConfig config_;
  const BatchKind kind_;
  const std::int64_t samples_a_step_;  // of all ranks
  const int rank_;
  const int ranks_;
  const std::int64_t ahead_;
  const int thread_count_;
  const Resampling resampling_;
  const SampleMaker maker_;
  EpochOrder order_;
  EpochOrder style_order_;
  std::int64_t next_step_ = -1;  // that Get is expected to be asked for
  std::int64_t planned_ = 0;     // the first step that is not
  mutable absl::Mutex mutex_;
  std::deque<std::shared_ptr<Slot>> slots_ ABSL_GUARDED_BY(mutex_);  // from next_step_ on
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::jthread> threads_;
};

}  // namespace atelier::train
