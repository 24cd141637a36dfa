#include "worker/serve/warm_up.h"

#include <ATen/ATen.h>

#include "common/errors.h"
#include "common/image_header.h"
#include "common/status_macros.h"
#include "worker/infer/stylizer.h"

namespace atelier::worker {

absl::Status WarmUp(infer::Model& model, const std::vector<std::uint32_t>& sizes) {
  for (const std::uint32_t size : sizes) {
    if (size < kMinImageSide || size > kMaxImageSide) {
      return InvalidField("warmup_sizes", "must be from 16 to 4096 pixels");
    }
  }
  auto* stylizer = dynamic_cast<infer::Stylizer*>(&model);
  if (stylizer == nullptr || infer::OptimisesPixels(model.spec())) {
    return absl::OkStatus();
  }
  for (const std::uint32_t size : sizes) {
    const at::Tensor nothing = at::zeros({1, size, size, 3}, at::kByte);
    infer::StylizeControls controls{.precision = model.spec().default_precision,
                                    .still_wanted = [] { return absl::OkStatus(); }};
    if (model.spec().architecture.generator == "reference") {
      controls.style_image = nothing[0];
    }
    ATELIER_RETURN_IF_ERROR(stylizer->Stylize(nothing, controls).status());
  }
  return absl::OkStatus();
}

}  // namespace atelier::worker
