// A piece of work for a serving worker, of either kind, and its outcome.
#pragma once

#include <cstddef>
#include <cstdint>
#include <variant>

#include "server/queue/generate_work.h"
#include "server/queue/stylize_work.h"

namespace atelier::server {

using Work = std::variant<StylizeWork, GenerateWork>;
using Outcome = std::variant<StylizeOutcome, GenerateOutcome>;

// The memory that a request holds while it waits: its pictures.
std::uint64_t BytesOf(const Work& work);

// How many pictures it makes.
std::size_t PicturesOf(const Work& work);

OutcomeFacts& FactsOf(Outcome& outcome);

// Whether `outcome` is what `work` asked for: of its kind, and as many pictures.
bool Answers(const Outcome& outcome, const Work& work);

}  // namespace atelier::server
