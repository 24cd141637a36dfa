// A checkpoint: everything that a bit-equal continuation needs, in a folder that is there whole or
// not at all.
//
//   checkpoints/step-N/state.safetensors   networks and optimiser moments
//                      checkpoint.json     step, threads, fingerprint of the configuration, digests
//                                          of the data sets
//                      complete            SHA-256 of the two files above; written last
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/train/train_step.h"

namespace atelier::train {

// What a data set held: ImageFolder::digest().
struct SetDigest {
  std::string sha256;
  std::int64_t pictures = 0;
};
using SetDigests = std::map<std::string, SetDigest>;  // by role, "content" or "style"

struct Checkpoint {
  std::int64_t step = 0;    // steps done
  int threads = 0;          // that computed it; bits are equal only at an equal count
  std::string device;       // "cpu" or "cuda", likewise
  double seconds = 0;       // of training so far, over all attempts
  std::string fingerprint;  // Fingerprint() of the configuration
  SetDigests datasets;      // empty: an older release's, which did not keep them
  TensorMap state;
};

// What must not change between a checkpoint and its continuation: everything but the number of
// steps and how often things are saved.
std::string Fingerprint(const TrainConfig& config);

// Writes checkpoints/step-N below `checkpoints` under a temporary name, flushes and renames it,
// then removes all but the newest `keep` and that of step `best` (below 0: none).
// RESOURCE_EXHAUSTED: disk full; PERMISSION_DENIED: read-only.
absl::Status SaveCheckpoint(const std::filesystem::path& checkpoints, const Checkpoint& checkpoint,
                            int keep, std::int64_t best = -1);

std::filesystem::path CheckpointFolder(const std::filesystem::path& checkpoints, std::int64_t step);

// Copies the checkpoint folder `from`, if it is whole, to its own name below `checkpoints`, whole
// or not at all, by links where the disk has them: what an earlier attempt found to be the best
// goes with the job. NOT_FOUND: it is not whole; RESOURCE_EXHAUSTED, PERMISSION_DENIED.
absl::Status AdoptCheckpoint(const std::filesystem::path& from,
                             const std::filesystem::path& checkpoints);

// DATA_LOSS: incomplete, or a checksum disagrees.
absl::StatusOr<Checkpoint> LoadCheckpoint(const std::filesystem::path& directory);

}  // namespace atelier::train
