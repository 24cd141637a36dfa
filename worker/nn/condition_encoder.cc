#include "worker/nn/condition_encoder.h"

#include <torch/torch.h>

#include <cmath>

#include "common/check.h"
#include "worker/nn/spectral_norm.h"
#include "worker/nn/tokenizer.h"

namespace atelier::nn {
namespace {

torch::nn::Linear MakeLinear(int in, int out, bool bias) {
  return torch::nn::Linear(torch::nn::LinearOptions(in, out).bias(bias));
}

}  // namespace

torch::Tensor ConditionWeights(const torch::Tensor& condition, int entries, bool sum) {
  if (condition.scalar_type() != torch::kLong) {
    ATELIER_CHECK(condition.dim() == 2 && condition.size(1) == entries);
    return sum ? condition : condition / condition.sum(1, /*keepdim=*/true).clamp_min(1e-12);
  }
  const bool is_label = condition.dim() == 1;
  const torch::Tensor places = is_label ? condition.unsqueeze(1) : condition;
  const torch::Tensor counted = is_label ? torch::ones_like(places, torch::kFloat)
                                         : places.ne(Tokenizer::kPadding).to(torch::kFloat);
  const torch::Tensor counts =
      torch::zeros({places.size(0), entries}, counted.options()).scatter_add(1, places, counted);
  return sum ? counts : counts / counted.sum(1, /*keepdim=*/true).clamp_min(1);
}

ConditionEncoderImpl::ConditionEncoderImpl(const ConditionOptions& options, bool spectral)
    : options_(options) {
  ATELIER_CHECK(options.entries > 0 && options.size > 0 && options.hidden >= 0);
  embedding_ =
      spectral ? torch::nn::AnyModule(SpectralLinear(options.entries, options.size, /*bias=*/false))
               : torch::nn::AnyModule(MakeLinear(options.entries, options.size, /*bias=*/false));
  register_module("embedding", embedding_.ptr());
  if (options.hidden > 0) {
    widen_ = register_module("widen", MakeLinear(options.size, options.hidden, /*bias=*/true));
    narrow_ = register_module("narrow", MakeLinear(options.hidden, options.size, /*bias=*/true));
  }
}

torch::Tensor ConditionEncoderImpl::forward(const torch::Tensor& condition) {
  const torch::ScalarType type = embedding_.ptr()->parameters().front().scalar_type();
  const torch::Tensor x =
      embedding_.forward(ConditionWeights(condition, options_.entries, options_.sum).to(type));
  return widen_.is_empty() ? x : x + narrow_(torch::relu(widen_(x)));
}

void ConditionEncoderImpl::InitializeWeights(const at::Generator& random) {
  const torch::NoGradGuard no_grad;
  for (torch::Tensor& weight : embedding_.ptr()->parameters()) {
    weight.normal_(0.0, 1.0, random);
  }
  if (auto* spectral = dynamic_cast<SpectralModule*>(embedding_.ptr().get()); spectral != nullptr) {
    spectral->ResetVectors(random);
  }
  if (!widen_.is_empty()) {
    widen_->weight.normal_(0.0, std::sqrt(2.0 / options_.size), random);
    narrow_->weight.normal_(0.0, 0.1 * std::sqrt(2.0 / options_.hidden), random);
    widen_->bias.zero_();
    narrow_->bias.zero_();
  }
}

}  // namespace atelier::nn
