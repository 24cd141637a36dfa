#include "server/rpc/dataset_probe.h"

namespace atelier::server {

DatasetProbe::DatasetProbe(prometheus::Registry& registry)
    : transfers_(prometheus::BuildCounter()
                     .Name("atelier_dataset_transfers_total")
                     .Help("Uploads into data sets and imports answered, by kind and status code.")
                     .Register(registry)),
      pictures_(prometheus::BuildCounter()
                    .Name("atelier_dataset_pictures_added_total")
                    .Help("Pictures that uploads and imports have added to data sets.")
                    .Register(registry)
                    .Add({})) {
  // There from the start, so that a rate can be told of the first one.
  for (const char* kind : {"upload", "import"}) {
    Of(kind, absl::StatusCode::kOk);
  }
}

prometheus::Counter& DatasetProbe::Of(const char* kind, absl::StatusCode code) {
  return transfers_.Add({{"kind", kind}, {"code", absl::StatusCodeToString(code)}});
}

}  // namespace atelier::server
