// What a run knows about its paintings: their labels, Gram matrices, palettes and pixels at each
// scale.
#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/nn/efficientnet_lite.h"
#include "worker/train/image_folder.h"

namespace atelier::train {

inline constexpr std::size_t kFeatureLayers = nn::EfficientNetLite::kFeatureBlocks.size() + 1;

// Immutable once made.
class StyleSet {
 public:
  struct Scale {
    std::array<torch::Tensor, kFeatureLayers> grams;  // float [C, C], where the network is
    torch::Tensor pixels;                             // uint8 [H, W, 3], on the CPU
  };
  struct Painting {
    std::vector<Scale> scales;
    torch::Tensor colors;    // float [3, M] in [-1, 1], on the CPU, M about 8,192: a sample of its
                             // pixels, made a little more saturated
    std::int64_t label = 0;  // place in ImageFolder::labels()
  };

  // `short_sides`: the scales. DATA_LOSS: a file vanished. The outer 4 % of each side are cut off:
  // reproductions often show the frame or the canvas' edge.
  static absl::StatusOr<StyleSet> Make(const ImageFolder& folder,
                                       const std::vector<int>& short_sides,
                                       nn::EfficientNetLite& network);

  const std::vector<Painting>& paintings() const { return paintings_; }
  // The palette of the whole set, [3, sum of M].
  const torch::Tensor& colors() const { return colors_; }

 private:
  std::vector<Painting> paintings_;
  torch::Tensor colors_;
};

}  // namespace atelier::train
