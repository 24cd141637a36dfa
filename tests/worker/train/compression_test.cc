// Compressions on tiny sets: the result does what its source does, goes on from a checkpoint bit by
// bit, is measured against its source and can be served.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "common/compress_config.h"
#include "common/errors.h"
#include "common/files.h"
#include "tests/support/temp_dir.h"
#include "tests/worker/model_folder.h"
#include "tests/worker/train/colored_pictures.h"
#include "tests/worker/train/recording_observer.h"
#include "worker/infer/stylizer.h"
#include "worker/models/generator_table.h"
#include "worker/train/trainer.h"

namespace atelier::train {
namespace {

namespace fs = std::filesystem;
using namespace colored;
using testing::HasSubstr;

class Compression : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    at::set_num_threads(2);
    for (int i = 0; i < 6; ++i) {
      Write(root() / "content" / (std::to_string(i) + ".png"), Picture(kBlue, i, 80, 80));
    }
    Write(root() / "style/0.png", Picture(kOrange, 20, 80, 80));
    WriteSource({.generator = "resnet-6", .base_channels = 16, .norm = "instance"});
    config_.family = GetParam();
    config_.compress.model = "source@1";
    config_.content_dataset = "content";
    config_.style_dataset = "style";
    config_.image_size = 64;
    config_.batch_size = 2;
    config_.steps = 60;
    config_.checkpoint_every_steps = 4;
    config_.sample_every_epochs = 1000;
    config_.precision = Precision::kFp32;
    config_.learning_rate = 4e-3;
    config_.adam_beta1 = 0.9;
    config_.ema_decay = 0.9;
    config_.losses.perceptual_weight = 1;
    config_.evaluate.held_out = 0.2;
  }

  // A model of the given layout, whose pictures are soft, as those of a trained one are: its last
  // convolution takes means.
  void WriteSource(const Architecture& architecture) {
    const auto network = models::MakeGenerator(architecture).value();
    network->InitializeWeights(at::make_generator<at::CPUGeneratorImpl>(7));
    {
      const torch::NoGradGuard no_grad;
      const std::vector<torch::Tensor> parameters = network->parameters();
      const torch::Tensor& last = parameters[parameters.size() - 2];  // before its bias
      last.copy_(last.sum({2, 3}, /*keepdim=*/true).expand_as(last) / 7);
    }
    ModelSpec spec;
    spec.family = "cyclegan";
    spec.architecture = architecture;
    test::WriteModelFolder(root() / "source", *network, spec);
  }

  fs::path root() const { return directory_.path(); }

  TrainJob Job(const std::string& attempt) const {
    TrainJob job;
    job.config = config_;
    job.content_directory = root() / "content";
    job.style_directory = config_.style_dataset.empty() ? fs::path() : root() / "style";
    job.attempt_directory = root() / "attempts" / attempt;
    job.source_model = root() / "source";
    job.feature_weights = FeatureWeights();
    return job;
  }

  static torch::Tensor Stylized(const fs::path& folder) {
    const auto stylizer = infer::Stylizer::Load({.directory = folder});
    EXPECT_TRUE(stylizer.ok()) << stylizer.status();
    const auto styled = (*stylizer)->Stylize(Picture(kBlue, 99, 72, 65).unsqueeze(0), {});
    EXPECT_TRUE(styled.ok()) << styled.status();
    return styled->to(torch::kFloat);
  }

  static double Difference(const torch::Tensor& a, const torch::Tensor& b) {
    return (a - b).abs().mean().item<double>();
  }

  TrainConfig config_;
  test::TempDir directory_;
};
INSTANTIATE_TEST_SUITE_P(Kinds, Compression, testing::Values(kDistil, kPrune));

TEST_P(Compression, LearnsToDoWhatItsSourceDoes) {
  RecordingObserver observer;
  TrainJob before = Job("before");
  before.config.steps = 1;
  before.config.learning_rate = 1e-8;
  ASSERT_EQ(RunJob(before, observer), Outcome::kFinished);
  const TrainJob after = Job("after");
  ASSERT_EQ(RunJob(after, observer), Outcome::kFinished);

  const torch::Tensor wanted = Stylized(root() / "source");
  const double at_first = Difference(Stylized(before.attempt_directory / "result"), wanted);
  const double at_last = Difference(Stylized(after.attempt_directory / "result"), wanted);
  EXPECT_LT(at_last, 0.6 * at_first) << "from " << at_first << " to " << at_last;

  const ModelSpec spec = ReadModelSpec(after.attempt_directory / "result").value();
  EXPECT_EQ(spec.family, "cyclegan");
  EXPECT_EQ(spec.architecture.generator, GetParam() == std::string(kDistil) ? "lite" : "resnet-6");
}

TEST_P(Compression, ReportsSizeSpeedAndQualityBeforeAndAfter) {
  config_.steps = 2;
  RecordingObserver observer;
  const TrainJob job = Job("only");
  ASSERT_EQ(RunJob(job, observer), Outcome::kFinished);
  const std::map<std::string, double>& report = observer.last.metrics;
  EXPECT_EQ(observer.last.metrics_step, 2);
  for (const char* name :
       {"size_bytes", "milliseconds", "content_similarity", "ssim", "style_gain"}) {
    EXPECT_TRUE(report.contains(std::string("before/") + name)) << name;
    EXPECT_TRUE(report.contains(std::string("after/") + name)) << name;
  }
  EXPECT_LE(report.at("to_source/ssim"), 1);
  EXPECT_GT(report.at("to_source/feature_distance"), 0);
  EXPECT_LT(report.at("after/size_bytes"), report.at("before/size_bytes"));
  EXPECT_GT(report.at("after/milliseconds"), 0);
  const std::string card = *ReadFile(job.attempt_directory / "result/card.md", 1 << 20);
  EXPECT_THAT(card, HasSubstr("source@1 by `" + std::string(GetParam()) + "`"));
  EXPECT_THAT(card, HasSubstr("| time of a picture, ms |"));
  EXPECT_THAT(card, HasSubstr("| parent model | source@1 |"));
  EXPECT_THAT(*ReadFile(job.attempt_directory / "stats.jsonl", 1 << 20),
              HasSubstr("metric/after/milliseconds"));
}

TEST_P(Compression, NeedsNoStyleSet) {
  config_.steps = 1;
  config_.style_dataset.clear();
  RecordingObserver observer;
  ASSERT_EQ(RunJob(Job("only"), observer), Outcome::kFinished);
  EXPECT_FALSE(observer.last.metrics.contains("after/style_gain"));
}

TEST_P(Compression, GoesOnFromACheckpointBitByBit) {
  config_.steps = 8;
  GoingOn().Expect([&](const std::string& attempt) { return Job(attempt); }, 4,
                   {"result/weights.safetensors"});
}

TEST_P(Compression, ADamagedOrUnsuitableSourceIsRefusedBeforeTheFirstStep) {
  RecordingObserver observer;
  std::ofstream(root() / "source/weights.safetensors", std::ios::app) << "x";
  EXPECT_TRUE(absl::IsDataLoss(RunTraining(Job("damaged"), observer, observer.stop).status()));
  WriteSource({.generator = "resnet-6", .base_channels = 4, .norm = "instance"});
  ModelSpec spec = ReadModelSpec(root() / "source").value();
  spec.family = "dcgan";
  ASSERT_TRUE(WriteModelSpec(root() / "source", spec).ok());
  EXPECT_EQ(FieldOf(RunTraining(Job("pattern"), observer, observer.stop).status()),
            std::string(GetParam()) + ".model");
  EXPECT_EQ(observer.started_at, -1);
}

}  // namespace
}  // namespace atelier::train
