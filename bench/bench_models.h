// What benchmarks run: a model folder and a photograph. Free of LibTorch, so that gRPC programs may
// include it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace atelier::bench {

// Writes a servable model with the generator `generator` ("lite", "resnet-9") and weights as
// training starts with. Only speed is measured with it: the time of a generator does not depend on
// its weights' values. `int8`: as a quantize job would leave it; "resnet-9" only. Other seeds make
// other weights, and so another model.
absl::Status WriteUntrainedModel(const std::filesystem::path& directory,
                                 const std::string& generator, bool int8 = false,
                                 std::uint64_t seed = 1);

// A JPEG of side x side pixels with structure at all scales, the same at every call.
absl::StatusOr<std::string> MakePhotograph(int side);

}  // namespace atelier::bench
