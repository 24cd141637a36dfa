#include "worker/train/caption.h"

#include <ATen/CPUGeneratorImpl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <string>

#include "tests/support/temp_dir.h"
#include "tests/worker/train/colored_pictures.h"
#include "worker/train/conditioning.h"

namespace atelier::train {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsSupersetOf;

using Rgb = std::array<int, 3>;

torch::Tensor Color(const Rgb& rgb) {
  return torch::tensor({rgb[0], rgb[1], rgb[2]}, torch::kFloat);
}

torch::Tensor Plain(const Rgb& rgb, std::int64_t side = 80) {
  return Color(rgb).expand({side, side, 3}).to(torch::kByte).contiguous();
}

// Where `mask` [S, S] is 1 one colour, elsewhere the other, with a little pixel noise.
torch::Tensor Painted(const torch::Tensor& mask, const Rgb& on, const Rgb& off) {
  const torch::Tensor m = mask.to(torch::kFloat).unsqueeze(2);
  const torch::Tensor noise =
      4 * torch::randn(m.sizes(), at::make_generator<at::CPUGeneratorImpl>(7));
  return (m * Color(on) + (1 - m) * Color(off) + noise).clamp(0, 255).to(torch::kByte);
}

// The distance of every pixel along a direction, in periods.
torch::Tensor Phase(double degrees, double period, std::int64_t side = 80) {
  const double angle = degrees * M_PI / 180;
  const torch::Tensor y = torch::arange(side, torch::kDouble).view({-1, 1});
  const torch::Tensor x = torch::arange(side, torch::kDouble).view({1, -1});
  return (x * std::cos(angle) + y * std::sin(angle)) / period;
}

torch::Tensor Stripes(double degrees, double period) {
  return (Phase(degrees, period) - Phase(degrees, period).floor()) < 0.5;
}

torch::Tensor Dots(double degrees, double period, double radius) {
  const auto middle = [](const torch::Tensor& phase) { return phase - phase.floor() - 0.5; };
  return (middle(Phase(degrees, period)).square() + middle(Phase(degrees + 90, period)).square())
             .sqrt() < radius;
}

TEST(ColorName, KnowsTheBasicColours) {
  const std::pair<const char*, Rgb> colors[] = {
      {"black", {20, 20, 25}},   {"white", {245, 245, 240}}, {"grey", {128, 128, 132}},
      {"red", {190, 20, 30}},    {"orange", {240, 130, 20}}, {"yellow", {240, 220, 40}},
      {"green", {40, 140, 60}},  {"blue", {30, 60, 180}},    {"purple", {110, 40, 150}},
      {"pink", {245, 150, 175}}, {"brown", {110, 70, 35}},   {"beige", {222, 205, 170}},
      {"blue", {25, 30, 90}},    {"pink", {230, 40, 140}}};
  for (const auto& [name, rgb] : colors) {
    EXPECT_EQ(ColorName(Plain(rgb)), name) << rgb[0] << " " << rgb[1] << " " << rgb[2];
  }
}

TEST(ColorName, LeavesABackgroundOutThatSomethingElseFills) {
  torch::Tensor garment = Plain({250, 250, 250});
  garment.narrow(0, 15, 50).narrow(1, 20, 40) = Color({30, 60, 180}).to(torch::kByte);
  EXPECT_EQ(ColorName(garment), "blue");
  // Dots that cover little are on cloth of the ground's colour.
  EXPECT_EQ(ColorName(Painted(Dots(0, 16, 0.25), {250, 250, 250}, {190, 20, 30})), "red");
}

TEST(MotifOf, PlainClothIsPlainAlsoInLightAndShade) {
  EXPECT_EQ(MotifOf(Plain({30, 60, 180})), Motif::kPlain);
  const torch::Tensor nothing = torch::zeros({80, 80});
  EXPECT_EQ(MotifOf(Painted(nothing, {0, 0, 0}, {120, 60, 80})), Motif::kPlain);
  const torch::Tensor shade = torch::linspace(0, 1, 80).view({1, 80}).expand({80, 80});
  EXPECT_EQ(MotifOf(Painted(shade, {120, 60, 80}, {90, 40, 60})), Motif::kPlain);
}

TEST(MotifOf, StripesAreStripesAtEveryAngleAndWidth) {
  for (const double degrees : {0, 20, 45, 90, 130}) {
    for (const double period : {5, 9, 16}) {
      EXPECT_EQ(MotifOf(Painted(Stripes(degrees, period), {20, 30, 90}, {240, 240, 240})),
                Motif::kStriped)
          << degrees << " degrees, period " << period;
    }
  }
  EXPECT_EQ(MotifOf(Painted(Stripes(30, 9), {200, 40, 40}, {40, 130, 40})), Motif::kStriped)
      << "colours of about equal brightness";
}

TEST(MotifOf, ChecksAreTwoWaysOfStripes) {
  for (const double degrees : {0, 25, 45}) {
    for (const double period : {13, 17}) {
      const torch::Tensor a = Stripes(degrees, period);
      const torch::Tensor b = Stripes(degrees + 90, period);
      EXPECT_EQ(MotifOf(Painted(a.logical_xor(b), {20, 20, 20}, {230, 230, 230})), Motif::kChecked)
          << "chequered, " << degrees << " degrees, period " << period;
      const torch::Tensor vichy = (a.to(torch::kFloat) + b.to(torch::kFloat)) / 2;
      EXPECT_EQ(MotifOf(Painted(vichy, {180, 20, 30}, {245, 245, 245})), Motif::kChecked)
          << "vichy, " << degrees << " degrees, period " << period;
    }
  }
}

TEST(MotifOf, DotsAreDots) {
  for (const double degrees : {0, 30}) {
    for (const double period : {12, 16}) {
      EXPECT_EQ(MotifOf(Painted(Dots(degrees, period, 0.3), {250, 250, 250}, {20, 40, 120})),
                Motif::kDotted)
          << degrees << " degrees, period " << period;
    }
  }
}

TEST(MotifOf, WhatIsTooFineToTellIsSomethingElse) {
  EXPECT_EQ(MotifOf(Painted(Dots(0, 7, 0.3), {250, 250, 250}, {20, 40, 120})), Motif::kOther);
}

TEST(MotifOf, WhatDoesNotRepeatIsSomethingElse) {
  const torch::Tensor noise = torch::rand({80, 80}, at::make_generator<at::CPUGeneratorImpl>(3));
  EXPECT_EQ(MotifOf(Painted(noise.round(), {20, 40, 120}, {240, 240, 240})), Motif::kOther);
  torch::Tensor edge = torch::zeros({80, 80});
  edge.narrow(1, 0, 40) = 1;
  EXPECT_EQ(MotifOf(Painted(edge, {20, 40, 120}, {240, 240, 240})), Motif::kOther)
      << "one edge is no stripe";
  EXPECT_EQ(MotifOf(Painted(Dots(0, 80, 0.2), {20, 40, 120}, {240, 240, 240})), Motif::kOther)
      << "one dot";
}

TEST(MotifOf, SoftBlobsAreNoDots) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const torch::Tensor blobs = torch::upsample_bicubic2d(
        torch::rand({1, 1, 8, 8}, at::make_generator<at::CPUGeneratorImpl>(seed)), {80, 80},
        false)[0][0];
    EXPECT_NE(MotifOf(Painted(blobs, {20, 40, 120}, {240, 240, 240})), Motif::kDotted) << seed;
  }
}

TEST(CaptionOf, SaysColourMotifAndType) {
  const torch::Tensor cloth = Painted(Stripes(0, 8), {20, 60, 190}, {20, 40, 110});
  EXPECT_THAT(CaptionOf("T-Shirts", cloth), ElementsAre("blue", "striped", "t", "shirts"));
  EXPECT_THAT(CaptionOf("", Plain({20, 60, 190})), ElementsAre("blue", "plain"));
}

class ConditioningTest : public ::testing::Test {
 protected:
  ConditioningTest() {
    config_.family = "cgan";
    config_.content_dataset = "garments";
    config_.seed = 3;
    config_.pattern.words = true;
    for (int i = 0; i < 2; ++i) {
      const std::string file = std::to_string(i) + ".png";
      colored::Write(folder_ / "dress" / ("b" + file), colored::Picture(colored::kBlue, i, 40, 40));
      colored::Write(folder_ / "dress" / ("o" + file),
                     colored::Picture(colored::kOrange, i, 40, 40));
    }
    colored::Write(folder_ / "coat" / "b.png", colored::Picture(colored::kBlue, 9, 40, 40));
  }

  ImageFolder Open() const {
    return ImageFolder::Open({.directory = folder_.path(), .short_side = 40}).value();
  }

  static Batch All(const ImageFolder& folder, std::int64_t first_sample) {
    Batch batch;
    std::vector<std::int64_t> labels;
    for (std::int64_t i = 0; i < folder.size(); ++i) {
      batch.content_places.push_back(i);
      labels.push_back(folder.label(i));
    }
    batch.labels = torch::tensor(labels);
    batch.content = torch::zeros({folder.size(), 3, 4, 4});
    batch.first_sample = first_sample;
    return batch;
  }

  TrainConfig config_;
  test::TempDir folder_;
};

TEST_F(ConditioningTest, WordsAreThoseOfTypeColourAndMotif) {
  const ImageFolder content = Open();
  const auto conditioning = Conditioning::Make(config_, content);
  ASSERT_TRUE(conditioning.ok()) << conditioning.status();
  ModelSpec spec;
  conditioning->Describe(spec);
  EXPECT_THAT(spec.vocabulary, IsSupersetOf({"blue", "orange", "dress", "coat"}));
  EXPECT_TRUE(spec.classes.empty());
  EXPECT_THAT(spec.capabilities, IsSupersetOf({"generate", "text", "attributes"}));
  EXPECT_EQ(conditioning->options().entries, spec.vocabulary.size() + 2);
}

TEST_F(ConditioningTest, CaptionsLoseWordsByTheirSampleAlone) {
  const ImageFolder content = Open();
  const Conditioning conditioning = Conditioning::Make(config_, content).value();
  torch::Tensor told;
  bool all_lost = false;
  for (std::int64_t step = 0; step < 20; ++step) {
    const Batch batch = All(content, step * content.size());
    const torch::Tensor weights = conditioning.Of(batch);
    ASSERT_EQ(weights.size(0), content.size());
    EXPECT_TRUE(torch::equal(weights.narrow(0, 1, 2), conditioning.Of(Narrow(batch, 1, 2))))
        << "whatever the batch";
    told = told.defined() ? torch::max(told, weights) : weights;
    all_lost |= (weights.sum(1) == 0).any().item<bool>();
  }
  EXPECT_TRUE(all_lost) << "some are told nothing";
  for (std::int64_t i = 0; i < content.size(); ++i) {
    EXPECT_GE(told[i].sum().item<float>(), 2) << "no word is lost for ever";
  }
}

TEST_F(ConditioningTest, OneFolderIsEnoughForWordsAndTooFewForLabels) {
  test::TempDir flat;
  colored::Write(flat / "a.png", colored::Picture(colored::kBlue, 1, 40, 40));
  const ImageFolder content =
      ImageFolder::Open({.directory = flat.path(), .short_side = 40}).value();
  EXPECT_TRUE(Conditioning::Make(config_, content).ok());
  config_.pattern.words = false;
  const absl::Status status = Conditioning::Make(config_, content).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace atelier::train
