#include "worker/train/markdown_html.h"

#include <algorithm>
#include <vector>

#include "common/text.h"
#include "worker/train/svg_chart.h"

namespace atelier::train {
namespace {

// `code` becomes an element; a lone quote stays one.
std::string Inline(std::string_view text) {
  std::string html;
  const std::vector<std::string_view> parts = SplitText(text, '`');
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const bool code = i % 2 == 1 && i + 1 < parts.size();
    if (code) {
      html += JoinText("<code>", EscapeHtml(parts[i]), "</code>");
    } else {
      html += JoinText(i % 2 == 1 ? "`" : "", EscapeHtml(parts[i]));
    }
  }
  return html;
}

std::vector<std::string_view> Cells(std::string_view row) {
  row.remove_prefix(1);
  if (row.ends_with('|')) {
    row.remove_suffix(1);
  }
  return SplitText(row, '|');
}

bool IsTableRule(std::string_view line) {
  return line.starts_with('|') && line.find_first_not_of("|-: ") == std::string_view::npos;
}

// What lines beside each other make one element.
enum class Block { kNone, kParagraph, kList, kTable, kCode };

class CardConverter {
 public:
  std::string Run(std::string_view markdown) {
    for (std::string_view line : SplitText(markdown, '\n')) {
      if (line.starts_with("```")) {
        Enter(block_ == Block::kCode ? Block::kNone : Block::kCode);
      } else if (block_ == Block::kCode) {
        html_ += JoinText(EscapeHtml(line), "\n");
      } else {
        Take(TrimText(line));
      }
    }
    Enter(Block::kNone);
    return std::move(html_);
  }

 private:
  void Take(std::string_view line) {
    const std::size_t marks = std::min(line.find_first_not_of('#'), line.size());
    if (line.empty()) {
      Enter(Block::kNone);
    } else if (marks >= 1 && marks <= 4 && marks < line.size() && line[marks] == ' ') {
      Enter(Block::kNone);
      const std::string tag = "h" + std::to_string(std::min<std::size_t>(marks + 2, 6));
      html_ += JoinText("<", tag, ">", Inline(line.substr(marks + 1)), "</", tag, ">\n");
    } else if (line.starts_with('|')) {
      TakeRow(line);
    } else if (line.starts_with("- ")) {
      Enter(Block::kList);
      html_ += JoinText("<li>", Inline(line.substr(2)), "</li>\n");
    } else if (block_ == Block::kList) {
      html_ += JoinText(Inline(line), "\n");  // of the item above
    } else {
      Enter(Block::kParagraph);
      html_ += JoinText(Inline(line), "\n");
    }
  }

  void TakeRow(std::string_view line) {
    if (IsTableRule(line)) {
      return;
    }
    const char* const cell = block_ == Block::kTable ? "td" : "th";
    Enter(Block::kTable);
    html_ += "<tr>";
    for (const std::string_view text : Cells(line)) {
      html_ += JoinText("<", cell, ">", Inline(TrimText(text)), "</", cell, ">");
    }
    html_ += "</tr>\n";
  }

  void Enter(Block block) {
    if (block == block_) {
      return;
    }
    static constexpr const char* kEnds[] = {"", "</p>\n", "</ul>\n", "</table>\n",
                                            "</code></pre>\n"};
    static constexpr const char* kBegins[] = {"", "<p>", "<ul>\n", "<table>\n", "<pre><code>"};
    html_ += kEnds[static_cast<std::size_t>(block_)];
    html_ += kBegins[static_cast<std::size_t>(block)];
    block_ = block;
  }

  std::string html_;
  Block block_ = Block::kNone;
};

}  // namespace

std::string MarkdownToHtml(std::string_view markdown) { return CardConverter().Run(markdown); }

}  // namespace atelier::train
