// What atelier-server and `atelier-worker --role convert` tell each other when pictures are added
// to a data set, or a sample of one is drawn: the files of one task, in a folder of its own. A
// process of its own does it, because it reads what strangers sent: it may be killed at any
// instant, and what it leaves is that folder. How it ended is told as in common/convert_task.h.
// Functions block on the disk; thread-safe for different folders.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace atelier {

// Names in the folder of a task.
inline constexpr char kGatheredSet[] = "set";        // the data set's new folder
inline constexpr char kSampleFile[] = "sample.jpg";  // the sample; none: no readable picture

// Beside the pictures of a set: the contents' hashes, a line a picture, "SHA256 SIZE PATH".
inline constexpr char kPictureIndex[] = ".index";
// Beside the pictures of a set: what is known of it (server/datasets/dataset_facts.h).
inline constexpr char kDatasetFile[] = "dataset.json";
// Beside the files "0", "1", ... of an upload of pictures: a line for each, in order.
inline constexpr char kUploadList[] = "files.jsonl";

struct UploadedFile {
  std::string name;  // of ParsePicturePath; of an archive its file name
  std::uint64_t size = 0;
  std::string sha256;
};
std::string UploadedFileLine(const UploadedFile& file);  // with its line feed
// The whole lines of the list in `folder`, up to one that is cut off or damaged. INTERNAL.
absl::StatusOr<std::vector<UploadedFile>> ReadUploadList(const std::filesystem::path& folder);

struct GatherLimits {
  std::uint64_t max_pictures = 0;     // of the set as it will be
  std::uint64_t max_set_bytes = 0;    // of the set as it will be
  std::uint64_t max_added_bytes = 0;  // all sets together have room for
  std::uint64_t max_entries = 0;      // of an archive or a folder, pictures or not
};

// Makes kGatheredSet of what the set holds (by hard links) and new pictures.
struct GatherTask {
  enum class Source {
    kUpload,   // `from`: a folder with kUploadList
    kArchive,  // `from`: a tar or zip file
    kFolder,   // `from`: a folder of the server's operator, `below` a path in it
  };
  Source source = Source::kUpload;
  std::filesystem::path from;
  std::filesystem::path below;
  std::filesystem::path set;  // the present folder
  bool skip_bad = false;
  GatherLimits limits;
};

// Draws kSampleFile of these pictures.
struct SampleTask {
  std::filesystem::path directory;
  std::vector<std::string> pictures;  // paths below it; at most 16
};

struct PictureTask {
  // Bounds of the process: bytes of memory of its own, and bytes of one file.
  std::uint64_t memory_bytes = 0;
  std::uint64_t file_bytes = 0;
  std::variant<GatherTask, SampleTask> work;
};

// Errors of WriteFileAtomically.
absl::Status WritePictureTask(const std::filesystem::path& folder, const PictureTask& task);
bool HoldsPictureTask(const std::filesystem::path& folder);
// INTERNAL: there is none, or it is malformed.
absl::StatusOr<PictureTask> ReadPictureTask(const std::filesystem::path& folder);

// What a GatherTask came to; as atelier.v1.DatasetAddition.
struct GatherReport {
  std::uint64_t added = 0;
  std::uint64_t added_bytes = 0;
  std::uint64_t duplicates = 0;
  std::uint64_t skipped = 0;
  std::vector<std::string> notes;
};
inline constexpr std::size_t kMaxNotes = 20;

// Errors of WriteFileAtomically.
absl::Status WriteGatherReport(const std::filesystem::path& folder, const GatherReport& report);
// INTERNAL: there is none, or it is malformed.
absl::StatusOr<GatherReport> ReadGatherReport(const std::filesystem::path& folder);

}  // namespace atelier
