// TensorBoard's event files, without TensorFlow or protobuf: a file of records, each a length, a
// checksum, an Event message, a checksum.
//
// Formats: tensorflow/core/lib/io/record_writer.h (TFRecord), tensorflow/core/util/event.proto and
// tensorflow/core/framework/summary.proto.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace atelier::train {

// CRC-32C (Castagnoli), as in RFC 3720, appendix B.4.
std::uint32_t Crc32c(std::string_view bytes);

// One TFRecord around `data`. Checksums are rotated and shifted, as the format wants it.
std::string TfRecord(std::string_view data);

// Not thread-safe. Every call writes whole records and hands them to the system, so that the file
// can be read while it grows. RESOURCE_EXHAUSTED: disk full.
class EventFile {
 public:
  // A new file `events.out.tfevents.SECONDS.MICROSECONDS` in `directory`; names sort by time, which
  // is the order in which TensorBoard reads the files of a folder. `first_step`: the first that may
  // be told here. What earlier files of the folder tell of this step and later ones is then void:
  // it was lost in a crash and is done anew. PERMISSION_DENIED: the folder cannot be written.
  static absl::StatusOr<EventFile> Create(const std::filesystem::path& directory,
                                          std::int64_t first_step, absl::Time now);

  // One point of each curve.
  absl::Status Scalars(std::int64_t step, absl::Time now,
                       const std::map<std::string, double>& values);
  // A picture as it is, JPEG or PNG. What is neither is left out.
  absl::Status Picture(std::int64_t step, absl::Time now, std::string_view tag,
                       std::string_view encoded);

 private:
  absl::Status Write(std::string_view event);

  std::ofstream file_;
};

}  // namespace atelier::train
