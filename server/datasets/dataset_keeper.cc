#include "server/datasets/dataset_keeper.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>  // renameat2
#include <optional>
#include <random>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/files.h"
#include "common/image_header.h"
#include "common/names.h"
#include "common/status_macros.h"
#include "server/datasets/upload_folder.h"
#include "server/store/disk_status.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;

// A set whose new folder is on its way to its place, on file systems that cannot exchange two.
constexpr char kAside[] = ".aside-";
// In the folder of a set that a job made: the job's id.
constexpr char kMadeBy[] = ".made-by";
constexpr std::uint64_t kMaxMakerBytes = 64;

fs::path FreshName(const fs::path& folder) {
  std::random_device random;
  return folder / absl::StrCat(absl::Hex(random()), "-", absl::Hex(random()));
}

absl::Status Rename(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  return DiskStatus(error);
}

// UNIMPLEMENTED: the file system cannot.
absl::Status Exchange(const fs::path& a, const fs::path& b) {
  if (::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0) {
    return absl::OkStatus();
  }
  const int error = errno;
  return error == EINVAL || error == ENOSYS || error == ENOTSUP
             ? absl::UnimplementedError("renameat2")
             : DiskStatus({error, std::generic_category()});
}

}  // namespace

absl::StatusOr<std::unique_ptr<DatasetKeeper>> DatasetKeeper::Create(Options options) {
  std::unique_ptr<DatasetKeeper> keeper(new DatasetKeeper(std::move(options)));
  ATELIER_RETURN_IF_ERROR(keeper->Recover());
  return keeper;
}

absl::Status DatasetKeeper::Recover() const {
  std::error_code error;
  std::vector<fs::path> aside;
  for (fs::directory_iterator it(options_.directory, error), end; !error && it != end;
       it.increment(error)) {
    if (it->path().filename().string().starts_with(kAside)) {
      aside.push_back(it->path());
    }
  }
  for (const fs::path& old : aside) {
    const std::string name = old.filename().string().substr(sizeof(kAside) - 1);
    if (!fs::exists(options_.directory / name, error)) {
      ATELIER_RETURN_IF_ERROR(Rename(old, options_.directory / name));
    } else {
      fs::remove_all(old, error);
    }
  }
  fs::remove_all(Work(), error);
  fs::create_directory(Work(), error);
  return DiskStatus(error);
}

absl::StatusOr<Dataset> DatasetKeeper::CreateSet(const std::string& name, DatasetFacts facts) {
  ATELIER_RETURN_IF_ERROR(CheckName("name", name));
  ATELIER_RETURN_IF_ERROR(CheckDatasetFacts(facts));
  facts.created = options_.clock->Now();
  facts.updated.reset();
  const absl::MutexLock lock(&names_mutex_);
  std::error_code error;
  if (catalog().Find(name).ok() || fs::exists(options_.directory / name, error)) {
    return absl::AlreadyExistsError("there is a data set \"" + name + "\" already");
  }
  ATELIER_RETURN_IF_ERROR(CheckRoomForSet());
  const fs::path made = FreshName(Work());
  fs::create_directory(made, error);
  ATELIER_RETURN_IF_ERROR(DiskStatus(error));
  ATELIER_RETURN_IF_ERROR(WriteDatasetFacts(made, facts));
  ATELIER_RETURN_IF_ERROR(Rename(made, options_.directory / name));
  ATELIER_RETURN_IF_ERROR(SyncDirectory(options_.directory));
  return catalog().Find(name);
}

absl::Status DatasetKeeper::CheckRoomForSet() const {
  std::uint32_t own = 0;
  for (const Dataset& set : catalog().List()) {
    own += set.facts.has_value() ? 1 : 0;
  }
  return own < options_.limits.max_sets
             ? absl::OkStatus()
             : LimitReached("max_sets", absl::StrCat("this server holds ", own,
                                                     " data sets already; delete one"));
}

absl::Status DatasetKeeper::CheckMade(const fs::path& made, const Dataset* old,
                                      const std::string& upload) const {
  SetSize size;
  std::error_code error;
  for (fs::recursive_directory_iterator it(made, error), end; !error && it != end;
       it.increment(error)) {
    if (HasPictureExtension(it->path()) && it->is_regular_file(error)) {
      ++size.pictures;
      size.bytes += it->file_size(error);
    }
  }
  ATELIER_RETURN_IF_ERROR(DiskStatus(error));
  ATELIER_RETURN_IF_ERROR(CheckSetRoom(options_.limits, {}, size));
  const std::uint64_t before = old == nullptr ? 0 : old->bytes;
  return CheckTotalRoom(options_.limits, UsedBytes(upload),
                        size.bytes - std::min(size.bytes, before));
}

absl::Status DatasetKeeper::AddSet(const std::string& name, const std::string& job,
                                   const fs::path& made, DatasetFacts facts) {
  ATELIER_RETURN_IF_ERROR(CheckName("name", name));
  const absl::MutexLock lock(&names_mutex_);
  const fs::path place = options_.directory / name;
  std::error_code error;
  if (!fs::exists(made, error)) {
    // Only this job's own set can have taken its folder away.
    const absl::StatusOr<std::string> maker = ReadFile(place / kMadeBy, kMaxMakerBytes);
    return maker.ok() && *maker == job
               ? absl::OkStatus()
               : absl::InternalError("the pictures of the new data set are gone");
  }
  if (catalog().Find(name).ok() || fs::exists(place, error)) {
    return absl::AlreadyExistsError("there is a data set \"" + name + "\" by now");
  }
  ATELIER_RETURN_IF_ERROR(CheckRoomForSet());
  ATELIER_RETURN_IF_ERROR(CheckMade(made, /*old=*/nullptr, /*upload=*/""));
  facts.created = options_.clock->Now();
  facts.updated = facts.created;
  ATELIER_RETURN_IF_ERROR(WriteFileAtomically(made / kMadeBy, job));
  ATELIER_RETURN_IF_ERROR(WriteDatasetFacts(made, facts));
  ATELIER_RETURN_IF_ERROR(Rename(made, place));
  return SyncDirectory(options_.directory);
}

absl::StatusOr<Dataset> DatasetKeeper::FindOwn(std::string_view name) const {
  ATELIER_ASSIGN_OR_RETURN(Dataset set, catalog().Find(name));
  if (!set.facts.has_value()) {
    return absl::FailedPreconditionError(
        "the data set \"" + set.name +
        "\" is read-only: the server's operator keeps its folder; make one of your own with "
        "CreateDataset");
  }
  return set;
}

absl::Status DatasetKeeper::CheckUses(std::string_view name, bool begun_only) const {
  ATELIER_ASSIGN_OR_RETURN(const std::vector<DatasetUse> uses, options_.uses(name));
  for (const DatasetUse& use : uses) {
    if (begun_only && !use.begun) {
      continue;
    }
    const std::string set = "the data set \"" + std::string(name) + "\" ";
    return absl::FailedPreconditionError(
        begun_only ? set + "cannot change while the job \"" + use.job_id +
                         "\" learns from it: wait for its end, cancel it, or use another set"
                   : set + "is needed by the job \"" + use.job_id +
                         "\", which has not ended: wait for its end, or cancel it");
  }
  return absl::OkStatus();
}

absl::Status DatasetKeeper::DeleteSet(std::string_view name) {
  const fs::path gone = FreshName(Work());
  {
    const absl::MutexLock names_lock(&names_mutex_);
    ATELIER_ASSIGN_OR_RETURN(const Dataset set, FindOwn(name));
    ATELIER_RETURN_IF_ERROR(CheckUses(name, /*begun_only=*/false));
    const absl::MutexLock lock(&mutex_);
    if (changing_.contains(name)) {
      return absl::FailedPreconditionError("pictures are being added to the data set \"" +
                                           set.name + "\": delete it when that is done");
    }
    ATELIER_RETURN_IF_ERROR(Rename(set.directory, gone));
    // A job may have been created since it was looked for; later ones do not find the set.
    if (absl::Status used = CheckUses(name, /*begun_only=*/false); !used.ok()) {
      ATELIER_RETURN_IF_ERROR(Rename(gone, set.directory));
      return used;
    }
  }
  ATELIER_RETURN_IF_ERROR(SyncDirectory(options_.directory));
  std::error_code ignored;  // what stays goes at the next start
  fs::remove_all(gone, ignored);
  return absl::OkStatus();
}

absl::StatusOr<Dataset> DatasetKeeper::FindChangeable(std::string_view name) const {
  ATELIER_ASSIGN_OR_RETURN(Dataset set, FindOwn(name));
  ATELIER_RETURN_IF_ERROR(CheckUses(name, /*begun_only=*/true));
  return set;
}

absl::StatusOr<std::unique_ptr<DatasetKeeper::Change>> DatasetKeeper::BeginChange(
    std::string_view name, const std::stop_token& stop) {
  {
    // Taking the lock makes the wait below look again.
    const std::stop_callback wake(stop, [this] { const absl::MutexLock lock(&mutex_); });
    const absl::MutexLock lock(&mutex_);
    const auto may_go_on = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return stop.stop_requested() || !changing_.contains(name);
    };
    mutex_.Await(absl::Condition(&may_go_on));
    if (stop.stop_requested()) {
      return absl::CancelledError("The call was cancelled.");
    }
    changing_.emplace(name);
  }
  absl::StatusOr<Dataset> set = FindChangeable(name);
  if (!set.ok()) {
    EndChange(std::string(name));
    return set.status();
  }
  return std::unique_ptr<Change>(new Change(*this, *std::move(set)));
}

void DatasetKeeper::EndChange(const std::string& name) {
  const absl::MutexLock lock(&mutex_);
  changing_.erase(name);
}

DatasetKeeper::Change::~Change() { keeper_.EndChange(set_.name); }

std::unique_ptr<DatasetKeeper::Promise> DatasetKeeper::PromiseUpTo(std::uint64_t bytes) {
  const absl::MutexLock lock(&names_mutex_);
  const std::uint64_t used = std::min(UsedBytes(""), options_.limits.max_total_bytes);
  const std::uint64_t promised = std::min(bytes, options_.limits.max_total_bytes - used);
  promised_ += promised;
  return std::unique_ptr<Promise>(new Promise(*this, promised));
}

absl::StatusOr<Dataset> DatasetKeeper::Change::Publish(const fs::path& made,
                                                       const std::string& upload,
                                                       std::unique_ptr<Promise> promise) {
  DatasetFacts facts = *set_.facts;
  facts.updated = keeper_.options_.clock->Now();
  ATELIER_RETURN_IF_ERROR(WriteDatasetFacts(made, facts));
  fs::path old;
  {
    const absl::MutexLock lock(&keeper_.names_mutex_);
    ATELIER_RETURN_IF_ERROR(keeper_.CheckUses(set_.name, /*begun_only=*/true));
    promise.reset();  // nobody else can take it before the pictures do
    // What had room when the work began may not have it any more: other sets grew meanwhile.
    ATELIER_ASSIGN_OR_RETURN(const Dataset present, keeper_.catalog().Find(set_.name));
    ATELIER_RETURN_IF_ERROR(keeper_.CheckMade(made, &present, upload));
    ATELIER_ASSIGN_OR_RETURN(old, keeper_.Replace(made, set_.name));
  }
  std::error_code ignored;  // what stays goes with the upload, or at the next start
  fs::remove_all(old, ignored);
  ATELIER_RETURN_IF_ERROR(SyncDirectory(keeper_.options_.directory));
  return keeper_.catalog().Find(set_.name);
}

absl::StatusOr<fs::path> DatasetKeeper::Replace(const fs::path& made,
                                                const std::string& name) const {
  const fs::path place = options_.directory / name;
  const absl::Status exchanged = Exchange(made, place);
  if (!absl::IsUnimplemented(exchanged)) {
    return exchanged.ok() ? absl::StatusOr<fs::path>(made) : exchanged;
  }
  // A crash in between is mended by Recover.
  fs::path aside = options_.directory / (kAside + name);
  ATELIER_RETURN_IF_ERROR(Rename(place, aside));
  ATELIER_RETURN_IF_ERROR(Rename(made, place));
  return aside;
}

std::uint64_t DatasetKeeper::UsedBytes(const std::string& but_for_upload) const {
  std::uint64_t bytes = promised_;
  for (const Dataset& set : catalog().List()) {
    bytes += set.facts.has_value() ? set.bytes : 0;
  }
  const fs::path uploads = options_.directory / kUploadsFolder;
  for (const std::string& key : UploadKeys(uploads)) {
    const std::optional<UploadFacts> facts = UploadFolder::ReadFacts(uploads / key);
    if (key != but_for_upload && facts.has_value() && !facts->done.has_value()) {
      bytes += facts->bytes;
    }
  }
  return bytes;
}

absl::Status DatasetKeeper::Reserve(std::uint64_t bytes, absl::FunctionRef<absl::Status()> make) {
  const absl::MutexLock lock(&names_mutex_);
  ATELIER_RETURN_IF_ERROR(CheckTotalRoom(options_.limits, UsedBytes(""), bytes));
  return make();
}

}  // namespace atelier::server
