// What queue and dispatcher are told of a piece of work. Pure functions, thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "server/queue/traits.h"
#include "server/queue/work.h"

namespace atelier::server {

// How whoever asks wants it treated.
struct WorkTerms {
  std::string client;  // as RequestTraits::client
  Priority priority = Priority::kNormal;
  absl::Time deadline = absl::InfiniteFuture();
};

// "name@version" of the model that does it.
std::string ModelOf(const Work& work);
const std::string& RequestIdOf(const Work& work);

// See RequestTraits for what the fields mean. A pattern whose size is the model's own counts as one
// of 256 pixels a side, and identity as a picture of as many bytes.
RequestTraits TraitsOf(const Work& work, const WorkTerms& terms);

// Over everything that a worker is told but the request's id and its deadline. Differs from one
// process to the next.
std::uint64_t FingerprintOf(const Work& work);

}  // namespace atelier::server
