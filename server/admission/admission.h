// The gate in front of the queue: turns a StylizeRequest into work that a worker can do, or says
// which field is at fault. Reads only the picture's header; never decodes. Priority and timeout are
// checked here and read by call_terms.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "atelier/v1/stylize.pb.h"
#include "common/pixel_layout.h"
#include "server/models/model_registry.h"
#include "server/queue/stylize_work.h"

namespace atelier::server {

// A picture on its way in.
struct Picture {
  std::string bytes;  // as `layout` says
  PixelLayout layout = PixelLayout::kEncoded;
  // Unit: pixels. Of one that is not encoded; an encoded one says it in its header.
  std::uint64_t width = 0;
  std::uint64_t height = 0;
};

// Thread-safe. Blocks as long as ModelRegistry::Resolve does (milliseconds).
class Admission {
 public:
  // `registry` outlives the object. `make_request_id` names requests whose caller did not; it must
  // be thread-safe.
  Admission(const ModelRegistry& registry, std::function<std::string()> make_request_id);

  // INVALID_ARGUMENT naming the field: a bad picture, a control out of range or one that the model
  // lacks. NOT_FOUND: an unknown model, version or label.
  absl::StatusOr<StylizeWork> Admit(const v1::StylizeRequest& request) const;

  // The same with the picture beside the request, whose own `image` is not looked at. Of pixels,
  // the result's are checked too: both must fit into a message to or from a worker.
  absl::StatusOr<StylizeWork> Admit(const v1::StylizeRequest& request, Picture picture) const;

 private:
  // All but the picture, for one of so many bytes.
  absl::StatusOr<StylizeWork> AdmitControls(const v1::StylizeRequest& request,
                                            std::size_t image_bytes) const;

  const ModelRegistry& registry_;
  const std::function<std::string()> make_request_id_;
};

}  // namespace atelier::server
