#include "worker/train/findings.h"

#include "common/check.h"

namespace atelier::train {
namespace {

constexpr std::size_t kMarks = 2;  // kind and set, a byte each, in front of a note's text

}  // namespace

std::string ToNote(const Finding& finding) {
  return std::string{static_cast<char>(finding.kind), static_cast<char>(finding.set)} +
         finding.text;
}

Finding FromNote(std::string_view note) {
  ATELIER_CHECK(note.size() >= kMarks);
  return {.kind = static_cast<Finding::Kind>(note[0]),
          .set = static_cast<Finding::Set>(note[1]),
          .text = std::string(note.substr(kMarks))};
}

std::optional<Findings::Number> Findings::Add(const Finding& finding) {
  const bool slow = finding.kind == Finding::Kind::kSlow;
  if (!known_.emplace(finding.kind, finding.set, slow ? "" : finding.text).second) {
    return std::nullopt;
  }
  if (finding.kind == Finding::Kind::kBroken) {
    broken_.push_back(finding.text);
  }
  return Number{.of_kind = ++of_kind_[finding.kind],
                .of_set = ++of_set_[{finding.kind, finding.set}]};
}

}  // namespace atelier::train
