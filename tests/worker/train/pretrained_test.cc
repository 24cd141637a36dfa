// Training that starts from other weights. Tiny sets, tiny networks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/worker/train/watched_job.h"
#include "worker/models/safetensors.h"
#include "worker/models/torch_pickle_writer.h"
#include "worker/train/checkpoint.h"
#include "worker/train/train_step.h"

namespace atelier::train {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

class PretrainedStart : public Watched {
 protected:
  void SetUp() override {
    Watched::SetUp();
    TrainConfig config = Small("cyclegan");
    config.tier = "base";
    config.steps = 1;
    config.learning_rate = 1e-3;
    RecordingObserver observer;
    RunJob(Job(config, "source"), observer);
    source_ = attempts() / "source/checkpoints/step-1";
    state_ = LoadCheckpoint(source_)->state;
  }

  // The state before the first step of a training that differs from the source's by its seed.
  TensorMap StateAfterStart(TrainJob job) {
    job.config.seed = 77;
    job.config.steps = 1;
    job.config.learning_rate = 1e-12;
    RecordingObserver observer;
    RunJob(job, observer);
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
  EXPECT_THAT(*ReadFile(job.attempt_directory / "result/card.md", 1 << 20),
              HasSubstr("| parent model | job:source |"));
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

}  // namespace
}  // namespace atelier::train
