#include "server/rpc/call_probe.h"

#include <cstddef>

#include "absl/strings/ascii.h"
#include "common/errors.h"
#include "server/queue/queue_probe.h"

namespace atelier::server {

CallProbe::CallProbe(prometheus::Registry& registry, const std::string& method)
    : seconds_(prometheus::BuildHistogram()
                   .Name("atelier_" + absl::AsciiStrToLower(method) + "_seconds")
                   .Help("Where the time of " + method + " requests with pictures went, by stage.")
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
                     .Help("Requests for pictures answered, by method and status code.")
                     .Register(registry);
  for (std::size_t code = 0; code < kCodes; ++code) {
    answered_.at(code) =
        &family.Add({{"method", method},
                     {"code", absl::StatusCodeToString(static_cast<absl::StatusCode>(code))}});
  }
}

prometheus::Histogram& CallProbe::Stage(const char* name) {
  // From a GPU's milliseconds to a CPU's minute.
  return seconds_.Add({{"stage", name}}, prometheus::Histogram::BucketBoundaries{
                                             0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                             0.5, 1, 2.5, 5, 10, 30, 60});
}

void CallProbe::Answered(absl::StatusCode code) {
  answered_.at(static_cast<std::size_t>(code))->Increment();
}

void CallProbe::Refused(const absl::Status& error) {
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

void CallProbe::Done(const OutcomeFacts& facts, absl::Duration total) {
  queue_.Observe(facts.queue_s);
  decode_.Observe(facts.decode_s);
  load_.Observe(facts.load_s);
  compute_.Observe(facts.compute_s);
  encode_.Observe(facts.encode_s);
  total_.Observe(absl::ToDoubleSeconds(total));
}

void CallProbe::DoneFromCache(absl::Duration total) {
  total_.Observe(absl::ToDoubleSeconds(total));
}

}  // namespace atelier::server
