#include "server/jobs/job_bin.h"

#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "server/jobs/attempt_files.h"
#include "server/jobs/job_state.h"
#include "server/store/disk_status.h"
#include "spdlog/spdlog.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;

// Between a job's id, which has no dots, and its number, which is never given again.
constexpr char kBinDot = '.';
constexpr absl::Duration kTrainerEnds = absl::Seconds(1);

fs::path NameInBin(std::string_view job_id, std::uint64_t number) {
  return absl::StrCat(std::string(job_id), ".", number);
}

std::vector<fs::path> EntriesOf(const fs::path& folder) {
  std::vector<fs::path> entries;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    entries.push_back(it->path());
  }
  return entries;
}

// Whether the job is to start from a checkpoint of `job_id`.
bool StartsFromJob(const v1::JobSpec& spec, std::string_view job_id) {
  const std::string& from =
      spec.has_sweep() ? spec.sweep().train().init_from() : spec.train().init_from();
  const std::string job = absl::StrCat("job:", std::string(job_id));
  return from == job || from.starts_with(job + "@");
}

}  // namespace

absl::Status JobBin::Recover() {
  const absl::MutexLock lock(&mutex_);
  for (const fs::path& entry : EntriesOf(Folder())) {
    const std::string name = entry.filename().string();
    const std::string job_id = name.substr(0, name.find(kBinDot));
    bool there = false;
    ATELIER_RETURN_IF_ERROR(store_.Read([&](store::Reader& reader) -> absl::Status {
      const absl::StatusOr<store::JobRecord> record = reader.GetJob(job_id);
      if (!record.ok()) {
        return absl::IsNotFound(record.status()) ? absl::OkStatus() : record.status();
      }
      there = NameInBin(job_id, record->number) == name;
      return absl::OkStatus();
    }));
    if (there) {
      PutBack(entry, job_id);
    }
  }
  return absl::OkStatus();
}

absl::Status JobBin::Delete(const std::string& job_id, absl::FunctionRef<bool()> has_trainer) {
  const absl::MutexLock lock(&mutex_);
  fs::path moved;
  const absl::Status deleted = store_.Write([&](store::Writer& writer) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(const store::JobRecord record, writer.GetJob(job_id));
    if (!IsFinal(record.job.state())) {
      return absl::FailedPreconditionError(
          absl::StrCat("the job is ", std::string(StateName(record.job.state())),
                       "; only a job that has ended can be deleted: cancel it first"));
    }
    // A trainer that was alive at the end of its job still writes to its folder.
    if (has_trainer()) {
      return RetryLater(kTrainerEnds, "the job's trainer is just ending; delete it in a moment");
    }
    ATELIER_ASSIGN_OR_RETURN(const std::vector<store::JobRecord> others,
                             writer.JobsInStates(UnfinishedStates()));
    for (const store::JobRecord& other : others) {
      const std::string& other_id = other.job.spec().job_id();
      // One that has a checkpoint of its own has left its start behind; the cells of a sweep have
      // not.
      if (StartsFromJob(other.job.spec(), job_id) &&
          FindNewestCheckpoint(jobs_directory_, other_id).directory.empty()) {
        return absl::FailedPreconditionError(absl::StrCat(
            "the job \"", other_id, "\" starts from it; cancel that one, or wait for its end"));
      }
    }
    ATELIER_RETURN_IF_ERROR(writer.DeleteJob(job_id));
    moved = Folder() / NameInBin(job_id, record.number);
    return PutIn(job_id, moved);
  });
  if (!deleted.ok() && !moved.empty()) {
    PutBack(moved, job_id);
  }
  return deleted;
}

absl::Status JobBin::PutIn(const std::string& job_id, const fs::path& to) const {
  std::error_code error;
  fs::create_directories(Folder(), error);
  ATELIER_RETURN_IF_ERROR(DiskStatus(error));
  fs::rename(jobs_directory_ / job_id, to, error);
  if (error == std::errc::no_such_file_or_directory) {
    return absl::OkStatus();  // it never began
  }
  ATELIER_RETURN_IF_ERROR(DiskStatus(error));
  // Before the row goes: a folder without a job would be a later job's of this id.
  ATELIER_RETURN_IF_ERROR(SyncDirectory(Folder()));
  return SyncDirectory(jobs_directory_);
}

void JobBin::PutBack(const fs::path& from, std::string_view job_id) {
  std::error_code error;
  fs::rename(from, jobs_directory_ / std::string(job_id), error);
  if (error && error != std::errc::no_such_file_or_directory) {
    stuck_.insert(from);
    spdlog::warn("job {}: it could not be deleted, and its files cannot be put back: {}", job_id,
                 error.message());
  }
}

fs::path JobBin::Next() {
  const absl::MutexLock lock(&mutex_);
  for (const fs::path& entry : EntriesOf(Folder())) {
    if (!stuck_.contains(entry)) {
      return entry;
    }
  }
  return {};
}

bool JobBin::Empty() {
  const fs::path entry = Next();
  if (entry.empty()) {
    return false;
  }
  std::error_code error;
  fs::remove_all(entry, error);
  if (error) {
    spdlog::warn("the files {} of a deleted job stay until the next start: {}",
                 entry.filename().string(), error.message());
    const absl::MutexLock lock(&mutex_);
    stuck_.insert(entry);
  }
  return true;
}

}  // namespace atelier::server
