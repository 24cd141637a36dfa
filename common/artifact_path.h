// The paths of a job's files, as servers tell them and clients write them.
#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace atelier {

// OK for relative paths like "samples/step-100.jpg": names of printable ASCII with one slash
// between them, none of which begins with a dot (so that none leads out of a folder or is hidden),
// at most 512 bytes in all. Else INVALID_ARGUMENT naming `field`.
absl::Status CheckArtifactPath(std::string_view field, std::string_view path);

// An order in which numbers count by their value: "step-9" is before "step-10".
struct ArtifactPathLess {
  using is_transparent = void;
  bool operator()(std::string_view a, std::string_view b) const;
};

}  // namespace atelier
