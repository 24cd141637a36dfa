// One encoded picture to another, as a stylize request has it (worker/serve/stylize.cc), but
// without a deadline and straight on.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/model_jobs.h"
#include "worker/infer/stylizer.h"

namespace atelier::kinds {

// INVALID_ARGUMENT: the picture is at fault: it cannot be read, is too small at the size that is
// asked for, or its result too large a file for a data set. Else errors of Stylizer::Stylize and of
// `still_wanted`, which may be null.
absl::StatusOr<std::string> Restyle(infer::Stylizer& stylizer, std::string_view picture,
                                    const StylizeSetConfig& config,
                                    const std::function<absl::Status()>& still_wanted);

}  // namespace atelier::kinds
