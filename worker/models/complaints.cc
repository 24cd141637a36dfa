#include "worker/models/complaints.h"

#include <c10/util/ArrayRef.h>

#include <utility>

namespace atelier::models {

Complaints::Complaints(std::string label) : label_(std::move(label)) {}

void Complaints::Add(std::string item) {
  constexpr std::size_t kPrinted = 3;
  if (items_.size() < kPrinted) {
    items_.push_back(std::move(item));
  }
  ++count_;
}

void Complaints::AppendTo(std::string& sentence) const {
  if (count_ == 0) {
    return;
  }
  sentence += (sentence.empty() ? "" : "; ") + label_ + " ";
  for (std::size_t i = 0; i < items_.size(); ++i) {
    sentence += (i > 0 ? ", " : "") + items_[i];
  }
  if (count_ > items_.size()) {
    sentence += " and " + std::to_string(count_ - items_.size()) + " more";
  }
}

std::string Printable(std::string_view name) {
  constexpr std::size_t kLongest = 80;
  std::string text;
  for (const char c : name.substr(0, kLongest)) {
    text += c > ' ' && c < 0x7f ? c : '?';
  }
  return text;
}

std::string ShapeText(at::IntArrayRef shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  }
  return text + "]";
}

}  // namespace atelier::models
