#include "server/queue/work.h"

namespace atelier::server {

std::uint64_t BytesOf(const Work& work) {
  const auto* stylize = std::get_if<StylizeWork>(&work);
  return stylize == nullptr ? 0 : stylize->image.size() + stylize->style_image.size();
}

std::size_t PicturesOf(const Work& work) {
  const auto* generate = std::get_if<GenerateWork>(&work);
  return generate == nullptr ? 1 : generate->seeds.size();
}

OutcomeFacts& FactsOf(Outcome& outcome) {
  return std::visit([](auto& of_kind) -> OutcomeFacts& { return of_kind; }, outcome);
}

bool Answers(const Outcome& outcome, const Work& work) {
  if (outcome.index() != work.index()) {
    return false;
  }
  const auto* generated = std::get_if<GenerateOutcome>(&outcome);
  return generated == nullptr || generated->pictures.size() == PicturesOf(work);
}

}  // namespace atelier::server
