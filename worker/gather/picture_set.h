// A data set's new folder: what the set holds already, and the pictures that are added to it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/picture_path.h"
#include "common/picture_task.h"

namespace atelier::gather {

// Not thread-safe; methods block on the disk.
class PictureSet final {
 public:
  struct Options {
    std::filesystem::path present;  // the set's folder; not changed
    std::filesystem::path made;     // made; on the same file system
    std::string field;              // what messages are about: "archive"
    bool skip_bad = false;
    GatherLimits limits;
  };

  // Links all files of the present folder (one level of folders; no hidden ones, no links) into the
  // new one. INTERNAL and the like: the disk.
  static absl::StatusOr<std::unique_ptr<PictureSet>> Create(Options options);

  // Adds one picture: decodes it, and leaves it out if the set has the same bytes already. `file`
  // holds the bytes already, on the same file system; empty: they are written.
  // INVALID_ARGUMENT naming Options::field: it cannot be read (or, with skip_bad, OK and a note);
  // ALREADY_EXISTS: another picture has this name; RESOURCE_EXHAUSTED: a limit, naming it, or the
  // disk is full.
  absl::Status Add(const PicturePath& path, std::string_view bytes,
                   const std::filesystem::path& file = {});

  // A file that is no picture.
  void Skip() { ++report_.skipped; }
  // One that should be a picture but for `sentence`: noted, or INVALID_ARGUMENT.
  absl::Status Refuse(const std::string& name, const std::string& sentence);

  // Writes the index and flushes everything to the disk. INVALID_ARGUMENT: there was no picture.
  absl::StatusOr<GatherReport> Finish();

  const std::string& field() const { return options_.field; }

 private:
  explicit PictureSet(Options options) : options_(std::move(options)) {}

  // The files of the present folder, or of its folder `label`.
  absl::Status LinkPresent(const std::string& label);
  absl::Status LinkFile(const std::filesystem::path& file, const PicturePath& path);
  void ReadIndex();
  absl::Status CheckLimits(std::uint64_t bytes) const;
  absl::Status MakeLabelFolder(const std::string& label);
  absl::Status Place(const PicturePath& path, std::string_view bytes,
                     const std::filesystem::path& file) const;
  void Remember(const std::string& sha256, std::uint64_t size, const PicturePath& path);

  const Options options_;
  // The present index: "SIZE PATH" to hash.
  std::unordered_map<std::string, std::string> known_;
  std::unordered_set<std::string> hashes_;  // of all pictures so far
  std::set<std::string> labels_;            // whose folder is made
  std::string index_;
  std::uint64_t pictures_ = 0;
  std::uint64_t bytes_ = 0;
  GatherReport report_;
};

}  // namespace atelier::gather
