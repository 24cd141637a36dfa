// Which pictures the sample grid and the collapse alarm look at.
#include "worker/train/samples.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "tests/support/temp_dir.h"
#include "tests/worker/train/colored_pictures.h"

namespace atelier::train {
namespace {

namespace fs = std::filesystem;

// Pictures of one grey each, so that a crop tells which one it is of.
class Samples : public testing::Test {
 protected:
  ImageFolder Folder(const std::string& name) const {
    return ImageFolder::Open({.directory = directory_ / name, .name = name, .short_side = 80})
        .value();
  }
  // `right`: the grey of the right half.
  void Write(const std::string& file, int grey, int right) const {
    colored::Write(directory_ / file, torch::cat({torch::full({80, 80, 3}, grey, torch::kUInt8),
                                                  torch::full({80, 80, 3}, right, torch::kUInt8)},
                                                 1));
  }
  void Write(const std::string& file, int grey) const {
    colored::Write(directory_ / file, torch::full({80, 80, 3}, grey, torch::kUInt8));
  }

  // The greys of crops, sorted.
  static std::vector<int> Greys(const absl::StatusOr<torch::Tensor>& crops) {
    EXPECT_TRUE(crops.ok()) << crops.status();
    std::vector<int> greys;
    for (const torch::Tensor& crop : crops->unbind(0)) {
      EXPECT_EQ(crop.sizes(), (std::vector<std::int64_t>{3, 64, 64}));
      greys.push_back(static_cast<int>(std::lround((crop.mean().item<double>() + 1) * 127.5)));
    }
    std::ranges::sort(greys);
    return greys;
  }

  TrainConfig config_ = {.image_size = 64};
  test::TempDir directory_;
};

TEST_F(Samples, AreDifferentPicturesWhateverTheSeed) {
  for (int i = 0; i < 5; ++i) {
    Write("set/" + std::to_string(i) + ".png", 20 * i);
  }
  const ImageFolder folder = Folder("set");
  std::set<std::vector<int>> chosen;
  for (config_.seed = 0; config_.seed < 20; ++config_.seed) {
    const std::vector<int> greys = Greys(PickSamples(config_, BatchKind::kContent, folder, 4));
    EXPECT_EQ(std::set(greys.begin(), greys.end()).size(), 4u) << "seed " << config_.seed;
    chosen.insert(greys);
    EXPECT_EQ(greys, Greys(PickSamples(config_, BatchKind::kContent, folder, 4)));
  }
  EXPECT_EQ(chosen.size(), 5u) << "the seed decides which one is left out";
  EXPECT_EQ(Greys(PickSamples(config_, BatchKind::kContent, folder, 9)),
            (std::vector<int>{0, 20, 40, 60, 80}));
}

TEST_F(Samples, TargetsAreOfTheStyleSetOrTheOtherHalfOrUndrawn) {
  Write("pairs/a.png", 10, 110);
  Write("pairs/b.png", 20, 120);
  const ImageFolder pairs = Folder("pairs");
  EXPECT_EQ(Greys(PickSamples(config_, BatchKind::kSideBySide, pairs, 4)),
            (std::vector<int>{10, 20}));
  EXPECT_EQ(Greys(PickTargets(config_, BatchKind::kSideBySide, pairs, nullptr, -1, 4)),
            (std::vector<int>{110, 120}));

  Write("photos/a.png", 30);
  Write("photos/b.png", 40);
  Write("paintings/a.png", 50);
  Write("paintings/b.png", 60);
  const ImageFolder photos = Folder("photos");
  const ImageFolder paintings = Folder("paintings");
  EXPECT_EQ(Greys(PickSamples(config_, BatchKind::kEdges, photos, 4)),
            (std::vector<int>{255, 255}));
  EXPECT_EQ(Greys(PickTargets(config_, BatchKind::kEdges, photos, nullptr, -1, 4)),
            (std::vector<int>{30, 40}));
  EXPECT_EQ(Greys(PickTargets(config_, BatchKind::kUnpaired, photos, &paintings, -1, 4)),
            (std::vector<int>{50, 60}));
  // One painting differs from nothing.
  fs::remove(directory_ / "paintings/b.png");
  const ImageFolder one = Folder("paintings");
  EXPECT_EQ(Greys(PickTargets(config_, BatchKind::kContent, photos, &one, -1, 4)),
            (std::vector<int>{30, 40}));
}

TEST_F(Samples, TargetsOfALabelAreOfItsFolder) {
  for (int i = 0; i < 3; ++i) {
    Write("set/dark/" + std::to_string(i) + ".png", 10 + i);
    Write("set/light/" + std::to_string(i) + ".png", 200 + i);
  }
  const ImageFolder set = Folder("set");
  EXPECT_EQ(Greys(PickTargets(config_, BatchKind::kContent, set, nullptr, 1, 4)),
            (std::vector<int>{200, 201, 202}));
  EXPECT_EQ(Greys(PickTargets(config_, BatchKind::kContent, set, nullptr, -1, 6)).size(), 6u);
}

}  // namespace
}  // namespace atelier::train
