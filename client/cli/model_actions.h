// `atelier models load`, `unload`, `promote`, `rollback`, `label` and `delete`.
#pragma once

#include "CLI/CLI.hpp"
#include "client/cli/session.h"

namespace atelier::cli {

// Like the functions of commands.h, for the command "models".
void AddModelActions(CLI::App& models, Command& chosen);

}  // namespace atelier::cli
