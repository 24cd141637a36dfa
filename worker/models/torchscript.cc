#include "worker/models/torchscript.h"

#include <caffe2/serialize/read_adapter_interface.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/torch.h>

#include <algorithm>
#include <exception>
#include <new>
#include <string>
#include <utility>

#include "common/files.h"
#include "common/status_macros.h"
#include "worker/models/complaints.h"
#include "worker/models/torchscript_check.h"
#include "worker/nn/blocks.h"

namespace atelier::models {
namespace {

using Script = torch::jit::Module;

constexpr int kMaxMultiple = 256;
constexpr std::int64_t kMinSide = 24;
constexpr double kMaxProbeValue = 2.0;

absl::Status Unusable(const std::string& what) {
  return absl::InvalidArgumentError("The TorchScript program cannot be a generator: " + what + ".");
}

c10::IValue Run(Script& script, const torch::Tensor& picture) {
  const torch::jit::GraphOptimizerEnabledGuard no_trials(false);
  return script.forward({picture});
}

// Sides that `multiple` divides but its double does not.
torch::Tensor ProbePicture(std::int64_t multiple) {
  const std::int64_t odd = ((kMinSide + multiple - 1) / multiple) | 1;
  const std::int64_t height = odd * multiple;
  const std::int64_t width = (odd + 2) * multiple;
  return torch::arange(3 * height * width, torch::kFloat)
      .mul(0.1)
      .sin()
      .reshape({1, 3, height, width});
}

// One tensor of finite floating-point numbers near [-1, 1].
absl::Status CheckResult(const c10::IValue& result) {
  if (!result.isTensor()) {
    return Unusable("forward returns " + Printable(result.tagKind()) +
                    ", it must return one tensor");
  }
  const torch::Tensor& tensor = result.toTensor();
  if (!tensor.defined() || !tensor.is_floating_point()) {
    return Unusable("forward does not return floating-point numbers");
  }
  if (tensor.numel() > 0 && !tensor.isfinite().all().item<bool>()) {
    return Unusable("for a picture in [-1, 1] forward returns values that are not finite");
  }
  return absl::OkStatus();
}

// How a run with one picture ended.
struct Probe {
  absl::Status status;  // not to be tried with another size
  bool fits = false;
  std::string complaint;
};

Probe RunProbe(Script& script, std::int64_t multiple) {
  const torch::Tensor picture = ProbePicture(multiple);
  c10::IValue result;
  try {
    result = Run(script, picture);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception&) {
    return {.complaint = "forward(x) fails for a tensor of shape " + ShapeText(picture.sizes())};
  }
  if (absl::Status checked = CheckResult(result); !checked.ok()) {
    return {.status = std::move(checked)};
  }
  const torch::Tensor& tensor = result.toTensor();
  if (tensor.sizes() != picture.sizes()) {
    return {.complaint = "for a picture of shape " + ShapeText(picture.sizes()) +
                         " forward returns " + ShapeText(tensor.sizes())};
  }
  if (tensor.abs().max().item<double>() > kMaxProbeValue) {
    return {.status = Unusable("for a picture in [-1, 1] forward returns values far outside of it; "
                               "scale them within the program")};
  }
  return {.fits = true};
}

// The smallest power of two whose multiples the program takes.
absl::StatusOr<int> FindMultiple(Script& script) {
  const torch::NoGradGuard no_grad;
  std::string complaint;
  for (int multiple = 1; multiple <= kMaxMultiple; multiple *= 2) {
    Probe probe = RunProbe(script, multiple);
    ATELIER_RETURN_IF_ERROR(probe.status);
    if (probe.fits) {
      return multiple;
    }
    complaint = std::move(probe.complaint);
  }
  return Unusable(complaint);
}

absl::StatusOr<Script> LoadChecked(std::string_view bytes) {
  ATELIER_RETURN_IF_ERROR(CheckTorchScriptArchive(bytes));
  Script script = torch::jit::load(MemoryArchive(bytes), torch::Device(torch::kCPU),
                                   /*load_debug_files=*/false);
  ATELIER_RETURN_IF_ERROR(CheckTorchScriptModule(script));
  if (!script.find_method("forward")) {
    return Unusable("it has no method forward");
  }
  script.eval();
  return script;
}

}  // namespace

TorchScriptGenerator::TorchScriptGenerator(Script script, int multiple)
    : script_(std::move(script)), multiple_(multiple) {
  const auto own_name = [](std::string name) {
    std::ranges::replace(name, '.', '/');
    return name;
  };
  for (const auto& item : script_.named_parameters()) {
    register_parameter(own_name(item.name), item.value, /*requires_grad=*/false);
  }
  for (const auto& item : script_.named_buffers()) {
    register_buffer(own_name(item.name), item.value);
  }
  eval();
}

absl::StatusOr<std::shared_ptr<TorchScriptGenerator>> TorchScriptGenerator::Parse(
    std::string_view bytes) {
  const torch::InferenceMode no_inference(false);
  try {
    ATELIER_ASSIGN_OR_RETURN(Script script, LoadChecked(bytes));
    ATELIER_ASSIGN_OR_RETURN(const int multiple, FindMultiple(script));
    return std::shared_ptr<TorchScriptGenerator>(
        new TorchScriptGenerator(std::move(script), multiple));
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("Memory ran out while loading a TorchScript program.");
  } catch (const std::exception&) {
    return absl::DataLossError(
        "The file is damaged, not TorchScript, or of a newer PyTorch than this build's.");
  }
}

absl::StatusOr<std::shared_ptr<TorchScriptGenerator>> TorchScriptGenerator::Read(
    const std::filesystem::path& path, std::uint64_t max_bytes) {
  ATELIER_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path, max_bytes));
  return Parse(bytes);
}

torch::Tensor TorchScriptGenerator::forward(const torch::Tensor& x) {
  const torch::Tensor padded = nn::PadToMultiple(x.to(torch::kFloat), multiple_);
  const torch::Tensor y = Run(script_, padded).toTensor();
  TORCH_CHECK(y.sizes() == padded.sizes(), "the program returned a picture of another size");
  return y.slice(2, 0, x.size(2)).slice(3, 0, x.size(3)).clamp(-1.0, 1.0).to(x.scalar_type());
}

void TorchScriptGenerator::InitializeWeights(at::Generator /*random*/) {
  TORCH_CHECK(false, "a TorchScript program cannot be trained");
}

void TorchScriptGenerator::to(torch::Device device, torch::Dtype /*dtype*/, bool non_blocking) {
  to(device, non_blocking);
}

void TorchScriptGenerator::to(torch::Dtype /*dtype*/, bool /*non_blocking*/) {}

void TorchScriptGenerator::to(torch::Device device, bool non_blocking) {
  script_.to(device, non_blocking);
}

}  // namespace atelier::models
