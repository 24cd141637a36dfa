#include "common/dataset_origin.h"

#include <cstdint>

#include "absl/status/statusor.h"
#include "common/files.h"
#include "common/picture_task.h"
#include "nlohmann/json.hpp"

namespace atelier {
namespace {

constexpr std::uint64_t kMaxOriginBytes = 1 << 20;
constexpr std::size_t kMaxOriginText = 1000;

std::string OriginText(const nlohmann::json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_string()) {
    return "";
  }
  std::string text = found->get<std::string>().substr(0, kMaxOriginText);
  for (char& c : text) {
    c = static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
  }
  return text;
}

}  // namespace

DatasetOrigin ReadDatasetOrigin(const std::filesystem::path& directory) {
  const absl::StatusOr<std::string> text = ReadFile(directory / kDatasetFile, kMaxOriginBytes);
  const nlohmann::json json = nlohmann::json::parse(text.ok() ? *text : std::string(), nullptr,
                                                    /*allow_exceptions=*/false);
  return json.is_object() ? DatasetOrigin{.license = OriginText(json, "license"),
                                          .source = OriginText(json, "source")}
                          : DatasetOrigin{};
}

}  // namespace atelier
