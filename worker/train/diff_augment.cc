#include "worker/train/diff_augment.h"

#include <torch/nn/functional/padding.h>

#include <algorithm>

#include "common/check.h"
#include "common/status_macros.h"
#include "worker/train/saved_state.h"

namespace atelier::train {
namespace {

// Moves [1, C, H, W] and fills with 0.
torch::Tensor Translate(const torch::Tensor& picture, std::int64_t down, std::int64_t right) {
  // Negative padding crops.
  return torch::constant_pad_nd(picture, {right, -right, down, -down}, 0);
}

torch::Tensor CutMask(const torch::Tensor& picture, const DiffAugmentDraw& draw) {
  const std::int64_t height = picture.size(2);
  const std::int64_t width = picture.size(3);
  torch::Tensor mask = torch::ones({1, 1, height, width}, picture.options().requires_grad(false));
  // Rows and columns beyond the edge fall on the edge, as in the authors' code.
  const auto first = [](std::int64_t middle, std::int64_t size, std::int64_t side) {
    return std::clamp<std::int64_t>(middle - size / 2, 0, side - 1);
  };
  const auto last = [](std::int64_t middle, std::int64_t size, std::int64_t side) {
    return std::clamp<std::int64_t>(middle - size / 2 + size - 1, 0, side - 1);
  };
  const std::int64_t top = first(draw.cut_y, height / 2, height);
  const std::int64_t bottom = last(draw.cut_y, height / 2, height);
  const std::int64_t left = first(draw.cut_x, width / 2, width);
  const std::int64_t right = last(draw.cut_x, width / 2, width);
  mask.narrow(2, top, bottom - top + 1).narrow(3, left, right - left + 1).zero_();
  return mask;
}

torch::Tensor AugmentOne(torch::Tensor x, const DiffAugmentDraw& draw) {
  if (draw.brightness != 0) {
    x = x + draw.brightness;
  }
  if (draw.saturation != 1) {
    const torch::Tensor grey = x.mean(1, true);
    x = (x - grey) * draw.saturation + grey;
  }
  if (draw.contrast != 1) {
    const torch::Tensor mean = x.mean({1, 2, 3}, true);
    x = (x - mean) * draw.contrast + mean;
  }
  if (draw.down != 0 || draw.right != 0) {
    x = Translate(x, draw.down, draw.right);
  }
  return draw.cut ? x * CutMask(x, draw) : x;
}

}  // namespace

DiffAugmentDraw DrawDiffAugment(std::int64_t height, std::int64_t width, double probability,
                                KeyedRandom random) {
  ATELIER_CHECK(height >= 2 && width >= 2);
  DiffAugmentDraw draw;
  // The draws do not depend on the probability: each picture keeps its own as the latter moves.
  const bool color = random.Uniform() < probability;
  const bool translation = random.Uniform() < probability;
  draw.cut = random.Uniform() < probability;
  const double brightness = random.Uniform() - 0.5;
  const double saturation = 2 * random.Uniform();
  const double contrast = random.Uniform() + 0.5;
  const std::int64_t down = random.Below(2 * (height / 8) + 1) - height / 8;
  const std::int64_t right = random.Below(2 * (width / 8) + 1) - width / 8;
  draw.cut_y = random.Below(height + 1 - (height / 2) % 2);
  draw.cut_x = random.Below(width + 1 - (width / 2) % 2);
  if (color) {
    draw.brightness = brightness;
    draw.saturation = saturation;
    draw.contrast = contrast;
  }
  if (translation) {
    draw.down = down;
    draw.right = right;
  }
  return draw;
}

torch::Tensor DiffAugment(const torch::Tensor& pictures,
                          const std::vector<DiffAugmentDraw>& draws) {
  ATELIER_CHECK(pictures.size(0) == static_cast<std::int64_t>(draws.size()));
  std::vector<torch::Tensor> augmented;
  for (std::size_t i = 0; i < draws.size(); ++i) {
    augmented.push_back(AugmentOne(pictures.narrow(0, static_cast<std::int64_t>(i), 1), draws[i]));
  }
  return torch::cat(augmented);
}

void AdaptiveProbability::StartStep() {
  if (steps_ == options_.interval) {
    const double mean = signs_ / pictures_;
    const double step = pictures_ / static_cast<double>(options_.pictures_to_full);
    const double direction = mean > options_.target ? 1.0 : (mean < options_.target ? -1.0 : 0.0);
    probability_ = std::clamp(probability_ + direction * step, 0.0, 1.0);
    signs_ = 0;
    pictures_ = 0;
    steps_ = 0;
  }
  ++steps_;
}

void AdaptiveProbability::Observe(const std::vector<torch::Tensor>& real_logits,
                                  ranks::RankGroup* group) {
  ATELIER_CHECK(!real_logits.empty());
  torch::NoGradGuard no_grad;
  const auto pictures = static_cast<double>(real_logits.front().size(0));
  double signs = 0;
  for (const torch::Tensor& map : real_logits) {
    signs += map.sign().to(torch::kFloat64).mean().item<double>();
  }
  torch::Tensor seen = torch::tensor(
      {pictures * signs / static_cast<double>(real_logits.size()), pictures}, torch::kFloat64);
  if (group != nullptr) {
    group->Sum(seen);
  }
  signs_ += seen[0].item<double>();
  pictures_ += seen[1].item<double>();
}

void AdaptiveProbability::Save(const std::string& name, models::TensorMap& state) const {
  SaveNumbers(state, name + "#adaptive",
              {probability_, signs_, pictures_, static_cast<double>(steps_)});
}

absl::Status AdaptiveProbability::Load(const std::string& name, const models::TensorMap& state) {
  ATELIER_ASSIGN_OR_RETURN(const std::vector<double> saved,
                           LoadNumbers(state, name + "#adaptive", 4));
  probability_ = saved[0];
  signs_ = saved[1];
  pictures_ = saved[2];
  steps_ = static_cast<int>(saved[3]);
  return absl::OkStatus();
}

}  // namespace atelier::train
