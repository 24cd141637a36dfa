#include "server/app/open_inference.h"

#include <utility>

#include "server/admission/controls.h"

namespace atelier::server {

OpenInference::OpenInference(Parts parts)
    : probe_(parts.metrics, "ModelInfer"),
      models_(parts.models, parts.identity),
      admission_(models_, parts.stylize, parts.generate, RandomRequestId),
      loading_(parts.manager),
      service_({.models = models_,
                .admission = admission_,
                .desk = parts.desk,
                .probe = probe_,
                .statistics = parts.statistics,
                .cache = parts.cache,
                .loading = loading_,
                .ready = std::move(parts.ready),
                .clock = parts.clock}) {}

}  // namespace atelier::server
