#include "common/convert_task.h"

#include <cmath>
#include <map>
#include <string>
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
constexpr std::uint64_t kMaxConvertBytes = 1 << 20;

constexpr std::pair<WeightsFormat, std::string_view> kTaskFormats[] = {
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
  for (const auto& [value, name] : kTaskFormats) {
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
  for (const auto& [value, name] : kTaskFormats) {
    task.format = name == format ? value : task.format;
  }
  return task;
}

Json ToJson(const PublishTask& task) {
  return {{"job_id", task.job_id},
          {"kind", task.kind},
          {"config", task.config},
          {"checkpoint", task.checkpoint.string()},
          {"stats", task.stats.string()},
          {"content_directory", task.content_directory.string()},
          {"style_directory", task.style_directory.string()},
          {"source_model", task.source_model.string()}};
}

PublishTask ToPublishTask(const Json& json) {
  PublishTask task;
  task.job_id = json.at("job_id");
  task.kind = json.at("kind");
  task.config = json.at("config");
  task.checkpoint = json.at("checkpoint").get<std::string>();
  task.stats = json.at("stats").get<std::string>();
  task.content_directory = json.at("content_directory").get<std::string>();
  task.style_directory = json.at("style_directory").get<std::string>();
  task.source_model = json.at("source_model").get<std::string>();
  return task;
}

Json ToJson(const JudgeTask& task) {
  return {{"candidate", task.candidate.string()},
          {"current", task.current.string()},
          {"content_directory", task.content_directory.string()},
          {"style_directory", task.style_directory.string()},
          {"metrics", task.metrics},
          {"pictures", task.pictures},
          {"size", task.size},
          {"seed", task.seed}};
}

JudgeTask ToJudgeTask(const Json& json) {
  JudgeTask task;
  task.candidate = json.at("candidate").get<std::string>();
  task.current = json.at("current").get<std::string>();
  task.content_directory = json.at("content_directory").get<std::string>();
  task.style_directory = json.at("style_directory").get<std::string>();
  task.metrics = json.at("metrics").get<std::vector<std::string>>();
  task.pictures = json.at("pictures");
  task.size = json.at("size");
  task.seed = json.at("seed");
  return task;
}

// The key of a task's kind.
constexpr const char* KeyOf(const ImportTask& /*task*/) { return "import"; }
constexpr const char* KeyOf(const ExportTask& /*task*/) { return "export"; }
constexpr const char* KeyOf(const PublishTask& /*task*/) { return "publish"; }
constexpr const char* KeyOf(const JudgeTask& /*task*/) { return "judge"; }

}  // namespace

absl::Status WriteConvertTask(const fs::path& folder, const ConvertTask& task) {
  Json json = {{"memory_bytes", task.memory_bytes}, {"file_bytes", task.file_bytes}};
  std::visit([&json](const auto& work) { json[KeyOf(work)] = ToJson(work); }, task.work);
  // File names need not be UTF-8.
  return WriteFileAtomically(folder / kTaskFile,
                             json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

absl::StatusOr<ConvertTask> ReadConvertTask(const fs::path& folder) {
  const absl::StatusOr<std::string> text = ReadFile(folder / kTaskFile, kMaxConvertBytes);
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
    } else if (json.contains("publish")) {
      task.work = ToPublishTask(json.at("publish"));
    } else if (json.contains("judge")) {
      task.work = ToJudgeTask(json.at("judge"));
    } else {
      task.work = ToExportTask(json.at("export"));
    }
    return task;
  } catch (const Json::exception&) {
    return absl::InternalError("The conversion's task is malformed.");
  }
}

absl::Status WriteJudgeNumbers(const fs::path& folder, const JudgeNumbers& numbers) {
  // JSON knows finite numbers only.
  const auto finite = [](std::map<std::string, double> values) {
    std::erase_if(values, [](const auto& value) { return !std::isfinite(value.second); });
    return values;
  };
  const Json json = {{"pictures", numbers.pictures},
                     {"candidate", finite(numbers.candidate)},
                     {"current", finite(numbers.current)}};
  return WriteFileAtomically(folder / kConvertNumbers, json.dump(2) + "\n");
}

absl::StatusOr<JudgeNumbers> ReadJudgeNumbers(const fs::path& folder) {
  const absl::StatusOr<std::string> text = ReadFile(folder / kConvertNumbers, kMaxConvertBytes);
  const Json json =
      Json::parse(text.ok() ? *text : std::string(), nullptr, /*allow_exceptions=*/false);
  try {
    JudgeNumbers numbers;
    numbers.pictures = json.at("pictures");
    json.at("candidate").get_to(numbers.candidate);
    json.at("current").get_to(numbers.current);
    return numbers;
  } catch (const Json::exception&) {
    return absl::InternalError("What the models' measurement found cannot be read.");
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
  const absl::StatusOr<std::string> text = ReadFile(folder / kOutcomeFile, kMaxConvertBytes);
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
