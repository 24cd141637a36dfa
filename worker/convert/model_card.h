// The model card of what somebody brought along. Pure functions, thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "common/convert_task.h"
#include "common/model_spec.h"
#include "common/weights_format.h"

namespace atelier::convert {

// Markdown: what the file is, what its importer says of it, and `card`, which the file itself holds
// (empty: none).
std::string ImportCard(const ImportTask& task, const ModelSpec& spec, WeightsFormat format,
                       const std::string& card);

// Text that may stand in a card: valid UTF-8, of at most 64 KiB, no control characters but line
// feeds and tabs (a terminal would obey them). What is against that is left out.
std::string CleanCard(std::string_view text);

}  // namespace atelier::convert
