// Keeps the server's folder of an attempt like the one on this machine.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "worker/files/files_client.h"

namespace atelier::worker {

// Not thread-safe. Training writes the folder meanwhile: files get their names when they are whole,
// but for the ones that grow (stats.jsonl, log.txt, events.out.*).
class AttemptMirror {
 public:
  // `folder`: its name for the calls. The client outlives the mirror.
  AttemptMirror(FilesClient& client, std::string folder, std::filesystem::path directory)
      : client_(client), folder_(std::move(folder)), directory_(std::move(directory)) {}

  enum class Pass {
    kAll,      // what is new, changed or gone
    kGrowing,  // only what was added to the files that grow
  };

  // Sends what differs from what was sent before. Files called "complete" go after all others, and
  // before the files that they vouch for are removed; what is hidden or half-done is left out.
  // DATA_LOSS: a file changed while it was sent; FAILED_PRECONDITION: the server has other files
  // than it was sent, the next pass sends the growing ones whole; else errors of
  // FilesClient::Write. After an error the next pass sends again what may not have come.
  absl::Status Run(Pass pass);

  // How many files the server has taken in all: grows also while passes fail.
  std::uint64_t delivered() const { return delivered_; }

 private:
  // How a file was when it was looked at.
  struct Facts {
    ino_t inode = 0;
    std::uint64_t size = 0;  // bytes
    std::int64_t modified_ns = 0;

    bool operator==(const Facts&) const = default;
  };
  using Found = std::map<std::string, Facts>;

  static Facts FactsOf(const struct stat& facts);
  absl::Status Scan(const std::string& folder, Found& found) const;
  std::vector<std::string> ChangesIn(const Found& found, Pass pass) const;
  std::vector<std::string> RemovalsFrom(const Found& found) const;
  absl::Status SendSlice(const std::vector<std::string>& slice, std::uint64_t bytes);
  absl::Status SendRemovals(const std::vector<std::string>& removals);
  // As the file is now; how that was goes into `sent`. Nothing of one that is gone.
  absl::Status SendFile(const std::string& path, FileSink& sink, Found& sent);

  FilesClient& client_;
  const std::string folder_;
  const std::filesystem::path directory_;
  Found sent_;  // what the server has
  std::uint64_t delivered_ = 0;
  // Folders of which a file was gone when its turn came: they are being removed, and nothing
  // vouches for them any more.
  std::set<std::string> vanishing_;
};

}  // namespace atelier::worker
