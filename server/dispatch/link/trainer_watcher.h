// How the link and whoever runs the training processes meet.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "atelier/internal/v1/worker_link.pb.h"

namespace atelier::server {

// A connected trainer. Thread-safe, never blocks; no effect once its stream has ended.
class TrainerPort {
 public:
  virtual ~TrainerPort() = default;
  virtual void SendStop(internal::v1::StopJob::Why why) = 0;
};

// Thread-safe; called from link threads, must not block.
class TrainerWatcher {
 public:
  virtual ~TrainerWatcher() = default;
  // A trainer has dialled in. False: this lease was not launched here, has ended, or is connected
  // already.
  virtual bool TrainerOpened(std::string_view job_id, std::uint64_t fence,
                             std::shared_ptr<TrainerPort> port) = 0;
  // Its streams have ended and all its updates were delivered. Once for each TrainerOpened that
  // returned true.
  virtual void TrainerClosed(std::string_view job_id, std::uint64_t fence) = 0;
};

}  // namespace atelier::server
