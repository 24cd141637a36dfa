// A job's files on this machine, on top of the client.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/statusor.h"
#include "client/api/client.h"
#include "client/api/model_file.h"

namespace atelier::client {

// Writes the artifact `path` of a job to `file`, whole or not at all, in place of what was there;
// the folder must exist. Returns its header. Errors of Client::GetArtifact; DATA_LOSS: other bytes
// came than the server told; those of common/file_writer.h.
absl::StatusOr<v1::Artifact> FetchArtifact(Client& client, const std::string& job_id,
                                           const std::string& path,
                                           const std::filesystem::path& file,
                                           const TransferProgress& on_progress);

}  // namespace atelier::client
