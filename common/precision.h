// The number formats that networks compute in. Pure functions, thread-safe.
#pragma once

#include <optional>
#include <string_view>

#include "absl/status/status.h"

namespace atelier {

enum class Precision {
  kFp32,
  kBf16,
  // For training on GPUs only, with scaled losses.
  kFp16,
  // Static 8-bit integers: what "quantize" jobs make, a property of the model's weights.
  kInt8,
};

// "fp32", "bf16", "fp16", "int8"
std::string_view PrecisionName(Precision precision);
// nullopt: none of these.
std::optional<Precision> PrecisionNamed(std::string_view name);

// Whether a model whose default is `model` can be asked for `asked`: int8 of int8 models only, and
// nothing else of them; fp16 of none. INVALID_ARGUMENT naming `field`.
absl::Status CheckPrecision(std::string_view field, Precision asked, Precision model);

}  // namespace atelier
