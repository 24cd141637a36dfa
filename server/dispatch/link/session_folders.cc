#include "server/dispatch/link/session_folders.h"

#include <utility>

#include "common/confined_path.h"
#include "common/errors.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace atelier::server {
namespace {

constexpr char kAttempt[] = "attempt";

}  // namespace

std::string SessionFolders::Add(std::string name, SharedFolder folder) {
  folders_.insert_or_assign(name, std::move(folder));
  return name;
}

void SessionFolders::NameJob(internal::v1::StartJob& start) {
  using Kind = SharedFolder::Kind;
  const auto name_one = [this](std::string* path, const std::string& name, Kind kind) {
    if (!path->empty()) {
      *path = Add(name, {.path = *path, .kind = kind, .job_id = "", .fence = 0});
    }
  };
  name_one(start.mutable_content_directory(), "content", Kind::kDataset);
  name_one(start.mutable_style_directory(), "style", Kind::kDataset);
  name_one(start.mutable_init_directory(), "init", Kind::kWhole);
  name_one(start.mutable_source_directory(), "source", Kind::kWhole);
  for (int i = 0; i < start.model_directories_size(); ++i) {
    name_one(start.mutable_model_directories(i), JoinText("model-", i), Kind::kWhole);
  }
  for (int i = 0; i < start.earlier_directories_size(); ++i) {
    name_one(start.mutable_earlier_directories(i), JoinText("earlier-", i), Kind::kWhole);
  }
  if (!start.resume_directory().empty()) {
    const std::filesystem::path checkpoint = start.resume_directory();
    const std::filesystem::path attempt = checkpoint.parent_path().parent_path();
    Add("resume", {.path = attempt, .kind = Kind::kWhole, .job_id = "", .fence = 0});
    start.set_resume_directory("resume/" + checkpoint.lexically_relative(attempt).string());
  }
  start.set_attempt_directory(Add(kAttempt, {.path = start.attempt_directory(),
                                             .kind = Kind::kAttempt,
                                             .job_id = start.spec().job_id(),
                                             .fence = start.fence()}));
}

void SessionFolders::NameModels(internal::v1::ServerMessage& message) {
  using internal::v1::ServerMessage;
  switch (message.message_case()) {
    case ServerMessage::kWelcome:
      for (internal::v1::LoadModel& load : *message.mutable_welcome()->mutable_preload()) {
        NameModel(*load.mutable_model());
      }
      return;
    case ServerMessage::kStylizeTask:
      return NameModel(*message.mutable_stylize_task()->mutable_model());
    case ServerMessage::kGenerateTask:
      return NameModel(*message.mutable_generate_task()->mutable_model());
    case ServerMessage::kLoadModel:
      return NameModel(*message.mutable_load_model()->mutable_model());
    case ServerMessage::kUnloadModel:
      return NameModel(*message.mutable_unload_model()->mutable_model());
    default:
      return;
  }
}

void SessionFolders::NameModel(internal::v1::ModelSource& source) {
  source.set_directory(Add(JoinText("model/", source.name(), "/", source.version()),
                           {.path = source.directory(), .job_id = "", .fence = 0}));
}

const SharedFolder* SessionFolders::Find(std::string_view name) const {
  const auto folder = folders_.find(name);
  return folder == folders_.end() ? nullptr : &folder->second;
}

absl::StatusOr<std::string> SessionFolders::ResultPath(std::string_view result) const {
  ATELIER_RETURN_IF_ERROR(CheckConfinedPath("result_directory", result));
  const SharedFolder* attempt = Find(kAttempt);
  if (attempt == nullptr) {
    return InvalidField("result_directory", "is of no attempt");
  }
  return (attempt->path / result).string();
}

}  // namespace atelier::server
