// The gradients that two ranks average are those of the whole batch, for everything that ranks may
// train.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <functional>
#include <map>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "common/compress_config.h"
#include "common/job_workers.h"
#include "tests/worker/model_folder.h"
#include "tests/worker/ranks/rank_jobs.h"
#include "worker/models/generator_table.h"

namespace atelier::train {
namespace {

constexpr std::int64_t kLearnt = 2;  // steps
// Of the norm of a network's gradients, in fp32. Rounding makes 2e-6 of it, or up to 7e-3 where it
// takes a unit to the other side of its kink, as it does between numbers of threads, too. Batch
// norms of half a batch make 0.3 to 1, sums where means are due 1.
constexpr double kTolerance = 0.02;

struct GradientCase {
  const char* name;
  const char* family;  // or a compression's kind
  std::function<void(TrainConfig&)> configure;
};

void PrintTo(const GradientCase& c, std::ostream* out) { *out << c.name; }

void Nothing(TrainConfig& /*config*/) {}

void SmallPaintings(TrainConfig& config) { config.faststyle.style_size = 64; }

std::vector<GradientCase> GradientCases() {
  return {
      {"Faststyle", "faststyle",
       [](TrainConfig& config) {
         SmallPaintings(config);
         config.base_channels = 0;  // "lite" has one width
       }},
      {"Multistyle", "multistyle",
       [](TrainConfig& config) {
         SmallPaintings(config);
         config.multistyle.mix_share = 0.5;
       }},
      {"Reference", "reference", [](TrainConfig& config) { config.accumulate = 2; }},
      {"Cyclegan", "cyclegan",
       [](TrainConfig& config) {
         config.generator = "resnet-6";
         config.gan.pool_size = 3;  // full after the first step
         config.augment.differentiable = true;
       }},
      {"Cut", "cut",
       [](TrainConfig& config) {
         config.generator = "cut-resnet-6";
         config.cut.patches = 16;
         config.cut.flip_equivariance = true;
       }},
      {"Pix2pix", "pix2pix",
       [](TrainConfig& config) {
         config.generator = "unet-64";
         config.pix2pix.edges = true;
       }},
      {"Dcgan", "dcgan", [](TrainConfig& config) { config.accumulate = 2; }},
      {"Wgan", "wgan", Nothing},
      {"Cgan", "cgan", [](TrainConfig& config) { config.gan.mode_seeking_weight = 0; }},
      {"Vaegan", "vaegan", Nothing},
      {"VaeganPictures", "vaegan-pictures", Nothing},
      {"Distil", kDistil, Nothing},
      {"Prune", kPrune, Nothing},
  };
}

class GradientsOnRanks : public Ranks, public testing::WithParamInterface<GradientCase> {
 protected:
  void SetUp() override {
    Ranks::SetUp();
    for (int i = 0; i < 6; ++i) {
      WritePicture(
          root() / "labelled" / (i % 2 == 0 ? "even" : "odd") / (std::to_string(i) + ".png"),
          100 + i);
    }
  }

  // Of steps so short that they move no weight: what is left of a job's arithmetic is its
  // gradients, which are in Adam's means, and rounding errors cannot grow from step to step.
  TrainConfig StandingStill() const {
    const std::string family = GetParam().family;
    const bool compresses = family == kDistil || family == kPrune;
    TrainConfig config = Config(compresses ? "faststyle" : GetParam().family);
    config.steps = kLearnt + 1;  // it is stopped before: the result is of no interest
    config.checkpoint_every_steps = kLearnt;
    config.learning_rate = 1e-12;
    config.gan.learning_rate = 0;  // the same
    if (compresses) {
      config.family = family;
      config.compress.model = "source@1";
      config.base_channels = 0;
      config.losses.perceptual_weight = 1;
    }
    GetParam().configure(config);
    return config;
  }

  void Furnish(TrainJob& job) const {
    if (FindFamily(job.config.family) != nullptr && FindFamily(job.config.family)->has_labels) {
      job.content_directory = root() / "labelled";
    }
    if (job.config.family == "multistyle") {
      job.style_directory = root() / "labelled";
    }
    if (job.config.compresses()) {
      job.source_model = root() / "source";
    }
  }

  void WriteSource() const {
    const Architecture architecture = {
        .generator = "resnet-6", .base_channels = 8, .norm = "instance"};
    const auto network = models::MakeGenerator(architecture).value();
    network->InitializeWeights(at::make_generator<at::CPUGeneratorImpl>(7));
    ModelSpec spec;
    spec.family = "cyclegan";
    spec.architecture = architecture;
    test::WriteModelFolder(root() / "source", *network, spec);
  }

  // How far the gradients in two states are from each other, as a share of their norm, by network.
  static std::map<std::string, double> Distances(const TensorMap& a, const TensorMap& b) {
    std::map<std::string, double> differences;
    std::map<std::string, double> norms;
    for (const auto& [name, tensor] : a) {
      if (name.ends_with("#exp_avg")) {
        const std::string network = name.substr(0, name.find('.'));
        const auto squares = [](const torch::Tensor& numbers) {
          return numbers.to(torch::kDouble).square().sum().item<double>();
        };
        differences[network] += squares(tensor - b.at(name));
        norms[network] += squares(tensor);
      }
    }
    std::map<std::string, double> distances;
    for (const auto& [network, norm] : norms) {
      distances[network] = std::sqrt(differences[network] / norm);
    }
    return distances;
  }
};
INSTANTIATE_TEST_SUITE_P(Families, GradientsOnRanks, testing::ValuesIn(GradientCases()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(GradientCases, HaveEveryFamilyThatRanksMayTrain) {
  std::set<std::string> compared;
  for (const GradientCase& each : GradientCases()) {
    compared.insert(each.family);
  }
  for (const Family& family : Families()) {
    TrainConfig config;
    config.family = std::string(family.name);
    EXPECT_EQ(compared.contains(config.family), CheckWorkers(config, 2).ok()) << family.name;
  }
}

TEST_P(GradientsOnRanks, AreThoseOfTheWholeBatch) {
  WriteSource();
  const TrainConfig config = StandingStill();
  TrainJob job = JobOf(config, "alone");
  Furnish(job);
  RecordingObserver alone;
  alone.stop_at = kLearnt;
  ASSERT_EQ(RunJob(job, alone), Outcome::kStopped);
  observers_[0].stop_at = kLearnt;
  for (const auto& outcome :
       RunOnTwo(config, "two", [this](int, TrainJob& part) { Furnish(part); })) {
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    EXPECT_EQ(*outcome, Outcome::kStopped);
  }
  const auto distances = Distances(StateOf("alone", kLearnt), StateOf("two", kLearnt));
  EXPECT_FALSE(distances.empty());
  for (const auto& [network, distance] : distances) {
    EXPECT_LT(distance, kTolerance) << network;  // also when it is not a number
  }
}

}  // namespace
}  // namespace atelier::train
