// The commands. Each function adds one, with its options, help and example, to `app`; when the
// arguments choose it, it puts itself into `chosen`, which outlives the parsing.
#pragma once

#include "CLI/CLI.hpp"
#include "client/cli/session.h"

namespace atelier::cli {

void AddStylize(CLI::App& app, Command& chosen);
void AddGenerate(CLI::App& app, Command& chosen);
void AddModels(CLI::App& app, Command& chosen);
void AddDatasets(CLI::App& app, Command& chosen);
void AddTrain(CLI::App& app, Command& chosen);
void AddJobs(CLI::App& app, Command& chosen);
void AddCompare(CLI::App& app, Command& chosen);
void AddRate(CLI::App& app, Command& chosen);

}  // namespace atelier::cli
