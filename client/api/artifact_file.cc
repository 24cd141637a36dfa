#include "client/api/artifact_file.h"

#include <memory>

#include "common/file_writer.h"
#include "common/status_macros.h"

namespace atelier::client {

absl::StatusOr<v1::Artifact> FetchArtifact(Client& client, const std::string& job_id,
                                           const std::string& path,
                                           const std::filesystem::path& file,
                                           const TransferProgress& on_progress) {
  v1::GetArtifactRequest request;
  request.set_job_id(job_id);
  request.set_path(path);
  v1::Artifact header;
  std::unique_ptr<FileWriter> writer;
  const auto take = [&](const v1::GetArtifactResponse& part) -> absl::Status {
    if (part.has_header() && writer == nullptr) {
      header = part.header();
      ATELIER_ASSIGN_OR_RETURN(writer, FileWriter::Create(file));
      on_progress(0, header.size());
      return absl::OkStatus();
    }
    if (writer == nullptr || part.chunk().size() > header.size() - writer->bytes()) {
      return absl::DataLossError("the server sends other bytes than it told");
    }
    ATELIER_RETURN_IF_ERROR(writer->Append(part.chunk()));
    on_progress(writer->bytes(), header.size());
    return absl::OkStatus();
  };
  ATELIER_RETURN_IF_ERROR(client.GetArtifact(request, take));
  if (writer == nullptr || writer->bytes() != header.size()) {
    return absl::DataLossError("fewer bytes arrived than the server told");
  }
  ATELIER_RETURN_IF_ERROR(writer->Commit());
  return header;
}

}  // namespace atelier::client
