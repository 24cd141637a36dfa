// Who trains a job: a trainer of another machine that waits for one, or else a process of this
// machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "server/dispatch/supervisor/local_trainers.h"
#include "server/dispatch/supervisor/remote_trainers.h"
#include "server/jobs/trainer_port.h"

namespace atelier::server {

// Thread-safe, never blocks.
class TrainerPool final : public TrainerLauncher {
 public:
  struct Options {
    std::size_t local_places = 1;  // processes of this machine at a time
    // Whether trainers of other machines may come: then a job may wait for one.
    bool listens = false;
  };

  // Both outlive the pool.
  TrainerPool(Options options, LocalTrainers& local, RemoteTrainers& remote)
      : options_(options), local_(local), remote_(remote) {}

  absl::Status Ready() const override;
  std::size_t Places() const override;
  bool Takes(std::string_view job_id) const override;
  absl::Status Launch(std::string_view job_id, std::uint64_t fence) override;
  void Stop(std::string_view job_id, std::uint64_t fence, internal::v1::StopJob::Why why,
            std::uint32_t kill_after_ms) override;

 private:
  const Options options_;
  LocalTrainers& local_;
  RemoteTrainers& remote_;
};

}  // namespace atelier::server
