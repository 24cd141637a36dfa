// Options that no other test trains with: two steps on tiny pictures, whose losses are finite,
// which move every network and differ from those without the option.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <cstdint>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "common/family.h"
#include "common/train_config.h"
#include "tests/worker/train/watched_job.h"
#include "worker/train/checkpoint.h"
#include "worker/train/datasets.h"
#include "worker/train/loader.h"
#include "worker/train/train_step.h"

namespace atelier::train {
namespace {

using nlohmann::json;

struct OptionCase {
  const char* name;
  json job;      // what it says besides
  json without;  // merged into it: the same without the option
};

void PrintTo(const OptionCase& c, std::ostream* out) { *out << c.name; }

std::vector<OptionCase> OptionCases() {
  const json cut = {{"family", "cut"},
                    {"generator", "cut-resnet-6"},
                    {"cut", {{"fast", true}, {"patches", 8}, {"layers", {0, 4, 8}}}}};
  return {
      {"CutFast", cut, {{"cut", {{"fast", false}}}}},
      // Without spectral norm a fresh discriminator's gradients are too small to show in a loss.
      {"R1",
       {{"family", "dcgan"},
        {"gan", {{"r1_weight", 5}, {"norm", "none"}, {"spectral_norm", true}}}},
       {{"gan", {{"r1_weight", 0}}}}},
      {"PixelDiscriminator",
       {{"family", "pix2pix"},
        {"generator", "unet-64"},
        {"pix2pix", {{"edges", true}}},
        {"gan", {{"discriminator", "pixel"}}}},
       {{"gan", {{"discriminator", "patch"}}}}},
      {"FeatureMatching",
       {{"family", "pix2pix"},
        {"generator", "unet-64"},
        {"pix2pix", {{"edges", true}}},
        {"gan", {{"feature_matching_weight", 10}}}},
       {{"gan", {{"feature_matching_weight", 0}}}}},
      {"CycleganUnet",
       {{"family", "cyclegan"}, {"generator", "unet-64"}},
       {{"generator", "resnet-6"}}},
      {"ProjectedDiscriminator",
       {{"family", "cyclegan"},
        {"generator", "resnet-6"},
        {"gan", {{"discriminator", "projected"}}}},
       {{"gan", {{"discriminator", "patch"}}}}},
  };
}

class OptionSteps : public Watched, public testing::WithParamInterface<OptionCase> {
 protected:
  struct Trained {
    std::map<std::string, double> losses;  // of the second step
    TensorMap first;
    TensorMap last;
    std::vector<std::string> networks;
  };

  static TrainConfig ConfigOf(const json& job) {
    const json common = {{"steps", 2},
                         {"image_size", 64},
                         {"base_channels", 4},
                         {"batch_size", 2},
                         {"seed", 5},
                         {"precision", "fp32"},
                         {"data", {{"content", "content"}}},
                         {"gan", {{"channels", 4}}}};
    json spec = common;
    spec.merge_patch(job);
    if (FindFamily(spec["family"].get<std::string>())->has_style) {
      spec["data"]["style"] = "style";
    }
    const auto config = ParseTrainConfig(spec.dump());
    EXPECT_TRUE(config.ok()) << config.status();
    return config.value_or(TrainConfig());
  }

  Trained Train(const TrainConfig& config) const {
    Trained trained;
    const TrainJob job = Job(config, "unused");
    const StepRow& row = *FindStepRow(config.family).value();
    const Datasets sets = OpenDatasets(job, row.batch_kind(config)).value();
    const ImageFolder* style = sets.style.has_value() ? &*sets.style : nullptr;
    auto step = MakeStep(row, {.config = config,
                               .feature_weights = job.feature_weights,
                               .content = sets.content,
                               .style = style});
    EXPECT_TRUE(step.ok()) << step.status();
    for (const NamedNetwork& network : (*step)->Networks()) {
      trained.networks.push_back(network.name);
    }
    trained.first = (*step)->State();
    BatchLoader loader(config, row.batch_kind(config), sets.content, style);
    for (std::int64_t i = 0; i < 2; ++i) {
      trained.losses = (*step)->Run(loader.Get(i).value(), i);
      EXPECT_FALSE((*step)->TakeSkipped()) << "step " << i;
    }
    trained.last = (*step)->State();
    return trained;
  }

  // Whether a weight of the network has moved.
  static bool Moved(const Trained& trained, const std::string& network) {
    for (const auto& [name, before] : trained.first) {
      if (name.starts_with(network + ".") &&
          (name.ends_with("weight") || name.ends_with("weight_orig")) &&
          !torch::equal(before, trained.last.at(name))) {
        return true;
      }
    }
    return false;
  }
};
INSTANTIATE_TEST_SUITE_P(Options, OptionSteps, testing::ValuesIn(OptionCases()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(OptionSteps, TrainFiniteLossesMoveEveryNetworkAndMakeADifference) {
  const Trained with = Train(ConfigOf(GetParam().job));
  for (const auto& [name, loss] : with.losses) {
    EXPECT_TRUE(std::isfinite(loss)) << name;
  }
  EXPECT_GE(with.networks.size(), 2u);
  for (const std::string& network : with.networks) {
    EXPECT_TRUE(Moved(with, network)) << network;
  }
  json job = GetParam().job;
  job.merge_patch(GetParam().without);
  const Trained without = Train(ConfigOf(job));
  EXPECT_NE(with.losses, without.losses);
}

class ProjectedResume : public Watched {};

// Its mixing is drawn and never trained: a run that drew it again would judge by other features.
TEST_F(ProjectedResume, GoesOnBitByBitAndKeepsItsRandomMixing) {
  TrainConfig config = Small("cyclegan");
  config.gan.discriminator = DiscriminatorKind::kProjected;
  config.batch_size = 1;
  config.steps = 4;
  config.checkpoint_every_steps = 2;
  GoingOn().Expect([&](const std::string& attempt) { return Job(config, attempt); }, 2,
                   {"result/weights.safetensors", "checkpoints/step-4/state.safetensors"});
  const auto state_of = [this](const char* checkpoint) {
    return LoadCheckpoint(attempts() / "whole/checkpoints" / checkpoint).value().state;
  };
  const TensorMap middle = state_of("step-2");
  const TensorMap last = state_of("step-4");
  int kept = 0;
  int trained = 0;
  for (const auto& [name, tensor] : middle) {
    if (name.starts_with("discriminator_") && name.find(".mix_") != std::string::npos) {
      EXPECT_TRUE(torch::equal(tensor, last.at(name))) << name;
      ++kept;
    } else if (name.starts_with("discriminator_") && name.ends_with("weight_orig")) {
      EXPECT_FALSE(torch::equal(tensor, last.at(name))) << name;
      ++trained;
    }
  }
  EXPECT_EQ(kept, 16) << "two discriminators have mixings across channels and scales, four each";
  EXPECT_GE(trained, 8);
}

}  // namespace
}  // namespace atelier::train
