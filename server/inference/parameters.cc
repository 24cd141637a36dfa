#include "server/inference/parameters.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/errors.h"
#include "common/rpc/picture_enums.h"
#include "common/status_macros.h"
#include "server/inference/tensors.h"

namespace atelier::server {
namespace {

using inference::InferParameter;

constexpr char kPrefix[] = "atelier_";
constexpr std::size_t kPrefixBytes = sizeof(kPrefix) - 1;

// `error` without a field, said of a parameter.
absl::Status About(const std::string& parameter, const absl::Status& error) {
  return InvalidField("parameters." + parameter, std::string(error.message()));
}

// What a value cannot be read as is an error without a field, which the caller names.
absl::StatusOr<double> NumberOf(const InferParameter& value) {
  switch (value.parameter_choice_case()) {
    case InferParameter::kDoubleParam:
      return value.double_param();
    case InferParameter::kInt64Param:
      return static_cast<double>(value.int64_param());
    case InferParameter::kUint64Param:
      return static_cast<double>(value.uint64_param());
    default:
      return absl::InvalidArgumentError("must be a number (double_param or int64_param)");
  }
}

absl::StatusOr<std::uint64_t> UnsignedOf(const InferParameter& value) {
  if (value.has_uint64_param()) {
    return value.uint64_param();
  }
  if (value.has_int64_param() && value.int64_param() >= 0) {
    return static_cast<std::uint64_t>(value.int64_param());
  }
  return absl::InvalidArgumentError("must be an integer from 0 (int64_param or uint64_param)");
}

absl::StatusOr<std::uint32_t> SmallOf(const InferParameter& value) {
  ATELIER_ASSIGN_OR_RETURN(const std::uint64_t number, UnsignedOf(value));
  // What is too large for the field is out of admission's range as well.
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(number, std::numeric_limits<std::uint32_t>::max()));
}

absl::StatusOr<bool> BoolOf(const InferParameter& value) {
  if (value.has_bool_param()) {
    return value.bool_param();
  }
  return absl::InvalidArgumentError("must be true or false (bool_param)");
}

absl::StatusOr<std::string> TextOf(const InferParameter& value) {
  if (value.has_string_param()) {
    return value.string_param();
  }
  return absl::InvalidArgumentError("must be a text (string_param)");
}

absl::StatusOr<v1::ImageFormat> FormatOf(const InferParameter& value) {
  ATELIER_ASSIGN_OR_RETURN(const std::string name, TextOf(value));
  for (const ImageFormat format : {ImageFormat::kJpeg, ImageFormat::kPng, ImageFormat::kWebp}) {
    if (name == ImageFormatName(format)) {
      return ToProto(format);
    }
  }
  return absl::InvalidArgumentError(R"(must be "jpeg", "png" or "webp")");
}

absl::StatusOr<v1::Precision> PrecisionOf(const InferParameter& value) {
  ATELIER_ASSIGN_OR_RETURN(const std::string name, TextOf(value));
  const std::optional<Precision> known = PrecisionNamed(name);
  if (!known.has_value()) {
    return absl::InvalidArgumentError(R"(must be "fp32", "bf16" or "int8")");
  }
  return ToProto(*known);
}

// "oil=0.6,ink=0.4"
absl::Status SetMix(const InferParameter& value, v1::StylizeRequest& out) {
  ATELIER_ASSIGN_OR_RETURN(const std::string text, TextOf(value));
  const std::vector<std::string> parts = absl::StrSplit(text, ',');
  for (const std::string& part : parts) {
    const std::size_t equals = part.find('=');
    float weight = 0;
    if (equals == std::string::npos || !absl::SimpleAtof(part.substr(equals + 1), &weight)) {
      return absl::InvalidArgumentError("must be shares of labels, as in \"oil=0.6,ink=0.4\"");
    }
    v1::StyleShare& share = *out.add_mix();
    share.set_label(part.substr(0, equals));
    share.set_weight(weight);
  }
  return absl::OkStatus();
}

absl::Status SetLabel(const InferParameter& value, v1::GenerateRequest& out) {
  ATELIER_ASSIGN_OR_RETURN(*out.mutable_label(), TextOf(value));
  return absl::OkStatus();
}

absl::Status SetText(const InferParameter& value, v1::GenerateRequest& out) {
  ATELIER_ASSIGN_OR_RETURN(*out.mutable_text(), TextOf(value));
  return absl::OkStatus();
}

// A control: its name behind "atelier_", which is also the field's, and how its value is set.
template <typename Out>
struct Control {
  std::string_view name;
  absl::Status (*set)(const InferParameter& value, Out& out);
};

// The field that `kSetter` sets becomes what `kReader` makes of the value.
template <auto kSetter, auto kReader, typename Out>
absl::Status Set(const InferParameter& value, Out& out) {
  ATELIER_ASSIGN_OR_RETURN(const auto read, kReader(value));
  (out.*kSetter)(read);
  return absl::OkStatus();
}

const auto& StylizeControls() {
  using R = v1::StylizeRequest;
  static constexpr std::array<Control<R>, 8> kControls = {{
      {"strength", Set<&R::set_strength, NumberOf>},
      {"preserve_color", Set<&R::set_preserve_color, BoolOf>},
      {"size", Set<&R::set_size, SmallOf>},
      {"format", Set<&R::set_format, FormatOf>},
      {"quality", Set<&R::set_quality, SmallOf>},
      {"precision", Set<&R::set_precision, PrecisionOf>},
      {"deterministic", Set<&R::set_deterministic, BoolOf>},
      {"mix", SetMix},
  }};
  return kControls;
}

const auto& GenerateControls() {
  using R = v1::GenerateRequest;
  static constexpr std::array<Control<R>, 7> kControls = {{
      {"size", Set<&R::set_size, SmallOf>},
      {"format", Set<&R::set_format, FormatOf>},
      {"quality", Set<&R::set_quality, SmallOf>},
      {"precision", Set<&R::set_precision, PrecisionOf>},
      {"truncation", Set<&R::set_truncation, NumberOf>},
      {"label", SetLabel},
      {"text", SetText},
  }};
  return kControls;
}

template <typename Out>
absl::Status SetAll(const inference::ModelInferRequest& request,
                    std::span<const Control<Out>> controls, Out& out) {
  for (const auto& [name, value] : request.parameters()) {
    if (!name.starts_with(kPrefix)) {
      continue;
    }
    const std::string_view field = std::string_view(name).substr(kPrefixBytes);
    const auto found = std::ranges::find(controls, field, &Control<Out>::name);
    if (found == controls.end()) {
      return InvalidField(
          "parameters",
          absl::StrCat("has ", Shown(name), ", which this model does not know; it knows ",
                       absl::StrJoin(controls, ", ", [](std::string* text, const auto& control) {
                         text->append(kPrefix).append(control.name);
                       })));
    }
    if (const absl::Status status = found->set(value, out); !status.ok()) {
      return About(name, status);
    }
  }
  return absl::OkStatus();
}

absl::Status SetPriority(const InferParameter& value, CallTerms& terms) {
  ATELIER_ASSIGN_OR_RETURN(const std::uint64_t level, UnsignedOf(value));
  switch (level) {
    case 0:
    case 2:
      terms.priority = Priority::kNormal;
      return absl::OkStatus();
    case 1:
      terms.priority = Priority::kHigh;
      return absl::OkStatus();
    case 3:
      terms.priority = Priority::kLow;
      return absl::OkStatus();
    default:
      return absl::InvalidArgumentError(
          "must be 1 (first), 2 or 3 (last), or 0 for the default, which is 2");
  }
}

absl::Status SetTimeout(const InferParameter& value, CallTerms& terms) {
  ATELIER_ASSIGN_OR_RETURN(const std::uint64_t microseconds, UnsignedOf(value));
  if (std::cmp_greater(microseconds, absl::ToInt64Microseconds(kMaxTimeout))) {
    return absl::InvalidArgumentError(
        "must be at most 86400000000 microseconds, which is one day; 0 is none");
  }
  if (microseconds > 0) {
    terms.timeout = absl::Microseconds(static_cast<std::int64_t>(microseconds));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CallTerms> TermsOfInference(const inference::ModelInferRequest& request) {
  CallTerms terms;
  for (const auto& [name, value] : request.parameters()) {
    absl::Status status;
    if (name == "priority") {
      status = SetPriority(value, terms);
    } else if (name == "timeout") {
      status = SetTimeout(value, terms);
    } else if (name.starts_with("sequence_")) {
      return absl::UnimplementedError("No model here works on sequences.");
    } else if (!name.starts_with(kPrefix) && !name.starts_with("triton_") &&
               name != "content_type" && name != "binary_data_output") {
      return InvalidField("parameters", absl::StrCat("has ", Shown(name),
                                                     ", which is not known; controls of this "
                                                     "server begin with ",
                                                     kPrefix));
    }
    if (!status.ok()) {
      return About(name, status);
    }
  }
  return terms;
}

absl::Status SetControls(const inference::ModelInferRequest& request, v1::StylizeRequest& out) {
  return SetAll<v1::StylizeRequest>(request, StylizeControls(), out);
}

absl::Status SetControls(const inference::ModelInferRequest& request, v1::GenerateRequest& out) {
  return SetAll<v1::GenerateRequest>(request, GenerateControls(), out);
}

absl::Status RefuseControls(const inference::ModelInferRequest& request) {
  for (const auto& [name, value] : request.parameters()) {
    if (name.starts_with(kPrefix)) {
      return InvalidField("parameters",
                          absl::StrCat("has ", Shown(name), ", but this model has no controls"));
    }
  }
  return absl::OkStatus();
}

absl::Status InInferenceTerms(const absl::Status& status) {
  const std::optional<std::string> field = FieldOf(status);
  if (!field.has_value()) {
    return status;
  }
  if (*field == "model") {
    return AboutField(status, "model_name");
  }
  if (*field == "request_id") {
    return AboutField(status, "id");
  }
  const auto named = [&field](const auto& control) { return control.name == *field; };
  return std::ranges::any_of(StylizeControls(), named) ||
                 std::ranges::any_of(GenerateControls(), named)
             ? AboutField(status, absl::StrCat("parameters.", kPrefix, *field))
             : status;
}

}  // namespace atelier::server
