// Models to and from files, on top of the client.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "absl/status/statusor.h"
#include "client/api/client.h"

namespace atelier::client {

// Called as bytes go: those that went, and all.
using TransferProgress = std::function<void(std::uint64_t done, std::uint64_t total)>;

// Sends `file` with `header`, of which sha256, size and file_name are filled in here. Reads the
// file twice. Errors of Client::ImportModel; NOT_FOUND and the like when the file cannot be read.
absl::StatusOr<v1::ImportModelResponse> ImportModelFile(Client& client,
                                                        v1::ImportModelHeader header,
                                                        const std::filesystem::path& file,
                                                        const TransferProgress& on_progress);

// Writes the model to `file`, whole or not at all, in place of what was there. Errors of
// Client::ExportModel; DATA_LOSS: other bytes came than the server told; those of
// common/file_writer.h.
absl::StatusOr<v1::ExportModelHeader> ExportModelFile(Client& client,
                                                      const v1::ExportModelRequest& request,
                                                      const std::filesystem::path& file,
                                                      const TransferProgress& on_progress);

}  // namespace atelier::client
