#include "worker/infer/pattern_maker.h"

#include <torch/torch.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/errors.h"
#include "common/status_macros.h"
#include "worker/infer/device.h"
#include "worker/infer/guard.h"
#include "worker/infer/latent.h"
#include "worker/infer/serving_network.h"
#include "worker/kernels/pixels.h"
#include "worker/models/pattern_table.h"
#include "worker/models/safetensors.h"
#include "worker/models/weights.h"
#include "worker/nn/tokenizer.h"

namespace atelier::infer {
namespace {

using PatternGeneratorPtr = std::shared_ptr<nn::PatternGenerator>;

absl::StatusOr<PatternGeneratorPtr> BuildPatternGenerator(const ModelSpec& spec,
                                                          const models::TensorMap& tensors,
                                                          torch::Device device,
                                                          torch::ScalarType type) {
  ATELIER_ASSIGN_OR_RETURN(
      PatternGeneratorPtr generator,
      models::MakePatternGenerator(spec.architecture, models::ConditionOf(spec)));
  ATELIER_RETURN_IF_ERROR(models::LoadWeights(*generator, tensors, /*strict=*/true));
  PrepareToServe(*generator, device, type);
  return generator;
}

// The words of model.json; nothing for a model that is told none.
absl::StatusOr<std::optional<nn::Tokenizer>> ReadVocabulary(const ModelSpec& spec) {
  if (spec.vocabulary.empty()) {
    return std::nullopt;
  }
  absl::StatusOr<nn::Tokenizer> tokenizer = nn::Tokenizer::Create(spec.vocabulary);
  if (!tokenizer.ok()) {
    return absl::DataLossError("model.json: " + std::string(tokenizer.status().message()));
  }
  return *std::move(tokenizer);
}

class GeneratorPatternMaker final : public PatternMaker {
 public:
  GeneratorPatternMaker(ModelSpec spec, std::optional<nn::Tokenizer> tokenizer,
                        torch::Device device, PatternGeneratorPtr generator)
      : spec_(std::move(spec)),
        tokenizer_(std::move(tokenizer)),
        device_(device),
        fp32_(std::move(generator)),
        bytes_(BytesOf(*fp32_)) {}

  absl::StatusOr<at::Tensor> Make(const PatternOrder& order, Precision precision) override {
    ATELIER_RETURN_IF_ERROR(Check(order));
    ATELIER_RETURN_IF_ERROR(CheckPrecision("precision", precision, spec_.default_precision));
    return Guarded("making a pattern", [&] { return Run(order, precision); });
  }

  int side() const override { return fp32_->side(); }
  const ModelSpec& spec() const override { return spec_; }
  std::uint64_t bytes() const override { return bytes_; }

 private:
  absl::Status Check(const PatternOrder& order) const {
    const std::size_t count = order.seeds.size();
    if (count < (order.interpolate_to.has_value() ? 2U : 1U)) {
      return InvalidField("seed", "is missing");
    }
    if (!(order.truncation >= 0 && order.truncation <= 1)) {
      return InvalidField("truncation", "must be a number from 0 to 1");
    }
    const auto in_range = [&](std::uint32_t label) { return label < spec_.classes.size(); };
    if (order.labels.size() != (spec_.classes.empty() ? 0 : count) ||
        !std::ranges::all_of(order.labels, in_range)) {
      return InvalidField("label", "does not suit this model");
    }
    if (!order.words.empty() && !tokenizer_.has_value()) {
      return InvalidField("attributes", "this model is told no words");
    }
    return absl::OkStatus();
  }

  absl::StatusOr<at::Tensor> Run(const PatternOrder& order, Precision precision) {
    const torch::InferenceMode inference;
    // Without a lock from here on: a network that only serves has no state that a pass changes.
    ATELIER_ASSIGN_OR_RETURN(const PatternGeneratorPtr generator, GeneratorFor(precision));
    ATELIER_ASSIGN_OR_RETURN(torch::Tensor condition, ConditionFor(order));
    const torch::ScalarType type = precision == Precision::kBf16 ? torch::kBFloat16 : torch::kFloat;
    const torch::Tensor z =
        LatentRows(order.seeds, order.interpolate_to, generator->latent_size(), order.truncation)
            .to(torch::kFloat)
            .to(device_, type);
    if (condition.defined()) {
      condition = condition.to(device_);
    }
    return kernels::TensorToPixels(generator->Generate(z, condition)).to(torch::kCPU);
  }

  // One row a picture; undefined for an unconditional model.
  absl::StatusOr<torch::Tensor> ConditionFor(const PatternOrder& order) const {
    if (tokenizer_.has_value()) {
      absl::StatusOr<torch::Tensor> weights = tokenizer_->EncodeAttributes(order.words);
      if (!weights.ok()) {
        return InvalidField("attributes", std::string(weights.status().message()));
      }
      return weights->repeat({static_cast<std::int64_t>(order.seeds.size()), 1});
    }
    if (order.labels.empty()) {
      return torch::Tensor();
    }
    return torch::tensor(std::vector<std::int64_t>(order.labels.begin(), order.labels.end()));
  }

  // The bf16 network is made when it is first asked for.
  absl::StatusOr<PatternGeneratorPtr> GeneratorFor(Precision precision)
      ABSL_LOCKS_EXCLUDED(mutex_) {
    if (precision == Precision::kFp32) {
      return fp32_;
    }
    const absl::MutexLock lock(&mutex_);
    if (bf16_ == nullptr) {
      const torch::InferenceMode no_inference(false);
      ATELIER_ASSIGN_OR_RETURN(bf16_, BuildPatternGenerator(spec_, models::CollectWeights(*fp32_),
                                                            device_, torch::kBFloat16));
      bytes_ += BytesOf(*bf16_);
    }
    return bf16_;
  }

  const ModelSpec spec_;
  const std::optional<nn::Tokenizer> tokenizer_;
  const torch::Device device_;
  absl::Mutex mutex_;
  const PatternGeneratorPtr fp32_;
  PatternGeneratorPtr bf16_ ABSL_GUARDED_BY(mutex_);
  std::atomic<std::uint64_t> bytes_;
};

absl::StatusOr<std::unique_ptr<PatternMaker>> LoadMaker(const ModelOptions& options) {
  ATELIER_ASSIGN_OR_RETURN(const ModelSpec spec, ReadModelSpec(options.directory));
  ATELIER_ASSIGN_OR_RETURN(const torch::Device device, OpenDevice(options.device));
  ATELIER_ASSIGN_OR_RETURN(std::optional<nn::Tokenizer> tokenizer, ReadVocabulary(spec));
  const std::string& sha256 =
      options.weights_sha256.empty() ? spec.weights_sha256 : options.weights_sha256;
  ATELIER_ASSIGN_OR_RETURN(
      const std::string bytes,
      ReadVerified(options.directory / WeightsFileName(spec.architecture), sha256));
  ATELIER_ASSIGN_OR_RETURN(const models::Safetensors file, models::ParseSafetensors(bytes));
  ATELIER_ASSIGN_OR_RETURN(PatternGeneratorPtr generator,
                           BuildPatternGenerator(spec, file.tensors, device, torch::kFloat));
  auto maker = std::make_unique<GeneratorPatternMaker>(spec, std::move(tokenizer), device,
                                                       std::move(generator));
  // The first run picks kernels and allocates; no request should wait for that.
  PatternOrder order = {.seeds = {0}};
  if (!spec.classes.empty()) {
    order.labels = {0};
  }
  ATELIER_RETURN_IF_ERROR(maker->Make(order, spec.default_precision).status());
  return maker;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PatternMaker>> PatternMaker::Load(const ModelOptions& options) {
  return Guarded("loading a model", [&] { return LoadMaker(options); });
}

}  // namespace atelier::infer
