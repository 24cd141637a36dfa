// model.json: what a folder of weights is. Free of LibTorch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/architecture.h"
#include "common/train_config.h"

namespace atelier {

// The JSON keys are the field names, those of Architecture among them; what is 0, false or empty by
// default may be missing. `format` is the layout version of the file, now 1.
struct ModelSpec {
  std::string family;  // a row of common/family.h, or "torchscript"
  std::string tier;    // "lite", "base", "quality"; empty: none of these sizes
  Architecture architecture;
  std::vector<std::string> classes;  // the labels of a conditional generator, in their order
  // The words of a generator that is told captions, in their order (nn::Tokenizer).
  std::vector<std::string> vocabulary;
  std::vector<std::string> capabilities = {"strength", "preserve_color", "size", "precision"};
  std::uint64_t parameters = 0;
  // By its name in JSON; kInt8 with Architecture::int8, and only then.
  Precision default_precision = Precision::kFp32;
  std::string weights_sha256;
  std::uint64_t weights_bytes = 0;
  std::string job_id;  // may be empty
};

// The family and the generator of a user's TorchScript program.
inline constexpr char kTorchScript[] = "torchscript";

// The file with the weights in a model's folder: "weights.safetensors", or "program.pt".
std::string WeightsFileName(const Architecture& architecture);

// The text of model.json, and what it says. DATA_LOSS when it is malformed or lacks a key.
std::string FormatModelSpec(const ModelSpec& spec);
absl::StatusOr<ModelSpec> ParseModelSpec(std::string_view text);

// NOT_FOUND; DATA_LOSS when the file is malformed or lacks a key.
absl::StatusOr<ModelSpec> ReadModelSpec(const std::filesystem::path& directory);
absl::Status WriteModelSpec(const std::filesystem::path& directory, const ModelSpec& spec);

}  // namespace atelier
