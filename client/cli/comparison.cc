#include "client/cli/comparison.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "client/cli/output.h"

namespace atelier::cli {
namespace {

constexpr std::string_view kBefore = "before/";
constexpr std::string_view kToSource = "to_source/";

std::string Text(std::string_view name, double value) {
  return name == "size_bytes" ? BytesText(static_cast<std::uint64_t>(value)) : NumberText(value, 4);
}

// "size_bytes" → "size", "content_similarity" → "content similarity".
std::string Title(std::string_view name) {
  std::string title(name == "size_bytes" ? "size" : name);
  for (char& letter : title) {
    letter = letter == '_' ? ' ' : letter;
  }
  return title;
}

}  // namespace

bool IsComparison(std::string_view metric) { return metric.find('/') != std::string_view::npos; }

void PrintComparison(std::ostream& out, const v1::JobProgress& progress) {
  // Sorted, as a protobuf map has no order.
  std::map<std::string, Row> rows;
  for (const auto& [key, value] : progress.metrics()) {
    const std::string_view metric = key;
    if (!IsComparison(metric)) {
      continue;
    }
    const std::string_view side = metric.substr(0, metric.find('/') + 1);
    const std::string_view name = metric.substr(side.size());
    Row& row = rows[std::string(side == kToSource ? "~" : "") + std::string(name)];
    row.resize(3);
    row[0] = Title(name) + (side == kToSource ? " of the two" : "");
    row[side == kBefore ? 1 : 2] = Text(name, value);
  }
  std::vector<Row> table;
  for (const auto& [name, row] : rows) {
    table.push_back(row);
  }
  if (!table.empty()) {
    PrintTable(out, {"", "BEFORE", "AFTER"}, table);
  }
}

}  // namespace atelier::cli
