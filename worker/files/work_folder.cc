#include "worker/files/work_folder.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <optional>
#include <random>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "common/files.h"
#include "worker/files/cache_lock.h"
#include "worker/files/worker_errors.h"

namespace atelier::worker {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLockEnding = ".lock";
constexpr std::uint64_t kMaxLockBytes = 64;
// Digits of the largest number, so that a new one covers the old one.
constexpr std::size_t kReservedWidth = 20;

fs::path LockOf(const fs::path& folder) { return folder.string() + std::string(kLockEnding); }

std::vector<fs::path> LocksIn(const fs::path& parent) {
  std::vector<fs::path> locks;
  std::error_code error;
  for (fs::directory_iterator it(parent, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == kLockEnding) {
      locks.push_back(it->path());
    }
  }
  return locks;
}

std::string NewWorkName() {
  static const unsigned int process = std::random_device()();
  static std::atomic<std::uint64_t> counter{0};
  return std::to_string(process) + "-" + std::to_string(++counter);
}

}  // namespace

absl::StatusOr<std::unique_ptr<WorkFolder>> WorkFolder::Create(const fs::path& parent) {
  const fs::path path = parent / NewWorkName();
  absl::StatusOr<Descriptor> lock = LockFile(LockOf(path));
  if (!lock.ok()) {
    return OnWorker(lock.status());
  }
  // From here on the destructor cleans up.
  std::unique_ptr<WorkFolder> folder(new WorkFolder(path, *std::move(lock)));
  std::error_code error;
  if (!fs::create_directory(path, error)) {
    return OnWorker(WriteErrno(error ? error.value() : EEXIST, path));
  }
  return folder;
}

WorkFolder::~WorkFolder() {
  std::error_code error;
  fs::remove_all(path_, error);
  fs::remove(LockOf(path_), error);
}

absl::Status WorkFolder::Reserve(std::uint64_t bytes) {
  absl::MutexLock lock(&mu_);
  reserved_ = bytes;
  return Note();
}

void WorkFolder::Arrived(std::uint64_t bytes) {
  absl::MutexLock lock(&mu_);
  reserved_ -= std::min(bytes, reserved_);
  // An old, larger number only makes others more careful than need be.
  Note().IgnoreError();
}

absl::Status WorkFolder::Note() {
  std::string text = std::to_string(reserved_);
  text.insert(0, kReservedWidth - text.size(), '0');
  return ::pwrite(lock_.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size())
             ? absl::OkStatus()
             : OnWorker(WriteErrno(errno, LockOf(path_)));
}

std::uint64_t WorkFolder::ReservedBy(const fs::path& parent, const WorkFolder& own) {
  std::uint64_t sum = 0;
  for (const fs::path& lock : LocksIn(parent)) {
    const absl::StatusOr<std::string> text = ReadFile(lock, kMaxLockBytes);
    std::uint64_t bytes = 0;
    if (lock != LockOf(own.path_) && text.ok() && absl::SimpleAtoi(*text, &bytes)) {
      sum += bytes;
    }
  }
  return sum;
}

void WorkFolder::RemoveDead(const fs::path& parent) {
  for (const fs::path& lock : LocksIn(parent)) {
    const std::optional<Descriptor> dead = TryLockFile(lock);
    if (dead.has_value()) {
      std::error_code error;
      fs::remove_all(parent / lock.stem(), error);
      fs::remove(lock, error);
    }
  }
}

}  // namespace atelier::worker
