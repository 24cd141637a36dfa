#include "worker/models/weights.h"

#include <torch/torch.h>

#include <set>
#include <utility>
#include <vector>

#include "worker/models/complaints.h"
#include "worker/models/saved_names.h"

namespace atelier::models {
namespace {

std::map<std::string, torch::Tensor> NamedTensors(const torch::nn::Module& module) {
  std::map<std::string, torch::Tensor> named;
  for (const auto& item : module.named_parameters()) {
    named.emplace(item.key(), item.value());
  }
  for (const auto& item : module.named_buffers()) {
    named.emplace(item.key(), item.value());
  }
  return named;
}

// Whether values of one can be those of the other: integers would be cut off.
bool TypesFit(const torch::Tensor& a, const torch::Tensor& b) {
  return a.scalar_type() == b.scalar_type() || (a.is_floating_point() && b.is_floating_point());
}

// What is divided by in an int8 model, and an offset that has to be one of its 256 numbers.
bool IsWithinRange(const std::string& name, const torch::Tensor& tensor) {
  if (name.ends_with(kInputScale) || name.ends_with(kWeightScale)) {
    return torch::logical_and(tensor > 0, tensor.isfinite()).all().item<bool>();
  }
  if (name.ends_with(kInputZeroPoint)) {
    return torch::logical_and(tensor >= 0, tensor <= 255).all().item<bool>();
  }
  return true;
}

}  // namespace

absl::Status LoadWeights(torch::nn::Module& module, const TensorMap& tensors, bool strict) {
  const std::map<std::string, torch::Tensor> own = NamedTensors(module);
  std::vector<std::pair<torch::Tensor, torch::Tensor>> copies;
  std::set<std::string> found;
  Complaints missing("missing");
  Complaints unexpected("unexpected");
  Complaints mismatched("of another shape or type");
  Complaints impossible("with impossible values");
  for (const auto& [file_name, tensor] : tensors) {
    const std::string name = WithoutDataParallel(file_name);
    const auto target = own.find(name);
    if (target == own.end()) {
      if (strict && !IsNormStatistic(name)) {
        unexpected.Add(Printable(name));
      }
      continue;
    }
    if (!found.insert(name).second) {
      unexpected.Add(Printable(name) + " (twice)");
    } else if (target->second.sizes() != tensor.sizes() || !TypesFit(target->second, tensor)) {
      mismatched.Add(name + " " + ShapeText(tensor.sizes()) + " for " +
                     ShapeText(target->second.sizes()));
    } else if (!IsWithinRange(name, tensor)) {
      impossible.Add(name);
    } else {
      copies.emplace_back(target->second, tensor);
    }
  }
  for (const auto& [name, tensor] : own) {
    if (!found.contains(name)) {
      missing.Add(name);
    }
  }
  std::string sentence;
  missing.AppendTo(sentence);
  unexpected.AppendTo(sentence);
  mismatched.AppendTo(sentence);
  impossible.AppendTo(sentence);
  if (!sentence.empty()) {
    return absl::DataLossError("The weights do not fit the network: " + sentence + ".");
  }
  const torch::NoGradGuard no_grad;
  for (auto& [target, source] : copies) {
    target.copy_(source);
  }
  return absl::OkStatus();
}

MatchReport LoadMatching(torch::nn::Module& module, const TensorMap& tensors) {
  const torch::NoGradGuard no_grad;
  MatchReport report;
  std::map<std::string, torch::Tensor> own = NamedTensors(module);
  for (const auto& [name, tensor] : tensors) {
    const auto target = own.find(name);
    if (target == own.end()) {
      report.unused.push_back(Printable(name));
      continue;
    }
    if (target->second.sizes() == tensor.sizes() && TypesFit(target->second, tensor)) {
      target->second.copy_(tensor);
      ++report.loaded;
      report.kernels += tensor.dim() > 1 ? 1 : 0;
    } else {
      report.misshapen.push_back(Printable(name));
    }
    own.erase(target);
  }
  for (const auto& [name, tensor] : own) {
    report.missing.push_back(name);
  }
  return report;
}

std::string MatchReport::Sentence() const {
  std::string sentence = std::to_string(loaded) + " tensors taken over";
  for (const auto& [label, names] : {std::pair{"not in the file", &missing},
                                     {"of another shape or type", &misshapen},
                                     {"not in this network", &unused}}) {
    Complaints list(label);
    for (const std::string& name : *names) {
      list.Add(name);
    }
    list.AppendTo(sentence);
  }
  return sentence;
}

TensorMap CollectWeights(const torch::nn::Module& module) {
  TensorMap collected;
  for (const auto& [name, tensor] : NamedTensors(module)) {
    collected.emplace(name, tensor.detach());
  }
  return collected;
}

std::uint64_t CountParameters(const torch::nn::Module& module) {
  std::uint64_t count = 0;
  for (const torch::Tensor& parameter : module.parameters()) {
    count += static_cast<std::uint64_t>(parameter.numel());
  }
  return count;
}

}  // namespace atelier::models
