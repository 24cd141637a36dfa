// Model cards, which are Markdown, as HTML.
#pragma once

#include <string>
#include <string_view>

namespace atelier::train {

// The part of Markdown that cards are written in: headings, paragraphs, lists of "- " items,
// tables, `code`, blocks of code between "```". Everything else, HTML too, is text. Headings are
// two levels lower than they say: the card is a section of a page.
std::string MarkdownToHtml(std::string_view markdown);

}  // namespace atelier::train
