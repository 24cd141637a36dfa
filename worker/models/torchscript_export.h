// Writes a generator as TorchScript that PyTorch runs without Atelier, from C++ and from Python.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/models/expected_shapes.h"
#include "worker/nn/generator.h"
#include "worker/nn/pattern_generator.h"

namespace atelier::models {

// The network with its weights as a program: forward(x) in evaluation mode, see TorchScriptSource;
// the state dict has the reference's names. fp32 and on the CPU; the program may be moved to other
// devices.
//
// `generator`: fp32, on the CPU, of the architecture `architecture`; left in evaluation mode. The
// program is read back and compared with it: on two pictures of different sizes, of which neither
// is a multiple of what the network divides by, or on noise. Not thread-safe for one generator.
//
// UNIMPLEMENTED: see TorchScriptSource, and generators with labels; INVALID_ARGUMENT: the generator
// is not of this architecture; INTERNAL: the results differ by more than kParityTolerance, or
// LibTorch failed.
absl::StatusOr<std::string> SerializeTorchScript(nn::Generator& generator,
                                                 const Architecture& architecture);
absl::StatusOr<std::string> SerializeTorchScript(nn::PatternGenerator& generator,
                                                 const Architecture& architecture);

// Whole or not at all. Errors of SerializeTorchScript and of common/files.h.
absl::Status WriteTorchScript(const std::filesystem::path& path, nn::Generator& generator,
                              const Architecture& architecture);

// Of pictures in [-1, 1]: about an eightieth of a step of 8-bit pixels. Not less, because both
// sides round: against float64 the program of CUT's generator with 9 blocks and 64 channels is off
// by up to 6e-6, the network by 2e-5. Networks of a few channels agree to 1e-5.
inline constexpr double kParityTolerance = 1e-4;

}  // namespace atelier::models
