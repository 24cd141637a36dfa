#include "server/rpc/stylize_probe.h"

#include <cstddef>

#include "common/errors.h"
#include "server/queue/queue_probe.h"

namespace atelier::server {

StylizeProbe::StylizeProbe(prometheus::Registry& registry)
    : seconds_(prometheus::BuildHistogram()
                   .Name("atelier_stylize_seconds")
                   .Help("Where the time of restyled requests went, by stage.")
                   .Register(registry)),
      queue_(Stage("queue")),
      decode_(Stage("decode")),
      load_(Stage("load")),
      compute_(Stage("compute")),
      encode_(Stage("encode")),
      total_(Stage("total")),
      bad_image_(RejectionCounter(registry, "bad_image")),
      bad_field_(RejectionCounter(registry, "bad_field")),
      unknown_model_(RejectionCounter(registry, "unknown_model")),
      other_(RejectionCounter(registry, "other")) {
  auto& family = prometheus::BuildCounter()
                     .Name("atelier_requests_total")
                     .Help("Stylize requests answered, by status code.")
                     .Register(registry);
  for (std::size_t code = 0; code < kCodes; ++code) {
    answered_.at(code) =
        &family.Add({{"code", absl::StatusCodeToString(static_cast<absl::StatusCode>(code))}});
  }
}

prometheus::Histogram& StylizeProbe::Stage(const char* name) {
  // From a GPU's milliseconds to a CPU's minute.
  return seconds_.Add({{"stage", name}}, prometheus::Histogram::BucketBoundaries{
                                             0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                             0.5, 1, 2.5, 5, 10, 30, 60});
}

void StylizeProbe::Answered(absl::StatusCode code) {
  answered_.at(static_cast<std::size_t>(code))->Increment();
}

void StylizeProbe::Refused(const absl::Status& error) {
  if (FieldOf(error) == "image") {
    bad_image_.Increment();
  } else if (absl::IsInvalidArgument(error)) {
    bad_field_.Increment();
  } else if (absl::IsNotFound(error)) {
    unknown_model_.Increment();
  } else {
    other_.Increment();
  }
}

void StylizeProbe::Restyled(const StylizeOutcome& outcome, absl::Duration total) {
  queue_.Observe(outcome.queue_s);
  decode_.Observe(outcome.decode_s);
  load_.Observe(outcome.load_s);
  compute_.Observe(outcome.compute_s);
  encode_.Observe(outcome.encode_s);
  total_.Observe(absl::ToDoubleSeconds(total));
}

}  // namespace atelier::server
