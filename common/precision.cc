#include "common/precision.h"

#include <utility>

#include "common/errors.h"

namespace atelier {
namespace {

constexpr std::pair<Precision, std::string_view> kNames[] = {{Precision::kFp32, "fp32"},
                                                             {Precision::kBf16, "bf16"},
                                                             {Precision::kFp16, "fp16"},
                                                             {Precision::kInt8, "int8"}};

}  // namespace

std::string_view PrecisionName(Precision precision) {
  for (const auto& [value, name] : kNames) {
    if (value == precision) {
      return name;
    }
  }
  return "";
}

std::optional<Precision> PrecisionNamed(std::string_view name) {
  for (const auto& [value, known] : kNames) {
    if (known == name) {
      return value;
    }
  }
  return std::nullopt;
}

absl::Status CheckPrecision(std::string_view field, Precision asked, Precision model) {
  if (asked == Precision::kFp16) {
    return InvalidField(field, "is FP16, which is for training on GPUs; use FP32 or BF16");
  }
  const bool int8 = model == Precision::kInt8;
  if ((asked == Precision::kInt8) == int8) {
    return absl::OkStatus();
  }
  return InvalidField(field,
                      int8 ? "must be INT8 or left out: this model's weights are int8; the model "
                             "that it was made from has the other precisions"
                           : "is INT8, which only models made by quantize jobs have; use FP32 or "
                             "BF16, or make an int8 model of this one");
}

}  // namespace atelier
