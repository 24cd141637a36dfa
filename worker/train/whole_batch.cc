#include "worker/train/whole_batch.h"

#include <torch/torch.h>

#include <vector>

#include "common/check.h"

namespace atelier::train {
namespace {

// Where this rank's `pictures` lie in the whole batch, int64 [pictures]; another rank's lie
// `samples.block` further for each rank.
torch::Tensor PlacesInWhole(const SampleRange& samples, std::int64_t pictures, int rank) {
  const SampleRange whole = WholeSamples(samples, rank);
  std::vector<std::int64_t> places;
  for (std::int64_t i = 0; i < pictures; ++i) {
    places.push_back(i / samples.count * whole.count + samples.At(i % samples.count) - whole.first);
  }
  return torch::tensor(places, torch::kInt64);
}

}  // namespace

SampleRange WholeSamples(const SampleRange& part, int rank) {
  if (part.block == 0) {
    return part;
  }
  ATELIER_CHECK(part.count % part.block == 0 && part.stride % part.block == 0);
  return {.first = part.first - rank * part.block, .count = part.count / part.block * part.stride};
}

torch::Tensor GatherWhole(ranks::RankGroup& group, const SampleRange& samples,
                          const torch::Tensor& part) {
  const std::int64_t pictures = part.size(0);
  const torch::Tensor gathered = group.Gather(part);
  torch::Tensor whole = torch::empty_like(gathered).flatten(0, 1);
  for (int rank = 0; rank < group.size(); ++rank) {
    const torch::Tensor places =
        PlacesInWhole(samples, pictures, group.rank()) + (rank - group.rank()) * samples.block;
    whole.index_copy_(0, places.to(part.device()), gathered[rank]);
  }
  return whole;
}

torch::Tensor PartOfWhole(const ranks::RankGroup& group, const SampleRange& samples,
                          const torch::Tensor& whole) {
  const std::int64_t pictures = whole.size(0) / group.size();
  return whole.index_select(0, PlacesInWhole(samples, pictures, group.rank()).to(whole.device()));
}

}  // namespace atelier::train
