// A piece of work for a serving worker, of any kind, and its outcome.
#pragma once

#include <cstddef>
#include <cstdint>
#include <variant>

#include "server/queue/generate_work.h"
#include "server/queue/identity_work.h"
#include "server/queue/stylize_work.h"

namespace atelier::server {

using Work = std::variant<StylizeWork, GenerateWork, IdentityWork>;
using Outcome = std::variant<StylizeOutcome, GenerateOutcome, IdentityOutcome>;

// The memory that a request holds while it waits: its pictures.
std::uint64_t BytesOf(const Work& work);

// How many pictures it makes.
std::size_t PicturesOf(const Work& work);

OutcomeFacts& FactsOf(Outcome& outcome);
const OutcomeFacts& FactsOf(const Outcome& outcome);

// Whether `outcome` is what `work` asked for: of its kind, layout and format, and as much of it.
bool Answers(const Outcome& outcome, const Work& work);

}  // namespace atelier::server
