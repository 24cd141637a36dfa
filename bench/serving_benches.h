// The benchmarks of the whole service, each with servers of its own below `root`, a fresh folder.
// They print their figures; an error means that they could not finish.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace atelier::bench {

// How long a part of a benchmark lasts.
struct Lengths {
  absl::Duration load = absl::Seconds(60);  // each load that is offered
  int reloads = 1000;
  int restarts = 100;
  int steps = 300;  // of each training
};

absl::Status RunServe(const std::filesystem::path& root);
// Offered load of half to five times what the server takes.
absl::Status RunOverload(const std::filesystem::path& root, const Lengths& lengths);
// Pictures a second by the size of batches, and of mixed sizes.
absl::Status RunBatching(const std::filesystem::path& root, const Lengths& lengths);
absl::Status RunMixedSizes(const std::filesystem::path& root, const Lengths& lengths);
// Promotions back and forth between two versions under load.
absl::Status RunReload(const std::filesystem::path& root, const Lengths& lengths);
// Two servers behind one client, restarted in turn under load.
absl::Status RunRolling(const std::filesystem::path& root, const Lengths& lengths);
// What jobs cost: a training by the service and by atelier-train alone in turn; pictures a second
// with a training beside them and without.
absl::Status RunJobs(const std::filesystem::path& root, const Lengths& lengths);
// As many calls of the model "identity" at `address` as `clients` loops make, with a payload of
// 20 kB; prints one JSON object: rps, p50_ms, p99_ms. For bench/overhead.py.
absl::Status RunInfer(const std::string& address, int clients, absl::Duration duration);

// Serves inference.GRPCInferenceService.ModelInfer with a handler that returns its input, until a
// signal ends the process; prints "listening grpc=HOST:PORT". The floor of what any server costs.
absl::Status ServeFloor();

}  // namespace atelier::bench
