// Training that watches itself: metrics, the best step, early stop, the plateau, resampling,
// further losses; and pretrained starts. Tiny sets, tiny networks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/errors.h"
#include "common/family.h"
#include "common/files.h"
#include "tests/support/temp_dir.h"
#include "tests/worker/train/recording_observer.h"
#include "worker/image/codec.h"
#include "worker/models/safetensors.h"
#include "worker/models/torch_pickle_writer.h"
#include "worker/train/checkpoint.h"
#include "worker/train/train_step.h"
#include "worker/train/trainer.h"

namespace atelier::train {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

void WritePicture(const fs::path& path, int seed) {
  fs::create_directories(path.parent_path());
  torch::manual_seed(seed);
  const torch::Tensor smooth =
      torch::upsample_bicubic2d(torch::rand({1, 3, 5, 5}), {80, 80}, false).clamp(0, 1);
  const auto png =
      image::EncodeImage(smooth[0].permute({1, 2, 0}).mul(255).to(torch::kUInt8).contiguous(), {},
                         {.format = ImageFormat::kPng});
  ASSERT_TRUE(png.ok());
  std::ofstream(path, std::ios::binary) << *png;
}

class Watched : public testing::Test {
 protected:
  void SetUp() override {
    at::set_num_threads(1);
    for (int i = 0; i < 6; ++i) {
      WritePicture(root() / "content" / (std::to_string(i) + ".png"), i);
      WritePicture(root() / "style" / (std::to_string(i) + ".png"), 50 + i);
    }
  }

  fs::path root() const { return directory_.path(); }
  fs::path attempts() const { return root() / "attempts"; }

  static TrainConfig Small(const char* family) {
    TrainConfig config;
    config.family = family;
    const Family& row = *FindFamily(family);
    row.set_defaults(config);
    config.content_dataset = "content";
    config.style_dataset = row.has_style ? "style" : "";
    config.image_size = 64;
    config.base_channels = 4;
    config.gan.channels = 4;
    config.batch_size = 2;
    config.seed = 5;
    config.steps = 8;
    config.checkpoint_every_steps = 4;
    config.sample_every_epochs = 1000;
    config.precision = Precision::kFp32;
    return config;
  }

  // Measured every two steps with as few pictures as a metric allows.
  static TrainConfig Measured(const char* family) {
    TrainConfig config = Small(family);
    config.evaluate.every_steps = 2;
    config.evaluate.pictures = 4;
    return config;
  }

  TrainJob Job(const TrainConfig& config, const std::string& attempt) const {
    TrainJob job;
    job.config = config;
    job.content_directory = root() / "content";
    job.style_directory = config.style_dataset.empty() ? fs::path() : root() / "style";
    job.attempt_directory = attempts() / attempt;
    job.feature_weights =
        fs::path(ATELIER_BINARY_DIR) / "share/atelier/features/efficientnet_lite0.pth";
    return job;
  }

  static Outcome Run(const TrainJob& job, RecordingObserver& observer) {
    const absl::StatusOr<Outcome> outcome = RunTraining(job, observer, observer.stop);
    EXPECT_TRUE(outcome.ok()) << outcome.status();
    return outcome.value_or(Outcome::kStopped);
  }

  // The lines of stats.jsonl that have metrics, by step.
  std::map<std::int64_t, nlohmann::json> Measurements(const std::string& attempt) const {
    std::map<std::int64_t, nlohmann::json> measurements;
    std::ifstream file(attempts() / attempt / "stats.jsonl");
    for (std::string line; std::getline(file, line);) {
      const nlohmann::json json = nlohmann::json::parse(line);
      for (const auto& [key, value] : json.items()) {
        if (key.starts_with("metric/")) {
          measurements[json["step"]][key] = value;
        }
      }
    }
    return measurements;
  }

  void ExpectEqualFiles(const std::string& a, const std::string& b) const {
    EXPECT_EQ(*Sha256HexOfFile(attempts() / a), *Sha256HexOfFile(attempts() / b)) << b;
  }

  test::TempDir directory_;
};

// Everything that a checkpoint keeps since training watches itself.
std::vector<TrainConfig> WatchedConfigs(TrainConfig dcgan, TrainConfig cyclegan, TrainConfig cut,
                                        TrainConfig pix2pix) {
  dcgan.evaluate.metrics = {"diversity", "kernel_distance"};
  dcgan.evaluate.best_result = true;
  dcgan.evaluate.patience = 100;
  dcgan.schedule.kind = ScheduleKind::kPlateau;
  dcgan.schedule.plateau_patience = 0;
  dcgan.schedule.plateau_threshold = 1;  // nothing is good enough: cut at every measurement
  dcgan.schedule.plateau_factor = 0.5;
  dcgan.resample = {.strength = 2, .window = 1};
  dcgan.losses.regularization_weight = 1e-4;
  dcgan.ema_decay = 0.9;

  cyclegan.tier = "base";
  cyclegan.generator_options = {.norm = "batch", .resize_convolution = true, .multi_level = true};
  cyclegan.gan.pool_size = 0;
  cyclegan.gan.discriminator = DiscriminatorKind::kMultiScale;
  cyclegan.resample = {.strength = 2, .window = 2};
  cyclegan.losses = {.structure_weight = 1, .statistics_weight = 0.1};
  cyclegan.evaluate.held_out = 0.4;
  cyclegan.evaluate.pictures = 2;
  cyclegan.evaluate.metrics = {"style_gain", "content_similarity"};

  cut.generator = "cut-resnet-6";
  cut.cut.patches = 8;
  cut.resample = {.strength = 2, .window = 2};
  cut.losses = {.perceptual_weight = 0.1, .total_variation_weight = 0.1};
  cut.evaluate.metrics = {"feature_distance"};

  pix2pix.generator = "unet-64";
  pix2pix.pix2pix.edges = true;
  pix2pix.resample = {.strength = 2, .window = 2};
  pix2pix.evaluate.metrics = {"ssim"};
  return {dcgan, cyclegan, cut, pix2pix};
}

TEST_F(Watched, GoesOnFromACheckpointBitByBitAndMeasuresTheSame) {
  for (const TrainConfig& config : WatchedConfigs(Measured("dcgan"), Measured("cyclegan"),
                                                  Measured("cut"), Measured("pix2pix"))) {
    SCOPED_TRACE(config.family);
    const std::string name = config.family + "-";
    RecordingObserver whole;
    ASSERT_EQ(Run(Job(config, name + "whole"), whole), Outcome::kFinished);
    RecordingObserver first;
    first.stop_at = 4;
    ASSERT_EQ(Run(Job(config, name + "first"), first), Outcome::kStopped);
    TrainJob second = Job(config, name + "second");
    second.resume_directory = attempts() / (name + "first") / "checkpoints/step-4";
    RecordingObserver rest;
    ASSERT_EQ(Run(second, rest), Outcome::kFinished);
    for (const char* file :
         {"/result/weights.safetensors", "/checkpoints/step-8/state.safetensors"}) {
      ExpectEqualFiles(name + "whole" + file, name + "second" + file);
    }
    auto measured = Measurements(name + "first");
    measured.merge(Measurements(name + "second"));
    EXPECT_EQ(measured, Measurements(name + "whole"));
    EXPECT_EQ(measured.size(), 4u);
    EXPECT_EQ(whole.last.metrics_step, 8);
    EXPECT_EQ(whole.last.metrics.size(), config.evaluate.metrics.size());
  }
}

TEST_F(Watched, MeasuringChangesNothingOfTheTraining) {
  TrainConfig config = Small("dcgan");
  config.steps = 4;
  RecordingObserver observer;
  Run(Job(config, "blind"), observer);
  TrainConfig measured = Measured("dcgan");
  measured.steps = 4;
  Run(Job(measured, "watched"), observer);
  ExpectEqualFiles("blind/result/weights.safetensors", "watched/result/weights.safetensors");
  EXPECT_EQ(observer.last.metrics.count("kernel_distance"), 1u);
  const std::string card = *ReadFile(attempts() / "watched/result/card.md", 1 << 20);
  EXPECT_THAT(card, AllOf(HasSubstr("kernel_distance"), HasSubstr("step 4")));
}

TEST_F(Watched, TheBestStepIsKeptAndBecomesTheResultAlsoAfterAResume) {
  TrainConfig config = Measured("dcgan");
  // A huge rate after the first measurement: later results are all alike.
  config.evaluate.metrics = {"diversity"};
  config.evaluate.best_result = true;
  config.keep_checkpoints = 1;
  config.checkpoint_every_steps = 1;
  config.schedule.kind = ScheduleKind::kConstant;
  config.steps = 12;
  RecordingObserver first;
  first.stop_at = 9;
  Run(Job(config, "first"), first);
  TrainJob second = Job(config, "second");
  second.resume_directory = FindNewestCheckpoint(attempts());
  RecordingObserver rest;
  ASSERT_EQ(Run(second, rest), Outcome::kFinished);
  auto measured = Measurements("first");
  measured.merge(Measurements("second"));
  std::int64_t best = 0;
  double diversity = -1;
  for (const auto& [step, metrics] : measured) {
    if (metrics["metric/diversity"].get<double>() > diversity) {
      diversity = metrics["metric/diversity"].get<double>();
      best = step;
    }
  }
  std::vector<std::string> kept;
  for (const auto& entry : fs::directory_iterator(attempts() / "second/checkpoints")) {
    kept.push_back(entry.path().filename().string());
  }
  EXPECT_THAT(kept, Contains("step-" + std::to_string(best)));
  EXPECT_LE(kept.size(), 2u) << "the newest and the best";
  const auto checkpoint =
      LoadCheckpoint(attempts() / "second/checkpoints" / ("step-" + std::to_string(best)));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const auto result =
      models::ReadSafetensors(attempts() / "second/result/weights.safetensors", 64u << 20);
  for (const auto& [name, tensor] : result->tensors) {
    EXPECT_TRUE(torch::equal(tensor, checkpoint->state.at("generator." + name))) << name;
  }
  EXPECT_THAT(*ReadFile(attempts() / "second/result/card.md", 1 << 20),
              HasSubstr("weights of step " + std::to_string(best)));
}

TEST_F(Watched, StopsEarlyFinishesAndStaysFinished) {
  TrainConfig config = Measured("dcgan");
  config.evaluate.patience = 2;
  config.evaluate.min_delta = 1e9;  // nothing is enough better
  config.steps = 100;
  RecordingObserver observer;
  const TrainJob job = Job(config, "1");
  EXPECT_EQ(Run(job, observer), Outcome::kFinished);
  EXPECT_EQ(observer.last.step, 6) << "the first measurement and two that are not better";
  EXPECT_THAT(observer.warnings, Contains(AllOf(HasSubstr("stopped early after step 6"),
                                                HasSubstr("kernel_distance"))));
  EXPECT_TRUE(fs::exists(job.attempt_directory / "result/model.json"));
  TrainJob again = Job(config, "2");
  again.resume_directory = FindNewestCheckpoint(attempts());
  RecordingObserver rest;
  EXPECT_EQ(Run(again, rest), Outcome::kFinished);
  EXPECT_EQ(rest.started_at, 6);
  ExpectEqualFiles("1/result/weights.safetensors", "2/result/weights.safetensors");
}

TEST_F(Watched, TooFewPicturesAreAnErrorWithTheNumberBeforeTheFirstStep) {
  TrainConfig config = Measured("cyclegan");
  config.tier = "base";
  config.evaluate.metrics = {"frechet_distance"};
  config.evaluate.pictures = 100;
  RecordingObserver observer;
  const auto outcome = RunTraining(Job(config, "1"), observer, observer.stop);
  EXPECT_TRUE(absl::IsFailedPrecondition(outcome.status())) << outcome.status();
  EXPECT_THAT(std::string(outcome.status().message()),
              AllOf(HasSubstr("frechet_distance"), HasSubstr("81"), HasSubstr(" 6 ")));
  EXPECT_EQ(observer.started_at, -1);
}

TEST_F(Watched, HeldOutPicturesAreNotLearntFrom) {
  TrainConfig config = Measured("dcgan");
  config.evaluate.held_out = 0.5;
  config.evaluate.metrics = {"diversity"};
  config.steps = 2;
  RecordingObserver observer;
  Run(Job(config, "1"), observer);
  const std::string card = *ReadFile(attempts() / "1/result/card.md", 1 << 20);
  EXPECT_THAT(card, AllOf(HasSubstr("| content | content | 3 |"),
                          HasSubstr("held out for evaluation | content | 3")));
  EXPECT_EQ(observer.last.epoch, 1) << "two steps of two pictures of three";
}

// --- Pretrained starts ---

class PretrainedStart : public Watched {
 protected:
  void SetUp() override {
    Watched::SetUp();
    TrainConfig config = Small("cyclegan");
    config.tier = "base";
    config.steps = 1;
    config.learning_rate = 1e-3;
    RecordingObserver observer;
    Run(Job(config, "source"), observer);
    source_ = attempts() / "source/checkpoints/step-1";
    state_ = LoadCheckpoint(source_)->state;
  }

  // The state before the first step of a training that differs from the source's by its seed.
  TensorMap StateAfterStart(TrainJob job) {
    job.config.seed = 77;
    job.config.steps = 1;
    job.config.learning_rate = 1e-12;
    RecordingObserver observer;
    Run(job, observer);
    warnings_ = observer.warnings;
    return LoadCheckpoint(job.attempt_directory / "checkpoints/step-1")->state;
  }

  static void ExpectNear(const TensorMap& state, const std::string& name,
                         const torch::Tensor& expected) {
    EXPECT_LT((state.at(name) - expected).abs().max().item<double>(), 1e-9) << name;
  }

  fs::path source_;
  TensorMap state_;
  std::vector<std::string> warnings_;
};

TEST_F(PretrainedStart, ACheckpointGivesTheWeightsOfAllNetworks) {
  TrainConfig config = Small("cyclegan");
  config.tier = "base";
  config.ema_decay = 0.9;
  config.init_from = "job:source";
  TrainJob job = Job(config, "1");
  job.init_directory = source_;
  const TensorMap state = StateAfterStart(job);
  for (const char* name : {"generator_a.model.1.weight", "generator_b.model.1.weight",
                           "discriminator_a.model.0.weight", "discriminator_b.model.0.weight"}) {
    ExpectNear(state, name, state_.at(name));
  }
  ExpectNear(state, "average.model.1.weight", state_.at("generator_a.model.1.weight"));
  EXPECT_EQ(state.at("generator_a.model.1.weight#step").item<std::int64_t>(), 1)
      << "Adam begins afresh";
  EXPECT_THAT(warnings_, Contains(AllOf(HasSubstr("discriminator_a started from job:source"),
                                        HasSubstr("tensors taken over"))));
}

TEST_F(PretrainedStart, AnotherFamilyTakesWhatDoesTheSame) {
  TrainConfig config = Small("cut");
  config.generator = "resnet-6";
  config.cut.layers = {0, 4};
  config.cut.patches = 8;
  config.gan.antialias = false;
  config.gan.freeze_layers = 1;
  TrainJob job = Job(config, "1");
  job.init_directory = source_;
  const TensorMap state = StateAfterStart(job);
  ExpectNear(state, "generator.model.1.weight", state_.at("generator_a.model.1.weight"));
  EXPECT_TRUE(torch::equal(state.at("discriminator.model.0.weight"),
                           state_.at("discriminator_a.model.0.weight")))
      << "frozen";
  EXPECT_THAT(warnings_, Contains(HasSubstr("projector starts afresh")));
}

TEST_F(PretrainedStart, FilesOfEitherFormatGiveGeneratorAndDiscriminator) {
  const auto part = [this](const std::string& prefix) {
    TensorMap tensors;
    for (const auto& [name, tensor] : state_) {
      if (name.starts_with(prefix) && name.find('#') == std::string::npos) {
        tensors["module." + name.substr(prefix.size())] = tensor;
      }
    }
    return tensors;
  };
  const fs::path generator = root() / "latest_net_G_A.pth";
  const fs::path discriminator = root() / "latest_net_D_A.safetensors";
  std::ofstream(generator, std::ios::binary)
      << models::SerializeTorchPickle(part("generator_a.")).value();
  ASSERT_TRUE(models::WriteSafetensors(discriminator, part("discriminator_a."), {}).ok());
  TrainConfig config = Small("cyclegan");
  config.tier = "base";
  TrainJob job = Job(config, "1");
  job.init_directory = generator;
  job.init_discriminator = discriminator;
  const TensorMap state = StateAfterStart(job);
  ExpectNear(state, "generator_a.model.1.weight", state_.at("generator_a.model.1.weight"));
  ExpectNear(state, "discriminator_a.model.0.weight", state_.at("discriminator_a.model.0.weight"));
  EXPECT_THAT(warnings_, Contains(HasSubstr("latest_net_D_A.safetensors")));

  std::swap(job.init_directory, job.init_discriminator);
  job.attempt_directory = attempts() / "2";
  RecordingObserver observer;
  const auto outcome = RunTraining(job, observer, observer.stop);
  EXPECT_TRUE(absl::IsFailedPrecondition(outcome.status())) << outcome.status();
  EXPECT_THAT(std::string(outcome.status().message()), HasSubstr("model.1.weight"));
}

// --- Refusals that need the networks ---

TEST_F(Watched, FreezingAllLayersIsRefusedByName) {
  for (const char* family : {"dcgan", "cyclegan"}) {
    TrainConfig config = Small(family);
    config.gan.freeze_layers = 16;
    RecordingObserver observer;
    const auto outcome = RunTraining(Job(config, family), observer, observer.stop);
    EXPECT_EQ(FieldOf(outcome.status()), "train.gan.freeze_layers") << outcome.status();
  }
}

}  // namespace
}  // namespace atelier::train
