#include "common/picture_task.h"

#include <fstream>
#include <system_error>

#include "common/files.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"

namespace atelier {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr char kPictureTaskFile[] = "pictures.json";
constexpr char kReportFile[] = "report.json";
constexpr std::uint64_t kMaxTaskBytes = 1 << 20;

// File names of a named folder need not be UTF-8.
absl::Status WriteJson(const fs::path& path, const Json& json) {
  return WriteFileAtomically(path, json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

Json GatherJson(const GatherTask& task) {
  return {{"source", static_cast<int>(task.source)},
          {"from", task.from.string()},
          {"below", task.below.string()},
          {"set", task.set.string()},
          {"skip_bad", task.skip_bad},
          {"max_pictures", task.limits.max_pictures},
          {"max_set_bytes", task.limits.max_set_bytes},
          {"max_added_bytes", task.limits.max_added_bytes},
          {"max_entries", task.limits.max_entries}};
}

// Throw nlohmann::json::exception where the JSON is of another form.
GatherTask ToGatherTask(const Json& json) {
  GatherTask task;
  task.source = static_cast<GatherTask::Source>(json.at("source").get<int>());
  task.from = json.at("from").get<std::string>();
  task.below = json.at("below").get<std::string>();
  task.set = json.at("set").get<std::string>();
  task.skip_bad = json.at("skip_bad");
  task.limits = {.max_pictures = json.at("max_pictures"),
                 .max_set_bytes = json.at("max_set_bytes"),
                 .max_added_bytes = json.at("max_added_bytes"),
                 .max_entries = json.at("max_entries")};
  return task;
}

SampleTask ToSampleTask(const Json& json) {
  SampleTask task;
  task.directory = json.at("directory").get<std::string>();
  task.pictures = json.at("pictures").get<std::vector<std::string>>();
  return task;
}

}  // namespace

std::string UploadedFileLine(const UploadedFile& file) {
  const Json json = {{"name", file.name}, {"size", file.size}, {"sha256", file.sha256}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

absl::StatusOr<std::vector<UploadedFile>> ReadUploadList(const fs::path& folder) {
  std::vector<UploadedFile> files;
  std::ifstream lines(folder / kUploadList);
  try {
    // A line without its end may be half of one.
    for (std::string line; std::getline(lines, line) && !lines.eof();) {
      const Json json = Json::parse(line);
      files.push_back(
          {.name = json.at("name"), .size = json.at("size"), .sha256 = json.at("sha256")});
    }
  } catch (const Json::exception&) {
    // What is behind a damaged line counts for nothing: the client sends it again.
  }
  if (lines.bad()) {
    return absl::InternalError("the upload's list of files cannot be read");
  }
  return files;
}

absl::Status WritePictureTask(const fs::path& folder, const PictureTask& task) {
  Json json = {{"memory_bytes", task.memory_bytes}, {"file_bytes", task.file_bytes}};
  if (const auto* gather = std::get_if<GatherTask>(&task.work)) {
    json["gather"] = GatherJson(*gather);
  } else {
    const auto& sample = std::get<SampleTask>(task.work);
    json["sample"] = {{"directory", sample.directory.string()}, {"pictures", sample.pictures}};
  }
  return WriteJson(folder / kPictureTaskFile, json);
}

bool HoldsPictureTask(const fs::path& folder) {
  std::error_code error;
  return fs::exists(folder / kPictureTaskFile, error);
}

absl::StatusOr<PictureTask> ReadPictureTask(const fs::path& folder) {
  ATELIER_ASSIGN_OR_RETURN(const std::string text,
                           ReadFile(folder / kPictureTaskFile, kMaxTaskBytes));
  try {
    const Json json = Json::parse(text);
    PictureTask task;
    task.memory_bytes = json.at("memory_bytes");
    task.file_bytes = json.at("file_bytes");
    if (json.contains("gather")) {
      task.work = ToGatherTask(json.at("gather"));
    } else {
      task.work = ToSampleTask(json.at("sample"));
    }
    return task;
  } catch (const Json::exception&) {
    return absl::InternalError("The task on pictures is malformed.");
  }
}

absl::Status WriteGatherReport(const fs::path& folder, const GatherReport& report) {
  return WriteJson(folder / kReportFile, {{"added", report.added},
                                          {"added_bytes", report.added_bytes},
                                          {"duplicates", report.duplicates},
                                          {"skipped", report.skipped},
                                          {"notes", report.notes}});
}

absl::StatusOr<GatherReport> ReadGatherReport(const fs::path& folder) {
  ATELIER_ASSIGN_OR_RETURN(const std::string text, ReadFile(folder / kReportFile, kMaxTaskBytes));
  try {
    const Json json = Json::parse(text);
    return GatherReport{.added = json.at("added"),
                        .added_bytes = json.at("added_bytes"),
                        .duplicates = json.at("duplicates"),
                        .skipped = json.at("skipped"),
                        .notes = json.at("notes").get<std::vector<std::string>>()};
  } catch (const Json::exception&) {
    return absl::InternalError("The report on pictures is malformed.");
  }
}

}  // namespace atelier
