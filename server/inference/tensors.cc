#include "server/inference/tensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/byte_order.h"
#include "common/errors.h"
#include "common/status_macros.h"

namespace atelier::server {
namespace {

static_assert(std::endian::native == std::endian::little,
              "raw tensors are little-endian and are copied as they are");

constexpr int kMaxInputs = 16;
constexpr std::size_t kMaxShown = 64;
constexpr std::uint64_t kLengthBytes = 4;  // before every element of a raw BYTES tensor

// Which field of InferTensorContents a type's elements are in.
enum class Field { kBool, kInt, kInt64, kUint, kUint64, kFp32, kFp64, kBytes, kNone };

struct Datatype {
  std::string_view name;
  std::uint64_t bytes;  // of an element; 0: they differ
  Field field;
};

constexpr std::array<Datatype, 14> kDatatypes = {{{"BOOL", 1, Field::kBool},
                                                  {"UINT8", 1, Field::kUint},
                                                  {"UINT16", 2, Field::kUint},
                                                  {"UINT32", 4, Field::kUint},
                                                  {"UINT64", 8, Field::kUint64},
                                                  {"INT8", 1, Field::kInt},
                                                  {"INT16", 2, Field::kInt},
                                                  {"INT32", 4, Field::kInt},
                                                  {"INT64", 8, Field::kInt64},
                                                  {"FP16", 2, Field::kNone},
                                                  {"BF16", 2, Field::kNone},
                                                  {"FP32", 4, Field::kFp32},
                                                  {"FP64", 8, Field::kFp64},
                                                  {"BYTES", 0, Field::kBytes}}};

const Datatype* FindDatatype(std::string_view name) {
  const auto* const found = std::ranges::find(kDatatypes, name, &Datatype::name);
  return found == kDatatypes.end() ? nullptr : found;
}

struct FieldSize {
  Field field;
  int size;
};

std::array<FieldSize, 8> SizesOf(const inference::InferTensorContents& contents) {
  return {{{Field::kBool, contents.bool_contents_size()},
           {Field::kInt, contents.int_contents_size()},
           {Field::kInt64, contents.int64_contents_size()},
           {Field::kUint, contents.uint_contents_size()},
           {Field::kUint64, contents.uint64_contents_size()},
           {Field::kFp32, contents.fp32_contents_size()},
           {Field::kFp64, contents.fp64_contents_size()},
           {Field::kBytes, contents.bytes_contents_size()}}};
}

bool HasContents(const inference::InferTensorContents& contents) {
  return std::ranges::any_of(SizesOf(contents), [](const FieldSize& of) { return of.size > 0; });
}

absl::Status CheckParameters(const inference::ModelInferRequest::InferInputTensor& input) {
  for (const auto& [name, value] : input.parameters()) {
    if (name.starts_with("shared_memory_")) {
      return absl::UnimplementedError(
          "Clients and workers share no memory here; send tensors in raw_input_contents.");
    }
    // What clients tell about how they made the bytes; these are taken for what the datatype says.
    if (name != "content_type" && name != "binary_data" && name != "binary_data_size") {
      return InvalidField(input.name(),
                          absl::StrCat("has a parameter that is not known: ", Shown(name)));
    }
  }
  return absl::OkStatus();
}

// The number of elements.
absl::StatusOr<std::uint64_t> CheckShape(std::string_view name,
                                         const std::vector<std::int64_t>& shape) {
  if (shape.empty() || shape.size() > static_cast<std::size_t>(kMaxRank)) {
    return InvalidField(name, absl::StrCat("has a shape of ", shape.size(),
                                           " dimensions; it must have 1 to ", kMaxRank));
  }
  std::uint64_t elements = 1;
  for (const std::int64_t dimension : shape) {
    if (dimension < 1) {
      return InvalidField(name, absl::StrCat("has the shape ", ShapeText(shape),
                                             "; every dimension must be at least 1"));
    }
    // Division, so that no product can overflow.
    if (static_cast<std::uint64_t>(dimension) > kMaxElements / elements) {
      return InvalidField(name, absl::StrCat("has the shape ", ShapeText(shape),
                                             ", which is more than a message can hold"));
    }
    elements *= static_cast<std::uint64_t>(dimension);
  }
  return elements;
}

absl::Status CheckRaw(const InputTensor& tensor, const Datatype& type) {
  if (type.bytes == 0) {
    return tensor.raw.size() >= tensor.elements * kLengthBytes
               ? absl::OkStatus()
               : InvalidField(
                     tensor.name,
                     absl::StrCat("has ", tensor.raw.size(), " bytes, too few for ",
                                  tensor.elements, " elements with their lengths of 4 bytes each"));
  }
  const std::uint64_t wanted = tensor.elements * type.bytes;
  if (tensor.raw.size() != wanted) {
    return InvalidField(tensor.name,
                        absl::StrCat("has ", tensor.raw.size(), " bytes; ", std::string(type.name),
                                     " of shape ", ShapeText(tensor.shape), " has ", wanted));
  }
  return absl::OkStatus();
}

absl::Status CheckTyped(const InputTensor& tensor, const Datatype& type) {
  if (type.field == Field::kNone) {
    return InvalidField(tensor.name, absl::StrCat("has datatype ", std::string(type.name),
                                                  ", which raw_input_contents alone can hold"));
  }
  for (const FieldSize& of : SizesOf(*tensor.contents)) {
    const std::uint64_t wanted = of.field == type.field ? tensor.elements : 0;
    if (std::cmp_not_equal(of.size, wanted)) {
      return InvalidField(
          tensor.name,
          absl::StrCat("has ", of.size, " elements in ", of.field == type.field ? "its" : "another",
                       " type's field of contents; ", std::string(type.name), " of shape ",
                       ShapeText(tensor.shape), " has ", wanted, " there"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<InputTensor> ReadInput(const inference::ModelInferRequest::InferInputTensor& input,
                                      const std::string* raw) {
  const Datatype* const type = FindDatatype(input.datatype());
  if (type == nullptr) {
    return InvalidField(
        input.name(),
        absl::StrCat("has datatype ", Shown(input.datatype()), ", which is none of ",
                     absl::StrJoin(kDatatypes, ", ", [](std::string* out, const Datatype& known) {
                       out->append(known.name);
                     })));
  }
  InputTensor tensor{.name = input.name(), .datatype = input.datatype()};
  if (input.shape_size() <= kMaxRank) {
    tensor.shape.assign(input.shape().begin(), input.shape().end());
  } else {
    return InvalidField(tensor.name, absl::StrCat("has a shape of ", input.shape_size(),
                                                  " dimensions; it must have 1 to ", kMaxRank));
  }
  ATELIER_ASSIGN_OR_RETURN(tensor.elements, CheckShape(tensor.name, tensor.shape));
  if (raw != nullptr) {
    tensor.raw = *raw;
    ATELIER_RETURN_IF_ERROR(CheckRaw(tensor, *type));
    return tensor;
  }
  tensor.typed = true;
  tensor.contents = &input.contents();
  ATELIER_RETURN_IF_ERROR(CheckTyped(tensor, *type));
  return tensor;
}

absl::Status CheckNames(const inference::ModelInferRequest& request) {
  if (request.inputs_size() < 1 || request.inputs_size() > kMaxInputs) {
    return InvalidField("inputs", absl::StrCat("must be 1 to ", kMaxInputs, " tensors"));
  }
  std::set<std::string_view> names;
  for (const auto& input : request.inputs()) {
    if (input.name().empty() || input.name().size() > kMaxShown) {
      return InvalidField("inputs", absl::StrCat("must have names of 1 to ", kMaxShown, " bytes"));
    }
    if (!names.insert(input.name()).second) {
      return InvalidField("inputs", absl::StrCat("has ", Shown(input.name()), " twice"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<InputTensor>> ReadInputs(const inference::ModelInferRequest& request) {
  ATELIER_RETURN_IF_ERROR(CheckNames(request));
  const bool raw = request.raw_input_contents_size() > 0;
  for (const auto& input : request.inputs()) {
    // Before the numbers are compared: an input in shared memory has no raw contents.
    ATELIER_RETURN_IF_ERROR(CheckParameters(input));
    if (raw && HasContents(input.contents())) {
      return InvalidField("raw_input_contents",
                          absl::StrCat("is there, and ", Shown(input.name()),
                                       " has contents of its own; use one of the two"));
    }
  }
  if (raw && request.raw_input_contents_size() != request.inputs_size()) {
    return InvalidField("raw_input_contents",
                        absl::StrCat("has ", request.raw_input_contents_size(), " elements for ",
                                     request.inputs_size(), " inputs; there must be one for each"));
  }
  std::vector<InputTensor> tensors;
  for (int i = 0; i < request.inputs_size(); ++i) {
    ATELIER_ASSIGN_OR_RETURN(
        InputTensor tensor,
        ReadInput(request.inputs(i), raw ? &request.raw_input_contents(i) : nullptr));
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

absl::StatusOr<std::vector<std::string_view>> StringsOf(const InputTensor& tensor) {
  if (tensor.typed) {
    const auto& contents = tensor.contents->bytes_contents();
    return std::vector<std::string_view>(contents.begin(), contents.end());
  }
  std::vector<std::string_view> strings;
  std::string_view rest = tensor.raw;
  for (std::uint64_t i = 0; i < tensor.elements; ++i) {
    const std::uint64_t length = rest.size() < kLengthBytes ? 0 : LittleEndian32(rest, 0);
    if (rest.size() < kLengthBytes || rest.size() - kLengthBytes < length) {
      return InvalidField(tensor.name, absl::StrCat("is cut off within element ", i,
                                                    ": every element is 4 bytes of length, "
                                                    "little-endian, and as many bytes"));
    }
    strings.push_back(rest.substr(kLengthBytes, length));
    rest.remove_prefix(kLengthBytes + length);
  }
  if (!rest.empty()) {
    return InvalidField(tensor.name, absl::StrCat("has ", rest.size(), " bytes behind its ",
                                                  tensor.elements, " elements"));
  }
  return strings;
}

std::vector<std::int64_t> IntegersOf(const InputTensor& tensor) {
  if (tensor.typed) {
    const auto& contents = tensor.contents->int64_contents();
    return {contents.begin(), contents.end()};
  }
  std::vector<std::int64_t> integers(tensor.elements);
  std::memcpy(integers.data(), tensor.raw.data(), tensor.raw.size());
  return integers;
}

absl::StatusOr<std::string> BytesOf(const InputTensor& tensor, std::size_t first,
                                    std::size_t count) {
  if (!tensor.typed) {
    return std::string(tensor.raw.substr(first, count));
  }
  std::string bytes(count, '\0');
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t value = tensor.contents->uint_contents(static_cast<int>(first + i));
    if (value > 0xff) {
      return InvalidField(tensor.name, "has an element above 255, which is no UINT8");
    }
    bytes[i] = static_cast<char>(value);
  }
  return bytes;
}

absl::StatusOr<std::string> UnitFloatsOf(const InputTensor& tensor, std::size_t first,
                                         std::size_t count) {
  std::string bytes(count * sizeof(float), '\0');
  const char* const from =
      tensor.typed ? reinterpret_cast<const char*>(tensor.contents->fp32_contents().data())
                   : tensor.raw.data();
  bool nan = false;
  for (std::size_t i = 0; i < count; ++i) {
    float value = 0;  // raw bytes need not be aligned
    std::memcpy(&value, from + (first + i) * sizeof(float), sizeof(float));
    nan = nan || std::isnan(value);
    value = std::clamp(value, 0.0F, 1.0F);
    std::memcpy(bytes.data() + i * sizeof(float), &value, sizeof(float));
  }
  if (nan) {
    return InvalidField(tensor.name, "has an element that is not a number");
  }
  return bytes;
}

std::string ShapeText(const std::vector<std::int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ","), "]");
}

std::string Shown(std::string_view text) {
  return absl::StrCat("\"", absl::CHexEscape(std::string(text.substr(0, kMaxShown))),
                      text.size() > kMaxShown ? "…" : "", "\"");
}

void AppendString(std::string_view element, std::string& raw) {
  AppendLittleEndian32(raw, static_cast<std::uint32_t>(element.size()));
  raw.append(element);
}

}  // namespace atelier::server
