// The stack, marks and memo of a pickle machine, and the reading of its bytes. Every member that
// reads or pops returns false (or null) and keeps a reason when the pickle is not acceptable. Not
// thread-safe.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "worker/models/pickle_machine.h"

namespace atelier::models {

class PickleStack {
 public:
  using Kind = PickleNode::Kind;
  using Items = std::vector<const PickleNode*>;

  PickleStack(std::string_view bytes, PickleArena& arena) : bytes_(bytes), arena_(arena) {}

  // Keeps the reason; returns null so that it can be returned as a node.
  PickleNode* Fail(std::string reason);
  bool Refuse(std::string reason) { return Fail(std::move(reason)) != nullptr; }
  const std::string& reason() const { return reason_; }

  // The next bytes as a little-endian integer.
  template <typename T>
  bool Read(T& value) {
    static_assert(std::is_integral_v<T>);
    if (bytes_.size() - position_ < sizeof(T)) {
      return Refuse("it is cut off");
    }
    std::memcpy(&value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return true;
  }
  bool ReadText(std::uint32_t length, std::string_view& text);
  // Two lines, "module\nname\n".
  bool ReadName(std::string_view& name);
  std::size_t position() const { return position_; }

  PickleNode* Push(PickleNode* node);
  PickleNode* PushNew(Kind kind) { return Push(arena_.New(kind)); }
  bool PushNumber(Kind kind, std::int64_t number);
  bool PushText(Kind kind, std::string_view text);
  bool PushItems(Kind kind, Items items);

  // Never below the last mark.
  PickleNode* Pop();
  PickleNode* Pop(Kind kind);
  // The topmost object, left in place.
  PickleNode* Top();
  // The topmost `count` objects, in the order in which they were pushed.
  bool PopMany(int count, Items& items);

  void Mark() { marks_.push_back(stack_.size()); }
  // Takes everything above the last mark and the mark.
  bool PopToMark(Items& items);

  bool Memorize(std::uint32_t slot);
  bool Recall(std::uint32_t slot);

  // The one object left at the end.
  const PickleNode* Result();

 private:
  std::string_view bytes_;
  PickleArena& arena_;
  std::size_t position_ = 0;
  std::vector<PickleNode*> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint32_t, PickleNode*> memo_;
  std::string reason_;
};

}  // namespace atelier::models
