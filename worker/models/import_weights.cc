#include "worker/models/import_weights.h"

#include <torch/torch.h>

#include <optional>
#include <set>
#include <string>
#include <utility>

#include "common/status_macros.h"
#include "worker/models/architecture_guess.h"
#include "worker/models/complaints.h"
#include "worker/models/saved_names.h"
#include "worker/models/torch_pickle.h"

namespace atelier::models {
namespace {

constexpr char kKnown[] =
    "ResNet generators of CycleGAN, pix2pix and CUT, U-Net generators of pix2pix, the network of "
    "fast_neural_style, DCGAN's generator, and Atelier's lite and shared-latent generators";

void Replace(std::string& text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  if (at != std::string::npos) {
    text.replace(at, from.size(), to);
  }
}

// Residual blocks with dropout have it at conv_block.4; what follows is counted on by one.
bool HasDropout(const TensorMap& tensors) {
  for (const auto& [name, tensor] : tensors) {
    if (name.ends_with(".conv_block.6.weight") && tensor.dim() == 4) {
      return true;
    }
  }
  return false;
}

absl::StatusOr<TensorMap> UsualNames(const TensorMap& tensors) {
  const bool dropout = HasDropout(tensors);
  TensorMap renamed;
  for (const auto& [file_name, tensor] : tensors) {
    std::string name = WithoutDataParallel(file_name);
    if (dropout) {
      Replace(name, ".conv_block.6.", ".conv_block.5.");
      Replace(name, ".conv_block.7.", ".conv_block.6.");
    }
    if (!renamed.emplace(name, tensor).second) {
      return absl::InvalidArgumentError("The weights file has two tensors for " + Printable(name) +
                                        ".");
    }
  }
  return renamed;
}

Shapes ShapesOf(const TensorMap& tensors) {
  Shapes shapes;
  for (const auto& [name, tensor] : tensors) {
    shapes.emplace(name, tensor.sizes().vec());
  }
  return shapes;
}

// How a file differs from a network.
struct Difference {
  Complaints missing{"missing"};
  Complaints unexpected{"unexpected"};
  Complaints mismatched{"of another shape"};

  std::size_t count() const { return missing.count() + unexpected.count() + mismatched.count(); }
};

// A batch norm's count, which PyTorch has only kept since 0.4.1.
bool MayBeMissing(const Shapes& file, const std::string& name) {
  if (!name.ends_with(kBatchCount)) {
    return false;
  }
  const std::string layer = name.substr(0, name.size() - kBatchCount.size());
  return file.contains(layer + std::string(kRunningMean));
}

Difference Compare(const Shapes& file, const Shapes& network) {
  Difference difference;
  for (const auto& [name, shape] : network) {
    const auto found = file.find(name);
    if (found == file.end()) {
      if (!MayBeMissing(file, name)) {
        difference.missing.Add(name);
      }
    } else if (found->second != shape) {
      difference.mismatched.Add(name + " " + ShapeText(found->second) + " for " + ShapeText(shape));
    }
  }
  for (const auto& [name, shape] : file) {
    if (!network.contains(name) && !IsNormStatistic(name)) {
      difference.unexpected.Add(Printable(name));
    }
  }
  return difference;
}

// What the network has; counts that are missing become 0.
TensorMap Fitting(const TensorMap& tensors, const Shapes& network) {
  TensorMap fitting;
  for (const auto& [name, shape] : network) {
    const auto found = tensors.find(name);
    fitting.emplace(name, found != tensors.end() ? found->second
                                                 : torch::zeros(shape, torch::dtype(torch::kLong)));
  }
  return fitting;
}

absl::Status FitsNothing(const Shapes& file) {
  if (LooksLikeDiscriminator(file)) {
    return absl::InvalidArgumentError(
        "This is a discriminator, which only judges pictures; import the generator's weights (in "
        "CycleGAN's and CUT's files \"G\" instead of \"D\": latest_net_G.pth).");
  }
  Complaints names("it has");
  for (const auto& [name, shape] : file) {
    names.Add(Printable(name) + " " + ShapeText(shape));
  }
  std::string list;
  names.AppendTo(list);
  return absl::InvalidArgumentError("The weights belong to no network known here (" +
                                    std::string(kKnown) +
                                    "): " + (list.empty() ? "there are none" : list) + ".");
}

absl::Status FitsBadly(const Architecture& closest, const Difference& difference) {
  std::string sentence;
  difference.missing.AppendTo(sentence);
  difference.unexpected.AppendTo(sentence);
  difference.mismatched.AppendTo(sentence);
  return absl::InvalidArgumentError("The weights belong to no network known here. Closest is " +
                                    Describe(closest) + ": " + sentence + ".");
}

// Integers and their scales, as nn::QuantizedConvolution and other quantisers have them.
bool IsQuantized(const std::string& name, const torch::Tensor& tensor) {
  const bool integers =
      tensor.scalar_type() == torch::kChar || tensor.scalar_type() == torch::kByte;
  return (integers && tensor.dim() > 1) || name.ends_with(kWeightScale) ||
         name.ends_with(kInputScale);
}

absl::Status RefuseInt8(const TensorMap& tensors) {
  Complaints quantized("its int8 tensors are");
  for (const auto& [name, tensor] : tensors) {
    if (IsQuantized(name, tensor)) {
      quantized.Add(Printable(name));
    }
  }
  if (quantized.count() == 0) {
    return absl::OkStatus();
  }
  std::string list;
  quantized.AppendTo(list);
  return absl::InvalidArgumentError(
      "The weights are those of an int8 model, which names and shapes do not tell (" + list +
      "). Import the safetensors file that Atelier exported, whose metadata says what it is; or "
      "import the fp32 weights that the model was made from, and quantize them with a job.");
}

}  // namespace

absl::StatusOr<ImportedWeights> RecognizeWeights(const TensorMap& tensors) {
  ATELIER_ASSIGN_OR_RETURN(const TensorMap named, UsualNames(tensors));
  ATELIER_RETURN_IF_ERROR(RefuseInt8(named));
  const Shapes file = ShapesOf(named);
  std::optional<std::pair<Architecture, Difference>> closest;
  for (const Architecture& guess : GuessArchitectures(file)) {
    Difference difference = Compare(file, ExpectedShapes(guess));
    if (difference.count() == 0) {
      return ImportedWeights{.architecture = guess,
                             .tensors = Fitting(named, ExpectedShapes(guess))};
    }
    if (!closest || difference.count() < closest->second.count()) {
      closest.emplace(guess, std::move(difference));
    }
  }
  return closest ? FitsBadly(closest->first, closest->second) : FitsNothing(file);
}

absl::StatusOr<WeightsFormat> DetectWeightsFormat(std::string_view bytes) {
  constexpr std::string_view kZip("PK\3\4", 4);
  constexpr std::string_view kOldPickle("\x80\x02\x8a\x0a", 4);
  constexpr std::size_t kLengthBytes = 8;
  if (bytes.starts_with(kZip)) {
    // The names stand in the directory at the end.
    return bytes.rfind("/constants.pkl") == std::string_view::npos ? WeightsFormat::kTorchPickle
                                                                   : WeightsFormat::kTorchScript;
  }
  if (bytes.starts_with(kOldPickle)) {
    return WeightsFormat::kTorchPickle;
  }
  if (bytes.size() > kLengthBytes && bytes[kLengthBytes] == '{') {
    return WeightsFormat::kSafetensors;
  }
  return absl::InvalidArgumentError(
      "The file is neither safetensors nor a .pth file of torch.save nor TorchScript.");
}

absl::StatusOr<TensorMap> ParseWeights(std::string_view bytes) {
  ATELIER_ASSIGN_OR_RETURN(const WeightsFormat format, DetectWeightsFormat(bytes));
  if (format == WeightsFormat::kTorchScript) {
    return absl::InvalidArgumentError(
        "The file is a TorchScript program, not a state dict; import it as TorchScript.");
  }
  if (format == WeightsFormat::kTorchPickle) {
    return ParseTorchPickle(bytes);
  }
  ATELIER_ASSIGN_OR_RETURN(Safetensors file, ParseSafetensors(bytes));
  return std::move(file.tensors);
}

}  // namespace atelier::models
