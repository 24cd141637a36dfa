// A training run's part in a group of ranks, or a run on its own: what the ranks decide together.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/train_config.h"
#include "worker/ranks/rank_group.h"
#include "worker/train/batch.h"
#include "worker/train/datasets.h"
#include "worker/train/train_step.h"
#include "worker/train/trainer.h"

namespace atelier::train {

// Used by the training thread. Every call but the first five is made by all ranks. UNAVAILABLE from
// any: a rank was lost; another code: one has left with that error (RankGroup::status). On its own
// nothing is sent and nothing fails.
class RankPart {
 public:
  // null: on its own. The group must outlive it.
  explicit RankPart(ranks::RankGroup* group) : group_(group) {}

  int rank() const { return group_ == nullptr ? 0 : group_->rank(); }
  int ranks() const { return group_ == nullptr ? 1 : group_->size(); }
  // Whether this one measures, and writes what others read: the others' results would be equal.
  bool writes() const { return rank() == 0; }
  ranks::RankGroup* group() const { return group_; }
  // What a step is made from: with this rank's part of a batch.
  TrainConfig ConfigOf(TrainConfig config) const;

  // INVALID_ARGUMENT: settings, pictures or the checkpoint to go on from differ between ranks.
  absl::Status CompareJobs(const TrainJob& job, const Datasets& sets) const;
  // Rank 0's weights, moments and everything else of its state for all.
  absl::Status ShareState(TrainStep& step) const;

  // What the ranks tell each other before a step.
  struct Word {
    bool stop = false;               // it was asked to
    std::uint64_t memory_bytes = 0;  // in use
    std::vector<std::string> notes;  // for the first rank; of any bytes but 0
  };
  // Of all ranks together: whether any was asked to stop, the sum of the memory and, on the first
  // rank, the notes of the others.
  absl::StatusOr<Word> Exchange(const Word& word) const;
  // The losses of a step become their means over the ranks.
  absl::Status MeanLosses(std::map<std::string, double>& losses) const;
  // Places and scores of a step's pictures become those of the whole batch.
  absl::Status WholeScores(Batch& batch, RealScores& scores) const;
  // Rank 0's number for all.
  absl::StatusOr<double> FromFirst(double here) const;

 private:
  ranks::RankGroup* group_;
};

}  // namespace atelier::train
