// The safetensors format (github.com/huggingface/safetensors): 8 bytes length, a JSON header, the
// tensors' bytes without gaps. Pure functions, thread-safe.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace atelier::models {

using TensorMap = std::map<std::string, at::Tensor>;
using Metadata = std::map<std::string, std::string>;

struct Safetensors {
  TensorMap tensors;  // contiguous, on the CPU, owning their memory
  Metadata metadata;
};

// Types: F64, F32, F16, BF16, I64, I32, I16, I8, U8. DATA_LOSS, naming what is wrong: cut off, a
// header over 16 MiB or malformed, unknown type, duplicate name, shape and bytes that disagree,
// bytes that overlap or belong to no tensor.
absl::StatusOr<Safetensors> ParseSafetensors(std::string_view bytes);

// NOT_FOUND; RESOURCE_EXHAUSTED: larger than `max_bytes`; as above.
absl::StatusOr<Safetensors> ReadSafetensors(const std::filesystem::path& path,
                                            std::uint64_t max_bytes);

// Equal tensors and metadata give equal bytes: ordered by element size (largest first, so that all
// are aligned), then by name. INVALID_ARGUMENT: an undefined tensor, a type that is not in the list
// above, the name "__metadata__".
absl::StatusOr<std::string> SerializeSafetensors(const TensorMap& tensors,
                                                 const Metadata& metadata);

// Whole or not at all. Errors of SerializeSafetensors and of common/files.h.
absl::Status WriteSafetensors(const std::filesystem::path& path, const TensorMap& tensors,
                              const Metadata& metadata);

}  // namespace atelier::models
