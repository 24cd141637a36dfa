// Tiny data sets that have a colour to teach.
#pragma once

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <utility>

#include "worker/image/codec.h"

namespace atelier::train::colored {

struct Color {
  float red, green, blue;  // 0 to 1
};

// A soft pattern around a colour.
inline torch::Tensor Picture(const Color& color, int seed, int height, int width) {
  torch::manual_seed(seed);
  const torch::Tensor waves =
      torch::upsample_bicubic2d(torch::rand({1, 3, 5, 5}) * 0.3 - 0.15, {height, width}, false)[0];
  const torch::Tensor base = torch::tensor({color.red, color.green, color.blue}).view({3, 1, 1});
  return ((waves + base).clamp(0, 1) * 255).to(torch::kUInt8).permute({1, 2, 0}).contiguous();
}

inline void Write(const std::filesystem::path& path, const torch::Tensor& pixels) {
  std::filesystem::create_directories(path.parent_path());
  const auto png = image::EncodeImage(pixels, {}, {.format = ImageFormat::kPng});
  ASSERT_TRUE(png.ok());
  std::ofstream(path, std::ios::binary) << *png;
}

inline constexpr Color kBlue = {0.2F, 0.3F, 0.8F};
inline constexpr Color kOrange = {0.9F, 0.5F, 0.2F};
inline constexpr Color kGreen = {0.2F, 0.7F, 0.3F};

// Mean colour of pictures [N, 3, H, W] in [-1, 1], as 0 to 1.
inline torch::Tensor MeanColor(const torch::Tensor& pictures) {
  return pictures.to(torch::kFloat).mean({0, 2, 3}) / 2 + 0.5;
}

inline double DistanceTo(const Color& color, const torch::Tensor& mean) {
  return (mean - torch::tensor({color.red, color.green, color.blue})).norm().item<double>();
}

// [H, W, 3], half as bright on its left or on its right.
inline torch::Tensor DarkOnOneSide(const torch::Tensor& picture, bool left) {
  torch::Tensor dark = picture.clone();
  const std::int64_t half = picture.size(1) / 2;
  dark.narrow(1, left ? 0 : half, half).floor_divide_(2);
  return dark;
}

// Two photographs that are dark on their left and on their right, [2, H, W, 3], are restyled by
// `restyle` to [2, 3, H, W]: how what tells the results apart correlates with that, and with top
// and bottom instead. A generator that paints the same whatever it is shown has NaN.
template <typename Restyle>
std::pair<double, double> Following(const Restyle& restyle) {
  constexpr int kSide = 72;
  const torch::Tensor photo = Picture(kBlue, 99, kSide, kSide);
  const torch::Tensor results =
      restyle(torch::stack({DarkOnOneSide(photo, true), DarkOnOneSide(photo, false)}));
  const torch::Tensor made = (results[0] - results[1]).mean(0);
  torch::Tensor sides = torch::ones({kSide, kSide});
  sides.narrow(1, 0, kSide / 2).neg_();
  const auto correlation = [&made](const torch::Tensor& other) {
    return torch::corrcoef(torch::stack({made.flatten(), other.flatten()}))[0][1].item<double>();
  };
  return {correlation(sides), correlation(sides.t())};
}

inline std::filesystem::path FeatureWeights() {
  return std::filesystem::path(ATELIER_BINARY_DIR) /
         "share/atelier/features/efficientnet_lite0.pth";
}

}  // namespace atelier::train::colored
