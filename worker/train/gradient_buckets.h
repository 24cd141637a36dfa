// The mean of gradients over ranks, on its way while backward() still computes the rest of them
// (Li et al. 2020, "PyTorch Distributed", arXiv:2006.15704, section 3.2).
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "worker/ranks/rank_group.h"
#include "worker/train/gradients.h"

namespace atelier::train {

// Parameters lie in buckets in the reverse of their order, which is about the order in which
// backward() comes to them. A full bucket is summed at once, one after the other, so that all ranks
// send the same ones. Owned by the training thread.
class GradientBuckets {
 public:
  static constexpr std::int64_t kBucketBytes = std::int64_t{25} << 20;

  // Hooks into the parameters, which must not have other hooks of this kind. The group must outlive
  // it.
  GradientBuckets(const Parameters& parameters, ranks::RankGroup& group,
                  std::int64_t bucket_bytes = kBucketBytes);
  ~GradientBuckets();
  GradientBuckets(const GradientBuckets&) = delete;
  GradientBuckets& operator=(const GradientBuckets&) = delete;

  // The next backward() is the last one before Average: gradients leave as they become ready.
  // Without it all of them leave in Average.
  void ExpectLast();

  // Waits; the gradients that are defined, on all ranks the same ones, become the means over the
  // ranks. Nothing is changed where the group has failed.
  void Average();

  std::size_t buckets() const { return buckets_.size(); }
  // Of the last Average, those that had left before it was called.
  std::size_t left_early() const { return left_early_; }

 private:
  struct Slot {
    torch::Tensor parameter;
    torch::Tensor sum;  // a view of the bucket's, in the parameter's shape
    bool ready = false;
  };
  struct Bucket {
    torch::Tensor flat;  // float32 [elements], where the parameters are
    std::vector<Slot> slots;
    std::size_t ready = 0;
    std::function<void()> wait;  // empty: it has not left
  };

  void Allocate(Bucket& bucket) const;
  void Ready(std::size_t bucket, std::size_t slot);
  void SendFullOnes();
  void Send(Bucket& bucket);

  ranks::RankGroup& group_;
  std::vector<Bucket> buckets_;
  std::size_t next_ = 0;  // to leave
  bool expecting_ = false;
  std::size_t left_early_ = 0;
};

}  // namespace atelier::train
