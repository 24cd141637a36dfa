#include "worker/train/gradient_buckets.h"

#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/torch.h>

#include <memory>
#include <utility>

namespace atelier::train {
namespace {

class GradientHook final : public torch::autograd::PostAccumulateGradHook {
 public:
  explicit GradientHook(std::function<void()> ready) : ready_(std::move(ready)) {}
  void operator()(const torch::autograd::Variable& /*parameter*/) override { ready_(); }

 private:
  std::function<void()> ready_;
};

}  // namespace

GradientBuckets::GradientBuckets(const Parameters& parameters, ranks::RankGroup& group,
                                 std::int64_t bucket_bytes)
    : group_(group) {
  std::int64_t bytes = 0;
  for (auto parameter = parameters.rbegin(); parameter != parameters.rend(); ++parameter) {
    const auto size = static_cast<std::int64_t>(parameter->nbytes());
    if (buckets_.empty() || bytes + size > bucket_bytes) {
      buckets_.emplace_back();
      bytes = 0;
    }
    bytes += size;
    buckets_.back().slots.push_back({.parameter = *parameter});
  }
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    for (std::size_t k = 0; k < buckets_[i].slots.size(); ++k) {
      torch::autograd::impl::set_post_acc_grad_hooks(
          buckets_[i].slots[k].parameter,
          std::make_unique<GradientHook>([this, i, k] { Ready(i, k); }));
    }
  }
}

GradientBuckets::~GradientBuckets() {
  for (const Bucket& bucket : buckets_) {
    for (const Slot& slot : bucket.slots) {
      torch::autograd::impl::set_post_acc_grad_hooks(slot.parameter, nullptr);
    }
  }
}

// Not before the first step: by then the network is on its device.
void GradientBuckets::Allocate(Bucket& bucket) const {
  std::int64_t elements = 0;
  for (const Slot& slot : bucket.slots) {
    elements += slot.parameter.numel();
  }
  bucket.flat = torch::zeros(
      {elements},
      bucket.slots.front().parameter.options().dtype(torch::kFloat).requires_grad(false));
  std::int64_t first = 0;
  for (Slot& slot : bucket.slots) {
    slot.sum = bucket.flat.narrow(0, first, slot.parameter.numel()).view(slot.parameter.sizes());
    first += slot.parameter.numel();
  }
}

void GradientBuckets::ExpectLast() { expecting_ = true; }

void GradientBuckets::Ready(std::size_t bucket, std::size_t slot) {
  if (!expecting_ || buckets_[bucket].slots[slot].ready) {
    return;
  }
  buckets_[bucket].slots[slot].ready = true;
  ++buckets_[bucket].ready;
  SendFullOnes();
}

void GradientBuckets::SendFullOnes() {
  for (; next_ < buckets_.size() && buckets_[next_].ready == buckets_[next_].slots.size();
       ++next_) {
    Send(buckets_[next_]);
  }
}

void GradientBuckets::Send(Bucket& bucket) {
  const torch::NoGradGuard no_grad;
  if (!bucket.flat.defined()) {
    Allocate(bucket);
  }
  for (const Slot& slot : bucket.slots) {
    const torch::Tensor& gradient = slot.parameter.grad();
    gradient.defined() ? slot.sum.copy_(gradient) : slot.sum.zero_();
  }
  bucket.wait = group_.StartSum(bucket.flat);
}

void GradientBuckets::Average() {
  const torch::NoGradGuard no_grad;
  left_early_ = next_;
  for (; next_ < buckets_.size(); ++next_) {
    Send(buckets_[next_]);
  }
  for (Bucket& bucket : buckets_) {
    std::exchange(bucket.wait, nullptr)();
    for (Slot& slot : bucket.slots) {
      if (group_.status().ok() && slot.parameter.grad().defined()) {
        slot.parameter.mutable_grad().copy_(slot.sum).div_(group_.size());
      }
      slot.ready = false;
    }
    bucket.ready = 0;
  }
  next_ = 0;
  expecting_ = false;
}

}  // namespace atelier::train
