#include "worker/models/pickle_stack.h"

#include <ranges>
#include <utility>

namespace atelier::models {
namespace {

constexpr char kMisfit[] = "its objects do not fit together";
constexpr std::size_t kMaxNameBytes = 128;

}  // namespace

PickleNode* PickleStack::Fail(std::string reason) {
  reason_ = std::move(reason);
  return nullptr;
}

bool PickleStack::ReadText(std::uint32_t length, std::string_view& text) {
  if (length > bytes_.size() - position_) {
    return Refuse("it is cut off");
  }
  text = bytes_.substr(position_, length);
  position_ += length;
  return true;
}

bool PickleStack::ReadName(std::string_view& name) {
  const std::string_view rest = bytes_.substr(position_, kMaxNameBytes);
  const std::size_t module_end = rest.find('\n');
  const std::size_t name_end =
      module_end == std::string_view::npos ? module_end : rest.find('\n', module_end + 1);
  if (name_end == std::string_view::npos) {
    return Refuse("a name in it is cut off or too long");
  }
  name = rest.substr(0, name_end);
  position_ += name_end + 1;
  return true;
}

PickleNode* PickleStack::Push(PickleNode* node) {
  if (node == nullptr) {
    return Fail("it holds more objects than a state dict can need");
  }
  stack_.push_back(node);
  return node;
}

bool PickleStack::PushNumber(Kind kind, std::int64_t number) {
  PickleNode* node = PushNew(kind);
  if (node != nullptr) {
    node->number = number;
  }
  return node != nullptr;
}

bool PickleStack::PushText(Kind kind, std::string_view text) {
  PickleNode* node = PushNew(kind);
  if (node != nullptr) {
    node->text = text;
  }
  return node != nullptr;
}

bool PickleStack::PushItems(Kind kind, Items items) {
  PickleNode* node = PushNew(kind);
  if (node != nullptr) {
    node->items = std::move(items);
  }
  return node != nullptr;
}

PickleNode* PickleStack::Pop() {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) {
    return Fail(kMisfit);
  }
  PickleNode* node = stack_.back();
  stack_.pop_back();
  return node;
}

PickleNode* PickleStack::Pop(Kind kind) {
  PickleNode* node = Pop();
  return node == nullptr || node->kind == kind ? node : Fail(kMisfit);
}

PickleNode* PickleStack::Top() {
  PickleNode* node = Pop();
  if (node != nullptr) {
    stack_.push_back(node);
  }
  return node;
}

bool PickleStack::PopMany(int count, Items& items) {
  items.assign(static_cast<std::size_t>(count), nullptr);
  for (const PickleNode*& item : std::views::reverse(items)) {
    item = Pop();
    if (item == nullptr) {
      return false;
    }
  }
  return true;
}

bool PickleStack::PopToMark(Items& items) {
  if (marks_.empty()) {
    return Refuse(kMisfit);
  }
  items.assign(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()), stack_.end());
  stack_.resize(marks_.back());
  marks_.pop_back();
  return true;
}

bool PickleStack::Memorize(std::uint32_t slot) {
  PickleNode* node = Top();
  if (node != nullptr) {
    memo_[slot] = node;
  }
  return node != nullptr;
}

bool PickleStack::Recall(std::uint32_t slot) {
  const auto found = memo_.find(slot);
  return found == memo_.end() ? Refuse(kMisfit) : Push(found->second) != nullptr;
}

const PickleNode* PickleStack::Result() {
  return marks_.empty() && stack_.size() == 1 ? stack_.back()
                                              : Fail("it does not end in one object");
}

}  // namespace atelier::models
