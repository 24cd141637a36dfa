// What a run finds in its data sets while it trains. Each rank reads other pictures; the first one
// tells what all of them find.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace atelier::train {

struct Finding {
  enum class Kind : char {
    kBroken = 'b',        // a file that can no longer be read
    kWithoutEdges = 'e',  // a file without edges to draw
    kSlow = 's',          // pictures that come too slowly
  };
  enum class Set : char { kContent = 'c', kEvaluation = 'e', kStyle = 's' };

  Kind kind = Kind::kBroken;
  Set set = Set::kContent;
  // What ImageFolder (a sentence, a file's name) or DataWaitAlarm (a sentence) says.
  std::string text;
};

// As text that RankPart::Exchange carries, and back. The text must come from ToNote.
std::string ToNote(const Finding& finding);
Finding FromNote(std::string_view note);

// Those of one run. Not thread-safe.
class Findings {
 public:
  struct Number {
    std::size_t of_kind = 0;  // from 1
    std::size_t of_set = 0;   // of this kind in this set
  };
  // Nothing: it is known already, perhaps from another rank. That pictures come slowly is known
  // once anyone has said so.
  std::optional<Number> Add(const Finding& finding);

  // The sentences on broken files.
  const std::vector<std::string>& broken() const { return broken_; }

 private:
  std::set<std::tuple<Finding::Kind, Finding::Set, std::string>> known_;
  std::map<Finding::Kind, std::size_t> of_kind_;
  std::map<std::pair<Finding::Kind, Finding::Set>, std::size_t> of_set_;
  std::vector<std::string> broken_;
};

}  // namespace atelier::train
