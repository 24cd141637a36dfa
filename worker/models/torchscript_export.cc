#include "worker/models/torchscript_export.h"

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/torch.h>

#include <functional>
#include <memory>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

#include "common/files.h"
#include "common/status_macros.h"
#include "worker/models/torchscript_source.h"
#include "worker/models/weights.h"

namespace atelier::models {
namespace {

using Script = torch::jit::Module;

constexpr char kRootType[] = "__torch__.atelier.Generator";
constexpr char kLayerType[] = "__torch__.atelier.Layer";

// A module without parameters yet. Python asks every module whether it is in training.
Script MakeScript(const char* type, const std::shared_ptr<torch::jit::CompilationUnit>& unit) {
  Script script(type, unit, /*shouldMangle=*/true);
  script.register_attribute("training", c10::BoolType::get(), false);
  return script;
}

// The submodule that holds "a.b.weight", made where it is missing; leaves "weight" in `name`.
Script Descend(Script script, std::string_view& name) {
  for (std::size_t dot = name.find('.'); dot != std::string_view::npos; dot = name.find('.')) {
    const std::string child(name.substr(0, dot));
    if (!script.hasattr(child)) {
      script.register_module(child, MakeScript(kLayerType, script._ivalue()->compilation_unit()));
    }
    script = script.attr(child).toModule();
    name.remove_prefix(dot + 1);
  }
  return script;
}

Script BuildScript(const torch::nn::Module& generator, const std::string& source) {
  Script root = MakeScript(kRootType, std::make_shared<torch::jit::CompilationUnit>());
  const auto copy = [](const torch::Tensor& tensor) {
    return tensor.detach().clone(torch::MemoryFormat::Contiguous);
  };
  for (const auto& item : generator.named_parameters()) {
    std::string_view name = item.key();
    Script owner = Descend(root, name);
    owner.register_parameter(std::string(name), copy(item.value()), /*is_buffer=*/false);
  }
  for (const auto& item : generator.named_buffers()) {
    std::string_view name = item.key();
    Script owner = Descend(root, name);
    owner.register_buffer(std::string(name), copy(item.value()));
  }
  root.define(source);
  return root;
}

// [1, 3, height, width] in [-1, 1]: waves of many lengths.
torch::Tensor TestPicture(std::int64_t height, std::int64_t width) {
  const torch::Tensor t = torch::arange(3 * height * width, torch::kDouble);
  return (t * t * 0.001).sin().to(torch::kFloat).reshape({1, 3, height, width});
}

// What the program is compared with.
struct Reference {
  std::vector<torch::Tensor> inputs;
  std::function<torch::Tensor(const torch::Tensor& x)> forward;
};

absl::Status CheckParity(Script& script, const Reference& reference) {
  for (const torch::Tensor& input : reference.inputs) {
    const torch::Tensor expected = reference.forward(input);
    const torch::Tensor actual = script.forward({input}).toTensor();
    if (actual.sizes() != expected.sizes() ||
        !((actual - expected).abs().max().item<double>() <= kParityTolerance)) {
      return absl::InternalError(
          "The TorchScript program's pictures differ from the network's; nothing was exported.");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckArchitecture(const torch::nn::Module& generator,
                               const Architecture& architecture) {
  Shapes shapes;
  for (const auto& [name, tensor] : CollectWeights(generator)) {
    shapes.emplace(name, tensor.sizes().vec());
  }
  return shapes == ExpectedShapes(architecture)
             ? absl::OkStatus()
             : absl::InvalidArgumentError("The network is not a " + Describe(architecture) + ".");
}

absl::StatusOr<std::string> SaveChecked(torch::nn::Module& generator, const std::string& source,
                                        const Reference& reference) {
  generator.eval();
  std::ostringstream file;
  BuildScript(generator, source).save(file);
  std::string bytes = std::move(file).str();
  std::istringstream written(bytes);
  Script script = torch::jit::load(written, torch::kCPU);
  const torch::NoGradGuard no_grad;
  ATELIER_RETURN_IF_ERROR(CheckParity(script, reference));
  return bytes;
}

absl::StatusOr<std::string> Serialize(torch::nn::Module& generator,
                                      const Architecture& architecture,
                                      const Reference& reference) {
  ATELIER_ASSIGN_OR_RETURN(const std::string source, TorchScriptSource(architecture));
  ATELIER_RETURN_IF_ERROR(CheckArchitecture(generator, architecture));
  try {
    return SaveChecked(generator, source, reference);
  } catch (const std::exception&) {
    return absl::InternalError("The TorchScript program could not be made.");
  }
}

}  // namespace

absl::StatusOr<std::string> SerializeTorchScript(nn::Generator& generator,
                                                 const Architecture& architecture) {
  return Serialize(generator, architecture,
                   {.inputs = {TestPicture(69, 50), TestPicture(38, 91)},
                    .forward = [&](const torch::Tensor& x) { return generator.forward(x); }});
}

absl::StatusOr<std::string> SerializeTorchScript(nn::PatternGenerator& generator,
                                                 const Architecture& architecture) {
  if (generator.condition_entries() > 0) {
    return absl::UnimplementedError("A generator with labels cannot be exported as TorchScript.");
  }
  const torch::Tensor noise =
      torch::arange(2 * generator.latent_size(), torch::kFloat).mul(0.7).sin();
  return Serialize(generator, architecture,
                   {.inputs = {noise.reshape({2, generator.latent_size()})},
                    .forward = [&](const torch::Tensor& z) { return generator.Generate(z, {}); }});
}

absl::Status WriteTorchScript(const std::filesystem::path& path, nn::Generator& generator,
                              const Architecture& architecture) {
  ATELIER_ASSIGN_OR_RETURN(const std::string bytes, SerializeTorchScript(generator, architecture));
  return WriteFileAtomically(path, bytes);
}

}  // namespace atelier::models
