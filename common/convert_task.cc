#include "common/convert_task.h"

#include <string_view>
#include <utility>

#include "common/errors.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"

namespace atelier {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr char kTaskFile[] = "task.json";
constexpr char kOutcomeFile[] = "outcome.json";
constexpr std::uint64_t kMaxBytes = 1 << 20;

constexpr std::pair<WeightsFormat, std::string_view> kFormats[] = {
    {WeightsFormat::kSafetensors, "safetensors"},
    {WeightsFormat::kTorchPickle, "pth"},
    {WeightsFormat::kTorchScript, "torchscript"}};

Json ToJson(const ImportTask& task) {
  return {{"family", task.family},
          {"precision", task.precision.has_value() ? PrecisionName(*task.precision) : ""},
          {"file_name", task.file_name},
          {"sha256", task.sha256},
          {"source", task.source},
          {"license", task.license},
          {"card", task.card}};
}

Json ToJson(const ExportTask& task) {
  std::string_view format;
  for (const auto& [value, name] : kFormats) {
    format = value == task.format ? name : format;
  }
  return {{"model", task.model.string()}, {"format", format}};
}

// Throws nlohmann::json::exception where the JSON is of another form.
ImportTask ToImportTask(const Json& json) {
  ImportTask task;
  task.family = json.at("family");
  task.precision = PrecisionNamed(json.at("precision").get<std::string>());
  task.file_name = json.at("file_name");
  task.sha256 = json.at("sha256");
  task.source = json.at("source");
  task.license = json.at("license");
  task.card = json.at("card");
  return task;
}

ExportTask ToExportTask(const Json& json) {
  ExportTask task;
  task.model = json.at("model").get<std::string>();
  const std::string format = json.at("format");
  for (const auto& [value, name] : kFormats) {
    task.format = name == format ? value : task.format;
  }
  return task;
}

}  // namespace

absl::Status WriteConvertTask(const fs::path& folder, const ConvertTask& task) {
  Json json = {{"memory_bytes", task.memory_bytes}, {"file_bytes", task.file_bytes}};
  if (const auto* import = std::get_if<ImportTask>(&task.work)) {
    json["import"] = ToJson(*import);
  } else {
    json["export"] = ToJson(std::get<ExportTask>(task.work));
  }
  // File names need not be UTF-8.
  return WriteFileAtomically(folder / kTaskFile,
                             json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

absl::StatusOr<ConvertTask> ReadConvertTask(const fs::path& folder) {
  const absl::StatusOr<std::string> text = ReadFile(folder / kTaskFile, kMaxBytes);
  if (!text.ok()) {
    return absl::InternalError("The conversion's task cannot be read.");
  }
  try {
    const Json json = Json::parse(*text);
    ConvertTask task;
    task.memory_bytes = json.at("memory_bytes");
    task.file_bytes = json.at("file_bytes");
    if (json.contains("import")) {
      task.work = ToImportTask(json.at("import"));
    } else {
      task.work = ToExportTask(json.at("export"));
    }
    return task;
  } catch (const Json::exception&) {
    return absl::InternalError("The conversion's task is malformed.");
  }
}

absl::Status WriteConvertOutcome(const fs::path& folder, const absl::Status& outcome) {
  const Json json = {{"code", static_cast<int>(outcome.code())},
                     {"message", std::string(outcome.message())},
                     {"field", FieldOf(outcome).value_or("")}};
  return WriteFileAtomically(folder / kOutcomeFile,
                             json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

std::optional<absl::Status> ReadConvertOutcome(const fs::path& folder) {
  const absl::StatusOr<std::string> text = ReadFile(folder / kOutcomeFile, kMaxBytes);
  if (!text.ok()) {
    return std::nullopt;
  }
  try {
    const Json json = Json::parse(*text);
    const std::string message = json.at("message");
    const std::string field = json.at("field");
    const std::string start = field + ": ";
    // The message has the field in front already.
    return !field.empty() && message.starts_with(start)
               ? InvalidField(field, message.substr(start.size()))
               : absl::Status(static_cast<absl::StatusCode>(json.at("code").get<int>()), message);
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

}  // namespace atelier
