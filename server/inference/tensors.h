// Tensors of the Open Inference Protocol as they come: name, type, shape and bytes, checked against
// each other before anything is allocated for them. Which tensors a model wants is not known here
// (model_tensors.h). Pure functions, thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "inference/grpc_service.pb.h"

namespace atelier::server {

// A message has at most 64 MiB, and no element less than a byte.
inline constexpr std::uint64_t kMaxElements = 64ULL << 20U;
inline constexpr int kMaxRank = 8;

// One input. Its elements are those of the request that it was read from.
struct InputTensor {
  std::string name;
  std::string datatype;             // one that the protocol knows
  std::vector<std::int64_t> shape;  // every dimension at least 1
  std::uint64_t elements = 0;       // at most kMaxElements
  bool typed = false;
  std::string_view raw;  // unless typed: as many bytes as type and shape ask for
  // When typed: exactly its type's field is filled, with as many elements.
  const inference::InferTensorContents* contents = nullptr;
};

// All inputs, in the request's order. INVALID_ARGUMENT naming the input, `inputs` or
// `raw_input_contents`: none, or more than 16; a name that is missing or comes twice; an unknown
// datatype; no shape, a dimension below 1, too many elements; raw and typed contents together, or
// neither; as many bytes or elements as type and shape do not ask for; a parameter that is not
// known. UNIMPLEMENTED: shared memory.
absl::StatusOr<std::vector<InputTensor>> ReadInputs(const inference::ModelInferRequest& request);

// The elements of a BYTES tensor. INVALID_ARGUMENT naming it: a length that goes past the end, or
// bytes behind the last element.
absl::StatusOr<std::vector<std::string_view>> StringsOf(const InputTensor& tensor);

// The elements of an INT64 tensor.
std::vector<std::int64_t> IntegersOf(const InputTensor& tensor);

// `count` elements from the place `first` on of a UINT8 tensor. INVALID_ARGUMENT naming it: a typed
// element above 255.
absl::StatusOr<std::string> BytesOf(const InputTensor& tensor, std::size_t first,
                                    std::size_t count);

// The same of an FP32 tensor, as little-endian fp32 of 0 to 1: what is below or above becomes 0 or
// 1. INVALID_ARGUMENT naming it: NaN.
absl::StatusOr<std::string> UnitFloatsOf(const InputTensor& tensor, std::size_t first,
                                         std::size_t count);

// "[2,1]".
std::string ShapeText(const std::vector<std::int64_t>& shape);
// What a caller wrote, for an error's sentence: quoted, short and printable.
std::string Shown(std::string_view text);

// Adds an element as the protocol lays BYTES out raw.
void AppendString(std::string_view element, std::string& raw);

}  // namespace atelier::server
