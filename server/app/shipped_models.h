// The styles that come with the program.
#pragma once

#include <filesystem>

#include "absl/status/status.h"
#include "server/app/options.h"

namespace atelier::server {

// Their folder; empty: none are wanted.
std::filesystem::path ShippedModels(const ServerOptions& options);

// INVALID_ARGUMENT: the folder was said and holds no model. The default one may be missing, which
// is logged. Blocks on the disk.
absl::Status CheckShippedModels(const ServerOptions& options);

}  // namespace atelier::server
