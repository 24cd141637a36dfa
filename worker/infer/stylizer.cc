#include "worker/infer/stylizer.h"

#include <torch/torch.h>

#include <atomic>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "worker/infer/device.h"
#include "worker/infer/guard.h"
#include "worker/kernels/pixels.h"
#include "worker/models/generator_table.h"
#include "worker/models/safetensors.h"
#include "worker/models/weights.h"
#include "worker/nn/memory_format.h"

namespace atelier::infer {
namespace {

constexpr std::uint64_t kMaxWeightsBytes = 2ull << 30;
constexpr std::int64_t kWarmUpSide = 64;
constexpr std::int64_t kMinSide = 16;

using GeneratorPtr = std::shared_ptr<nn::Generator>;

std::uint64_t BytesOf(const nn::Generator& generator) {
  std::uint64_t bytes = 0;
  for (const torch::Tensor& parameter : generator.parameters()) {
    bytes += parameter.nbytes();
  }
  return bytes;
}

// A network of its own with the weights of `tensors` in `type`.
absl::StatusOr<GeneratorPtr> BuildGenerator(const ModelSpec& spec, const models::TensorMap& tensors,
                                            torch::Device device, torch::ScalarType type) {
  ATELIER_ASSIGN_OR_RETURN(GeneratorPtr generator, models::MakeGenerator(spec.architecture));
  ATELIER_RETURN_IF_ERROR(models::LoadWeights(*generator, tensors, /*strict=*/true));
  generator->to(device, type);
  nn::UseChannelsLast(*generator);
  for (torch::Tensor& parameter : generator->parameters()) {
    parameter.requires_grad_(false);
  }
  return generator;
}

absl::StatusOr<models::TensorMap> ReadVerifiedWeights(const std::filesystem::path& path,
                                                      const std::string& sha256) {
  ATELIER_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path, kMaxWeightsBytes));
  // The bytes that are hashed are the bytes that are parsed.
  if (Sha256Hex(bytes) != sha256) {
    return absl::DataLossError(
        "The checksum of the model's weights is wrong; import or publish the model again.");
  }
  ATELIER_ASSIGN_OR_RETURN(models::Safetensors file, models::ParseSafetensors(bytes));
  return std::move(file.tensors);
}

class GeneratorStylizer final : public Stylizer {
 public:
  GeneratorStylizer(ModelSpec spec, torch::Device device, GeneratorPtr generator)
      : spec_(std::move(spec)),
        device_(device),
        fp32_(std::move(generator)),
        bytes_(BytesOf(*fp32_)) {}

  absl::StatusOr<at::Tensor> Stylize(const at::Tensor& images, Precision precision) override {
    if (images.dim() != 4 || images.size(3) != 3 || images.scalar_type() != torch::kByte ||
        images.size(1) < kMinSide || images.size(2) < kMinSide || images.size(0) == 0) {
      return absl::InternalError("A batch of pictures has the wrong type or shape.");
    }
    return Guarded("restyling a picture", [&] { return Run(images, precision); });
  }

  const ModelSpec& spec() const override { return spec_; }
  std::uint64_t bytes() const override { return bytes_; }

 private:
  absl::StatusOr<at::Tensor> Run(const at::Tensor& images, Precision precision) {
    const torch::InferenceMode inference;
    const absl::MutexLock lock(&mutex_);
    ATELIER_ASSIGN_OR_RETURN(const GeneratorPtr generator, GeneratorFor(precision));
    if (!device_.is_cpu()) {
      return Restyle(*generator, images, precision);
    }
    // One by one: for small pictures oneDNN chooses its convolutions by the batch, and sums in
    // another order.
    std::vector<torch::Tensor> results;
    for (const torch::Tensor& image : images.split(1)) {
      results.push_back(Restyle(*generator, image, precision));
    }
    return results.size() == 1 ? results.front() : torch::cat(results);
  }

  torch::Tensor Restyle(nn::Generator& generator, const at::Tensor& images,
                        Precision precision) const {
    torch::Tensor x = kernels::PixelsToTensor(images.to(device_));
    if (precision == Precision::kBf16) {
      x = x.to(torch::kBFloat16);
    }
    return kernels::TensorToPixels(generator.forward(x)).to(torch::kCPU);
  }

  // The bf16 network is made when it is first asked for.
  absl::StatusOr<GeneratorPtr> GeneratorFor(Precision precision)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (precision == Precision::kFp32) {
      return fp32_;
    }
    if (bf16_ == nullptr) {
      const torch::InferenceMode no_inference(false);
      ATELIER_ASSIGN_OR_RETURN(
          bf16_, BuildGenerator(spec_, models::CollectWeights(*fp32_), device_, torch::kBFloat16));
      bytes_ += BytesOf(*bf16_);
    }
    return bf16_;
  }

  const ModelSpec spec_;
  const torch::Device device_;
  absl::Mutex mutex_;
  const GeneratorPtr fp32_;
  GeneratorPtr bf16_ ABSL_GUARDED_BY(mutex_);
  std::atomic<std::uint64_t> bytes_;
};

absl::StatusOr<std::unique_ptr<Stylizer>> LoadStylizer(const Stylizer::Options& options) {
  ATELIER_ASSIGN_OR_RETURN(const ModelSpec spec, ReadModelSpec(options.directory));
  ATELIER_ASSIGN_OR_RETURN(const torch::Device device, OpenDevice(options.device));
  const std::string& sha256 =
      options.weights_sha256.empty() ? spec.weights_sha256 : options.weights_sha256;
  ATELIER_ASSIGN_OR_RETURN(const models::TensorMap weights,
                           ReadVerifiedWeights(options.directory / "weights.safetensors", sha256));
  ATELIER_ASSIGN_OR_RETURN(GeneratorPtr generator,
                           BuildGenerator(spec, weights, device, torch::kFloat));
  auto stylizer = std::make_unique<GeneratorStylizer>(spec, device, std::move(generator));
  // The first run picks kernels and allocates; no request should wait for that.
  ATELIER_RETURN_IF_ERROR(
      stylizer
          ->Stylize(torch::zeros({1, kWarmUpSide, kWarmUpSide, 3}, torch::kByte),
                    spec.default_precision)
          .status());
  return stylizer;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Stylizer>> Stylizer::Load(const Options& options) {
  return Guarded("loading a model", [&] { return LoadStylizer(options); });
}

}  // namespace atelier::infer
