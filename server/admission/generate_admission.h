// The gate in front of the queue for patterns: turns a GenerateRequest into work that a worker can
// do, or says which field is at fault. What the caller left open is drawn here, once, so that the
// work is the same for every worker that does it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "atelier/v1/generate.pb.h"
#include "server/models/model_registry.h"
#include "server/queue/generate_work.h"

namespace atelier::server {

// Thread-safe. Blocks as long as ModelRegistry::Resolve does (milliseconds).
class GenerateAdmission {
 public:
  // What callers leave open; both are thread-safe.
  struct Draws {
    std::function<std::string()> request_id;
    std::function<std::uint64_t()> seed;
  };

  // `registry` outlives the object.
  GenerateAdmission(const ModelRegistry& registry, Draws draws);

  // INVALID_ARGUMENT naming the field: a control out of range or one that the model lacks, a label
  // or word that it does not know, a model that restyles pictures. NOT_FOUND: an unknown model,
  // version or label.
  absl::StatusOr<GenerateWork> Admit(const v1::GenerateRequest& request) const;

  // The same for these seeds, 1 to 8, one a picture, instead of the request's `seed` and `count`;
  // empty: as the request says.
  absl::StatusOr<GenerateWork> Admit(const v1::GenerateRequest& request,
                                     std::vector<std::uint64_t> seeds) const;

 private:
  absl::Status AdmitPictures(const v1::GenerateRequest& request, GenerateWork& work) const;

  const ModelRegistry& registry_;
  const Draws draws_;
};

}  // namespace atelier::server
