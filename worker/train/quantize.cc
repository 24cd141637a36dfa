#include "worker/train/quantize.h"

#include <torch/torch.h>

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "common/compress_config.h"
#include "common/status_macros.h"
#include "worker/models/generator_table.h"
#include "worker/nn/memory_format.h"
#include "worker/nn/quantized_convolution.h"
#include "worker/train/picture_generator.h"
#include "worker/train/saved_state.h"
#include "worker/train/source_model.h"

namespace atelier::train {
namespace {

constexpr char kRanges[] = "ranges";
constexpr double kHalfRange = 127.5;  // from [-1, 1] to 0..255

struct Range {
  double low = 0;
  double high = 0;
};

// The int8 network and the ranges that its convolutions' inputs have had.
class Calibration final : public Saved {
 public:
  explicit Calibration(std::shared_ptr<nn::Generator> network)
      : network_(std::move(network)),
        convolutions_(nn::QuantizedConvolutionsOf(*network_)),
        ranges_(convolutions_.size()) {}

  nn::Generator& network() { return *network_; }
  // Whether int8 can be computed: something has been seen.
  bool ready() const { return ready_; }

  // What the source makes of the pictures. Their ranges are taken in unless something in them is
  // not finite.
  torch::Tensor Watch(const torch::Tensor& pictures);

  void Save(TensorMap& state) const override;
  absl::Status Load(const TensorMap& state) override;

 private:
  void SetGrids();

  const std::shared_ptr<nn::Generator> network_;
  const std::vector<std::pair<std::string, nn::QuantizedConvolutionImpl*>> convolutions_;
  std::vector<Range> ranges_;  // one for each
  bool ready_ = false;
};

torch::Tensor Calibration::Watch(const torch::Tensor& pictures) {
  std::vector<Range> seen = ranges_;
  for (std::size_t i = 0; i < convolutions_.size(); ++i) {
    convolutions_[i].second->Observe([&range = seen[i]](const torch::Tensor& x) {
      const auto [low, high] = torch::aminmax(x);
      range = {.low = std::min(range.low, low.item<double>()),
               .high = std::max(range.high, high.item<double>())};
    });
  }
  torch::Tensor results = Restyle(*network_, pictures, Precision::kFp32);
  for (const auto& [name, convolution] : convolutions_) {
    convolution->Observe(nullptr);
  }
  if (results.isfinite().all().item<bool>()) {
    ranges_ = std::move(seen);
    SetGrids();
  }
  return results;
}

void Calibration::SetGrids() {
  for (std::size_t i = 0; i < convolutions_.size(); ++i) {
    convolutions_[i].second->SetInputGrid(nn::GridFor(ranges_[i].low, ranges_[i].high));
  }
  ready_ = true;
}

void Calibration::Save(TensorMap& state) const {
  std::vector<double> numbers = {ready_ ? 1.0 : 0.0};
  for (const Range& range : ranges_) {
    numbers.insert(numbers.end(), {range.low, range.high});
  }
  SaveNumbers(state, kRanges, numbers);
}

absl::Status Calibration::Load(const TensorMap& state) {
  ATELIER_ASSIGN_OR_RETURN(const std::vector<double> numbers,
                           LoadNumbers(state, kRanges, 1 + 2 * ranges_.size()));
  for (std::size_t i = 0; i < ranges_.size(); ++i) {
    ranges_[i] = {.low = numbers[2 * i + 1], .high = numbers[2 * i + 2]};
  }
  if (numbers.front() != 0) {
    SetGrids();
  }
  return absl::OkStatus();
}

class QuantizeStep final : public TrainStep {
 public:
  QuantizeStep(SourceModel source, std::shared_ptr<nn::Generator> network)
      : source_(std::move(source)), calibration_(std::move(network)) {}

  std::map<std::string, double> Run(const Batch& batch, std::int64_t /*step*/) override {
    const torch::NoGradGuard no_grad;
    const torch::Tensor exact = calibration_.Watch(batch.content);
    double difference = std::numeric_limits<double>::quiet_NaN();
    if (calibration_.ready()) {
      difference = kHalfRange * (Results(batch) - exact).abs().mean().item<double>();
    }
    return {{"difference", difference}};
  }

  double learning_rate() const override { return 0; }
  torch::Tensor Results(const Batch& batch) override { return Restyled(batch.content); }
  // The pictures over the results and those of the source.
  std::vector<torch::Tensor> Sample(const torch::Tensor& pictures) override {
    return {pictures, Restyled(pictures), Restyle(*source_.network, pictures, Precision::kFp32)};
  }
  nn::Generator* source() override { return source_.network.get(); }
  torch::nn::Module& result() override { return calibration_.network(); }
  void Describe(ModelSpec& spec) const override {
    spec = source_.spec;
    spec.architecture.int8 = true;
    spec.default_precision = Precision::kInt8;
  }
  std::vector<torch::nn::Module*> generators() override { return {&calibration_.network()}; }

 private:
  // Before the first step there is no int8 network yet: what it will be made of.
  torch::Tensor Restyled(const torch::Tensor& pictures) {
    return Restyle(calibration_.ready() ? calibration_.network() : *source_.network, pictures,
                   Precision::kFp32);
  }
  std::vector<Saved*> parts() override { return {&calibration_}; }

  const SourceModel source_;
  Calibration calibration_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TrainStep>> MakeQuantizeStep(const StepInputs& inputs) {
  ATELIER_ASSIGN_OR_RETURN(SourceModel source,
                           ReadSourceModel(kQuantize, inputs.source_model, torch::kCPU));
  Architecture architecture = source.spec.architecture;
  architecture.int8 = true;
  ATELIER_ASSIGN_OR_RETURN(std::shared_ptr<nn::Generator> network,
                           models::MakeGenerator(architecture));
  nn::QuantizeWeights(*source.network, *network);
  nn::UseChannelsLast(*network);
  for (torch::Tensor& parameter : network->parameters()) {
    parameter.requires_grad_(false);
  }
  return std::make_unique<QuantizeStep>(std::move(source), std::move(network));
}

}  // namespace atelier::train
