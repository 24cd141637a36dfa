// Pictures and archives of this machine into a data set of the server.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/api/client.h"

namespace atelier::client {

// One file of an upload.
struct UploadSource {
  std::filesystem::path path;
  std::string name;  // as UploadDatasetFile has it
  std::uint64_t size = 0;
  std::string sha256;
};

struct UploadPlan {
  v1::DatasetUploadKind kind = v1::DATASET_UPLOAD_KIND_PICTURES;
  std::vector<UploadSource> files;  // sorted by name
  std::uint64_t bytes = 0;
  // Made of the kind and the files' names and contents: the same files again continue, or find
  // done, the same upload.
  std::string upload_id;
  // What lies in the folder and is no picture, or hidden; it is not sent.
  std::uint64_t ignored = 0;
};

// What to send for `inputs`: one archive (.zip, .tar, .tar.gz, .tgz, .tar.bz2, .tar.xz, .tar.zst),
// or pictures and folders of pictures. The folders of a folder are its labels. Reads every file.
// INVALID_ARGUMENT naming `input`: there are no pictures, an archive is not alone, two have the
// same name, or, unless `skip_bad`, one has a header that the server would refuse. NOT_FOUND;
// INTERNAL.
absl::StatusOr<UploadPlan> PlanUpload(const std::vector<std::filesystem::path>& inputs,
                                      bool skip_bad);

struct UploadOptions {
  std::string dataset;
  bool skip_bad = false;
  // How long to try again when the connection or the server goes away, counted from the last time
  // that something arrived, and the pauses between the tries.
  absl::Duration patience = absl::Minutes(5);
  absl::Duration backoff_first = absl::Milliseconds(200);
  absl::Duration backoff_last = absl::Seconds(10);
};

// Bytes that the server has, of all; `done == total` means that it looks at the pictures.
using UploadProgress = std::function<void(std::uint64_t done, std::uint64_t total)>;

// Sends what the server does not have yet, from where an earlier call was cut off on. Errors as
// atelier.v1.DatasetService.UploadDataset tells them; UNAVAILABLE when it cannot go on within
// `patience`.
absl::StatusOr<v1::UploadDatasetResponse> UploadFiles(Client& client, const UploadPlan& plan,
                                                      const UploadOptions& options,
                                                      const UploadProgress& on_progress);

}  // namespace atelier::client
