#include "worker/train/patch_nce.h"

#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/linear.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include "common/check.h"

namespace atelier::train {
namespace {

// `count` different numbers below `all`.
std::vector<std::int64_t> DrawPlaces(std::int64_t all, std::int64_t count, KeyedRandom& random) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(all));
  std::iota(order.begin(), order.end(), 0);
  for (std::int64_t i = 0; i < count; ++i) {
    std::swap(order[i], order[i + random.Below(all - i)]);
  }
  order.resize(static_cast<std::size_t>(count));
  return order;
}

}  // namespace

std::vector<torch::Tensor> DrawPatches(const std::vector<torch::Tensor>& features,
                                       std::int64_t count, std::vector<KeyedRandom> randoms) {
  ATELIER_CHECK(count >= 1);
  std::vector<torch::Tensor> places;
  for (const torch::Tensor& map : features) {
    ATELIER_CHECK(std::cmp_equal(randoms.size(), map.size(0)));
    const std::int64_t area = map.size(2) * map.size(3);
    std::vector<torch::Tensor> each;
    for (KeyedRandom& random : randoms) {
      each.push_back(torch::tensor(DrawPlaces(area, std::min(count, area), random), torch::kInt64));
    }
    places.push_back(torch::stack(each).to(map.device()));
  }
  return places;
}

PatchProjectorImpl::PatchProjectorImpl(const std::vector<std::int64_t>& channels,
                                       std::int64_t width) {
  for (const std::int64_t in : channels) {
    const std::string name = "mlp_" + std::to_string(layers_.size());
    layers_.emplace_back(
        register_module(name, torch::nn::Sequential(torch::nn::Linear(in, width), torch::nn::ReLU(),
                                                    torch::nn::Linear(width, width))));
  }
}

std::vector<torch::Tensor> PatchProjectorImpl::forward(const std::vector<torch::Tensor>& features,
                                                       const std::vector<torch::Tensor>& places) {
  ATELIER_CHECK(features.size() == layers_.size() && places.size() == layers_.size());
  std::vector<torch::Tensor> projected;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const std::int64_t pictures = features[i].size(0);
    const std::int64_t area = features[i].size(2) * features[i].size(3);
    const torch::Tensor first = area * torch::arange(pictures, places[i].options()).unsqueeze(1);
    // A view of what is laid out as channels_last.
    const torch::Tensor rows = features[i].permute({0, 2, 3, 1}).flatten(0, 2);
    const torch::Tensor chosen = rows.index_select(0, (first + places[i]).flatten());
    const torch::Tensor code = layers_[i]->forward(chosen.to(torch::kFloat32)).to(torch::kFloat32);
    // The gradient of a root is infinite at 0, where a dead ReLU without a bias would put the code.
    const torch::Tensor length = (code * code).sum(1, true).clamp_min(1e-14).sqrt();
    projected.push_back(code / (length + 1e-7));
  }
  return projected;
}

torch::Tensor PatchNce(const std::vector<torch::Tensor>& queries,
                       const std::vector<torch::Tensor>& keys, std::int64_t pictures,
                       double temperature) {
  ATELIER_CHECK(!queries.empty() && queries.size() == keys.size() && temperature > 0);
  torch::Tensor sum;
  for (std::size_t i = 0; i < queries.size(); ++i) {
    const std::int64_t places = queries[i].size(0) / pictures;
    const torch::Tensor q = queries[i].to(torch::kFloat32).view({pictures, places, -1});
    const torch::Tensor k = keys[i].detach().to(torch::kFloat32).view({pictures, places, -1});
    const torch::Tensor own = (q * k).sum(2, true);
    // A place is no negative of itself: the authors put -10 there, out of reach of a cosine.
    const torch::Tensor self = torch::eye(places, q.options().dtype(torch::kBool));
    const torch::Tensor others = torch::bmm(q, k.transpose(1, 2)).masked_fill(self, -10.0);
    const torch::Tensor logits = torch::cat({own, others}, 2).view({-1, places + 1}) / temperature;
    const torch::Tensor target = torch::zeros({logits.size(0)}, q.options().dtype(torch::kInt64));
    const torch::Tensor loss = torch::nn::functional::cross_entropy(logits, target);
    sum = sum.defined() ? sum + loss : loss;
  }
  return sum / static_cast<double>(queries.size());
}

}  // namespace atelier::train
