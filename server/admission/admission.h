// The gate in front of the queue: turns a StylizeRequest into work that a worker can do, or says
// which field is at fault. Reads only the picture's header; never decodes.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "atelier/v1/stylize.pb.h"
#include "server/models/model_registry.h"
#include "server/queue/stylize_work.h"

namespace atelier::server {

// Thread-safe. Blocks as long as ModelRegistry::Resolve does (milliseconds).
class Admission {
 public:
  // `registry` outlives the object. `make_request_id` names requests whose caller did not; it must
  // be thread-safe.
  Admission(const ModelRegistry& registry, std::function<std::string()> make_request_id);

  // INVALID_ARGUMENT naming the field: a bad picture, a control out of range or one that the model
  // lacks. NOT_FOUND: an unknown model, version or label.
  absl::StatusOr<StylizeWork> Admit(const v1::StylizeRequest& request) const;

 private:
  const ModelRegistry& registry_;
  const std::function<std::string()> make_request_id_;
};

}  // namespace atelier::server
