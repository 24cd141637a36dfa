#include <torch/script.h>
#include <torch/torch.h>

#include <memory>
#include <string>
#include <utility>

#include "worker/infer/guard.h"
#include "worker/metrics/feature_network.h"

namespace atelier::metrics {
namespace {

class TorchScriptNetwork final : public FeatureNetwork {
 public:
  TorchScriptNetwork(TorchScriptOptions options, torch::jit::Module module)
      : options_(std::move(options)),
        name_(options_.path.filename().string()),
        module_(std::move(module)) {}

  absl::StatusOr<torch::Tensor> Pooled(const torch::Tensor& picture) override {
    return infer::Guarded("running the network " + name_, [&] { return Run(picture); });
  }

  const std::string& name() const override { return name_; }

 private:
  absl::StatusOr<torch::Tensor> Run(const torch::Tensor& picture) {
    const torch::InferenceMode inference;
    const InputSize size = options_.side > 0 ? InputSize{options_.side, options_.side}
                                             : InputSize{picture.size(0), picture.size(1)};
    torch::Tensor input = ToNetworkInput(picture, size).contiguous();
    input =
        options_.range == TorchScriptOptions::Range::kUnit ? input / 255.0 : input / 127.5 - 1.0;
    const torch::IValue output = module_.forward({input});
    if (!output.isTensor()) {
      return absl::InvalidArgumentError("the network " + name_ + " returns a " + output.tagKind() +
                                        " where one tensor [N, F] is wanted");
    }
    const torch::Tensor& features = output.toTensor();
    if (features.dim() != 2 || features.size(0) != 1 || features.size(1) == 0 ||
        !features.is_floating_point()) {
      return absl::InvalidArgumentError("the network " + name_ + " returns a tensor of shape " +
                                        Shape(features) +
                                        " for one picture, where floating-point [1, F] is wanted");
    }
    return features.squeeze(0).to(torch::kFloat32);
  }

  static std::string Shape(const torch::Tensor& tensor) {
    std::string text = "[";
    for (std::int64_t i = 0; i < tensor.dim(); ++i) {
      text += (i == 0 ? "" : ", ") + std::to_string(tensor.size(i));
    }
    return text + "]";
  }

  TorchScriptOptions options_;
  std::string name_;
  torch::jit::Module module_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<FeatureNetwork>> LoadTorchScriptNetwork(
    const TorchScriptOptions& options) {
  const std::string name = options.path.filename().string();
  std::error_code error;
  if (!std::filesystem::is_regular_file(options.path, error)) {
    return absl::NotFoundError("there is no file " + options.path.string());
  }
  return infer::Guarded(
      "loading the network " + name, [&]() -> absl::StatusOr<std::unique_ptr<FeatureNetwork>> {
        try {
          torch::jit::Module module = torch::jit::load(options.path.string(), torch::kCPU);
          module.eval();
          return std::make_unique<TorchScriptNetwork>(options, std::move(module));
        } catch (const std::bad_alloc&) {
          throw;
        } catch (const std::exception&) {
          return absl::InvalidArgumentError(
              name + " is no TorchScript network; torch.jit.save writes such files");
        }
      });
}

}  // namespace atelier::metrics
