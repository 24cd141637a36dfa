// A whole model version with random weights: good enough to be loaded and run, not to look at. Free
// of LibTorch headers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace atelier::test {

// Writes model.json, weights.safetensors, card.md and preview.jpg into `directory`, which is made.
// `generator`: a row of the generator table. Returns the sha256 of the weights file. Aborts the
// test program when it cannot.
std::string WriteRandomModel(const std::filesystem::path& directory, std::uint64_t seed,
                             const std::string& generator = "lite");

}  // namespace atelier::test
