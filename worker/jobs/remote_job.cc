#include "worker/jobs/remote_job.h"

#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "common/confined_path.h"
#include "common/posix_file.h"
#include "common/status_macros.h"
#include "worker/files/worker_errors.h"

namespace atelier::worker {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kResume = "resume";
constexpr std::string_view kComplete = "/complete";

// Every folder field of the message but the attempt's.
std::vector<std::string*> FolderFields(internal::v1::StartJob& start) {
  std::vector<std::string*> fields = {
      start.mutable_content_directory(), start.mutable_style_directory(),
      start.mutable_resume_directory(), start.mutable_init_directory(),
      start.mutable_source_directory()};
  for (std::string& folder : *start.mutable_model_directories()) {
    fields.push_back(&folder);
  }
  for (std::string& folder : *start.mutable_earlier_directories()) {
    fields.push_back(&folder);
  }
  return fields;
}

}  // namespace

std::vector<RemoteFile> ChooseResumed(std::vector<RemoteFile> files) {
  const auto folder_of = [](const std::string& path) { return path.substr(0, path.rfind('/')); };
  std::set<std::string> whole;
  for (const RemoteFile& file : files) {
    if (file.path.starts_with("checkpoints/step-") && file.path.ends_with(kComplete)) {
      whole.insert(folder_of(file.path));
    }
  }
  std::erase_if(files, [&](const RemoteFile& file) {
    return file.path != "stats.jsonl" && !file.path.starts_with("samples/") &&
           !whole.contains(folder_of(file.path));
  });
  return files;
}

absl::StatusOr<std::unique_ptr<RemoteJob>> RemoteJob::Fetch(const internal::v1::StartJob& told,
                                                            BlobCache& cache, FilesClient& client,
                                                            const FolderFetch::Options& options) {
  ATELIER_ASSIGN_OR_RETURN(std::unique_ptr<WorkFolder> work, cache.NewWorkFolder());
  const fs::path inputs = work->path() / "inputs";
  std::unique_ptr<RemoteJob> job(new RemoteJob(std::move(work)));
  job->attempt_ = job->work_->path() / "attempt";
  job->attempt_name_ = told.attempt_directory();
  job->start_ = told;
  job->start_.set_attempt_directory(job->attempt_.string());
  std::error_code error;
  if (!fs::create_directory(job->attempt_, error)) {
    return OnWorker(WriteErrno(error.value(), job->attempt_));
  }
  std::set<std::string> named;
  std::vector<WantedFolder> folders;
  for (std::string* field : FolderFields(job->start_)) {
    if (field->empty()) {
      continue;
    }
    ATELIER_RETURN_IF_ERROR(CheckConfinedPath("the server's folder", *field));
    const std::string name = field->substr(0, field->find('/'));
    if (named.insert(name).second) {
      folders.push_back({.name = name, .target = inputs / name});
      folders.back().choose = name == kResume ? ChooseResumed : nullptr;
    }
    *field = (inputs / *field).string();
  }
  FolderFetch fetch(client, cache, *job->work_, options);
  ATELIER_RETURN_IF_ERROR(fetch.Run(folders));
  return job;
}

}  // namespace atelier::worker
