// `atelier jobs publish`.
#pragma once

#include "CLI/CLI.hpp"
#include "client/cli/session.h"

namespace atelier::cli {

// Like the functions of commands.h, for the command "jobs".
void AddJobPublish(CLI::App& jobs, Command& chosen);

}  // namespace atelier::cli
