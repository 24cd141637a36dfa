// Which jobs need a model. Pure functions.
#pragma once

#include <string>
#include <vector>

#include "atelier/v1/training.pb.h"

namespace atelier::server {

// The references of the models that a job starts from, measures or restyles with, as its spec names
// them.
std::vector<std::string> SourcesOf(const v1::JobSpec& spec);

}  // namespace atelier::server
