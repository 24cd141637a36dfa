// The compression "quantize" on a tiny model: it calibrates, goes on bit by bit, and what it leaves
// is served in int8.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "common/compress_config.h"
#include "common/errors.h"
#include "tests/worker/model_folder.h"
#include "tests/worker/train/watched_job.h"
#include "worker/infer/stylizer.h"
#include "worker/models/generator_table.h"
#include "worker/train/image_folder.h"
#include "worker/train/quantize.h"

namespace atelier::train {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Quantize : public Watched {
 protected:
  void SetUp() override {
    Watched::SetUp();
    WriteSource({.generator = "resnet-2", .base_channels = 16, .norm = "instance"});
  }

  fs::path source() const { return root() / "source"; }

  void WriteSource(const Architecture& architecture, Precision precision = Precision::kFp32) {
    const auto network = models::MakeGenerator(architecture).value();
    if (!architecture.int8) {
      network->InitializeWeights(at::make_generator<at::CPUGeneratorImpl>(7));
    }
    ModelSpec spec;
    spec.family = "cyclegan";
    spec.tier = "base";
    spec.architecture = architecture;
    spec.default_precision = precision;
    test::WriteModelFolder(source(), *network, spec);
  }

  static TrainConfig Config() {
    TrainConfig config =
        ParseJobConfig(kQuantize, R"({"model":"source@1","pictures":6,"image_size":64,
                                      "data":{"content":"content"}})")
            .value();
    config.checkpoint_every_steps = 2;
    return config;
  }

  TrainJob QuantizeJob(const std::string& attempt) const {
    TrainJob job = Job(Config(), attempt);
    job.source_model = source();
    return job;
  }

  absl::StatusOr<std::unique_ptr<TrainStep>> MakeStep() const {
    const TrainConfig config = Config();
    const ImageFolder content =
        ImageFolder::Open({.directory = root() / "content", .short_side = 64}).value();
    return MakeQuantizeStep({.config = config,
                             .feature_weights = {},
                             .content = content,
                             .style = nullptr,
                             .source_model = source()});
  }

  static Batch Pictures(int seed, double contrast = 1) {
    torch::manual_seed(seed);
    Batch batch;
    batch.content = torch::rand({2, 3, 64, 64}) * 2 * contrast - contrast;
    return batch;
  }
};

TEST_F(Quantize, LeavesAnInt8ModelThatDoesWhatItsSourceDoes) {
  RecordingObserver observer;
  const TrainJob job = QuantizeJob("only");
  ASSERT_EQ(RunJob(job, observer), Outcome::kFinished);
  EXPECT_GT(observer.last.losses.at("difference"), 0);
  EXPECT_LT(observer.last.losses.at("difference"), 4);
  EXPECT_EQ(observer.last.learning_rate, 0);

  const fs::path result = job.attempt_directory / "result";
  const ModelSpec spec = ReadModelSpec(result).value();
  const ModelSpec before = ReadModelSpec(source()).value();
  EXPECT_EQ(spec.family, "cyclegan");
  EXPECT_EQ(spec.tier, "base");
  EXPECT_TRUE(spec.architecture.int8);
  EXPECT_EQ(spec.architecture.generator, before.architecture.generator);
  EXPECT_EQ(spec.default_precision, Precision::kInt8);
  EXPECT_LT(2 * fs::file_size(result / "weights.safetensors"),
            fs::file_size(source() / "weights.safetensors"));

  const auto int8 = infer::Stylizer::Load({.directory = result});
  ASSERT_TRUE(int8.ok()) << int8.status();
  const torch::Tensor photo = colored::Picture(colored::kBlue, 99, 72, 65).unsqueeze(0);
  const torch::Tensor styled = (*int8)->Stylize(photo, Precision::kInt8)->to(torch::kFloat);
  const torch::Tensor wanted = infer::Stylizer::Load({.directory = source()})
                                   .value()
                                   ->Stylize(photo, Precision::kFp32)
                                   ->to(torch::kFloat);
  EXPECT_LT((styled - wanted).abs().mean().item<double>(), 4);
}

TEST_F(Quantize, GoesOnFromACheckpointBitByBit) {
  GoingOn going_on;
  going_on.Expect([&](const std::string& attempt) { return QuantizeJob(attempt); }, 2,
                  {"result/weights.safetensors"});
  EXPECT_EQ(going_on.whole.last.losses, going_on.rest.last.losses);
}

TEST_F(Quantize, RangesOnlyWidenWhateverTheOrder) {
  const auto one = MakeStep().value();
  one->Run(Pictures(1, 0.2), 0);
  const torch::Tensor narrow = one->State().at("ranges").clone();
  one->Run(Pictures(2), 1);
  const auto other = MakeStep().value();
  other->Run(Pictures(2), 0);
  other->Run(Pictures(1, 0.2), 1);
  const torch::Tensor wide = one->State().at("ranges");
  EXPECT_TRUE(torch::equal(wide, other->State().at("ranges")));
  EXPECT_FALSE(torch::equal(wide, narrow));
  const torch::Tensor low = wide.slice(0, 1, {}, 2);
  const torch::Tensor high = wide.slice(0, 2, {}, 2);
  EXPECT_TRUE((low <= narrow.slice(0, 1, {}, 2)).all().item<bool>());
  EXPECT_TRUE((high >= narrow.slice(0, 2, {}, 2)).all().item<bool>());
  EXPECT_TRUE((high > 0).all().item<bool>());
}

TEST_F(Quantize, SamplesAreTheSourcesUntilSomethingWasSeen) {
  const torch::NoGradGuard no_grad;
  const auto step = MakeStep().value();
  const Batch batch = Pictures(3);
  std::vector<torch::Tensor> rows = step->Sample(batch.content);
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_TRUE(torch::equal(rows[1], rows[2]));
  step->Run(batch, 0);
  rows = step->Sample(batch.content);
  EXPECT_TRUE(torch::equal(rows[0], batch.content));
  EXPECT_FALSE(torch::equal(rows[1], rows[2]));
  EXPECT_TRUE(torch::equal(rows[1], step->Results(batch)));
}

TEST_F(Quantize, NumbersThatAreNotFiniteAreNotTakenIn) {
  const auto step = MakeStep().value();
  Batch broken = Pictures(1);
  broken.content.fill_(std::nan(""));
  EXPECT_TRUE(std::isnan(step->Run(broken, 0).at("difference")));
  step->Run(Pictures(2), 1);
  const torch::Tensor ranges = step->State().at("ranges").clone();
  step->Run(broken, 2);
  EXPECT_TRUE(torch::equal(step->State().at("ranges"), ranges));
}

TEST_F(Quantize, NothingIsTrainedFromAnInt8Model) {
  RecordingObserver observer;
  ASSERT_EQ(RunJob(QuantizeJob("only"), observer), Outcome::kFinished);
  TrainJob job = Job(Small("cyclegan"), "trained");
  job.init_directory = attempts() / "only/result";
  const absl::Status refused = RunTraining(job, observer, observer.stop).status();
  EXPECT_EQ(FieldOf(refused), "train.init_from") << refused;
}

TEST_F(Quantize, TakesUnetsAndRefusesWhatHasNoInt8FormWithTheList) {
  WriteSource({.generator = "unet-64", .base_channels = 4, .norm = "batch"});
  EXPECT_TRUE(MakeStep().ok());
  WriteSource({.generator = "lite"});
  const absl::Status lite = MakeStep().status();
  EXPECT_EQ(FieldOf(lite), "quantize.model");
  EXPECT_THAT(std::string(lite.message()), HasSubstr("resnet-"));
  WriteSource({.generator = "resnet-1", .base_channels = 4, .norm = "instance", .int8 = true},
              Precision::kInt8);
  const absl::Status twice = MakeStep().status();
  EXPECT_EQ(FieldOf(twice), "quantize.model");
  EXPECT_THAT(std::string(twice.message()), HasSubstr("already"));
}

}  // namespace
}  // namespace atelier::train
