#include "worker/files/attempt_mirror.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <system_error>
#include <utility>

#include "absl/time/time.h"
#include "common/posix_file.h"
#include "common/sha256.h"
#include "common/status_macros.h"

namespace atelier::worker {
namespace {

namespace fs = std::filesystem;

// A call carries no more than this, so that a break costs little.
constexpr std::size_t kMaxFilesACall = 200;
constexpr std::uint64_t kMaxBytesACall = 1ULL << 30U;

constexpr std::string_view kVouching = "complete";

std::string NameIn(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string FolderIn(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

// Whether it is the folder of a whole training run: the attempt's, or that of a sweep's cell
// (worker/kinds/sweep_cells.h).
bool IsRunFolder(const std::string& folder) {
  return folder.empty() || FolderIn(folder) == "cells";
}

// Hidden, which is whatever is no artifact and this machine's own business, or not yet whole.
// Elsewhere names are of the pictures that the job makes, and may be any.
bool IsLeftOut(const std::string& folder, const std::string& name) {
  if (name.starts_with('.')) {
    return true;
  }
  if (NameIn(folder) == "checkpoints" && IsRunFolder(FolderIn(folder))) {
    return name.starts_with("tmp-");
  }
  return IsRunFolder(folder) && name == "result.tmp";
}

bool Grows(const std::string& path) {
  const std::string name = NameIn(path);
  return name == "stats.jsonl" || name == "log.txt" || name.starts_with("events.out.");
}

bool Vouches(const std::string& path) { return NameIn(path) == kVouching; }

// Hands the bytes from..from+size of an open file to `take`, which returns false to end it. False
// when the file is shorter.
template <typename Take>
bool ForEachPiece(const Descriptor& file, std::uint64_t from, std::uint64_t size, Take take) {
  const auto buffer = std::make_unique<char[]>(kFileChunkBytes);
  while (size > 0) {
    const ssize_t count =
        ::pread(file.get(), buffer.get(), std::min<std::uint64_t>(size, kFileChunkBytes),
                static_cast<off_t>(from));
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count <= 0) {
      return false;
    }
    if (!take(std::string_view(buffer.get(), static_cast<std::size_t>(count)))) {
      return true;
    }
    from += static_cast<std::uint64_t>(count);
    size -= static_cast<std::uint64_t>(count);
  }
  return true;
}

}  // namespace

absl::Status AttemptMirror::Run(Pass pass) {
  Found found;
  ATELIER_RETURN_IF_ERROR(Scan("", found));
  vanishing_.clear();
  std::vector<std::string> slice;
  std::uint64_t bytes = 0;
  for (const std::string& path : ChangesIn(found, pass)) {
    const std::uint64_t size = found.at(path).size;
    if (!slice.empty() && (slice.size() == kMaxFilesACall || bytes + size > kMaxBytesACall)) {
      ATELIER_RETURN_IF_ERROR(SendSlice(slice, bytes));
      slice.clear();
      bytes = 0;
    }
    slice.push_back(path);
    bytes += size;
  }
  if (!slice.empty()) {
    ATELIER_RETURN_IF_ERROR(SendSlice(slice, bytes));
  }
  const std::vector<std::string> removals =
      pass == Pass::kAll ? RemovalsFrom(found) : std::vector<std::string>();
  return removals.empty() ? absl::OkStatus() : SendRemovals(removals);
}

absl::Status AttemptMirror::Scan(const std::string& folder, Found& found) const {
  std::error_code error;
  fs::directory_iterator it(directory_ / folder, error);
  if (error && folder.empty()) {
    return absl::DataLossError("the folder of the attempt is gone from the worker's disk");
  }
  for (const fs::directory_iterator end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    struct stat facts = {};
    if (IsLeftOut(folder, name) || ::lstat(it->path().c_str(), &facts) != 0) {
      continue;
    }
    const std::string path = folder.empty() ? name : folder + "/" + name;
    if (S_ISDIR(facts.st_mode)) {
      ATELIER_RETURN_IF_ERROR(Scan(path, found));
    } else if (S_ISREG(facts.st_mode)) {
      found[path] = FactsOf(facts);
    }
  }
  // A folder that went away while it was read is no error: what it held is gone.
  return !error || error == std::errc::no_such_file_or_directory
             ? absl::OkStatus()
             : absl::InternalError("the folder of the attempt cannot be read: " + error.message());
}

AttemptMirror::Facts AttemptMirror::FactsOf(const struct stat& facts) {
  return {.inode = facts.st_ino,
          .size = static_cast<std::uint64_t>(facts.st_size),
          .modified_ns = absl::ToUnixNanos(absl::TimeFromTimespec(facts.st_mtim))};
}

std::vector<std::string> AttemptMirror::ChangesIn(const Found& found, Pass pass) const {
  std::vector<std::string> changes;
  for (const auto& [path, facts] : found) {
    const auto before = sent_.find(path);
    const bool same = before != sent_.end() && before->second == facts;
    if (!same && (pass == Pass::kAll || Grows(path))) {
      changes.push_back(path);
    }
  }
  std::ranges::stable_partition(changes, [](const std::string& path) { return !Vouches(path); });
  return changes;
}

std::vector<std::string> AttemptMirror::RemovalsFrom(const Found& found) const {
  std::set<std::string> first;
  std::set<std::string> rest;
  const auto is_there = [this](const std::string& path) {
    std::error_code error;
    return fs::symlink_status(directory_ / path, error).type() != fs::file_type::not_found;
  };
  for (const auto& [path, facts] : sent_) {
    if (found.contains(path) || is_there(path)) {
      continue;
    }
    // As much as is gone with it: its folder, and that one's.
    std::string gone = path;
    for (std::string folder = FolderIn(path); !folder.empty() && !is_there(folder);
         folder = FolderIn(folder)) {
      gone = folder;
    }
    rest.insert(gone);
    const std::string folder = FolderIn(path);
    const std::string vouching = (folder.empty() ? "" : folder + "/") + std::string(kVouching);
    if (sent_.contains(vouching)) {
      first.insert(vouching);
    }
  }
  std::vector<std::string> removals(first.begin(), first.end());
  removals.insert(removals.end(), rest.begin(), rest.end());
  return removals;
}

absl::Status AttemptMirror::SendSlice(const std::vector<std::string>& slice, std::uint64_t bytes) {
  Found sent;
  const absl::Status status = client_.Write(folder_, slice.size(), bytes, [&](FileSink& sink) {
    for (const std::string& path : slice) {
      ATELIER_RETURN_IF_ERROR(SendFile(path, sink, sent));
    }
    return absl::OkStatus();
  });
  for (const std::string& path : slice) {
    if (const auto known = sent.find(path); status.ok() && known != sent.end()) {
      sent_[path] = known->second;
    } else if (!status.ok()) {
      // Nobody knows how much of it has come: it is sent whole next time.
      sent_[path] = Facts();
    }
  }
  delivered_ += status.ok() ? slice.size() : 0;
  return status;
}

absl::Status AttemptMirror::SendRemovals(const std::vector<std::string>& removals) {
  const absl::Status status = client_.Write(folder_, removals.size(), 0, [&](FileSink& sink) {
    for (const std::string& path : removals) {
      if (!sink.Remove(path)) {
        break;
      }
    }
    return absl::OkStatus();
  });
  if (status.ok()) {
    for (const std::string& path : removals) {
      std::erase_if(sent_, [&](const auto& known) {
        return known.first == path || known.first.starts_with(path + "/");
      });
    }
  }
  return status;
}

absl::Status AttemptMirror::SendFile(const std::string& path, FileSink& sink, Found& sent) {
  if (Vouches(path) && vanishing_.contains(FolderIn(path))) {
    return absl::OkStatus();
  }
  const Descriptor file(OpenRetrying(directory_ / path, O_RDONLY | O_NOFOLLOW));
  struct stat facts = {};
  if (!file.valid() || ::fstat(file.get(), &facts) != 0) {
    vanishing_.insert(FolderIn(path));
    return absl::OkStatus();
  }
  const Facts now = FactsOf(facts);
  const auto before = sent_.find(path);
  const bool grown = before != sent_.end() && Grows(path) && before->second.inode == now.inode &&
                     before->second.size < now.size;
  const std::uint64_t from = grown ? before->second.size : 0;
  const auto changed = [&] {
    return absl::DataLossError("\"" + NameIn(path) + "\" changed while it was sent");
  };
  internal::v1::FileHeader header;
  header.set_path(path);
  header.set_size(now.size - from);
  header.set_append_at(from);
  Sha256 hash;
  if (!ForEachPiece(file, from, header.size(), [&](std::string_view piece) {
        hash.Add(piece);
        return true;
      })) {
    return changed();
  }
  header.set_sha256(hash.Hex());
  bool goes_on = sink.Begin(header);
  if (goes_on && !ForEachPiece(file, from, header.size(), [&](std::string_view piece) {
        goes_on = sink.Data(piece);
        return goes_on;
      })) {
    return changed();
  }
  sent[path] = now;
  return absl::OkStatus();
}

}  // namespace atelier::worker
