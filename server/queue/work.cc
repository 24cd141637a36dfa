#include "server/queue/work.h"

namespace atelier::server {

std::uint64_t BytesOf(const Work& work) {
  if (const auto* stylize = std::get_if<StylizeWork>(&work)) {
    return stylize->image.size() + stylize->style_image.size();
  }
  const auto* identity = std::get_if<IdentityWork>(&work);
  return identity == nullptr ? 0 : identity->payload.size();
}

std::size_t PicturesOf(const Work& work) {
  const auto* generate = std::get_if<GenerateWork>(&work);
  return generate == nullptr ? 1 : generate->seeds.size();
}

OutcomeFacts& FactsOf(Outcome& outcome) {
  return std::visit([](auto& of_kind) -> OutcomeFacts& { return of_kind; }, outcome);
}

const OutcomeFacts& FactsOf(const Outcome& outcome) {
  return std::visit([](const auto& of_kind) -> const OutcomeFacts& { return of_kind; }, outcome);
}

bool Answers(const Outcome& outcome, const Work& work) {
  if (outcome.index() != work.index()) {
    return false;
  }
  if (const auto* stylized = std::get_if<StylizeOutcome>(&outcome)) {
    const auto& asked = std::get<StylizeWork>(work);
    const bool encoded = asked.layout == PixelLayout::kEncoded;
    return stylized->layout == asked.layout &&
           (!encoded || stylized->format == asked.format.value_or(stylized->format));
  }
  if (const auto* generated = std::get_if<GenerateOutcome>(&outcome)) {
    return generated->pictures.size() == PicturesOf(work);
  }
  return std::get<IdentityOutcome>(outcome).payload.size() ==
         std::get<IdentityWork>(work).payload.size();
}

}  // namespace atelier::server
