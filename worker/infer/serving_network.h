// What loading a model of any kind has in common.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "absl/status/statusor.h"

namespace atelier::infer {

// The bytes of a weights file. DATA_LOSS: their checksum is not `sha256`. The bytes that are hashed
// are the bytes that are returned.
absl::StatusOr<std::string> ReadVerified(const std::filesystem::path& path,
                                         const std::string& sha256);

// INTERNAL: not a batch of pictures, uint8 [N, H, W, 3] with sides of 16 or more.
absl::Status CheckPictures(const at::Tensor& images);

// Of its parameters in memory, when it is used.
std::uint64_t BytesOf(const torch::nn::Module& network);

// Puts a network onto `device`, its floating-point parameters and buffers in `type`, channels last,
// without gradients.
void PrepareToServe(torch::nn::Module& network, torch::Device device, torch::ScalarType type);

}  // namespace atelier::infer
