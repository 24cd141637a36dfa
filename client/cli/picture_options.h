// What the commands that make pictures (stylize, generate) have in common.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "client/cli/output.h"
#include "client/cli/picture_plan.h"
#include "client/cli/session.h"
#include "nlohmann/json.hpp"

namespace atelier::cli {

struct PictureOptions {
  std::optional<std::uint32_t> size;
  std::optional<std::uint64_t> seed;
  std::string precision;
  std::string format;
  std::optional<std::uint32_t> quality;
  std::string deadline = "60";
};

// --precision, --format, --quality and --deadline. The help says "default `default_format`" and
// "The most time for `covered`"; --size and --seed mean something else in each command.
void AddOutputOptions(CLI::App& command, PictureOptions& options, const std::string& default_format,
                      const std::string& covered);

// Sets what was given: size, seed, precision, quality. The format comes with the plan.
template <typename Request>
void SetPictureOptions(const PictureOptions& options, Request& request) {
  if (options.size.has_value()) {
    request.set_size(*options.size);
  }
  if (options.seed.has_value()) {
    request.set_seed(*options.seed);
  }
  if (const std::optional<v1::Precision> precision = PrecisionOf(options.precision)) {
    request.set_precision(*precision);
  }
  if (options.quality.has_value()) {
    request.set_quality(*options.quality);
  }
}

// Creates the folder of a plan; an empty path needs none. The status' message is for people.
absl::Status MakeFolder(const std::filesystem::path& folder);

// The files as JSON: names need not be UTF-8, PrintJson sees to that.
nlohmann::ordered_json FilesJson(const std::vector<std::filesystem::path>& files);

}  // namespace atelier::cli
