// The commands that bring pictures into a data set.
#pragma once

#include "CLI/CLI.hpp"
#include "client/cli/session.h"

namespace atelier::cli {

// Both add a command to `datasets`; see commands.h.
void AddDatasetUpload(CLI::App& datasets, Command& chosen);
void AddDatasetImport(CLI::App& datasets, Command& chosen);

}  // namespace atelier::cli
