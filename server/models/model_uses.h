// Which jobs need a model. Pure functions.
#pragma once

#include <string>

#include "atelier/v1/training.pb.h"

namespace atelier::server {

// The reference of the model that a job starts from, as its spec names it; empty: it starts from
// none.
std::string SourceOf(const v1::JobSpec& spec);

}  // namespace atelier::server
