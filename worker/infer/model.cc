#include "worker/infer/model.h"

#include "common/status_macros.h"
#include "worker/infer/pattern_maker.h"
#include "worker/infer/stylizer.h"
#include "worker/models/pattern_table.h"

namespace atelier::infer {

absl::StatusOr<std::unique_ptr<Model>> LoadModel(const ModelOptions& options) {
  ATELIER_ASSIGN_OR_RETURN(const ModelSpec spec, ReadModelSpec(options.directory));
  if (models::IsPattern(spec.architecture)) {
    return PatternMaker::Load(options);
  }
  return Stylizer::Load(options);
}

}  // namespace atelier::infer
