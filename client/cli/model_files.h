// `atelier models import` and `atelier models export`.
#pragma once

#include "CLI/CLI.hpp"
#include "client/cli/session.h"

namespace atelier::cli {

// Like the functions of commands.h, for the command "models".
void AddModelImport(CLI::App& models, Command& chosen);
void AddModelExport(CLI::App& models, Command& chosen);

}  // namespace atelier::cli
