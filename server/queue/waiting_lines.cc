#include "server/queue/waiting_lines.h"

#include <algorithm>

#include "common/check.h"

namespace atelier::server {
namespace {

// A line moves on by this, over its turns, for each turn that it has.
constexpr std::uint64_t kStrideOfOneTurn = 16;

constexpr std::uint64_t StrideOf(std::size_t line) {
  return kStrideOfOneTurn / static_cast<std::uint64_t>(kTurns.at(line));
}

}  // namespace

WaitingLines::Place WaitingLines::Join(Id id, Priority priority, absl::Duration work) {
  const auto line = static_cast<std::size_t>(priority);
  if (queues_.at(line).requests.empty()) {
    pass_.at(line) = now_ + StrideOf(line);
  }
  return Add(static_cast<Line>(line), joined_++, id, work);
}

WaitingLines::Place WaitingLines::Return(Id id, Priority priority, absl::Duration work) {
  // Ids count up, so that they tell the age.
  return Add(Line::kReturned, static_cast<std::uint64_t>(priority), id, work);
}

WaitingLines::Place WaitingLines::PutAside(const Place& place, absl::Time deadline) {
  Leave(place);
  const auto order =
      static_cast<std::uint64_t>(std::max<std::int64_t>(0, absl::ToUnixNanos(deadline)));
  return Add(Line::kAside, order, place.order.second, place.work);
}

WaitingLines::Place WaitingLines::Add(Line line, std::uint64_t order, Id id, absl::Duration work) {
  Place place{.line = line, .order = {order, id}, .work = work};
  Queue& queue = queues_.at(static_cast<std::size_t>(line));
  const bool inserted = queue.requests.emplace(place.order, id).second;
  ATELIER_CHECK(inserted);
  queue.work += work;
  queue.unknown += work == absl::ZeroDuration() ? 1 : 0;
  ++size_;
  return place;
}

std::optional<WaitingLines::Line> WaitingLines::NextLine() const {
  const auto waits = [this](Line line) {
    return !queues_.at(static_cast<std::size_t>(line)).requests.empty();
  };
  if (waits(Line::kReturned)) {
    return Line::kReturned;
  }
  std::optional<std::size_t> next;
  for (std::size_t line = 0; line < pass_.size(); ++line) {
    if (waits(static_cast<Line>(line)) && (!next.has_value() || pass_.at(line) < pass_.at(*next))) {
      next = line;
    }
  }
  if (next.has_value()) {
    return static_cast<Line>(*next);
  }
  return waits(Line::kAside) ? std::optional(Line::kAside) : std::nullopt;
}

std::optional<WaitingLines::Id> WaitingLines::Next() const {
  const std::optional<Line> line = NextLine();
  if (!line.has_value()) {
    return std::nullopt;
  }
  const auto& requests = queues_.at(static_cast<std::size_t>(*line)).requests;
  return *line == Line::kAside ? requests.rbegin()->second : requests.begin()->second;
}

void WaitingLines::Serve(const Place& place) {
  const auto line = static_cast<std::size_t>(place.line);
  if (line < pass_.size()) {
    now_ = pass_.at(line);
    pass_.at(line) += StrideOf(line);
  }
  Leave(place);
}

void WaitingLines::Leave(const Place& place) {
  Queue& queue = queues_.at(static_cast<std::size_t>(place.line));
  const std::size_t erased = queue.requests.erase(place.order);
  ATELIER_CHECK(erased == 1);
  queue.work -= place.work;
  queue.unknown -= place.work == absl::ZeroDuration() ? 1 : 0;
  --size_;
}

WaitingLines::Length WaitingLines::length(Line line) const {
  const Queue& queue = queues_.at(static_cast<std::size_t>(line));
  return {.requests = queue.requests.size(), .work = queue.work, .unknown = queue.unknown};
}

}  // namespace atelier::server
