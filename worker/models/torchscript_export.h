// Writes a generator as TorchScript that PyTorch runs without Atelier, from C++ and from Python.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/models/expected_shapes.h"
#include "worker/nn/generator.h"

namespace atelier::models {

// The network with its weights as a program: forward(x), float [N, 3, H, W] in [-1, 1] to the same,
// for every H and W >= 16, in evaluation mode; the state dict has the reference's names. fp32 and
// on the CPU; the program may be moved to other devices.
//
// `generator`: fp32, on the CPU, of the architecture `architecture`; left in evaluation mode. The
// program is read back and compared with it on two pictures of different sizes, of which neither is
// a multiple of what the network divides by. Not thread-safe for one generator.
//
// UNIMPLEMENTED: see TorchScriptSource; INVALID_ARGUMENT: the generator is not of this
// architecture; INTERNAL: the results differ by more than kParityTolerance, or LibTorch failed.
absl::StatusOr<std::string> SerializeTorchScript(nn::Generator& generator,
                                                 const Architecture& architecture);

// Whole or not at all. Errors of SerializeTorchScript and of common/files.h.
absl::Status WriteTorchScript(const std::filesystem::path& path, nn::Generator& generator,
                              const Architecture& architecture);

// Of pictures in [-1, 1].
inline constexpr double kParityTolerance = 1e-5;

}  // namespace atelier::models
