// The order in which waiting requests go to workers.
//
//   returned   by priority, then by age: they have had their turn once, before a worker was lost
//   HIGH       16 of 21 turns ┐
//   NORMAL      4 of 21 turns ├ while all of them wait; first in, first out within each
//   LOW         1 of 21 turns ┘
//   aside      what can hardly be ready in time any more: only when nothing else waits, the latest
//              deadline first
//
// The three shares are kept by stride scheduling (Waldspurger and Weihl, 1995): each line has a
// place in virtual time, the line furthest behind is next and moves on by its stride. A line that
// fills after it was empty begins one stride from now, so that neither turns are saved up nor other
// lines are jumped: no line waits for more than 21 turns.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "absl/time/time.h"
#include "server/queue/traits.h"

namespace atelier::server {

// Turns of each priority out of 21, in the order of the enum.
inline constexpr std::array<int, kPriorities> kTurns = {16, 4, 1};

// Not thread-safe: the queue guards it. Every operation takes time logarithmic in what waits.
class WaitingLines {
 public:
  using Id = std::uint64_t;

  enum class Line { kHigh, kNormal, kLow, kReturned, kAside };

  // Where one request waits; its owner keeps it.
  struct Place {
    Line line = Line::kNormal;
    std::pair<std::uint64_t, Id> order;
    absl::Duration work;  // what it is expected to cost a worker; 0: not known
  };

  struct Length {
    std::size_t requests = 0;
    absl::Duration work = absl::ZeroDuration();
    std::size_t unknown = 0;  // of the requests, how many have no work told
  };

  Place Join(Id id, Priority priority, absl::Duration work);
  // A request that was with a worker already.
  Place Return(Id id, Priority priority, absl::Duration work);
  // The request at `place` loses its turn; its new place.
  Place PutAside(const Place& place, absl::Time deadline);
  // Whose turn it is; nullopt: nobody waits.
  std::optional<Id> Next() const;
  // The request at `place`, which is Next's, goes to a worker.
  void Serve(const Place& place);
  // The request at `place` waits no more, for another reason.
  void Leave(const Place& place);

  bool empty() const { return size_ == 0; }
  Length length(Line line) const;

 private:
  static constexpr std::size_t kLines = 5;

  struct Queue {
    std::map<std::pair<std::uint64_t, Id>, Id> requests;
    absl::Duration work = absl::ZeroDuration();
    std::size_t unknown = 0;
  };

  Place Add(Line line, std::uint64_t order, Id id, absl::Duration work);
  // Which line has the next turn; nullopt: all are empty.
  std::optional<Line> NextLine() const;

  std::array<Queue, kLines> queues_;
  std::array<std::uint64_t, kPriorities> pass_ = {};  // virtual time of each line's next turn
  std::uint64_t now_ = 0;                             // virtual time of the last turn
  std::uint64_t joined_ = 0;
  std::size_t size_ = 0;
};

}  // namespace atelier::server
