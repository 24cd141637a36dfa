// Uploads into data sets: streams of files that may be cut and go on, at the end of which the
// pictures are in the set, all or none.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "atelier/v1/datasets.pb.h"
#include "common/clock.h"
#include "server/datasets/dataset_keeper.h"
#include "server/datasets/picture_gatherer.h"
#include "server/datasets/upload_folder.h"

namespace atelier::server {

// Thread-safe; methods block on the disk, Finish and Import also on the process that looks at the
// pictures.
class DatasetUploads final {
 public:
  struct Options {
    DatasetKeeper* keeper = nullptr;  // both outlive the object
    PictureGatherer* gatherer = nullptr;
    // kUploadsFolder in the keeper's directory, which counts what was promised here; made.
    std::filesystem::path directory;
    std::vector<std::filesystem::path> import_roots;
    Clock* clock = &SystemClock();          // outlives the object
    absl::Duration kept = absl::Hours(24);  // how long an upload waits to be continued
    std::size_t max_open = 64;              // uploads that are not done
  };

  // Forgets what has expired. Errors of DiskStatus.
  static absl::StatusOr<std::unique_ptr<DatasetUploads>> Create(Options options);

  // One stream of an upload. Not thread-safe. When another stream takes the upload over, methods
  // return ABORTED.
  class Stream;

  // Begins or continues an upload. Errors as atelier.v1.DatasetService.UploadDataset tells them.
  absl::StatusOr<std::unique_ptr<Stream>> Begin(const v1::UploadDatasetHeader& header)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // INVALID_ARGUMENT; NOT_FOUND.
  absl::StatusOr<v1::DatasetUpload> Get(std::string_view dataset, std::string_view upload_id)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Those of a set that are not done, sorted by id.
  std::vector<v1::DatasetUpload> List(std::string_view dataset) ABSL_LOCKS_EXCLUDED(mutex_);
  // INVALID_ARGUMENT; NOT_FOUND; FAILED_PRECONDITION: its pictures are just being added.
  absl::Status Delete(std::string_view dataset, std::string_view upload_id)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Deletes a set with its uploads. Errors of DatasetKeeper::DeleteSet.
  absl::Status DeleteSet(std::string_view dataset) ABSL_LOCKS_EXCLUDED(mutex_);

  // INVALID_ARGUMENT naming `folder`: not a relative path, no root has it, or see
  // worker/gather/sources.h; NOT_FOUND; errors of PictureGatherer::Gather.
  absl::StatusOr<PictureGatherer::Result> Import(const v1::ImportDatasetRequest& request,
                                                 const std::stop_token& stop)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // See PictureGatherer::DrawSample.
  absl::StatusOr<std::string> DrawSample(std::string_view dataset, const std::stop_token& stop)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // Who may write to an upload; by its key.
  struct Owner {
    absl::Mutex mutex;
    std::uint64_t stream ABSL_GUARDED_BY(mutex) = 0;  // the newest one; counts up
    bool open ABSL_GUARDED_BY(mutex) = false;         // it has not ended
    bool checking ABSL_GUARDED_BY(mutex) = false;
    // While it is open: for what is still to come, and how much of that has come.
    std::unique_ptr<DiskRoom::Hold> room ABSL_GUARDED_BY(mutex);
    std::shared_ptr<std::atomic<std::uint64_t>> received ABSL_GUARDED_BY(mutex);

    // For a stream that does not begin after all.
    void LeaveUnlessOpen() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
      if (!open) {
        room.reset();
      }
    }
  };

  explicit DatasetUploads(Options options) : options_(std::move(options)) {}

  std::filesystem::path PathOf(const std::string& key) const { return options_.directory / key; }
  std::shared_ptr<Owner> OwnerOf(const std::string& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<v1::DatasetUpload> Describe(const std::string& key)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ForgetExpired() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // But for the limit of all sets, and the disk.
  absl::Status CheckRoom(const v1::UploadDatasetHeader& header, const Dataset& set) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Promises it to the upload's newest stream.
  absl::Status TakeDiskRoom(const v1::UploadDatasetHeader& header, std::uint64_t received,
                            Owner& owner) ABSL_EXCLUSIVE_LOCKS_REQUIRED(owner.mutex);
  absl::StatusOr<std::unique_ptr<UploadFolder>> OpenOrCreate(const v1::UploadDatasetHeader& header,
                                                             const std::string& key, Owner& owner)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_, owner.mutex);
  std::filesystem::path FreshWork();
  absl::Status Remove(const std::string& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  absl::Mutex mutex_;
  std::map<std::string, std::shared_ptr<Owner>> owners_ ABSL_GUARDED_BY(mutex_);
};

class DatasetUploads::Stream final {
 public:
  // Lets another stream continue the upload.
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // What came of it, when it is done already: then nothing needs to be sent.
  const std::optional<PictureGatherer::Result>& done() const { return done_; }

  absl::Status BeginFile(const v1::UploadDatasetFile& file);
  // The file's next bytes. Behind the last of them the file is checked.
  absl::Status Append(std::string_view chunk);
  // All has been sent: adds the pictures.
  absl::StatusOr<PictureGatherer::Result> Finish(const std::stop_token& stop);

 private:
  friend class DatasetUploads;
  Stream(DatasetUploads& uploads, std::string key, v1::UploadDatasetHeader header,
         std::unique_ptr<UploadFolder> folder, std::shared_ptr<Owner> owner, std::uint64_t number,
         std::optional<PictureGatherer::Result> done);

  bool is_archive() const { return header_.kind() == v1::DATASET_UPLOAD_KIND_ARCHIVE; }
  absl::Status CheckOwner() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(owner_->mutex);
  absl::Status CheckFile(const v1::UploadDatasetFile& file) const;
  absl::Status EndFile();
  absl::StatusOr<PictureGatherer::Result> Gather(const std::stop_token& stop);
  // After an error of its contents: another try would end the same way.
  void Forget();

  DatasetUploads& uploads_;
  const std::string key_;
  const v1::UploadDatasetHeader header_;
  const std::unique_ptr<UploadFolder> folder_;
  const std::shared_ptr<Owner> owner_;
  const std::uint64_t number_;
  std::optional<PictureGatherer::Result> done_;
  std::optional<UploadedFile> file_;  // that is coming
};

}  // namespace atelier::server
