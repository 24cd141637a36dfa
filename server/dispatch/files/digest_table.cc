#include "server/dispatch/files/digest_table.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "common/sha256.h"

namespace atelier::server {
namespace {

constexpr std::size_t kBlock = 1U << 20U;
// File systems count in ticks of some milliseconds, and some in seconds: a file may change once
// more without a new time for that long.
constexpr absl::Duration kSettled = absl::Seconds(2);

// Of the first `size` bytes.
absl::StatusOr<std::string> ReadDigest(const Descriptor& file, std::uint64_t size,
                                       absl::FunctionRef<bool()> wanted) {
  Sha256 sha;
  std::vector<char> block(kBlock);
  std::uint64_t offset = 0;
  while (offset < size) {
    if (!wanted()) {
      return absl::CancelledError("nobody waits for the file any more");
    }
    const std::size_t count = std::min<std::uint64_t>(block.size(), size - offset);
    const ssize_t got = ::pread(file.get(), block.data(), count, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return absl::InternalError("the server's disk failed");
    }
    if (got == 0) {
      return absl::NotFoundError("the file has changed meanwhile");
    }
    sha.Add({block.data(), static_cast<std::size_t>(got)});
    offset += static_cast<std::uint64_t>(got);
  }
  return sha.Hex();
}

}  // namespace

std::size_t DigestTable::FactsHash::operator()(const FileFacts& facts) const {
  std::uint64_t hash = facts.inode;
  for (const std::uint64_t part :
       {facts.device, facts.size, static_cast<std::uint64_t>(facts.modified_ns)}) {
    hash = (hash ^ part) * 0x9e3779b97f4a7c15U;  // the golden ratio: neighbours are spread
    hash ^= hash >> 32U;
  }
  return hash;
}

FileFacts FactsOf(const struct stat& facts) {
  return {.device = facts.st_dev,
          .inode = facts.st_ino,
          .size = static_cast<std::uint64_t>(facts.st_size),
          .modified_ns = absl::ToUnixNanos(absl::TimeFromTimespec(facts.st_mtim))};
}

absl::StatusOr<std::string> DigestTable::Of(const Descriptor& file, const FileFacts& facts,
                                            absl::FunctionRef<bool()> wanted) {
  if (std::optional<std::string> known = Find(facts); known.has_value()) {
    return *std::move(known);
  }
  absl::StatusOr<std::string> sha256 = ReadDigest(file, facts.size, wanted);
  struct stat now = {};
  const bool settled = clock_.Now() - absl::FromUnixNanos(facts.modified_ns) > kSettled;
  if (sha256.ok() && settled && ::fstat(file.get(), &now) == 0 && FactsOf(now) == facts) {
    Put(facts, *sha256);
  }
  return sha256;
}

std::optional<std::string> DigestTable::Find(const FileFacts& facts) {
  const absl::MutexLock lock(&mutex_);
  auto known = recent_.find(facts);
  if (known == recent_.end()) {
    const auto old = older_.find(facts);
    if (old == older_.end()) {
      return std::nullopt;
    }
    const Digest digest = old->second;
    older_.erase(old);
    Insert(facts, digest);
    known = recent_.find(facts);
  }
  return absl::BytesToHexString(absl::string_view(known->second.data(), known->second.size()));
}

void DigestTable::Put(const FileFacts& facts, std::string_view sha256) {
  const std::string bytes = absl::HexStringToBytes(std::string(sha256));
  Digest digest = {};
  std::copy_n(bytes.begin(), std::min(bytes.size(), digest.size()), digest.begin());
  const absl::MutexLock lock(&mutex_);
  Insert(facts, digest);
}

void DigestTable::Insert(const FileFacts& facts, const Digest& digest) {
  if (recent_.size() >= std::max<std::size_t>(most_ / 2, 1)) {
    older_ = std::exchange(recent_, {});
  }
  recent_[facts] = digest;
}

std::size_t DigestTable::size() const {
  const absl::MutexLock lock(&mutex_);
  return recent_.size() + older_.size();
}

}  // namespace atelier::server
