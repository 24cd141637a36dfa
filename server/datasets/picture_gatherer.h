// New pictures into a data set, and samples of one, by a process of its own that reads them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/picture_task.h"
#include "server/datasets/dataset_keeper.h"
#include "server/transfer/converter.h"

namespace atelier::server {

// Thread-safe; methods block for as long as the process takes.
class PictureGatherer final {
 public:
  struct Options {
    DatasetKeeper* keeper = nullptr;  // both outlive the object
    Converter* converter = nullptr;
    std::uint64_t max_entries = 100'000;  // of an archive
    std::uint64_t max_files = 1'000'000;  // in an imported folder
  };
  explicit PictureGatherer(const Options& options) : options_(options) {}

  // FAILED_PRECONDITION: there is no program for it.
  absl::Status Ready() const { return options_.converter->Ready(); }

  struct Input {
    GatherTask::Source source = GatherTask::Source::kUpload;
    std::filesystem::path from;  // see GatherTask
    std::filesystem::path below;
    bool skip_bad = false;
    std::string upload;  // its key, for DatasetKeeper::UsedBytes; empty: it is none
    // What all its pictures come to. Set: room for so much is promised to it alone, as far as there
    // is, and it adds no more.
    std::optional<std::uint64_t> bytes;
  };
  struct Result {
    Dataset set;  // as it is now
    GatherReport report;
  };
  // Adds the pictures to the set: all or, after an error, none. `work` is made, emptied and
  // removed; it is on the file system of the sets. Errors of DatasetKeeper::BeginChange and
  // Change::Publish, of Converter::Convert and of worker/gather/sources.h.
  absl::StatusOr<Result> Gather(std::string_view dataset, const Input& input,
                                const std::filesystem::path& work, const std::stop_token& stop);

  // A JPEG of some of the set's pictures; empty when none can be read. NOT_FOUND; errors of
  // Converter::Convert.
  absl::StatusOr<std::string> DrawSample(std::string_view dataset,
                                         const std::filesystem::path& work,
                                         const std::stop_token& stop);

 private:
  // What was promised to one Gather.
  struct Room {
    std::unique_ptr<DatasetKeeper::Promise> quota;
    std::unique_ptr<DiskRoom::Hold> disk;
    std::uint64_t bytes = 0;  // the less of both
  };
  absl::StatusOr<Room> TakeRoom(const Input& input, const std::filesystem::path& work);
  absl::Status Run(const std::filesystem::path& work, PictureTask task,
                   const std::stop_token& stop);

  const Options options_;
};

}  // namespace atelier::server
