// Replies of work that went through the desk: the same fields in all of them. `Kind` is described
// at QueuedCall.
#pragma once

#include <string>
#include <utility>
#include <variant>

#include "absl/time/time.h"
#include "common/rpc/picture_enums.h"
#include "server/desk/work_desk.h"
#include "server/rpc/call_probe.h"

namespace atelier::server {

// What is known of admitted work.
template <typename Kind>
void AnnounceReply(const typename Kind::Work& work, typename Kind::Response& response) {
  response.set_request_id(work.request_id);
  response.set_model(work.model.name);
  response.set_model_version(work.model.version);
  Kind::Announce(work, response);
}

// What became of it, which is counted; `answer.outcome` is OK.
template <typename Kind>
void FillReply(WorkAnswer answer, CallProbe& probe, typename Kind::Response& response) {
  const bool cached = answer.from == WorkAnswer::From::kCache;
  OutcomeFacts& facts = FactsOf(*answer.outcome);
  if (cached) {
    probe.DoneFromCache(answer.total);
  } else {
    probe.Done(facts, answer.total);
  }
  response.set_precision(ToProto(facts.precision));
  for (std::string& warning : facts.warnings) {
    response.add_warnings(std::move(warning));
  }
  auto& timings = *response.mutable_timings();
  timings.set_queue(facts.queue_s);
  timings.set_load(facts.load_s);
  timings.set_compute(facts.compute_s);
  timings.set_encode(facts.encode_s);
  timings.set_total(absl::ToDoubleSeconds(answer.total));
  // The dispatcher lets only outcomes of the work's own kind through.
  Kind::Fill(std::get<typename Kind::Outcome>(*std::move(answer.outcome)), cached, response);
}

}  // namespace atelier::server
