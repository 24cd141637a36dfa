#include "worker/train/resampling.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "common/check.h"
#include "common/status_macros.h"
#include "worker/train/random.h"
#include "worker/train/saved_state.h"

namespace atelier::train {
namespace {

// An empty list stands for no sampler.
std::vector<double> WeightsOf(const std::shared_ptr<const WeightedSampler>& sampler) {
  return sampler == nullptr ? std::vector<double>{} : sampler->weights();
}

absl::StatusOr<std::shared_ptr<const WeightedSampler>> LoadSampler(const models::TensorMap& state,
                                                                   const std::string& name,
                                                                   std::uint64_t seed,
                                                                   std::int64_t set,
                                                                   std::size_t pictures) {
  ATELIER_ASSIGN_OR_RETURN(const torch::Tensor saved, FindTensor(state, name));
  if (saved.numel() == 0) {
    return std::shared_ptr<const WeightedSampler>();
  }
  ATELIER_ASSIGN_OR_RETURN(std::vector<double> weights, LoadNumbers(state, name, pictures));
  if (!std::ranges::all_of(weights, [](double w) { return w > 0 && std::isfinite(w); })) {
    return absl::DataLossError(name + " of the checkpoint is no list of weights");
  }
  return std::make_shared<const WeightedSampler>(seed, std::move(weights), set);
}

}  // namespace

WeightedSampler::WeightedSampler(std::uint64_t seed, std::vector<double> weights, std::int64_t set)
    : seed_(seed), set_(set), weights_(std::move(weights)), cumulative_(weights_.size()) {
  ATELIER_CHECK(!weights_.empty() && *std::ranges::min_element(weights_) > 0);
  std::partial_sum(weights_.begin(), weights_.end(), cumulative_.begin());
}

std::int64_t WeightedSampler::At(std::int64_t sample) const {
  KeyedRandom random(seed_, sample, set_, Purpose::kResample);
  const double place = random.Uniform() * cumulative_.back();
  const auto it = std::upper_bound(cumulative_.begin(), cumulative_.end(), place);
  const auto last = static_cast<std::int64_t>(cumulative_.size()) - 1;
  return std::min<std::int64_t>(it - cumulative_.begin(), last);
}

ScoreResampling::ScoreResampling(std::uint64_t seed, std::int64_t pictures, const Options& options)
    : seed_(seed),
      options_(options),
      means_(static_cast<std::size_t>(pictures)),
      seen_(static_cast<std::size_t>(pictures)) {
  ATELIER_CHECK(pictures >= 1 && options.window >= 1 && options.bound >= 1);
}

void ScoreResampling::Observe(const std::vector<std::int64_t>& pictures,
                              const torch::Tensor& logits) {
  const torch::Tensor scores = logits.detach().to(torch::kCPU, torch::kFloat64).contiguous();
  ATELIER_CHECK(scores.numel() == static_cast<std::int64_t>(pictures.size()));
  const auto* score = scores.const_data_ptr<double>();
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    if (!std::isfinite(score[i])) {
      continue;
    }
    const auto place = static_cast<std::size_t>(pictures[i]);
    means_.at(place) =
        seen_[place] ? options_.decay * means_[place] + (1 - options_.decay) * score[i] : score[i];
    seen_[place] = true;
  }
}

std::vector<double> ScoreResampling::Weights() const {
  double count = 0;
  double sum = 0;
  double squares = 0;
  for (std::size_t i = 0; i < means_.size(); ++i) {
    if (seen_[i]) {
      ++count;
      sum += means_[i];
      squares += means_[i] * means_[i];
    }
  }
  if (count == 0) {
    return {};
  }
  const double mean = sum / count;
  const double deviation = std::sqrt(std::max(squares / count - mean * mean, 1e-12));
  std::vector<double> weights(means_.size(), 1.0);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (seen_[i]) {
      weights[i] = std::clamp(std::exp(options_.strength * (means_[i] - mean) / deviation),
                              1 / options_.bound, options_.bound);
    }
  }
  return weights;
}

void ScoreResampling::EndStep(std::int64_t step) {
  const std::int64_t window = (step + 1) / options_.window;
  if (window == now_) {
    return;
  }
  ATELIER_CHECK(window == now_ + 1);
  now_ = window;
  current_ = std::move(next_);
  std::vector<double> weights = Weights();
  next_ = weights.empty()
              ? nullptr
              : std::make_shared<const WeightedSampler>(seed_, std::move(weights), options_.set);
}

std::shared_ptr<const WeightedSampler> ScoreResampling::For(std::int64_t step) const {
  const std::int64_t window = step / options_.window;
  ATELIER_CHECK(window == now_ || window == now_ + 1);
  return window == now_ ? current_ : next_;
}

void ScoreResampling::Save(const std::string& name, models::TensorMap& state) const {
  std::vector<double> seen;
  seen.reserve(seen_.size());
  for (const bool value : seen_) {
    seen.push_back(value ? 1.0 : 0.0);
  }
  SaveNumbers(state, name + "#scores", means_);
  SaveNumbers(state, name + "#seen", seen);
  SaveNumbers(state, name + "#current", WeightsOf(current_));
  SaveNumbers(state, name + "#next", WeightsOf(next_));
  SaveNumbers(state, name + "#window", {static_cast<double>(now_)});
}

absl::Status ScoreResampling::Load(const std::string& name, const models::TensorMap& state) {
  ATELIER_ASSIGN_OR_RETURN(means_, LoadNumbers(state, name + "#scores", means_.size()));
  ATELIER_ASSIGN_OR_RETURN(const std::vector<double> seen,
                           LoadNumbers(state, name + "#seen", seen_.size()));
  for (std::size_t i = 0; i < seen.size(); ++i) {
    seen_[i] = seen[i] != 0;
  }
  ATELIER_ASSIGN_OR_RETURN(
      current_, LoadSampler(state, name + "#current", seed_, options_.set, means_.size()));
  ATELIER_ASSIGN_OR_RETURN(next_,
                           LoadSampler(state, name + "#next", seed_, options_.set, means_.size()));
  ATELIER_ASSIGN_OR_RETURN(const std::vector<double> window,
                           LoadNumbers(state, name + "#window", 1));
  now_ = static_cast<std::int64_t>(window[0]);
  return absl::OkStatus();
}

}  // namespace atelier::train
