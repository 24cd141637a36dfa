// Writes state dicts that Python's torch.load reads, also with weights_only=True: the zip layout of
// torch.save (stored entries on 64-byte boundaries; data.pkl in pickle protocol 2) without Python.
// Pure functions, thread-safe.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/models/safetensors.h"

namespace atelier::models {

// An OrderedDict of CPU tensors, ordered by name, each with a contiguous storage of its own. Equal
// tensors give equal bytes. INVALID_ARGUMENT: an undefined tensor, a type other than those of
// storage_types.h, or 2 GiB and more together. INTERNAL: LibTorch's zip writer failed.
absl::StatusOr<std::string> SerializeTorchPickle(const TensorMap& tensors);

// Whole or not at all. Errors of SerializeTorchPickle and of common/files.h.
absl::Status WriteTorchPickle(const std::filesystem::path& path, const TensorMap& tensors);

}  // namespace atelier::models
