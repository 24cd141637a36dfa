#include "server/datasets/dataset_facts.h"

#include <cstdint>
#include <string_view>

#include "common/errors.h"
#include "common/files.h"
#include "common/picture_task.h"
#include "common/printable.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"

namespace atelier::server {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxLicense = 200;
constexpr std::size_t kMaxSource = 1000;
constexpr std::size_t kMaxDescription = 4000;
constexpr std::uint64_t kMaxFactsBytes = 64 << 10;

absl::Status CheckText(std::string_view field, std::string_view text, std::size_t most,
                       bool one_line) {
  if (text.size() > most) {
    return InvalidField(field, "is longer than " + std::to_string(most) + " bytes");
  }
  if (one_line && !IsPrintable(text)) {
    return InvalidField(field, "must be one line of UTF-8 without control characters");
  }
  if (!IsPrintableText(text)) {
    return InvalidField(field, "must be UTF-8 without control characters but line feeds and tabs");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckDatasetFacts(const DatasetFacts& facts) {
  ATELIER_RETURN_IF_ERROR(CheckText("license", facts.license, kMaxLicense, /*one_line=*/true));
  ATELIER_RETURN_IF_ERROR(CheckText("source", facts.source, kMaxSource, /*one_line=*/true));
  return CheckText("description", facts.description, kMaxDescription, /*one_line=*/false);
}

absl::Status WriteDatasetFacts(const std::filesystem::path& folder, const DatasetFacts& facts) {
  Json json = {{"format", 1},
               {"license", facts.license},
               {"source", facts.source},
               {"description", facts.description},
               {"create_time_us", absl::ToUnixMicros(facts.created)}};
  if (facts.updated.has_value()) {
    json["update_time_us"] = absl::ToUnixMicros(*facts.updated);
  }
  return WriteFileAtomically(folder / kDatasetFile,
                             json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

std::optional<DatasetFacts> ReadDatasetFacts(const std::filesystem::path& folder) {
  const absl::StatusOr<std::string> text = ReadFile(folder / kDatasetFile, kMaxFactsBytes);
  if (!text.ok()) {
    return std::nullopt;
  }
  try {
    const Json json = Json::parse(*text);
    DatasetFacts facts;
    facts.license = json.at("license");
    facts.source = json.at("source");
    facts.description = json.at("description");
    facts.created = absl::FromUnixMicros(json.at("create_time_us"));
    if (json.contains("update_time_us")) {
      facts.updated = absl::FromUnixMicros(json.at("update_time_us"));
    }
    return facts;
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

}  // namespace atelier::server
