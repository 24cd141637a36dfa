#include "worker/nn/batch_norm.h"

#include <torch/torch.h>

#include <memory>
#include <utility>

namespace atelier::nn {
namespace {

// A RankSum that autograd can keep.
struct KeptSum final : torch::CustomClassHolder {
  explicit KeptSum(RankSum s) : sum(std::move(s)) {}
  RankSum sum;
};
using KeptSumPtr = c10::intrusive_ptr<KeptSum>;

// The sum over all ranks. It is linear and every rank's loss depends on every rank's summand, so
// the gradient is the sum of the ranks' gradients.
class SumOverRanks final : public torch::autograd::Function<SumOverRanks> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& x,
                               const KeptSumPtr& kept) {
    context->saved_data["sum"] = c10::IValue::make_capsule(kept);
    torch::Tensor sum = x.detach().clone(at::MemoryFormat::Contiguous);
    kept->sum.sum(sum);
    return sum;
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto kept =
        c10::static_intrusive_pointer_cast<KeptSum>(context->saved_data["sum"].toCapsule());
    return {SumOverRanks::apply(gradients.front(), kept), torch::Tensor()};
  }
};

// [C] → [1, C, 1, 1].
torch::Tensor OfChannels(const torch::Tensor& x) { return x.view({1, -1, 1, 1}); }

}  // namespace

torch::Tensor BatchNormImpl::forward(const torch::Tensor& x) {
  return is_training() && sum_.ranks > 1 ? ForwardTogether(x)
                                         : torch::nn::BatchNorm2dImpl::forward(x);
}

torch::Tensor BatchNormImpl::ForwardTogether(const torch::Tensor& x) {
  const auto kept = c10::make_intrusive<KeptSum>(sum_);
  const auto mean_of = [&](const torch::Tensor& y) {
    return SumOverRanks::apply(y.mean(torch::IntArrayRef{0, 2, 3}), kept) / sum_.ranks;
  };
  const torch::Tensor wide = x.to(torch::kFloat);
  const torch::Tensor mean = mean_of(wide);
  // In two passes: the difference of two mean squares would lose the digits of a small variance.
  const torch::Tensor centred = wide - OfChannels(mean);
  const torch::Tensor variance = mean_of(centred * centred);
  UpdateStatistics(mean, variance,
                   static_cast<double>(x.size(0) * x.size(2) * x.size(3) * sum_.ranks));
  const torch::Tensor scale = weight * torch::rsqrt(variance + options.eps());
  return (centred * OfChannels(scale) + OfChannels(bias)).to(x.scalar_type());
}

void BatchNormImpl::UpdateStatistics(const torch::Tensor& mean, const torch::Tensor& variance,
                                     double count) {
  const torch::NoGradGuard no_grad;
  const double share = options.momentum().value();
  num_batches_tracked.add_(1);
  running_mean.lerp_(mean, share);
  running_var.lerp_(variance * (count / (count - 1)), share);
}

void SynchronizeBatchNorms(torch::nn::Module& network, const RankSum& sum) {
  for (const auto& module : network.modules()) {
    if (auto* norm = dynamic_cast<BatchNormImpl*>(module.get()); norm != nullptr) {
      norm->Synchronize(sum);
    }
  }
}

}  // namespace atelier::nn
