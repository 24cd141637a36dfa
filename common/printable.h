// Text of strangers that may be shown on a terminal: valid UTF-8 without control characters, which
// a terminal would obey. Pure functions, thread-safe.
#pragma once

#include <cstddef>
#include <string_view>

namespace atelier {

// The length in bytes of the character that `text`, which is not empty, begins with. 0: none, or an
// overlong form, a surrogate or a control character (C0, DEL, C1).
std::size_t PrintableLength(std::string_view text);

// One line of such characters; empty text is one.
bool IsPrintable(std::string_view text);

// The same with line feeds and tabs.
bool IsPrintableText(std::string_view text);

}  // namespace atelier
