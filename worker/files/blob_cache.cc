#include "worker/files/blob_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <memory>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "absl/time/time.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "worker/files/cache_lock.h"
#include "worker/files/worker_errors.h"

namespace atelier::worker {
namespace {

namespace fs = std::filesystem;

constexpr mode_t kReadOnly = 0444;

// A file that counts, and may go when it is nobody's.
struct Kept {
  fs::path path;
  std::uint64_t size = 0;
  absl::Time used;
  bool partial = false;
};

struct Inventory {
  std::uint64_t bytes = 0;
  std::uint64_t droppable_bytes = 0;
  std::vector<Kept> droppable;
};

void Count(const fs::path& path, bool partial, const std::set<fs::path>& wanted, Inventory& all) {
  struct stat facts = {};
  if (::lstat(path.c_str(), &facts) != 0 || !S_ISREG(facts.st_mode)) {
    return;
  }
  const auto size = static_cast<std::uint64_t>(facts.st_size);
  all.bytes += size;
  if (facts.st_nlink == 1 && !wanted.contains(path)) {
    all.droppable_bytes += size;
    all.droppable.push_back({.path = path,
                             .size = size,
                             .used = absl::TimeFromTimespec(facts.st_mtim),
                             .partial = partial});
  }
}

Inventory TakeInventory(const fs::path& directory, const std::set<fs::path>& wanted) {
  Inventory all;
  for (const bool partial : {false, true}) {
    std::error_code error;
    for (fs::recursive_directory_iterator it(directory / (partial ? "partial" : "blobs"), error),
         end;
         !error && it != end; it.increment(error)) {
      Count(it->path(), partial, wanted, all);
    }
  }
  return all;
}

// One that is being written is its writer's.
bool Drop(const Kept& kept) {
  const std::optional<Descriptor> free =
      kept.partial ? TryLockFile(kept.path) : std::optional<Descriptor>(Descriptor(-1));
  return free.has_value() && ::unlink(kept.path.c_str()) == 0;
}

absl::Status CacheErrno(int error, const fs::path& path) {
  return OnWorker(WriteErrno(error, path));
}

// A file of this name that is this process's to write, new or left over.
absl::StatusOr<Descriptor> LockForWriting(const fs::path& path) {
  while (true) {
    absl::StatusOr<Descriptor> file = LockFile(path);
    // Whoever makes room drops files that nobody has locked, also one that was made just now.
    if (!file.ok() || IsStillNamed(*file, path)) {
      return file;
    }
  }
}

std::string Mebibytes(std::uint64_t bytes) {
  return std::to_string((bytes + (1U << 20U) - 1) >> 20U) + " MiB";
}

}  // namespace

absl::Status LinkOrCopy(const fs::path& file, const fs::path& target) {
  ::unlink(target.c_str());
  if (::link(file.c_str(), target.c_str()) == 0) {
    return absl::OkStatus();
  }
  if (errno != EMLINK && errno != EPERM && errno != ENOTSUP && errno != EXDEV) {
    return errno == ENOENT ? ErrnoStatus(errno, "read", file) : CacheErrno(errno, target);
  }
  std::error_code error;
  fs::copy_file(file, target, error);
  return error ? CacheErrno(error.value(), target) : absl::OkStatus();
}

BlobWriter::~BlobWriter() {
  if (!shared_) {
    ::unlink(partial_.c_str());
  }
}

absl::Status BlobWriter::TakeUp() {
  constexpr std::size_t kChunk = 256 << 10;
  const auto buffer = std::make_unique<char[]>(kChunk);
  while (true) {
    const ssize_t count = ::read(file_.get(), buffer.get(), kChunk);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      return OnWorker(ErrnoStatus(errno, "read", partial_));
    }
    if (count == 0) {
      return absl::OkStatus();
    }
    hash_.Add({buffer.get(), static_cast<std::size_t>(count)});
    offset_ += static_cast<std::uint64_t>(count);
  }
}

absl::Status BlobWriter::Damaged(std::string_view what) {
  // The name goes with the bytes: the next try must begin anew.
  ::unlink(partial_.c_str());
  return absl::DataLossError("a file came from the server " + std::string(what));
}

absl::Status BlobWriter::Append(std::string_view bytes) {
  if (bytes.size() > blob_.size - std::min(offset_, blob_.size)) {
    return Damaged("longer than it said");
  }
  hash_.Add(bytes);
  if (const int error = WriteAll(file_, bytes); error != 0) {
    return CacheErrno(error, partial_);
  }
  offset_ += bytes.size();
  return absl::OkStatus();
}

absl::Status BlobWriter::Commit(const fs::path& target) {
  if (offset_ != blob_.size) {
    return Damaged("shorter than it said");
  }
  if (hash_.Hex() != blob_.sha256) {
    return Damaged("with another SHA-256 than it said");
  }
  if (::fchmod(file_.get(), kReadOnly) != 0) {
    return CacheErrno(errno, partial_);
  }
  // In this order: a blob without a second name could be dropped at once by another process.
  ATELIER_RETURN_IF_ERROR(OnWorker(LinkOrCopy(partial_, target)));
  return ::rename(partial_.c_str(), final_path_.c_str()) == 0 ? absl::OkStatus()
                                                              : CacheErrno(errno, final_path_);
}

absl::StatusOr<std::unique_ptr<BlobCache>> BlobCache::Open(Options options) {
  std::error_code error;
  if (fs::create_directories(options.directory, error)) {
    // Data sets of others may be in it.
    fs::permissions(options.directory, fs::perms::owner_all, error);
  }
  for (const char* name : {"blobs", "partial", "work"}) {
    fs::create_directories(options.directory / name, error);
    if (error) {
      return CacheErrno(error.value(), options.directory);
    }
  }
  ATELIER_ASSIGN_OR_RETURN(const Descriptor lock, LockFile(options.directory / "lock"));
  WorkFolder::RemoveDead(options.directory / "work");
  return std::unique_ptr<BlobCache>(new BlobCache(std::move(options)));
}

absl::StatusOr<std::unique_ptr<WorkFolder>> BlobCache::NewWorkFolder() {
  const absl::StatusOr<Descriptor> lock = LockFile(options_.directory / "lock");
  if (!lock.ok()) {
    return OnWorker(lock.status());
  }
  return WorkFolder::Create(options_.directory / "work");
}

fs::path BlobCache::PathOf(const Blob& blob) const {
  return options_.directory / "blobs" / blob.sha256.substr(0, 2) / blob.sha256;
}

fs::path BlobCache::PartialOf(const Blob& blob) const {
  return options_.directory / "partial" / blob.sha256;
}

absl::StatusOr<bool> BlobCache::Link(const Blob& blob, const fs::path& target) {
  const fs::path path = PathOf(blob);
  // Linked first, so that nobody drops it while it is read.
  const absl::Status linked = LinkOrCopy(path, target);
  if (absl::IsNotFound(linked)) {
    return false;
  }
  ATELIER_RETURN_IF_ERROR(linked);
  std::error_code error;
  const std::uint64_t size = fs::file_size(target, error);
  // Read on every use: blobs are not flushed to the disk when they come, and disks forget.
  const absl::StatusOr<std::string> sha256 =
      !error && size == blob.size ? Sha256HexOfFile(target) : std::string();
  if (!sha256.ok() || *sha256 != blob.sha256) {
    ::unlink(target.c_str());
    ::unlink(path.c_str());
    return false;
  }
  // The time of change is the time of the last use.
  ::utimensat(AT_FDCWD, path.c_str(), nullptr, 0);
  return true;
}

absl::Status BlobCache::MakeRoom(WorkFolder& work, const std::vector<Blob>& missing) {
  const absl::StatusOr<Descriptor> lock = LockFile(options_.directory / "lock");
  if (!lock.ok()) {
    return OnWorker(lock.status());
  }
  WorkFolder::RemoveDead(options_.directory / "work");
  std::uint64_t needed = 0;
  std::set<fs::path> begun;
  for (const Blob& blob : missing) {
    std::error_code error;
    const std::uint64_t here = fs::file_size(PartialOf(blob), error);
    needed += blob.size - (error ? 0 : std::min(here, blob.size));
    begun.insert(PartialOf(blob));
  }
  Inventory all = TakeInventory(options_.directory, begun);
  std::uint64_t taken =
      all.bytes + WorkFolder::ReservedBy(options_.directory / "work", work) + needed;
  if (taken - all.droppable_bytes > options_.max_bytes) {
    return absl::ResourceExhaustedError(
        "on the worker: the files do not fit into its cache: " + Mebibytes(needed) +
        " are missing, and of its " + Mebibytes(options_.max_bytes) + " " +
        Mebibytes(taken - needed - all.droppable_bytes) +
        " are in use; start the worker with a larger --cache-bytes");
  }
  std::ranges::sort(all.droppable, {}, &Kept::used);
  for (const Kept& oldest : all.droppable) {
    if (taken <= options_.max_bytes) {
      break;
    }
    taken -= Drop(oldest) ? oldest.size : 0;
  }
  return work.Reserve(needed);
}

absl::StatusOr<std::unique_ptr<BlobWriter>> BlobCache::Write(const Blob& blob) {
  std::error_code error;
  fs::create_directories(PathOf(blob).parent_path(), error);
  if (error) {
    return CacheErrno(error.value(), PathOf(blob));
  }
  fs::path path = PartialOf(blob);
  // Made, if it is not there; whoever gets the lock writes it.
  const int made = Descriptor(OpenRetrying(path, O_RDWR | O_CREAT, 0600)).valid() ? 0 : errno;
  if (made != 0 && made != EACCES) {
    return CacheErrno(made, path);
  }
  std::optional<Descriptor> file = TryLockFile(path, /*writable=*/true);
  const bool shared = file.has_value();
  if (!shared) {
    // Another process fetches the same one, or a crash left one that is read-only already.
    static std::atomic<std::uint64_t> counter{0};
    path += "." + std::to_string(::getpid()) + "-" + std::to_string(++counter);
    absl::StatusOr<Descriptor> own = LockForWriting(path);
    if (!own.ok()) {
      return OnWorker(own.status());
    }
    file.emplace(*std::move(own));
  }
  std::unique_ptr<BlobWriter> writer(
      new BlobWriter(blob, path, PathOf(blob), *std::move(file), shared));
  ATELIER_RETURN_IF_ERROR(writer->TakeUp());
  if (writer->offset() > blob.size) {
    return writer->Damaged("longer than it said");
  }
  return writer;
}

}  // namespace atelier::worker
