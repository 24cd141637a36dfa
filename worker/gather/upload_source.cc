#include <string>
#include <vector>

#include "common/files.h"
#include "common/image_header.h"
#include "common/status_macros.h"
#include "worker/gather/sources.h"

namespace atelier::gather {

const char* FieldOfSource(GatherTask::Source source) {
  switch (source) {
    case GatherTask::Source::kUpload:
      return "file";
    case GatherTask::Source::kArchive:
      return "archive";
    case GatherTask::Source::kFolder:
      return "folder";
  }
  return "";
}

absl::Status AddUpload(const std::filesystem::path& folder, PictureSet& set) {
  ATELIER_ASSIGN_OR_RETURN(const std::vector<UploadedFile> files, ReadUploadList(folder));
  for (std::size_t i = 0; i < files.size(); ++i) {
    const UploadedFile& file = files[i];
    ATELIER_ASSIGN_OR_RETURN(const PicturePath path, ParsePicturePath(set.field(), file.name));
    const std::filesystem::path stored = folder / std::to_string(i);
    const absl::StatusOr<std::string> bytes = ReadFile(stored, kMaxImageBytes);
    if (!bytes.ok() || Sha256Hex(*bytes) != file.sha256) {
      return absl::DataLossError("The server's copy of " + QuotedName(file.name) +
                                 " was damaged before it could be added; send it again.");
    }
    ATELIER_RETURN_IF_ERROR(set.Add(path, *bytes, stored));
  }
  return absl::OkStatus();
}

}  // namespace atelier::gather
