#include "worker/models/weights.h"

#include <torch/torch.h>

#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "common/status_macros.h"

namespace atelier::models {
namespace {

constexpr std::string_view kDataParallelPrefix = "module.";
constexpr std::string_view kNormStatistics[] = {".running_mean", ".running_var",
                                                ".num_batches_tracked"};

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

bool IsNormStatistic(std::string_view name) {
  for (const std::string_view ending : kNormStatistics) {
    if (name.ends_with(ending)) {
      return true;
    }
  }
  return false;
}

std::string ShapeText(const at::Tensor& tensor) {
  std::string text = "[";
  for (std::int64_t i = 0; i < tensor.dim(); ++i) {
    text += (i > 0 ? ", " : "") + std::to_string(tensor.size(i));
  }
  return text + "]";
}

// Collects complaints of one kind; prints the first few and the number of the rest.
class Complaints {
 public:
  explicit Complaints(std::string label) : label_(std::move(label)) {}

  void Add(std::string item) {
    constexpr std::size_t kPrinted = 3;
    if (items_.size() < kPrinted) {
      items_.push_back(std::move(item));
    }
    ++count_;
  }

  void AppendTo(std::string& sentence) const {
    if (count_ == 0) {
      return;
    }
    sentence += (sentence.empty() ? "" : "; ") + label_ + " ";
    for (std::size_t i = 0; i < items_.size(); ++i) {
      sentence += (i > 0 ? ", " : "") + items_[i];
    }
    if (count_ > items_.size()) {
      sentence += " and " + std::to_string(count_ - items_.size()) + " more";
    }
  }

 private:
  std::string label_;
  std::vector<std::string> items_;
  std::size_t count_ = 0;
};

// A name from a file may be long and may hold anything.
std::string Printable(std::string_view name) {
  constexpr std::size_t kLongest = 80;
  std::string text;
  for (const char c : name.substr(0, kLongest)) {
    text += c > ' ' && c < 0x7f ? c : '?';
  }
  return text;
}

}  // namespace

absl::Status LoadWeights(torch::nn::Module& module, const TensorMap& tensors, bool strict) {
  const std::map<std::string, torch::Tensor> own = NamedTensors(module);
  std::vector<std::pair<torch::Tensor, torch::Tensor>> copies;
  std::set<std::string> found;
  Complaints missing("missing");
  Complaints unexpected("unexpected");
  Complaints mismatched("of another shape or type");
  for (const auto& [file_name, tensor] : tensors) {
    std::string name = file_name;
    if (name.starts_with(kDataParallelPrefix)) {
      name.erase(0, kDataParallelPrefix.size());
    }
    const auto target = own.find(name);
    if (target == own.end()) {
      if (strict && !IsNormStatistic(name)) {
        unexpected.Add(Printable(name));
      }
      continue;
    }
    if (!found.insert(name).second) {
      unexpected.Add(Printable(name) + " (twice)");
    } else if (target->second.sizes() != tensor.sizes() ||
               target->second.is_floating_point() != tensor.is_floating_point()) {
      mismatched.Add(name + " " + ShapeText(tensor) + " for " + ShapeText(target->second));
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
  if (!sentence.empty()) {
    return absl::DataLossError("The weights do not fit the network: " + sentence + ".");
  }
  const torch::NoGradGuard no_grad;
  for (auto& [target, source] : copies) {
    target.copy_(source);
  }
  return absl::OkStatus();
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
