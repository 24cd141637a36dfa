#include "server/dispatch/supervisor/trainer_rests.h"

#include <algorithm>
#include <utility>

namespace atelier::server {

void TrainerRests::Broke(std::string_view name, absl::Duration worked, absl::Time now) {
  const Rest* before = Find(name);
  const bool first =
      before == nullptr || worked >= options_.forgive || now >= before->until + options_.forgive;
  Rest rest = {.name = std::string(name),
               .breaks = first ? 1 : before->breaks + 1,
               .length = first ? options_.first : std::min(2 * before->length, options_.last)};
  rest.until = now + rest.length;
  Worked(name);
  rests_.push_back(std::move(rest));
  if (rests_.size() > options_.most_remembered) {
    rests_.pop_front();
  }
}

void TrainerRests::Worked(std::string_view name) {
  std::erase_if(rests_, [name](const Rest& rest) { return rest.name == name; });
}

absl::Time TrainerRests::Until(std::string_view name) const {
  const Rest* rest = Find(name);
  return rest == nullptr ? absl::InfinitePast() : rest->until;
}

int TrainerRests::Breaks(std::string_view name) const {
  const Rest* rest = Find(name);
  return rest == nullptr ? 0 : rest->breaks;
}

const TrainerRests::Rest* TrainerRests::Find(std::string_view name) const {
  const auto rest =
      std::ranges::find_if(rests_, [name](const Rest& entry) { return entry.name == name; });
  return rest == rests_.end() ? nullptr : &*rest;
}

}  // namespace atelier::server
