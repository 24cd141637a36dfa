// In which order the files of a folder were removed: what a kill in between would have left.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "common/posix_file.h"

namespace atelier::test {

// Watches a folder by inotify(7) from its construction on. Aborts the test program where it cannot.
class DeletionOrder final {
 public:
  explicit DeletionOrder(const std::filesystem::path& folder);

  // The names removed from the folder itself since the last call, the first removed first.
  std::vector<std::string> Take();

 private:
  const Descriptor events_;
};

// Puts files into a folder until no order of its listing is likely to begin with `name`, which is
// in it already: fifteen that are older, and as many that are newer.
void HideAmongOthers(const std::filesystem::path& folder, const std::string& name);

}  // namespace atelier::test
