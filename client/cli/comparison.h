// What a compression measured: source and result side by side.
#pragma once

#include <ostream>
#include <string_view>

#include "atelier/v1/training.pb.h"

namespace atelier::cli {

// Whether a name of JobProgress.metrics belongs there: "before/NAME", "after/NAME",
// "to_source/NAME".
bool IsComparison(std::string_view metric);

// A table with a row a NAME; nothing when nothing was compared.
void PrintComparison(std::ostream& out, const v1::JobProgress& progress);

}  // namespace atelier::cli
