#include "server/datasets/picture_gatherer.h"

#include <algorithm>
#include <memory>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/files.h"
#include "common/image_header.h"
#include "common/status_macros.h"
#include "server/store/disk_status.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;

// LibTorch's libraries, a picture of 4096 x 4096 px in several forms, and an index of 200,000.
constexpr std::uint64_t kTaskMemory = 3ULL << 30U;
constexpr std::uint64_t kTaskFile = 64ULL << 20U;
constexpr std::uint64_t kMaxSample = 4 << 20;
constexpr std::size_t kSamplePictures = 16;
constexpr absl::Duration kLimitRetry = absl::Minutes(1);
// In the sentence of the process that max_added_bytes has stopped.
constexpr char kTotalLimit[] = "dataset_limits.max_total_mib";

// A folder that goes at the end of its scope.
class WorkFolder final {
 public:
  explicit WorkFolder(fs::path path) : path_(std::move(path)) {}
  ~WorkFolder() { Remove(); }
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;

  absl::Status Make() {
    Remove();
    std::error_code error;
    fs::create_directory(path_, error);
    return DiskStatus(error);
  }

 private:
  void Remove() {
    std::error_code ignored;  // what stays goes with the upload, or at the next start
    fs::remove_all(path_, ignored);
  }
  const fs::path path_;
};

// The process knows one bound of what it may add, whatever that comes from: `quota`, what all sets
// had room for, or `room`, what the disk had, too.
absl::Status WhatRanOut(const absl::Status& status, const PictureGatherer::Input& input,
                        std::uint64_t quota, std::uint64_t room) {
  if (!input.bytes.has_value() || !absl::IsResourceExhausted(status) ||
      !absl::StrContains(status.message(), kTotalLimit)) {
    return status;
  }
  if (room < quota) {
    return RetryLater(
        kLimitRetry, absl::StrCat("The server's disk has no room for this: there are ", room >> 20U,
                                  " MiB that are neither used nor "
                                  "promised to others."));
  }
  return quota < *input.bytes
             ? status
             : RetryLater(kLimitRetry, "the folder grew while it was imported; import it again");
}

}  // namespace

absl::Status PictureGatherer::Run(const fs::path& work, PictureTask task,
                                  const std::stop_token& stop) {
  task.memory_bytes = kTaskMemory;
  task.file_bytes = kTaskFile;
  ATELIER_RETURN_IF_ERROR(WritePictureTask(work, task));
  const absl::Status outcome = options_.converter->Convert(work, stop);
  if (stop.stop_requested()) {
    return absl::CancelledError("The call was cancelled.");
  }
  // The way from the process carries no delay.
  return absl::IsResourceExhausted(outcome)
             ? RetryLater(kLimitRetry, std::string(outcome.message()))
             : outcome;
}

absl::StatusOr<PictureGatherer::Room> PictureGatherer::TakeRoom(const Input& input,
                                                                const fs::path& work) {
  Room room;
  if (!input.bytes.has_value()) {
    const std::uint64_t most = options_.keeper->limits().max_total_bytes;
    room.bytes = most - std::min(options_.keeper->UsedBytes(input.upload), most);
    return room;
  }
  room.quota = options_.keeper->PromiseUpTo(*input.bytes);
  // What the set has already is linked to, and costs nothing.
  const DiskRoom::Written written = [made = work / kGatheredSet] { return BytesBelow(made); };
  ATELIER_ASSIGN_OR_RETURN(room.disk,
                           options_.keeper->room().TakeUpTo(room.quota->bytes(), written));
  room.bytes = room.disk->bytes();
  return room;
}

absl::StatusOr<PictureGatherer::Result> PictureGatherer::Gather(std::string_view dataset,
                                                                const Input& input,
                                                                const fs::path& work,
                                                                const std::stop_token& stop) {
  ATELIER_RETURN_IF_ERROR(Ready());
  ATELIER_ASSIGN_OR_RETURN(const auto change, options_.keeper->BeginChange(dataset, stop));
  const DatasetLimits& limits = options_.keeper->limits();
  ATELIER_ASSIGN_OR_RETURN(Room room, TakeRoom(input, work));
  WorkFolder folder(work);
  ATELIER_RETURN_IF_ERROR(folder.Make());
  const GatherTask task = {.source = input.source,
                           .from = input.from,
                           .below = input.below,
                           .set = change->set().directory,
                           .skip_bad = input.skip_bad,
                           .limits = {.max_pictures = limits.max_pictures,
                                      .max_set_bytes = limits.max_set_bytes,
                                      .max_added_bytes = room.bytes,
                                      .max_entries = input.source == GatherTask::Source::kFolder
                                                         ? options_.max_files
                                                         : options_.max_entries}};
  if (absl::Status run = Run(work, {.work = task}, stop); !run.ok()) {
    return WhatRanOut(run, input, room.quota == nullptr ? room.bytes : room.quota->bytes(),
                      room.bytes);
  }
  Result result;
  ATELIER_ASSIGN_OR_RETURN(result.report, ReadGatherReport(work));
  if (result.report.added == 0) {
    result.set = change->set();
    return result;
  }
  ATELIER_ASSIGN_OR_RETURN(
      result.set, change->Publish(work / kGatheredSet, input.upload, std::move(room.quota)));
  return result;
}

absl::StatusOr<std::string> PictureGatherer::DrawSample(std::string_view dataset,
                                                        const fs::path& work,
                                                        const std::stop_token& stop) {
  ATELIER_RETURN_IF_ERROR(Ready());
  SampleTask task;
  ATELIER_ASSIGN_OR_RETURN(const Dataset set, options_.keeper->catalog().Find(dataset));
  ATELIER_ASSIGN_OR_RETURN(task.pictures,
                           options_.keeper->catalog().Sample(dataset, kSamplePictures));
  task.directory = set.directory;
  WorkFolder folder(work);
  ATELIER_RETURN_IF_ERROR(folder.Make());
  ATELIER_RETURN_IF_ERROR(Run(work, {.work = std::move(task)}, stop));
  absl::StatusOr<std::string> jpeg = ReadFile(work / kSampleFile, kMaxSample);
  return absl::IsNotFound(jpeg.status()) ? absl::StatusOr<std::string>(std::string()) : jpeg;
}

}  // namespace atelier::server
