// `atelier jobs artifacts`: a job's files.
#pragma once

#include "CLI/CLI.hpp"
#include "client/cli/session.h"

namespace atelier::cli {

// Adds the command to `jobs`; see client/cli/commands.h.
void AddJobArtifacts(CLI::App& jobs, Command& chosen);

}  // namespace atelier::cli
