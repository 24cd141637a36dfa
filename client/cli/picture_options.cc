#include "client/cli/picture_options.h"

#include <system_error>

#include "client/cli/validators.h"

namespace atelier::cli {

void AddOutputOptions(CLI::App& command, PictureOptions& options, const std::string& default_format,
                      const std::string& covered) {
  command
      .add_option("--precision", options.precision,
                  "fp32 or bf16, of an int8 model int8; default the model's own")
      ->check(CLI::IsMember({"fp32", "bf16", "int8"}, CLI::ignore_case));
  command.add_option("--format", options.format, "jpeg, png or webp; default " + default_format)
      ->check(CLI::IsMember({"jpeg", "jpg", "png", "webp"}, CLI::ignore_case));
  command.add_option("--quality", options.quality, "For JPEG and WebP, 1 to 100; default 95")
      ->check(InRange(1, 100));
  command
      .add_option("--deadline", options.deadline,
                  "The most time for " + covered + ", for example 90s or 2m; default 60s")
      ->check(IsDeadline());
}

absl::Status MakeFolder(const std::filesystem::path& folder) {
  std::error_code error;
  if (!folder.empty()) {
    std::filesystem::create_directories(folder, error);
  }
  return error ? absl::FailedPreconditionError("cannot create the folder " + folder.string() +
                                               ": " + error.message())
               : absl::OkStatus();
}

nlohmann::ordered_json FilesJson(const std::vector<std::filesystem::path>& files) {
  auto names = nlohmann::ordered_json::array();
  for (const std::filesystem::path& file : files) {
    names.push_back(file.string());
  }
  return names;
}

}  // namespace atelier::cli
