// What is wrong with a weights file, in one sentence of bounded length. Not thread-safe.
#pragma once

#include <ATen/core/ATen_fwd.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace atelier::models {

// Collects complaints of one kind; prints the first three and the number of the rest.
class Complaints {
 public:
  // "missing"
  explicit Complaints(std::string label);

  void Add(std::string item);
  std::size_t count() const { return count_; }

  // "; missing a, b, c and 4 more"; nothing when there are none. No semicolon at the beginning of
  // `sentence`.
  void AppendTo(std::string& sentence) const;

 private:
  std::string label_;
  std::vector<std::string> items_;
  std::size_t count_ = 0;
};

// A name from a file may be long and may hold anything: its first 80 characters, with '?' for what
// is not printable.
std::string Printable(std::string_view name);

// "[64, 3, 7, 7]"
std::string ShapeText(at::IntArrayRef shape);

}  // namespace atelier::models
