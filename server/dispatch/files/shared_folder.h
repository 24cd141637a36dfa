// A folder of this server that a worker without its disk was told of.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace atelier::server {

struct SharedFolder {
  enum class Kind {
    kWhole,    // every file that is not hidden
    kDataset,  // the pictures in it and one level below, and dataset.json
    kAttempt,  // every file that is not hidden; may be changed
  };

  std::filesystem::path path;
  Kind kind = Kind::kWhole;
  // Of kAttempt: the lease that it may be changed under.
  std::string job_id;
  std::uint64_t fence = 0;
};

}  // namespace atelier::server
