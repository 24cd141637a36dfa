// Reads state dicts that Python's torch.save wrote, without running what a pickle can make a reader
// run: only the opcodes and the handful of names that tensors need are known, everything else is
// refused. Both layouts: the old one (a row of pickles, then raw storages; before PyTorch 1.6) and
// the zip one (stored entries, as torch.save writes them). Pure functions, thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "absl/status/statusor.h"
#include "worker/models/safetensors.h"

namespace atelier::models {

// The file's top object must be a dict of names to tensors (or parameters), or a checkpoint: a dict
// that holds exactly one such dict below the names "state_dict", "model_state_dict", "model",
// "generator", "params" or "netG", or below two or three of them. Whatever else a checkpoint holds
// (moments, epochs, discriminators) is left alone. The tensors are contiguous, on the CPU, own
// their memory and are at most as large together as `bytes` itself times two. DATA_LOSS: cut off,
// malformed, anything but tensors in it, or more than a state dict can need (1 M objects).
absl::StatusOr<TensorMap> ParseTorchPickle(std::string_view bytes);

// NOT_FOUND; RESOURCE_EXHAUSTED: larger than `max_bytes`; as above.
absl::StatusOr<TensorMap> ReadTorchPickle(const std::filesystem::path& path,
                                          std::uint64_t max_bytes);

}  // namespace atelier::models
