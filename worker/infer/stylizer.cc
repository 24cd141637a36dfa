#include "worker/infer/stylizer.h"

#include <torch/torch.h>

#include <atomic>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/status_macros.h"
#include "worker/infer/device.h"
#include "worker/infer/gatys_stylizer.h"
#include "worker/infer/generator_style.h"
#include "worker/infer/guard.h"
#include "worker/infer/serving_network.h"
#include "worker/kernels/pixels.h"
#include "worker/models/safetensors.h"
#include "worker/models/torchscript.h"
#include "worker/models/weights.h"

namespace atelier::infer {
namespace {

constexpr std::int64_t kWarmUpSide = 64;

using GeneratorPtr = std::shared_ptr<nn::Generator>;

// A network of its own with the weights of `tensors` in `type`.
absl::StatusOr<GeneratorPtr> BuildGenerator(const ModelSpec& spec, const models::TensorMap& tensors,
                                            torch::Device device, torch::ScalarType type) {
  ATELIER_ASSIGN_OR_RETURN(GeneratorPtr generator, MakeModelNetwork(spec));
  ATELIER_RETURN_IF_ERROR(models::LoadWeights(*generator, tensors, /*strict=*/true));
  PrepareToServe(*generator, device, type);
  return generator;
}

// The network of `spec` with its weights, from the bytes of the file with them.
absl::StatusOr<GeneratorPtr> ReadGenerator(const ModelSpec& spec, std::string bytes,
                                           torch::Device device) {
  if (spec.architecture.generator == kTorchScript) {
    ATELIER_ASSIGN_OR_RETURN(auto program, models::TorchScriptGenerator::Parse(bytes));
    program->to(device);
    return program;
  }
  ATELIER_ASSIGN_OR_RETURN(const models::Safetensors file, models::ParseSafetensors(bytes));
  bytes = std::string();  // the tensors have copied it
  return BuildGenerator(spec, file.tensors, device, torch::kFloat);
}

class GeneratorStylizer final : public Stylizer {
 public:
  GeneratorStylizer(ModelSpec spec, torch::Device device, GeneratorPtr generator)
      : spec_(std::move(spec)),
        device_(device),
        generator_(std::move(generator)),
        bytes_(BytesOf(*generator_)) {}

  absl::StatusOr<at::Tensor> Stylize(const at::Tensor& images,
                                     const StylizeControls& controls) override {
    ATELIER_RETURN_IF_ERROR(CheckPictures(images));
    ATELIER_RETURN_IF_ERROR(
        CheckPrecision("precision", controls.precision, spec_.default_precision));
    return Guarded("restyling a picture", [&] { return Run(images, controls); });
  }

  bool OneByOne() const override { return device_.is_cpu(); }
  const ModelSpec& spec() const override { return spec_; }
  std::uint64_t bytes() const override { return bytes_; }

 private:
  absl::StatusOr<at::Tensor> Run(const at::Tensor& images, const StylizeControls& controls) {
    const torch::InferenceMode inference;
    // Without a lock from here on: a network that only serves has no state that a pass changes.
    ATELIER_ASSIGN_OR_RETURN(const GeneratorPtr generator, GeneratorFor(controls.precision));
    ATELIER_ASSIGN_OR_RETURN(const torch::Tensor code, StyleCode(*generator, spec_, controls));
    if (!device_.is_cpu()) {
      return Restyle(*generator, images, code, controls.precision);
    }
    // One by one: for small pictures oneDNN chooses its convolutions by the batch, and sums in
    // another order.
    std::vector<torch::Tensor> results;
    for (const torch::Tensor& image : images.split(1)) {
      results.push_back(Restyle(*generator, image, code, controls.precision));
    }
    return results.size() == 1 ? results.front() : torch::cat(results);
  }

  torch::Tensor Restyle(nn::Generator& generator, const at::Tensor& images,
                        const torch::Tensor& code, Precision precision) const {
    torch::Tensor x = kernels::PixelsToTensor(images.to(device_));
    if (precision == Precision::kBf16) {
      x = x.to(torch::kBFloat16);
    }
    return kernels::TensorToPixels(Forward(generator, x, code)).to(torch::kCPU);
  }

  // The bf16 network is made when it is first asked for.
  absl::StatusOr<GeneratorPtr> GeneratorFor(Precision precision) ABSL_LOCKS_EXCLUDED(mutex_) {
    // A TorchScript program computes in fp32 whatever it is given.
    if (precision != Precision::kBf16 || spec_.architecture.generator == kTorchScript) {
      return generator_;
    }
    const absl::MutexLock lock(&mutex_);
    if (bf16_ == nullptr) {
      const torch::InferenceMode no_inference(false);
      ATELIER_ASSIGN_OR_RETURN(bf16_, BuildGenerator(spec_, models::CollectWeights(*generator_),
                                                     device_, torch::kBFloat16));
      bytes_ += BytesOf(*bf16_);
    }
    return bf16_;
  }

  const ModelSpec spec_;
  const torch::Device device_;
  absl::Mutex mutex_;
  const GeneratorPtr generator_;  // in fp32 or int8
  GeneratorPtr bf16_ ABSL_GUARDED_BY(mutex_);
  std::atomic<std::uint64_t> bytes_;
};

absl::StatusOr<std::unique_ptr<Stylizer>> LoadStylizer(const Stylizer::Options& options) {
  ATELIER_ASSIGN_OR_RETURN(const ModelSpec spec, ReadModelSpec(options.directory));
  ATELIER_ASSIGN_OR_RETURN(const torch::Device device, OpenDevice(options.device));
  if (spec.architecture.int8 && !device.is_cpu()) {
    return absl::FailedPreconditionError(
        "An int8 model runs on CPUs only; serve the model that it was made from on this device.");
  }
  const std::string& sha256 =
      options.weights_sha256.empty() ? spec.weights_sha256 : options.weights_sha256;
  ATELIER_ASSIGN_OR_RETURN(
      std::string bytes,
      ReadVerified(options.directory / WeightsFileName(spec.architecture), sha256));
  if (OptimisesPixels(spec)) {
    ATELIER_ASSIGN_OR_RETURN(const models::Safetensors file, models::ParseSafetensors(bytes));
    return MakeGatysStylizer(spec, file.tensors, options.feature_weights, device);
  }
  ATELIER_ASSIGN_OR_RETURN(GeneratorPtr generator, ReadGenerator(spec, std::move(bytes), device));
  auto stylizer = std::make_unique<GeneratorStylizer>(spec, device, std::move(generator));
  // The first run picks kernels and allocates; no request should wait for that.
  const torch::Tensor nothing = torch::zeros({1, kWarmUpSide, kWarmUpSide, 3}, torch::kByte);
  StylizeControls controls{.precision = spec.default_precision};
  if (spec.architecture.generator == "reference") {
    controls.style_image = nothing[0];
  }
  ATELIER_RETURN_IF_ERROR(stylizer->Stylize(nothing, controls).status());
  return stylizer;
}

}  // namespace

bool OptimisesPixels(const ModelSpec& spec) { return spec.architecture.generator == "gatys"; }

absl::StatusOr<std::unique_ptr<Stylizer>> Stylizer::Load(const Options& options) {
  return Guarded("loading a model", [&] { return LoadStylizer(options); });
}

}  // namespace atelier::infer
