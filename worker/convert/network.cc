#include "worker/convert/network.h"

#include "common/status_macros.h"
#include "worker/infer/generator_style.h"
#include "worker/models/pattern_table.h"
#include "worker/nn/gatys_target.h"

namespace atelier::convert {

absl::StatusOr<Network> MakeNetwork(const ModelSpec& spec) {
  Network network;
  if (models::IsPattern(spec.architecture)) {
    ATELIER_ASSIGN_OR_RETURN(network.pattern, models::MakePatternGenerator(
                                                  spec.architecture, models::ConditionOf(spec)));
    network.module = network.pattern;
  } else if (spec.architecture.generator == "gatys") {
    network.module = std::make_shared<nn::GatysTarget>();
  } else {
    ATELIER_ASSIGN_OR_RETURN(network.picture, infer::MakeModelNetwork(spec));
    network.module = network.picture;
  }
  return network;
}

}  // namespace atelier::convert
